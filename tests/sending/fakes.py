"""A sender and a recorder in memory, and requests to send; the real ones pass the same contract elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from batch.errors import LedgerFailed
from batch.model import (
    Action,
    Chunk,
    EnrollmentRequest,
    Entries,
    Event,
    Kind,
    Looked,
    NoAnswer,
    OpenRequest,
    Outcome,
    Reply,
    Result,
    Scope,
    Seen,
    Speaks,
    Tells,
    Verdict,
)  # fmt: skip
from batch.sending.adaptive import AdaptiveConcurrency, AdaptiveRate
from batch.sending.cascade import Cascades
from batch.sending.conclusions import Guards
from batch.sending.guards import Reachability, RunRefusals, Thresholds
from batch.sending.pacing import Pacer
from batch.sending.pool import Pool
from batch.sending.quarantine import Quarantines
from batch.sending.retry import InDoubt, RetryRules
from batch.sending.throttle import Speed
from batch.sending.timetable import Timetable  # noqa: TC001 - like the rest of what a pool is made of

SCOPE = Scope(Action.ENROLL, Kind.MILESTONE, None, 29463, 5512)

ENROLLED = Verdict(Outcome.ENROLLED, settled=True, http_status=200)
INVALID = Verdict(Outcome.INVALID_USER, settled=True, http_status=400, error_code=310011)
BUSY = Verdict(Outcome.SERVER_ERROR, settled=False, tells=Tells.REFUSED, http_status=461, error_code=461)
LOST = Verdict(Outcome.IN_DOUBT, settled=False, reason="no answer", tells=Tells.MAY_BE_APPLIED)
REFUSED_PORT = Verdict(Outcome.UNREACHABLE, settled=False, reason="refused", tells=Tells.NEVER_REACHED)
NO_ACCESS = Verdict(Outcome.ACCESS_REFUSED, settled=True, speaks=Speaks.RUN, http_status=403, error_code=4000)
STALE = Verdict(
    Outcome.ACCESS_REFUSED, settled=False, tells=Tells.REFUSED, http_status=498, counts=False, renew_token=True
)


def too_many(hold_s: float | None) -> Verdict:
    return Verdict(
        Outcome.RATE_LIMITED, settled=False, tells=Tells.REFUSED, http_status=429, counts=False, hold_s=hold_s
    )


class FakeSender:
    """Answers after `latency_s` with what `script` says for (customer, period, attempt)."""

    def __init__(
        self, script: Callable[[int, str | None, int], Verdict | Exception], latency_s: float = 0.1, renews: bool = True
    ) -> None:
        self.script = script
        self.latency_s = latency_s
        self.renews = renews
        self.renewals = 0
        self.looks: list[tuple[int, str | None]] = []
        self.looked_at: list[int] = []
        self.standing: Callable[[int, int], Looked | Verdict | None] = lambda *_: None
        """What a look at a customer says, by the number of looks so far; a verdict alone: the API answered well."""
        self.shows: Callable[[int, str | None], bool | Seen | None] = lambda *_: None
        """What a look at what was left out says of (customer, period): enrolled, not, or not known; or all of it."""
        self.starts: list[tuple[int, int, str | None]] = []
        """When (nanoseconds on the loop's clock), which customer, which period."""
        self.in_flight: set[int] = set()
        self.most_in_flight = 0
        self.overlaps = 0
        self._attempts: dict[tuple[int, str | None], int] = {}
        self.verdicts: dict[int, Verdict] = {}

    async def send(self, worker: int, request: EnrollmentRequest) -> Reply | NoAnswer:
        key = (request.customer, request.period)
        self._attempts[key] = attempt = self._attempts.get(key, 0) + 1
        self.starts.append((round(asyncio.get_running_loop().time() * 1e9), *key))
        self.overlaps += request.customer in self.in_flight
        self.in_flight.add(request.customer)
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight))
        try:
            await asyncio.sleep(self.latency_s)
        finally:
            self.in_flight.discard(request.customer)
        said = self.script(request.customer, request.period, attempt)
        if isinstance(said, Exception):
            raise said
        self.verdicts[worker] = said
        return Reply(worker, b"")

    def judge(
        self,
        request: EnrollmentRequest,
        answer: Reply | NoAnswer,
        *,
        maybe_applied: bool,
        can_renew: bool,
        now_s: float,
    ) -> Verdict:
        assert isinstance(answer, Reply)
        verdict = self.verdicts[answer.status]
        return verdict if can_renew or not verdict.renew_token else NO_ACCESS

    async def verify(self, worker: int, request: EnrollmentRequest) -> Looked:
        self.looks.append((request.customer, request.period))
        self.looked_at.append(round(asyncio.get_running_loop().time() * 1e9))
        await asyncio.sleep(self.latency_s)
        found = self.standing(request.customer, len(self.looks))
        return found if isinstance(found, Looked) else Looked(ENROLLED, found)

    async def look_at(self, worker: int, requests: Sequence[EnrollmentRequest]) -> Seen:
        self.looks.append((requests[0].customer, None))
        self.looked_at.append(round(asyncio.get_running_loop().time() * 1e9))
        self.overlaps += requests[0].customer in self.in_flight
        await asyncio.sleep(self.latency_s)
        said = [self.shows(each.customer, each.period) for each in requests]
        whole = next((each for each in said if isinstance(each, Seen)), None)
        return whole or Seen(ENROLLED, tuple(said))

    async def renew_token(self, worker: int) -> bool:
        self.renewals += 1
        return self.renews


