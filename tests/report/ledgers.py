"""Ledgers built row by row, so that tests decide exactly what a run left behind, damaged ledgers included."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batch.ledger.schema import SCHEMA_VERSION, TABLES
from batch.model import GROUP_OF, Group, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SECOND = 1_000_000_000
START = 1_763_805_600 * SECOND  # 2025-11-22T10:00:00Z

COLUMNS = ("Customer ID", "Cycle", "Region", "Outcome")
ROLES = {"customer_id": 0, "period_name": 1}

RUN: dict[str, Any] = {
    "run_id": "20251122T100000Z-may",
    "schema_version": SCHEMA_VERSION,
    "program_version": "0.1.0",
    "state": "finished",
    "user": "mia",
    "host": "crm7",
    "command": "run",
    "config_path": "configs/may.yaml",
    "config_text": "",
    "working_dir": "/srv/crm",
    "overrides": "{}",
    "base_url": "https://eu.api.capillarytech.com",
    "campaign": "{}",
    "created_at": START,
    "started_at": START + SECOND,
    "finished_at": START + 61 * SECOND,
    "sending_ns": 40 * SECOND,
}


class LedgerOfTests:
    """A ledger under construction; numbers are given out in the order of the calls."""

    def __init__(self, path: Path, **run: object) -> None:
        self.path = path
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.executescript(f"PRAGMA journal_mode=WAL; {TABLES}")
        self._insert("run", **RUN | run)
        self._input_no = 0
        self._rows: dict[int, int] = {}

    def _insert(self, table: str, **values: object) -> int:
        marks = ", ".join("?" * len(values))
        sql = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"
        return self.connection.execute(sql, list(values.values())).lastrowid or 0

    def set_run(self, **values: object) -> None:
        for name, value in values.items():
            self.connection.execute(f"UPDATE run SET {name} = ?", [value])

    def execute(self, sql: str) -> None:
        self.connection.execute(sql)

    def input(
        self, path: str = "may.csv", columns: Sequence[str] = COLUMNS, roles: Mapping[str, int] = ROLES,
        sheet: str | None = None, remarks: Sequence[str] = (), blank: int = 0,
    ) -> int:  # fmt: skip
        self._input_no = self._insert(
            "input", path=path, sha256="0" * 64, sheet=sheet, columns=json.dumps(columns), roles=json.dumps(roles),
            remarks=json.dumps(remarks), rows_read=blank, rows_blank=blank,
        )  # fmt: skip
        self._rows[self._input_no] = 1 + blank
        return self._input_no

    def row(self, *cells: object) -> int:
        self._rows[self._input_no] += 1
        self.connection.execute("UPDATE input SET rows_read = rows_read + 1 WHERE input_no = ?", [self._input_no])
        return self._insert(
            "source_row", input_no=self._input_no, row=self._rows[self._input_no],
            cells=json.dumps(cells, ensure_ascii=False, default=str),
        )  # fmt: skip

    def scope(
        self, action: str = "enroll", kind: str = "milestone", org: int | None = None, group: int = 29463,
        target: int = 5512,
    ) -> int:  # fmt: skip
        return self._insert(
            "scope", action=action, kind=kind, org_id=org, target_group_id=group, target_id=target
        )  # fmt: skip

    def period(self, name: str) -> int:
        return self._insert("period", name=name)

    def request(
        self, row_no: int, customer: int, scope_no: int = 1, period_no: int = 1, balance: int | None = None,
        reset: int = 0, contradicted: int = 0,
    ) -> int:  # fmt: skip
        self._expanded_by_one()
        return self._insert(
            "request", customer=customer, scope_no=scope_no, period_no=period_no, row_no=row_no,
            initial_balance=balance, reset=reset, contradicted=contradicted,
        )  # fmt: skip

    def _expanded_by_one(self) -> None:
        self.connection.execute("UPDATE input SET expanded = expanded + 1 WHERE input_no = ?", [self._input_no])

    def problem(
        self, row_no: int, problem: str, column: str = "Customer ID", value: str = "", request_no: int | None = None
    ) -> None:
        first = "SELECT 1 FROM request WHERE request_no = ? AND row_no = ?"
        if request_no and not self.connection.execute(first, [request_no, row_no]).fetchone():
            self._expanded_by_one()
        hint = f"hint for {problem}"
        self._insert(
            "row_problem", row_no=row_no, column=column, value=value, problem=problem, hint=hint, request_no=request_no
        )  # fmt: skip

    def outcome(
        self, request_no: int, outcome: str, *, reason: str = "", fence: int = 1, attempt: int = 1,
        status: int | None = 200, code: int | None = None, message: str = "", api_request_id: str = "a1b2",
        settled_at: int = START + 2 * SECOND,
    ) -> None:  # fmt: skip
        self._insert(
            "outcome", request_no=request_no, fence=fence, outcome=outcome, reason=reason, attempt=attempt,
            http_status=status, error_code=code, error_message=message, api_request_id=api_request_id,
            started_at=settled_at - SECOND, settled_at=settled_at,
        )  # fmt: skip

    def attempt(
        self, request_no: int, attempt: int, tells: str, outcome: str, *, reason: str = "", fence: int = 1,
        status: int | None = None, code: int | None = None, message: str = "",
    ) -> None:  # fmt: skip
        self._insert(
            "attempt", request_no=request_no, attempt=attempt, fence=fence, tells=tells, counts=1, outcome=outcome,
            reason=reason, http_status=status, error_code=code, error_message=message, api_request_id="",
            started_at=START, ended_at=START + SECOND,
        )  # fmt: skip

    def verdict(self, request_no: int, outcome: str, reason: str, at: int = START, sample: str = "") -> None:
        self._insert(
            "verdict", request_no=request_no, asked_at=at, sample=sample, outcome=outcome, reason=reason,
            api_request_id="",
        )  # fmt: skip

    def intent(self, *attempts: tuple[int, int], fence: int = 1) -> None:
        self._insert("intent", chunk_no=1, fence=fence, attempts=json.dumps(attempts), written_at=START)

    def note(self, text: str, row_no: int, row_count: int = 1) -> None:
        self._insert("note", text=text, row_count=row_count, first_row_no=row_no)

    def event(self, kind: str, text: str, at: int = START, **facts: str | float | None) -> None:
        self._insert("event", at=at, kind=kind, text=text, facts=json.dumps(facts))

    def close(self) -> None:
        self.connection.close()


SAID: dict[Outcome, dict[str, Any]] = {
    Outcome.ALREADY_ENROLLED: {"status": 400, "code": 310119, "message": "Customer is already enrolled"},
    Outcome.COVERED_BY_CASCADE: {"status": None, "attempt": 0},
    Outcome.VALUE_NOT_APPLIED: {"status": 409, "code": 310119, "message": "Customer is already enrolled"},
    Outcome.INVALID_USER: {"code": 310011, "message": "Invalid userId"},
    Outcome.INVALID_INPUT: {"status": 400, "code": 300004, "message": "=Invalid, \"input\"\r\n"},
    Outcome.IN_DOUBT: {"status": None, "reason": "no_answer", "message": "timed out while reading"},
    Outcome.NOT_SENT: {"status": None, "attempt": 0, "reason": "quarantine"},
}  # fmt: skip


def full_ledger(path: Path, **run: object) -> LedgerOfTests:
    """A finished run with every outcome once, two inputs, problems, a duplicate, a contradiction, notes, events.

    Request n has the outcome that is n-th in the list; n is also its customer's last digits.
    """
    ledger = LedgerOfTests(path, **run)
    ledger.scope()
    ledger.scope(kind="streak", org=50672, target=77)
    ledger.scope(action="unenroll")
    ledger.period("PERIOD_G_29463_1")
    ledger.period("=Cycle 2")
    ledger.input(blank=2, remarks=["read as UTF-8"])
    for number, outcome in enumerate(Outcome, start=1):
        if number == 9:
            ledger.input("june.xlsx", ("customer_id", "Region", "Note"), {"customer_id": 0}, sheet="Juni")
        customer = 345651200 + number
        others = ("Nörd", "none") if number < 9 else ("=SUM(A1)", f"'{number}")
        row_no = ledger.row(str(customer), "c1", *others) if number < 9 else ledger.row(customer, *others)
        scope_no, period_no = (3, 0) if outcome is Outcome.UNENROLLED else (1, 1 + number % 2)
        if outcome is Outcome.UNRECOGNISED:
            scope_no, period_no = 2, 0
        balance = 0 if outcome is Outcome.VALUE_NOT_APPLIED else None
        request_no = ledger.request(row_no, customer, scope_no, period_no, balance, reset=int(scope_no == 2))
        if GROUP_OF[outcome] is Group.RETRY and outcome is not Outcome.NOT_SENT:
            ledger.attempt(request_no, 1, "may_be_applied" if outcome is Outcome.IN_DOUBT else "refused", outcome)
            ledger.outcome(request_no, outcome, attempt=2, **SAID.get(outcome, {}))
        else:
            ledger.outcome(request_no, outcome, **SAID.get(outcome, {}))
    ledger.attempt(1, 1, "withdrawn", "not_sent", fence=7)
    _add_rejected(ledger)
    ledger.note("a balance does not apply to a streak", row_no=3, row_count=2)
    ledger.event("started", "20/s", requests_open=17)
    return ledger


def _add_rejected(ledger: LedgerOfTests) -> None:
    bad = ledger.row("3.45E+08", "x", "+1")
    ledger.problem(bad, "digits_lost", "customer_id", "3.45E+08")
    ledger.problem(bad, "not_text", "Note", "+1")
    again = ledger.row(345651201, "x", "")
    ledger.problem(again, "duplicate", "", "", request_no=1)
    first, second = ledger.row(7, "x", ""), ledger.row(7, "y", "")
    request_no = ledger.request(first, 7, 1, 1, balance=1, contradicted=1)
    ledger.problem(second, "contradiction", "", "", request_no=request_no)
    ledger.problem(first, "contradiction", "", "", request_no=request_no)


def plain_advice(outcome: Outcome, error_code: int | None, reason: str) -> str:
    """Advice that shows what was asked."""
    return f"advice for {outcome} {error_code} {reason}".strip()


@dataclass(frozen=True)
class PlainExplanation:
    """An explanation that shows what was asked."""

    meaning: str
    whose: str = "this request"
    what_to_do: str = "do it"
    is_retried: bool = False
    source: str = "docs"


class PlainAdvice:
    """Advice and explanations that show what was asked."""

    advise = staticmethod(plain_advice)

    def knowing(self, **_: object) -> PlainAdvice:
        """Say the same of every run."""
        return self

    @staticmethod
    def explain(outcome: Outcome, http_status: int | None, error_code: int | None, reason: str) -> PlainExplanation:
        """Explain."""
        return PlainExplanation(f"meaning of {outcome} {http_status} {error_code} {reason}".strip())
