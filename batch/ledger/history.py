"""Step 2 of 5: the life of one customer in one ledger: rows, requests, attempts, outcomes.

Read-only and small; knows no other run and no words for people.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.errors import LedgerFailed
from batch.ledger.looking import check_version, connect_to_read
from batch.ledger.standing import NOT_COVERED

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt, or the settling of a request. Times are nanoseconds since 1970 UTC, None where nothing was sent."""

    attempt: int
    started_at: int | None
    ended_at: int
    settled: bool
    outcome: str
    reason: str
    tells: str
    http_status: int | None
    error_code: int | None
    error_message: str
    api_request_id: str


@dataclass(frozen=True, slots=True)
class RequestLife:
    """One request of the customer with all that became of it, in order."""

    path: str
    row: int
    action: str
    period: str | None
    org_id: int | None
    target_group_id: int
    target_id: int
    initial_balance: int | None
    reset_streak_status: bool
    contradicted: bool
    doubtful: bool
    repeated_in_rows: tuple[int, ...]
    tries: tuple[Try, ...]


_REQUESTS = """
SELECT r.request_no, i.path, s.row, c.action, p.name, c.org_id, c.target_group_id, c.target_id, r.initial_balance,
    r.reset, r.contradicted, r.doubtful
FROM request r JOIN source_row s USING (row_no) JOIN input i USING (input_no) JOIN scope c USING (scope_no)
LEFT JOIN period p USING (period_no) WHERE r.customer IN ({marks}) ORDER BY r.request_no
"""
_NAMED = "SELECT customer, identifier FROM lookup WHERE identifier IN (?, ?, ?, ?)"
"""Requests stand under the identifier until they are planned anew, when everybody has been looked up."""
_TRIES = f"""
SELECT attempt, started_at, ended_at, 0, outcome, reason, tells, http_status, error_code, error_message, api_request_id
FROM attempt WHERE request_no = :no AND tells <> 'withdrawn'
UNION ALL
SELECT attempt, started_at, settled_at, 1, outcome,
    iif(outcome = 'covered_by_cascade' AND attempt = 0 AND {NOT_COVERED}, 'not_covered', reason),
    '', http_status, error_code, error_message, api_request_id
FROM outcome JOIN request r USING (request_no) WHERE request_no = :no
UNION ALL
SELECT 0, asked_at, asked_at, 1, outcome, reason, 'looked', http_status, error_code, '', api_request_id
FROM verdict WHERE request_no = :no AND sample = '' ORDER BY ended_at, attempt
"""
_REPEATS = """
SELECT s.row FROM row_problem p JOIN source_row s USING (row_no) JOIN request r ON r.request_no = p.request_no
WHERE p.request_no = ? AND p.row_no <> r.row_no ORDER BY p.row_no
"""


def life_of(path: Path, whom: str) -> list[RequestLife]:
    """Return the requests of a customer in the ledger at `path`, in the order in which they are sent.

    `whom` is a customer id, or what else the upload names a customer by, with or without its kind before a colon.

    Raises:
        LedgerFailed: the ledger cannot be read.
        UsageError: it is of another version.
    """
    try:
        with contextlib.closing(connect_to_read(path)) as connection:
            check_version(connection, path)
            customers = list(_named(connection, whom))
            question = _REQUESTS.format(marks=", ".join("?" * len(customers)))
            return [_life(connection, row) for row in connection.execute(question, customers).fetchall()]
    except sqlite3.Error as error:
        raise LedgerFailed(f"{path}: cannot be read ({error})") from error


def _named(connection: sqlite3.Connection, whom: str) -> set[int | str]:
    """Return whom a person may mean: a customer id, or an identifier, as the ledger has it in its requests."""
    digits = re.sub(r"[\s()+.-]", "", whom).removeprefix("00")
    names = (whom, f"mobile:{digits}", f"email:{whom}", f"external_id:{whom}")
    found = connection.execute(_NAMED, names).fetchall()
    named: set[int | str] = {name for names_of_one in found for name in names_of_one if name is not None}
    if whom.isascii() and whom.isdigit() and len(whom) < 20 and int(whom) < 2**63:
        named.add(int(whom))
    return named


def _life(connection: sqlite3.Connection, row: tuple[object, ...]) -> RequestLife:
    request_no, *facts, reset, contradicted, doubtful = row
    tries = tuple(Try(*values) for values in connection.execute(_TRIES, {"no": request_no}))
    repeats = tuple(number for (number,) in connection.execute(_REPEATS, (request_no,)))
    return RequestLife(*facts, bool(reset), bool(contradicted), bool(doubtful), repeats, tries)  # type: ignore[call-arg, arg-type]
