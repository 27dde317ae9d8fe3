from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from batch.errors import LedgerFailed, UsageError
from batch.ledger.reading import LedgerReader
from batch.model import Event, Note, Outcome, Problem, ReportRow, State
from tests.report.ledgers import ROLES, START, LedgerOfTests, full_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LedgerOfTests]:
    """A finished run with one row and one request (number 1) that nothing has happened to."""
    ledger = LedgerOfTests(tmp_path / "ledger.sqlite")
    ledger.scope()
    ledger.period("C1")
    ledger.input()
    ledger.request(ledger.row("345651201", "C1", "North", ""), 345651201)
    yield ledger
    ledger.close()


def only_row(ledger: LedgerOfTests) -> ReportRow:
    with LedgerReader(ledger.path) as reader:
        (row,) = reader.report_rows()
    return row


def test_a_settled_request_stands_as_its_outcome_says(ledger: LedgerOfTests) -> None:
    ledger.outcome(1, "invalid_user", reason="r", status=400, code=310011, message="Invalid userId", settled_at=START)
    row = only_row(ledger)
    assert row.outcome is Outcome.INVALID_USER
    assert (row.reason, row.http_status, row.error_code, row.error_message) == ("r", 400, 310011, "Invalid userId")
    assert (row.api_request_id, row.settled_at, row.attempts) == ("a1b2", START, 1)
    assert (row.request.customer, row.request.period, row.request.initial_balance) == (345651201, "C1", None)
    assert (row.input_no, row.row, row.cells) == (1, 2, ("345651201", "C1", "North", ""))


def test_the_outcome_with_the_highest_fence_holds(ledger: LedgerOfTests) -> None:
    ledger.outcome(1, "enrolled", fence=2)
    ledger.outcome(1, "already_enrolled", fence=10)
    assert only_row(ledger).outcome is Outcome.ALREADY_ENROLLED


def test_a_late_true_answer_beats_what_a_later_worker_could_not_know(ledger: LedgerOfTests) -> None:
    ledger.outcome(1, "enrolled", fence=1)
    ledger.outcome(1, "in_doubt", fence=2)
    ledger.outcome(1, "not_sent", fence=3, attempt=0)
    row = only_row(ledger)
    assert row.outcome is Outcome.ENROLLED
    assert row.attempts == 2


def test_in_doubt_beats_not_sent_because_it_may_have_been_applied(ledger: LedgerOfTests) -> None:
    ledger.outcome(1, "in_doubt", fence=1)
    ledger.outcome(1, "not_sent", fence=2, attempt=0)
    assert only_row(ledger).outcome is Outcome.IN_DOUBT


def test_an_open_request_stands_as_its_last_attempt_says(ledger: LedgerOfTests) -> None:
    ledger.attempt(1, 1, "refused", "rate_limited", status=429)
    ledger.attempt(1, 2, "refused", "server_error", reason="busy", status=200, code=521, message="try later")
    row = only_row(ledger)
    assert (row.outcome, row.reason, row.error_code) == (Outcome.SERVER_ERROR, "busy", 521)
    assert (row.attempts, row.settled_at) == (2, None)


def test_once_an_attempt_may_have_been_applied_an_open_request_is_in_doubt(ledger: LedgerOfTests) -> None:
    ledger.attempt(1, 1, "may_be_applied", "in_doubt", reason="no_answer", message="timed out")
    ledger.attempt(1, 2, "refused", "server_error", reason="busy", status=503)
    row = only_row(ledger)
    assert (row.outcome, row.reason, row.error_message, row.http_status) == (
        Outcome.IN_DOUBT, "no_answer", "timed out", None,
    )  # fmt: skip


def test_an_intent_without_a_trace_is_in_doubt(ledger: LedgerOfTests) -> None:
    ledger.intent((1, 1))
    row = only_row(ledger)
    assert (row.outcome, row.reason, row.attempts) == (Outcome.IN_DOUBT, "interrupted", 0)


def test_an_interrupted_retry_is_in_doubt_whatever_was_refused_before(ledger: LedgerOfTests) -> None:
    ledger.attempt(1, 1, "refused", "rate_limited", status=429, message="slow down")
    ledger.intent((1, 1))
    ledger.intent((7, 1), (1, 2))
    row = only_row(ledger)
    assert (row.outcome, row.reason, row.http_status, row.error_message) == (
        Outcome.IN_DOUBT, "interrupted", None, "",
    )  # fmt: skip


def test_a_withdrawn_attempt_is_no_attempt_and_leaves_no_doubt(ledger: LedgerOfTests) -> None:
    ledger.set_run(state="stopped", stop_reason="signal")
    ledger.intent((1, 1))
    ledger.attempt(1, 1, "withdrawn", "not_sent")
    row = only_row(ledger)
    assert (row.outcome, row.reason, row.attempts) == (Outcome.NOT_SENT, "signal", 0)


