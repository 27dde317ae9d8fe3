"""Step 5 of 5: how a run went over time: what started when, how fast that was allowed, and what happened meanwhile.

Pure: events and counted activity become about a hundred stretches of equal length, pauses between invocations left
out. Reads the facts of the events that the sender wrote; knows no chart, no page and no clock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from batch.model import GROUP_OF, Group
from batch.report.allowed_rate import OPENING, Step, allowed_steps, average_per_s, set_rates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from batch.model import Activity, Event, Outcome, RunFacts

SECOND_NS = 1_000_000_000
STRETCHES = 100
"""About so many stretches. Source: our choice, because a chart on a phone shows no more."""
MOST_STRETCHES = 120
"""And never more, also when a run was resumed many times."""
ENOUGH_ATTEMPTS = 20
"""So many in a stretch on average, because with fewer the rate seems to jump up and down."""

_WIDTHS_MS = (
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000,
    3_600_000, 7_200_000, 14_400_000, 21_600_000, 43_200_000, 86_400_000, 604_800_000,
)  # fmt: skip
_CLOSING = frozenset({"stopped", "finished"})
_DRAWN = frozenset({"rate", "hold"})
"""Events that are a line or a band; all others are marks."""


@dataclass(frozen=True, slots=True)
class Session:
    """One invocation that sent, from its first to its last moment. Times are nanoseconds since 1970 UTC."""

    begin: int
    end: int


@dataclass(slots=True)
class Stretch:
    """A piece of time, always of the timeline's width."""

    begin: int
    attempts: int = 0
    pushed_back: int = 0
    """Attempts that the API refused by 429 or 503; they stand in `tried_again` or `brought` too."""
    tried_again: int = 0
    """Attempts that settled nothing."""
    brought: Counter[Group] = field(default_factory=Counter)
    """Attempts by the group of the outcome that they settled."""
    settled: Counter[Outcome] = field(default_factory=Counter)
    """Requests by their outcome, where their attempt started, or where they were settled without one."""
    held_ns: int = 0
    """For how long nothing might start, because the API asked for it or did not answer."""
    allowed_per_s: float | None = None
    """The rate in force, averaged over the stretch; infinite: no limit; None: not known."""
    marks: list[Event] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Timeline:
    """How a run went: its stretches in order, without the pauses between them."""

    width_ns: int
    stretches: tuple[Stretch, ...]
    pauses: tuple[tuple[int, int], ...]
    """Index of the stretch that follows a pause, and how long the pause was, in nanoseconds."""
    timeless: int
    """Attempts of which nobody knows when they started, because the sender died."""
    hold_count: int
    held_ns: int
    rate_changes: int
    set_per_s: float | None
    """The rate that was set; infinite: no limit; None: not known."""
    least_allowed_per_s: float | None
    """The lowest rate that was in force, in the same way."""
    set_rates: tuple[float, ...] = ()
    """The rates that invocations were begun with, where they are known, each once as long as it stays the same."""

    @property
    def width_s(self) -> float:
        """The length of a stretch in seconds."""
        return self.width_ns / SECOND_NS

    @property
    def pushed_back(self) -> int:
        """Attempts that the API refused by 429 or 503."""
        return sum(stretch.pushed_back for stretch in self.stretches)

    @property
    def busiest_per_s(self) -> float:
        """Attempts per second in the busiest stretch."""
        return self.busiest_count / self.width_s

    @property
    def busiest_count(self) -> int:
        """Attempts in the busiest stretch."""
        return max((stretch.attempts for stretch in self.stretches), default=0)


def draw_timeline(
    run: RunFacts,
    events: Sequence[Event],
    set_per_s: float | None,
    attempts: int,
    activity: Callable[[int, int], Iterable[Activity]],
    last_activity: Callable[[int | None], int | None],
) -> Timeline:
    """Return how the run went over time.

    `set_per_s` is the rate that was set, infinite for no limit, None where it is not known; `attempts` is their count.
    `activity(origin, width_ns)` counts what happened, and `last_activity(before)` tells when something last happened: a
    sender that died wrote no event about it.
    """
    sessions = find_sessions(run, events, last_activity)
    if not sessions:
        return Timeline(_WIDTHS_MS[3] * 1_000_000, (), (), 0, 0, 0, 0, set_per_s, set_per_s)
    width = _width(sessions, attempts)
    origin = sessions[0].begin
    places = sorted(_places(sessions, width))
    ordered = tuple(Stretch(origin + place * width) for place in places)
    timeless = _count_all(ordered, places, width, activity(origin, width))
    steps = allowed_steps(events, set_per_s)
    _mark(ordered, width, events, list(_holds(events)), steps)
    rates = [step.per_s for step in steps if step.per_s is not None]
    return Timeline(
        width_ns=width,
        stretches=ordered,
        pauses=_pauses(places, width),
        timeless=timeless,
        hold_count=sum(event.kind == "hold" for event in events),
        held_ns=sum(stretch.held_ns for stretch in ordered),
        rate_changes=sum(event.kind == "rate" for event in events),
        set_per_s=set_per_s,
        least_allowed_per_s=min(rates, default=None),
        set_rates=set_rates(events, set_per_s),
    )


