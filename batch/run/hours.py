"""When a run may send: `pacing.window` and `--until` as the sender needs them, and in words for a plan."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from batch.config import parse_time
from batch.sending.timetable import Timetable
from batch.sending.window import SECOND_NS, Hours, Window, next_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from batch.config import Settings
    from batch.run.opening import Overrides

_NIGHTS = 1000
"""A plan looks no farther ahead."""
FAR_NS = 12 * 3600 * SECOND_NS
"""Source: our choice: whoever begins in the evening means the next morning."""
LONG_NS = 600 * SECOND_NS
"""Source: our choice: a command that says nothing for longer seems to hang."""


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
    over = []
    if hours.until is not None:
        over.append(f"--until {overrides.until}{_other_day(hours.until, wall_clock(), settings)}")
    over += [f"pacing.window {window}"] if window and (not waits or not over) else []
    return Timetable(
        hours,
        zone_of(settings),
        over=f"{' and '.join(over)} ({settings.pacing.time_zone}): nothing more could end in time",
        unknown_ns=int(settings.api.read_timeout_s * SECOND_NS),
        wall_clock=wall_clock,
    )


def far_deadline(settings: Settings, overrides: Overrides, now: int) -> str | None:
    """Return a warning where `--until` is so far away that an earlier moment may have been meant; else None.

    `now` is nanoseconds since 1970.
    """
    hours = hours_of(settings, overrides, now)
    if hours is None or hours.until is None or hours.until - now <= FAR_NS:
        return None
    minutes = (hours.until - now) // (60 * SECOND_NS)
    away = f"{minutes // 60} h {minutes % 60} min"
    return f"--until {overrides.until} is {_day_and_time(hours.until, now, settings)}, {away} from now."


def far_start(settings: Settings, overrides: Overrides, now: int) -> str | None:
    """Return for what is waited where nothing may start for long; else None. `now` is nanoseconds since 1970."""
    hours = hours_of(settings, overrides, now)
    first = None if hours is None else next(_stretches(hours, now, _lasting_ns(settings)), None)
    if first is None or first[0] - now <= LONG_NS:
        return None
    minutes = (first[0] - now) // (60 * SECOND_NS)
    return (
        f"pacing.window {settings.pacing.window} ({settings.pacing.time_zone}): nothing starts before "
        f"{_moment(first[0], settings)}, {minutes // 60} h {minutes % 60} min from now."
    )


def hours_lines(requests: int, settings: Settings, overrides: Overrides, now: int) -> list[str]:
    """Say whether sending so many requests at the set rate fits into the hours, and when it will end.

    `now` is nanoseconds since 1970. Nothing where requests may start at any time. Without a rate nobody knows how long
    sending takes, so only its beginning is said.
    """
    hours = hours_of(settings, overrides, now)
    if hours is None:
        return []
    work = _fit(requests, hours, settings, overrides, now)
    if work is None:
        return [f"It does not fit: no request could end {_hours_named(hours, settings, now)}; `resume` sends them."]
    fits = _fits(work, hours, settings, now, f"about {work.done:,} are sent", "`resume` sends the rest")
    return list(filter(None, [f"{_start(work, settings, now)} {fits}".strip()]))


def look_up_lines(look_ups: int, requests: int, settings: Settings, overrides: Overrides, now: int) -> list[str]:
    """Say the same of look-ups, and of them with at most so many requests that are sent after them."""
    hours = hours_of(settings, overrides, now)
    if hours is None:
        return []
    work = _fit(look_ups, hours, settings, overrides, now)
    if work is None:
        return [f"It does not fit: no look-up could end {_hours_named(hours, settings, now)}; `resume` goes on."]
    fits = _fits(work, hours, settings, now, f"about {work.done:,} are looked up", "`resume` goes on")
    lines = list(filter(None, [f"{_start(work, settings, now)} {fits}".strip()]))
    with_sending = _fit(look_ups + requests, hours, settings, overrides, now)
    if fits and with_sending is not None and work.done == look_ups:
        sent = f"about {max(0, with_sending.done - look_ups):,} are sent"
        fits = _fits(with_sending, hours, settings, now, sent, "`resume` sends the rest")
        lines.append(f"With sending, at most {requests:,} request{'' if requests == 1 else 's'}: {_lower(fits)}")
    return lines


@dataclass(frozen=True, slots=True)
class _Work:
    """How calls fall into the hours: when the first one starts, and when the last one does that still fits.

    `nights` counts stretches of the hours. Without a rate only `begins` is known, and `ends` is None.
    """

    begins: int
    ends: int | None
    nights: int
    done: int
    calls: int


def _fit(calls: int, hours: Hours, settings: Settings, overrides: Overrides, now: int) -> _Work | None:
    """Return how so many calls fall into the hours; None where not even one could end in them."""
    stretches = _stretches(hours, now, _lasting_ns(settings))
    first = next(stretches, None)
    if first is None:
        return None
    if (rate := overrides.rate_of(settings)) is None:
        return _Work(first[0], None, 0, calls, calls)
    work_ns = calls * rate.window_ns // rate.max_starts
    used_ns, nights, ends = _used(work_ns, chain([first], stretches))
    done = calls if used_ns >= work_ns else int(calls * used_ns / work_ns)
    return _Work(first[0], ends, nights, done, calls)


def _start(work: _Work, settings: Settings, now: int) -> str:
    return f"It starts {_moment(work.begins, settings)}." if work.begins > now else ""


def _fits(work: _Work, hours: Hours, settings: Settings, now: int, done: str, rest: str) -> str:
    """Say whether it fits and when it ends, or how much is `done` and what is to be done for the `rest`."""
    if work.ends is None:
        return ""
    if work.done < work.calls:
        until = f"in {work.nights:,} windows"
        if hours.until is not None:
            until = f"until {_day_and_time(hours.until, now, settings)}"
        return f"It does not fit: {done} {until}; {rest}."
    within = _hours_named(hours, settings, now)
    several = hours.window is not None and work.nights > 1
    fits = f"Only {within} it takes {work.nights:,} windows" if several else f"It fits {within}"
    return f"{fits} and ends about {_moment(work.ends, settings)}."


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _lasting_ns(settings: Settings) -> int:
    return int(settings.api.read_timeout_s * SECOND_NS)


def _used(work_ns: int, stretches: Iterable[tuple[int, int]]) -> tuple[int, int, int]:
    """Return how much of the work is done in these stretches, in how many of them, and when that ends."""
    used_ns = nights = ends = 0
    for begin, end in stretches:
        nights += 1
        ends = begin + min(end - begin, work_ns - used_ns)
        used_ns += ends - begin
        if used_ns >= work_ns or nights >= _NIGHTS:
            break
    return used_ns, nights, ends


def _stretches(hours: Hours, now: int, lasting_ns: int) -> Iterator[tuple[int, int]]:
    """Yield when requests may start, as (from, to), without the last moments of each, in which none could end in time.

    `lasting_ns` is how long a request may take: before the first answer the sender knows no better either.
    """
    for begin, end in hours.stretches(now):
        left_ns = lasting_ns
        if hours.window and end != hours.until:
            left_ns = min(lasting_ns, hours.window.length_ns // 2)
        if begin < end - left_ns:
            yield begin, end - left_ns


def _hours_named(hours: Hours, settings: Settings, now: int) -> str:
    until = "" if hours.until is None else f"before {_day_and_time(hours.until, now, settings)}"
    within = f"in {settings.pacing.window}" if hours.window else ""
    return f"{' and '.join(filter(None, [within, until]))} ({settings.pacing.time_zone})"


def _other_day(at: int, now: int, settings: Settings) -> str:
    """Say the day of a time that is not today, for a text that may be read on another day."""
    moment, today = (dt.datetime.fromtimestamp(each // SECOND_NS, zone_of(settings)) for each in (at, now))
    return "" if moment.date() == today.date() else f" on {moment.strftime('%a %d %b')}"


def _day_and_time(at: int, now: int, settings: Settings) -> str:
    """Say a time of day, with its day where that is not today."""
    moment, today = (dt.datetime.fromtimestamp(each // SECOND_NS, zone_of(settings)) for each in (at, now))
    time_of_day = moment.strftime("%H:%M")
    days = (moment.date() - today.date()).days
    return time_of_day if days == 0 else f"tomorrow {time_of_day}" if days == 1 else _moment(at, settings)


def _moment(at: int, settings: Settings) -> str:
    return dt.datetime.fromtimestamp(at // SECOND_NS, zone_of(settings)).strftime("%a %d %b %H:%M")