def test_another_senders_attempt_leaves_no_trace_of_ours(ledger: LedgerOfTests) -> None:
    ledger.intent((1, 1), fence=1)
    ledger.attempt(1, 1, "withdrawn", "not_sent", fence=2)
    assert only_row(ledger).reason == "interrupted"


def test_a_settled_request_is_not_in_doubt_for_an_old_intent(ledger: LedgerOfTests) -> None:
    ledger.intent((1, 1))
    ledger.intent((1, 2), fence=2)
    ledger.outcome(1, "enrolled", attempt=2, fence=2)
    assert only_row(ledger).outcome is Outcome.ENROLLED


def test_what_was_never_sent_gives_the_reason_why_the_run_stopped(ledger: LedgerOfTests) -> None:
    ledger.set_run(state="stopped", stop_reason="deadline")
    row = only_row(ledger)
    assert (row.outcome, row.reason, row.attempts) == (Outcome.NOT_SENT, "deadline", 0)
    assert (row.error_message, row.api_request_id, row.http_status) == ("", "", None)


def test_a_contradicted_request_is_no_unique_request(ledger: LedgerOfTests) -> None:
    again = ledger.row("345651201", "C1", "South", "")
    ledger.execute("UPDATE request SET contradicted = 1")
    ledger.problem(again, "contradiction", "", request_no=1)
    ledger.problem(1, "contradiction", "", request_no=1)
    with LedgerReader(ledger.path) as reader:
        assert not list(reader.report_rows())
        assert [(r.row, r.duplicate_of_row) for r in reader.rejected_rows()] == [(2, None), (3, 2)]
        tallies = reader.tallies()
    assert (tallies.expanded, tallies.unique, tallies.contradicted) == (2, 0, 2)


def test_a_duplicate_names_the_row_of_the_first(ledger: LedgerOfTests) -> None:
    ledger.problem(ledger.row("345651201", "C1", "South", ""), "duplicate", "", "C1", request_no=1)
    ledger.problem(1, "duplicate", "", "C1", request_no=1)  # a cell that names one cycle twice
    with LedgerReader(ledger.path) as reader:
        first, second = reader.rejected_rows()
    assert (first.row, first.duplicate_of_row) == (2, 2)
    assert (second.row, second.duplicate_of_row, second.problem.problem) == (3, 2, Problem.DUPLICATE)
    assert second.cells == ("345651201", "C1", "South", "")


def test_rows_are_selected_by_outcome_and_keep_their_order(tmp_path: Path) -> None:
    ledger = full_ledger(tmp_path / "ledger.sqlite")
    wanted = frozenset({Outcome.NOT_SENT, Outcome.ENROLLED, Outcome.IN_DOUBT})
    with LedgerReader(ledger.path) as reader:
        assert [row.request_no for row in reader.report_rows(wanted)] == [1, 15, 17]
        assert [row.request_no for row in reader.report_rows()] == list(range(1, 18))
    ledger.close()


def test_everything_is_counted(tmp_path: Path) -> None:
    ledger = full_ledger(tmp_path / "ledger.sqlite")
    with LedgerReader(ledger.path) as reader:
        tallies, rows = reader.tallies(), list(reader.report_rows())
        may, june = reader.inputs()
    assert (tallies.expanded, tallies.unique, tallies.duplicates, tallies.contradicted) == (20, 17, 1, 2)
    assert tallies.outcomes == dict.fromkeys(Outcome, 1)
    assert (tallies.attempts, tallies.first_attempts, tallies.retries) == (19, 15, 4)
    assert sum(row.attempts for row in rows) == tallies.attempts
    assert tallies.calls_saved == 1
    assert sum(subtotal.count for subtotal in tallies.subtotals) == 17
    assert (may.rows_read, may.rows_blank, may.rows_with_problems, may.rows_planned) == (10, 2, 0, 8)
    assert (june.rows_read, june.rows_blank, june.rows_with_problems, june.rows_planned) == (13, 0, 1, 12)
    ledger.close()


def test_facts_of_run_inputs_notes_and_events_are_returned_as_they_stand(tmp_path: Path) -> None:
    ledger = full_ledger(tmp_path / "ledger.sqlite")
    with LedgerReader(ledger.path) as reader:
        run, (may, june) = reader.run(), reader.inputs()
        assert reader.notes() == (Note("a balance does not apply to a streak", 2, 1, 6),)
        assert reader.events() == (Event(START, "started", "20/s", {"requests_open": 17}),)
        assert list(reader.source_rows(2))[-1] == (14, (7, "y", ""))
    assert (run.state, run.user, run.sending_ns) == (State.FINISHED, "mia", 40_000_000_000)
    assert (may.roles, may.remarks, may.sheet) == (ROLES, ("read as UTF-8",), None)
    assert (june.path, june.sheet, june.columns) == ("june.xlsx", "Juni", ("customer_id", "Region", "Note"))
    ledger.close()


