from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from batch.ledger.cascade import (
    accepted_twice,
    answers,
    asked,
    has_later_balance,
    later_cycle_count,
    order,
    planned,
    taken_back,
)  # fmt: skip
from batch.ledger.planning import CHUNK_REQUESTS
from batch.ledger.reading import LedgerReader
from batch.ledger.sending import SendingLedger
from batch.model import Action, Entries, Event, Kind, Outcome, Result, Scope, Verdict
from batch.sending.cascade import Cascades, OnCascade
from tests.ledger.ledgers import SCOPE, enroll
from tests.ledger.ledgers import planned as planned_ledger
from tests.report.ledgers import LedgerOfTests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch.ledger.sqlite import SqliteLedger

FOUND = "enrolling into a cycle enrolls into the later ones"
TAKEN_BACK = "taken back"
TARGET = {"org_id": None, "target_group_id": 29463, "target_id": 5512}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LedgerOfTests]:
    """A finished run of customers 1 and 2 with the cycles C1 and C2: only the very first was not enrolled already."""
    ledger = LedgerOfTests(tmp_path / "ledger.sqlite")
    ledger.scope()
    ledger.scope(action="unenroll")
    ledger.period("C1")
    ledger.period("C2")
    ledger.input()
    for customer in (1, 2):
        row = ledger.row(str(customer), "", "", "")
        for period_no in (1, 2):
            number = ledger.request(row, customer, 1, period_no)
            ledger.outcome(number, "enrolled" if number == 1 else "already_enrolled", status=400, code=310119)
    yield ledger
    ledger.close()


def outcomes(ledger: LedgerOfTests) -> list[str]:
    with LedgerReader(ledger.path) as reader:
        rows, tallies = list(reader.report_rows()), reader.tallies()
    for outcome, count in tallies.outcomes.items():
        assert count == sum(row.outcome is outcome for row in rows)
        assert count == sum(subtotal.count for subtotal in tallies.subtotals if subtotal.outcome is outcome)
    return [row.outcome.value for row in rows]


def test_without_a_finding_who_is_enrolled_already_stands_so(ledger: LedgerOfTests) -> None:
    assert outcomes(ledger) == ["enrolled", "already_enrolled", "already_enrolled", "already_enrolled"]


def test_with_a_finding_an_earlier_cycle_of_this_run_covers_the_later_one(ledger: LedgerOfTests) -> None:
    ledger.event("cascade", FOUND, **TARGET)
    assert outcomes(ledger) == ["enrolled", "covered_by_cascade", "already_enrolled", "already_enrolled"]


def test_a_finding_that_was_taken_back_covers_nothing_until_it_is_found_again(ledger: LedgerOfTests) -> None:
    ledger.event("cascade", FOUND, **TARGET)
    ledger.event("no_cascade", TAKEN_BACK, **TARGET)
    assert "covered_by_cascade" not in outcomes(ledger)
    ledger.event("cascade", FOUND, **TARGET)
    assert "covered_by_cascade" in outcomes(ledger)


@pytest.mark.parametrize("other", [{"target_id": 551}, {"org_id": 5}, {"target_group_id": 1}, {"target_id": None}])
def test_a_finding_about_another_target_covers_nothing(ledger: LedgerOfTests, other: dict[str, int | None]) -> None:
    ledger.event("cascade", FOUND, **TARGET | other)
    assert "covered_by_cascade" not in outcomes(ledger)


def test_what_this_run_unenrolled_is_not_covered(ledger: LedgerOfTests) -> None:
    ledger.event("cascade", FOUND, **TARGET)
    ledger.outcome(ledger.request(1, 1, 2, 0), "unenrolled")
    assert "covered_by_cascade" not in outcomes(ledger)


def test_a_balance_that_was_not_set_stays_so(ledger: LedgerOfTests) -> None:
    ledger.event("cascade", FOUND, **TARGET)
    ledger.outcome(2, "value_not_applied", fence=2)
    assert outcomes(ledger)[1] == "value_not_applied"


