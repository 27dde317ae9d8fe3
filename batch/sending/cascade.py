"""Step 4 of 5: find out whether enrolling into a cycle enrolls into the later ones, and what then need not be sent.

A fold over answers, pure, in any order of customers. Owns who is asked to find out, what is left out then, and when a
finding is taken back. Decides nothing for good: what need not be sent waits until all answers are
in, because a single later cycle that is accepted takes the finding back.

Evidence is what answers to one customer say, one after the other. A cycle that a 2xx to this run has accepted is an
anchor. A later request of that customer for another cycle of the same target that is answered "enrolled already" speaks
for a cascade; one that is accepted speaks against it. Somebody else may have enrolled customers into single cycles, so
each pair of cycles is proven for itself, and one pair that is refuted refutes the whole target. Two cycles are taken
to be in the order in which most customers have them: one who has them the other way round neither proves nor refutes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from batch.sending.evidence import PAIR_PROOF, PROOF, Answer, Pair, Story, Target, answer_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batch.model import EnrollmentRequest, Facts, OpenRequest, Scope, Verdict


class OnCascade(StrEnum):
    """What happens when a cascade is found: the setting `campaign.on_cascade`."""

    REPORT = "report"
    SKIP = "skip"
    STOP = "stop"


class Way(StrEnum):
    """What becomes of a request whose turn it is."""

    SEND = "send"
    LEAVE = "leave"
    """As it stands it need not be sent: it waits until the end, and its lane goes on."""
    WAIT = "wait"
    """Its lane waits until others have found out."""


@dataclass(frozen=True, slots=True)
class Finding:
    """News about one target: a cascade was found, or a finding is taken back. `text` is one line for people."""

    is_found: bool
    text: str
    facts: Facts
    """What the text tells."""


@dataclass(frozen=True, slots=True)
class _Question:
    """A request that was sent to find out."""

    target: Target
    pair: Pair
    story: Story
    is_customers: bool
    """Also to count its customer."""


_Key = tuple[int | None, int, int]
"""Org, target group, target."""


class Cascades:
    """The targets of a run, and what their answers say."""

    def __init__(
        self,
        on_cascade: OnCascade = OnCascade.REPORT,
        planned: Iterable[tuple[Scope, str, int]] = (),
        order: Iterable[tuple[Scope, str, str]] = (),
    ) -> None:
        """`planned`: scope, cycle and number of customers of each cycle of the plan.

        `order`: scope, cycle and a later cycle, in the order in which most customers have the two.
        """
        self.on_cascade = on_cascade
        self._targets: dict[_Key, Target] = {}
        for scope, period, count in planned:
            target = self._targets.setdefault(_key(scope), Target())
            target.periods.add(period)
            target.planned_count = max(target.planned_count, count)
        for scope, earlier, later in order:
            self._targets.setdefault(_key(scope), Target()).backwards.add((later, earlier))
        self._stories: dict[int, dict[tuple[_Key, int | str], Story]] = {}
        self._questions: dict[int, _Question] = {}
        self._missed: set[int] = set()
        self._asked_before: Counter[_Key] = Counter()
        self.no_more_answers = False
        """Nobody is left whose answers could decide: what is undecided is sent."""
        self.has_news = False
        """Lanes that wait for others should be asked again; whoever does so sets it back."""
        self.was_taken_back = False
        """Also those that went on without something."""

    def recall(self, answers: Iterable[tuple[int, bool, EnrollmentRequest, Verdict, int]]) -> None:
        """Take what a ledger knows of earlier invocations, chunk by chunk, each customer's answers as they came.

        Each is (chunk, whether the chunk is done, request, verdict, attempt). What was found then is no news.
        """
        last: tuple[int, bool] | None = None
        for chunk_no, is_done, request, verdict, attempt in answers:
            if last is not None and last[0] != chunk_no:
                if last[1]:
                    self.forget(last[0])
                if self._targets and all(target.is_refuted for target in self._targets.values()):
                    break  # nothing will be found any more
            last = chunk_no, is_done
            self._take(chunk_no, request, answer_of(request, verdict, attempt))
        if last is not None and last[1]:
            self.forget(last[0])
        for target in self._targets.values():
            target.is_found = target.is_proven

    def heed(self, accepted_twice: Iterable[tuple[Scope, str, str]]) -> None:
        """Take cycles that were accepted one after the other for one customer: (scope, cycle, next cycle)."""
        for scope, earlier, later in accepted_twice:
            target = self._targets.setdefault(_key(scope), Target())
            target.is_refuted = target.is_refuted or target.follows(later, earlier)

    def remember(self, taken_back: Iterable[Scope], asked: Iterable[tuple[Scope, int]]) -> None:
        """Take what events tell: whose finding was taken back, and how often the API was asked about whom.

        The answers alone do not tell: what the API's word refuted may have been enrolled by an attempt that was lost.
        """
        for scope in taken_back:
            self._targets.setdefault(_key(scope), Target()).is_refuted = True
        for scope, times in asked:
            self._asked_before[_key(scope)] += times

    def asked_before(self, scope: Scope) -> int:
        """Return how often earlier invocations began to ask the API about this target."""
        return self._asked_before[_key(scope)]

    @property
    def is_decided(self) -> bool:
        """Whether it is known of each target with several cycles whether it cascades."""
        return all(
            target.is_refuted or target.is_proven for target in self._targets.values() if len(target.periods) > 1
        )

    def settled(self, item: OpenRequest, verdict: Verdict, attempt: int) -> Finding | None:
        """Take how a request ended; return the news, if that is any."""
        question = self._questions.pop(item.request_no, None)
        answer = answer_of(item.request, verdict, attempt)
        if question:
            question.pair.silent += answer is None
            question.pair.asking -= 1
            question.story.asking = question.story.asking and not question.is_customers
            question.target.asking -= question.is_customers
            self.has_news = True
        target = self._take(item.chunk.chunk_no, item.request, answer)
        if item.request_no in self._missed and answer is not Answer.ALREADY:
            target = self._targets[_key(item.request.scope)]
            target.is_refuted = True
        if target is None or target.is_found == target.is_proven:
            return None
        target.is_found = not target.is_found
        self.has_news = True
        self.was_taken_back = self.was_taken_back or not target.is_found
        return _finding(item.request.scope, target)

    def missed(self, item: OpenRequest) -> None:
        """Take the API's word that a request that was left out is not covered: unless it is refused as enrolled."""
        self._missed.add(item.request_no)

    def forget(self, chunk_no: int) -> None:
        """Let go of the customers of a chunk of which nothing is open any more; what they taught stays."""
        self._stories.pop(chunk_no, None)

    def _take(self, chunk_no: int, request: EnrollmentRequest, answer: Answer | None) -> Target | None:
        """Count an answer; return its target when that may change what is known of it."""
        if answer is None:
            return None
        stories = self._stories.setdefault(chunk_no, {})
        story = stories.setdefault((_key(request.scope), request.customer), Story())
        if answer is Answer.UNENROLLED:
            story.closed = True
        if story.closed or request.period is None:
            return None
        target = self._targets.setdefault(_key(request.scope), Target())
        if answer is Answer.ACCEPTED:
            if story.anchors:
                target.pair(story.anchors[-1], request.period).accepted += 1
                target.is_refuted = target.is_refuted or target.follows(request.period, story.anchors[-1])
            story.anchors += (request.period,)
        elif len(story.anchors) == 1 and target.follows(request.period, story.anchors[0]):
            # With several accepted the customer is no witness for either.
            target.pair(story.anchors[0], request.period).already += 1
            target.customers += not story.speaks
            story.speaks = True
        return target

    def way_of(self, item: OpenRequest) -> Way:
        """Return what becomes of a request whose turn it is: to be sent, unless it may be found to be needless."""
        request, period = item.request, item.request.period
        begun = item.attempts or item.maybe_applied or item.look or item.request_no in self._questions
        if self.on_cascade is not OnCascade.SKIP or begun or period is None:
            return Way.SEND
        story = self._story_of(item)
        target = self._targets[_key(request.scope)] if story else None
        if story is None or story.closed or target is None or target.is_refuted:
            return Way.SEND
        if anchor := self.covering(item):
            return Way.SEND if target.samples(item.request_no, anchor) else Way.LEAVE
        return self._undecided(item.request_no, target, story, period, must=request.asks_for_value)

    def _story_of(self, item: OpenRequest) -> Story | None:
        stories = self._stories.get(item.chunk.chunk_no, {})
        return stories.get((_key(item.request.scope), item.request.customer))

    def covering(self, item: OpenRequest) -> str | None:
        """Return the accepted cycle that covers a request as it stands; None where none does, or it asks for a value.

        Only what this run enrolled: an "enrolled already" that came after an attempt of ours proves only that somebody
        did, once.
        """
        story, request = self._story_of(item), item.request
        target = self._targets.get(_key(request.scope))
        if story is None or story.closed or target is None or not target.is_found or request.asks_for_value:
            return None
        period = request.period or ""
        return next((anchor for anchor in story.anchors if target.covers(anchor, period)), None)

    def is_found(self, scope: Scope) -> bool:
        """Return whether a cascade of this target was found and not taken back."""
        target = self._targets.get(_key(scope))
        return target is not None and target.is_found

    def samples_wanted(self, scope: Scope, anchor: str, period: str, least: int) -> int:
        """Return how many more requests for a cycle are to be sent where the API cannot be asked what covers it.

        `least`: so many answers are wanted at least. Those of the first few customers do not count.
        """
        return max(0, least + PROOF - self._targets[_key(scope)].pair(anchor, period).already)

    def _undecided(self, request_no: int, target: Target, story: Story, period: str, *, must: bool) -> Way:
        """Send so many as are needed to find out; `must`: it is sent anyhow, and teaches like the others."""
        if self.no_more_answers or len(story.anchors) != 1:
            return Way.SEND
        pair = target.pair(story.anchors[0], period)
        if pair.is_hopeless:
            return Way.SEND
        is_customers = not (story.speaks or story.asking) and target.customers + target.asking < PROOF
        if not must and not is_customers and pair.already + pair.asking >= PAIR_PROOF:
            return Way.WAIT
        self._questions[request_no] = _Question(target, pair, story, is_customers)
        pair.asking += 1
        target.asking += is_customers
        story.asking = story.asking or is_customers
        return Way.SEND


def _key(scope: Scope) -> _Key:
    return scope.org_id, scope.target_group_id, scope.target_id


def _finding(scope: Scope, target: Target) -> Finding:
    if not target.is_found:
        return Finding(False, f"{scope.title}: taken back, a customer was not in a later cycle", scope.facts)
    answers = sum(pair.already for pair in target.pairs.values())
    what = "enrolling into a cycle enrolls into the later ones"
    if len(target.periods) == 2:
        what = "it looks as if enrolling into the one cycle enrolls into the other"
    text = (
        f"{scope.title}: {what}: "
        f'of {target.customers} customers {answers} later cycles were answered "already enrolled" and none accepted'
    )
    return Finding(True, text, {**scope.facts, "customers": target.customers, "already_enrolled": answers})
