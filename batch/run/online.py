"""What planning asks the API: which cycles `cycles: api` means, and what `plan --online` says about a plan.

Joins the API's answers with the plan in the ledger.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import defaultdict
from typing import TYPE_CHECKING, assert_never

from batch.errors import AccessRefused, ApiSilent, ConfigError
from batch.run.cycles import ChosenCycles, PlanFinding, check_cycles, check_targets, choose_cycles
from batch.run.group_facts import NotTold, Why
from batch.run.hours import zone_of
from batch.sending.window import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from batch.config import Settings
    from batch.run.group_facts import GroupFacts
    from batch.run.opening import OpenRun

MOST_GROUPS = 20
"""Source: our choice; each costs two calls."""


class CyclesOfRun:
    """The cycles that rows are expanded over where no column names any; the API is asked at most once."""

    def __init__(self, settings: Settings, facts: GroupFacts, *, online: bool = True) -> None:
        """`online`: the API may be asked."""
        self._settings = settings
        self._facts = facts
        self.is_online = online
        self._chosen: ChosenCycles | None = None

    def named(self, roles: Mapping[str, int]) -> tuple[str, ...] | None:
        """Return the names of the cycles for a table with these columns of ours; None where a column has to.

        Raises:
            ConfigError: the API may not be asked, or as `cycles_from_api`.
        """
        campaign = self._settings.campaign
        if campaign.cycles != "api":
            return campaign.cycle_names
        enrolls = campaign.action == "enroll" or "action" in roles
        if "period_name" in roles or campaign.kind == "streak" or not enrolls:
            return None
        if not self.is_online:
            raise ConfigError("campaign.cycles: api: only the API knows the cycles; add --online")
        if self._chosen is None:
            self._chosen = cycles_from_api(self._settings, self._facts)
        return self._chosen.names

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know about the cycles that the API named."""
        if self._chosen is None:
            return ()
        told = f"cycles by the API: {', '.join(self._chosen.names)}"
        return (told, self._chosen.note) if self._chosen.note else (told,)


def cycles_from_api(settings: Settings, facts: GroupFacts) -> ChosenCycles:
    """Ask for the cycles of the config's target group, and choose as `campaign.expand` says.

    Raises:
        ConfigError: there is no such group or cycle, or the API cannot be asked. ApiSilent.
        AccessRefused: the API refuses the credentials, or they may not read.
    """
    campaign = settings.campaign
    group = campaign.target_group_id
    if group is None:
        raise ConfigError("campaign.cycles: api needs campaign.target_group_id; a column may name any group")
    facts.ask(cycles_of=[group])
    cycles = facts.cycles[group]
    if isinstance(cycles, NotTold):
        raise _no_cycles(cycles)
    return choose_cycles(group, cycles, campaign.expand, today(settings, time.time_ns()))


def _no_cycles(why: NotTold) -> ConfigError | AccessRefused:
    """Return the error of `cycles: api`, which has no way on without the cycles."""
    text = f"campaign.cycles: api: {why.text}"
    match why.why:
        case Why.NO_SUCH_GROUP:
            return ConfigError(text)
        case Why.NOT_ALLOWED:
            return AccessRefused(f"{text}, or write campaign.cycles out")
        case Why.CANNOT_BE_ASKED:
            return ConfigError(f"{text}; write campaign.cycles out")
        case never:
            assert_never(never)


def check_online(run: OpenRun, facts: GroupFacts) -> list[PlanFinding]:
    """Return what the API says of the groups, targets and cycles of the plan in the ledger, a finding a line.

    That it cannot be asked is said too, and is no fault of the plan's.
    """
    planned: defaultdict[int, tuple[dict[int, None], dict[str, None]]] = defaultdict(lambda: ({}, {}))
    for group, target, period in run.ledger.read(
        "SELECT DISTINCT target_group_id, target_id, p.name FROM request r JOIN scope USING (scope_no)"
        " LEFT JOIN period p USING (period_no) WHERE NOT contradicted AND org_id IS NULL ORDER BY r.request_no"
    ):
        targets, periods = planned[group]
        targets[target] = None
        if period is not None:
            periods[period] = None
    groups = list(planned)[:MOST_GROUPS]
    silence = []
    try:
        facts.ask(cycles_of=[group for group in groups if planned[group][1]], targets_of=groups)
    except (ApiSilent, AccessRefused) as error:
        unasked = f"what is not said here is not checked, because the API cannot be asked: {error.text}"
        silence.append(PlanFinding(is_good=True, text=unasked))
    found = []
    for group in groups:
        found += _findings(facts, group, *planned[group], today(run.settings, time.time_ns()))
    return found + silence + _not_asked(run, len(planned))


def _findings(
    facts: GroupFacts, group: int, target_ids: Iterable[int], periods: Iterable[str], day: dt.date
) -> list[PlanFinding]:
    """Return what was told of one group; a list that the API does not give is no fault of the plan's."""
    targets, cycles = facts.targets.get(group), facts.cycles.get(group)
    found = []
    if isinstance(targets, NotTold):
        found.append(_unchecked("targets", group, targets))
    elif targets is not None:
        found += check_targets(group, targets, target_ids)
    if isinstance(cycles, NotTold):
        found.append(_unchecked("cycles", group, cycles))
    elif cycles is not None:
        found += check_cycles(cycles, periods, day)
    return list(dict.fromkeys(found))


def _unchecked(what: str, group: int, why: NotTold) -> PlanFinding:
    unchecked = f"the {what} of target group {group} are not checked: " if why.why is Why.NOT_ALLOWED else ""
    return PlanFinding(is_good=why.why is not Why.NO_SUCH_GROUP, text=f"{unchecked}{why.text}")


def _not_asked(run: OpenRun, group_count: int) -> list[PlanFinding]:
    ((others,),) = run.ledger.read("SELECT count(DISTINCT org_id) FROM scope WHERE org_id IS NOT NULL")
    texts = []
    if others:
        texts.append("what belongs to another organisation is not checked: no page documents that the API can be asked")
    if group_count > MOST_GROUPS:
        texts.append(f"only the first {MOST_GROUPS} of {group_count} target groups are checked")
    return [PlanFinding(is_good=True, text=text) for text in texts]


def today(settings: Settings, now: int) -> dt.date:
    """Return the day that the clock on the wall shows in `pacing.time_zone`; `now` is nanoseconds since 1970."""
    return dt.datetime.fromtimestamp(now // SECOND_NS, zone_of(settings)).date()