def find_sessions(
    run: RunFacts, events: Iterable[Event], last_activity: Callable[[int | None], int | None]
) -> tuple[Session, ...]:
    """Return the invocations that sent, in order; one that died ends with the last thing that it recorded."""
    sessions: list[Session] = []
    begin: int | None = None
    for event in events:
        if event.kind in OPENING:
            if begin is not None:
                sessions.append(Session(begin, max(begin, last_activity(event.at) or begin)))
            begin = event.at
        elif event.kind in _CLOSING and begin is not None:
            sessions.append(Session(begin, max(begin, event.at)))
            begin = None
    if begin is None and not sessions:
        begin = run.started_at
    if begin is not None:
        sessions.append(Session(begin, max(begin, last_activity(None) or begin)))
    return tuple(sorted(sessions, key=lambda session: session.begin))


def _width(sessions: Sequence[Session], attempts: int) -> int:
    """Return the first of the usual lengths that gives few stretches, with enough attempts in each."""
    total = sum(session.end - session.begin for session in sessions)
    most = min(STRETCHES, max(1, attempts // ENOUGH_ATTEMPTS))
    for width_ms in _WIDTHS_MS:
        width = width_ms * 1_000_000
        if total <= most * width and len(_places(sessions, width)) <= MOST_STRETCHES:
            return width
    return (sessions[-1].end - sessions[0].begin) // STRETCHES + 1


def _places(sessions: Sequence[Session], width: int) -> set[int]:
    """Return the numbers of the stretches that the sessions touch, counted from the first session's begin."""
    origin = sessions[0].begin
    places: set[int] = set()
    for session in sessions:
        places.update(range((session.begin - origin) // width, (session.end - origin) // width + 1))
    return places


def _index(places: Sequence[int], place: int) -> int:
    """Return where a place stands, or the one before it: something may be said to have happened in a pause."""
    return max(0, bisect_right(places, place) - 1)


def _pauses(places: Sequence[int], width: int) -> tuple[tuple[int, int], ...]:
    """Return where places are left out between two stretches: the index of the later one, and for how long."""
    return tuple(
        (index, (place - before - 1) * width)
        for index, (before, place) in enumerate(pairwise(places), start=1)
        if place > before + 1
    )


def _count_all(stretches: Sequence[Stretch], places: Sequence[int], width: int, activity: Iterable[Activity]) -> int:
    """Add what happened to the stretches where it did, and return the attempts of which nobody knows when."""
    timeless = 0
    for each in activity:
        if each.begin is None:
            timeless += each.attempts
        else:
            _count(stretches[_index(places, (each.begin - stretches[0].begin) // width)], each)
    return timeless


def _count(stretch: Stretch, each: Activity) -> None:
    stretch.attempts += each.attempts
    stretch.pushed_back += each.pushed_back
    if each.outcome is None:
        stretch.tried_again += each.attempts
    else:
        stretch.brought[GROUP_OF[each.outcome]] += each.attempts
        stretch.settled[each.outcome] += each.requests


def _holds(events: Iterable[Event]) -> Iterator[tuple[int, int]]:
    """Yield the times when nothing might start, joined where they overlap: (begin, end), in order."""
    begin = end = 0
    for event in sorted(events, key=lambda event: event.at):
        held_s = event.number("held_s")
        if event.kind != "hold" or held_s is None:
            continue
        until = event.at + round(held_s * SECOND_NS)
        if event.at > end:
            if end:
                yield begin, end
            begin = event.at
        end = max(end, until)
    if end:
        yield begin, end


def _mark(
    stretches: Sequence[Stretch],
    width: int,
    events: Iterable[Event],
    holds: Iterable[tuple[int, int]],
    steps: Sequence[Step],
) -> None:
    """Write holds, rates and other events into the stretches where they belong."""
    begins = [stretch.begin for stretch in stretches]
    for begin, end in holds:
        for stretch in stretches[max(0, bisect_right(begins, begin) - 1) : bisect_right(begins, end)]:
            stretch.held_ns += max(0, min(end, stretch.begin + width) - max(begin, stretch.begin))
    for stretch in stretches:
        stretch.allowed_per_s = average_per_s(steps, stretch.begin, stretch.begin + width)
    for event in events:
        if event.kind not in _DRAWN and stretches:
            stretches[max(0, bisect_right(begins, event.at) - 1)].marks.append(event)
