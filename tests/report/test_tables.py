from __future__ import annotations

from dataclasses import replace

import pytest

from batch.capillary.advice import ADVICE
from batch.model import (
    Action,
    EnrollmentRequest,
    InputFacts,
    Kind,
    Outcome,
    Problem,
    RejectedRow,
    ReportRow,
    RowProblem,
    RunFacts,
    Scope,
    State,
    request_id,
)
from batch.report.reconcile import Accounts, reconcile
from batch.report.tables import (
    OUTCOME_COLUMNS,
    REJECTED_COLUMNS,
    OutcomeTable,
    RejectedTable,
    advise_all,
    advise_kind,
    utc_text,
)
from tests.report.ledgers import START, PlainAdvice
from tests.report.test_reconcile import input_of, tallies_of

MILESTONE = Scope(Action.ENROLL, Kind.MILESTONE, None, 29463, 5512)


def file_with(*columns: str, number: int = 1, **roles: int) -> InputFacts:
    return InputFacts(number, f"{number}.csv", "0" * 64, None, columns, roles, (), 1, 0, 0, 1)


def row_of(*cells: str | float | bool | None, request: EnrollmentRequest | None = None, number: int = 1) -> ReportRow:
    asked = request or EnrollmentRequest(MILESTONE, 345651201, "C1")
    return ReportRow(
        1, asked, Outcome.ENROLLED, "", 200, None, "", 1, "a1", 1_763_805_600_123_456_789, number, 2, cells
    )


def extra(inputs: list[InputFacts], row: ReportRow) -> dict[str, object]:
    """The columns behind our own, with their values."""
    table = OutcomeTable(inputs, PlainAdvice())
    ours = len(OUTCOME_COLUMNS)
    return dict(zip(table.columns[ours:], table.record(row)[ours:], strict=True))


def test_an_outcome_line_says_what_was_asked_how_it_ended_and_where_it_came_from() -> None:
    scope = Scope(Action.ENROLL, Kind.MILESTONE, 50672, 29463, 5512)
    asked = EnrollmentRequest(scope, 345651201, "C1", initial_balance=0)
    row = replace(row_of(request=asked), outcome=Outcome.VALUE_NOT_APPLIED, error_code=310119, reason="r", attempts=3)
    table = OutcomeTable([replace(file_with("customer_id", customer_id=0), sheet="May")], PlainAdvice())
    assert dict(zip(table.columns, table.record(row), strict=True)) == {
        "customer_id": 345651201,
        "period_name": "C1",
        "initial_balance": 0,
        "reset_streak_status": None,
        "action": "enroll",
        "org_id": 50672,
        "target_group_id": 29463,
        "target_id": 5512,
        "outcome": "value_not_applied",
        "reason": "r",
        "http_status": 200,
        "error_code": 310119,
        "error_message": "",
        "advice": "advice for value_not_applied 310119 r",
        "attempts": 3,
        "request_id": request_id(asked),
        "api_request_id": "a1",
        "settled_at": "2025-11-22T10:00:00.123Z",
        "source_file": "1.csv",
        "source_sheet": "May",
        "source_row": 2,
        "provenance": None,
        "earlier_run": None,
    }


def accounts_with(perhaps_set: int) -> Accounts:
    run = RunFacts(
        "may",
        "0.1.0",
        State.FINISHED,
        None,
        None,
        "mia",
        "crm7",
        "run",
        "c.yaml",
        "sandbox",
        START,
        START,
        START,
        10**9,
    )
    tallies = tallies_of({Outcome.VALUE_NOT_APPLIED: 10})
    return reconcile(run, (input_of(0, 0, 10),), tallies, perhaps_set=perhaps_set)


@pytest.mark.parametrize(("perhaps_set", "unenrolls", "looks"), [(0, True, False), (3, True, True), (10, False, True)])
def test_of_values_that_were_not_set_both_cases_are_told_only_where_both_occur(
    perhaps_set: int, unenrolls: bool, looks: bool
) -> None:
    """Fails when people are told to unenroll whom an attempt of ours has probably enrolled with the value."""
    told = advise_all(accounts_with(perhaps_set), ADVICE, Outcome.VALUE_NOT_APPLIED)
    assert ("unenroll the customer" in told, "an attempt of ours" in told) == (unenrolls, looks)
    assert ("Look 3 of them up first" in told) == (perhaps_set == 3)
    of_kind = advise_kind(accounts_with(perhaps_set), ADVICE, Outcome.VALUE_NOT_APPLIED, "advice of the kind")
    assert of_kind == told
    assert advise_kind(accounts_with(0), ADVICE, Outcome.INVALID_USER, "advice of the kind") == "advice of the kind"


def test_who_enrolled_stands_behind_the_source_and_before_the_columns_of_the_row() -> None:
    table = OutcomeTable([file_with("id", "Region", customer_id=0)], PlainAdvice())
    record = table.record(row_of("1", "North"), "earlier_run", "20251121T100000Z-april")
    assert table.columns[-3:] == ("provenance", "earlier_run", "Region")
    assert record[-3:] == ["earlier_run", "20251121T100000Z-april", "North"]


def test_a_reset_is_shown_only_where_it_applies() -> None:
    streak = Scope(Action.ENROLL, Kind.STREAK, None, 29463, 77)
    table = OutcomeTable([file_with("customer_id", customer_id=0)], PlainAdvice())
    column = OUTCOME_COLUMNS.index("reset_streak_status")

    def shown(request: EnrollmentRequest) -> object:
        return table.record(row_of(request=request))[column]

    assert shown(EnrollmentRequest(streak, 1, reset_streak_status=True)) is True
    assert shown(EnrollmentRequest(streak, 1)) is False
    assert shown(EnrollmentRequest(replace(streak, action=Action.UNENROLL), 1)) is None
    assert shown(EnrollmentRequest(MILESTONE, 1, "C1")) is None


