"""Step 2 of 5: the counts of a ledger, each figure from the tables that record it.

Owns what is counted, and how: so that figures which belong together come from different tables and can contradict each
other. What a sum should be is the report's matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batch.ledger.gaps import GAPS
from batch.ledger.standing import STANDING
from batch.model import Outcome, Scope, Subtotal, Tallies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Read = Callable[[str], Iterable[tuple[Any, ...]]]

_COUNTS = {
    "expanded": "SELECT coalesce(sum(expanded), 0) FROM input",
    "duplicates": "SELECT count(*) FROM row_problem WHERE problem = 'duplicate'",
    "contradicted": "SELECT count(*) FROM row_problem WHERE problem = 'contradiction'",
    "unique": "SELECT count(*) FROM request WHERE NOT contradicted",
    "unsettled": "SELECT count(*) FROM unsettled",
    "attempts": "SELECT (SELECT count(*) FROM attempt WHERE tells <> 'withdrawn')"
    " + (SELECT count(*) FROM outcome WHERE attempt > 0)",
    "first_attempts": "SELECT count(*) FROM request r WHERE NOT r.contradicted AND ("
    " EXISTS (SELECT 1 FROM outcome o WHERE o.request_no = r.request_no AND o.attempt > 0)"
    " OR EXISTS (SELECT 1 FROM attempt t WHERE t.request_no = r.request_no AND t.tells <> 'withdrawn'))",
    "retries": "SELECT (SELECT count(*) FROM attempt t WHERE t.tells <> 'withdrawn' AND EXISTS ("
    " SELECT 1 FROM attempt e WHERE e.request_no = t.request_no AND e.tells <> 'withdrawn'"
    " AND (e.attempt, e.fence) < (t.attempt, t.fence)))"
    " + (SELECT count(*) FROM outcome o WHERE o.attempt > 0 AND ("
    " EXISTS (SELECT 1 FROM attempt t WHERE t.request_no = o.request_no AND t.tells <> 'withdrawn')"
    " OR EXISTS (SELECT 1 FROM outcome e WHERE e.request_no = o.request_no AND e.attempt > 0"
    " AND e.fence < o.fence)))",
    "calls_saved": "SELECT count(*) FROM outcome o WHERE o.outcome = 'covered_by_cascade' AND o.attempt = 0"
    " AND NOT EXISTS (SELECT 1 FROM told v WHERE v.request_no = o.request_no AND v.reason = 'not_covered')",
    "not_covered": "SELECT count(*) FROM told v JOIN outcome o ON o.request_no = v.request_no"
    " AND o.outcome = v.instead_of WHERE v.reason = 'not_covered' AND NOT EXISTS ("
    " SELECT 1 FROM superseded x WHERE x.request_no = o.request_no AND x.fence = o.fence)",
    "look_ups": "SELECT coalesce(sum(calls), 0) FROM lookup",
}

# From the outcomes themselves, not by way of the requests: so an outcome without a request shows.
_OUTCOMES = """
SELECT coalesce(v.outcome, o.outcome), count(*) FROM outcome o
    LEFT JOIN told v ON v.request_no = o.request_no AND v.instead_of = o.outcome WHERE NOT EXISTS (
    SELECT 1 FROM superseded x WHERE x.request_no = o.request_no AND x.fence = o.fence) GROUP BY 1
UNION ALL SELECT outcome, count(*) FROM unsettled GROUP BY 1
"""

_SUBTOTALS = f"""
SELECT scope_no, p.name, outcome, n FROM (
    SELECT r.scope_no, r.period_no, coalesce(v.outcome, o.outcome, u.outcome) AS outcome, count(*) AS n
    FROM request r {STANDING}
    WHERE NOT r.contradicted GROUP BY 1, 2, 3) LEFT JOIN period p USING (period_no)
ORDER BY scope_no, period_no, outcome
"""


def tallies(read: Read, scopes: Mapping[int, Scope]) -> Tallies:
    """Count everything. `read` gives the rows of a query on the tables of a reader; `scopes` are known by number."""
    counts = {name: sum(count for (count,) in read(query)) for name, query in (_COUNTS | GAPS).items()}
    outcomes = dict.fromkeys(Outcome, 0)
    for outcome, count in read(_OUTCOMES):
        outcomes[Outcome(outcome)] += count
    subtotals = tuple(
        Subtotal(scopes[scope_no], period, Outcome(outcome), count)
        for scope_no, period, outcome, count in read(_SUBTOTALS)
    )
    return Tallies(outcomes=outcomes, subtotals=subtotals, **counts)
