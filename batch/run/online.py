"""What planning asks the API: which cycles `cycles: api` means, and what `plan --online` says about a plan.

Joins the API's answers with the plan in the ledger.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from batch.errors import AccessRefused, ApiSilent, ConfigError
from batch.run.cycles import ChosenCycles, Finding, check_cycles, check_targets, choose_cycles
from batch.run.group_facts import ask_about_groups

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch.config import Settings
    from batch.run.opening import OpenRun

MOST_GROUPS = 20
"""Source: our choice; each costs two calls."""


class CyclesOfRun:
    """The cycles that rows are expanded over where no column names any; the API is asked at most once."""

    def __init__(self, run: OpenRun, *, online: bool = True) -> None:
        """`online`: the API may be asked."""
        self._run = run
        self._online = online
        self._chosen: ChosenCycles | None = None

    def named(self, roles: Mapping[str, int]) -> tuple[str, ...] | None:
        """Return the names of the cycles for a table with these columns of ours; None where a column has to.

        Raises:
            ConfigError: the API may not be asked, or as `cycles_from_api`.
        """
        campaign = self._run.settings.campaign
        if campaign.cycles != "api":
            return campaign.cycle_names
        enrolls = campaign.action == "enroll" or "action" in roles
        if "period_name" in roles or campaign.kind == "streak" or not enrolls:
            return None
        if not self._online:
            raise ConfigError("campaign.cycles: api: only the API knows the cycles; add --online")
        if self._chosen is None:
            self._chosen = cycles_from_api(self._run)
        return self._chosen.names

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know about the cycles that the API named."""
        if self._chosen is None:
            return ()
        told = f"cycles by the API: {', '.join(self._chosen.names)}"
        return (told, self._chosen.note) if self._chosen.note else (told,)


def cycles_from_api(run: OpenRun) -> ChosenCycles:
    """Ask for the cycles of the config's target group, and choose as `campaign.expand` says.

    Raises:
        ConfigError: there is no such group or cycle, or the API cannot be asked. ApiSilent, AccessRefused.
    """
    campaign = run.settings.campaign
    if campaign.target_group_id is None:
        raise ConfigError("campaign.cycles: api needs campaign.target_group_id; a column may name any group")
    (facts,) = ask_about_groups(run, [campaign.target_group_id])
    return choose_cycles(facts, campaign.expand, _today(run.settings))


def check_online(run: OpenRun) -> list[Finding]:
    """Return what the API says of the groups, targets and cycles of the plan in the ledger, a finding a line."""
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
    found = []
    try:
        for facts in ask_about_groups(run, groups) if groups else []:
            targets, periods = planned[facts.target_group_id]
            if facts.refused:
                found.append(Finding(is_good=False, text=facts.refused))
            else:
                found += check_targets(facts, targets)
                found += check_cycles(facts, periods, _today(run.settings))
    except (ApiSilent, AccessRefused) as error:
        found.append(Finding(is_good=False, text=error.text))
    return found + _not_asked(run, len(planned))


def _not_asked(run: OpenRun, group_count: int) -> list[Finding]:
    ((others,),) = run.ledger.read("SELECT count(DISTINCT org_id) FROM scope WHERE org_id IS NOT NULL")
    texts = []
    if others:
        texts.append("what belongs to another organisation is not checked: no page documents that the API can be asked")
    if group_count > MOST_GROUPS:
        texts.append(f"only the first {MOST_GROUPS} of {group_count} target groups are checked")
    return [Finding(is_good=True, text=text) for text in texts]


def _today(settings: Settings) -> dt.date:
    return dt.datetime.now(ZoneInfo(settings.pacing.time_zone)).date()
