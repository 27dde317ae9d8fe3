"""Step 4 of 5: how slots lie when several runs share a rate.

Pure arithmetic on integer nanoseconds of one monotonic clock. Owns what the rows of the shared file mean; does not
know the file, nor who is alive.

Why no window holds more than N starts, and one more for each process. Slots are an interval apart, and a start is at
most the tolerance behind its slot, so the starts in a window come from the slots in a window and a tolerance; the
interval is such that those are N and one for each run. A run that is alone has the exact interval: it keeps a log of
its last N starts instead. When runs come or go, a new epoch makes all reserved slots void and leaves a gap as long as
the tolerance before it, so that late starts of the one epoch do not meet those of the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from batch.sending.pacing import LATE_NS

AHEAD_NS = 50_000_000
"""All runs together reserve so far ahead, where it holds more than one slot for each."""
GAP_NS = LATE_NS + 5_000_000
"""The gap between two epochs: the tolerance of a run that was alone, and the age that a `now` may have."""
LONGEST_HOLD_NS = 2 * 3600 * 1_000_000_000
"""A longer hold was asked for in another boot. Source: our choice, twice the longest Retry-After that is obeyed."""


@dataclass(frozen=True, slots=True)
class Sharer:
    """A run that shares a budget. `max_starts` and `window_ns` are its rate as set, None without a limit.

    `interval_ns` is the time between two starts that it wants now: at least that of its rate, 0 without a limit.
    """

    budget: str
    run_id: str
    pid: int
    born: str
    """Tells the process from a later one with its number."""
    max_starts: int | None
    window_ns: int | None
    interval_ns: int
    seen_at: int

    @property
    def host(self) -> str:
        """The API that the budget is for: scheme, host and port."""
        return self.budget.partition(" ")[0]


@dataclass(frozen=True, slots=True)
class PaceRow:
    """What all runs of a budget have in common."""

    next_slot: int = 0
    """The first slot that nobody has reserved."""
    held_until: int = 0
    epoch: int = 0
    sharer_count: int = 0

    def with_new_epoch(self, interval_ns: int, now: int) -> PaceRow:
        """Return it with all reserved slots void. Those up to `now` may have been used; the last may be late."""
        next_slot = min(self.next_slot, now + interval_ns) + GAP_NS
        return replace(self, next_slot=next_slot, epoch=self.epoch + 1)


@dataclass(frozen=True, slots=True)
class Reserved:
    """Slots of one run that it has not used yet: from `slot` up to `end`, an interval apart; true while there are."""

    slot: int = 0
    end: int = 0
    interval_ns: int = 0
    tolerance_ns: int = 0

    def __bool__(self) -> bool:
        return self.slot < self.end

    @property
    def count(self) -> int:
        """How many slots are left."""
        return (self.end - self.slot) // self.interval_ns if self else 0

    def usable(self, now: int, held_until: int) -> Reserved:
        """Return them without those that were missed or are held."""
        least = min(max(now - self.tolerance_ns, held_until), self.end)
        if self.slot >= least:
            return self
        return self.without(-(-(least - self.slot) // self.interval_ns))

    def without(self, count: int) -> Reserved:
        """Return them without the first `count`."""
        return replace(self, slot=self.slot + count * self.interval_ns)

    def given_back(self, row: PaceRow) -> PaceRow:
        """Return the row with these slots free again, where nobody has reserved behind them."""
        return replace(row, next_slot=self.slot) if self and self.end == row.next_slot else row


@dataclass(frozen=True, slots=True)
class Regime:
    """How slots lie while the same runs share."""

    interval_ns: int
    tolerance_ns: int
    sharer_count: int

    def is_beyond(self, row: PaceRow, now: int) -> bool:
        """Return whether the queue of slots is longer than these runs can have made it.

        So it is when a slower run has left, when the dead have reserved, and where times are of another boot.
        """
        latest = max(now, row.held_until) + AHEAD_NS + (self.sharer_count + 1) * self.interval_ns
        return row.next_slot > latest

    def reserve(self, row: PaceRow, now: int, count: int) -> Reserved:
        """Return the next slots behind those that are reserved: `count`, but at most one run's part of the lookahead.

        A grid that has fallen behind by more than the tolerance starts anew: nothing is caught up.
        """
        count = min(count, max(1, AHEAD_NS // self.sharer_count // self.interval_ns))
        first = row.next_slot if now - row.next_slot <= self.tolerance_ns else now
        first = max(first, row.held_until)
        return Reserved(first, first + count * self.interval_ns, self.interval_ns, self.tolerance_ns)


def regime_of(sharers: Sequence[Sharer]) -> Regime:
    """Return how slots lie when these runs share: the slowest of them decides.

    A tolerance of up to an interval for each run costs no rate. What is beyond is paid with a slightly longer interval,
    so it is at most a hundredth of the shortest window.
    """
    count = len(sharers)
    interval_ns = max(sharer.interval_ns for sharer in sharers)
    if count == 1 or not interval_ns:
        return Regime(interval_ns, LATE_NS, count)
    rates = [(sharer.max_starts, sharer.window_ns) for sharer in sharers if sharer.max_starts and sharer.window_ns]
    affordable_ns = min([LATE_NS, *(window_ns // 100 for _, window_ns in rates)])
    tolerance_ns = max(affordable_ns, min(count * interval_ns, 5 * LATE_NS))
    for max_starts, window_ns in rates:
        interval_ns = max(interval_ns, -(-(window_ns + tolerance_ns) // (max_starts + count)))
    return Regime(interval_ns, tolerance_ns, count)
