"""Step 4 of 5: what answers say about cascades: of one customer, of a pair of cycles, of a whole target.

Owns what proves a cascade and what refutes it. Pure. Does not know who is asked, nor what comes of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from batch.model import Action, Kind, Outcome

if TYPE_CHECKING:
    from batch.model import EnrollmentRequest, Verdict

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


def on_circle(number: int) -> int:
    """Return where a number stands on the circle, from 0 to 2**64: the lowest of many are spread evenly over them."""
    return number * _GOLDEN % _CIRCLE


class Answer(StrEnum):
    """What an answer says about a cascade; any other answer says nothing."""

    ACCEPTED = "accepted"
    ALREADY = "already"
    UNENROLLED = "unenrolled"
    """Or perhaps: from here on nothing that the customer was enrolled into proves anything."""


def answer_of(request: EnrollmentRequest, verdict: Verdict, attempt: int) -> Answer | None:
    """Return what the verdict that settled a request says; `attempt` 0: without one.

    "Enrolled already" after an attempt of ours that got no answer is an `enrolled` with the code of the refusal, or in
    doubt; and a look at the API is no attempt: neither proves who did it, so neither says anything.
    """
    if request.scope.kind is not Kind.MILESTONE:
        return None
    if request.scope.action is Action.UNENROLL:
        return Answer.UNENROLLED
    if request.period is None:
        return None
    if verdict.outcome in {Outcome.ALREADY_ENROLLED, Outcome.VALUE_NOT_APPLIED}:
        return Answer.ALREADY
    is_accepted = verdict.outcome is Outcome.ENROLLED and attempt and verdict.error_code is None
    return Answer.ACCEPTED if is_accepted else None


SILENT = 2 * PAIR_PROOF
"""So many answers that say nothing about a pair of cycles end the waiting for one that does: a cycle that has ended
is refused to one customer after the other."""


@dataclass(slots=True)
class Pair:
    """What was answered to requests for the second cycle after the first was accepted, and who is being asked."""

    already: int = 0
    accepted: int = 0
    silent: int = 0
    """Answers to those who were asked that say nothing."""
    asking: int = 0

    @property
    def is_proven(self) -> bool:
        """Whether the second cycle is covered by the first, as far as these customers tell."""
        return self.already >= PAIR_PROOF and not self.accepted

    @property
    def is_hopeless(self) -> bool:
        """Whether nobody waits for what is found out about it."""
        return bool(self.accepted) or (self.silent >= SILENT and self.already < PAIR_PROOF)


@dataclass(slots=True)
class Story:
    """One customer and target. `anchors` are the cycles accepted so far, in the order in which they were."""

    anchors: tuple[str, ...] = ()
    speaks: bool = False
    """Counted among the customers whose later cycles were answered "enrolled already"."""
    asking: bool = False
    closed: bool = False


@dataclass(slots=True)
class Target:
    """What is known of one target."""

    pairs: dict[tuple[str, str], Pair] = field(default_factory=dict)
    customers: int = 0
    asking: int = 0
    is_refuted: bool = False
    periods: set[str] = field(default_factory=set)
    """The cycles of the plan."""
    backwards: set[tuple[str, str]] = field(default_factory=set)
    """Pairs of cycles of which most customers have the second first."""
    planned_count: int = 0
    """How many customers the plan has."""
    is_found: bool = False
    """As it was last told."""

    @property
    def is_proven(self) -> bool:
        """Whether so many customers speak for a cascade, and none against it."""
        return self.customers >= PROOF and not self.is_refuted

    def pair(self, anchor: str, period: str) -> Pair:
        """Return what is known of a cycle after another one was accepted."""
        return self.pairs.setdefault((anchor, period), Pair())

    def covers(self, anchor: str, period: str) -> bool:
        """Return whether a cycle that was accepted covers another one."""
        pair = self.pairs.get((anchor, period))
        return pair is not None and pair.is_proven

    def follows(self, period: str, anchor: str) -> bool:
        """Return whether a cycle is later than another, as far as is known."""
        return (anchor, period) not in self.backwards

    def samples(self, request_no: int, anchor: str) -> bool:
        """Return whether a needless request is sent all the same: by its number alone, so a resume chooses alike."""
        interval = min(SAMPLED, max(1, self.planned_count // SAMPLES))
        later_count = sum(self.follows(period, anchor) for period in self.periods) - 1
        return on_circle(request_no) < _CIRCLE // (interval * max(1, later_count))
