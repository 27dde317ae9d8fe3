"""Step 4 of 5: do with a customer's lane what the cascade says: send, go on without a request, or wait for others.

Owns when what was left out is decided: in the end, when every answer is in. Where the finding still stands then, the
API is asked about some of these customers; what it says is missing is sent, and where it does not say, a sample is.
Only what stands after that is settled without a call; where the finding was taken back, it is sent. Knows no time and
no task.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, assert_never

from batch.model import Action
from batch.sending.cascade import Way
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
"""The event that says so."""


class Needless:
    """The requests of one invocation that need not be sent as it stands."""

    def __init__(self, lanes: Lanes, cascades: Cascades, conclusions: Conclusions) -> None:
        self._lanes = lanes
        self._cascades = cascades
        self._conclusions = conclusions
        self._asked: set[Scope] = set()
        self._unclear: set[Scope] = set()
        """Of these the API did not say of everybody who was asked about whether he is enrolled."""
        self._chosen: set[int] = set()
        """Sent although they need not be as it stands."""

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
        if not self._lanes.release_held():
            self._ask()
            self._send_samples()
            self._lanes.take_up_left({item.request_no for item in self._lanes.left if not self._is_needless(item)})
            if not self._lanes.ready_count:
                for item in self._lanes.take_left():
                    self._conclusions.cover(item)
        return self._lanes.ready_count > 0

    def _is_needless(self, item: OpenRequest) -> bool:
        return self._cascades.way_of(item) is Way.LEAVE

    def _ask(self) -> None:
        """Ask about some customers of each target that was not asked about: one call tells all cycles of a customer."""
        left: dict[Scope, dict[int | str, list[OpenRequest]]] = defaultdict(lambda: defaultdict(list))
        for item in self._lanes.left:
            if item.request.scope not in self._asked and self._is_needless(item):
                left[item.request.scope][item.request.customer].append(item)
        self._asked |= left.keys()
        questions = {}
        for scope, customers in left.items():
            in_order = sorted(customers.values(), key=lambda items: items[0].request_no)
            chosen = _spread(in_order, max(ASKED, -(-len(in_order) // SHARE)))
            text = (
                f"{scope.title}: the API is asked about {len(chosen)} of {len(in_order)} customers with cycles left out"
            )
            self._conclusions.event(ASKED_ABOUT, text)
            for items in chosen:
                about = tuple(item.request for item in items)
                questions[items[0].request_no] = replace(items[0], look=1, asks_about=about)
        self._lanes.ask_about_left(questions)

    def is_worth_asking(self, question: OpenRequest) -> bool:
        """Return whether a question is still one; if not, its lane goes on."""
        scope = question.request.scope
        if self._cascades.is_found(scope) and scope not in self._unclear:
            return True
        self._lanes.answered(question)
        return False

    def conclude(self, question: OpenRequest, seen: Seen, *, started: int) -> None:
        """Take what came of a look that began at `started` on the loop's clock: who is not enrolled is sent."""
        if self._conclusions.looks_again(question, seen, started=started):
            return
        if not seen.enrolled or None in seen.enrolled:
            self._unclear.add(question.request.scope)
        missed = {each for each, is_in in zip(question.asks_about, seen.enrolled, strict=False) if is_in is False}
        found = [item for item in self._lanes.left_of(question) if item.request in missed]
        for item in found:
            self._cascades.missed(item)
        self._lanes.answered(question, {item.request_no for item in found})
        self._chosen |= {item.request_no for item in found}

    def _send_samples(self) -> None:
        """Send a sample of each pair of cycles where the API did not say who is enrolled."""
        pairs: dict[tuple[Scope, str, str], list[OpenRequest]] = defaultdict(list)
        for item in self._lanes.left:
            anchor = self._cascades.covering(item) if item.request.scope in self._unclear else None
            if anchor is not None and item.request.period is not None:
                pairs[item.request.scope, anchor, item.request.period].append(item)
        chosen = set()
        for pair, items in pairs.items():
            wanted = self._cascades.samples_wanted(*pair, least=max(SENT, -(-len(items) // SHARE)))
            chosen |= {item.request_no for item in _spread(sorted(items, key=lambda item: item.request_no), wanted)}
        self._chosen |= chosen
        self._lanes.take_up_left(chosen)
        if chosen:
            text = "the API does not say who is enrolled, so of each pair of cycles a sample is sent"
            self._conclusions.event(ASKED_ABOUT, f"{text}: {len(chosen)} requests")


def _spread(each: Sequence[Each], count: int) -> list[Each]:
    """Return `count` of them, spread evenly, and the same ones whenever they are the same."""
    if len(each) <= count:
        return list(each)
    return [each[index] for index in sorted(sorted(range(len(each)), key=on_circle)[:count])]
