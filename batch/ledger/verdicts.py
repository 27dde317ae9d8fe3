"""Step 2 of 5: what `verify` reads and writes: whom to ask about, and what the API said.

Owns which requests are worth a look and that each is looked at once in a verification, also when it is killed and
begun again: a verification lasts from its first event to the event that ends it. Everything is appended. Knows no
HTTP and nothing of what an answer proves.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from batch.ledger.events import write_events
from batch.ledger.standing import TAKEN_BACK
from batch.model import Action, EnrollmentRequest, Event, Kind, Outcome, Scope

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from batch.ledger.sqlite import SqliteLedger
    from batch.model import Verdict

REQUESTS_READ: Final = 1_000
_BLOCK_BITS: Final = 10

_BEGINS: Final = {False: "verifying", True: "auditing"}
_ENDS: Final = {False: "verified", True: "audited"}
"""The kinds of the events that begin and end a verification, by whether it is an audit."""
_OF_SAMPLE: Final = "json_extract(facts, '$.sample') = ?2"
"""Whether such an event is about the verification with this label."""

_IN_DOUBT: Final = """
SELECT DISTINCT o.request_no FROM outcome o WHERE o.outcome = 'in_doubt' AND NOT EXISTS (
    SELECT 1 FROM outcome b WHERE b.request_no = o.request_no AND b.outcome NOT IN ('in_doubt', 'not_sent'))
AND NOT EXISTS (
    SELECT 1 FROM verdict v WHERE v.request_no = o.request_no AND v.sample = '' AND v.outcome <> 'in_doubt')
"""
"""The requests that stand in doubt by their outcomes and by what was said about them later."""

_ENROLLED: Final = """
SELECT o.request_no FROM outcome o WHERE o.outcome = 'enrolled' AND NOT (
    o.request_no IN (SELECT request_no FROM outcome GROUP BY request_no HAVING count(*) > 1) AND EXISTS (
        SELECT 1 FROM outcome b WHERE b.request_no = o.request_no AND b.fence > o.fence
        AND b.outcome NOT IN ('in_doubt', 'not_sent')))
ORDER BY o.request_no
"""
"""The requests that stand as enrolled by the answer to a request of ours; few have several outcomes."""

_COVERED_UNSENT: Final = "o.outcome = 'covered_by_cascade' AND o.attempt = 0"
_LEFT_OUT: Final = f"""
SELECT o.request_no FROM outcome o JOIN request r USING (request_no)
WHERE {_COVERED_UNSENT} AND r.scope_no NOT IN ({TAKEN_BACK}) ORDER BY o.request_no
"""
"""The requests that were settled without a call, because a cascade was found that was not taken back."""
_IS_LEFT_OUT: Final = f"EXISTS (SELECT 1 FROM outcome o WHERE o.request_no = v.request_no AND {_COVERED_UNSENT})"
"""Whether `verdict v` is about such a request."""

_OVERTAKEN: Final = """
SELECT request_no, EXISTS (
    SELECT 1 FROM request q JOIN scope t USING (scope_no) WHERE q.customer = r.customer
    AND q.request_no > r.request_no AND NOT q.contradicted AND t.action <> s.action AND t.org_id IS s.org_id
    AND (t.target_group_id, t.target_id) = (s.target_group_id, s.target_id))