@pytest.mark.parametrize("org_id", [None, 50672])
def test_an_event_names_its_target_as_the_report_looks_for_it(tmp_path: Path, org_id: int | None) -> None:
    scope = Scope(Action.ENROLL, Kind.MILESTONE, org_id, 29463, 5512)
    made = planned_ledger(tmp_path, [[enroll(1, "c1", scope=scope), enroll(1, "c2", scope=scope)]])
    sender = SendingLedger(made, "me")
    chunk = sender.claim_chunk()
    assert chunk is not None
    verdicts = [Verdict(Outcome.ENROLLED, settled=True), Verdict(Outcome.ALREADY_ENROLLED, settled=True)]
    results = [Result(no, chunk.fence, 1, verdict, True, 1, no) for no, verdict in enumerate(verdicts, start=1)]
    sender.write(Entries(results=results, events=[Event(3, "cascade", FOUND, scope.facts)]), 3)
    with LedgerReader(made.path) as reader:
        assert [row.outcome for row in reader.report_rows()] == [Outcome.ENROLLED, Outcome.COVERED_BY_CASCADE]


def test_answers_are_remembered_in_the_order_of_each_lane(tmp_path: Path) -> None:
    made = planned_ledger(tmp_path, [[enroll(n, "c1"), enroll(n, "c2", 5)] for n in (1, 2)])
    assert list(answers(made)) == []
    sender = SendingLedger(made, "me")
    chunk = sender.claim_chunk()
    assert chunk is not None
    already = Verdict(Outcome.ALREADY_ENROLLED, settled=True, error_code=310119)
    results = [
        Result(2, chunk.fence, 1, already, True, 1, 20),
        Result(1, chunk.fence, 2, Verdict(Outcome.ENROLLED, settled=True), True, 1, 10),
    ]
    sender.write(Entries(results=results), 30)
    said = [(no, done, r.customer, r.period, v.outcome, v.error_code, n) for no, done, r, v, n in answers(made)]
    assert said == [
        (1, False, 1, "c1", Outcome.ENROLLED, None, 2),
        (1, False, 1, "c2", Outcome.ALREADY_ENROLLED, 310119, 1),
    ]


def test_only_later_cycles_without_a_balance_could_be_saved(tmp_path: Path) -> None:
    made = planned_ledger(tmp_path, [[enroll(1, "c1"), enroll(1, "c2"), enroll(1, "c3")], [enroll(2, "c1", 5)]])
    assert (later_cycle_count(made), has_later_balance(made)) == (2, False)
    for number, one in enumerate(("c1", "c2"), start=1):
        made = planned_ledger(tmp_path / str(number), [[enroll(1, one, 5 - number), enroll(1, "c3", 0)]])
        assert (later_cycle_count(made), has_later_balance(made)) == (0, True)


def test_a_run_of_one_cycle_has_nothing_to_remember(tmp_path: Path) -> None:
    made = planned_ledger(tmp_path, [[enroll(1)], [enroll(2)]])
    assert (planned(made), list(answers(made)), later_cycle_count(made)) == ([], [], 0)


def test_the_plan_names_its_cycles_in_order_with_their_customers(tmp_path: Path) -> None:
    made = planned_ledger(tmp_path, [[enroll(1, "c2"), enroll(1, "c1")], [enroll(2, "c1")]])
    assert planned(made) == [(SCOPE, "c2", 1), (SCOPE, "c1", 2)]


def test_the_order_of_two_cycles_is_that_of_most_customers(tmp_path: Path) -> None:
    """Fails when the first customer, or each cycle's mean place, decides: one who has c3 alone says nothing."""
    rows = [[enroll(1, "c3"), enroll(1, "c2"), enroll(1, "c1")]]
    rows += [[enroll(n, "c1"), enroll(n, "c2"), enroll(n, "c3")] for n in range(2, 12)]
    rows += [[enroll(n, "c3")] for n in range(12, 80)]
    rows += [[enroll(80, "c4"), enroll(80, "c5")], [enroll(81, "c5"), enroll(81, "c4")]]
    made = planned_ledger(tmp_path, rows)
    assert set(order(made)) == {(SCOPE, "c1", "c2"), (SCOPE, "c1", "c3"), (SCOPE, "c2", "c3")}


