"""Step 4 of 5: find out whether enrolling into a cycle enrolls into the later ones, and what then need not be sent.

A fold over answers, pure, in any order of customers. Owns what proves a cascade, what refutes it, who is asked to find
out, and the sample that goes on being sent. Decides nothing for good: what need not be sent waits until all answers are
in, because a single later cycle that is accepted takes the finding back.

Evidence is what answers to one customer say, one after the other. A cycle that a 2xx to this run has accepted is an
anchor. A later request of that customer for another cycle of the same target that is answered "enrolled already" speaks
for a cascade; one that is accepted speaks against it. Somebody else may have enrolled customers into single cycles, so
each pair of cycles is proven for itself, and one pair that is refuted refutes the whole target. Cycles are taken to be
in the order in which the plan first names them: a customer who has two of them the other way round refutes only that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from batch.model import Action, Kind, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batch.model import EnrollmentRequest, OpenRequest, Scope, Verdict

PROOF = 5
"""So many customers make a finding. Source: our choice ("several"): few enough to save calls in small uploads, and what
a finding leaves out is decided only in the end."""
PAIR_PROOF = 2
"""So many customers make one for a pair of cycles, because a cycle that does not exist is covered by none."""
SAMPLES = 16
"""About so many of the requests that need not be sent are sent at least. Source: our choice, because where a quarter of
them would be accepted, sixteen miss that in one of a hundred runs."""
SAMPLED = 20
"""And at least one for so many customers."""

_GOLDEN = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio: its multiples fill the circle evenly, so any stretch of an upload is sampled."""
_CIRCLE = 1 << 64


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


class Answer(StrEnum):
    """What an answer says about a cascade; any other answer says nothing."""

    ACCEPTED = "accepted"
    CONFIRMED = "confirmed"
    """Enrolled, most likely by an attempt of ours that got no answer: it covers later cycles, but proves nothing."""
    ALREADY = "already"
    UNENROLLED = "unenrolled"
    """Or perhaps: from here on nothing that the customer was enrolled into proves anything."""


def answer_of(request: EnrollmentRequest, verdict: Verdict, attempt: int) -> Answer | None:
    """Return what the verdict that settled a request says; `attempt` 0: without one.

    "Enrolled already" after an attempt of ours that got no answer is an `enrolled` with the code of the refusal, or in
    doubt; and a look at the API is no attempt: neither proves who did it.
    """
    if request.scope.kind is not Kind.MILESTONE:
        return None
    if request.scope.action is Action.UNENROLL:
        return Answer.UNENROLLED
    if request.period is None:
        return None
    if verdict.outcome in {Outcome.ALREADY_ENROLLED, Outcome.VALUE_NOT_APPLIED}:
        return Answer.ALREADY
    if verdict.outcome is not Outcome.ENROLLED:
        return None
    return Answer.ACCEPTED if attempt and verdict.error_code is None else Answer.CONFIRMED


@dataclass(frozen=True, slots=True)
class Finding:
    """News about one target: a cascade was found, or a finding is taken back. `text` is one line for people."""

    is_found: bool
    text: str


@dataclass(slots=True)
class _Pair:
    """What was answered to requests for the second cycle after the first was accepted, and who is being asked."""

    already: int = 0
    accepted: int = 0
    asking: int = 0

    @property
    def is_proven(self) -> bool:
        return self.already >= PAIR_PROOF and not self.accepted


@dataclass(slots=True)
class _Story:
    """One customer and target. `anchors` are the cycles accepted so far, in the order in which they were."""

    anchors: tuple[str, ...] = ()
    confirmed: tuple[str, ...] = ()
    speaks: bool = False
    """Counted among the customers whose later cycles were answered "enrolled already"."""
    asking: bool = False
    closed: bool = False