class FakeRecorder:
    """Keeps what is written, checks that no result comes without its intent, and fails from write `fails_at` on."""

    def __init__(self, chunks: Iterable[list[OpenRequest]], fails_at: int | None = None) -> None:
        self._chunks = list(chunks)
        self._fails_at = fails_at
        self.claims = 0
        self.writes = 0
        self.intended: set[tuple[int, int]] = set()
        self.results: list[Result] = []
        self.finished: list[int] = []
        self.events: list[str] = []
        self.told: list[Event] = []

    async def claim(self) -> tuple[Chunk, list[OpenRequest]] | None:
        self.claims += 1
        await asyncio.sleep(0)
        if not self._chunks:
            return None
        requests = self._chunks.pop(0)
        return requests[0].chunk, requests

    async def write(self, entries: Entries) -> None:
        self.writes += 1
        await asyncio.sleep(0)
        if self._fails_at is not None and self.writes >= self._fails_at:
            raise LedgerFailed("disk full")
        for result in entries.results:
            assert result.attempt == 0 or (result.request_no, result.attempt) in self.intended
        for intent in entries.intents:
            self.intended |= set(intent.attempts)
        self.results += entries.results
        self.finished += [chunk.chunk_no for chunk in entries.finished_chunks]
        self.events += [event.kind for event in entries.events]
        self.told += entries.events

    def outcomes(self) -> dict[int, Outcome]:
        return {r.request_no: r.verdict.outcome for r in self.results if r.settled}

    def open_attempts(self, tells: Tells) -> list[int]:
        return [r.request_no for r in self.results if not r.settled and r.verdict.tells is tells]


def open_requests(customers: int, periods: int = 1, chunk_no: int = 1) -> list[OpenRequest]:
    """Requests numbered from 1 in lane order; customer 1..customers, periods c1, c2, ..."""
    chunk = Chunk(chunk_no, 1)
    first = (chunk_no - 1) * customers * periods + 1
    keys = [(c, p) for c in range(1, customers + 1) for p in range(1, periods + 1)]
    return [
        OpenRequest(no, EnrollmentRequest(SCOPE, customer + (chunk_no - 1) * customers, f"c{period}"), chunk)
        for no, (customer, period) in enumerate(keys, start=first)
    ]


def make_pool(
    sender: FakeSender,
    recorder: FakeRecorder,
    *,
    rate: tuple[int, int] | None = None,
    concurrency: int = 4,
    attempts: int = 3,
    limit: int | None = None,
    in_doubt: InDoubt = InDoubt.RESEND,
    outage_s: float = 60,
    stop_when: dict[str, float] | None = None,
    minimum: int = 10,
    adaptive: bool = False,
    timetable: Timetable | None = None,
    cascades: Cascades | None = None,
) -> Pool:
    adaptives = (AdaptiveRate(rate), AdaptiveConcurrency(concurrency)) if adaptive else ()
    return Pool(
        sender,
        sender.judge,
        recorder,
        speed=Speed(Pacer(rate), *adaptives),
        retry=RetryRules(attempts, 0.5, 60, in_doubt),
        guards=Guards(
            RunRefusals(),
            Thresholds(stop_when or {}, minimum),
            Reachability(attempts, int(outage_s * 1e9), 10),
            Quarantines(),
            cascades or Cascades(),
        ),
        concurrency=concurrency,
        random=lambda: 0.5,
        limit=limit,
        timetable=timetable,
    )