def test_columns_that_we_fill_are_not_repeated_and_others_travel_along_untouched() -> None:
    file = file_with("Member", "Region", "period name", "mobile", customer_id=0, period_name=2, mobile=3)
    row = row_of("00345651201", "Nörd", "C1", "+44 1")
    assert extra([file], row) == {"Region": "Nörd", "mobile": "+44 1"}


def test_a_column_that_bears_a_name_of_ours_gets_a_prefix_however_it_is_spelled() -> None:
    file = file_with("customer_id", "Outcome", "SOURCE ROW", "http-status", customer_id=0)
    assert extra([file], row_of("1", "won", 7.0, True)) == {
        "input_Outcome": "won", "input_SOURCE ROW": 7.0, "input_http-status": True,
    }  # fmt: skip


def test_the_columns_of_several_inputs_are_united_in_the_order_of_appearance() -> None:
    one = file_with("id", "Region", "Note", customer_id=0)
    other = file_with("Note", "Shop", "id", number=2, customer_id=2)
    assert extra([one, other], row_of("1", "North", "a")) == {"Region": "North", "Note": "a", "Shop": None}
    assert extra([one, other], row_of("b", "S1", "2", number=2)) == {"Region": None, "Note": "b", "Shop": "S1"}


def test_two_columns_with_one_header_keep_both_their_values() -> None:
    table = OutcomeTable([file_with("id", "Note", "Note", customer_id=0)], PlainAdvice())
    assert table.columns[-2:] == ("Note", "Note")
    assert table.record(row_of("1", "a", "b"))[-2:] == ["a", "b"]


def test_a_short_row_lacks_its_last_cells_and_a_long_one_does_not_shift_any() -> None:
    file = file_with("id", "Region", "Note", customer_id=0)
    assert extra([file], row_of("1", "North")) == {"Region": "North", "Note": None}
    assert extra([file], row_of("1", "North", "a", "surplus")) == {"Region": "North", "Note": "a"}


def test_our_own_columns_in_an_own_report_are_replaced() -> None:
    file = file_with(*OUTCOME_COLUMNS, "Region", "input_Outcome", customer_id=0, period_name=1)
    row = row_of(*["old"] * len(OUTCOME_COLUMNS), "North", "won")
    assert extra([file], row) == {"Region": "North", "input_Outcome": "won"}


def test_a_rejected_line_shows_the_problem_and_the_whole_row() -> None:
    table = RejectedTable([replace(file_with("Member", "Value", customer_id=0), sheet="May")])
    found = RowProblem("Member", "12,5", Problem.NOT_A_WHOLE_NUMBER, "write 12")
    row = RejectedRow(1, 17, found, None, ("12,5", 3.5))
    assert table.columns == (*REJECTED_COLUMNS, "Member", "input_Value")
    assert table.record(row) == [
        "1.csv", "May", 17, "Member", "12,5", "not_a_whole_number", "write 12", None, "12,5", 3.5,
    ]  # fmt: skip


def test_a_hint_names_the_file_and_sheet_of_the_other_row_where_it_is_another_one() -> None:
    files = [file_with("customer_id"), replace(file_with("customer_id", number=2), sheet="May")]
    hint = RejectedTable(files).columns.index("hint")
    found = RowProblem("", "C1", Problem.DUPLICATE, "it is sent once")

    def said(input_no: int, other_row: int | None, other_input: int | None) -> object:
        return RejectedTable(files).record(RejectedRow(input_no, 5, found, other_row, ("7",), other_input))[hint]

    assert said(1, 3, 2) == 'it is sent once; row 3 stands in 2.csv, sheet "May"'
    assert said(2, 3, 1) == "it is sent once; row 3 stands in 1.csv"
    assert said(2, 3, 2) == said(1, None, None) == "it is sent once"


def test_times_are_iso_8601_in_utc_to_the_millisecond() -> None:
    assert utc_text(1_763_805_600_000_000_000) == "2025-11-22T10:00:00.000Z"
    assert utc_text(1_763_805_659_999_999_999) == "2025-11-22T10:00:59.999Z"
    assert utc_text(None) is None


def test_what_names_a_customer_instead_of_an_id_travels_under_our_name_for_it() -> None:
    file = file_with("Phone (home)", "mobile", "Region", mobile=0)
    row = row_of("+91 91111-11111", "x", "Nörd", request=EnrollmentRequest(MILESTONE, "mobile:919111111111", "C1"))
    assert extra([file], row) == {"mobile": "+91 91111-11111", "input_mobile": "x", "Region": "Nörd"}
    assert OutcomeTable([file], PlainAdvice()).record(row)[0] is None


def test_a_report_that_goes_back_in_keeps_what_names_the_customers_once() -> None:
    columns = (*OUTCOME_COLUMNS, "mobile", "input_mobile")
    file = file_with(*columns, customer_id=0, period_name=1, request_id=15, mobile=len(OUTCOME_COLUMNS))
    row = row_of(*[""] * len(OUTCOME_COLUMNS), "919111111111", "x")
    assert extra([file], row) == {"mobile": "919111111111", "input_mobile": "x"}


def test_an_ordinary_column_of_one_input_is_not_taken_for_what_names_the_customers_of_another() -> None:
    one, other = file_with("customer_id", "mobile", customer_id=0), file_with("mobile", number=2, mobile=0)
    assert extra([one, other], row_of("1", "call me")) == {"input_mobile": "call me", "mobile": None}
    assert extra([one, other], row_of("919111111111", number=2)) == {"input_mobile": None, "mobile": "919111111111"}
