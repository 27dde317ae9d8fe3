from __future__ import annotations

from typing import TYPE_CHECKING

import openpyxl
import pytest

from batch.model import InputFacts, Problem, RejectedRow, RowProblem
from batch.report import reconcile
from batch.report.annotated import write_annotated

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openpyxl.worksheet.worksheet import Worksheet

    from batch.report.reconcile import Accounts
    from tests.report.ledgers import LedgerOfTests

    Reported = Callable[..., tuple[Path, Accounts]]

PROBLEM_FILL = "FFFFD2D2"


def marked(sheet: Worksheet) -> dict[str, str]:
    """The coloured cells and what their comments say."""
    return {
        cell.coordinate: cell.comment.text if cell.comment else ""
        for row in sheet.iter_rows()
        for cell in row
        if cell.fill.fgColor.rgb == PROBLEM_FILL
    }


def test_rows_stand_under_their_own_numbers_with_problem_cells_explained(reported: Reported) -> None:
    folder, _ = reported()
    may, june = openpyxl.load_workbook(folder / "annotated.xlsx").worksheets
    assert (may.title, june.title) == ("may.csv", "Juni")
    assert [cell.value for cell in june[1]] == ["customer_id", "Region", "Note"]
    assert [cell.value for cell in june[2]] == [345651209, "=SUM(A1)", "'9"]
    assert marked(june) == {
        "A11": "digits lost: hint for digits_lost",
        "C11": "not text: hint for not_text",
        "A13": "contradiction: hint for contradiction",
        "A14": "contradiction: hint for contradiction",
    }
    assert june["A11"].value == "3.45E+08"
    assert marked(may) == {}
    assert [may["A3"].value, may["A4"].value, may["A5"].value] == ["Customer ID", "345651201", "345651202"]


def file_named(path: str, sheet: str | None = None, number: int = 1) -> InputFacts:
    return InputFacts(number, path, "0" * 64, sheet, ("id", "Note"), {"customer_id": 0}, (), 1, 0, 1, 0)


def rejected(row: int, column: str, problem: Problem, hint: str = "do it") -> RejectedRow:
    return RejectedRow(1, row, RowProblem(column, "", problem, hint), None, ())


def test_a_title_above_the_header_keeps_the_row_numbers(tmp_path: Path) -> None:
    path = tmp_path / "annotated.xlsx"
    rows = [(7, ("1", "x")), (9, ("2",))]
    write_annotated(path, 0, [(file_named("a.xlsx", "May"), rows)], [rejected(9, "Note", Problem.MISSING)])
    (sheet,) = openpyxl.load_workbook(path).worksheets
    assert [sheet["A6"].value, sheet["A7"].value, sheet["A8"].value, sheet["A9"].value] == ["id", "1", None, "2"]
    assert marked(sheet) == {"B9": "missing: do it"}


def test_several_problems_of_one_cell_share_a_comment_and_duplicates_are_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "annotated.xlsx"
    found = [
        rejected(2, "id", Problem.OUT_OF_RANGE, "smaller"),
        rejected(2, "", Problem.ROW_SHAPE, "count the columns"),
        rejected(3, "", Problem.DUPLICATE),
    ]
    write_annotated(path, 0, [(file_named("a.csv"), [(2, ("1", "x")), (3, ("1", "x"))])], found)
    (sheet,) = openpyxl.load_workbook(path).worksheets
    assert marked(sheet) == {"A2": "out of range: smaller\nrow shape: count the columns"}


def test_sheet_names_are_made_acceptable_and_unique(tmp_path: Path) -> None:
    path = tmp_path / "annotated.xlsx"
    names = [
        ("x/[May]:*?.csv", None),
        ("y/[may]:*?.csv", None),
        ("a.xlsx", "History"),
        ("a.xlsx", "'q'"),
        ("z" * 60, None),
    ]
    write_annotated(path, 0, [(file_named(*name), [(2, ("1",))]) for name in names], [])
    titles = openpyxl.load_workbook(path).sheetnames
    assert titles == ["_May____.csv", "_may____.csv (2)", "History (2)", "q", "z" * 24]


@pytest.mark.parametrize("limit", [22, 23])
def test_large_uploads_and_clean_ones_get_none(reported: Reported, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(reconcile, "ANNOTATED_ROWS", limit)
    folder, accounts = reported()
    assert accounts.rows_read == 23
    assert (folder / "annotated.xlsx").exists() == (limit == 23)


def test_duplicates_alone_are_not_worth_a_workbook(reported: Reported) -> None:
    def only_duplicates(ledger: LedgerOfTests) -> None:
        ledger.execute("DELETE FROM row_problem WHERE problem <> 'duplicate'")
        ledger.execute("DELETE FROM request WHERE contradicted")

    folder, _ = reported(only_duplicates)
    assert not (folder / "annotated.xlsx").exists()