@dataclass(slots=True)
class _Target:
    """What is known of one target."""

    pairs: dict[tuple[str, str], _Pair] = field(default_factory=dict)
    customers: int = 0
    asking: int = 0
    is_refuted: bool = False
    ranks: dict[str, int] = field(default_factory=dict)
    """The cycles of the target, each with its place in the plan."""
    planned_count: int = 0
    """How many customers the plan has."""
    is_found: bool = False
    """As it was last told."""

    @property
    def is_proven(self) -> bool:
        return self.customers >= PROOF and not self.is_refuted

    def pair(self, anchor: str, period: str) -> _Pair:
        return self.pairs.setdefault((anchor, period), _Pair())

    def covers(self, anchor: str, period: str) -> bool:
        pair = self.pairs.get((anchor, period))
        return pair is not None and pair.is_proven

    def follows(self, period: str, anchor: str) -> bool:
        """Return whether a cycle is later than another in the order of the plan."""
        return self.ranks.get(period, 0) >= self.ranks.get(anchor, 0)

    def samples(self, request_no: int, anchor: str) -> bool:
        """Return whether a needless request is sent all the same: by its number alone, so a resume chooses alike."""
        interval = min(SAMPLED, max(1, self.planned_count // SAMPLES))
        later_count = len(self.ranks) - self.ranks.get(anchor, 0) - 1
        return request_no * _GOLDEN % _CIRCLE < _CIRCLE // (interval * max(1, later_count))


@dataclass(frozen=True, slots=True)
class _Question:
    """A request that was sent to find out."""

    target: _Target
    pair: _Pair
    story: _Story
    is_customers: bool
    """Also to count its customer."""


_Key = tuple[int | None, int, int]
"""Org, target group, target."""


class Cascades:
    """The targets of a run, and what their answers say."""

    def __init__(
        self, on_cascade: OnCascade = OnCascade.REPORT, planned: Iterable[tuple[Scope, str, int]] = ()
    ) -> None:
        """`planned`: scope, cycle and number of customers of each cycle of the plan, in its order."""
        self.on_cascade = on_cascade
        self._targets: dict[_Key, _Target] = {}
        for scope, period, count in planned:
            target = self._targets.setdefault(_key(scope), _Target())
            target.ranks.setdefault(period, len(target.ranks))
            target.planned_count = max(target.planned_count, count)
        self._stories: dict[int, dict[tuple[_Key, int | str], _Story]] = {}
        self._questions: dict[int, _Question] = {}
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
            target = self._targets.setdefault(_key(scope), _Target())
            target.is_refuted = target.is_refuted or target.follows(later, earlier)

    @property
    def is_decided(self) -> bool:
        """Whether it is known of each target with several cycles whether it cascades."""
        return all(target.is_refuted or target.is_proven for target in self._targets.values() if len(target.ranks) > 1)

    def settled(self, item: OpenRequest, verdict: Verdict, attempt: int) -> Finding | None:
        """Take how a request ended; return the news, if that is any."""
        question = self._questions.pop(item.request_no, None)
        if question:
            question.pair.asking -= 1
            question.story.asking = question.story.asking and not question.is_customers
            question.target.asking -= question.is_customers
            self.has_news = True
        target = self._take(item.chunk.chunk_no, item.request, answer_of(item.request, verdict, attempt))
        if target is None or target.is_found == target.is_proven:
            return None
        target.is_found = not target.is_found
        self.has_news = True
        self.was_taken_back = self.was_taken_back or not target.is_found
        return Finding(target.is_found, _text(item.request.scope, target))

    def forget(self, chunk_no: int) -> None:
        """Let go of the customers of a chunk of which nothing is open any more; what they taught stays."""
        self._stories.pop(chunk_no, None)

    def _take(self, chunk_no: int, request: EnrollmentRequest, answer: Answer | None) -> _Target | None:
        """Count an answer; return its target when that may change what is known of it."""
        if answer is None:
            return None
        stories = self._stories.setdefault(chunk_no, {})
        story = stories.setdefault((_key(request.scope), request.customer), _Story())
        if answer is Answer.UNENROLLED:
            story.closed = True
        if story.closed or request.period is None:
            return None
        target = self._targets.setdefault(_key(request.scope), _Target())
        if answer is Answer.ACCEPTED:
            if story.anchors:
                target.pair(story.anchors[-1], request.period).accepted += 1
                target.is_refuted = target.is_refuted or target.follows(request.period, story.anchors[-1])
            story.anchors += (request.period,)
        elif answer is Answer.CONFIRMED:
            story.confirmed += (request.period,)
        elif len(story.anchors) == 1:  # with several accepted the customer is no witness for either
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
        story = self._stories.get(item.chunk.chunk_no, {}).get((_key(request.scope), request.customer))
        if story is None or story.closed:
            return Way.SEND
        target = self._targets[_key(request.scope)]
        if target.is_refuted:
            return Way.SEND
        if target.is_found and not request.asks_for_value:
            sources = story.anchors + story.confirmed
            covering = next((anchor for anchor in sources if target.covers(anchor, period)), None)
            if covering is not None:
                return Way.SEND if target.samples(item.request_no, covering) else Way.LEAVE
        return self._undecided(item.request_no, target, story, period, must=request.asks_for_value)

    def _undecided(self, request_no: int, target: _Target, story: _Story, period: str, *, must: bool) -> Way:
        """Send so many as are needed to find out; `must`: it is sent anyhow, and teaches like the others."""
        if self.no_more_answers or len(story.anchors) != 1:
            return Way.SEND
        pair = target.pair(story.anchors[0], period)
        if pair.accepted:
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


def _text(scope: Scope, target: _Target) -> str:
    if not target.is_found:
        return f"{scope.title}: taken back, a later cycle was accepted"
    answers = sum(pair.already for pair in target.pairs.values())
    return (
        f"{scope.title}: enrolling into a cycle enrolls into the later ones: "
        f'of {target.customers} customers {answers} later cycles were answered "already enrolled" and none accepted'
    )
