"""While planning: customers who are named by mobile number, e-mail address or external id are looked up.

Joins the ledger, the vendor's client and the pool: a look-up is sent, paced, held and tried again like a request, and
what it brings is recorded. Each identifier is asked about once in a run; what a death left open is asked again.
"""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batch.capillary.client import CapillaryClient
from batch.capillary.look_ups import LookUps, found_customer, judge_look_up, look_up_of
from batch.capillary.registry import LOOK_UP_CODES
from batch.errors import ConfigError, FileRefused, InputRefused, LookUpsStopped
from batch.ledger.look_ups import LookedUp, LookUpLedger
from batch.model import Chunk, Event, OpenRequest, Speaks, StopReason, Tells
from batch.report.reconcile import STOP_EXIT_CODES
from batch.report.words import stop_words
from batch.run.api import api_of
from batch.run.driving import pace_of, reachability_of, retry_rules, run_to_its_end, speed_of
from batch.run.hours import look_up_lines, timetable_of
from batch.run.run_log import RunLog
from batch.sending.conclusions import Guards
from batch.sending.guards import RunRefusals, Stop, Thresholds
from batch.sending.pool import Pool
from batch.sending.quarantine import Quarantines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batch.model import EnrollmentRequest, Entries, Facts, NoAnswer, Reply, Result, Verdict
    from batch.run.api import Api
    from batch.run.driving import Watch
    from batch.run.opening import OpenRun
    from batch.run.run_log import Show

_AT_ONCE = 1_000
MANY_NAMES = 10
"""Source: our choice: families share two or three numbers, and a test account is one customer of many."""
_NAMES = {"mobile": "mobile numbers", "email": "e-mail addresses", "external_id": "external ids"}


@dataclass(frozen=True, slots=True)
class Asking:
    """How look-ups are told, and when they may be made.

    `waits` False: the end of `pacing.window` ends them, which else wait for the next one. `say` gets lines for people
    before the first one, `show` each event. `warn` hears that the API makes wait whoever asks about target
    groups.
    """

    waits: bool = True
    watch: Watch | None = None
    show: Show | None = None
    say: Callable[[list[str]], None] | None = None
    warn: Callable[[str], None] | None = None


QUIETLY = Asking()


def look_up(run: OpenRun, asking: Asking, *, online: bool) -> bool:
    """Look up whom the plan so far names by an identifier that was not asked about yet; return whether there were any.

    Raises:
        InputRefused: somebody of another organisation would have to be looked up, or what was found cannot be right.
        ConfigError: the API may not be asked, or as `api_of`.
        LookUpsStopped: something stopped it; what was found is kept.
        LedgerFailed: nothing was asked after that.
    """
    _refuse_other_organisations(run)
    ledger = LookUpLedger(run.ledger)
    open_count = ledger.collect()
    if not open_count:
        _refuse_one_for_many(run)
        return False
    if not online:
        raise ConfigError(
            f"{open_count:,} customers are named by mobile, email or external_id: only the API knows their ids; "
            "add --online"
        )
    if asking.say:
        asking.say(_asking_lines(run, ledger, open_count))
    log = RunLog(run.folder, asking.show)
    with api_of(run) as api:
        run.keep_overrides()
        run.ledger.update_run(stop_reason=None, stop_text=None, exit_code=None)
        stop = asyncio.run(_look_up(run, ledger, log, api, asking))
    counts = ledger.counts()
    done = counts.identifiers - counts.open
    told = f"{done:,} of {counts.identifiers:,} customers are looked up, {done - counts.found:,} of them not found"
    facts = {"customers": counts.identifiers, "looked_up": done, "not_found": done - counts.found}
    if stop:
        _note(ledger, log, f"{told}; {stop.text}", {**facts, **stop.facts, "reason": stop.reason.value})
    else:
        _note(ledger, log, told, facts)
    if stop is None:
        return True
    exit_code = STOP_EXIT_CODES[stop.reason]
    run.ledger.update_run(stop_reason=stop.reason.value, stop_text=f"{stop.text}; {told}", exit_code=exit_code)
    raise LookUpsStopped(
        f"{stop_words(stop.text)}; {told}; nothing was enrolled: `enroll-batch resume {run.folder}` goes on",
        stop.reason,
        exit_code,
    )


