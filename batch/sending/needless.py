"""Step 4 of 5: do with a customer's lane what the cascade says: send, go on without a request, or wait for others.

Owns when what was left out is decided: in the end, when every answer is in. Where the finding still stands then, the
API is asked about some of these customers; what it says is missing is sent, and where it does not say, a sample is.
Only what stands after that is settled without a call; where the finding was taken back, it is sent. Whoever asks has
little patience: no answer to a question holds the run up or ends it. The loop's clock is only read; knows no task.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar, assert_never

from batch.model import Action
from batch.sending.cascade import Way
from batch.sending.conclusions import now_ns
from batch.sending.evidence import on_circle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.model import OpenRequest, Scope, Seen
    from batch.sending.cascade import Cascades
    from batch.sending.conclusions import Conclusions
    from batch.sending.lanes import Lanes

Each = TypeVar("Each")

ASKED = 48
"""About so many customers with left requests the API is asked at least. Source: our choice: where one in ten of them
is not covered, 48 miss that in one of 150 runs."""
SENT = 32
"""So many requests of each pair of cycles are sent at least where the API does not say who is enrolled."""
SHARE = 50
"""And of so many one, of either."""
ASKED_ABOUT = "asked"
SAMPLED = "sampled"
"""The events that say so."""
ASKING_NS = 900_000_000_000
"""So long the questions about one target may take, but twice the time that the least number of them takes at the set
rate. Source: our choice: at 100 a minute they are those about 75,000 customers."""
PATIENCE_NS = 300_000_000_000
"""So long they are put while none is answered. Source: our choice: a minute that is asked for, several times."""
SLICE = 5_000
"""So many requests are settled unsent at once: what is not written down yet lies in memory."""


@dataclass(slots=True)
class _Asking:
    """The questions about one target. Times in nanoseconds on the loop's clock."""

    least: int
    """So many answers are enough when the time is over."""
    lasts: int
    began_at: int | None = None
    failing_since: int | None = None
    """When the first look began after which none was answered."""
    answered: int = 0
    is_unclear: bool = False
    """The API does not say who is enrolled."""
    is_over: bool = False

    def is_open(self, now: int) -> bool:
        """Return whether one more question is put."""
        self.began_at = now if self.began_at is None else self.began_at
        if self.failing_since is not None and now - self.failing_since > PATIENCE_NS:
            self.is_unclear = True
        elif now - self.began_at > self.lasts:
            self.is_over = True
            self.is_unclear = self.is_unclear or self.answered < self.least
        return not (self.is_unclear or self.is_over)

    def heard(self, *, is_answered: bool, started: int) -> None:
        """Take note of what came of a look."""
        if is_answered:
            self.answered += 1
            self.failing_since = None
        elif self.failing_since is None:
            self.failing_since = started


