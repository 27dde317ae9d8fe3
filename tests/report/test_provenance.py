from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from batch.model import EarlierRequest, Outcome, ReportRow
from batch.report.provenance import WORDS, Provenance, Provenances
from tests.report.test_folder import lines_of
from tests.report.test_tables import row_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from batch.report.reconcile import Accounts

    Reported = Callable[..., tuple[Path, Accounts]]

APRIL = EarlierRequest("april", is_in_doubt=False)
IN_DOUBT = EarlierRequest("april", is_in_doubt=True)


@dataclass
class Ledgers:
    """Earlier runs in which every request is found as it is told."""

    has: EarlierRequest | None
    is_complete: bool = True
    expected: int | None = None
    perhaps: int = 0
    affords: bool = False
    asked: list[int] = field(default_factory=list)

    def expect(self, count: int, perhaps: int = 0) -> bool:
        self.expected, self.perhaps = count, perhaps
        return self.affords

    def find(self, rows: Sequence[ReportRow]) -> list[EarlierRequest | None]:
        if not self.expected:  # nothing was to be looked up, so no ledger is open
            return [None] * len(rows)
        self.asked += [row.request_no for row in rows]
        return [self.has] * len(rows)


@dataclass
class OwnLedger:
    """This run, with so many outcomes that came after an attempt of ours, and these requests after a yes of ours."""

    own_count: int = 0
    after_yes: frozenset[int] = frozenset()

    def count_reasons(self, reasons: Collection[str]) -> int:
        assert reasons
        return self.own_count

    def after_own_yes(self, request_nos: Collection[int]) -> set[int]:
        return self.after_yes & set(request_nos)


def row(outcome: Outcome, reason: str = "") -> ReportRow:
    return replace(row_of("1"), outcome=outcome, reason=reason)


@pytest.mark.parametrize(
    ("outcome", "reason", "has", "expected"),
    [
        (Outcome.ALREADY_ENROLLED, "", None, (Provenance.BEFORE_US, None)),
        (Outcome.ALREADY_ENROLLED, "", APRIL, (Provenance.EARLIER_RUN, "april")),
        (Outcome.ALREADY_ENROLLED, "", IN_DOUBT, (Provenance.OWN_ATTEMPT, "april")),
        (Outcome.VALUE_NOT_APPLIED, "", APRIL, (Provenance.EARLIER_RUN, "april")),
        (Outcome.ENROLLED, "confirmed_by_retry", None, (Provenance.OWN_ATTEMPT, None)),
        (Outcome.ENROLLED, "confirmed_by_retry", IN_DOUBT, (Provenance.OWN_ATTEMPT, "april")),
        (Outcome.ENROLLED, "confirmed_by_retry", APRIL, (Provenance.OWN_ATTEMPT, None)),
        (Outcome.IN_DOUBT, "enrolled_value_unknown", None, (Provenance.OWN_ATTEMPT, None)),
        (Outcome.COVERED_BY_CASCADE, "", None, (Provenance.CASCADE, None)),
        (Outcome.COVERED_BY_CASCADE, "", IN_DOUBT, (Provenance.CASCADE, None)),
        (Outcome.COVERED_BY_CASCADE, "", APRIL, (Provenance.EARLIER_RUN, "april")),
        (Outcome.ENROLLED, "", APRIL, (None, None)),
        (Outcome.IN_DOUBT, "no answer within 30 s", APRIL, (None, None)),
        (Outcome.INVALID_USER, "", APRIL, (None, None)),
    ],
)
def test_the_provenance_is_what_the_ledgers_prove(
    outcome: Outcome, reason: str, has: EarlierRequest | None, expected: tuple[Provenance | None, str | None]
) -> None:
    found = Provenances(OwnLedger(), Ledgers(has, affords=True), 1)
    assert found.of([row(outcome, reason)]) == [expected]
    assert found.counts.by_kind == ({expected[0]: 1} if expected[0] else {})


def test_what_was_not_looked_up_everywhere_is_not_claimed() -> None:
    assert Provenances(OwnLedger(), Ledgers(None, is_complete=False), 1).of([row(Outcome.ALREADY_ENROLLED)]) == [
        (Provenance.UNKNOWN, None)
    ]


def test_only_those_who_were_enrolled_already_are_looked_up() -> None:
    ledgers = Ledgers(APRIL)
    rows = [replace(row(outcome), request_no=number) for number, outcome in enumerate(Outcome, start=1)]
    Provenances(OwnLedger(2), ledgers, 7).of(rows)
    assert ledgers.expected == 9
    assert ledgers.asked == [3, 5]


def test_who_is_covered_is_looked_up_only_where_that_costs_no_ledger() -> None:
    for affords in (False, True):
        ledgers = Ledgers(APRIL, affords=affords)
        found = Provenances(OwnLedger(), ledgers, 1, 9).of([row(Outcome.COVERED_BY_CASCADE)])
        assert (ledgers.expected, ledgers.perhaps) == (1, 9)
        assert found == [(Provenance.EARLIER_RUN, "april") if affords else (Provenance.CASCADE, None)]


def test_a_lost_answer_alone_is_enough_to_look_into_earlier_runs() -> None:
    found = Provenances(OwnLedger(1), Ledgers(IN_DOUBT), 0)
    assert found.of([row(Outcome.ENROLLED, "confirmed_by_retry")]) == [(Provenance.OWN_ATTEMPT, "april")]


def test_nobody_is_called_enrolled_before_us_whom_this_run_enrolled_into_an_earlier_cycle() -> None:
    rows = [replace(row(Outcome.ALREADY_ENROLLED), request_no=number) for number in (1, 2)]
    own = OwnLedger(after_yes=frozenset({2}))
    assert Provenances(own, None, 2).of(rows) == [
        (Provenance.BEFORE_US, None), (Provenance.BEFORE_US_OR_CASCADE, None),
    ]  # fmt: skip
    assert Provenances(own, Ledgers(APRIL), 2).of(rows)[1] == (Provenance.EARLIER_RUN, "april")


def test_every_provenance_has_words() -> None:
    assert set(WORDS) == set(Provenance)


def test_the_provenance_stands_in_csv_workbook_and_page(reported: Reported) -> None:
    folder, _ = reported(options={"earlier": Ledgers(APRIL)})
    (line,) = [line for line in lines_of(folder / "already_enrolled.csv") if line["outcome"] == "already_enrolled"]
    assert (line["provenance"], line["earlier_run"]) == ("earlier_run", "april")
    (cascade,) = [line for line in lines_of(folder / "already_enrolled.csv") if line["outcome"] != "already_enrolled"]
    assert (cascade["provenance"], cascade["earlier_run"]) == ("cascade", "")
    page = (folder / "report.html").read_text()
    assert "<b>2</b> enrolled by an earlier run" in page
    assert "<b>2</b> of these by the run april" in page
