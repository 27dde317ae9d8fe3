"""Step 4 of 5: the worker pool: the only place with tasks and sleeping.

Owns the order of things: claim a chunk, take a request whose lane is free, write its intent, wait for its slot, start
its attempt, write down what came of it, go on. What it decides by is given to it: pacing, retry rules, guards, and
the judge. Knows no HTTP and no database: a Sender sends, a Recorder records.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from batch.errors import LedgerFailed
from batch.model import StopReason
from batch.sending.attempts import Attempts
from batch.sending.conclusions import Conclusions, now_ns
from batch.sending.guards import Stop
from batch.sending.lanes import Lanes
from batch.sending.needless import Needless
from batch.sending.selection import Selection
from batch.sending.turns import Turns

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence

    from batch.model import OpenRequest, Outcome
    from batch.sending.conclusions import Guards
    from batch.sending.protocols import Judge, Recorder, Sender
    from batch.sending.retry import RetryRules
    from batch.sending.throttle import Speed
    from batch.sending.timetable import Timetable

LOOKAHEAD_NS = 50_000_000
"""Intents of the slots due in this time are written together, before the first of them."""
FLUSH_S = 0.05
"""How long a result may wait to be written."""
LOOK_AGAIN_NS = 60_000_000_000
"""How often the clock on the wall is looked at while nothing may start."""
SAME_NS = 60_000_000_000
"""A later end of a wait is told only where it is later by so much."""


class Pool:
    """Sends what a recorder has open, until nothing is open or something stops it."""

    def __init__(
        self,
        sender: Sender,
        judge: Judge,
        recorder: Recorder,
        *,
        speed: Speed,
        retry: RetryRules,
        guards: Guards,
        concurrency: int,
        random: Callable[[], float],
        limit: int | None = None,
        canary: frozenset[int] | None = None,
        timetable: Timetable | None = None,
    ) -> None:
        """`limit`: send at most so many requests. `canary`: send only these customers, then stop for a word.

        `timetable`: when requests may start by the clock on the wall; None for any time.
        """
        self._recorder = recorder
        self._pacer = speed.pacer
        self._guards = guards
        self._selection = Selection(limit, canary)
        self._idle = list(reversed(range(concurrency)))
        self._lanes = Lanes()
        self._conclusions = Conclusions(self._lanes, speed, retry, guards, random=random, stop=self.stop)
        self._needless = Needless(self._lanes, guards.cascades, self._conclusions)
        self._turns = Turns(self._lanes, guards.quarantines, self._conclusions, self._needless, self._selection)
        self._attempts = Attempts(sender, judge, self._conclusions, self._needless, self.stop)
        self._timetable = timetable
        self._closed_until = 0
        self._all_claimed = False
        self._stop: Stop | None = None
        self._failure: LedgerFailed | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def attempts(self) -> int:
        """Attempts of this invocation so far."""
        return self._attempts.count

    @property
    def settled(self) -> Counter[Outcome]:
        """Outcomes of this invocation so far."""
        return self._conclusions.settled

    @property
    def in_flight(self) -> int:
        """How many requests are out now."""
        return len(self._tasks)

    @property
    def stopping(self) -> bool:
        """Whether the pool drains."""
        return self._stop is not None

    @property
    def per_s(self) -> float | None:
        """Starts per second at the rate in force, None without a limit."""
        return self._conclusions.throttle.per_s

    @property
    def held_s(self) -> float:
        """For how many seconds from now nothing may start: the API asked for it, or it is not the time."""
        return max(0, self._pacer.held_until - now_ns(), self._closed_until - now_ns()) / 1e9

    def stop(self, stop: Stop) -> None:
        """Drain: start nothing more, finish what is out. The first reason stands, but for a refusal of the whole run.

        That one shows in the answers that a drain waits for, and `resume` is of no use before it is mended.
        """
        outranks = stop.reason is StopReason.REFUSED and self._stop and self._stop.reason is not StopReason.FAULT
        if self._stop is None or outranks:
            self._stop = stop
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
            with contextlib.suppress(LedgerFailed):  # where it was not the ledger, what is known is kept
                await self._flush()
            raise self._failure
        if limit_reached := self._selection.stop:
            self.stop(limit_reached)
        self._conclusions.decide_pending(self._stop)
        await self._flush()
        return self._stop

    @property
    def _ending(self) -> bool:
        return self._stop is not None or self._failure is not None

    async def _dispatch(self) -> None:
        while not self._ending:
            self._wake.clear()
            await self._top_up()
            now = now_ns()
            if self._free_places() <= 0:
                await self._wait(None)
                continue
            self._lanes.wake(now)
            self._needless.hear()
            if not self._lanes.ready_count:
                if self._lanes.is_empty:
                    if self._selection.leaves_out or not self._needless.finish():
                        return
                    await self._flush()
                    continue
                retry_at = self._lanes.next_retry_at()
                if retry_at is not None and not self._tasks:
                    retry_at = self._opens_at(retry_at)
                await self._wait(retry_at)
                continue
            at = self._next_start_at(now)
            if self._ending:
                return
            if at > now + LOOKAHEAD_NS:
                await self._wait(at - LOOKAHEAD_NS)
                continue
            self._lanes.wake(at)
            batch = self._take_batch(now + LOOKAHEAD_NS - at)
            if batch:
                await self._flush(batch)
                await self._launch(batch)

    def _free_places(self) -> int:
        idle, in_flight = len(self._idle), len(self._tasks)
        if self._guards.refusals.unproven:  # wrong credentials cost three calls, not one for each worker
            return min(idle, 1 - in_flight)
        return self._conclusions.throttle.places(idle, in_flight)

    async def _top_up(self) -> None:
        while self._lanes.ready_count < self._free_places() and not (self._all_claimed or self._selection.is_used_up):
            claimed = await self._recorder.claim()
            if claimed is None:
                self._all_claimed = True
                return
            chunk, requests = claimed
            self._lanes.add_chunk(chunk, [self._conclusions.taken_up(item) for item in requests])
            if not requests:
                self._conclusions.chunk_is_empty(chunk)

    def _take_batch(self, horizon_ns: int) -> list[OpenRequest]:
        """Take as many requests as there are places, lanes, and slots in the next `horizon_ns`."""
        places = self._free_places()
        if self._pacer.interval_ns:
            places = min(places, 1 + horizon_ns // (self._pacer.interval_ns * self._pacer.sharer_count))
        batch: list[OpenRequest] = []
        while len(batch) < places and self._lanes.ready_count:
            if item := self._turns.next():
                batch.append(item)
        return batch

    async def _launch(self, batch: Sequence[OpenRequest]) -> None:
        """Start each request at its slot; when the run stops meanwhile, withdraw the intents of the rest.

        Where a hold comes meanwhile that ends out of hours, they wait for the next hours with their intents.
        """
        for index, item in enumerate(batch):
            while not self._ending and (at := self._next_start_at(now := now_ns())) > now:
                self._wake.clear()
                await self._wait(at)
            if self._ending:
                for unsent in batch[index:]:
                    self._conclusions.withdraw(unsent)
                return
            self._pacer.started(now)
            self._start(item)

    def _next_start_at(self, now: int) -> int:
        """Ask the clock on the wall, and the pacer; where the file of a shared pace fails, nothing more may start."""
        at = now
        if self._opens_at(now) == now:
            try:
                at = self._pacer.next_start_at(now)
            except LedgerFailed as failure:
                self._failure = failure
                return now
        opens = self._opens_at(at)
        self._close_until(opens if opens > at else 0, now)
        return opens

    def _opens_at(self, at: int) -> int:
        """Return from when, not before `at`, a request may start and end in time; stop where that is never."""
        if self._timetable is None:
            return at
        opens = self._timetable.opens_at(at, now_ns(), self._conclusions.throttle.lasting_ns)
        if opens is None:
            self.stop(Stop(StopReason.DEADLINE, self._timetable.over))
        return at if opens is None else opens

    def _close_until(self, opens: int, now: int) -> None:
        """Take note from when requests may start, 0 for now, and tell it once."""
        if self._timetable and opens > self._closed_until + SAME_NS:
            shown = self._timetable.shown(opens, now)
            held_s, why = (opens - now) / 1e9, f"waiting for {shown}"
            self._conclusions.event("hold", f"{held_s:.1f} s: {why}", held_s=round(held_s, 3), reason=why)
        self._closed_until = opens

    def _start(self, item: OpenRequest) -> None:
        worker = self._idle.pop()
        task = asyncio.create_task(self._attempts.make(worker, item))
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._idle.append(worker)
            self._wake.set()

        task.add_done_callback(ended)

    async def _flush(self, batch: Sequence[OpenRequest] = ()) -> None:
        """Write what happened, and with it the intents of the batch that leaves next."""
        entries = self._conclusions.take_entries(batch)
        if entries:
            await self._recorder.write(entries)

    @property
    def _flush_in_s(self) -> float:
        """When to write next: not before the hours begin where nothing is out."""
        closed_s = min(self._closed_until - now_ns(), LOOK_AGAIN_NS) / 1e9
        return FLUSH_S if self._tasks else max(FLUSH_S, closed_s)

    async def _flush_regularly(self) -> None:
        while self._failure is None and not self._ended.is_set():
            if now_ns() >= self._closed_until:  # who waits for his hour leaves the rate to others
                self._pacer.beat(now_ns())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), self._flush_in_s)
            try:
                await self._flush()
            except LedgerFailed as failure:
                self._failure = failure
                self._wake.set()

    async def _wait(self, until: int | None) -> None:
        """Wait until something happens, at most until a time, and not so long that a clock that was set goes unseen."""
        until = None if until is None else min(until, now_ns() + LOOK_AGAIN_NS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if until is None else max(0, until - now_ns()) / 1e9):
                await self._wake.wait()
