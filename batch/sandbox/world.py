"""The simulated organisation: its target groups, cycles and customers, all by rule.

Pure: it knows no state and no clock. Dates count from the day on which the world was born, which the state keeps.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from enum import StrEnum

PARENT_ORG = 50671
CHILD_ORGS = (50672, 50673)
MILESTONE = 29463
MILESTONE_TARGET = 5512
OLD_MILESTONE = 29464
STOPPED_MILESTONE = 29466
STREAK = 29501
STREAK_TARGET = 5601
FORMER_BALANCE = 120
FORMER_STREAK_COUNT = 3
TARGET_VALUE = 1000

WORLD_HELP = f"""The simulated organisation:

  group {MILESTONE}, target {MILESTONE_TARGET}   milestone of ten monthly cycles:
                              PERIOD_G_{MILESTONE}_1 (now) to _10
  group {OLD_MILESTONE}, target 5513   milestone of four monthly cycles:
                              PERIOD_G_{OLD_MILESTONE}_1 is over, _2 is now
  group {STOPPED_MILESTONE}, target 5515   a deactivated milestone: 310017
  group {STREAK}, target {STREAK_TARGET}   a streak
  organisations   {PARENT_ORG} (ours), with its children {CHILD_ORGS[0]} and {CHILD_ORGS[1]};
                  all have the same groups
  customers       every id from 1 up, but for those ending in 99 (310011)
  look-ups        mobile 91 and ten digits, e-mail NAME123@..., external id
                  EXT-123: the digits are the customer id"""


@dataclass(frozen=True, slots=True)
class Period:
    """One cycle of a target group. `ref_code` is what the wire calls periodName; both dates are within it."""

    id: int
    ref_code: str
    start: dt.date
    end: dt.date

    def status(self, today: dt.date) -> str:
        """Return periodStatus. Source: docs.capillarytech.com/reference/get-target-periods."""
        if today < self.start:
            return "NOT_STARTED"
        return "ENDED" if today > self.end else "RUNNING"


@dataclass(frozen=True, slots=True)
class TargetGroup:
    """A milestone or streak with its cycles in order; a streak has none."""

    id: int
    name: str
    target: int
    target_name: str
    periods: tuple[Period, ...]
    active: bool = True

    @property
    def is_streak(self) -> bool:
        """Whether this group has no cycles to name."""
        return not self.periods

    def open_periods(self, today: dt.date) -> tuple[Period, ...]:
        """Return the current cycle and all later ones."""
        return tuple(period for period in self.periods if period.end >= today)


class Past(StrEnum):
    """What a customer had been before anybody called this API."""

    NOBODY = "nobody"
    MEMBER = "member"
    FORMER_MEMBER = "former member"


def build_world(born_on: dt.date) -> dict[int, TargetGroup]:
    """Return the target groups by id, with dates around `born_on`."""
    groups = (
        TargetGroup(MILESTONE, "Festive spend", MILESTONE_TARGET, "Spend 1000", _months(MILESTONE, born_on, 0, 10)),
        TargetGroup(OLD_MILESTONE, "Quarterly visits", 5513, "Visit 1000", _months(OLD_MILESTONE, born_on, -1, 4)),
        TargetGroup(
            STOPPED_MILESTONE,
            "Spring spend",
            5515,
            "Spend 500",
            _months(STOPPED_MILESTONE, born_on, -2, 6),
            active=False,
        ),
        TargetGroup(STREAK, "Weekly shopper", STREAK_TARGET, "Four weeks in a row", ()),
    )
    return {group.id: group for group in groups}


def _months(group: int, born_on: dt.date, offset: int, count: int) -> tuple[Period, ...]:
    periods = []
    for n in range(1, count + 1):
        start = _first_of_month(born_on, offset + n - 1)
        end = _first_of_month(born_on, offset + n) - dt.timedelta(days=1)
        periods.append(Period(group * 100 + n, f"PERIOD_G_{group}_{n}", start, end))
    return tuple(periods)


def _first_of_month(day: dt.date, months_later: int) -> dt.date:
    month = day.year * 12 + day.month - 1 + months_later
    return dt.date(month // 12, month % 12 + 1, 1)


def customer_exists(customer: int) -> bool:
    """Say whether the organisation knows this customer id."""
    return 1 <= customer < 2**63 and customer % 100 != 99


def past_of(customer: int, *, preload: bool) -> Past:
    """Return what this customer had been in every group before anybody called this API."""
    if preload and customer % 100 in {7, 57}:
        return Past.MEMBER
    if preload and customer % 100 in {11, 61}:
        return Past.FORMER_MEMBER
    return Past.NOBODY


_IDENTIFIERS = {
    "mobile": re.compile(r"91(\d{10})"),
    "email": re.compile(r"[^@\d]*(\d+)@[^@]+"),
    "externalId": re.compile(r"EXT-(\d+)"),
}


def look_up(identifier: str, value: str) -> int | None:
    """Return the id of the customer whom `identifier` (mobile, email or externalId) names; None if there is none.

    Raises: ValueError when there is no such identifier, or `value` cannot be one.
    """
    pattern = _IDENTIFIERS.get(identifier)
    match = pattern.fullmatch(value) if pattern else None
    if match is None:
        raise ValueError(identifier)
    customer = int(match[1])
    return customer if customer_exists(customer) else None
