"""Second pass: what the ledger has open is sent, and every answer recorded.

Joins the ledger, the vendor's client and the pool; starts the embedded API where the config says `sandbox`.
Reads and writes nothing but the ledger.
"""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from batch.capillary.client import CapillaryClient
from batch.capillary.codes import judge
from batch.capillary.enrolments import Enrolments
from batch.errors import EnrollBatchError, LedgerFailed
from batch.ledger import cascade
from batch.ledger.sending import SendingLedger
from batch.model import Chunk, Entries, Event, OpenRequest, State, StopReason
from batch.run.api import api_of
from batch.run.driving import pace_of, reachability_of, retry_rules, run_to_its_end, speed_of
from batch.run.hours import timetable_of
from batch.run.run_log import RunLog
from batch.sending.cascade import Cascades, OnCascade
from batch.sending.conclusions import Guards
from batch.sending.guards import RunRefusals, Stop, Thresholds
from batch.sending.pool import Pool
from batch.sending.quarantine import Quarantines
from batch.sending.retry import InDoubt

if TYPE_CHECKING:
    from batch.model import EnrollmentRequest, Facts, NoAnswer, Reply, Verdict
    from batch.run.api import Api
    from batch.run.driving import Watch
    from batch.run.opening import OpenRun
    from batch.run.run_log import Show

BEAT_S = 10.0
"""So often a sender gives a sign of life. Source: our choice: seldom enough for any disk, often enough for people."""
CANARY_DONE = "canary"
"""The event that says so; after it a resume sends the rest."""


class CapillarySender:
    """The pool's Sender and Judge: the vendor's client, which also answers what became of a request in doubt."""

    def __init__(self, client: CapillaryClient) -> None:
        self._client = client
        self.send = client.send
        self.renew_token = client.renew_token
        self.verify = Enrolments(client).verify
        self.look_at = Enrolments(client).look_at

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

    async def beat_regularly(self) -> None:
        """Give signs of life until cancelled, also while there is nothing to write."""
        while True:
            await asyncio.sleep(BEAT_S)
            with suppress(LedgerFailed):  # whoever writes next learns of it
                await asyncio.get_running_loop().run_in_executor(self._thread, self._ledger.beat, time.time_ns())

    def close(self) -> None:
        """Wait for what is being written."""
        self._thread.shutdown()


def send(
    run: OpenRun,
    *,
    limit: int | None = None,
    waits: bool = True,
    watch: Watch | None = None,
    show: Show | None = None,
) -> Stop | None:
    """Send what is open, until nothing is or something stops it; return why it stopped, or None.

    `limit`: at most so many requests. `waits` False: the end of `pacing.window` ends the run, which else waits for the
    next one. `show` gets each event.

    Raises:
        ConfigError, EnrollBatchError: the API's settings cannot be used, or the embedded API does not start; the run
            stands as it stood.
        LedgerFailed: nothing was sent after that.
    """
    with api_of(run) as api:
        return _send_all(run, api, limit=limit, waits=waits, watch=watch, show=show)


def _send_all(
    run: OpenRun,
    api: Api,
    *,
    limit: int | None,
    waits: bool,
    watch: Watch | None,
    show: Show | None,
) -> Stop | None:
    began = time.monotonic_ns()
    ledger = SendingLedger(run.ledger, owner=run.folder.name)
    log = RunLog(run.folder, show)
    interrupted = ledger.take_over(time.time_ns())
    ((started_at, before_ns),) = run.ledger.read("SELECT started_at, sending_ns FROM run")
    _note(ledger, log, *_opening(run, ledger.open_count(), None if started_at is None else interrupted))
    run.keep_overrides()
    run.ledger.update_run(
        state=State.SENDING.value,
        started_at=started_at or time.time_ns(),
        sending_since=time.time_ns(),
        stop_reason=None,
        stop_text=None,
        exit_code=None,
    )
    try:
        stop = asyncio.run(_send(run, ledger, log, api, limit=limit, waits=waits, watch=watch))
    except EnrollBatchError as error:
        if ledger.is_superseded:  # how the run stands is no longer ours to say
            raise
        with suppress(LedgerFailed):
            run.ledger.update_run(state=State.STOPPED.value, stop_reason=StopReason.FAULT.value, stop_text=error.text)
        raise
    _note(ledger, log, *_ending(stop, ledger.open_count()))
    run.ledger.update_run(
        state=(State.STOPPED if stop else State.FINISHED).value,
        stop_reason=stop.reason.value if stop else None,
        stop_text=stop.text if stop else None,
        finished_at=time.time_ns(),
        sending_ns=before_ns + time.monotonic_ns() - began,
        sending_since=None,
    )
    return stop


