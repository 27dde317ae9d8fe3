"""Step 2 of 5: what a ledger knows of cascades: the answers that earlier invocations got, in the order of each lane.

Read chunk by chunk, so that memory stays flat. Knows nothing of what proves a cascade.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from batch.ledger.standing import BACKWARDS, OF_TARGET, TAKEN_BACK
from batch.model import Action, EnrollmentRequest, Kind, Outcome, Scope, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batch.ledger.sqlite import SqliteLedger

_OF_CHUNK = """
SELECT r.customer, r.scope_no, p.name, o.outcome, o.error_code, o.attempt
FROM lane l JOIN request r ON r.customer = l.customer JOIN outcome o USING (request_no)
LEFT JOIN period p USING (period_no) WHERE l.chunk_no = ? AND NOT r.contradicted
AND (o.outcome IN ('enrolled', 'already_enrolled', 'value_not_applied')
    OR r.scope_no IN (SELECT scope_no FROM scope WHERE action = 'unenroll'))
ORDER BY l.lane_no, o.settled_at, r.request_no
"""

_ACCEPTED = """
FROM outcome o JOIN request r USING (request_no) JOIN period p USING (period_no)
WHERE o.outcome = 'enrolled' AND o.attempt > 0 AND o.error_code IS NULL
"""
MOST_WITNESSES = 100


def planned(ledger: SqliteLedger) -> list[tuple[Scope, str, int]]:
    """Return scope, cycle and number of customers of each cycle that is enrolled into.

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


def order(ledger: SqliteLedger) -> list[tuple[Scope, str, str]]:
    """Return scope, cycle and a later cycle, in the order in which most customers of the plan have the two."""
    if not _has_cycles(ledger):
        return []
    scopes, names = _scopes(ledger), dict(ledger.read("SELECT period_no, name FROM period"))
    return [
        (scopes[scope_no], names[earlier], names[later])
        for scope_no, later, earlier in ledger.read(BACKWARDS.format(only_if="true"))
    ]


def _has_cycles(ledger: SqliteLedger) -> bool:
    """Return whether some customer has two cycles in a scope."""
    return bool(
        ledger.read("SELECT 1 FROM period WHERE period_no > 1 LIMIT 1")
        and ledger.read("SELECT 1 FROM request GROUP BY customer, scope_no HAVING count(*) > 1 LIMIT 1")
    )


def _scopes(ledger: SqliteLedger) -> dict[int, Scope]:
    rows = ledger.read("SELECT scope_no, action, kind, org_id, target_group_id, target_id FROM scope")
    return {no: Scope(Action(action), Kind(kind), *ids) for no, action, kind, *ids in rows}


def accepted_twice(ledger: SqliteLedger) -> list[tuple[Scope, str, str]] | None:
    """Return (scope, cycle, next cycle) where both were accepted for one customer; None where that is not all to know.

    Of at most MOST_WITNESSES customers, and nothing of runs that also unenroll: there it may be an enrolment anew.
    """
    if ledger.read("SELECT 1 FROM scope WHERE action = 'unenroll' LIMIT 1"):
        return None
    witnesses = ledger.read(f"SELECT customer, scope_no {_ACCEPTED} GROUP BY 1, 2 HAVING count(*) > 1 LIMIT ?",
                            MOST_WITNESSES)  # fmt: skip
    scopes, found = _scopes(ledger), []
    for customer, scope_no in witnesses:
        sql = f"SELECT p.name {_ACCEPTED} AND customer = ? AND scope_no = ? ORDER BY o.settled_at, r.request_no"
        cycles = [name for (name,) in ledger.read(sql, customer, scope_no)]
        found += [(scopes[scope_no], earlier, later) for earlier, later in pairwise(cycles)]
    return found if len(witnesses) < MOST_WITNESSES else None


def taken_back(ledger: SqliteLedger) -> list[Scope]:
    """Return the targets of which a cascade was found and then refuted."""
    scopes = _scopes(ledger)
    return [scopes[scope_no] for (scope_no,) in ledger.read(TAKEN_BACK)]


def asked(ledger: SqliteLedger) -> list[tuple[Scope, int]]:
    """Return how often the API began to be asked about each target's customers with cycles left out."""
    scopes = _scopes(ledger)
    sql = (
        "SELECT c.scope_no, count(*) FROM scope c JOIN event e"
        f" ON e.kind = 'asked' AND c.action = 'enroll' AND {OF_TARGET} GROUP BY 1"
    )
    return [(scopes[scope_no], times) for scope_no, times in ledger.read(sql)]


def answers(
    ledger: SqliteLedger, is_enough: Callable[[], bool] = lambda: False
) -> Iterator[tuple[int, bool, EnrollmentRequest, Verdict, int]]:
    """Yield what enrolled or unenrolled anybody so far: (chunk, whether it is done, request, verdict, attempt).

    Nothing where no customer has two cycles, or nobody was enrolled yet. When `is_enough`, chunks that are done are
    left out: of them only what they prove is of use, while the others hold customers who are gone on with.
    """
    if not _has_cycles(ledger) or not ledger.read("SELECT 1 FROM outcome WHERE outcome = 'enrolled' LIMIT 1"):
        return
    scopes = _scopes(ledger)
    verdicts: dict[tuple[str, int | None], Verdict] = {}
    for chunk_no, state in ledger.read("SELECT chunk_no, state FROM chunk ORDER BY chunk_no"):
        if state == "done" and is_enough():
            continue
        for customer, scope_no, period, outcome, error_code, attempt in ledger.read(_OF_CHUNK, chunk_no):
            request = EnrollmentRequest(scopes[scope_no], customer, period)
            verdict = verdicts.get((outcome, error_code))
            if verdict is None:
                verdict = verdicts[outcome, error_code] = Verdict(Outcome(outcome), True, error_code=error_code)
            yield chunk_no, state == "done", request, verdict, attempt


def later_cycle_count(ledger: SqliteLedger) -> int:
    """Return how many open requests to enroll follow another cycle of the same customer and scope.

    Without those that ask for a balance: where a cascade had enrolled the customer it could not be set, so it is sent.
    """
    if not _has_cycles(ledger):
        return 0
    ((count,),) = ledger.read(
        "SELECT count(*) FROM request r JOIN scope s USING (scope_no) WHERE NOT r.contradicted AND r.period_no > 0"
        " AND s.action = 'enroll' AND r.initial_balance IS NULL AND typeof(r.customer) = 'integer'"
        " AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.request_no = r.request_no)"
        " AND EXISTS (SELECT 1 FROM request e WHERE e.customer = r.customer AND e.scope_no = r.scope_no"
        " AND e.request_no < r.request_no AND NOT e.contradicted)"
    )
    return int(count)


def has_later_balance(ledger: SqliteLedger) -> bool:
    """Return whether a request that asks for a balance follows another cycle of the same customer and scope."""
    sql = (
        "SELECT 1 FROM request r WHERE NOT r.contradicted AND r.period_no > 0 AND r.initial_balance IS NOT NULL"
        " AND EXISTS (SELECT 1 FROM request e WHERE e.customer = r.customer AND e.scope_no = r.scope_no"
        " AND e.request_no < r.request_no AND NOT e.contradicted) LIMIT 1"
    )
    return bool(ledger.read(sql))