def test_a_reader_sees_one_moment_while_the_sender_goes_on(ledger: LedgerOfTests) -> None:
    with LedgerReader(ledger.path) as reader:
        before = reader.tallies()
        ledger.outcome(1, "enrolled")
        ledger.set_run(state="stopped")
        assert reader.tallies() == before
        assert reader.run().state is State.FINISHED
    assert only_row(ledger).outcome is Outcome.ENROLLED


def test_reading_changes_nothing_and_leaves_nothing_behind(ledger: LedgerOfTests) -> None:
    ledger.close()
    before = ledger.path.read_bytes()
    with LedgerReader(ledger.path) as reader:
        list(reader.report_rows())
        with pytest.raises(LedgerFailed, match="readonly"):
            list(reader._rows("DELETE FROM outcome"))
    assert ledger.path.read_bytes() == before
    assert [file.name for file in ledger.path.parent.iterdir()] == ["ledger.sqlite"]


def test_a_folder_without_a_ledger_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a run: it holds no ledger\.sqlite"):
        LedgerReader(tmp_path / "ledger.sqlite")


def test_a_ledger_of_another_version_is_not_guessed_at(ledger: LedgerOfTests) -> None:
    ledger.set_run(schema_version=99)
    with pytest.raises(UsageError, match="ledger version 99"):
        LedgerReader(ledger.path)


@pytest.mark.parametrize("content", [b"", b"customer_id\r\n1\r\n" * 400])
def test_a_file_that_is_no_ledger_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    with pytest.raises(LedgerFailed, match="the ledger cannot be read"):
        LedgerReader(path)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE outcome SET outcome = 'lost'",
        "UPDATE source_row SET cells = '[1, '",
        "UPDATE request SET scope_no = 9",
    ],
)
def test_a_value_that_cannot_be_is_one_clear_line(ledger: LedgerOfTests, damage: str) -> None:
    ledger.outcome(1, "enrolled")
    ledger.execute(damage)
    with LedgerReader(ledger.path) as reader, pytest.raises(LedgerFailed, match="cannot be read"):
        list(reader.report_rows())


def test_a_broken_page_is_one_clear_line(tmp_path: Path) -> None:
    ledger = full_ledger(tmp_path / "ledger.sqlite")
    connection = sqlite3.connect(ledger.path)
    ((root,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'source_row'")
    ((size,),) = connection.execute("PRAGMA page_size")
    connection.close()
    ledger.close()
    with ledger.path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    with LedgerReader(ledger.path) as reader, pytest.raises(LedgerFailed, match="cannot be read"):
        list(reader.report_rows())


def test_what_came_after_a_yes_for_an_earlier_cycle_is_known(ledger: LedgerOfTests) -> None:
    ledger.period("C2")
    ledger.request(1, 345651201, period_no=2)
    ledger.request(ledger.row("7"), 7, period_no=2)
    ledger.outcome(1, "enrolled")
    ledger.outcome(2, "already_enrolled")
    ledger.outcome(3, "already_enrolled", reason="confirmed_by_retry")
    with LedgerReader(ledger.path) as reader:
        assert reader.after_own_yes([1, 2, 3]) == {2}
        assert reader.after_own_yes([3]) == set()
        assert reader.count_reasons({"confirmed_by_retry", "enrolled_value_unknown"}) == 1


@pytest.mark.parametrize(
    ("damage", "missing"),
    [("", (0, 0)), ("DELETE FROM attempt WHERE attempt = 1", (1, 0)), ("DELETE FROM attempt", (2, 0)),
     ("DELETE FROM period", (0, 1)), ("UPDATE request SET period_no = 0", (0, 0))],
)  # fmt: skip
def test_what_other_rows_prove_to_have_been_there_is_missed(
    ledger: LedgerOfTests, damage: str, missing: tuple[int, int]
) -> None:
    ledger.attempt(1, 1, "refused", "server_error")
    ledger.attempt(1, 2, "withdrawn", "not_sent")
    ledger.outcome(1, "enrolled", attempt=3)
    if damage:
        ledger.execute(damage)
    with LedgerReader(ledger.path) as reader:
        tallies = reader.tallies()
    assert (tallies.missing_attempts, tallies.nameless) == missing


def test_an_attempt_that_a_late_worker_settled_is_not_missing(ledger: LedgerOfTests) -> None:
    ledger.outcome(1, "enrolled", attempt=1, fence=1)
    ledger.outcome(1, "already_enrolled", attempt=2, fence=2)
    with LedgerReader(ledger.path) as reader:
        assert reader.tallies().missing_attempts == 0
