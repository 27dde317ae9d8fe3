"""Step 4 of 5: the worker pool: the only place with tasks and sleeping.

Owns the order of things: claim a chunk, take a request whose lane is free, write its intent, wait for its slot,
send, ask what the answer means, write that down, go on. What it decides by is given to it: pacing, retry rules,
guards, and the judge. Knows no HTTP and no database: a Sender sends, a Recorder records.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from batch.errors import AccessRefused, LedgerFailed
from batch.model import Entries, Event, Intent, OpenRequest, Outcome, Result, StopReason, Tells, Verdict
from batch.sending.guards import Stop, is_pushback, is_transport_failure
from batch.sending.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batch.sending.guards import Reachability, RunRefusals, Thresholds
    from batch.sending.pacing import Pacer
    from batch.sending.protocols import Judge, Recorder, Sender
    from batch.sending.retry import RetryRules

LOOKAHEAD_NS = 50_000_000
"""Intents of the slots due in this time are written together, before the first of them."""
FLUSH_S = 0.05
"""How long a result may wait to be written."""


@dataclass(slots=True)
class Guards:
    """The folds that may stop a run."""

    refusals: RunRefusals[tuple[OpenRequest, Result]]
    thresholds: Thresholds
    reachability: Reachability


class Pool:
    """Sends what a recorder has open, until nothing is open or something stops it."""

    def __init__(
        self,
        sender: Sender,
        judge: Judge,
        recorder: Recorder,
        *,
        pacer: Pacer,
        retry: RetryRules,
        guards: Guards,
        concurrency: int,
        random: Callable[[], float],
        limit: int | None = None,
    ) -> None:
        self._sender = sender
        self._judge = judge
        self._recorder = recorder
        self._pacer = pacer
        self._retry = retry
        self._guards = guards
        self._random = random
        self._limit = limit
        self._begun: set[int] = set()
        self._idle = list(reversed(range(concurrency)))
        self._lanes = Lanes()
        self._all_claimed = False
        self._beyond_limit = False
        self._entries = Entries()
        self._stop: Stop | None = None
        self._failure: LedgerFailed | None = None
        self._renewed: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        self.settled: Counter[Outcome] = Counter()
        """Outcomes of this invocation so far."""
        self.attempts = 0
        """Attempts of this invocation so far."""

    @property
    def in_flight(self) -> int:
        """How many requests are out now."""
        return len(self._tasks)

    @property
    def stopping(self) -> bool:
        """Whether the pool drains."""
        return self._stop is not None

    @property
    def held_s(self) -> float:
        """For how many seconds from now nothing may start, because the API asked for it."""
        return max(0, self._pacer.held_until - _now()) / 1e9

    def stop(self, stop: Stop) -> None:
        """Drain: start nothing more, finish what is out. The first reason stands."""
        self._stop = self._stop or stop
        self._wake.set()

    def abort(self) -> None:
        """Give up what is out: those requests are in doubt."""
        for task in self._tasks:
            task.cancel()

    async def run(self) -> Stop | None:
        """Send until nothing is open; return why it stopped before that, or None.

        Raises:
            LedgerFailed: the ledger failed; nothing was sent after that.
        """
        flushing = asyncio.create_task(self._flush_regularly())
        try:
            await self._dispatch()
        finally:
            while self._tasks:
                await asyncio.wait(self._tasks)
            self._ended.set()
            await flushing
        if self._failure:
            raise self._failure
        if self._beyond_limit:
            self.stop(Stop(StopReason.LIMIT, f"--limit: {self._limit} requests were sent"))
        self._decide_pending()
        if self._stop:
            self._event("stopped", self._stop.text)
        await self._flush()
        return self._stop

    async def _dispatch(self) -> None:
        while self._stop is None and self._failure is None:
            self._wake.clear()
            await self._top_up()
            now = _now()
            self._lanes.wake(now)
            if self._free_places() <= 0 or not self._lanes.ready_count:
                if self._lanes.is_empty:
                    return
                await self._wait(self._lanes.next_retry_at())
                continue
            at = self._pacer.next_start_at(now)
            if at > now + LOOKAHEAD_NS:
                await self._wait(at - LOOKAHEAD_NS)
                continue
            batch = self._take_batch(now + LOOKAHEAD_NS - at)
            if batch:
                await self._flush(batch)
                await self._launch(batch)

    def _free_places(self) -> int:
        if self._guards.reachability.probing:
            return min(len(self._idle), 1 - len(self._tasks))
        return len(self._idle)

    async def _top_up(self) -> None:
        while self._lanes.ready_count < self._free_places() and not (self._all_claimed or self._beyond_limit):
            claimed = await self._recorder.claim()
            if claimed is None:
                self._all_claimed = True
                return
            chunk, requests = claimed
            self._lanes.add_chunk(chunk, requests)
            if not requests:
                self._entries.finished_chunks.append(chunk)

    def _take_batch(self, horizon_ns: int) -> list[OpenRequest]:
        """Take as many requests as there are places, lanes, and slots in the next `horizon_ns`."""
        places = self._free_places()
        if self._pacer.interval_ns:
            places = min(places, 1 + horizon_ns // self._pacer.interval_ns)
        batch: list[OpenRequest] = []
        while len(batch) < places and self._lanes.ready_count:
            item = self._lanes.take()
            if self._within_limit(item):
                batch.append(item)
            else:
                self._beyond_limit = True
                self._lanes.give_back(item)
        return batch

    def _within_limit(self, item: OpenRequest) -> bool:
        if self._limit is None or item.request_no in self._begun:
            return True
        if len(self._begun) >= self._limit:
            return False
        self._begun.add(item.request_no)
        return True

    async def _launch(self, batch: Sequence[OpenRequest]) -> None:
        """Start each request at its slot; when the run stops meanwhile, withdraw the intents of the rest."""
        for index, item in enumerate(batch):
            while self._stop is None and self._failure is None and (at := self._pacer.next_start_at(_now())) > _now():
                self._wake.clear()
                await self._wait(at)
            if self._stop is not None or self._failure is not None:
                for unsent in batch[index:]:
                    self._withdraw(unsent)
                return
            self._pacer.started(_now())
            self.attempts += 1
            self._start(item)

    def _start(self, item: OpenRequest) -> None:
        worker = self._idle.pop()
        task = asyncio.create_task(self._attempt(worker, item))
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._idle.append(worker)
            self._wake.set()

        task.add_done_callback(ended)

    async def _attempt(self, worker: int, item: OpenRequest) -> None:
        started_at = time.time_ns()
        try:
            verdict = await self._ask(worker, item)
            self._conclude(item, verdict, started_at)
        except AccessRefused as refusal:
            self.attempts -= 1
            self._withdraw(item)
            self.stop(Stop(StopReason.REFUSED, refusal.text))
        except asyncio.CancelledError:
            self._leave_in_doubt(item, started_at, "stopped before the answer came")
        except Exception as fault:  # an unknown fault stops the run; its request is not tried again
            text = f"a fault of enroll-batch itself: {type(fault).__name__} at {_place(fault)}"
            self._leave_in_doubt(item, started_at, text)
            self.stop(Stop(StopReason.FAULT, text))

    async def _ask(self, worker: int, item: OpenRequest) -> Verdict:
        """Make one attempt and say what it means, renewing the token once if that may help."""
        answer = await self._sender.send(worker, item.request)

        def judge(can_renew: bool) -> Verdict:
            return self._judge(
                item.request, answer, maybe_applied=item.maybe_applied, can_renew=can_renew, now_s=time.time()
            )

        verdict = judge(item.request_no not in self._renewed)
        if not verdict.renew_token:
            return verdict
        self._renewed.add(item.request_no)
        try:
            return verdict if await self._sender.renew_token(worker) else judge(False)
        except AccessRefused as refusal:
            self.stop(Stop(StopReason.REFUSED, refusal.text))
            return judge(False)

    def _conclude(self, item: OpenRequest, verdict: Verdict, started_at: int) -> None:
        now = _now()
        verdict = self._watch_transport(verdict, now)
        counted = item.attempts_counted + verdict.counts
        in_doubt = item.maybe_applied or verdict.tells is Tells.MAY_BE_APPLIED
        attempt = item.attempts + 1
        result = Result(item.request_no, item.chunk.fence, attempt, verdict, True, started_at, time.time_ns())
        if not verdict.settled and self._retry.may_try_again(item.request, verdict, counted, in_doubt):
            self._entries.results.append(replace(result, settled=False))
            later = replace(item, attempts=attempt, attempts_counted=counted, maybe_applied=in_doubt)
            delay_ns = 0 if verdict.renew_token else self._retry.backoff_ns(max(1, counted), self._random())
            self._lanes.retry(later, now + delay_ns)
            return
        self._renewed.discard(item.request_no)
        self._lanes.advance(item)
        released, stop = self._guards.refusals.observe(verdict, (item, result))
        for settled_item, settled_result in released:
            self._settle(settled_item, settled_result)
        if stop:
            self.stop(stop)

    def _watch_transport(self, verdict: Verdict, now: int) -> Verdict:
        """Hold everybody when the API asks for it or does not answer; an outage uses up no attempts."""
        reachability = self._guards.reachability
        if stop := reachability.observe(verdict, now):
            self.stop(stop)
        if is_transport_failure(verdict) and reachability.probing:
            self._hold(now + self._retry.backoff_ns(reachability.failures, self._random()), verdict.reason)
            return replace(verdict, counts=False)
        if is_pushback(verdict):
            asked_ns = int(verdict.hold_s * 1e9) if verdict.hold_s is not None else 0
            backoff_ns = self._retry.backoff_ns(reachability.pushbacks, self._random())
            self._hold(now + (asked_ns or backoff_ns), f"HTTP {verdict.http_status}")
        return verdict

    def _hold(self, until: int, why: str) -> None:
        if until > self._pacer.held_until:
            self._pacer.hold_until(until)
            self._event("hold", f"{(until - _now()) / 1e9:.1f} s: {why}")

    def _settle(self, item: OpenRequest, result: Result) -> None:
        self._entries.results.append(result)
        self.settled[result.verdict.outcome] += 1
        if self._lanes.settle(item):
            self._entries.finished_chunks.append(item.chunk)
        if stop := self._guards.thresholds.observe(result.verdict.outcome):
            self.stop(stop)

    def _decide_pending(self) -> None:
        """Settle refusals that were too few to speak for the run; leave them open when they did."""
        pending, stop = self._guards.refusals.at_end(stopped=self._stop is not None)
        if stop:
            self.stop(stop)
        for item, result in pending:
            if self._stop and self._stop.reason is StopReason.REFUSED:
                open_verdict = replace(result.verdict, counts=False, tells=Tells.REFUSED)
                self._entries.results.append(replace(result, settled=False, verdict=open_verdict))
            else:
                self._settle(item, result)

    def _withdraw(self, item: OpenRequest) -> None:
        """Write down that the intent was not carried out: nothing left."""
        verdict = Verdict(Outcome.NOT_SENT, settled=False, tells=Tells.WITHDRAWN, counts=False)
        self._leave_open(item, verdict, None)

    def _leave_in_doubt(self, item: OpenRequest, started_at: int, why: str) -> None:
        verdict = Verdict(Outcome.IN_DOUBT, settled=False, reason=why, tells=Tells.MAY_BE_APPLIED)
        self._leave_open(item, verdict, started_at)

    def _leave_open(self, item: OpenRequest, verdict: Verdict, started_at: int | None) -> None:
        now = time.time_ns()
        result = Result(item.request_no, item.chunk.fence, item.attempts + 1, verdict, False, started_at, now)
        self._entries.results.append(result)
        self._lanes.give_back(item)

    def _event(self, kind: str, text: str) -> None:
        self._entries.events.append(Event(time.time_ns(), kind, text))

    async def _flush(self, batch: Sequence[OpenRequest] = ()) -> None:
        """Write what happened, and with it the intents of the batch that leaves next."""
        entries, self._entries = self._entries, Entries()
        for chunk, items in groupby(sorted(batch, key=lambda item: item.chunk.chunk_no), key=lambda item: item.chunk):
            entries.intents.append(Intent(chunk, tuple((item.request_no, item.attempts + 1) for item in items)))
        if entries:
            await self._recorder.write(entries)

    async def _flush_regularly(self) -> None:
        while self._failure is None and not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), FLUSH_S)
            try:
                await self._flush()
            except LedgerFailed as failure:
                self._failure = failure
                self._wake.set()

    async def _wait(self, until: int | None) -> None:
        """Wait until something happens, at most until a time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if until is None else max(0, until - _now()) / 1e9):
                await self._wake.wait()


def _now() -> int:
    return round(asyncio.get_running_loop().time() * 1e9)


def _place(fault: Exception) -> str:
    """Name the innermost line of a fault, without any of its values."""
    trace = fault.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace else "an unknown place"
