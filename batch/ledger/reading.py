"""Step 2 of 5: what the report reads of a ledger: how each request stands, where it came from, and the counts.

Sees the ledger as it was at one moment, beside a running sender. Writes nothing, and knows nothing of files, words or
what a count should be; how a request stands is the rule of `standing`.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from batch.errors import LedgerFailed
from batch.ledger import counts, timeline
from batch.ledger.events import read_events
from batch.ledger.looking import check_version, connect_to_read, require_ledger
from batch.ledger.schema import SENDING_NS
from batch.ledger.standing import COVERED, STANDING, SUPERSEDED, TOLD, UNSETTLED
from batch.model import (
    Action,
    Activity,
    EnrollmentRequest,
    Event,
    InputFacts,
    Kind,
    Note,
    Outcome,
    Problem,
    RejectedRow,
    ReportRow,
    RowProblem,
    RunFacts,
    Scope,
    State,
    Tallies,
    UnsettlingAttempts,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    Cells = tuple[str | int | float | bool | None, ...]

_REPORT_ROWS = f"""
SELECT r.request_no, r.customer, r.scope_no, p.name, r.initial_balance, r.reset,
    coalesce(v.outcome, o.outcome, u.outcome), coalesce(v.reason, o.reason, u.reason),
    iif(v.outcome IS NULL, coalesce(o.http_status, u.http_status), v.http_status),
    iif(v.outcome IS NULL, coalesce(o.error_code, u.error_code), v.error_code),
    iif(v.outcome IS NULL, coalesce(o.error_message, u.error_message), ''),
    (SELECT count(*) FROM attempt t WHERE t.request_no = r.request_no AND t.tells <> 'withdrawn')
    + (SELECT count(*) FROM outcome t WHERE t.request_no = r.request_no AND t.attempt > 0),
    coalesce(o.api_request_id, u.api_request_id), coalesce(v.asked_at, o.settled_at), s.input_no, s.row, s.cells
FROM request r JOIN source_row s USING (row_no) LEFT JOIN period p USING (period_no) {STANDING}
WHERE NOT r.contradicted ORDER BY r.request_no
"""

_REJECTED_ROWS = """
SELECT s.input_no, s.row, p.column, p.value, p.problem, p.hint,
    iif(p.problem = 'contradiction' AND f.row_no = p.row_no, NULL, fs.row), s.cells, fs.input_no
FROM row_problem p JOIN source_row s USING (row_no)
LEFT JOIN request f ON f.request_no = p.request_no LEFT JOIN source_row fs ON fs.row_no = f.row_no
ORDER BY p.row_no, p.problem_no
"""

_INPUTS = """
SELECT columns, roles, remarks, input_no, path, sha256, sheet, rows_read, rows_blank,
    (SELECT count(DISTINCT p.row_no) FROM row_problem p JOIN source_row s USING (row_no)
     WHERE s.input_no = input.input_no AND p.request_no IS NULL),
    coalesce(planned.row_count, 0)
FROM input LEFT JOIN (
    SELECT s.input_no, count(*) AS row_count FROM source_row s JOIN (
        SELECT row_no FROM request UNION SELECT row_no FROM row_problem WHERE request_no IS NOT NULL) USING (row_no)
    GROUP BY s.input_no) planned USING (input_no)
