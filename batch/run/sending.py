"""Second pass: what the ledger has open is sent, and every answer recorded.

Joins the ledger, the vendor's client and the pool; starts the embedded API where the config says `sandbox`; turns
signals into a drain. Reads and writes nothing but the ledger.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from batch.capillary.client import CapillaryClient
from batch.capillary.codes import judge
from batch.ledger.sending import SendingLedger
from batch.model import Chunk, Entries, Event, OpenRequest, State, StopReason
from batch.run.api import api_of
from batch.sending.adaptive import AdaptiveConcurrency, AdaptiveRate
from batch.sending.conclusions import Guards
from batch.sending.guards import Reachability, RunRefusals, Stop, Thresholds
from batch.sending.pacing import Pacer
from batch.sending.pool import Pool
from batch.sending.retry import InDoubt, RetryRules
from batch.sending.throttle import Speed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch.capillary.auth import BasicAuth, OAuth
    from batch.capillary.client import Address
    from batch.config import Settings
    from batch.run.opening import OpenRun

Watch = Callable[[Pool, int], Awaitable[None]]
"""Shows progress: given the pool and the number of open requests; runs beside the pool and is cancelled at its end."""


class LedgerThread:
    """The pool's Recorder: the ledger on a thread of its own, so that a slow disk never delays a start."""

    def __init__(self, ledger: SendingLedger) -> None:
        self._ledger = ledger
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")

    async def claim(self) -> tuple[Chunk, list[OpenRequest]] | None:
        """Claim the next chunk with its open requests, or None when there is none."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._claim)

    def _claim(self) -> tuple[Chunk, list[OpenRequest]] | None:
        chunk = self._ledger.claim_chunk()
        return (chunk, self._ledger.open_requests(chunk)) if chunk else None

    async def write(self, entries: Entries) -> None:
        """Write durably, all or nothing."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._ledger.write, entries, time.time_ns())

    def close(self) -> None:
        """Wait for what is being written."""
        self._thread.shutdown()


def send(run: OpenRun, *, limit: int | None = None, watch: Watch | None = None) -> Stop | None:
    """Send what is open, until nothing is or something stops it; return why it stopped, or None.

    Raises:
        LedgerFailed: nothing was sent after that.
    """
    began = time.monotonic_ns()
    ledger = SendingLedger(run.ledger, owner=f"{run.folder.name}")
    interrupted = ledger.take_over(time.time_ns())
    ((started_at, before_ns),) = run.ledger.read("SELECT started_at, sending_ns FROM run")
    now = time.time_ns()
    text = "sending" if started_at is None else f"resumed; {interrupted} requests in doubt from before"
    ledger.write(Entries(events=[Event(now, "started" if started_at is None else "resumed", text)]), now)
    run.ledger.update_run(
        state=State.SENDING.value, started_at=started_at or now, stop_reason=None, stop_text=None, exit_code=None
    )
    with api_of(run) as (address, credentials):
        stop = asyncio.run(_send(run, ledger, address, credentials, limit=limit, watch=watch))
    run.ledger.update_run(
        state=(State.STOPPED if stop else State.FINISHED).value,
        stop_reason=stop.reason.value if stop else None,
        stop_text=stop.text if stop else None,
        finished_at=time.time_ns(),
        sending_ns=before_ns + time.monotonic_ns() - began,
    )
    return stop


async def _send(
    run: OpenRun, ledger: SendingLedger, address: Address, credentials: BasicAuth | OAuth, *, limit: int | None,
    watch: Watch | None,
) -> Stop | None:  # fmt: skip
    concurrency = run.overrides.concurrency_of(run.settings)
    client = CapillaryClient(address, credentials, concurrency)
    recorder = LedgerThread(ledger)
    rate = run.overrides.rate_of(run.settings)
    pool = Pool(
        client,
        judge,
        recorder,
        speed=_speed((rate.max_starts, rate.window_ns) if rate else None, concurrency, run.settings.pacing.adaptive),
        retry=_retry_rules(run.settings),
        guards=_guards(run.settings, concurrency),
        concurrency=concurrency,
        random=random.random,
        limit=limit,
    )
    watching = asyncio.ensure_future(watch(pool, ledger.open_count())) if watch else None
    try:
        with _signals_draining(pool):
            return await pool.run()
    finally:
        if watching:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        await client.aclose()
        recorder.close()


def _speed(rate: tuple[int, int] | None, concurrency: int, adaptive: bool) -> Speed:
    if not adaptive:
        return Speed(Pacer(rate))
    return Speed(Pacer(rate), AdaptiveRate(rate), AdaptiveConcurrency(concurrency))


def _retry_rules(settings: Settings) -> RetryRules:
    retry = settings.retry
    return RetryRules(retry.attempts, retry.base_s, retry.max_s, InDoubt(retry.in_doubt))


def _guards(settings: Settings, concurrency: int) -> Guards:
    return Guards(
        refusals=RunRefusals(),
        thresholds=Thresholds(settings.guard.stop_when, settings.guard.minimum),
        reachability=Reachability(
            attempts=settings.retry.attempts,
            outage_ns=int(settings.retry.outage_s * 1e9),
            failures_to_doubt=max(10, 2 * concurrency),
        ),
    )


@contextmanager
def _signals_draining(pool: Pool) -> Iterator[None]:
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
