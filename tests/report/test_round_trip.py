"""The failure sheets of our workbook go back in: as they are, edited, and saved by another program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openpyxl
import pytest

from batch.intake.plan import Planner, PlanRules, is_blank, match_columns
from batch.intake.reader import ReadRules, open_tables
from batch.model import Action, Kind, Outcome
from batch.report import workbook

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openpyxl.worksheet.worksheet import Worksheet

    from batch.model import EnrollmentRequest, RowProblem
    from batch.report.reconcile import Accounts
    from tests.report.ledgers import LedgerOfTests

    Reported = Callable[..., tuple[Path, Accounts]]

RULES = PlanRules(Action.ENROLL, Kind.MILESTONE, None, None, None, ("other",), "each", None, False, None)
FAILED = {
    345651200 + number
    for number, outcome in enumerate(Outcome, start=1)
    if outcome not in {Outcome.ENROLLED, Outcome.UNENROLLED, Outcome.ALREADY_ENROLLED, Outcome.COVERED_BY_CASCADE}
}


def all_milestones(ledger: LedgerOfTests) -> None:
    """A config has one kind, and so has a report that goes back in with it."""
    ledger.execute("UPDATE request SET scope_no = 1, period_no = 1, reset = 0 WHERE scope_no = 2")


def read(path: Path) -> tuple[list[EnrollmentRequest], list[RowProblem]]:
    """What the rows of a workbook of ours ask for, and what is wrong with them."""
    requests: list[EnrollmentRequest] = []
    problems: list[RowProblem] = []
    for table in open_tables(path, ReadRules()):
        with table:
            assert table.is_own_report
            planner = Planner(RULES, table.columns, match_columns(table.columns, {}))
            for row in table.rows():
                if not is_blank(row):
                    planned = planner.plan_row(row)
                    requests += planned.requests
                    problems += planned.problems
    return requests, problems


def resaved(path: Path, change: Callable[[openpyxl.Workbook], object] = lambda book: None) -> Path:
    """Let another program open and save the workbook."""
    book = openpyxl.load_workbook(path)
    change(book)
    to = path.with_name("edited.xlsx")
    book.save(to)
    return to


@pytest.mark.parametrize("save", [lambda path: path, resaved])
def test_the_failure_sheets_ask_for_what_failed(reported: Reported, save: Callable[[Path], Path]) -> None:
    folder, _ = reported(all_milestones)
    requests, problems = read(save(folder / "reconciliation.xlsx"))
    assert problems == []
    assert {request.customer for request in requests} == FAILED
    asked = {request.customer - 345651200: request for request in requests}
    assert asked[5].initial_balance == 0
    assert asked[7].initial_balance is None
    assert asked[7].period == "=Cycle 2"
    assert asked[6].scope.target_id == 5512


def column(sheet: Worksheet, name: str) -> int:
    return [cell.value for cell in sheet[1]].index(name) + 1


def test_a_customer_corrected_by_a_person_is_sent_with_the_new_id(reported: Reported) -> None:
    def correct(book: openpyxl.Workbook) -> None:
        sheet = book["Invalid users"]
        sheet.cell(2, column(sheet, "customer_id")).value = "345659999"
        sheet.cell(2, column(sheet, "request_id")).value = None

    folder, _ = reported(all_milestones)
    requests, problems = read(resaved(folder / "reconciliation.xlsx", correct))
    assert problems == []
    assert {request.customer for request in requests} == FAILED - {345651206} | {345659999}


def test_an_apostrophe_in_our_workbook_belongs_to_the_text(reported: Reported) -> None:
    """Only CSV files have some of ours. Broken by not knowing our workbook again after another program saved it."""

    def correct(book: openpyxl.Workbook) -> None:
        sheet = book["Invalid users"]
        sheet.cell(2, column(sheet, "period_name")).value = "'x"
        sheet.cell(2, column(sheet, "request_id")).value = None

    folder, _ = reported(all_milestones)
    requests, problems = read(resaved(folder / "reconciliation.xlsx", correct))
    assert problems == []
    assert [request.period for request in requests if request.customer == 345651206] == ["'x"]


def test_a_row_that_does_not_fit_its_request_id_is_not_sent(reported: Reported) -> None:
    def correct(book: openpyxl.Workbook) -> None:
        sheet = book["Invalid users"]
        sheet.cell(2, column(sheet, "customer_id")).value = 345659999

    folder, _ = reported(all_milestones)
    requests, problems = read(resaved(folder / "reconciliation.xlsx", correct))
    assert {request.customer for request in requests} == FAILED - {345651206}
    assert [problem.column for problem in problems] == ["request_id"]


def test_a_sheet_that_does_not_hold_everything_says_so_when_it_goes_back_in(
    reported: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbook, "SHEET_ROWS", 3)
    folder, _ = reported(all_milestones)
    requests, problems = read(folder / "reconciliation.xlsx")
    assert len(requests) == 6
    assert "and 7 more rows, which stand only in failed.csv" in [problem.value for problem in problems]