ORDER BY input_no
"""


class LedgerReader:
    """A ledger as it stands at the moment of opening; a sender may go on writing meanwhile.

    A context manager. What it returns never changes while it is open, so all files of one report agree.

    Raises:
        UsageError: there is no ledger at `path`, or its layout is of another version.
        LedgerFailed: the file is damaged, or is no ledger. Every method may raise it.
    """

    def __init__(self, path: Path) -> None:
        require_ledger(path)
        self._path = path
        with self._failing_as_ledger():
            self._connection = connect_to_read(path)
        try:
            with self._failing_as_ledger():
                check_version(self._connection, path)
                # On disk, because a run of many millions of open requests must not fill the memory.
                self._connection.executescript(
                    "PRAGMA temp_store = FILE; PRAGMA query_only = OFF; BEGIN;"
                    f"{SUPERSEDED} {UNSETTLED} {TOLD} {COVERED} PRAGMA query_only = ON;"
                )
        except BaseException:
            self._connection.close()
            raise
        self._scopes = self._read_scopes()

    def _read_scopes(self) -> dict[int, Scope]:
        return {
            no: Scope(Action(action), Kind(kind), org_id, target_group_id, target_id)
            for no, action, kind, org_id, target_group_id, target_id in self._rows(
                "SELECT scope_no, action, kind, org_id, target_group_id, target_id FROM scope"
            )
        }

    @contextlib.contextmanager
    def _failing_as_ledger(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError, TypeError, KeyError) as error:
            raise LedgerFailed(
                f"{self._path}: the ledger cannot be read ({error}); check the disk and its free space, "
                f"or restore the file from a backup"
            ) from error

    def _rows(self, sql: str) -> Iterator[tuple[Any, ...]]:
        with self._failing_as_ledger():
            for row in self._connection.execute(sql):  # noqa: UP028  # it would close the cursor after its connection
                yield row

    def run(self) -> RunFacts:
        """Return the facts of the run as a whole."""
        names = [field.name for field in fields(RunFacts)]
        columns = ", ".join(names).replace("sending_ns", SENDING_NS)
        with self._failing_as_ledger():
            (row,) = self._rows(f"SELECT {columns} FROM run")
            facts = dict(zip(names, row, strict=True))
            return RunFacts(**facts | {"state": State(facts["state"])})

    def kept_config(self) -> tuple[str, str, str, str]:
        """Return what the run was told: path and text of its config, its working directory, its overrides as JSON."""
        (row,) = self._rows("SELECT config_path, config_text, working_dir, overrides FROM run")
        path, text, working_dir, overrides = row
        return str(path), str(text), str(working_dir), str(overrides)

    def inputs(self) -> tuple[InputFacts, ...]:
        """Return the files of the upload, in the order in which they were read."""
        with self._failing_as_ledger():
            return tuple(
                InputFacts(
                    no, path, sha256, sheet, tuple(json.loads(columns)), json.loads(roles), tuple(json.loads(remarks)),
                    *row_counts,
                )
                for columns, roles, remarks, no, path, sha256, sheet, *row_counts in self._rows(_INPUTS)
            )  # fmt: skip

    def notes(self) -> tuple[Note, ...]:
        """Return what was left out of requests without being a problem, in the order of first appearance."""
        return tuple(
            Note(*row)
            for row in self._rows(
                "SELECT text, row_count, input_no, row FROM note JOIN source_row ON row_no = first_row_no"
                " ORDER BY row_no, text"
            )
        )

    def events(self) -> tuple[Event, ...]:
        """Return what happened over time, oldest first."""
        with self._failing_as_ledger():
            return read_events(self._rows)

    def activity(self, origin: int, width_ns: int) -> tuple[Activity, ...]:
        """Return what happened in each stretch of time from `origin` on; see `timeline.activity`."""
        with self._failing_as_ledger():
            return timeline.activity(self._rows, origin, width_ns)

    def last_activity(self, before: int | None = None) -> int | None:
        """Return when something was last recorded before a time, or at all; None when nothing was."""
        return timeline.last_activity(self._rows, before)

    def latencies(self) -> tuple[tuple[int, int], ...]:
        """Return how many answers took how many milliseconds, fastest first: (ms, count)."""
        return timeline.latencies(self._rows)

    def unsettling_attempts(self, most: int) -> tuple[UnsettlingAttempts, ...]:
        """Return what attempts brought that settled nothing, the most frequent first, at most so many kinds."""
        with self._failing_as_ledger():
            return timeline.unsettling_attempts(self._rows, most)

    def tallies(self) -> Tallies:
        """Count everything, each figure from the tables that record it."""
        with self._failing_as_ledger():
            return counts.tallies(self._rows, self._scopes)

    def found_customers(self) -> Iterator[tuple[str, int]]:
        """Yield whom look-ups have found: the identifier, such as `mobile:919111111111`, and the customer's id."""
        yield from self._rows("SELECT identifier, customer FROM lookup WHERE customer IS NOT NULL ORDER BY lookup_no")

    def request_no(self, request: EnrollmentRequest) -> int | None:
        """Return the number of the request with this identity, contradicted or not; None when there is none."""
        scope = request.scope
        row = self._connection.execute(
            "SELECT request_no FROM request WHERE customer = ? AND scope_no = (SELECT scope_no FROM scope WHERE"
            " action = ? AND org_id IS ? AND target_group_id = ? AND target_id = ?) AND period_no ="
            " coalesce((SELECT period_no FROM period WHERE name = ?), iif(? IS NULL, 0, NULL))",
            (
                request.customer, scope.action, scope.org_id, scope.target_group_id, scope.target_id,
                request.period, request.period,
            ),
        ).fetchone()  # fmt: skip
        return row[0] if row else None

    def report_rows(self, outcomes: frozenset[Outcome] | None = None) -> Iterator[ReportRow]:
        """Yield the unique requests, or those with one of `outcomes`, in the order of `request_no`."""
        last_text, cells = "", ()
        with self._failing_as_ledger():
            for row in self._rows(_REPORT_ROWS):
                no, customer, scope_no, period, balance, reset, standing, *said, cells_text = row
                reason, status, code, message, attempts, api_request_id, settled_at, input_no, row_number = said
                outcome = Outcome(standing)
                if outcomes is not None and outcome not in outcomes:
                    continue
                if cells_text != last_text:  # the requests of one row follow each other
                    last_text, cells = cells_text, tuple(json.loads(cells_text))
                request = EnrollmentRequest(self._scopes[scope_no], customer, period, balance, bool(reset))
                yield ReportRow(
                    no, request, outcome, reason, status, code, message, attempts, api_request_id, settled_at,
                    input_no, row_number, cells,
                )  # fmt: skip

    def count_reasons(self, reasons: Collection[str]) -> int:
        """Return how many outcomes were recorded with one of these reasons, those that later ones replaced included."""
        marks = ", ".join("?" * len(reasons))
        with self._failing_as_ledger():
            ((count,),) = self._connection.execute(
                f"SELECT count(*) FROM outcome WHERE reason IN ({marks})", list(reasons)
            )
        return int(count)

    def after_own_yes(self, request_nos: Collection[int]) -> set[int]:
        """Return which of these requests came after one for another cycle that enrolled the customer, or may have."""
        sql = (
            "SELECT r.request_no FROM json_each(?) n JOIN request r ON r.request_no = n.value WHERE EXISTS ("
            " SELECT 1 FROM request e JOIN outcome o USING (request_no) WHERE e.customer = r.customer"
            " AND e.scope_no = r.scope_no AND e.request_no < r.request_no AND o.outcome IN ('enrolled', 'in_doubt'))"
        )
        with self._failing_as_ledger():
            return {no for (no,) in self._connection.execute(sql, [json.dumps(list(request_nos))])}

    def rejected_rows(self) -> Iterator[RejectedRow]:
        """Yield each row problem, and each duplicate or contradicted request, in the order of their rows."""
        with self._failing_as_ledger():
            for input_no, row, *found, other_row, cells, other_input in self._rows(_REJECTED_ROWS):
                column, value, problem, hint = found
                row_problem = RowProblem(column, value, Problem(problem), hint)
                yield RejectedRow(input_no, row, row_problem, other_row, tuple(json.loads(cells)), other_input)

    def source_rows(self, input_no: int) -> Iterator[tuple[int, Cells]]:
        """Yield the rows of one input that are not blank, in their order: row number and cells as they came."""
        sql = f"SELECT row, cells FROM source_row WHERE input_no = {input_no:d} ORDER BY row_no"
        with self._failing_as_ledger():
            for row, cells in self._rows(sql):
                yield row, tuple(json.loads(cells))

    def check_integrity(self) -> None:
        """Read the whole file and look for damage: under a second for a million requests, once it is in memory.

        Raises:
            LedgerFailed: a page or an index is damaged.
        """
        ((found,),) = self._rows("PRAGMA main.integrity_check(1)")
        if found != "ok":
            with self._failing_as_ledger():
                raise sqlite3.DatabaseError(f"it is damaged: {' '.join(found.split())}")

    def close(self) -> None:
        """Let go of the ledger."""
        self._connection.close()

    def __enter__(self) -> LedgerReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