def test_an_earlier_cycle_is_never_covered_by_a_later_one(tmp_path: Path) -> None:
    rows = [[enroll(n, "c1"), enroll(n, "c2")] for n in range(1, 6)] + [[enroll(9, "c2"), enroll(9, "c1")]]
    made = planned_ledger(tmp_path, rows)
    sender = SendingLedger(made, "me")
    chunk = sender.claim_chunk()
    assert chunk is not None
    accepted, already = Verdict(Outcome.ENROLLED, settled=True), Verdict(Outcome.ALREADY_ENROLLED, settled=True)
    results = [Result(no, chunk.fence, 1, accepted if no % 2 else already, True, 1, no) for no in range(1, 13)]
    sender.write(Entries(results=results, events=[Event(30, "cascade", FOUND, SCOPE.facts)]), 30)
    with LedgerReader(made.path) as reader:
        assert [row.outcome for row in reader.report_rows()][1::2] == [Outcome.COVERED_BY_CASCADE] * 5 + [
            Outcome.ALREADY_ENROLLED
        ]


def two_done_chunks(tmp_path: Path) -> SqliteLedger:
    """A cascade in the first chunk; in the second, one customer whose later cycle was accepted after all. Both done."""
    customers = range(1, CHUNK_REQUESTS + 1)
    made = planned_ledger(tmp_path, [[enroll(n, "c1"), enroll(n, "c2")] for n in customers])
    sender = SendingLedger(made, "me")
    accepted = Verdict(Outcome.ENROLLED, settled=True)
    already = Verdict(Outcome.ALREADY_ENROLLED, settled=True, error_code=310119)
    for last in (False, True):
        chunk = sender.claim_chunk()
        assert chunk is not None
        results = [
            Result(
                item.request_no,
                chunk.fence,
                1,
                accepted if item.request.period == "c1" or last else already,
                True,
                1,
                9,
            )
            for item in sender.open_requests(chunk)[:20]
        ]
        sender.write(Entries(results=results, finished_chunks=[chunk]), 30)
    return made


def test_what_refutes_a_cascade_is_known_without_reading_every_answer(tmp_path: Path) -> None:
    """Fails when a resume stops at the proof: the second chunk, where a later cycle was accepted, is never read."""
    made = two_done_chunks(tmp_path)
    cascades = Cascades(OnCascade.SKIP, planned(made))
    refuting = accepted_twice(made)
    assert refuting is not None
    assert set(refuting) == {(SCOPE, "c1", "c2")}
    cascades.heed(refuting)
    read = list(answers(made, lambda: cascades.is_decided))
    assert read == []
    assert cascades.is_decided
    cascades.recall(answers(made))
    assert not [finding for finding in cascades._targets.values() if finding.is_proven]


def test_the_proof_is_enough_where_nothing_refutes_it(tmp_path: Path) -> None:
    made = two_done_chunks(tmp_path)
    cascades = Cascades(OnCascade.SKIP, planned(made))
    assert not cascades.is_decided
    cascades.recall(answers(made, lambda: cascades.is_decided))
    assert cascades.is_decided


def test_a_run_that_also_unenrolls_is_read_as_a_whole(tmp_path: Path) -> None:
    out = Scope(Action.UNENROLL, Kind.MILESTONE, SCOPE.org_id, SCOPE.target_group_id, SCOPE.target_id)
    made = planned_ledger(tmp_path, [[enroll(1, "c1"), enroll(1, "c2"), enroll(1, None, scope=out)]])
    assert accepted_twice(made) is None


def test_what_events_tell_of_each_target_is_remembered(tmp_path: Path) -> None:
    """A finding counts as taken back only while it is; another target's events are its own."""
    made = planned_ledger(tmp_path, [[enroll(1, "C1"), enroll(1, "C2")]])
    sending = SendingLedger(made, "test")

    def told(kind: str, scope: Scope = SCOPE) -> None:
        sending.write(Entries(events=[Event(1, kind, "", scope.facts)]), 1)

    assert (taken_back(made), asked(made)) == ([], [])
    told("cascade")
    told("asked")
    told("asked", replace(SCOPE, target_id=1))
    assert (taken_back(made), asked(made)) == ([], [(SCOPE, 1)])
    told("no_cascade")
    told("asked")
    assert (taken_back(made), asked(made)) == ([SCOPE], [(SCOPE, 2)])
