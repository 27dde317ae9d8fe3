"""Step 5 of 5: what went wrong, by kind: how many, and a few of each.

Pure folds over the rows of one pass. They keep a bounded number of kinds and of samples whatever the run's size, and
know how many they left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batch.model import GROUP_OF, Group

if TYPE_CHECKING:
    from batch.model import InputFacts, Outcome, Problem, RejectedRow, ReportRow
    from batch.report.masking import Mask

SAMPLES = 3
"""Of each kind. Source: our choice: enough to see what is alike."""
KINDS = 100
"""At most so many kinds; nothing that the API documents comes near."""
_LONGEST = 400
"""Longer texts are cut, because a cell or an answer may hold a whole page."""

_DONE = frozenset(outcome for outcome, group in GROUP_OF.items() if group is Group.DONE)


@dataclass(frozen=True, slots=True)
class Sample:
    """One request of a kind, as the page shows it."""

    customer: str
    cycle: str
    file: str
    row: int
    message: str
    api_request_id: str


@dataclass(slots=True)
class EndKind:
    """Requests that ended, or stand, in the same way and are not simply done."""

    outcome: Outcome
    http_status: int | None
    error_code: int | None
    reason: str
    count: int = 0
    samples: list[Sample] = field(default_factory=list)

    @property
    def left_out(self) -> int:
        """How many are not among the samples."""
        return self.count - len(self.samples)


class EndKinds:
    """Collects the kinds of ends that are not simply done, warnings beside a success among them."""

    def __init__(self, files: dict[int, str], mask: Mask | None) -> None:
        """`files`: the name of each input by its number."""
        self._files = files
        self._mask = mask
        self._kinds: dict[tuple[Outcome, int | None, int | None, str], EndKind] = {}
        self.beyond = 0
        """Requests of kinds beyond the first `KINDS`."""

    def add(self, row: ReportRow) -> None:
        """Take a request."""
        if row.outcome in _DONE and (row.error_code is not None or not row.error_message):
            return
        key = (row.outcome, row.http_status, row.error_code, row.reason)
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= KINDS:
                self.beyond += 1
                return
            kind = self._kinds[key] = EndKind(*key)
        kind.count += 1
        if len(kind.samples) < SAMPLES:
            kind.samples.append(self._sample(row))

    def _sample(self, row: ReportRow) -> Sample:
        customer, message = str(row.request.customer), row.error_message
        if self._mask:
            message = self._mask.text(message, customer)
            customer = self._mask.customer(customer)
        file = self._files[row.input_no]
        return Sample(customer, row.request.period or "", file, row.row, _short(message), row.api_request_id)

    @property
    def kinds(self) -> tuple[EndKind, ...]:
        """The kinds, those that need somebody first, in each group the most frequent first."""
        order = list(Group)
        return tuple(
            sorted(
                self._kinds.values(),
                key=lambda kind: (kind.outcome in _DONE, -kind.count, order.index(GROUP_OF[kind.outcome])),
            )
        )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


@dataclass(frozen=True, slots=True)
class ProblemSample:
    """One row problem, as the page shows it."""

    file: str
    row: int
    column: str
    value: str
    hint: str


@dataclass(slots=True)
class ProblemKind:
    """Row problems of one kind, duplicates and contradictions among them."""

    problem: Problem
    count: int = 0
    samples: list[ProblemSample] = field(default_factory=list)

    @property
    def left_out(self) -> int:
        """How many are not among the samples."""
        return self.count - len(self.samples)


class ProblemKinds:
    """Collects row problems by kind."""

    def __init__(self, inputs: dict[int, InputFacts], files: dict[int, str], mask: Mask | None) -> None:
        self._inputs = inputs
        self._files = files
        self._mask = mask
        self._kinds: dict[Problem, ProblemKind] = {}

    def add(self, row: RejectedRow) -> None:
        """Take a row problem, a duplicate or a contradiction."""
        found = row.problem
        kind = self._kinds.setdefault(found.problem, ProblemKind(found.problem))
        kind.count += 1
        if len(kind.samples) >= SAMPLES:
            return
        value, hint = found.value, found.hint
        if self._mask:
            value, hint = self._mask.problem(found, self._inputs[row.input_no])
        file = self._files[row.input_no]
        kind.samples.append(ProblemSample(file, row.row, found.column, _short(value), _short(hint)))

    @property
    def kinds(self) -> tuple[ProblemKind, ...]:
        """The kinds, the most frequent first."""
        return tuple(sorted(self._kinds.values(), key=lambda kind: (-kind.count, kind.problem)))
