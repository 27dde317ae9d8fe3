"""Step 2 of 5: what a ledger knows of cascades: the answers that earlier invocations got, in the order of each lane.

Read chunk by chunk, so that memory stays flat. Knows nothing of what proves a cascade.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.model import Action, EnrollmentRequest, Kind, Outcome, Scope, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch.ledger.sqlite import SqliteLedger

_OF_CHUNK = """
SELECT r.customer, r.scope_no, p.name, o.outcome, o.error_code, o.attempt
FROM lane l JOIN request r ON r.customer = l.customer JOIN outcome o USING (request_no)
LEFT JOIN period p USING (period_no) WHERE l.chunk_no = ? AND NOT r.contradicted
AND (o.outcome IN ('enrolled', 'already_enrolled', 'value_not_applied')
    OR r.scope_no IN (SELECT scope_no FROM scope WHERE action = 'unenroll'))
ORDER BY l.lane_no, o.settled_at, r.request_no
"""


def planned(ledger: SqliteLedger) -> list[tuple[Scope, str, int]]:
    """Return scope, cycle and number of customers of each cycle that is enrolled into, in the order of the plan.

    Nothing where the run has fewer than two cycles.
    """
    if not _has_cycles(ledger):
        return []
    scopes = _scopes(ledger)
    rows = ledger.read(
        "SELECT scope_no, p.name, count(*) FROM request JOIN period p USING (period_no) WHERE NOT contradicted"
        " GROUP BY scope_no, period_no ORDER BY min(request_no)"
    )
    return [(scopes[scope_no], period, count) for scope_no, period, count in rows]


def _has_cycles(ledger: SqliteLedger) -> bool:
    return bool(ledger.read("SELECT 1 FROM period WHERE period_no > 1 LIMIT 1"))


def _scopes(ledger: SqliteLedger) -> dict[int, Scope]:
    rows = ledger.read("SELECT scope_no, action, kind, org_id, target_group_id, target_id FROM scope")
    return {no: Scope(Action(action), Kind(kind), *ids) for no, action, kind, *ids in rows}


def answers(ledger: SqliteLedger) -> Iterator[tuple[int, bool, EnrollmentRequest, Verdict, int]]:
    """Yield what enrolled or unenrolled anybody so far: (chunk, whether it is done, request, verdict, attempt).

    Nothing where the run has fewer than two cycles, or has not begun.
    """
    if not _has_cycles(ledger) or not ledger.read("SELECT 1 FROM outcome LIMIT 1"):
        return
    scopes = _scopes(ledger)
    verdicts: dict[tuple[str, int | None], Verdict] = {}
    for chunk_no, state in ledger.read("SELECT chunk_no, state FROM chunk ORDER BY chunk_no"):
        for customer, scope_no, period, outcome, error_code, attempt in ledger.read(_OF_CHUNK, chunk_no):
            request = EnrollmentRequest(scopes[scope_no], customer, period)
            verdict = verdicts.get((outcome, error_code))
            if verdict is None:
                verdict = verdicts[outcome, error_code] = Verdict(Outcome(outcome), True, error_code=error_code)
            yield chunk_no, state == "done", request, verdict, attempt


def later_cycle_count(ledger: SqliteLedger) -> int:
    """Return how many open requests to enroll follow another cycle of the same customer and scope."""
    if not _has_cycles(ledger):
        return 0
    ((count,),) = ledger.read(
        "SELECT coalesce(sum(cycles - 1), 0) FROM (SELECT count(*) AS cycles FROM request r JOIN scope s USING"
        " (scope_no) WHERE NOT r.contradicted AND r.period_no > 0 AND s.action = 'enroll'"
        " AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.request_no = r.request_no)"
        " GROUP BY r.customer, r.scope_no)"
    )
    return int(count)
