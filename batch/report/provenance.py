"""Step 5 of 5: who enrolled a customer that the API calls enrolled already.

Pure. Owns the closed list of answers and what each is proven by: this run's own records, or the ledger of an earlier
run. Where those ledgers are, and how they are read, is the business of whoever looks.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from batch.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from batch.model import EarlierRequest, ReportRow


class Provenance(StrEnum):
    """Who enrolled a customer that was enrolled already when the API last answered."""

    BEFORE_US = "before_us"
    """Somebody else: no ledger of ours has it."""
    EARLIER_RUN = "earlier_run"
    """An earlier run of ours: its ledger has the API's yes."""
    OWN_ATTEMPT = "own_attempt"
    """An attempt of ours that got no answer, in this run or in the one that is named."""
    CASCADE = "cascade"
    """This run, by enrolling the customer into an earlier cycle, as far as its own ledger and those looked at tell."""
    BEFORE_US_OR_CASCADE = "before_us_or_cascade"
    """Somebody else, or this run, which enrolled the customer into an earlier cycle; no ledger of ours tells which."""
    UNKNOWN = "unknown"
    """Not in this run, and not all earlier runs could be looked at."""


WORDS = {
    Provenance.BEFORE_US: "enrolled before, by none of our runs",
    Provenance.EARLIER_RUN: "enrolled by an earlier run",
    Provenance.OWN_ATTEMPT: "enrolled by an attempt of ours that got no answer",
    Provenance.CASCADE: "enrolled by this run with an earlier cycle",
    Provenance.BEFORE_US_OR_CASCADE: "enrolled before, or by this run with an earlier cycle",
    Provenance.UNKNOWN: "not known: not all earlier runs could be looked at",
}

OWN_REASONS = frozenset({"confirmed_by_retry", "enrolled_value_unknown"})
"""Reasons that say that the API's "already enrolled" came after an attempt of ours. Source: DESIGN "Outcomes"."""
ALREADY = frozenset({Outcome.ALREADY_ENROLLED, Outcome.VALUE_NOT_APPLIED})
"""Outcomes by which the API says that somebody had enrolled the customer before."""


class EarlierRuns(Protocol):
    """What looks requests up in the ledgers of other runs."""

    is_complete: bool
    """Whether every earlier run could be looked at so far; known after `expect`."""

    def expect(self, count: int, perhaps: int = 0) -> bool:
        """Hear how many requests will be looked up, so that the work can be bounded.

        Return whether so many more, `perhaps`, can be looked up without leaving out a ledger for them.
        """
        ...

    def find(self, rows: Sequence[ReportRow]) -> Sequence[EarlierRequest | None]:
        """Return what an earlier run has of each request, None where none has it."""
        ...


@dataclass(slots=True)
class ProvenanceCounts:
    """How many requests have which provenance, and which runs they come from."""

    by_kind: Counter[Provenance] = field(default_factory=Counter)
    by_run: Counter[str] = field(default_factory=Counter)
    perhaps_set: int = 0
    """Requests with a value that the API did not apply, but an attempt of ours whose answer was lost may have."""

    @property
    def main_run(self) -> str | None:
        """The run that most of them come from, None where none is known to."""
        return min(self.by_run, key=lambda run_id: (-self.by_run[run_id], run_id), default=None)


class OwnRun(Protocol):
    """What looks into this run's own ledger."""

    def count_reasons(self, reasons: Collection[str]) -> int:
        """Return how many outcomes were recorded with one of these reasons."""
        ...

    def after_own_yes(self, request_nos: Collection[int]) -> set[int]:
        """Return which of these requests came after one by which this run may have enrolled the same customer."""
        ...


class Provenances:
    """Finds the provenance of rows, batch by batch, and counts it."""

    def __init__(self, own: OwnRun, earlier: EarlierRuns | None, already_count: int, covered_count: int = 0) -> None:
        """`already_count`: how many requests of the run were enrolled already. Without `earlier` none is looked up.

        `covered_count`: how many are covered by an earlier cycle; an earlier run may have enrolled them all the same.
        """
        self._own = own
        self._earlier = earlier
        self.counts = ProvenanceCounts()
        self._asks_covered = False
        if earlier is not None:
            self._asks_covered = earlier.expect(already_count + own.count_reasons(OWN_REASONS), covered_count)

    def of(self, rows: Sequence[ReportRow]) -> list[tuple[Provenance | None, str | None]]:
        """Return, for each row, who enrolled the customer and the id of the earlier run; None where nobody asks."""
        asked = [row for row in rows if _is_asked(row)]
        if self._asks_covered:
            asked += [row for row in rows if row.outcome is Outcome.COVERED_BY_CASCADE]
        found: dict[int, EarlierRequest | None] = {}
        if asked and self._earlier is not None:
            found = dict(zip((row.request_no for row in asked), self._earlier.find(asked), strict=True))
        cascaded = self._own.after_own_yes([row.request_no for row in asked]) if asked else set()
        return [self._of(row, found.get(row.request_no), row.request_no in cascaded) for row in rows]

    def _of(
        self, row: ReportRow, earlier: EarlierRequest | None, may_be_cascade: bool
    ) -> tuple[Provenance | None, str | None]:
        kind = self._kind(row, earlier, may_be_cascade)
        is_evidence = kind is Provenance.EARLIER_RUN or (
            kind is not Provenance.CASCADE and earlier and earlier.is_in_doubt
        )
        run_id = earlier.run_id if earlier and is_evidence else None
        if kind is not None:
            self.counts.by_kind[kind] += 1
        if row.outcome is Outcome.VALUE_NOT_APPLIED and kind in {Provenance.OWN_ATTEMPT, Provenance.UNKNOWN}:
            self.counts.perhaps_set += 1
        if run_id is not None:
            self.counts.by_run[run_id] += 1
        return kind, run_id

    def _kind(self, row: ReportRow, earlier: EarlierRequest | None, may_be_cascade: bool) -> Provenance | None:
        if row.outcome is Outcome.COVERED_BY_CASCADE:
            return Provenance.EARLIER_RUN if earlier and not earlier.is_in_doubt else Provenance.CASCADE
        if not _is_asked(row):
            return None
        if row.reason in OWN_REASONS or (earlier and earlier.is_in_doubt):
            return Provenance.OWN_ATTEMPT
        if earlier:
            return Provenance.EARLIER_RUN
        if self._earlier is not None and not self._earlier.is_complete:
            return Provenance.UNKNOWN
        return Provenance.BEFORE_US_OR_CASCADE if may_be_cascade else Provenance.BEFORE_US


def _is_asked(row: ReportRow) -> bool:
    return row.outcome in ALREADY or row.reason in OWN_REASONS
