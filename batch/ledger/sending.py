"""Step 2 of 5: what the sender reads and writes: chunks claimed, intents before bytes, attempts, outcomes, events.

Owns the fence: whoever holds an old one can no longer write an intent. Everything is appended, in groups; nothing
is updated per request. Knows no HTTP, no pacing, and nothing of what an answer means.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from batch.errors import LedgerFailed
from batch.ledger.events import write_events
from batch.ledger.schema import SENDING_NS
from batch.model import Action, Chunk, EnrollmentRequest, Kind, OpenRequest, Outcome, Scope, Speaks, Tells, Verdict

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Sequence

    from batch.ledger.sqlite import SqliteLedger
    from batch.model import Entries, Intent, Result


_NO_LIMIT = 2**62
_MOST_CANARIES = 10_000


class SendingLedger:
    """The sender's view of a ledger. One at a time: the caller holds the run's lock."""

    def __init__(self, ledger: SqliteLedger, owner: str) -> None:
        self._ledger = ledger
        self._owner = owner
        self._failure: LedgerFailed | None = None
        self.is_superseded = False
        """Whether another sender was found to have taken over."""

    def take_over(self, now: int) -> int:
        """Free the chunks of a dead sender, and mark what it may have sent without recording an answer.

        Returns the number of requests that are in doubt because of it. Every intent without a result becomes an
        attempt that may have been applied, so that its retry's 310119 is known to be ours.
        """
        with self._ledger.transaction() as connection:
            dangling = connection.execute(
                "SELECT i.fence, json_extract(a.value, '$[0]'), json_extract(a.value, '$[1]')"
                " FROM intent i JOIN chunk c USING (chunk_no), json_each(i.attempts) a WHERE c.state = 'claimed'"
                " AND NOT EXISTS (SELECT 1 FROM attempt t WHERE (t.request_no, t.attempt, t.fence) ="
                " (json_extract(a.value, '$[0]'), json_extract(a.value, '$[1]'), i.fence))"
                " AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.request_no = json_extract(a.value, '$[0]'))"
            ).fetchall()
            connection.executemany(
                "INSERT INTO attempt VALUES (?, ?, ?, ?, 1, ?, 'interrupted', NULL, NULL, ?, '', NULL, ?)",
                [
                    (
                        no,
                        attempt,
                        fence,
                        Tells.MAY_BE_APPLIED,
                        Outcome.IN_DOUBT,
                        "the sender died before an answer",
                        now,
                    )
                    for fence, no, attempt in dangling
                ],
            )
            connection.execute("UPDATE chunk SET state = 'ready', owner = NULL WHERE state = 'claimed'")
            connection.execute(f"UPDATE run SET sending_ns = {SENDING_NS}, sending_since = NULL")
        return len(dangling)

    def claim_chunk(self, up_to: int | None = None) -> Chunk | None:
        """Claim the next chunk that is not done, or return None when there is none; `up_to`: none beyond that one."""
        with self._ledger.transaction() as connection:
            row = connection.execute(
                "UPDATE chunk SET state = 'claimed', owner = ?, fence = fence + 1"
                " WHERE chunk_no = (SELECT min(chunk_no) FROM chunk WHERE state = 'ready' AND chunk_no <= ?)"
                " RETURNING chunk_no, fence",
                (self._owner, _NO_LIMIT if up_to is None else up_to),
            ).fetchone()
        return Chunk(*row) if row else None

    def open_requests(self, chunk: Chunk) -> list[OpenRequest]:
        """Return the unsettled requests of a chunk, lane by lane, in the order in which a lane is sent."""
        rows = self._ledger.read(
            "SELECT r.request_no, r.customer, s.action, s.kind, s.org_id, s.target_group_id, s.target_id, p.name,"
            " r.initial_balance, r.reset,"
            " count(t.attempt) FILTER (WHERE t.tells <> 'withdrawn'),"  # a withdrawn intent is no attempt
            " coalesce(sum(t.counts), 0), max(r.doubtful, coalesce(max(t.tells = 'may_be_applied'), 0))"
            " FROM lane l JOIN request r ON r.customer = l.customer JOIN scope s USING (scope_no)"
            " LEFT JOIN period p USING (period_no) LEFT JOIN attempt t ON t.request_no = r.request_no"
            " WHERE l.chunk_no = ? AND NOT r.contradicted"
            " AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.request_no = r.request_no)"
            " GROUP BY r.request_no ORDER BY l.lane_no, r.request_no",
            chunk.chunk_no,
        )
        return [
            OpenRequest(
                request_no=no,
                request=EnrollmentRequest(
                    scope=Scope(Action(action), Kind(kind), org_id, group_id, target_id),
                    customer=customer,
                    period=period,
                    initial_balance=balance,
                    reset_streak_status=bool(reset),
                ),
                chunk=chunk,
                attempts=attempts,
                attempts_counted=counted,
                maybe_applied=bool(maybe_applied),
            )
            for (
                no,
                customer,
                action,
                kind,
                org_id,
                group_id,
                target_id,
                period,
                balance,
                reset,
                attempts,
                counted,
                maybe_applied,
            ) in rows
        ]

    def canary(self, request_count: int) -> tuple[frozenset[int], int]:
        """Choose customers for a sample: all that is needed to cover each scope and period, and the first ones.

        Returns the customers, with at least `request_count` requests where there are so many, and their last chunk.
        """
        rows = self._ledger.read(
            "SELECT l.customer, l.chunk_no, (SELECT count(*) FROM request r WHERE r.customer = l.customer AND NOT"
            " r.contradicted), l.customer IN (SELECT customer FROM request WHERE request_no IN (SELECT min(request_no)"
            " FROM request WHERE NOT contradicted AND typeof(customer) = 'integer' GROUP BY scope_no, period_no))"
            " AS needed FROM lane l ORDER BY needed DESC, l.lane_no LIMIT ?",
            _MOST_CANARIES,
        )
        chosen: set[int] = set()
        found = last_chunk = 0
        for customer, chunk_no, count, needed in rows:
            if not needed and found >= request_count:
                break
            chosen.add(customer)
            found += count
            last_chunk = max(last_chunk, chunk_no)
        return frozenset(chosen), last_chunk

    def requests_of(self, customers: Collection[int]) -> tuple[int, int]:
        """Return how many requests these customers have that are not contradicted, and how many of them are open."""
        ((count, open_count),) = self._ledger.read(
            "SELECT count(*), count(*) FILTER (WHERE NOT EXISTS (SELECT 1 FROM outcome o WHERE o.request_no ="
            " r.request_no)) FROM request r WHERE NOT contradicted AND customer IN (SELECT value FROM json_each(?))",
            json.dumps(list(customers)),
        )
        return count, open_count

    def quarantined(self) -> list[tuple[EnrollmentRequest, Verdict]]:
        """Return, for each scope that was closed before, one request that was left out, with its verdict."""
        rows = self._ledger.read(
            "SELECT s.action, s.kind, s.org_id, s.target_group_id, s.target_id, p.name, o.reason, o.error_code,"
            " o.error_message, min(o.request_no) FROM outcome o JOIN request r USING (request_no)"
            " JOIN scope s USING (scope_no) LEFT JOIN period p USING (period_no)"
            " WHERE o.outcome = 'not_sent' GROUP BY r.scope_no, r.period_no, o.reason"
        )
        closed = []
        for action, kind, *ids, period, reason, code, text, _ in rows:
            speaks = Speaks(reason.rpartition("_")[2])
            verdict = Verdict(
                Outcome.NOT_SENT, settled=True, reason=reason, speaks=speaks, error_code=code, error_message=text
            )
            closed.append((EnrollmentRequest(Scope(Action(action), Kind(kind), *ids), 0, period), verdict))
        return closed

    def open_count(self) -> int:
        """Return how many unique requests have no outcome yet."""
        ((count,),) = self._ledger.read(
            "SELECT (SELECT count(*) FROM request WHERE NOT contradicted)"
            " - (SELECT count(DISTINCT request_no) FROM outcome)"
        )
        return int(count)

    def write(self, entries: Entries, now: int) -> None:
        """Write everything in one durable commit.

        Raises:
            LedgerFailed: the disk is full or failing, or a chunk was taken by another sender. Nothing was written,
                so no byte of the requests in `entries.intents` may leave. After that nothing is written any more:
                a later "chunk done" must not cover the results that were lost.
        """
        if self._failure:
            raise self._failure
        try:
            self._write(entries, now)
        except LedgerFailed as failure:
            self._failure = failure
            raise

    def _write(self, entries: Entries, now: int) -> None:
        with self._ledger.transaction() as connection:
            for intent in entries.intents:
                self._write_intent(connection, intent, now)
            _write_results(connection, entries.results)
            write_events(connection, entries.events)
            connection.executemany(
                "UPDATE chunk SET state = 'done', owner = NULL WHERE chunk_no = ? AND fence = ? AND state = 'claimed'",
                [(chunk.chunk_no, chunk.fence) for chunk in entries.finished_chunks],
            )
            connection.execute("UPDATE run SET heartbeat_at = ?", (now,))

    def beat(self, now: int) -> None:
        """Say that the sender lives, also while it has nothing to write.

        Raises:
            LedgerFailed: the disk is full or failing.
        """
        with self._ledger.transaction() as connection:
            connection.execute("UPDATE run SET heartbeat_at = ?", (now,))

    def _write_intent(self, connection: sqlite3.Connection, intent: Intent, now: int) -> None:
        chunk_no, fence = intent.chunk.chunk_no, intent.chunk.fence
        written = connection.execute(
            "INSERT INTO intent (chunk_no, fence, attempts, written_at) SELECT ?, ?, ?, ?"
            " WHERE EXISTS (SELECT 1 FROM chunk WHERE chunk_no = ? AND fence = ? AND state = 'claimed')",
            (chunk_no, fence, json.dumps(intent.attempts, separators=(",", ":")), now, chunk_no, fence),
        )
        if written.rowcount != 1:
            self.is_superseded = True
            raise LedgerFailed(f"chunk {chunk_no} was taken by another sender; this one stops sending")


def _write_results(connection: sqlite3.Connection, results: Sequence[Result]) -> None:
    outcomes, attempts = [], []
    # A sender that was taken for dead may still bring its answer, which is better than the doubt noted in its stead.
    connection.executemany(
        "DELETE FROM attempt WHERE (request_no, attempt, fence) = (?, ?, ?) AND reason = 'interrupted'",
        [(r.request_no, r.attempt, r.fence) for r in results],
    )
    for r in results:
        v = r.verdict
        said = (v.http_status, v.error_code, v.error_message, v.api_request_id, r.started_at, r.ended_at)
        if r.settled:
            outcomes.append((r.request_no, r.fence, v.outcome.value, v.reason, r.attempt, *said))
        else:
            tells = (v.tells or Tells.REFUSED).value
            attempts.append((r.request_no, r.attempt, r.fence, tells, int(v.counts), v.outcome.value, v.reason, *said))
    connection.executemany("INSERT INTO outcome VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", outcomes)
    connection.executemany("INSERT INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", attempts)
