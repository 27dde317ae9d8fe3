"""How a pool is run: at which speed, watched by whoever shows progress, drained by signals, and closed in the end.

Joins the settings, the command line and the pacing for all that sends: requests, and looks at what is in doubt.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from batch.model import StopReason
from batch.sending.adaptive import AdaptiveConcurrency, AdaptiveRate
from batch.sending.conclusions import now_ns
from batch.sending.guards import Reachability, Stop
from batch.sending.pace_file import budget_key, state_folder
from batch.sending.pacing import Pacer
from batch.sending.pool import Pool
from batch.sending.retry import InDoubt, RetryRules
from batch.sending.shared_pacing import SharedPacer
from batch.sending.throttle import Speed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch.capillary.auth import BasicAuth, OAuth
    from batch.capillary.client import CapillaryClient
    from batch.config import Settings
    from batch.run.api import Api
    from batch.run.opening import OpenRun
    from batch.sending.protocols import Pace

Watch = Callable[[Pool, int], Awaitable[None]]
"""Shows progress: given the pool and the number of open requests; runs beside the pool and is cancelled at its end."""


LOOK_AGAIN_S = 0.2
"""How often is looked whether the embedded API still serves."""


class Closing(Protocol):
    """What has to be closed in the end, such as a Recorder that writes on a thread of its own."""

    def close(self) -> None:
        """Wait for what is being written."""


async def run_to_its_end(
    pool: Pool,
    open_count: int,
    watch: Watch | None,
    *,
    api: Api,
    client: CapillaryClient,
    recorder: Closing,
    pace: Pace,
) -> Stop | None:
    """Run a pool, watched and drained by signals, and close what it worked with; return why it stopped, or None."""
    beside = [asyncio.ensure_future(_stop_when_gone(pool, api))]
    if watch:
        beside.append(asyncio.ensure_future(watch(pool, open_count)))
    try:
        with _draining_on_signals(pool):
            return await pool.run()
    finally:
        for task in beside:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await client.aclose()
        recorder.close()
        pace.close()


async def _stop_when_gone(pool: Pool, api: Api) -> None:
    """Do not wait for an API that will never answer again."""
    while (why := api.gone()) is None:  # noqa: ASYNC110 - nothing wakes us when a process ends
        await asyncio.sleep(LOOK_AGAIN_S)
    pool.stop(Stop(StopReason.SILENT, why))


def signalled_by(number: signal.Signals) -> str:
    """Return how the text begins that says which signal has stopped a run."""
    return f"stopped by {number.name}"


@contextmanager
def _draining_on_signals(pool: Pool) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM drain the pool, and a second one end it at once.

    What the process did with them before, it does again afterwards: asyncio would leave SIGTERM to kill it.
    """
    loop = asyncio.get_running_loop()

    def drain(number: signal.Signals) -> None:
        if pool.stopping:
            pool.abort()
        pool.stop(Stop(StopReason.SIGNAL, signalled_by(number)))

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    with suppress(NotImplementedError):  # Windows: Ctrl-C then ends the process like a crash, which a resume mends
        for number in numbers:
            loop.add_signal_handler(number, drain, number)
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            for number, handler in zip(numbers, before, strict=True):
                loop.remove_signal_handler(number)
                signal.signal(number, handler)


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


def retry_rules(settings: Settings, in_doubt: InDoubt = InDoubt.RESEND) -> RetryRules:
    """Return how often something is tried; what leaves nothing behind at the API is always tried again."""
    return RetryRules(settings.retry.attempts, settings.retry.base_s, settings.retry.max_s, in_doubt)


def reachability_of(settings: Settings, concurrency: int) -> Reachability:
    """Return for how long an API that does not answer is waited for."""
    return Reachability(
        attempts=settings.retry.attempts,
        outage_ns=int(settings.retry.outage_s * 1e9),
        failures_to_doubt=max(10, 2 * concurrency),
    )


def _rate(run: OpenRun) -> tuple[int, int] | None:
    rate = run.overrides.rate_of(run.settings)
    return (rate.max_starts, rate.window_ns) if rate else None