def _refuse_other_organisations(run: OpenRun) -> None:
    """Refuse to ask our own organisation about customers of another one: it may know somebody else by that number.

    Source: docs.capillarytech.com/reference/get-customer-id, which has no headers for connected organisations.
    """
    found = run.ledger.read(
        "SELECT org_id, substr(customer, 1, instr(customer, ':') - 1) FROM request JOIN scope USING (scope_no)"
        " WHERE typeof(customer) = 'text' AND org_id IS NOT NULL LIMIT 1"
    )
    for org_id, name in found:
        raise InputRefused(
            f"customers of another organisation ({org_id}) need the column customer_id: no page documents look-ups for "
            f"them, and in our own organisation {name} may name somebody else; nothing was sent"
        )


def _refuse_one_for_many(run: OpenRun) -> None:
    """Refuse what was found where one customer stands for most of the others, as behind a gateway that drops the query.

    Everything would be sent for that one customer, and count as repeats. The run keeps why: its answers are of no use.
    """
    found = run.ledger.read(
        "SELECT kind, max(names) FROM (SELECT substr(identifier, 1, instr(identifier, ':') - 1) AS kind, count(*) AS"
        " names FROM lookup WHERE customer IS NOT NULL GROUP BY kind, customer) GROUP BY kind"
        " HAVING max(names) >= ? AND 2 * max(names) > sum(names)",
        MANY_NAMES,
    )
    for kind, names in found:
        text = (
            f"the look-up names the same customer for {names:,} different {_NAMES[kind]}: it cannot be right; nothing "
            "was sent: check api.base_url and the gateway, then begin anew"
        )
        run.ledger.update_run(stop_reason=StopReason.INPUT.value, stop_text=text, exit_code=InputRefused.exit_code)
        raise FileRefused(text)


def resolved(ledger: LookUpLedger, requests: Sequence[EnrollmentRequest]) -> Sequence[EnrollmentRequest]:
    """Return the requests of one row under the id of their customer, where a look-up has found it.

    For another organisation they stay as they are, to be refused by `look_up`: what was found is an id of our own.
    """
    if not requests or isinstance(requests[0].customer, int) or requests[0].scope.org_id is not None:
        return requests
    customer = ledger.customer_of(requests[0].customer)
    return requests if customer is None else [replace(request, customer=customer) for request in requests]


def _asking_lines(run: OpenRun, ledger: LookUpLedger, open_count: int) -> list[str]:
    """Say how many calls are to be made, how long they take, and whether they and sending fit into the hours."""
    total = ledger.counts().identifiers
    of_all = "" if total == open_count else f" of {total:,}"
    lines = [f"{open_count:,}{of_all} customers to look up by mobile, e-mail or external id, a call each."]
    if rate := run.overrides.rate_of(run.settings):
        minutes = open_count * rate.window_ns / rate.max_starts / 60e9
        lines.append(f"At the set rate this takes about {max(1, round(minutes)):,} min.")
    ((requests,),) = run.ledger.read("SELECT count(*) FROM request WHERE NOT contradicted")
    return lines + look_up_lines(open_count, requests, run.settings, run.overrides, time.time_ns())


def _note(ledger: LookUpLedger, log: RunLog, text: str, facts: Facts) -> None:
    event = Event(time.time_ns(), "looked_up", text, facts)
    ledger.write([], [event], event.at)
    log.write([event])


