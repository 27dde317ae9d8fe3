"""Before a run: the API is asked whether it knows the config's target group, its target and its cycles.

Where the API does not tell, that is said, and it is wrong only where a run could not do without it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.capillary.target_groups import UnreadableEntry, is_not_allowed, read_targets, targets_path
from batch.errors import ConfigError
from batch.model import Kind, NoAnswer, Outcome, Reply
from batch.run.checks import Check, Status, ok, wrong
from batch.run.cycles import check_cycles, check_targets, choose_cycles

if TYPE_CHECKING:
    import datetime as dt

    from batch.capillary.target_groups import Cycle
    from batch.config import Settings
    from batch.model import Verdict
    from batch.run.cycles import PlanFinding


@dataclass(frozen=True, slots=True)
class TargetChecks:
    """The checks of one target group on one day; `read` brings the answer from a path, in its turn."""

    settings: Settings
    group: int
    day: dt.date
    read: Callable[[str], Awaitable[Reply | NoAnswer]]

    async def checks(self, verdict: Verdict, cycles: tuple[Cycle, ...] | None, why_not: str) -> AsyncIterator[Check]:
        """Yield what the API says, from group to cycles.

        It was asked for the cycles before: `verdict` and `cycles` are what came of it, and `why_not` goes on after "the
        API" where it lists none.
        """
        campaign, group = self.settings.campaign, self.group
        if self.settings.scope.data_scope == "OTHER":
            text = f"{group} belongs to another organisation; no page documents that the API can be asked about it"
            yield Check("target group", Status.UNKNOWN, text)
            return
        if verdict.outcome is Outcome.TARGET_NOT_FOUND:
            text = f"target group {group} does not exist or is deactivated; check campaign.target_group_id"
            yield wrong("target group", text, 2)
            return
        if cycles is None:
            yield Check("target group", Status.UNKNOWN, f"the API {why_not}")
            if campaign.cycles == "api":
                text = "only the API knows them, and it cannot be asked; write campaign.cycles out"
                yield wrong("cycles", text, 10 if is_not_allowed(verdict) else 2)
            return
        yield ok("target group", f"{group} has {len(cycles)} cycle{'' if len(cycles) == 1 else 's'}")
        if campaign.target_id is not None:
            yield await self._target(campaign.target_id)
        if campaign.cycles == "api" and campaign.kind == Kind.MILESTONE:
            yield _chosen(group, cycles, campaign.expand, self.day)
        elif campaign.cycle_names and campaign.kind == Kind.MILESTONE:
            yield _found("cycles", check_cycles(cycles, campaign.cycle_names, self.day), "campaign.cycles")

    async def _target(self, target_id: int) -> Check:
        try:
            targets = read_targets(await self.read(targets_path(self.group)))
        except UnreadableEntry as fault:
            return Check("target", Status.UNKNOWN, f"the targets of this group cannot be read ({fault})")
        if targets is None:
            return Check("target", Status.UNKNOWN, "the API does not list the targets of this group")
        return _found("target", check_targets(self.group, targets, [target_id]), "campaign.target_id")


def _chosen(group: int, cycles: tuple[Cycle, ...], expand: str, day: dt.date) -> Check:
    try:
        chosen = choose_cycles(group, cycles, expand, day)
    except ConfigError as error:
        return wrong("cycles", error.text, error.exit_code)
    return ok("cycles", f"by the API: {', '.join(chosen.names)}")


def _found(name: str, findings: list[PlanFinding], key: str) -> Check:
    """Return one line of several findings: what is wrong with the first that is not good, else how many are."""
    bad = [finding.text for finding in findings if not finding.is_good]
    if bad:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        return wrong(name, f"{bad[0]}{more}; check {key}", 2)
    return ok(name, findings[0].text if len(findings) == 1 else f"the target group has all {len(findings)}")
