"""The simulated API's limit per key, and how a refusal for it looks.

Pure: a sliding window over integer nanoseconds that come from outside.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict, deque
from email.utils import format_datetime
from typing import TYPE_CHECKING

from batch.sandbox.answers import Answer, Refused, page, refusal
from batch.sandbox.switches import LimitBody, LimitHeaders, RetryAfter

if TYPE_CHECKING:
    from batch.sandbox.switches import Switches


class Limit:
    """At most so many admitted calls of one key in any window; refused calls are not counted."""

    def __init__(self, switches: Switches) -> None:
        self._window_ns = round(switches.limit_window_s * 1e9)
        per_min = switches.limit_per_min
        self._calls = None if per_min is None else max(1, round(per_min * switches.limit_window_s / 60))
        self._admitted: defaultdict[str, deque[int]] = defaultdict(deque)

    def wait_s(self, key: str, now_ns: int) -> float | None:
        """Admit this call and return None, or return for how many seconds the key must wait."""
        if self._calls is None:
            return None
        admitted = self._admitted[key]
        while admitted and admitted[0] <= now_ns - self._window_ns:
            admitted.popleft()
        if len(admitted) < self._calls:
            admitted.append(now_ns)
            return None
        return (admitted[0] + self._window_ns - now_ns) / 1e9

    def headers(self, key: str, form: LimitHeaders, now_ns: int) -> tuple[tuple[str, str], ...]:
        """Return the headers that tell what is left for this key."""
        if self._calls is None or form is LimitHeaders.NONE:
            return ()
        admitted = self._admitted[key]
        reset_s = math.ceil((admitted[0] + self._window_ns - now_ns) / 1e9) if admitted else 0
        prefix = "RateLimit" if form is LimitHeaders.RATELIMIT else "X-RateLimit"
        values = (self._calls, self._calls - len(admitted), max(0, reset_s))
        return tuple((f"{prefix}-{n}", str(v)) for n, v in zip(("Limit", "Remaining", "Reset"), values, strict=True))


def too_many(wait_s: float, now: float, switches: Switches) -> Answer:
    """Return the 429. Source: assumption, because the vendor documents none."""
    match switches.limit_body:
        case LimitBody.ENVELOPE:
            answer = refusal(Refused(429, 429, "Too many requests"), switches)
        case LimitBody.HTML:
            answer = page(429, "Too Many Requests")
        case LimitBody.EMPTY:
            answer = Answer(429, b"")
    return with_retry_after(answer, wait_s, now, switches)


def with_retry_after(answer: Answer, wait_s: float, now: float, switches: Switches) -> Answer:
    """Return the answer with the Retry-After header that the switches set, if any."""
    later = dt.datetime.fromtimestamp(math.ceil(now + wait_s), dt.UTC)
    match switches.retry_after:
        case RetryAfter.NONE:
            return answer
        case RetryAfter.SECONDS:
            value = str(max(1, math.ceil(wait_s)))
        case RetryAfter.HTTP_DATE:
            value = format_datetime(later, usegmt=True)
        case RetryAfter.FLOAT:
            value = f"{wait_s:.3f}"
        case RetryAfter.PAST:
            value = format_datetime(later - dt.timedelta(hours=1), usegmt=True)
        case RetryAfter.GARBAGE:
            value = "soon"
    return Answer(answer.status, answer.body, answer.content_type, (*answer.headers, ("Retry-After", value)))
