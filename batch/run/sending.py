"""Second pass: what the ledger has open is sent, and every answer recorded.

Joins the ledger, the vendor's client and the pool; starts the embedded API where the config says `sandbox`; turns
signals into a drain. Reads and writes nothing but the ledger.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from batch.capillary.client import CapillaryClient
from batch.capillary.codes import judge
from batch.capillary.enrolments import Enrolments
from batch.errors import EnrollBatchError, LedgerFailed
from batch.ledger.sending import SendingLedger
from batch.model import Chunk, Entries, Event, OpenRequest, State, StopReason
from batch.run.api import api_of
from batch.run.run_log import RunLog
from batch.sending.adaptive import AdaptiveConcurrency, AdaptiveRate
from batch.sending.conclusions import Guards, now_ns
from batch.sending.guards import Reachability, RunRefusals, Stop, Thresholds
from batch.sending.pace_file import budget_key, state_folder
from batch.sending.pacing import Pacer
from batch.sending.pool import Pool
from batch.sending.quarantine import Quarantines
from batch.sending.retry import InDoubt, RetryRules
from batch.sending.shared_pacing import SharedPacer
from batch.sending.throttle import Speed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch.capillary.auth import BasicAuth, OAuth
    from batch.capillary.client import Address
    from batch.config import Settings
    from batch.model import EnrollmentRequest, NoAnswer, Reply, Verdict
    from batch.run.opening import OpenRun
    from batch.sending.protocols import Pace

CANARY_DONE = "canary"
"""The event that says so; after it a resume sends the rest."""

Watch = Callable[[Pool, int], Awaitable[None]]
"""Shows progress: given the pool and the number of open requests; runs beside the pool and is cancelled at its end."""


class CapillarySender:
    """The pool's Sender and Judge: the vendor's client, which also answers what became of a request in doubt."""

    def __init__(self, client: CapillaryClient) -> None:
        self._client = client
        self.send = client.send
        self.renew_token = client.renew_token
        self.verify = Enrolments(client).verify

    def judge(
        self,
        request: EnrollmentRequest,
        answer: Reply | NoAnswer,
        *,
        maybe_applied: bool,
        can_renew: bool,
        now_s: float,
    ) -> Verdict:
        """Judge one answer; what it says is kept without our credentials."""
        verdict = judge(request, answer, maybe_applied=maybe_applied, can_renew=can_renew, now_s=now_s)
        return replace(verdict, error_message=self._client.without_secrets(verdict.error_message))


class LedgerThread:
    """The pool's Recorder: the ledger on a thread of its own, so that a slow disk never delays a start."""

    def __init__(self, ledger: SendingLedger, log: RunLog, up_to_chunk: int | None = None) -> None:
        self._ledger = ledger
        self._log = log
        self._up_to_chunk = up_to_chunk
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")

    async def claim(self) -> tuple[Chunk, list[OpenRequest]] | None:
        """Claim the next chunk with its open requests, or None when there is none."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._claim)

    def _claim(self) -> tuple[Chunk, list[OpenRequest]] | None:
        chunk = self._ledger.claim_chunk(self._up_to_chunk)
        return (chunk, self._ledger.open_requests(chunk)) if chunk else None

    async def write(self, entries: Entries) -> None:
        """Write durably, all or nothing."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, entries)

    def _write(self, entries: Entries) -> None:
        self._ledger.write(entries, time.time_ns())
        self._log.write(entries.events)

    def close(self) -> None:
        """Wait for what is being written."""
        self._thread.shutdown()


def send(
    run: OpenRun, *, limit: int | None = None, watch: Watch | None = None, show: Callable[[str], None] | None = None
) -> Stop | None:
    """Send what is open, until nothing is or something stops it; return why it stopped, or None.

    `limit`: at most so many requests. `show` gets each event as one line for people.

    Raises:
        LedgerFailed: nothing was sent after that.
    """
    began = time.monotonic_ns()
    ledger = SendingLedger(run.ledger, owner=run.folder.name)
    log = RunLog(run.folder, show)
    interrupted = ledger.take_over(time.time_ns())
    ((started_at, before_ns),) = run.ledger.read("SELECT started_at, sending_ns FROM run")
    if started_at is None:
        _note(ledger, log, "started", f"{ledger.open_count()} requests to send")
    else:
        _note(ledger, log, "resumed", f"{ledger.open_count()} requests open, {interrupted} in doubt after a death")
    run.ledger.update_run(
        state=State.SENDING.value,
        started_at=started_at or time.time_ns(),
        stop_reason=None,
        stop_text=None,
        exit_code=None,
    )
    try:
        with api_of(run) as (address, credentials):
            stop = asyncio.run(_send(run, ledger, log, address, credentials, limit=limit, watch=watch))
    except EnrollBatchError as error:
        if ledger.is_superseded:  # how the run stands is no longer ours to say
            raise
        with suppress(LedgerFailed):
            run.ledger.update_run(state=State.STOPPED.value, stop_reason=StopReason.FAULT.value, stop_text=error.text)
        raise
    _note(ledger, log, "stopped" if stop else "finished", stop.text if stop else "every request has its outcome")
    run.ledger.update_run(
        state=(State.STOPPED if stop else State.FINISHED).value,
        stop_reason=stop.reason.value if stop else None,
        stop_text=stop.text if stop else None,
        finished_at=time.time_ns(),
        sending_ns=before_ns + time.monotonic_ns() - began,
    )
    return stop


