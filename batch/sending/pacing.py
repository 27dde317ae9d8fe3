"""Step 4 of 5: decide when the next request may start.

Owns the rate: at most `max_starts` starts in any window of `window_ns`, spaced evenly, without a burst at the
start, retries included; and the holds that a server asks for. Pure arithmetic on integer nanoseconds of one
monotonic clock: it never asks the time, never sleeps, and does not know what starts.

It promises starts, not arrivals: a server may see one more in a window where the way to it took shorter than before.
No room is left for that, because it would cost every run a part of its rate, and a 429 is obeyed anyway.
"""

from __future__ import annotations

from collections import deque

LATE_NS = 20_000_000
"""How late a start may be and still keep its place in the grid. A later one gives its missed slots up.

Source: our choice, because timers wake up to a few milliseconds late; without any tolerance each delay would be
lost for ever, with more of it a sleeping process would catch up in a burst.
"""


class Pacer:
    """Two calls: when may I start, and I have started.

    A grid of slots one interval apart keeps starts spaced; the log of the last `max_starts` real starts keeps the
    promise exact when real starts come late: start k is never less than a window after start k - max_starts.
    """

    def __init__(self, rate: tuple[int, int] | None) -> None:
        """`rate` is (max_starts, window_ns), or None for no limit."""
        self._window_ns = rate[1] if rate else 0
        self._least_interval_ns = -(-rate[1] // rate[0]) if rate else 0
        self.interval_ns = self._least_interval_ns
        """The time between two slots now."""
        self._starts: deque[int] = deque(maxlen=rate[0] if rate else 1)
        self._next_slot: int | None = None
        self._held_until = 0

    def next_start_at(self, now: int) -> int:
        """Return the earliest time, not before `now`, at which the next request may start."""
        at = max(now, self._held_until)
        if self._next_slot is not None:
            at = max(at, self._next_slot)
        if len(self._starts) == self._starts.maxlen:
            at = max(at, self._starts[0] + self._window_ns)
        return at

    def started(self, at: int) -> None:
        """Take note that a request started at `at`."""
        slot = self._next_slot if self._next_slot is not None else at
        kept = slot if at - slot <= LATE_NS else at
        self._next_slot = kept + self.interval_ns
        self._starts.append(at)

    def slow_to(self, interval_ns: int) -> None:
        """Space starts by `interval_ns` from now on, but never closer than the set rate."""
        self.interval_ns = max(self._least_interval_ns, interval_ns)

    @property
    def sharer_count(self) -> int:
        """How many runs share this pace: this one alone."""
        return 1

    def beat(self, now: int) -> None:
        """Do nothing: nobody shares this rate."""

    def close(self) -> None:
        """Do nothing: nobody shares this rate."""

    def hold_until(self, at: int) -> None:
        """Let nothing start before `at`; an earlier hold never shortens a later one."""
        self._held_until = max(self._held_until, at)

    @property
    def held_until(self) -> int:
        """The time before which the server wants nothing, 0 if it never asked."""
        return self._held_until
