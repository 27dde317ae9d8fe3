"""Step 2 of 5: write the plan: source rows, requests, row problems; then cut it into chunks.

Owns how duplicates and contradictions are found (by the unique key of a request, on disk, so memory stays flat)
and how customers are dealt to chunks. Knows nothing of columns, cells or how a row became requests.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.model import Action, EnrollmentRequest, Kind, Problem, RowProblem, Scope, SourceRow, State

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence

    from batch.ledger.sqlite import SqliteLedger

BATCH_ROWS = 5_000
CHUNK_REQUESTS = 1_000

_WIPE = ("input", "source_row", "scope", "period", "request", "row_problem", "note", "chunk", "lane")


@dataclass(frozen=True, slots=True)
class PlanTotals:
    """What planning found: counts of rows and of requests."""

    rows_read: int
    rows_blank: int
    rows_with_problems: int
    rows_planned: int
    duplicates: int
    contradicted: int
    unique: int

    @property
    def expanded(self) -> int:
        """All requests that rows were expanded into, repeats included."""
        return self.unique + self.duplicates + self.contradicted


class PlanWriter:
    """Takes planned rows one by one and writes them in groups. A plan that was begun before is wiped."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self._ledger = ledger
        self._row_no = 0
        self._request_no = 0
        self._input_no = 0
        self._expanded = 0
        self._scopes: dict[Scope, int] = {}
        self._periods: dict[str | None, int] = {None: 0}
        self._new_scopes: list[tuple[object, ...]] = []
        self._new_periods: list[tuple[object, ...]] = []
        self._notes: dict[str, list[int]] = {}
        self._rows: list[tuple[object, ...]] = []
        self._requests: list[tuple[object, ...]] = []
        self._problems: list[tuple[object, ...]] = []
        with ledger.transaction() as connection:
            for table in _WIPE:
                connection.execute(f"DELETE FROM {table}")

    def begin_input(
        self, path: str, sha256: str, *, sheet: str | None, columns: Sequence[str], roles: Mapping[str, int],
        remarks: Sequence[str],
    ) -> None:  # fmt: skip
        """Say which file the next rows come from."""
        self._input_no += 1
        self._expanded = 0
        lists = [json.dumps(value, ensure_ascii=False) for value in (columns, roles, remarks)]
        with self._ledger.transaction() as connection:
            connection.execute(
                "INSERT INTO input (input_no, path, sha256, sheet, columns, roles, remarks)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (self._input_no, path, sha256, sheet, *lists),
            )

    def end_input(self, rows_read: int, rows_blank: int) -> None:
        """Say how many rows the reader yielded for this file, blank ones included."""
        self._flush()
        with self._ledger.transaction() as connection:
            connection.execute(
                "UPDATE input SET rows_read = ?, rows_blank = ?, expanded = ? WHERE input_no = ?",
                (rows_read, rows_blank, self._expanded, self._input_no),
            )

    def add_row(
        self,
        row: SourceRow,
        requests: Sequence[EnrollmentRequest],
        problems: Sequence[RowProblem],
        notes: Sequence[str],
    ) -> None:
        """Take one row that is not blank, with what became of it."""
        self._row_no += 1
        cells = json.dumps(row.cells, ensure_ascii=False, default=str)
        self._rows.append((self._row_no, self._input_no, row.row, row.line, cells))
        for problem in problems:
            self._problems.append(
                (self._row_no, problem.column, problem.value, problem.problem.value, problem.hint, None)
            )
        self._expanded += len(requests)
        for request in requests:
            self._request_no += 1
            self._requests.append((
                self._request_no, request.customer, self._scope_no(request.scope), self._period_no(request.period),
                self._row_no, request.initial_balance, int(request.reset_streak_status), int(request.doubtful),
            ))  # fmt: skip
        for note in notes:
            self._notes.setdefault(note, [0, self._row_no])[0] += 1
        if len(self._rows) >= BATCH_ROWS or len(self._requests) >= BATCH_ROWS:
            self._flush()

    def finish(self) -> PlanTotals:
        """Settle contradictions, cut chunks, and let the totals stand: the run is planned."""
        self._flush()
        with self._ledger.transaction() as connection:
            connection.executemany(
                "INSERT INTO note (text, row_count, first_row_no) VALUES (?, ?, ?)",
                [(text, *counts) for text, counts in self._notes.items()],
            )
            _settle_contradictions(connection)
            _settle_who_was_not_found(connection)
            _cut_chunks(connection)
            connection.execute(
                "UPDATE run SET state = ?, stop_reason = NULL, stop_text = NULL, exit_code = NULL",
                (State.PLANNED.value,),
            )
        return plan_totals(self._ledger)

    def _scope_no(self, scope: Scope) -> int:
        no = self._scopes.get(scope)
        if no is None:
            no = self._scopes[scope] = len(self._scopes) + 1
            parts = (scope.action.value, scope.kind.value, scope.org_id, scope.target_group_id, scope.target_id)
            self._new_scopes.append((no, *parts))
        return no

    def _period_no(self, period: str | None) -> int:
        no = self._periods.get(period)
        if no is None:
            no = self._periods[period] = len(self._periods)
            self._new_periods.append((no, period))
        return no

    def _flush(self) -> None:
        with self._ledger.transaction() as connection:
            connection.executemany("INSERT INTO source_row VALUES (?, ?, ?, ?, ?)", self._rows)
            connection.executemany(_ADD_PROBLEM, self._problems)
            connection.executemany("INSERT INTO scope VALUES (?, ?, ?, ?, ?, ?)", self._new_scopes)
            connection.executemany("INSERT INTO period VALUES (?, ?)", self._new_periods)
            _insert_requests(connection, self._requests)
        for written in (self._rows, self._problems, self._new_scopes, self._new_periods, self._requests):
            written.clear()


