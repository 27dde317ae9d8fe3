"""Step 2 of 5: what a ledger says over time: attempts by when they started, answering times, what attempts brought.

Owns the questions, each one scan of the attempts and outcomes, and the bounds of their answers: stretches are as many
as the caller's width makes them, answering times are whole milliseconds, long ones tenths of a second. `reading` asks
them with its connection; how a request stands is its rule. Knows no chart and no words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batch.model import Activity, Outcome, UnsettlingAttempts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Rows = Callable[[str], Iterator[tuple[Any, ...]]]

LONGEST_MS = 600_000
"""Slower answers count as this. Source: our choice, because no sensible time-out is longer."""
EXACT_MS = 10_000
"""Slower answers count in tenths of a second, so that the answer is never long."""

_SETTLED = """
SELECT ({at} - {origin}) / {width} AS place, coalesce(v.outcome, o.outcome), count(*) FILTER (WHERE o.attempt > 0),
    count(*) FILTER (WHERE o.attempt > 0 AND o.http_status IN (429, 503)),
    count(*) FILTER (WHERE NOT EXISTS (
        SELECT 1 FROM superseded x WHERE x.request_no = o.request_no AND x.fence = o.fence))
FROM outcome o LEFT JOIN told v ON v.request_no = o.request_no AND v.instead_of = o.outcome
GROUP BY 1, 2 ORDER BY 1, 2
"""
_UNSETTLED = """
SELECT ({at} - {origin}) / {width} AS place, count(*), count(*) FILTER (WHERE http_status IN (429, 503))
FROM attempt WHERE tells <> 'withdrawn' GROUP BY 1 ORDER BY 1
"""
# Integer division rounds towards 0, so that the first stretch would be twice as long: nothing starts before the origin.
_OUTCOME_AT = "max({origin}, iif(o.attempt > 0, o.started_at, o.settled_at))"
_ATTEMPT_AT = "max({origin}, started_at)"

# A clock that was set back makes no answer come before its question.
_LATENCIES = f"""
SELECT iif(ms < {EXACT_MS}, ms, min(ms / 100 * 100, {LONGEST_MS})), count(*) FROM (
    SELECT max(0, settled_at - started_at) / 1000000 AS ms FROM outcome WHERE attempt > 0 AND http_status IS NOT NULL
    UNION ALL SELECT max(0, ended_at - started_at) / 1000000 FROM attempt
        WHERE tells <> 'withdrawn' AND http_status IS NOT NULL)
WHERE ms IS NOT NULL GROUP BY 1 ORDER BY 1
"""

_UNSETTLING = """
SELECT outcome, http_status, error_code, reason, count(*) AS n FROM attempt WHERE tells <> 'withdrawn'
GROUP BY 1, 2, 3, 4 ORDER BY n DESC, outcome, http_status, error_code, reason
"""


def activity(rows: Rows, origin: int, width_ns: int) -> tuple[Activity, ...]:
    """Return what happened in each stretch of `width_ns` from `origin` on, in order of time; empty ones are left out.

    Attempts add up to the attempts of the tallies, requests to the settled ones. What is said to have happened before
    `origin`, because somebody has set the clock, counts into the first stretch.
    """
    settled = _SETTLED.format(at=_OUTCOME_AT.format(origin=origin), origin=origin, width=width_ns)
    unsettled = _UNSETTLED.format(at=_ATTEMPT_AT.format(origin=origin), origin=origin, width=width_ns)
    found = [
        Activity(_begin(place, origin, width_ns), Outcome(outcome), attempts, pushed_back, requests)
        for place, outcome, attempts, pushed_back, requests in rows(settled)
    ]
    found += [
        Activity(_begin(place, origin, width_ns), None, attempts, pushed_back, 0)
        for place, attempts, pushed_back in rows(unsettled)
    ]
    return tuple(sorted(found, key=lambda each: each.begin or 0))


def _begin(place: int | None, origin: int, width_ns: int) -> int | None:
    return None if place is None else origin + place * width_ns


def last_activity(rows: Rows, before: int | None) -> int | None:
    """Return when something was last recorded before a time, or at all; None when nothing was."""
    until = f"<= {before:d}" if before is not None else "IS NOT NULL"
    ((found,),) = rows(
        f"SELECT max(at) FROM (SELECT max(settled_at) AS at FROM outcome WHERE settled_at {until}"
        f" UNION ALL SELECT max(ended_at) FROM attempt WHERE started_at IS NOT NULL AND ended_at {until}"
        f" UNION ALL SELECT max(written_at) FROM intent WHERE written_at {until})"
    )
    return None if found is None else int(found)


def latencies(rows: Rows) -> tuple[tuple[int, int], ...]:
    """Return how many answers took how many milliseconds, fastest first: (ms, count). Silence is no answer."""
    return tuple((ms, count) for ms, count in rows(_LATENCIES))


def unsettling_attempts(rows: Rows, most: int) -> tuple[UnsettlingAttempts, ...]:
    """Return what attempts brought that settled nothing, the most frequent first, at most so many kinds."""
    return tuple(
        UnsettlingAttempts(Outcome(outcome), status, code, reason, count)
        for outcome, status, code, reason, count in rows(f"{_UNSETTLING} LIMIT {most:d}")
    )
