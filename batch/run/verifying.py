"""After a run: the API is asked what became of requests in doubt, or whether what is enrolled is so.

Joins the ledger, the vendor's client and the pool: a look is sent, paced, held and tried again like a request, and
what it proves is recorded. One look tells about all requests of a customer in a scope. Nothing is changed at the API.
"""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.capillary.client import CapillaryClient
from batch.capillary.enrolments import Enrolments
from batch.capillary.standing import finding, judge_look
from batch.ledger.verdicts import Look, VerdictLedger
from batch.model import Chunk, OpenRequest, Outcome, request_id
from batch.report.audit import NotConfirmed, Sampled, audit_lines, doubt_lines, is_enrolled, write_audit
from batch.report.reconcile import STOP_EXIT_CODES, worst
from batch.run.api import api_of
from batch.run.driving import pace_of, reachability_of, retry_rules, run_to_its_end, speed_of
from batch.run.hours import hours_lines, timetable_of
from batch.run.run_log import RunLog
from batch.sending.conclusions import Guards
from batch.sending.guards import RunRefusals, Thresholds
from batch.sending.pool import Pool
from batch.sending.quarantine import Quarantines

if TYPE_CHECKING:
    from collections import Counter

    from batch.ledger.verdicts import Told, Verification
    from batch.model import EnrollmentRequest, Entries, Event, NoAnswer, Reply, Verdict
    from batch.run.api import Api
    from batch.run.driving import Watch
    from batch.run.opening import OpenRun
    from batch.run.run_log import Show
    from batch.sending.guards import Stop


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found so far. `told` counts requests by outcome and reason, as the API's word gives them.

    `left_out_told` counts those of an audit that were left out as covered by an earlier cycle; they are not in `told`.
    `untold_count`: requests about which nothing could be learnt. `stop`: why it ended early, None when it did not.
    """

    verification: Verification
    told: Counter[tuple[Outcome, str]]
    left_out_told: Counter[tuple[Outcome, str]]
    untold_count: int
    stop: Stop | None


def begin(run: OpenRun, *, sample: int | None = None, seed: str | None = None) -> Verification:
    """Choose what to ask about: everything in doubt, or a sample of what counts as enrolled, by `seed` (the run's id).

    One that was begun and not ended goes on with what it has not asked about yet.
    """
    ledger = VerdictLedger(run.ledger)
    if sample is None:
        return ledger.begin_doubts(time.time_ns())
    return ledger.begin_audit(sample, seed or run.folder.name, time.time_ns())


def look(run: OpenRun, verification: Verification, *, watch: Watch | None = None, show: Show | None = None) -> Verified:
    """Ask the API, within the hours of the run, and record what it says; an audit also writes audit.csv.

    Raises:
        LedgerFailed: nothing was asked after that.
    """
    ledger = VerdictLedger(run.ledger)
    stop = None
    if verification.request_count:
        log = RunLog(run.folder, show)
        with api_of(run) as api:
            stop = asyncio.run(_look(run, _Looks(ledger, verification, log), api, watch))
    if stop is None:
        ledger.end(verification, time.time_ns())
    if verification.is_audit:
        told = (each for each in ledger.told(verification) if not is_enrolled(each.outcome, each.reason))
        write_audit(run.folder, map(_not_confirmed, told))
    return Verified(
        verification,
        ledger.counts(verification),
        ledger.counts(verification, left_out=True),
        ledger.untold_count(verification),
        stop,
    )


def asking_lines(run: OpenRun, verification: Verification) -> list[str]:
    """Return what a person is told before the API is asked."""
    calls = f"{verification.look_count:,} call{'' if verification.look_count == 1 else 's'}"
    hours = []
    if verification.look_count:
        hours = hours_lines(verification.look_count, run.settings, run.overrides, time.time_ns())
    if verification.is_audit:
        left_out = verification.left_out_count
        others, each = (f" and {left_out:,} left out by the cascade", "of each a ") if left_out else ("", "")
        of_what = f"{verification.population:,} enrolled requests{others}"
        return [f"Audit of {of_what}: {each}{verification.label}; {calls}.", *hours]
    lines = [f"{verification.request_count:,} in doubt to ask about: {calls}.", *hours]
    if verification.overtaken_count:
        lines.append(f"{verification.overtaken_count:,} in doubt that a later request of this run has changed again.")
    if open_count := VerdictLedger(run.ledger).open_count():
        lines.append(f"{open_count:,} without an outcome yet: `resume` goes on with them.")
    return lines


def verified_lines(verified: Verified) -> list[str]:
    """Return what a person is told when the API was asked."""
    if verified.verification.is_audit:
        enrolled = Sampled(verified.told, verified.verification.population)
        left_out = Sampled(verified.left_out_told, verified.verification.left_out_count)
        return audit_lines(enrolled, left_out, verified.untold_count)
    return doubt_lines(verified.told, verified.untold_count)


def exit_code(of_run: int, stop: Stop | None) -> int:
    """Return the exit code of a verification: the run's, or what stopped the asking where that is worse."""
    return worst({of_run, STOP_EXIT_CODES[stop.reason]} if stop else {of_run})


def _not_confirmed(told: Told) -> NotConfirmed:
    outcome = Outcome.COVERED_BY_CASCADE if told.is_left_out else Outcome.ENROLLED
    return NotConfirmed(
        request_id(told.request), outcome, told.reason, told.http_status, told.error_code, told.asked_at
    )


async def _look(run: OpenRun, looks: _Looks, api: Api, watch: Watch | None) -> Stop | None:
    concurrency = run.overrides.concurrency_of(run.settings)
    client = CapillaryClient(api.address, api.credentials, concurrency)
    settings, pace = run.settings, pace_of(run, api.credentials)
    pool = Pool(
        Enrolments(client),
        looks.judge,
        looks,
        speed=speed_of(run, pace),
        retry=retry_rules(settings),
        guards=Guards(
            refusals=RunRefusals(),
            thresholds=Thresholds({}, 1),
            reachability=reachability_of(settings, concurrency),
            quarantines=Quarantines(),
        ),
        concurrency=concurrency,
        random=random.random,
        timetable=timetable_of(settings, run.overrides, waits=True, wall_clock=time.time_ns),
    )
    return await run_to_its_end(pool, looks.count, watch, api=api, client=client, recorder=looks, pace=pace)


class _Looks:
    """The pool's Recorder and Judge: looks out of the ledger, on a thread of its own, and verdicts into it.

    A look stands in the pool for the first of its requests. An intent is not written: a look changes nothing.
    """

    def __init__(self, ledger: VerdictLedger, verification: Verification, log: RunLog) -> None:
        self._ledger = ledger
        self._verification = verification
        self._log = log
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._chunks = 0
        self._looks: dict[EnrollmentRequest, Look] = {}
        self._findings: dict[int, list[tuple[int, Verdict]]] = {}

    @property
    def count(self) -> int:
        """How many looks there are in all."""
        return self._verification.look_count

    async def claim(self) -> tuple[Chunk, list[OpenRequest]] | None:
        """Return the next looks, or None when there are none left."""
        found = await asyncio.get_running_loop().run_in_executor(self._thread, self._ledger.next_looks)
        if not found:
            return None
        self._chunks += 1
        chunk = Chunk(self._chunks, fence=0)
        items = []
        for each in found:
            number, request = each.members[0]
            self._looks[request] = each
            items.append(OpenRequest(number, request, chunk))
        return chunk, items

    def judge(
        self,
        request: EnrollmentRequest,
        answer: Reply | NoAnswer,
        *,
        maybe_applied: bool,
        can_renew: bool,
        now_s: float,
    ) -> Verdict:
        """Judge a look, and keep what its answer says about each of its requests."""
        members = self._looks[request].members
        found = [(number, verdict) for number, each in members if (verdict := finding(each, answer, now_s))]
        if found:
            self._findings[members[0][0]] = found
        return judge_look(request, answer, maybe_applied=maybe_applied, can_renew=can_renew, now_s=now_s)

    async def write(self, entries: Entries) -> None:
        """Write the verdicts of the looks that ended, and events, durably."""
        ended = [result.request_no for result in entries.results if result.settled]
        verdicts = [verdict for number in ended for verdict in self._findings.pop(number, [])]
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, verdicts, entries.events)

    def _write(self, verdicts: list[tuple[int, Verdict]], events: list[Event]) -> None:
        if verdicts or events:
            self._ledger.write(self._verification, verdicts, events, time.time_ns())
            self._log.write(events)

    def close(self) -> None:
        """Wait for what is being written."""
        self._thread.shutdown()
