"""When a run may send: `pacing.window` and `--until` as the sender needs them, and in words for a plan."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from batch.config import parse_time
from batch.sending.timetable import Timetable
from batch.sending.window import SECOND_NS, Hours, Window, next_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.config import Settings
    from batch.run.opening import Overrides

_NIGHTS = 1000
"""A plan looks no farther ahead."""


def zone_of(settings: Settings) -> dt.tzinfo:
    """Return the time zone of all hours. UTC needs no time zone database."""
    name = settings.pacing.time_zone
    return dt.UTC if name == "UTC" else ZoneInfo(name)


def hours_of(settings: Settings, overrides: Overrides, now: int, *, waits: bool = True) -> Hours | None:
    """Return when requests may start, None for any time. `now` is nanoseconds since 1970.

    `waits` False: the run ends with the window instead of waiting for the next one.
    """
    window, zone = settings.pacing.window, zone_of(settings)
    asked_at = now if overrides.asked_at is None else overrides.asked_at
    until = None if overrides.until is None else next_time(parse_time(overrides.until), zone, asked_at)
    if window is None and until is None:
        return None
    return Hours(Window(window.opens_s, window.closes_s, zone) if window else None, until, waits)


def timetable_of(
    settings: Settings, overrides: Overrides, *, waits: bool, wall_clock: Callable[[], int]
) -> Timetable | None:
    """Return when the pool may start requests, None for any time."""
    hours = hours_of(settings, overrides, wall_clock(), waits=waits)
    if hours is None:
        return None
    window = settings.pacing.window
    over = [f"--until {overrides.until}"] if overrides.until else []
    over += [f"pacing.window {window}"] if window and (not waits or not over) else []
    return Timetable(
        hours,
        zone_of(settings),
        over=f"{' and '.join(over)} ({settings.pacing.time_zone}): nothing more could end in time",
        unknown_ns=int(settings.api.read_timeout_s * SECOND_NS),
        wall_clock=wall_clock,
    )


def hours_lines(requests: int, settings: Settings, overrides: Overrides, now: int) -> list[str]:
    """Say whether sending so many requests at the set rate fits into the hours, and when it will end.

    `now` is nanoseconds since 1970. Nothing where requests may start at any time, or without a rate.
    """
    hours, rate = hours_of(settings, overrides, now), overrides.rate_of(settings)
    if hours is None:
        return []
    work_ns = requests * rate.window_ns // rate.max_starts if rate else 0
    used_ns, nights, begins, ends = 0, 0, now, now
    for begin, end in hours.stretches(now):
        begins, nights = (begin if not nights else begins), nights + 1
        ends = begin + min(end - begin, work_ns - used_ns)
        used_ns += ends - begin
        if used_ns >= work_ns or nights >= _NIGHTS:
            break
    return [_said(requests, nights, used_ns / work_ns if work_ns else 1.0, (now, begins, ends), settings, overrides)]


def _said(
    requests: int, nights: int, share: float, when: tuple[int, int, int], settings: Settings, overrides: Overrides
) -> str:
    now, begins, ends = (dt.datetime.fromtimestamp(each // SECOND_NS, zone_of(settings)) for each in when)
    form = "%a %d %b %H:%M"
    window, zone = settings.pacing.window, settings.pacing.time_zone
    hours = f"in {window} ({zone})" if window else f"before {overrides.until} ({zone})"
    if share < 1:
        until = f"until {overrides.until}" if overrides.until else f"in {nights:,} windows"
        return f"It does not fit: about {int(requests * share):,} are sent {until}; `resume` sends the rest."
    start = f"It starts {begins.strftime(form)}. " if begins > now else ""
    if window is None or nights <= 1:
        return f"{start}It fits {hours} and ends about {ends.strftime(form)}."
    return f"{start}Only {hours} it takes {nights:,} windows and ends about {ends.strftime(form)}."