class Needless:
    """The requests of one invocation that need not be sent as it stands."""

    def __init__(self, lanes: Lanes, cascades: Cascades, conclusions: Conclusions) -> None:
        self._lanes = lanes
        self._cascades = cascades
        self._conclusions = conclusions
        self._asking: dict[Scope, _Asking] = {}
        self._chosen: set[int] = set()
        """Sent although they need not be as it stands."""
        self._covered: list[OpenRequest] = []
        """To be settled without a call."""

    def stands_back(self, item: OpenRequest) -> bool:
        """Return whether a request that was taken is not sent now; its lane is seen to.

        Nothing is put off beyond an unenroll of the same customer, which would undo something else then.
        """
        way = Way.SEND if item.request_no in self._chosen else self._cascades.way_of(item)
        if way is not Way.SEND and any(
            each.request.scope.action is Action.UNENROLL for each in self._lanes.rest_of(item)
        ):
            way = Way.SEND
        match way:
            case Way.SEND:
                return False
            case Way.LEAVE:
                self._lanes.leave(item)
            case Way.WAIT:
                self._lanes.hold(item)
            case _:
                assert_never(way)
        return True

    def hear(self) -> None:
        """Let those lanes go on that something was found out for meanwhile."""
        if self._cascades.has_news:
            self._lanes.release_held()
        if self._cascades.was_taken_back:
            self._lanes.release_left()
        self._cascades.has_news = self._cascades.was_taken_back = False

    def finish(self) -> bool:
        """Decide what is left, when nothing else of the run is open; return whether there is more to do after all."""
        self._cascades.no_more_answers = True
        if self._covered:
            return self._cover()
        if self._lanes.release_held() or self._conclusions.settle_pending():  # what that teaches is heard first
            return True
        if self._conclusions.has_pending:
            return False  # they may yet take the finding back, so what is left stays open
        self._ask()
        self._send_samples()
        self._lanes.take_up_left({item.request_no for item in self._lanes.left if not self._is_needless(item)})
        if self._lanes.ready_count:
            return True
        self._covered = self._lanes.take_left()
        return self._cover()

    def _cover(self) -> bool:
        for item in self._covered[-SLICE:]:
            self._conclusions.cover(item)
        del self._covered[-SLICE:]
        return bool(self._covered)

    def _is_needless(self, item: OpenRequest) -> bool:
        return self._cascades.way_of(item) is Way.LEAVE

    def _ask(self) -> None:
        """Ask about some customers of each target that was not asked about: one call tells all cycles of a customer.

        Where that would be as many calls as their requests are, these are sent, which proves more.
        """
        left: dict[Scope, dict[int | str, list[OpenRequest]]] = defaultdict(lambda: defaultdict(list))
        for item in self._lanes.left:
            if item.request.scope not in self._asking and self._is_needless(item):
                left[item.request.scope][item.request.customer].append(item)
        questions, sent = {}, set()
        for scope, customers in left.items():
            in_order = sorted(customers.values(), key=lambda items: items[0].request_no)
            chosen = _spread(in_order, max(ASKED, -(-len(in_order) // SHARE)))
            self._asking[scope] = _Asking(min(ASKED, len(chosen)), self._lasts(scope))
            of_them = f"{len(chosen)} of {len(in_order)} customers with cycles left out"
            numbers = {item.request_no for items in chosen for item in items}
            facts = {**scope.facts, "customers": len(chosen), "of_customers": len(in_order), "requests": len(numbers)}
            if len(numbers) <= len(chosen):
                sent |= numbers
                self._conclusions.event(SAMPLED, f"{scope.title}: {of_them} are sent as a sample", **facts)
                continue
            self._conclusions.event(ASKED_ABOUT, f"{scope.title}: the API is asked about {of_them}", **facts)
            for items in sorted(chosen, key=lambda items: on_circle(items[0].request_no)):  # any first ones are spread
                about = tuple(item.request for item in items)
                questions[items[0].request_no] = replace(items[0], look=1, asks_about=about)
        self._lanes.ask_about_left(questions)
        self._send_left(sent)

    def _lasts(self, scope: Scope) -> int:
        """Return how long the questions may take, in nanoseconds: the shorter, the more often they were interrupted."""
        pacer = self._conclusions.throttle.pacer
        return max(ASKING_NS, 2 * ASKED * pacer.interval_ns * pacer.sharer_count) // (
            1 + self._cascades.asked_before(scope)
        )

    def is_worth_asking(self, question: OpenRequest) -> bool:
        """Return whether a question is still one; if not, its lane goes on."""
        scope = question.request.scope
        if self._cascades.is_found(scope) and self._asking[scope].is_open(now_ns()):
            return True
        self._lanes.answered(question)
        return False

    def conclude(self, question: OpenRequest, seen: Seen, *, started: int) -> None:
        """Take what came of a look that began at `started` on the loop's clock.

        Who is not enrolled is sent, and so is of whom an answer does not say: it may list only who is.
        """
        asking = self._asking[question.request.scope]
        asking.heard(is_answered=bool(seen.enrolled), started=started)
        if self._conclusions.looks_again(question, seen, started=started):
            return
        if not seen.enrolled:
            asking.is_unclear = True
        missed = {each for each, is_in in zip(question.asks_about, seen.enrolled, strict=False) if not is_in}
        found = [item for item in self._lanes.left_of(question) if item.request in missed]
        for item in found:
            self._cascades.missed(item)
        self._lanes.answered(question, {item.request_no for item in found})
        self._chosen |= {item.request_no for item in found}

    def _send_samples(self) -> None:
        """Send a sample of each pair of cycles where the API did not say who is enrolled."""
        pairs: dict[tuple[Scope, str, str], list[OpenRequest]] = defaultdict(list)
        for item in self._lanes.left:
            asking = self._asking.get(item.request.scope)
            anchor = self._cascades.covering(item) if asking and asking.is_unclear else None
            if anchor is not None and item.request.period is not None:
                pairs[item.request.scope, anchor, item.request.period].append(item)
        chosen = set()
        for pair, items in pairs.items():
            wanted = self._cascades.samples_wanted(*pair, least=max(SENT, -(-len(items) // SHARE)))
            chosen |= {item.request_no for item in _spread(sorted(items, key=lambda item: item.request_no), wanted)}
        self._send_left(chosen)
        if chosen:
            text = "the API does not say who is enrolled, so of each pair of cycles a sample is sent"
            self._conclusions.event(SAMPLED, f"{text}: {len(chosen)} requests", requests=len(chosen))

    def _send_left(self, chosen: set[int]) -> None:
        self._chosen |= chosen
        self._lanes.take_up_left(chosen)


def _spread(each: Sequence[Each], count: int) -> list[Each]:
    """Return `count` of them, spread evenly, and the same ones whenever they are the same."""
    if len(each) <= count:
        return list(each)
    return [each[index] for index in sorted(sorted(range(len(each)), key=on_circle)[:count])]