def _note(ledger: SendingLedger, log: RunLog, kind: str, text: str) -> None:
    event = Event(time.time_ns(), kind, text)
    ledger.write(Entries(events=[event]), event.at)
    log.write([event])


async def _send(
    run: OpenRun,
    ledger: SendingLedger,
    log: RunLog,
    address: Address,
    credentials: BasicAuth | OAuth,
    *,
    limit: int | None,
    watch: Watch | None,
) -> Stop | None:
    concurrency = run.overrides.concurrency_of(run.settings)
    canary, last_chunk = _canary(run, ledger)
    pace = pace_of(run, credentials)
    client = CapillaryClient(address, credentials, concurrency)
    recorder = LedgerThread(ledger, log, last_chunk)
    sender = CapillarySender(client)
    pool = Pool(
        sender,
        sender.judge,
        recorder,
        speed=speed_of(run, pace),
        retry=_retry_rules(run.settings),
        guards=_guards(run.settings, ledger, concurrency),
        concurrency=concurrency,
        random=random.random,
        limit=limit,
        canary=canary,
    )
    watching = asyncio.ensure_future(watch(pool, ledger.open_count())) if watch else None
    try:
        with draining_on_signals(pool):
            stop = await pool.run()
    finally:
        if watching:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        await client.aclose()
        recorder.close()
        pace.close()
    if stop is None and canary is not None:
        _note(ledger, log, CANARY_DONE, f"{len(canary)} customers sent as a sample")
        if ledger.open_count():
            return Stop(StopReason.CANARY, f"the canary of {len(canary)} customers is done and waits for a word")
    return stop


def _canary(run: OpenRun, ledger: SendingLedger) -> tuple[frozenset[int] | None, int | None]:
    """Return the customers of the sample that goes first, and its last chunk; None when there is none to send."""
    wanted = run.overrides.canary_of(run.settings)
    if not wanted or run.ledger.read("SELECT 1 FROM event WHERE kind = ?", CANARY_DONE):
        return None, None
    return ledger.canary(wanted)


def pace_of(run: OpenRun, credentials: BasicAuth | OAuth) -> Pace:
    """Return the pace of this run: with a real API one budget for all runs on this machine that use its key."""
    rate = _rate(run)
    if run.settings.uses_sandbox:
        return Pacer(rate)
    budget = budget_key(run.settings.api.base_url, credentials.identity)
    return SharedPacer(state_folder(os.environ), budget, rate, run_id=run.folder.name, now=now_ns())


def speed_of(run: OpenRun, pace: Pace) -> Speed:
    """Return how fast the run may go, and what may slow it down."""
    if not run.settings.pacing.adaptive:
        return Speed(pace)
    return Speed(pace, AdaptiveRate(_rate(run)), AdaptiveConcurrency(run.overrides.concurrency_of(run.settings)))


def _rate(run: OpenRun) -> tuple[int, int] | None:
    rate = run.overrides.rate_of(run.settings)
    return (rate.max_starts, rate.window_ns) if rate else None


def _retry_rules(settings: Settings) -> RetryRules:
    retry = settings.retry
    return RetryRules(retry.attempts, retry.base_s, retry.max_s, InDoubt(retry.in_doubt))


def _guards(settings: Settings, ledger: SendingLedger, concurrency: int) -> Guards:
    return Guards(
        refusals=RunRefusals(),
        thresholds=Thresholds(settings.guard.stop_when, settings.guard.minimum),
        reachability=Reachability(
            attempts=settings.retry.attempts,
            outage_ns=int(settings.retry.outage_s * 1e9),
            failures_to_doubt=max(10, 2 * concurrency),
        ),
        quarantines=Quarantines(ledger.quarantined()),
    )


@contextmanager
def draining_on_signals(pool: Pool) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM drain the pool, and a second one end it at once."""
    loop = asyncio.get_running_loop()

    def drain(number: signal.Signals) -> None:
        if pool.stopping:
            pool.abort()
        pool.stop(Stop(StopReason.SIGNAL, f"stopped by {number.name}"))

    numbers = (signal.SIGINT, signal.SIGTERM)
    with suppress(NotImplementedError):  # Windows: Ctrl-C then ends the process like a crash, which a resume mends
        for number in numbers:
            loop.add_signal_handler(number, drain, number)
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            for number in numbers:
                loop.remove_signal_handler(number)
