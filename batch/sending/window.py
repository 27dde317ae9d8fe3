"""Step 4 of 5: decide at what time of day a request may start: `pacing.window` and `--until`.

Pure: the time is an argument, in nanoseconds since 1970; local time comes from the time zone alone.

A window is what a clock on the wall shows: open is every moment at which that clock, in the zone, shows a time in
it. So nothing has to be decided where clocks change: an hour that is skipped opens nothing, and an hour that comes
twice is open twice. Source: our choice, because whoever asks for "not after six" looks at that clock.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

SECOND_NS = 1_000_000_000
DAY_S = 86_400
_LONGEST_SEARCH_S = 8 * DAY_S
"""No zone skips a time of day for so many days in a row."""


@dataclass(frozen=True, slots=True)
class Window:
    """From `opens_s` up to, and without, `closes_s` (seconds since midnight), over midnight where it closes earlier."""

    opens_s: int
    closes_s: int
    zone: dt.tzinfo

    def is_open(self, at: int) -> bool:
        """Return whether the clock on the wall shows a time in the window."""
        return self._is_within(_wall_s(at, self.zone))

    def change_after(self, at: int) -> int:
        """Return the first moment after `at` at which the window opens or closes; whole seconds.

        Between two changes of the clock the wall runs with the time, so only the next edge and the next change of
        the clock need a look.
        """
        was_open = self.is_open(at)
        seconds = at // SECOND_NS
        end = seconds + _LONGEST_SEARCH_S
        while seconds < end:
            offset = _offset_s(seconds, self.zone)
            wall = (seconds + offset) % DAY_S
            to_edge = min((edge - wall) % DAY_S or DAY_S for edge in (self.opens_s, self.closes_s))
            seconds = _first_other_offset(seconds, seconds + to_edge, self.zone) or seconds + to_edge
            if self.is_open(seconds * SECOND_NS) is not was_open:
                break
        return seconds * SECOND_NS

    @property
    def length_ns(self) -> int:
        """How long it is open on a day without a change of the clock."""
        return ((self.closes_s - self.opens_s) % DAY_S) * SECOND_NS

    def _is_within(self, wall_s: int) -> bool:
        if self.opens_s < self.closes_s:
            return self.opens_s <= wall_s < self.closes_s
        return wall_s >= self.opens_s or wall_s < self.closes_s


@dataclass(frozen=True, slots=True)
class Hours:
    """When requests may start: inside the window where there is one, and so that they end before `until`.

    `waits` False: the run does not wait for a window, so the end of the open one is the end of the run.
    """

    window: Window | None = None
    until: int | None = None
    waits: bool = True

    def start_at(self, at: int, lasting_ns: int) -> int | None:
        """Return the earliest moment, not before `at`, at which a request that lasts so long may start; None: never.

        In time is what ends before the window closes. A window that is shorter than two such requests is used by
        half, because else a slow API could never be asked again how slow it is.
        """
        start = self._in_window(at, lasting_ns)
        if not self.waits and self.window and start != at:
            return None
        return None if self.until is not None and start + lasting_ns > self.until else start

    def _in_window(self, at: int, lasting_ns: int) -> int:
        if self.window is None:
            return at
        lasting_ns = min(lasting_ns, self.window.length_ns // 2)
        while not self.window.is_open(at) or at + lasting_ns > self.window.change_after(at):
            at = self.window.change_after(at)
        return at

    def stretches(self, at: int) -> Iterator[tuple[int, int]]:
        """Yield when requests may start from `at` on, as (from, to); with `until` there is a last one."""
        while self.until is None or at < self.until:
            if self.window is None:
                yield at, self.until or at + _LONGEST_SEARCH_S * 1000 * SECOND_NS
                return
            closes = self.window.change_after(at)
            if self.window.is_open(at):
                yield at, closes if self.until is None else min(closes, self.until)
            if self.window.is_open(at) and not self.waits:
                return
            at = closes


def next_time(wall_s: int, zone: dt.tzinfo, after: int) -> int:
    """Return the first moment after `after` at which the clock on the wall has reached `wall_s` since midnight.

    Where clocks skip that time, it is the moment of the change.
    """
    before = Window((wall_s - DAY_S // 2) % DAY_S, wall_s, zone)  # twelve hours that end with it
    at = before.change_after(after)
    return at if not before.is_open(at) else before.change_after(at)


def _wall_s(at: int, zone: dt.tzinfo) -> int:
    seconds = at // SECOND_NS
    return (seconds + _offset_s(seconds, zone)) % DAY_S


def _offset_s(seconds: int, zone: dt.tzinfo) -> int:
    offset = dt.datetime.fromtimestamp(seconds, zone).utcoffset()
    return round(offset.total_seconds()) if offset else 0


def _first_other_offset(begin: int, end: int, zone: dt.tzinfo) -> int | None:
    """Return the first second in (begin, end] with another offset than `begin`; None where there is none.

    Clocks change far less often than once a day, so that the middle tells on which side the change lies.
    """
    offset = _offset_s(begin, zone)
    if _offset_s(end, zone) == offset:
        return None
    while end - begin > 1:
        middle = (begin + end) // 2
        if _offset_s(middle, zone) == offset:
            begin = middle
        else:
            end = middle
    return end
