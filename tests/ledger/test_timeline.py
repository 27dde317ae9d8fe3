from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch.ledger.reading import LedgerReader
from batch.model import Activity, Outcome, UnsettlingAttempts
from tests.report.ledgers import SECOND, START, LedgerOfTests, full_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LedgerOfTests]:
    """A run with nine requests that nothing has happened to."""
    ledger = LedgerOfTests(tmp_path / "ledger.sqlite")
    ledger.scope()
    ledger.period("C1")
    ledger.input()
    for number in range(1, 10):
        ledger.request(ledger.row(str(number), "C1"), number)
    yield ledger
    ledger.close()


def tried(ledger: LedgerOfTests, request_no: int, started_s: float | None, took_s: float, status: int | None) -> None:
    """An attempt that settled nothing."""
    ledger.attempt(request_no, 1, "refused", "rate_limited", status=status)
    started = None if started_s is None else START + int(started_s * SECOND)
    ledger.connection.execute(
        "UPDATE attempt SET started_at = ?, ended_at = ? WHERE request_no = ?",
        [started, (started or START) + int(took_s * SECOND), request_no],
    )


def test_attempts_count_in_the_stretch_in_which_they_started(ledger: LedgerOfTests) -> None:
    ledger.outcome(1, "enrolled", settled_at=START + 1 * SECOND)  # started at START
    ledger.outcome(2, "enrolled", settled_at=START + 10 * SECOND)
    ledger.outcome(3, "rate_limited", status=429, settled_at=START + 10 * SECOND)
    tried(ledger, 4, 9.9, 5, 503)
    tried(ledger, 5, 10, 5, None)
    with LedgerReader(ledger.path) as reader:
        assert reader.activity(START, 10 * SECOND) == (
            Activity(START, Outcome.ENROLLED, 2, 0, 2), Activity(START, Outcome.RATE_LIMITED, 1, 1, 1),
            Activity(START, None, 1, 1, 0), Activity(START + 10 * SECOND, None, 1, 0, 0),
        )  # fmt: skip


def test_what_was_settled_without_an_attempt_counts_where_it_was_settled(ledger: LedgerOfTests) -> None:
    ledger.outcome(1, "covered_by_cascade", attempt=0, status=None, settled_at=START + 25 * SECOND)
    with LedgerReader(ledger.path) as reader:
        assert reader.activity(START, 10 * SECOND) == (
            Activity(START + 20 * SECOND, Outcome.COVERED_BY_CASCADE, 0, 0, 1),
        )


def test_a_superseded_outcome_counts_as_an_attempt_only(ledger: LedgerOfTests) -> None:
    ledger.outcome(1, "in_doubt", fence=1, settled_at=START + SECOND)
    ledger.outcome(1, "enrolled", fence=2, settled_at=START + SECOND)
    with LedgerReader(ledger.path) as reader:
        assert set(reader.activity(START, SECOND)) == {
            Activity(START, Outcome.IN_DOUBT, 1, 0, 0), Activity(START, Outcome.ENROLLED, 1, 0, 1),
        }  # fmt: skip


def test_an_attempt_of_a_dead_sender_has_no_time(ledger: LedgerOfTests) -> None:
    tried(ledger, 1, None, 60, None)
    ledger.attempt(2, 1, "withdrawn", "not_sent")
    ledger.execute("UPDATE attempt SET started_at = NULL")
    with LedgerReader(ledger.path) as reader:
        assert reader.activity(START, SECOND) == (Activity(None, None, 1, 0, 0),)
        assert reader.last_activity() is None


def test_a_clock_that_was_set_back_loses_nothing(ledger: LedgerOfTests) -> None:
    ledger.outcome(1, "enrolled", settled_at=START - 99 * SECOND)
    with LedgerReader(ledger.path) as reader:
        assert reader.activity(START, SECOND) == (Activity(START, Outcome.ENROLLED, 1, 0, 1),)


def test_activity_adds_up_to_the_tallies(tmp_path: Path) -> None:
    ledger = full_ledger(tmp_path / "ledger.sqlite")
    with LedgerReader(ledger.path) as reader:
        found, tallies = reader.activity(START, SECOND), reader.tallies()
    ledger.close()
    assert sum(each.attempts for each in found) == tallies.attempts
    assert sum(each.requests for each in found) == tallies.unique - tallies.unsettled


def test_the_last_thing_before_a_time_may_be_an_answer_or_an_intent(ledger: LedgerOfTests) -> None:
    ledger.outcome(1, "enrolled", settled_at=START + 5 * SECOND)
    tried(ledger, 2, 6, 1, 429)
    with LedgerReader(ledger.path) as reader:
        assert reader.last_activity(START + 6 * SECOND) == START + 5 * SECOND
        assert reader.last_activity() == START + 7 * SECOND
    ledger.intent((3, 1))
    with LedgerReader(ledger.path) as reader:
        assert reader.last_activity(START) == START


def test_answering_times_are_those_of_answers_in_whole_milliseconds(ledger: LedgerOfTests) -> None:
    tried(ledger, 1, 1, 0.0123, 429)
    tried(ledger, 2, 1, 0.0129, 429)
    tried(ledger, 3, 1, 30, None)  # a time-out is no answer
    ledger.outcome(4, "enrolled")
    tried(ledger, 5, 1, 12.3456, 502)
    tried(ledger, 6, 1, 9_999, 502)
    with LedgerReader(ledger.path) as reader:
        assert reader.latencies() == ((12, 2), (1000, 1), (12_300, 1), (600_000, 1))


def test_attempts_that_settled_nothing_are_counted_by_what_they_brought(ledger: LedgerOfTests) -> None:
    tried(ledger, 1, 1, 1, 503)
    for number in (2, 3):
        ledger.attempt(number, 1, "may_be_applied", "in_doubt", reason="no answer within 30 s")
    ledger.attempt(4, 1, "withdrawn", "not_sent")
    with LedgerReader(ledger.path) as reader:
        assert reader.unsettling_attempts(9) == (
            UnsettlingAttempts(Outcome.IN_DOUBT, None, None, "no answer within 30 s", 2),
            UnsettlingAttempts(Outcome.RATE_LIMITED, 503, None, "", 1),
        )
        assert len(reader.unsettling_attempts(1)) == 1


def test_what_verify_has_found_counts_as_the_outcome(ledger: LedgerOfTests) -> None:
    ledger.outcome(1, "in_doubt", settled_at=START + SECOND)
    ledger.verdict(1, "enrolled", "confirmed_by_api")
    with LedgerReader(ledger.path) as reader:
        assert reader.activity(START, SECOND) == (Activity(START, Outcome.ENROLLED, 1, 0, 1),)
