from __future__ import annotations

import re
from typing import TYPE_CHECKING

import openpyxl
import pytest

from batch.model import InputFacts, Problem, RowProblem
from batch.report.masking import HIDDEN, Mask
from batch.report.tables import OUTCOME_COLUMNS, REJECTED_COLUMNS
from tests.report.test_folder import lines_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batch.report.reconcile import Accounts
    from tests.report.ledgers import LedgerOfTests

    Reported = Callable[..., tuple[Path, Accounts]]

MASK = Mask(b"k" * 32)


def test_a_customer_has_one_mask_with_one_key_and_another_with_another() -> None:
    assert MASK.customer(345651201) == Mask(b"k" * 32).customer("345651201")
    assert MASK.customer(345651201) != MASK.customer(345651202)
    assert MASK.customer(345651201) != Mask(b"K" * 32).customer(345651201)
    assert re.fullmatch("masked-[0-9a-f]{12}", MASK.customer(345651201))


def poison(ledger: LedgerOfTests) -> None:
    """Let the API repeat the customer's id, and a row problem hold one."""
    ledger.execute(
        "UPDATE outcome SET error_message = 'no such user 3456512' || printf('%02d', request_no) WHERE attempt > 0"
    )
    row_no = ledger.row("03456512999", "x", "")
    ledger.problem(row_no, "ambiguous", "customer_id", "03456512999")
    ledger.execute("UPDATE row_problem SET hint = hint || ', write 3456512999'")


def test_no_customer_stands_in_workbook_page_and_chat_when_masked(reported: Reported) -> None:
    folder, _ = reported(poison, {"mask": MASK})
    page = (folder / "report.html").read_text()
    assert "3456512" not in page
    assert MASK.customer(345651206) in page
    assert "Customer ids are masked here" in page
    assert "3456512" not in (folder / "summary.md").read_text()
    assert "3456512" not in (folder / "summary.json").read_text()
    book = openpyxl.load_workbook(folder / "reconciliation.xlsx")
    cells = [str(cell.value) for sheet in book for row in sheet.iter_rows() for cell in row if cell.value is not None]
    assert not [cell for cell in cells if "3456512" in cell]
    header, row = list(book["Invalid users"].iter_rows(values_only=True))
    assert header == OUTCOME_COLUMNS
    assert row[0] == MASK.customer(345651206)
    assert row[OUTCOME_COLUMNS.index("error_message")] == f"no such user {MASK.customer(345651206)}"


def test_the_request_id_is_masked_too_because_ids_could_be_tried_out(reported: Reported) -> None:
    folder, _ = reported(options={"mask": MASK})
    in_csv = {line["request_id"] for line in lines_of(folder / "failed.csv")}
    index = OUTCOME_COLUMNS.index("request_id")
    sheet = openpyxl.load_workbook(folder / "reconciliation.xlsx")["Failures"]
    in_sheet = {row[index] for row in sheet.iter_rows(min_row=2, values_only=True)}
    assert in_sheet
    assert in_sheet.isdisjoint(in_csv)


def test_no_cell_of_the_upload_stands_in_a_masked_workbook(reported: Reported) -> None:
    folder, _ = reported(options={"mask": MASK})
    book = openpyxl.load_workbook(folder / "reconciliation.xlsx")
    texts = {cell.value for sheet in book for row in sheet.iter_rows() for cell in row}
    assert texts.isdisjoint({"Nörd", "=SUM(A1)", "Region", "3.45E+08"})
    assert next(book["Rejected rows"].iter_rows(values_only=True)) == REJECTED_COLUMNS


def test_the_csv_files_are_the_same_with_and_without_masks(reported: Reported, tmp_path: Path) -> None:
    folder, _ = reported(options={"mask": MASK})
    masked = {path.name: path.read_bytes() for path in folder.glob("*.csv")}
    (tmp_path / "run").rename(tmp_path / "masked")
    folder, _ = reported()
    assert {path.name: path.read_bytes() for path in folder.glob("*.csv")} == masked


FILE = InputFacts(
    1, "a.csv", "0", None, ("Member", "Cycle", "Note"), {"customer_id": 0, "period_name": 1}, (), 1, 0, 1, 0
)


@pytest.mark.parametrize(
    ("column", "shown"),
    [
        ("Member", (HIDDEN, HIDDEN)),
        ("Note", (HIDDEN, HIDDEN)),
        ("", (HIDDEN, HIDDEN)),
        ("Cycle", ("v", "h")),
        ("initial_balance", ("v", "h")),
    ],
)
def test_a_problem_shows_its_cell_only_where_it_names_nobody(column: str, shown: tuple[str, str]) -> None:
    assert MASK.problem(RowProblem(column, "v", Problem.AMBIGUOUS, "h"), FILE) == shown


def test_who_was_not_found_is_masked_without_an_id() -> None:
    record: list[object] = [""] * len(OUTCOME_COLUMNS)
    record[OUTCOME_COLUMNS.index("customer_id")] = None
    record[OUTCOME_COLUMNS.index("error_message")] = "no customer has 919111111111"
    shown = MASK.outcome_record([*record, "919111111111"])  # type: ignore[list-item]
    assert shown[OUTCOME_COLUMNS.index("customer_id")] is None
    assert not any("919111111111" in str(value) for value in shown)
    assert "919111111111" not in MASK.text("no customer has 919111111111", "mobile:919111111111")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no such user 345651206", f"no such user {MASK.customer(345651206)}"),
        ("merged into 345900001", f"merged into {MASK.customer(345900001)}"),
        ("user345900001 is gone", f"user{MASK.customer(345900001)} is gone"),
        ("mobile +91 98765 43210", f"mobile {MASK.customer('+91 98765 43210')}"),
        ("ask ann@example.org", f"ask {MASK.customer('ann@example.org')}"),
        ('{"data": 345900001, "errors": []}', HIDDEN),
        ("<html>345900001</html>", HIDDEN),
        ("no answer within 30 s, HTTP 503", "no answer within 30 s, HTTP 503"),
    ],
)
def test_what_the_api_says_names_nobody_be_it_another_customer(said: str, shown: str) -> None:
    assert MASK.text(said, "345651206") == shown


def test_an_answer_for_another_customer_stands_in_no_masked_file(reported: Reported) -> None:
    def of_another(ledger: LedgerOfTests) -> None:
        ledger.execute("""UPDATE outcome SET error_message = '{"data": 345900001}' WHERE outcome = 'in_doubt'""")

    folder, _ = reported(of_another, {"mask": MASK})
    assert "345900001" in (folder / "failed.csv").read_text()
    assert "345900001" not in (folder / "report.html").read_text()
    book = openpyxl.load_workbook(folder / "reconciliation.xlsx")
    assert not [cell for sheet in book for row in sheet.iter_rows() for cell in row if "345900001" in str(cell.value)]