async def _look_up(run: OpenRun, ledger: LookUpLedger, log: RunLog, api: Api, asking: Asking) -> Stop | None:
    concurrency = run.overrides.concurrency_of(run.settings)
    client = CapillaryClient(api.address, api.credentials, concurrency)
    settings, pace = run.settings, pace_of(run, api.credentials)
    recorder = _Recorder(ledger, log, client)
    pool = Pool(
        LookUps(client, settings.input.look_up_source),
        recorder.judge,
        recorder,
        speed=speed_of(run, pace),
        retry=retry_rules(settings),
        guards=Guards(
            refusals=RunRefusals(),
            thresholds=Thresholds(settings.guard.stop_when, settings.guard.minimum),
            reachability=reachability_of(settings, concurrency),
            quarantines=Quarantines(),
        ),
        concurrency=concurrency,
        random=random.random,
        timetable=timetable_of(settings, run.overrides, waits=asking.waits, wall_clock=time.time_ns),
    )
    open_count = ledger.counts().open
    stop = await run_to_its_end(pool, open_count, asking.watch, api=api, client=client, recorder=recorder, pace=pace)
    return _in_words(stop, recorder.refused_source)


def _in_words(stop: Stop | None, refused_source: str) -> Stop | None:
    """Return a stop that says what it means for a look-up."""
    if stop and stop.reason is StopReason.REFUSED and refused_source:
        return replace(stop, text=f"the API refuses input.look_up_source ({refused_source})")
    if stop and stop.reason is StopReason.GUARD:
        return replace(stop, text=f"look-ups: {stop.text}; see whether numbers have their country code")
    return stop


class _Recorder:
    """The pool's Recorder and Judge: identifiers out of the ledger, on a thread of its own, and answers into it.

    An intent is not written: a look-up changes nothing.
    """

    def __init__(self, ledger: LookUpLedger, log: RunLog, client: CapillaryClient) -> None:
        self._ledger = ledger
        self._log = log
        self._client = client
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._chunks = 0
        self._claimed_up_to = 0
        self._found: dict[str, int] = {}
        self._identifiers: dict[int, str] = {}
        self.refused_source = ""
        """The code by which the API refuses where customers are looked for; empty where it does not."""

    async def claim(self) -> tuple[Chunk, list[OpenRequest]] | None:
        """Return the next identifiers, or None when there are none left."""
        found = await asyncio.get_running_loop().run_in_executor(self._thread, self._next)
        if not found:
            return None
        self._claimed_up_to, _ = found[-1]
        self._identifiers |= dict(found)
        self._chunks += 1
        chunk = Chunk(self._chunks, fence=0)
        return chunk, [OpenRequest(number, look_up_of(name), chunk) for number, name in found]

    def _next(self) -> list[tuple[int, str]]:
        return self._ledger.next_open(self._claimed_up_to, _AT_ONCE)

    def judge(
        self,
        request: EnrollmentRequest,
        answer: Reply | NoAnswer,
        *,
        maybe_applied: bool,
        can_renew: bool,
        now_s: float,
    ) -> Verdict:
        """Judge an answer, and keep whom it names; what it says is kept without our credentials."""
        customer = found_customer(answer)
        if customer is not None:
            self._found[str(request.customer)] = customer
        verdict = judge_look_up(request, answer, maybe_applied=maybe_applied, can_renew=can_renew, now_s=now_s)
        if verdict.speaks is Speaks.RUN and verdict.error_code in LOOK_UP_CODES:
            self.refused_source = f"code {verdict.error_code}: {LOOK_UP_CODES[verdict.error_code].meaning}"
        return replace(verdict, error_message=self._client.without_secrets(verdict.error_message))

    async def write(self, entries: Entries) -> None:
        """Write what came of the calls that were made, and events, durably."""
        answers = [self._answer(result) for result in entries.results if result.verdict.tells is not Tells.WITHDRAWN]
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, answers, entries.events)

    def _answer(self, result: Result) -> LookedUp:
        number = result.request_no
        if not result.settled:
            return LookedUp(number, None, None)
        return LookedUp(number, self._found.pop(self._identifiers.pop(number), None), result.verdict)

    def _write(self, answers: list[LookedUp], events: list[Event]) -> None:
        if answers or events:
            self._ledger.write(answers, events, time.time_ns())
            self._log.write(events)

    def close(self) -> None:
        """Wait for what is being written."""
        self._thread.shutdown()
