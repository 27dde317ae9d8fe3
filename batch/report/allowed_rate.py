"""Step 5 of 5: how fast a run was allowed to go, and when: what was set, what lowered it, and how it grew back.

Pure. Reads the facts of the events that the sender wrote; knows no stretch, no chart and no clock. Rates are per
second: infinite is no limit, None is not known.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from batch.model import Event

OPENING = frozenset({"started", "resumed"})
"""Events that begin an invocation; they tell the rate that was set."""


@dataclass(frozen=True, slots=True)
class Step:
    """From when on which rate was in force, and to which it grew until the next step."""

    since: int
    per_s: float | None
    grown_per_s: float | None


def allowed_steps(events: Iterable[Event], set_per_s: float | None) -> list[Step]:
    """Return which rate was in force when, in order. Each invocation begins with the rate that was set.

    `set_per_s` is what holds where an invocation does not tell it.

    A rate that was lowered grows steadily, and is told only now and then: between two told rates it is on its way.
    """
    first = next((_set_by(event, set_per_s) for event in events if event.kind in OPENING), set_per_s)
    told: list[tuple[int, float | None, bool]] = [(0, first, False)]
    for event in sorted(events, key=lambda event: event.at):
        per_s = event.number("per_s")
        if event.kind == "rate" and per_s is not None:
            told.append((event.at, per_s, True))
        elif event.kind in OPENING:
            told.append((event.at, _set_by(event, set_per_s), False))
    steps = []
    for (since, per_s, _), (_, next_per_s, is_change) in pairwise([*told, (0, None, False)]):
        grows = is_change and per_s is not None and next_per_s is not None and next_per_s > per_s
        steps.append(Step(since, per_s, next_per_s if grows else per_s))
    return steps


def set_rates(events: Iterable[Event], set_per_s: float | None) -> tuple[float, ...]:
    """Return the rates that invocations were begun with, where known, each once as long as it stays the same."""
    set_by_each = [_set_by(event, set_per_s) for event in events if event.kind in OPENING]
    return tuple(rate for rate, _ in groupby(rate for rate in set_by_each if rate is not None))


def _set_by(opening: Event, set_per_s: float | None) -> float | None:
    """Return the rate that an invocation was begun with, as its first event tells it; else the one that was set."""
    max_starts, window_s = opening.number("max_starts"), opening.number("window_s")
    if max_starts is not None and window_s:
        return max_starts / window_s
    return math.inf if "max_starts" in opening.facts else set_per_s


def average_per_s(steps: Sequence[Step], begin: int, end: int) -> float | None:
    """Return the rate in force, averaged over a stretch; None where it is not known for a part of it."""
    first = bisect_right(steps, begin, key=lambda step: step.since) - 1
    total = 0.0
    for index in range(first, len(steps)):
        step, ends = steps[index], steps[index + 1].since if index + 1 < len(steps) else end
        since, until = max(begin, step.since), min(end, ends)
        if since >= end:
            break
        if step.per_s is None or step.grown_per_s is None:
            return None
        total += (until - since) * (_rate_at(step, ends, since) + _rate_at(step, ends, until)) / 2
    return total / (end - begin)


def _rate_at(step: Step, ends: int, at: int) -> float:
    low, high = step.per_s or 0.0, step.grown_per_s or 0.0
    return low if low == high else low + (high - low) * (at - step.since) / (ends - step.since)
