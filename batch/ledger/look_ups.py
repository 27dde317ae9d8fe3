"""Step 2 of 5: whom the identifiers of an upload name: mobile number, e-mail or external id -> customer id, or why not.

Owns that each identifier is asked once in a run, also when it is killed and begun again: what an answer said is kept,
and planning begins anew from it. Knows no HTTP and nothing of what an answer means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.ledger.events import write_events

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from batch.ledger.sqlite import SqliteLedger
    from batch.model import Event, Verdict


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What came of one call: `customer` None where it names nobody; `verdict` None where it ended nothing."""

    lookup_no: int
    customer: int | None
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class LookUpCounts:
    """How many identifiers the upload has, how many name a customer, and how many are not asked about yet."""

    identifiers: int
    found: int
    open: int


class LookUpLedger:
    """The view of a ledger that a look-up needs. One at a time: the caller holds the run's lock."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self._ledger = ledger

    def collect(self) -> int:
        """Take in the identifiers under which something is planned; return how many are not asked about yet."""
        with self._ledger.transaction() as connection:
            connection.execute(
                "INSERT INTO lookup (identifier) SELECT customer FROM request WHERE typeof(customer) = 'text'"
                " GROUP BY customer ORDER BY min(request_no) ON CONFLICT (identifier) DO NOTHING"
            )
        return self.counts().open

    def take_over(self, found: Iterable[tuple[str, int]]) -> None:
        """Take in what an earlier run has found: identifier and customer id."""
        with self._ledger.transaction() as connection:
            connection.executemany(
                "INSERT INTO lookup (identifier, customer) VALUES (?, ?) ON CONFLICT (identifier) DO NOTHING", found
            )

    def counts(self) -> LookUpCounts:
        """Count the identifiers."""
        (row,) = self._ledger.read(
            "SELECT count(*), count(customer), count(*) FILTER (WHERE customer IS NULL AND outcome IS NULL) FROM lookup"
        )
        return LookUpCounts(*row)

    def next_open(self, after: int, most: int) -> list[tuple[int, str]]:
        """Return the next identifiers to ask about, with their numbers, in the order of the upload."""
        return self._ledger.read(
            "SELECT lookup_no, identifier FROM lookup WHERE lookup_no > ? AND customer IS NULL AND outcome IS NULL"
            " ORDER BY lookup_no LIMIT ?",
            after,
            most,
        )

    def customer_of(self, identifier: str) -> int | None:
        """Return whom an identifier names, None where nobody was found or asked."""
        rows = self._ledger.read("SELECT customer FROM lookup WHERE identifier = ?", identifier)
        return rows[0][0] if rows else None

    def write(self, answers: Sequence[LookedUp], events: Sequence[Event], now: int) -> None:
        """Write what calls brought, and what happened meanwhile, in one durable commit."""
        with self._ledger.transaction() as connection:
            for answer in answers:
                _write(connection, answer, now)
            write_events(connection, events)
            connection.execute("UPDATE run SET heartbeat_at = ?", (now,))


def _write(connection: sqlite3.Connection, answer: LookedUp, now: int) -> None:
    told = answer.verdict
    connection.execute("UPDATE lookup SET calls = calls + 1 WHERE lookup_no = ?", (answer.lookup_no,))
    if told is None:
        return
    outcome = None if answer.customer is not None else told.outcome.value
    connection.execute(
        "UPDATE lookup SET customer = ?, outcome = ?, http_status = ?, error_code = ?, error_message = ?,"
        " api_request_id = ?, asked_at = ? WHERE lookup_no = ?",
        (
            answer.customer, outcome, told.http_status, told.error_code, told.error_message or told.reason,
            told.api_request_id, now, answer.lookup_no,
        ),
    )  # fmt: skip
