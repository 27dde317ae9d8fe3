"""Which requests are looked at again, once each, and how what was said counts in the report.

Believed after breaks made them fail: a verdict of an audit counted in the report, a doubt that a late answer had ended
asked about, the verdicts of an earlier verification skipped in the next, a group cut at the end of a page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from batch.ledger.reading import LedgerReader
from batch.ledger.sqlite import open_ledger
from batch.ledger.verdicts import VerdictLedger
from batch.model import Event, Outcome, ReportRow, Verdict
from batch.report.reconcile import reconcile
from tests.report.ledgers import START, LedgerOfTests

CONFIRMED = Verdict(Outcome.ENROLLED, True, "confirmed_by_api", http_status=200, api_request_id="ff00")
REFUTED = Verdict(Outcome.SERVER_ERROR, False, "refuted_by_api", http_status=200)
UNPROVEN = Verdict(Outcome.IN_DOUBT, False, "not_listed", http_status=200, error_code=310149)
NOW = START + 3600 * 10**9
TARGET = {"target_id": 5512, "target_group_id": 29463, "org_id": None}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LedgerOfTests]:
    """A finished run of milestone requests without a row yet."""
    ledger = LedgerOfTests(tmp_path / "ledger.sqlite")
    ledger.scope()
    ledger.scope(action="unenroll")
    ledger.scope(target=77)
    ledger.period("C1")
    ledger.period("C2")
    ledger.input()
    yield ledger
    ledger.close()


def request(ledger: LedgerOfTests, customer: int, outcome: str | None = "in_doubt", **more: Any) -> int:
    number = ledger.request(ledger.row(str(customer), "C1", "", ""), customer, **more)
    if outcome:
        ledger.outcome(number, outcome, reason="no answer within 5 s", status=502, api_request_id="a1b2")
    return number


@contextmanager
def verdicts(ledger: LedgerOfTests) -> Iterator[VerdictLedger]:
    with open_ledger(ledger.path.parent) as opened:
        yield VerdictLedger(opened)


def looked_at(reader: VerdictLedger, page: int = 1000) -> list[list[int]]:
    """The numbers of the requests of each look, in the order in which they are returned."""
    found = []
    while looks := reader.next_looks(page):
        found += [[number for number, _ in look.members] for look in looks]
    return found


def rows(ledger: LedgerOfTests) -> list[ReportRow]:
    """The rows of the report, once it is known to balance."""
    with LedgerReader(ledger.path) as reader:
        found, tallies = list(reader.report_rows()), reader.tallies()
        accounts = reconcile(reader.run(), reader.inputs(), tallies)
    assert accounts.balanced, accounts.identities
    assert tallies.outcomes == {o: Counter(row.outcome for row in found)[o] for o in Outcome}
    return found


# Whom to ask about -----------------------------------------------------------------------------------------------


def test_only_what_stands_in_doubt_is_asked_about(ledger: LedgerOfTests) -> None:
    doubtful = request(ledger, 1)
    for customer, outcome in ((2, "enrolled"), (3, "server_error"), (4, None), (5, "not_sent")):
        request(ledger, customer, outcome)
    ended_by_a_late_answer = request(ledger, 6)
    ledger.outcome(ended_by_a_late_answer, "enrolled", fence=7)
    twice = request(ledger, 7)
    ledger.outcome(twice, "in_doubt", fence=7)
    with verdicts(ledger) as reader:
        found = reader.begin_doubts(NOW)
        assert looked_at(reader) == [[doubtful], [twice]]
        assert (found.request_count, found.look_count, found.overtaken_count, found.is_audit) == (2, 2, 0, False)
        assert reader.open_count() == 1


def test_one_look_tells_about_all_cycles_of_a_customer_in_a_scope(ledger: LedgerOfTests) -> None:
    first, other, elsewhere = request(ledger, 5), request(ledger, 4), request(ledger, 5, scope_no=3)
    second = request(ledger, 5, period_no=2, balance=40)
    with verdicts(ledger) as reader:
        found = reader.begin_doubts(NOW)
        assert (found.request_count, found.look_count) == (4, 3)
        assert looked_at(reader) == [[other], [first, second], [elsewhere]]
        reader.begin_doubts(NOW)
        _, look, _ = reader.next_looks()
    asked = [member for _, member in look.members]
    assert [(each.customer, each.period, each.initial_balance) for each in asked] == [(5, "C1", None), (5, "C2", 40)]


@pytest.mark.parametrize("page", [2, 3, 4, 5, 100])
def test_no_look_is_cut_where_a_page_ends(ledger: LedgerOfTests, page: int) -> None:
    expected = [[request(ledger, customer, period_no=period) for period in (1, 2)] for customer in range(10, 14)]
    with verdicts(ledger) as reader:
        reader.begin_doubts(NOW)
        assert looked_at(reader, page) == expected


def test_what_a_later_request_of_the_run_has_changed_again_cannot_be_told(ledger: LedgerOfTests) -> None:
    request(ledger, 1)
    last = request(ledger, 1, scope_no=2, period_no=0)
    request(ledger, 2, "enrolled")
    request(ledger, 2, "unenrolled", scope_no=2, period_no=0)
    with verdicts(ledger) as reader:
        found = reader.begin_doubts(NOW)
        assert looked_at(reader) == [[last]]
        assert (found.request_count, found.overtaken_count) == (1, 1)
        assert (reader.begin_audit(5, "s", NOW).population, looked_at(reader)) == (0, [])


def test_a_contradicted_or_foreign_request_overtakes_nothing(ledger: LedgerOfTests) -> None:
    first = request(ledger, 1)
    request(ledger, 1, None, scope_no=2, period_no=0, contradicted=1)
    request(ledger, 1, "enrolled", scope_no=3)
    with verdicts(ledger) as reader:
        assert reader.begin_doubts(NOW).overtaken_count == 0
        assert looked_at(reader) == [[first]]


# Once each -------------------------------------------------------------------------------------------------------


def test_a_verification_goes_on_with_what_it_has_not_asked_about(ledger: LedgerOfTests) -> None:
    told, unproven, left = (request(ledger, customer) for customer in (1, 2, 3))
    with verdicts(ledger) as reader:
        found = reader.begin_doubts(NOW)
        reader.write(
            found, [(told, CONFIRMED), (unproven, UNPROVEN)], [Event(NOW, "hold", "1 s", {"held_s": 1.0})], NOW + 1
        )
        assert reader.untold_count(found) == 1
    with verdicts(ledger) as reader:
        going_on = reader.begin_doubts(NOW + 10)
        assert looked_at(reader) == [[left]]
        assert going_on.begun_at == NOW
        reader.write(going_on, [(left, REFUTED)], [], NOW + 11)
        assert reader.counts(going_on) == {
            (Outcome.ENROLLED, "confirmed_by_api"): 1,
            (Outcome.SERVER_ERROR, "refuted_by_api"): 1,
            (Outcome.IN_DOUBT, "not_listed"): 1,
        }
        reader.end(going_on, NOW + 12)
        anew = reader.begin_doubts(NOW + 20)
        assert (anew.begun_at, looked_at(reader)) == (NOW + 20, [[unproven]])
        assert reader.counts(anew) == {}
    with LedgerReader(ledger.path) as reading:
        assert [(event.kind, dict(event.facts)) for event in reading.events()] == [
            ("verifying", {"sample": "", "requests": 3, "looks": 3}),
            ("hold", {"held_s": 1.0}),
            ("verified", {"sample": ""}),
            ("verifying", {"sample": "", "requests": 1, "looks": 1}),
        ]


def test_a_verification_that_was_killed_at_its_very_end_is_ended(ledger: LedgerOfTests) -> None:
    number = request(ledger, 1)
    with verdicts(ledger) as reader:
        reader.write(reader.begin_doubts(NOW), [(number, UNPROVEN)], [], NOW + 1)
    with verdicts(ledger) as reader:
        rest = reader.begin_doubts(NOW + 2)
        assert rest.request_count == 0
        reader.end(rest, NOW + 3)
        assert reader.begin_doubts(NOW + 4).request_count == 1


def test_where_nothing_is_in_doubt_nothing_begins_or_ends(ledger: LedgerOfTests) -> None:
    request(ledger, 1, "enrolled")
    with verdicts(ledger) as reader:
        found = reader.begin_doubts(NOW)
        reader.end(found, NOW)
    with LedgerReader(ledger.path) as reading:
        assert reading.events() == ()


# Samples ---------------------------------------------------------------------------------------------------------


def sample(reader: VerdictLedger, size: int, seed: str) -> set[int]:
    reader.begin_audit(size, seed, NOW)
    return {number for look in looked_at(reader) for number in look}


def test_a_seed_draws_the_same_and_a_larger_sample_holds_the_smaller(ledger: LedgerOfTests) -> None:
    numbers = {request(ledger, customer, "enrolled") for customer in range(1, 201)}
    request(ledger, 300, "already_enrolled")
    request(ledger, 301)
    with verdicts(ledger) as reader:
        ten = sample(reader, 10, "run-1")
        assert sample(reader, 10, "run-1") == ten < sample(reader, 50, "run-1") < numbers
        assert sample(reader, 10, "run-2") != ten
        found = reader.begin_audit(1000, "run-1", NOW)
        assert (found.request_count, found.population, found.is_audit) == (200, 200, True)
    assert len(ten) == 10


def test_each_is_drawn_about_as_often_as_any_other(ledger: LedgerOfTests) -> None:
    for customer in range(1, 21):
        request(ledger, customer, "enrolled")
    with verdicts(ledger) as reader:
        drawn = Counter(number for seed in range(100) for number in sample(reader, 5, str(seed)))
    assert len(drawn) == 20
    assert all(5 <= count <= 45 for count in drawn.values())  # 25 each, give or take five standard deviations


def test_an_audit_goes_on_by_its_seed_and_changes_no_outcome(ledger: LedgerOfTests) -> None:
    numbers = [request(ledger, customer, "enrolled") for customer in (1, 2, 3)]
    doubtful = request(ledger, 4)
    with verdicts(ledger) as reader:
        found = reader.begin_audit(3, "s", NOW)
        reader.write(found, [(numbers[0], REFUTED)], [], NOW + 1)
        reader.write(reader.begin_audit(1, "stray", NOW), [(doubtful, CONFIRMED)], [], NOW + 1)
        assert reader.begin_doubts(NOW + 2).request_count == 1
    with verdicts(ledger) as reader:
        other = reader.begin_audit(3, "other", NOW)
        reader.write(other, [(number, CONFIRMED) for number in numbers], [], NOW + 3)
        reader.end(other, NOW + 4)
        assert sample(reader, 3, "s") == set(numbers[1:])
        going_on = reader.begin_audit(3, "s", NOW + 5)
        (told,) = reader.told(going_on)
        assert (told.request.customer, told.outcome, told.asked_at) == (1, Outcome.SERVER_ERROR, NOW + 1)
        reader.end(going_on, NOW + 6)
        assert reader.begin_audit(3, "s", NOW + 7).request_count == 3
    assert [row.outcome for row in rows(ledger)] == [Outcome.ENROLLED] * 3 + [Outcome.IN_DOUBT]


def covered_run(ledger: LedgerOfTests, customers: range) -> list[int]:
    """Customers who are enrolled into one cycle and left out of the next; return the latter requests."""
    left_out = []
    for customer in customers:
        request(ledger, customer, "enrolled")
        left_out.append(request(ledger, customer, None, period_no=2))
        ledger.outcome(left_out[-1], "covered_by_cascade", attempt=0, status=None)
    ledger.event("cascade", "", **TARGET)
    return left_out


def test_an_audit_draws_as_many_of_what_was_left_out_and_tells_them_apart(ledger: LedgerOfTests) -> None:
    left_out = covered_run(ledger, range(1, 41))
    answered = request(ledger, 50, "covered_by_cascade", period_no=2)
    with verdicts(ledger) as reader:
        drawn = sample(reader, 10, "s")
        assert (len(drawn), len(drawn & set(left_out))) == (20, 10)
        assert answered not in sample(reader, 1000, "s")
        found = reader.begin_audit(10, "s", NOW)
        assert (found.population, found.left_out_count, found.request_count) == (40, 40, 20)
        assert found.look_count <= 20
        reader.write(found, [(left_out[0], REFUTED), (left_out[1], CONFIRMED), (left_out[0] - 1, CONFIRMED)], [], NOW)
        said = (Outcome.ENROLLED, "confirmed_by_api")
        assert reader.counts(found) == {said: 1}
        assert reader.counts(found, left_out=True) == {said: 1, (Outcome.SERVER_ERROR, "refuted_by_api"): 1}
        assert [told.is_left_out for told in reader.told(found)] == [False, True, True]


def test_what_was_left_out_is_not_drawn_once_the_finding_was_taken_back(ledger: LedgerOfTests) -> None:
    covered_run(ledger, range(1, 5))
    ledger.event("no_cascade", "", **TARGET)
    with verdicts(ledger) as reader:
        found = reader.begin_audit(10, "s", NOW)
    assert (found.population, found.left_out_count, found.request_count) == (4, 0, 4)


# In the report ---------------------------------------------------------------------------------------------------


def verified(ledger: LedgerOfTests, number: int, *said: Verdict) -> None:
    with verdicts(ledger) as reader:
        found = reader.begin_doubts(NOW)
        for later, verdict in enumerate(said):
            reader.write(found, [(number, verdict)], [], NOW + later)


def test_the_last_verdict_on_a_doubt_is_what_the_report_shows(ledger: LedgerOfTests) -> None:
    number = request(ledger, 1)
    request(ledger, 2)
    verified(ledger, number, UNPROVEN, CONFIRMED)
    settled, open_still = rows(ledger)
    assert (settled.outcome, settled.reason, settled.settled_at) == (Outcome.ENROLLED, "confirmed_by_api", NOW + 1)
    assert (settled.http_status, settled.error_code, settled.error_message) == (200, None, "")
    assert (settled.attempts, settled.api_request_id) == (1, "a1b2")  # of the request itself: looks are none
    assert (open_still.outcome, open_still.reason, open_still.http_status) == (
        Outcome.IN_DOUBT, "no answer within 5 s", 502,
    )  # fmt: skip


def test_what_is_known_not_to_be_applied_leaves_the_doubt_and_what_is_unproven_stays(ledger: LedgerOfTests) -> None:
    refuted, unproven = request(ledger, 1), request(ledger, 2)
    verified(ledger, refuted, REFUTED)
    verified(ledger, unproven, UNPROVEN)
    first, second = rows(ledger)
    assert (first.outcome, first.reason) == (Outcome.SERVER_ERROR, "refuted_by_api")
    assert (second.outcome, second.reason, second.error_code) == (Outcome.IN_DOUBT, "not_listed", 310149)
    with LedgerReader(ledger.path) as reading:
        assert {(s.outcome, s.count) for s in reading.tallies().subtotals} == {
            (Outcome.SERVER_ERROR, 1), (Outcome.IN_DOUBT, 1),
        }  # fmt: skip


def test_a_true_answer_that_comes_late_beats_a_verdict(ledger: LedgerOfTests) -> None:
    number = request(ledger, 1)
    verified(ledger, number, REFUTED)
    ledger.outcome(number, "enrolled", fence=9)
    (row,) = rows(ledger)
    assert (row.outcome, row.reason) == (Outcome.ENROLLED, "")


def standing(ledger: LedgerOfTests, numbers: list[int]) -> list[tuple[Outcome, str]]:
    found = {row.request_no: (row.outcome, row.reason) for row in rows(ledger)}
    return [found[number] for number in numbers]


COVERED, NOT_COVERED = (Outcome.COVERED_BY_CASCADE, ""), (Outcome.NOT_SENT, "not_covered")


def test_what_was_left_out_is_not_sent_where_its_own_finding_was_taken_back(ledger: LedgerOfTests) -> None:
    """Fails when any finding that was taken back counts, or one that stands hides another."""
    left_out = covered_run(ledger, range(1, 4))
    request(ledger, 9, "enrolled", scope_no=3)
    elsewhere = request(ledger, 9, None, scope_no=3, period_no=2)
    ledger.outcome(elsewhere, "covered_by_cascade", attempt=0, status=None)
    other = TARGET | {"target_id": 77}
    ledger.event("cascade", "", **other)
    assert standing(ledger, [*left_out, elsewhere]) == [COVERED] * 4
    ledger.event("no_cascade", "", **TARGET)
    assert standing(ledger, [*left_out, elsewhere]) == [NOT_COVERED] * 3 + [COVERED]
    with LedgerReader(ledger.path) as reader:
        tallies = reader.tallies()
        assert (tallies.calls_saved, tallies.not_covered, tallies.unsettled) == (1, 3, 0)
        accounts = reconcile(reader.run(), reader.inputs(), tallies)
    assert (accounts.exit_code, accounts.lines("failed.csv"), accounts.lines("already_enrolled.csv")) == (4, 3, 1)


def test_what_an_audit_finds_changes_nothing_of_what_was_left_out(ledger: LedgerOfTests) -> None:
    """Whoever is not enrolled any more may have been unenrolled since, and must not be sent again for it."""
    refuted, unlisted, confirmed, _ = left_out = covered_run(ledger, range(1, 5))
    with verdicts(ledger) as reader:
        found = reader.begin_audit(9, "s", NOW)
        said = [(refuted, REFUTED), (unlisted, UNPROVEN), (confirmed, CONFIRMED), (refuted - 1, REFUTED)]
        reader.write(found, said, [], NOW)
        reader.end(found, NOW + 1)
    assert standing(ledger, left_out) == [COVERED] * 4
    assert standing(ledger, [refuted - 1]) == [(Outcome.ENROLLED, "no answer within 5 s")]


def test_a_true_answer_beats_that_a_request_was_left_out(ledger: LedgerOfTests) -> None:
    (number,) = covered_run(ledger, range(1, 2))
    ledger.event("no_cascade", "", **TARGET)
    ledger.outcome(number, "enrolled", fence=9)
    assert standing(ledger, [number]) == [(Outcome.ENROLLED, "")]
    with LedgerReader(ledger.path) as reader:
        assert reader.tallies().not_covered == 0
