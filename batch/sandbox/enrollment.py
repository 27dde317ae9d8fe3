"""What becomes of an enroll or unEnroll call: the semantics of the simulated API.

Owns the rules; the state is given and written to, the time is given. It knows no HTTP.
Source: docs.capillarytech.com/reference/enrol-customer-to-a-milestone and .../un-enrol-users-into-a-milestonestreak;
what they leave open is a switch.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.sandbox.answers import Refused
from batch.sandbox.state import Enrolment, Membership, State
from batch.sandbox.switches import Lenience, MissingPeriod, Switches
from batch.sandbox.world import (
    FORMER_BALANCE,
    FORMER_STREAK_COUNT,
    Past,
    Period,
    TargetGroup,
    build_world,
    customer_exists,
    past_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.sandbox.records import Record

STREAK_PERIOD = ""


@dataclass(slots=True)
class Organisation:
    """The target groups, who is in them, and the rules by which that changes. `now` is in seconds since 1970."""

    state: State
    switches: Switches
    now: Callable[[], float]
    groups: dict[int, TargetGroup]

    @classmethod
    def born(cls, state: State, switches: Switches, now: Callable[[], float]) -> Organisation:
        """Return the organisation whose dates count from the day that `state` keeps."""
        return cls(state, switches, now, build_world(state.born_on))

    def today(self) -> dt.date:
        """Return the date by the organisation's clock, in UTC."""
        return dt.datetime.fromtimestamp(self.now(), dt.UTC).date()

    def find(self, group_id: int, target_id: int) -> TargetGroup | Refused:
        """Return the active target group that has this target, or 310017 or 310018."""
        group = self.groups.get(group_id)
        if group is None or not group.active:
            return Refused(310017)
        return group if group.target == target_id else Refused(310018)

    def standing(self, org: int, group: TargetGroup, customer: int) -> dict[str, Enrolment]:
        """Return the customer's enrolments in this group by period, those by rule included."""
        stands = self._past(group, customer)
        stands.update(self.state.of(Membership(org, group.id, group.target, customer)))
        return stands

    def _past(self, group: TargetGroup, customer: int) -> dict[str, Enrolment]:
        past = past_of(customer, preload=self.switches.preload)
        if past is Past.NOBODY or (past is Past.MEMBER and group.is_streak):
            return {}
        names = [STREAK_PERIOD] if group.is_streak else [period.ref_code for period in group.periods]
        balance = 0 if past is Past.MEMBER else FORMER_STREAK_COUNT if group.is_streak else FORMER_BALANCE
        born_at = dt.datetime.combine(self.state.born_on, dt.time(), dt.UTC).timestamp()
        enrolment = Enrolment(past is Past.MEMBER, balance, enrolled_at=born_at, updated_at=born_at)
        return dict.fromkeys(names, enrolment)

    def enroll(self, org: int, group_id: int, target_id: int, record: Record) -> Refused | None:
        """Enroll or re-enroll one customer; return None when done, else why nothing was changed."""
        group = self.find(group_id, target_id)
        if isinstance(group, Refused):
            return group
        if not customer_exists(record.customer):
            return Refused(310011)
        if group.is_streak:
            return self._enroll_streak(org, group, record)
        period = self._period(group, record.period)
        if isinstance(period, Refused):
            return period
        if self.switches.ended_cycle is not None and period.end < self.today():
            return Refused(self.switches.ended_cycle)
        stands = self.standing(org, group, record.customer)
        named = stands.get(period.ref_code)
        if named and named.enrolled:
            return Refused(310119)
        now = self.now()
        changed = {period.ref_code: _enrolled(named, now, record.balance, enrolls=1)}
        if self.switches.cascade:
            for later in group.periods[group.periods.index(period) + 1 :]:
                before = stands.get(later.ref_code)
                if not (before and before.enrolled):
                    changed[later.ref_code] = _enrolled(before, now, None, enrolls=0)
        self.state.write(Membership(org, group.id, group.target, record.customer), changed)
        return None

    def _enroll_streak(self, org: int, group: TargetGroup, record: Record) -> Refused | None:
        if record.period is not None and self.switches.period_on_streak is Lenience.REFUSE:
            return Refused(300004)
        before = self.standing(org, group, record.customer).get(STREAK_PERIOD)
        if before and before.enrolled:
            return Refused(310119)
        resets = record.reset and before is not None
        after = _enrolled(before, self.now(), 0 if resets else None, enrolls=1)
        if resets:
            after = after._replace(resets=after.resets + 1)
        self.state.write(Membership(org, group.id, group.target, record.customer), {STREAK_PERIOD: after})
        return None

    def _period(self, group: TargetGroup, name: str | None) -> Period | Refused:
        if name is None:
            match self.switches.missing_period:
                case MissingPeriod.CURRENT:
                    still_open = group.open_periods(self.today())
                    return still_open[0] if still_open else Refused(310019)
                case code:
                    return Refused(int(code))
        fold = str.casefold if self.switches.period_ignores_case else str
        for period in group.periods:
            if fold(period.ref_code) == fold(name):
                return period
        return Refused(310019)

    def unenroll(self, org: int, group_id: int, target_id: int, record: Record) -> Refused | None:
        """Take one customer out of the current and all later cycles, or of the streak; None when done."""
        group = self.find(group_id, target_id)
        if isinstance(group, Refused):
            return group
        if not customer_exists(record.customer):
            return Refused(310011)
        names = {STREAK_PERIOD} if group.is_streak else {p.ref_code for p in group.open_periods(self.today())}
        stands = self.standing(org, group, record.customer)
        now = self.now()
        changed = {
            name: e._replace(enrolled=False, unenrolls=e.unenrolls + 1, updated_at=now)
            for name, e in stands.items()
            if e.enrolled and name in names
        }
        if not changed:
            code = self.switches.unenroll_of_non_member
            return None if code is None else Refused(code)
        self.state.write(Membership(org, group.id, group.target, record.customer), changed)
        return None


def _enrolled(before: Enrolment | None, now: float, balance: int | None, *, enrolls: int) -> Enrolment:
    """Return the place as it stands once enrolled: a balance replaces the old value, None resumes it."""
    old = before or Enrolment(enrolled=False, balance=0)
    value = old.balance if balance is None else balance
    return old._replace(enrolled=True, balance=value, enrolls=old.enrolls + enrolls, enrolled_at=now, updated_at=now)
