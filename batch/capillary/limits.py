"""Step 3 of 5: read what an answer's headers say about the limit of the key.

Owns Retry-After and the headers that tell what is left of a limit. They are hints to go slower, never to go faster.
Pure: no clock, and never an exception, whatever the server sent.
"""

from __future__ import annotations

import datetime as dt
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_HOLD_S: Final = 3600.0
"""Source: our choice, because a typing error in a server's Retry-After must not cost a night."""
LONGEST_RESET_S: Final = 60.0
"""Source: our choice, because the documented limit is one of a minute, and no page of the vendor's knows the header."""

_SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]*)?")
_ITEM: Final = re.compile(r"(?:^|[;,\s])(remaining|reset|r|t)\s*=\s*([0-9.]+)")
_EPOCH_S: Final = 1e9
"""From here on a reset is no number of seconds, but a time since 1970."""


def told_time(headers: Mapping[str, str], now_s: float) -> float:
    """Return when an answer was made, in seconds since 1970, by the server's clock; `now_s`, ours, where it is silent.

    A time in another header is meant by the same clock.
    """
    try:
        return _http_date(headers["date"])
    except (KeyError, ValueError, TypeError, IndexError, OverflowError):
        return now_s


def hold_seconds(retry_after: str | None, now_s: float) -> float | None:
    """Return how many seconds a Retry-After asks to wait: 0 to LONGEST_HOLD_S, None where it cannot be read.

    `now_s` is seconds since 1970. Takes whole and broken seconds and HTTP dates. Source: RFC 9110, 10.2.3.
    """
    text = (retry_after or "").strip()
    try:
        seconds = float(text) if _SECONDS.fullmatch(text) else _http_date(text) - now_s
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_HOLD_S)


def is_used_up(headers: Mapping[str, str]) -> bool:
    """Return whether the headers say that the key has no call left for the moment. Names are in lower case.

    Source: IETF draft-ietf-httpapi-ratelimit-headers for RateLimit-* and RateLimit; X-RateLimit-* is common usage.
    """
    return any(_number(value) == 0 for value in _told(headers, "remaining", "r"))


def reset_seconds(headers: Mapping[str, str], now_s: float) -> float | None:
    """Return in how many seconds the key has calls again: 0 to LONGEST_RESET_S, None where no header says so.

    `now_s` is seconds since 1970, for servers that name a time instead.
    """
    times = (_number(value) for value in _told(headers, "reset", "t"))
    seconds = [time - now_s if time >= _EPOCH_S else time for time in times if time is not None]
    return min(max(*seconds, 0.0), LONGEST_RESET_S) if seconds else None


def _told(headers: Mapping[str, str], name: str, short: str) -> list[str]:
    """Return the values of one thing: from a header of its own, or from the items of the header `RateLimit`."""
    own = (headers.get(f"{prefix}-{name}") for prefix in ("ratelimit", "x-ratelimit"))
    items = _ITEM.findall(headers.get("ratelimit", "").lower())
    return [value.strip() for value in own if value] + [value for item, value in items if item in {name, short}]


def _number(text: str) -> float | None:
    return float(text) if _SECONDS.fullmatch(text) else None


def _http_date(text: str) -> float:
    date = parsedate_to_datetime(text)
    return (date if date.tzinfo else date.replace(tzinfo=dt.UTC)).timestamp()