def _opening(run: OpenRun, requests_open: int, interrupted: int | None) -> tuple[str, str, Facts]:
    """Return kind, text and facts of the event that begins an invocation.

    `interrupted`: how many requests a crash left in doubt; None where this is the first invocation.
    """
    rate = run.overrides.rate_of(run.settings)
    window_s = rate.window_ns / 1e9 if rate else None
    allowed = f"at most {rate.max_starts} per {window_s:g} s" if rate else "no limit"
    facts = {
        "requests_open": requests_open, "max_starts": rate.max_starts if rate else None, "window_s": window_s,
    }  # fmt: skip
    if interrupted is None:
        return "started", f"{requests_open} requests to send, {allowed}", facts
    text = f"{requests_open} requests open, {interrupted} in doubt after a crash, {allowed}"
    return "resumed", text, {**facts, "interrupted": interrupted}


def _ending(stop: Stop | None, requests_open: int) -> tuple[str, str, Facts]:
    """Return kind, text and facts of the event that ends an invocation."""
    if stop is None:
        return "finished", "every request has its outcome", {"requests_open": requests_open}
    return "stopped", stop.text, {**stop.facts, "reason": stop.reason.value, "requests_open": requests_open}


def _note(ledger: SendingLedger, log: RunLog, kind: str, text: str, facts: Facts) -> None:
    event = Event(time.time_ns(), kind, text, facts)
    ledger.write(Entries(events=[event]), event.at)
    log.write([event])


async def _send(
    run: OpenRun,
    ledger: SendingLedger,
    log: RunLog,
    api: Api,
    *,
    limit: int | None,
    waits: bool,
    watch: Watch | None,
) -> Stop | None:
    concurrency = run.overrides.concurrency_of(run.settings)
    canary, last_chunk = _canary(run, ledger)
    pace = pace_of(run, api.credentials)
    client = CapillaryClient(api.address, api.credentials, concurrency)
    recorder = LedgerThread(ledger, log, last_chunk)
    sender = CapillarySender(client)
    pool = Pool(
        sender,
        sender.judge,
        recorder,
        speed=speed_of(run, pace),
        retry=retry_rules(run.settings, InDoubt(run.settings.retry.in_doubt)),
        guards=_guards(run, ledger, concurrency),
        concurrency=concurrency,
        random=random.random,
        limit=limit,
        canary=canary,
        timetable=timetable_of(run.settings, run.overrides, waits=waits, wall_clock=time.time_ns),
    )
    beating = asyncio.create_task(recorder.beat_regularly())
    try:
        stop = await run_to_its_end(
            pool, ledger.open_count(), watch, api=api, client=client, recorder=recorder, pace=pace
        )
    finally:
        beating.cancel()
        await asyncio.wait([beating])
    if stop is None and canary is not None:
        facts = {"customers": len(canary)}
        _note(ledger, log, CANARY_DONE, f"{len(canary)} customers sent as a sample", facts)
        if ledger.open_count():
            return Stop(StopReason.CANARY, f"{_sample_text(ledger, canary)} is done; it waits for your go-ahead", facts)
    return stop


def _sample_text(ledger: SendingLedger, customers: frozenset[int]) -> str:
    count, _ = ledger.requests_of(customers)
    people = f"{len(customers):,} customer{'' if len(customers) == 1 else 's'}"
    return f"the sample (canary) of {count:,} request{'' if count == 1 else 's'} ({people})"


def sample_size(run: OpenRun) -> int | None:
    """Return how many requests go out before the run waits for a person; None where no sample is to be sent first."""
    ledger = SendingLedger(run.ledger, owner=run.folder.name)
    customers, _ = _canary(run, ledger)
    return None if customers is None else ledger.requests_of(customers)[1]


def _canary(run: OpenRun, ledger: SendingLedger) -> tuple[frozenset[int] | None, int | None]:
    """Return the customers of the sample that goes first, and its last chunk; None when there is none to send.

    A sample of everybody is none: nobody is left to wait for.
    """
    wanted = run.overrides.canary_of(run.settings)
    if not wanted or run.ledger.read("SELECT 1 FROM event WHERE kind = ?", CANARY_DONE):
        return None, None
    customers, last_chunk = ledger.canary(wanted)
    ((everybody,),) = run.ledger.read("SELECT count(*) FROM lane")
    return (customers, last_chunk) if len(customers) < everybody else (None, None)


def _guards(run: OpenRun, ledger: SendingLedger, concurrency: int) -> Guards:
    settings = run.settings
    planned, order = cascade.planned(run.ledger), cascade.order(run.ledger)
    cascades = Cascades(OnCascade(settings.campaign.on_cascade), planned, order)
    refuting = cascade.accepted_twice(run.ledger)
    cascades.heed(refuting or ())
    cascades.remember(cascade.taken_back(run.ledger), cascade.asked(run.ledger))
    cascades.recall(cascade.answers(run.ledger, lambda: refuting is not None and cascades.is_decided))
    return Guards(
        refusals=RunRefusals(),
        thresholds=Thresholds(settings.guard.stop_when, settings.guard.minimum),
        reachability=reachability_of(settings, concurrency),
        quarantines=Quarantines(ledger.quarantined()),
        cascades=cascades,
    )
