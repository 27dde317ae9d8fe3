"""Step 4 of 5: what each verdict leads to: an outcome, another attempt, a hold, a stop.

Owns what is about to be written down, and the order: lanes go on, guards watch, refusals wait until they are
decided. No tasks and no sleeping; the clock of the running loop and the wall clock are only read.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING

from batch.model import (
    Chunk,
    Entries,
    Event,
    Intent,
    Looked,
    OpenRequest,
    Outcome,
    Result,
    StopReason,
    Tells,
    Verdict,
)
from batch.sending.adaptive import RetryBudget
from batch.sending.cascade import Cascades, OnCascade
from batch.sending.guards import Stop
from batch.sending.quarantine import Quarantines  # noqa: TC001 - a dataclass names its types
from batch.sending.retry import InDoubt
from batch.sending.throttle import Speed, Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batch.model import Seen
    from batch.sending.guards import Reachability, RunRefusals, Thresholds
    from batch.sending.lanes import Lanes
    from batch.sending.retry import RetryRules


LOOKS = 3
"""How often the API is asked about one request in doubt, when it gives no answer to that either; and one question."""
CASCADE, NO_CASCADE = "cascade", "no_cascade"
"""The events that say that a cascade was found, and that the finding was taken back."""


@dataclass(slots=True)
class Guards:
    """The folds that may stop a run."""

    refusals: RunRefusals[tuple[OpenRequest, Result]]
    thresholds: Thresholds
    reachability: Reachability
    quarantines: Quarantines
    cascades: Cascades = field(default_factory=Cascades)


def now_ns() -> int:
    """Return the time of the running loop in nanoseconds."""
    return round(asyncio.get_running_loop().time() * 1e9)


class Conclusions:
    """Draws the conclusion of each attempt, and keeps what is to be written next."""

    def __init__(
        self,
        lanes: Lanes,
        speed: Speed,
        retry: RetryRules,
        guards: Guards,
        *,
        random: Callable[[], float],
        stop: Callable[[Stop], None],
    ) -> None:
        self._lanes = lanes
        self._retry = retry
        self._budget = RetryBudget()
        self._guards = guards
        self._random = random
        self._stop = stop
        self._entries = Entries()
        self.throttle = Throttle(speed, guards.reachability, retry, random=random, event=self.event, stop=stop)
        self.settled: Counter[Outcome] = Counter()
        """Outcomes of this invocation so far."""

    def take_entries(self, batch: Sequence[OpenRequest] = ()) -> Entries:
        """Return, and forget, what is to be written, with the intents of the batch that leaves next."""
        entries, self._entries = self._entries, Entries()
        sent = [item for item in batch if not item.look]
        for chunk, items in groupby(sorted(sent, key=lambda item: item.chunk.chunk_no), key=lambda item: item.chunk):
            entries.intents.append(Intent(chunk, tuple((item.request_no, item.attempts + 1) for item in items)))
        return entries

    def chunk_is_empty(self, chunk: Chunk) -> None:
        """Take note that a claimed chunk holds nothing open."""
        self._entries.finished_chunks.append(chunk)

    def conclude(self, item: OpenRequest, verdict: Verdict, *, started: int, started_at: int) -> None:
        """Take the verdict of an attempt that started at `started` on the loop's clock, `started_at` on the wall."""
        now = now_ns()
        verdict = self.throttle.observe(verdict, latency_ns=now - started, in_flight=self._lanes.in_flight, now=now)
        attempt, counted = item.attempts + 1, item.attempts_counted + verdict.counts
        in_doubt = item.maybe_applied or verdict.tells is Tells.MAY_BE_APPLIED
        result = Result(item.request_no, item.chunk.fence, attempt, verdict, True, started_at, time.time_ns())
        later = replace(item, attempts=attempt, attempts_counted=counted, maybe_applied=in_doubt)
        if self._needs_a_look(item, verdict):
            self._entries.results.append(replace(result, settled=False))
            self._lanes.retry(replace(later, look=1), self._not_before(verdict, counted, now))
        elif not verdict.settled and not self._retry.is_used_up(verdict, counted) and self._may_resend(later):
            self._entries.results.append(replace(result, settled=False))
            self._lanes.retry(later, self._not_before(verdict, counted, now))
        else:
            self._lanes.advance(item)
            self._end(item, result)

    def conclude_look(self, item: OpenRequest, looked: Looked, *, started: int) -> None:
        """Take what came of a look that began at `started` on the loop's clock. It slows everybody like a request.

        A look that the API asked to come back later, or that met an outage, does not count.
        """
        now, found = now_ns(), looked.found
        answer = self.throttle.observe(
            looked.answer, latency_ns=now - started, in_flight=self._lanes.in_flight, now=now
        )
        counts = answer.counts or answer.renew_token  # else a token that is always refused would be renewed for ever
        if found is None and item.look + counts <= LOOKS:
            self._lanes.retry(replace(item, look=item.look + counts), self._not_before(answer, item.look, now))
            return
        if found is not None and not found.settled and item.attempts_counted < self._retry.attempts:
            self._lanes.retry(replace(item, look=0), now)  # known not to be applied: it may be sent again
        else:
            self._lanes.advance(item)
            self._end_unsent(item, found or Verdict(Outcome.IN_DOUBT, settled=True, reason="cannot_be_asked"))

    def looks_again(self, question: OpenRequest, seen: Seen, *, started: int) -> bool:
        """Take what came of a look at what was left out; return whether it is made again, because that told nothing.

        Each counts, whatever the answer: the run can do without, so it neither waits for this one nor ends by it.
        """
        now, is_answered = now_ns(), bool(seen.enrolled)
        answer = self.throttle.observe(
            seen.answer, latency_ns=now - started, in_flight=self._lanes.in_flight, now=now, may_fail=True
        )
        if is_answered:
            self._guards.refusals.heard()
        if is_answered or seen.answer.settled or question.look >= LOOKS:
            return False
        self._lanes.retry(replace(question, look=question.look + 1), self._not_before(answer, question.look, now))
        return True

    def leave_look(self, item: OpenRequest) -> None:
        """Leave a request in doubt, open for a resume: the look at it came to nothing."""
        self._lanes.give_back(item)

    def _needs_a_look(self, item: OpenRequest, verdict: Verdict) -> bool:
        doubt = verdict.tells is Tells.MAY_BE_APPLIED or (item.maybe_applied and not verdict.settled)
        return doubt and self._retry.about_doubt(item.request) is InDoubt.VERIFY

    def _may_resend(self, item: OpenRequest) -> bool:
        return not item.maybe_applied or self._retry.about_doubt(item.request) is InDoubt.RESEND

    def taken_up(self, item: OpenRequest) -> OpenRequest:
        """Return an open request of a claimed chunk as it is to be gone on with: what is in doubt may need a look.

        What an earlier run left in doubt was started again by a person, so it is sent.
        """
        if item.maybe_applied and item.attempts and self._retry.about_doubt(item.request) is InDoubt.VERIFY:
            return replace(item, look=1)
        return item

    def is_to_be_left(self, item: OpenRequest) -> bool:
        """Return whether a request in doubt is neither sent again nor asked about."""
        doubt = item.maybe_applied and bool(item.attempts) and not item.look
        return doubt and self._retry.about_doubt(item.request) is InDoubt.LEAVE

    def leave_in_doubt(self, item: OpenRequest) -> None:
        """Settle a request that stays in doubt, as `retry.in_doubt: leave` asks."""
        self._lanes.advance(item)
        self._end_unsent(item, Verdict(Outcome.IN_DOUBT, settled=True, reason="interrupted"))

    def _end_unsent(self, item: OpenRequest, verdict: Verdict) -> None:
        now = time.time_ns()
        self._settle(item, Result(item.request_no, item.chunk.fence, 0, verdict, True, None, now))

    def _end(self, item: OpenRequest, result: Result) -> None:
        released, stop = self._guards.refusals.observe(result.verdict, (item, result))
        for settled_item, settled_result in released:
            self._settle(settled_item, settled_result)
        if stop:
            self._stop(stop)

    def _not_before(self, verdict: Verdict, attempts_counted: int, now: int) -> int:
        if verdict.renew_token:
            return now
        if self.throttle.probing:  # the same request probes again, so that no other gets into doubt
            return max(now, self.throttle.pacer.held_until)
        if verdict.counts and not self._budget.take():
            return now + int(self._retry.max_s * 1e9)
        return now + self._retry.backoff_ns(max(1, attempts_counted), self._random())

    def _settle(self, item: OpenRequest, result: Result) -> None:
        self._entries.results.append(result)
        self.settled[result.verdict.outcome] += 1
        self._budget.settled()
        self._learn(item, result)
        if self._lanes.settle(item):
            self._entries.finished_chunks.append(item.chunk)
            self._guards.cascades.forget(item.chunk.chunk_no)
        if result.verdict.outcome in {Outcome.NOT_SENT, Outcome.COVERED_BY_CASCADE}:  # no answer
            return
        if stop := self._guards.thresholds.observe(result.verdict.outcome):
            self._stop(stop)
        if closed := self._guards.quarantines.observe(item.request, result.verdict):
            self.event("quarantine", closed.text, **closed.facts)

    def _learn(self, item: OpenRequest, result: Result) -> None:
        """Find out by how a request ended whether its target cascades, and do what is asked for then."""
        found = self._guards.cascades.settled(item, result.verdict, result.attempt)
        if found is None:
            return
        self.event(CASCADE if found.is_found else NO_CASCADE, found.text, **found.facts)
        if found.is_found and self._guards.cascades.on_cascade is OnCascade.STOP:
            self._stop(Stop(StopReason.GUARD, f"{found.text}; campaign.on_cascade: stop", found.facts))

    def cover(self, item: OpenRequest) -> None:
        """Settle a request that an earlier cycle of this run covers, without a call; its lane is seen to."""
        self._end_unsent(item, Verdict(Outcome.COVERED_BY_CASCADE, settled=True))

    def settle_pending(self) -> bool:
        """Settle refusals that wait for more answers where none come; return whether there were any."""
        released = self._guards.refusals.release()
        for item, result in released:
            self._settle(item, result)
        return bool(released)

    @property
    def has_pending(self) -> bool:
        """Whether a refusal is neither settled nor open."""
        return self._guards.refusals.has_pending

    def decide_pending(self, stop: Stop | None) -> None:
        """Settle refusals that were too few to speak for the run; leave them open when the run stops anyhow."""
        pending, refused = self._guards.refusals.at_end(stopped=stop is not None)
        if refused:
            self._stop(refused)
        for item, result in pending:
            if stop or refused:
                open_verdict = replace(result.verdict, counts=False, tells=Tells.REFUSED)
                self._entries.results.append(replace(result, settled=False, verdict=open_verdict))
            else:
                self._settle(item, result)

    def leave_out(self, item: OpenRequest, verdict: Verdict) -> None:
        """Settle a request of a closed scope without sending it."""
        self._lanes.advance(item)
        if item.maybe_applied:  # an earlier attempt may have done what is now refused
            verdict = replace(verdict, outcome=Outcome.IN_DOUBT)
        self._end_unsent(item, verdict)

    def withdraw(self, item: OpenRequest) -> None:
        """Write down that the intent was not carried out: nothing left. A look had no intent."""
        if item.look:
            self._lanes.give_back(item)
            return
        verdict = Verdict(Outcome.NOT_SENT, settled=False, tells=Tells.WITHDRAWN, counts=False)
        self._leave_open(item, verdict, None)

    def lose(self, item: OpenRequest, started_at: int, why: str) -> None:
        """Write down that the request left and that its answer will never be known."""
        verdict = Verdict(Outcome.IN_DOUBT, settled=False, reason=why, tells=Tells.MAY_BE_APPLIED)
        self._leave_open(item, verdict, started_at)

    def _leave_open(self, item: OpenRequest, verdict: Verdict, started_at: int | None) -> None:
        now = time.time_ns()
        result = Result(item.request_no, item.chunk.fence, item.attempts + 1, verdict, False, started_at, now)
        self._entries.results.append(result)
        self._lanes.give_back(item)

    def event(self, kind: str, text: str, **facts: str | float | None) -> None:
        """Take note of something that the report shows over time; `facts` are what the text tells."""
        self._entries.events.append(Event(time.time_ns(), kind, text, facts))