FROM ({chosen}) JOIN request r USING (request_no) JOIN scope s USING (scope_no)
"""
"""Whether a later request of this run changed the same enrolment again, so its state says nothing about this request.
Only where a run has several actions, because it takes long to see."""

_TOLD: Final = "EXISTS (SELECT 1 FROM verdict v WHERE v.request_no = l.request_no AND v.asked_at >= ? AND v.sample = ?)"

_REQUEST: Final = (
    "r.request_no, r.customer, r.scope_no, s.action, s.kind, s.org_id, s.target_group_id, s.target_id, p.name,"
    " r.initial_balance, r.reset"
)
_JOINED: Final = "JOIN request r USING (request_no) JOIN scope s USING (scope_no) LEFT JOIN period p USING (period_no)"


@dataclass(frozen=True, slots=True)
class Look:
    """The requests, each with its number, that one answer tells about: those of one customer in one scope."""

    members: tuple[tuple[int, EnrollmentRequest], ...]


@dataclass(frozen=True, slots=True)
class Verification:
    """What is to be looked at. A begun verification of the same kind goes on with what it has not asked about yet.

    `begun_at` is in nanoseconds since 1970 UTC; `label` names the sample of an audit and is empty for doubts.
    """

    begun_at: int
    label: str
    request_count: int
    """Requests to ask about now."""
    look_count: int
    """Calls that this takes, without retries."""
    overtaken_count: int
    """Requests that were not chosen from, because a later request of the run hides what became of them."""
    population: int
    """Requests that were chosen from: in doubt, or enrolled."""
    left_out_count: int = 0
    """Requests that were chosen from, too, in an audit: settled without a call as covered by an earlier cycle."""

    @property
    def is_audit(self) -> bool:
        """Whether this is a sample of what is enrolled, and of what was left out as covered."""
        return bool(self.label)

    @property
    def key(self) -> tuple[int, str]:
        """What tells its verdicts from those of others: the least `asked_at`, and the sample."""
        return self.begun_at, self.label


@dataclass(frozen=True, slots=True)
class Told:
    """What was said about one request, and when, in nanoseconds since 1970 UTC."""

    request: EnrollmentRequest
    asked_at: int
    outcome: Outcome
    reason: str
    http_status: int | None
    error_code: int | None
    is_left_out: bool
    """Whether it was settled without a call, as covered by an earlier cycle."""


@dataclass(slots=True)
class _Candidates:
    """The chosen requests but for those that were overtaken, by number, and how many there were of both."""

    connection: sqlite3.Connection
    chosen: str
    population: int = 0
    overtaken: int = 0

    def __iter__(self) -> Iterator[int]:
        ((actions,),) = self.connection.execute("SELECT count(DISTINCT action) FROM scope")
        question = (
            _OVERTAKEN.format(chosen=self.chosen) if actions > 1 else f"SELECT request_no, 0 FROM ({self.chosen})"
        )
        for number, is_overtaken in self.connection.execute(question):
            if is_overtaken:
                self.overtaken += 1
            else:
                self.population += 1
                yield number


def draw(numbers: Iterable[int], size: int, seed: str) -> list[int]:
    """Return `size` of the numbers, or all where there are fewer, each as likely as any other.

    Whether a number is drawn before another depends on the two and on `seed` alone.
    """
    return [number for _, number in heapq.nsmallest(size, _lots(numbers, seed))]


def _lots(numbers: Iterable[int], seed: str) -> Iterator[tuple[float, int]]:
    """Give each number a lot. Lots are made for a block of numbers at once, because seeding is what takes long."""
    block, lots = -1, [0.0]
    for number in numbers:
        if number >> _BLOCK_BITS != block:
            block = number >> _BLOCK_BITS
            source = random.Random(f"{seed}:{block}")  # noqa: S311 - repeatable, and nobody gains by guessing it
            lots = [source.random() for _ in range(1 << _BLOCK_BITS)]
        yield lots[number & (1 << _BLOCK_BITS) - 1], number


class VerdictLedger:
    """The view of a ledger that `verify` needs. One at a time: the caller holds the run's lock."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self._ledger = ledger
        self._read_up_to = 0

    def begin_doubts(self, now: int) -> Verification:
        """Choose the requests that stand in doubt and were not asked about in the verification under way."""
        return self._begin("", (_IN_DOUBT,), iter, now)

    def begin_audit(self, size: int, seed: str, now: int) -> Verification:
        """Choose `size` of the enrolled requests, and as many of those left out as covered, by `seed`.

        The same ones each time, and a larger sample holds them too.
        """
        label = f"sample of {size}, seed {seed}"
        return self._begin(label, (_ENROLLED, _LEFT_OUT), lambda numbers: draw(numbers, size, seed), now)

    def _begin(
        self, label: str, chosen: Sequence[str], drawn: Callable[[Iterator[int]], Iterable[int]], now: int
    ) -> Verification:
        going_on_since = self._going_on_since(label)
        begun_at = going_on_since or now
        self._read_up_to = 0
        with self._ledger.transaction() as connection:
            candidates = [_Candidates(connection, each) for each in chosen]
            for table in ("drawn", "look"):
                connection.execute(f"DROP TABLE IF EXISTS temp.{table}")
                connection.execute(f"CREATE TEMP TABLE {table} (request_no INTEGER NOT NULL)")
            for each in candidates:
                connection.executemany("INSERT INTO drawn VALUES (?)", ((number,) for number in drawn(iter(each))))
            connection.execute(
                f"INSERT INTO look SELECT request_no FROM drawn l JOIN request USING (request_no)"
                f" WHERE NOT {_TOLD} ORDER BY customer, scope_no, request_no",
                (begun_at, label),
            )
            ((requests, looks),) = connection.execute(
                "SELECT count(*), count(DISTINCT customer || ' ' || scope_no) FROM look JOIN request USING (request_no)"
            )
            if requests and going_on_since is None:
                text = label or f"{requests} requests in doubt"
                facts = {"sample": label, "requests": requests, "looks": looks}
                write_events(connection, [Event(now, _BEGINS[bool(label)], text, facts)])
        overtaken = sum(each.overtaken for each in candidates)
        return Verification(begun_at, label, requests, looks, overtaken, *(each.population for each in candidates))

    def _going_on_since(self, label: str) -> int | None:
        """Return when the verification that was begun and not ended was begun; None when there is none."""
        ((at,),) = self._ledger.read(
            f"SELECT min(at) FROM event WHERE kind = ?1 AND {_OF_SAMPLE} AND event_no > coalesce("
            f"(SELECT max(event_no) FROM event WHERE kind = ?3 AND {_OF_SAMPLE}), 0)",
            _BEGINS[bool(label)],
            label,
            _ENDS[bool(label)],
        )
        return None if at is None else int(at)

    def next_looks(self, request_count: int = REQUESTS_READ) -> list[Look]:
        """Return the next looks of the verification, of about so many requests; none when all were returned."""
        rows = self._ledger.read(
            f"SELECT l.rowid, {_REQUEST} FROM look l {_JOINED} WHERE l.rowid > ? ORDER BY l.rowid LIMIT ?",
            self._read_up_to,
            request_count,
        )
        groups = [list(group) for _, group in groupby(rows, key=lambda row: row[2:4])]
        if len(rows) == request_count and len(groups) > 1:
            groups.pop()  # the rest of this one may not have been read
        if groups:
            self._read_up_to = groups[-1][-1][0]
        return [Look(tuple((row[1], _request(row[1:])) for row in group)) for group in groups]

    def write(
        self, verification: Verification, verdicts: Iterable[tuple[int, Verdict]], events: Sequence[Event], now: int
    ) -> None:
        """Write what was said about requests, by their numbers, and what happened meanwhile, in one durable commit."""
        with self._ledger.transaction() as connection:
            connection.executemany(
                "INSERT INTO verdict VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (no, now, verification.label, v.outcome, v.reason, v.http_status, v.error_code, v.api_request_id)
                    for no, v in verdicts
                ],
            )
            write_events(connection, events)

    def end(self, verification: Verification, now: int) -> None:
        """End a verification that is under way: the next one asks anew about what is still in doubt."""
        if self._going_on_since(verification.label) is None:
            return
        with self._ledger.transaction() as connection:
            text = verification.label or "the API was asked about every request in doubt"
            facts = {"sample": verification.label}
            write_events(connection, [Event(now, _ENDS[verification.is_audit], text, facts)])

    def told(self, verification: Verification) -> Iterator[Told]:
        """Yield what was said in this verification so far, in the order of the requests."""
        rows = self._ledger.read(
            f"SELECT v.asked_at, v.outcome, v.reason, v.http_status, v.error_code, {_IS_LEFT_OUT}, {_REQUEST}"
            f" FROM verdict v {_JOINED} WHERE v.asked_at >= ? AND v.sample = ? ORDER BY v.request_no",
            *verification.key,
        )
        for asked_at, outcome, reason, status, code, is_left_out, *request in rows:
            yield Told(_request(request), asked_at, Outcome(outcome), reason, status, code, bool(is_left_out))

    def counts(self, verification: Verification, *, left_out: bool = False) -> Counter[tuple[Outcome, str]]:
        """Return how many requests got which verdict in this verification so far, by outcome and reason.

        Of those that were left out as covered by an earlier cycle, or of the others.
        """
        rows = self._ledger.read(
            "SELECT v.outcome, v.reason, count(*) FROM verdict v WHERE v.asked_at >= ? AND v.sample = ?"
            f" AND {_IS_LEFT_OUT} = ? GROUP BY 1, 2",
            *verification.key,
            left_out,
        )
        return Counter({(Outcome(outcome), reason): count for outcome, reason, count in rows})

    def untold_count(self, verification: Verification) -> int:
        """Return how many of the chosen requests nothing was said about."""
        ((count,),) = self._ledger.read(f"SELECT count(*) FROM look l WHERE NOT {_TOLD}", *verification.key)
        return int(count)

    def open_count(self) -> int:
        """Return how many requests have no outcome yet: they are left to a resume."""
        ((count,),) = self._ledger.read(
            "SELECT count(*) FROM request r WHERE NOT contradicted"
            " AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.request_no = r.request_no)"
        )
        return int(count)


def _request(row: Sequence[Any]) -> EnrollmentRequest:
    """Return the request of a row with the columns _REQUEST."""
    _, customer, _, action, kind, org_id, target_group_id, target_id, period, balance, reset = row
    scope = Scope(Action(action), Kind(kind), org_id, target_group_id, target_id)
    return EnrollmentRequest(scope, customer, period, balance, bool(reset))