def _insert_requests(connection: sqlite3.Connection, requests: list[tuple[object, ...]]) -> None:
    if not requests:
        return
    connection.executemany(
        "INSERT INTO request (request_no, customer, scope_no, period_no, row_no, initial_balance, reset, doubtful)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (customer, scope_no, period_no) DO NOTHING",
        requests,
    )
    kept = {no for (no,) in connection.execute("SELECT request_no FROM request WHERE request_no >= ?", requests[0][:1])}
    if len(kept) == len(requests):
        return
    for request in requests:
        if request[0] not in kept:
            _insert_repeat(connection, request)


_ADD_PROBLEM = "INSERT INTO row_problem (row_no, column, value, problem, hint, request_no) VALUES (?, ?, ?, ?, ?, ?)"
_HINTS = {
    Problem.DUPLICATE: "asked for more than once; it is sent once",
    Problem.CONTRADICTION: "the same request is asked for with another balance or reset, so none is sent; "
    "keep the row that is right and delete the others",
}


def _insert_repeat(connection: sqlite3.Connection, request: tuple[object, ...]) -> None:
    _, customer, scope_no, period_no, row_no, balance, reset, doubtful = request
    first_no, first_balance, first_reset = connection.execute(
        "SELECT request_no, initial_balance, reset FROM request WHERE customer = ? AND scope_no = ? AND period_no = ?",
        (customer, scope_no, period_no),
    ).fetchone()
    if doubtful:
        connection.execute("UPDATE request SET doubtful = 1 WHERE request_no = ?", (first_no,))
    same = (balance, reset) == (first_balance, first_reset)
    problem = Problem.DUPLICATE if same else Problem.CONTRADICTION
    value = _what_is_asked(connection, period_no, balance, reset)
    connection.execute(_ADD_PROBLEM, (row_no, "", value, problem.value, _HINTS[problem], first_no))


def _what_is_asked(connection: sqlite3.Connection, period_no: object, balance: object, reset: object) -> str:
    period = connection.execute("SELECT name FROM period WHERE period_no = ?", (period_no,)).fetchone()
    balance_text = "" if balance is None else f"initial balance {balance}"
    return ", ".join(filter(None, [period[0] if period else "", balance_text, "reset" if reset else ""]))


