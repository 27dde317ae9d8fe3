"""What the API's cycles mean for a plan: which of them a config's `cycles: api` names, and what is wrong with others.

Pure: what the API said, and today's date, are arguments.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from batch.capillary.target_groups import Cycle, Target


@dataclass(frozen=True, slots=True)
class ChosenCycles:
    """Names of cycles, each once, by their first day; `note` says which were left out, and which are not alone."""

    names: tuple[str, ...]
    note: str = ""


def choose_cycles(group: int, cycles: Sequence[Cycle], expand: str, today: dt.date) -> ChosenCycles:
    """Return the cycles that `expand` (each, first, current) takes of those that are active and not over.

    `cycles` are all of the target group `group`, by their first day. A request names its cycle by nothing but the name,
    so several of one name are one request.

    Raises:
        ConfigError: there is none, or more than one is current.
    """
    usable = [cycle for cycle in cycles if cycle.is_active and not cycle.is_over(today)]
    if not usable:
        raise ConfigError(f"campaign.cycles: api: no cycle of target group {group} is running or to come")
    chosen = usable
    if expand == "first":
        chosen = usable[:1]
    elif expand == "current":
        chosen = [cycle for cycle in usable if cycle.is_running(today)]
        if not chosen:
            raise ConfigError(
                f"campaign.expand: current: no cycle of target group {group} is running today; {usable[0].name} "
                f"begins on {usable[0].start}"
            )
        if len({cycle.name for cycle in chosen}) > 1:
            running = ", ".join(cycle.name for cycle in chosen)
            raise ConfigError(
                f"campaign.expand: current: several cycles are running today: {running}; list one of them"
            )
    names = tuple(dict.fromkeys(cycle.name for cycle in chosen))
    return ChosenCycles(names, "; ".join(filter(None, [_left_out(cycles, usable), _not_alone(names, usable)])))


def _left_out(cycles: Sequence[Cycle], usable: Sequence[Cycle]) -> str:
    """Say which names stand for no cycle that is running or to come."""
    names = {cycle.name: None for cycle in cycles if cycle.name not in {each.name for each in usable}}
    return f"left out, because they are over or not active: {', '.join(names)}" if names else ""


def _not_alone(names: Iterable[str], usable: Sequence[Cycle]) -> str:
    """Say which of these names several cycles have."""
    counts = Counter(cycle.name for cycle in usable)
    return "; ".join(
        f'{counts[name]} cycles of the target group are called "{name}": it is sent once, and the API decides which '
        "of them is meant"
        for name in names
        if counts[name] > 1
    )


@dataclass(frozen=True, slots=True)
class PlanFinding:
    """One line about what is planned, as the API knows it."""

    is_good: bool
    """False only where the API knows of a fault, and not where it cannot be asked."""
    text: str


def check_cycles(cycles: Sequence[Cycle], names: Iterable[str], today: dt.date) -> list[PlanFinding]:
    """Return what the API says of these cycles of a group: unknown, over, not active, to come, running.

    Of several cycles of one name the most useful speaks.
    """
    known = {cycle.name: cycle for cycle in sorted(cycles, key=lambda cycle: _usefulness(cycle, today))}
    return [_finding(name, known.get(name), list(known), today) for name in names]


def _usefulness(cycle: Cycle, today: dt.date) -> tuple[bool, bool, bool]:
    return cycle.is_active, not cycle.is_over(today), cycle.is_running(today)


def check_targets(group: int, targets: Sequence[Target], target_ids: Iterable[int]) -> list[PlanFinding]:
    """Return what the API says of these targets of a group."""
    known = {target.target_id: target for target in targets}
    found = []
    for target_id in target_ids:
        where = f"target {target_id} of group {group}"
        if target_id not in known:
            others = ", ".join(map(str, known)) or "none"
            found.append(PlanFinding(is_good=False, text=f"{where} does not exist; the group has: {others}"))
        elif not known[target_id].is_active:
            found.append(PlanFinding(is_good=False, text=f"{where} is not active"))
        else:
            found.append(PlanFinding(is_good=True, text=f"{where} is active"))
    return found


def _finding(name: str, cycle: Cycle | None, known: list[str], today: dt.date) -> PlanFinding:
    if cycle is None:
        near = difflib.get_close_matches(name, known, 1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        return PlanFinding(is_good=False, text=f'cycle "{name}": the target group has no such cycle{hint}')
    if not cycle.is_active:
        return PlanFinding(is_good=False, text=f'cycle "{name}" is not active')
    if cycle.is_over(today):
        return PlanFinding(is_good=False, text=f'cycle "{name}" is over since {cycle.end}')
    if cycle.is_running(today):
        return PlanFinding(is_good=True, text=f'cycle "{name}" is running, until {cycle.end}')
    return PlanFinding(is_good=True, text=f'cycle "{name}" begins on {cycle.start}')
