"""Before step 1: the keys that say how fast and when requests start: rates, hours and time zones, as people write them.

Owns `pacing`, and the rate and the time of day that a command line may say instead. It does not know how the pace is
kept.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from batch.config.section import Section, key
from batch.config.text import quoted
from batch.config.values import DECIMAL, Positive, YesOrNo, read_text_value, refuse
from batch.errors import UsageError

_TIME = re.compile(r"([0-9]{1,2}):([0-5][0-9])")
_DAY_S = 86_400
_WINDOWS_NS = {"s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
_RATE_FORMS = "write N/s, N/min, N/h or N/<seconds>s, such as 100/min, or none for no limit"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `max_starts` starts in any window of `window_ns` nanoseconds."""

    max_starts: int
    window_ns: int

    @property
    def per_s(self) -> float:
        """Starts per second."""
        return self.max_starts * 1e9 / self.window_ns

    def __str__(self) -> str:
        """Write it as people do."""
        return f"{self.max_starts}/{self.window_ns / 1e9:.9f}".rstrip("0").rstrip(".") + "s"


def parse_rate(text: str) -> Rate | None:
    """Return the rate that `N/s`, `N/min`, `N/h` or `N/<seconds>s` stands for; None for `none`: no limit.

    Raises: UsageError for anything else.
    """
    try:
        return read_rate(text)
    except PydanticCustomError as error:
        raise UsageError(f"the rate {quoted(text)} {error.message()}") from None


def read_rate(value: object) -> Rate | None:
    """Return a rate; None for null and `none`."""
    if value is None or value == "none":
        return None
    match = re.fullmatch(r"([0-9]{1,7})\s*/\s*(.+)", read_text_value(value).strip())
    if not match:
        raise refuse(f"is not a rate; {_RATE_FORMS}")
    window_ns = _WINDOWS_NS.get(match[2]) or _window_ns(match[2])
    if match[1].startswith("0") or not window_ns:
        raise refuse(f"is not a rate; {_RATE_FORMS}")
    return Rate(int(match[1]), window_ns)


def _window_ns(text: str) -> int:
    """Return the nanoseconds of `90s` or `0.5s`; 0 when it is neither."""
    seconds = text.removesuffix("s").strip()
    if not text.endswith("s") or not DECIMAL.fullmatch(seconds):
        return 0
    return int(Fraction(seconds) * 10**9)


@dataclass(frozen=True, slots=True)
class DayWindow:
    """Hours of each day: from `opens_s` up to, and without, `closes_s`, seconds since midnight; also over midnight."""

    opens_s: int
    closes_s: int

    def __str__(self) -> str:
        return "-".join(f"{edge // 3600:02}:{edge % 3600 // 60:02}" for edge in (self.opens_s, self.closes_s))


def parse_time(text: str) -> int:
    """Return the seconds since midnight that `HH:MM` stands for; 24:00 is midnight.

    Raises: UsageError for anything else.
    """
    match = _TIME.fullmatch(text.strip())
    seconds = int(match[1]) * 3600 + int(match[2]) * 60 if match else -1
    if not 0 <= seconds <= _DAY_S:
        raise UsageError(f"{quoted(text)} is not a time of day; write HH:MM, such as 06:00")
    return seconds % _DAY_S


def read_window(value: object) -> DayWindow | None:
    """Return hours of each day; None for null: at any time."""
    if value is None:
        return None
    opens, _, closes = read_text_value(value).partition("-")
    try:
        window = DayWindow(parse_time(opens), parse_time(closes))
    except UsageError:
        raise refuse("is no window; write HH:MM-HH:MM, such as 22:00-06:00, or null for any time") from None
    if window.opens_s == window.closes_s:
        raise refuse("opens and closes at the same time; write null for any time")
    return window


def read_time_zone(value: object) -> str:
    """Return the name of a time zone that this machine knows. UTC needs no time zone database."""
    name = read_text_value(value)
    try:
        if name != "UTC":
            zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise refuse(f"is not a known time zone; {_zone_advice(name)}") from None
    return name


def _zone_advice(name: str) -> str:
    """Return what to write instead of a name that is no time zone."""
    known = {zone.lower(): zone for zone in zoneinfo.available_timezones()}
    if not known:
        return "this machine has no time zone database: install the package tzdata, or write UTC"
    typed = name.strip().lower().replace(" ", "_")
    cities = {zone.rpartition("/")[2]: zone for zone in known if not zone.startswith("etc/")}
    # Letters such as IST, and hours such as GMT+5, are near to zones that lie half a day away.
    is_code = re.fullmatch(r".{1,4}|.*[0-9].*", typed) is not None
    near = difflib.get_close_matches(typed, [*known, *cities], 1, 1.0 if is_code else 0.6)
    if near:
        return f"did you mean {known[cities.get(near[0], near[0])]}?"
    return "write a city's zone, such as Asia/Kolkata, or UTC"


class PacingSettings(Section):
    """How fast requests start."""

    rate: Annotated[Rate | None, BeforeValidator(read_rate)] = key(
        "100/min", "at most N starts in any window: `N/s`, `N/min`, `N/h`, `N/<seconds>s`; `null`: no limit"
    )
    concurrency: Annotated[Positive, Field(le=256)] = key("16", "requests under way at one time, 1 to 256")
    adaptive: YesOrNo = key("true", "whether trouble on the way to the API lowers the rate")
    window: Annotated[DayWindow | None, BeforeValidator(read_window)] = key(
        None, "hours in which requests start, such as `22:00-06:00`; `null`: at any time"
    )
    time_zone: Annotated[str, BeforeValidator(read_time_zone)] = key(
        "UTC", "the time zone of all hours, and of the day by which cycles are chosen"
    )