def _settle_contradictions(connection: sqlite3.Connection) -> None:
    """Turn every occurrence of a contradicted request into a contradiction: none of them may be sent."""
    contradicted = connection.execute(
        "SELECT request_no, row_no, period_no, initial_balance, reset FROM request WHERE request_no IN"
        " (SELECT request_no FROM row_problem WHERE problem = 'contradiction') ORDER BY request_no"
    ).fetchall()
    hint = _HINTS[Problem.CONTRADICTION]
    for no, row_no, period_no, balance, reset in contradicted:
        connection.execute("UPDATE request SET contradicted = 1 WHERE request_no = ?", (no,))
        value = _what_is_asked(connection, period_no, balance, reset)
        connection.execute(_ADD_PROBLEM, (row_no, "", value, Problem.CONTRADICTION.value, hint, no))
    connection.execute(
        "UPDATE row_problem SET problem = 'contradiction', hint = ? WHERE problem = 'duplicate'"
        " AND request_no IN (SELECT request_no FROM request WHERE contradicted)",
        (hint,),
    )


def _settle_who_was_not_found(connection: sqlite3.Connection) -> None:
    """Settle, without a call, the requests of customers whose look-up ended without an id: as the API said there."""
    connection.execute(
        "INSERT INTO outcome SELECT request_no, 0, outcome, 'look_up', 0, http_status, error_code, error_message,"
        " api_request_id, NULL, asked_at FROM request JOIN lookup ON identifier = request.customer"
        " WHERE typeof(request.customer) = 'text' AND outcome IS NOT NULL AND NOT contradicted"
    )


def _cut_chunks(connection: sqlite3.Connection) -> None:
    """Deal customers, in the order of their first request, to chunks of about CHUNK_REQUESTS requests."""
    lanes = connection.execute(
        "SELECT customer, count(*), min(request_no) FROM request"
        " WHERE NOT contradicted AND typeof(customer) = 'integer' GROUP BY customer ORDER BY 3"
    )
    sizes: list[int] = []

    def dealt() -> Iterator[tuple[int, int, object]]:
        for lane_no, (customer, request_count, _) in enumerate(lanes, start=1):
            if not sizes or sizes[-1] + request_count > CHUNK_REQUESTS:
                sizes.append(0)
            sizes[-1] += request_count
            yield len(sizes), lane_no, customer

    connection.executemany("INSERT INTO lane VALUES (?, ?, ?)", dealt())
    connection.executemany(
        "INSERT INTO chunk (chunk_no, request_count) VALUES (?, ?)",
        [(no, size) for no, size in enumerate(sizes, start=1)],
    )


def plan_totals(ledger: SqliteLedger) -> PlanTotals:
    """Count the plan as it stands in the ledger."""
    (rows_read, rows_blank) = ledger.read(
        "SELECT coalesce(sum(rows_read), 0), coalesce(sum(rows_blank), 0) FROM input"
    )[0]
    ((rows,),) = ledger.read("SELECT count(*) FROM source_row")
    ((bad,),) = ledger.read(
        "SELECT count(*) FROM (SELECT row_no FROM row_problem WHERE request_no IS NULL"
        " EXCEPT SELECT row_no FROM row_problem WHERE request_no IS NOT NULL)"
    )
    ((duplicates, contradicted),) = ledger.read(
        "SELECT count(*) FILTER (WHERE problem = 'duplicate'), count(*) FILTER (WHERE problem = 'contradiction')"
        " FROM row_problem WHERE request_no IS NOT NULL"
    )
    ((unique,),) = ledger.read("SELECT count(*) FROM request WHERE NOT contradicted")
    return PlanTotals(rows_read, rows_blank, bad, rows - bad, duplicates, contradicted, unique)


def first_requests(ledger: SqliteLedger, count: int) -> tuple[EnrollmentRequest, ...]:
    """Return the first requests to send, in the order of the input."""
    rows = ledger.read(
        "SELECT s.action, s.kind, s.org_id, s.target_group_id, s.target_id, r.customer, p.name,"
        " r.initial_balance, r.reset"
        " FROM request r JOIN scope s USING (scope_no) LEFT JOIN period p USING (period_no)"
        " WHERE NOT r.contradicted AND typeof(r.customer) = 'integer' ORDER BY r.request_no LIMIT ?",
        count,
    )
    return tuple(
        EnrollmentRequest(Scope(Action(action), Kind(kind), *ids), customer, period, balance, bool(reset))
        for action, kind, *ids, customer, period, balance, reset in rows
    )
