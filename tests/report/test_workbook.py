from __future__ import annotations

import datetime as dt
import re
import zipfile
from typing import TYPE_CHECKING

import openpyxl
import pytest
import python_calamine

from batch.errors import EnrollBatchError
from batch.model import Outcome
from batch.report import workbook
from batch.report.cells import CUT, LONGEST, book
from batch.report.figure_sheets import BY_CODE, OVER_TIME
from batch.report.tables import OUTCOME_COLUMNS, REJECTED_COLUMNS
from batch.report.workbook import SHEET_OF
from tests.report.conftest import write_again
from tests.report.ledgers import SECOND, START

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from openpyxl.cell import Cell

    from batch.report.reconcile import Accounts
    from tests.report.ledgers import LedgerOfTests

    Reported = Callable[..., tuple[Path, Accounts]]

SHEETS = [
    "Summary", "Charts", "By target and cycle", "Over time", "By code", "Succeeded", "Already enrolled",
    "Invalid users", "Failures", "In doubt", "Not sent", "Rejected rows",
]  # fmt: skip
ROW_SHEETS = SHEETS[5:-1]


def cells_of(path: Path) -> Iterator[Cell]:
    for sheet in openpyxl.load_workbook(path).worksheets:
        for row in sheet.iter_rows():
            yield from row  # type: ignore[misc]


def test_there_is_a_sheet_for_each_kind_of_outcome(reported: Reported) -> None:
    folder, _ = reported()
    opened = openpyxl.load_workbook(folder / "reconciliation.xlsx")
    assert opened.sheetnames == SHEETS
    assert set(SHEET_OF.values()) == set(ROW_SHEETS)
    outcomes = {
        sheet.title: [row[OUTCOME_COLUMNS.index("outcome")] for row in sheet.iter_rows(min_row=2, values_only=True)]
        for sheet in (opened[name] for name in ROW_SHEETS)
    }
    assert outcomes["Succeeded"] == ["enrolled", "unenrolled"]
    assert outcomes["In doubt"] == ["in_doubt"]
    assert sorted(name for names in outcomes.values() for name in names) == sorted(Outcome)


@pytest.mark.parametrize("name", ["reconciliation.xlsx", "annotated.xlsx"])
def test_no_cell_is_a_formula_or_a_link(reported: Reported, name: str) -> None:
    folder, _ = reported()
    cells = list(cells_of(folder / name))
    assert {cell.data_type for cell in cells} <= {"s", "n", "d", "b"}
    assert not [cell for cell in cells if cell.hyperlink]
    assert any(cell.value == "=SUM(A1)" and cell.data_type == "s" for cell in cells)
    with zipfile.ZipFile(folder / name) as archive:
        sheets = [member for member in archive.namelist() if "worksheets/" in member]
        assert not [member for member in sheets if b"<f>" in archive.read(member)]


def test_a_sheet_has_the_columns_and_values_of_its_csv(reported: Reported) -> None:
    folder, _ = reported()
    sheet = openpyxl.load_workbook(folder / "reconciliation.xlsx")["Failures"]
    header, *rows = sheet.iter_rows(values_only=True)
    assert header == (*OUTCOME_COLUMNS, "Region", "input_Outcome", "Note")
    assert rows
    row = dict(zip(header, rows[0], strict=True))
    assert (row["customer_id"], row["initial_balance"], row["outcome"]) == (345651205, 0, "value_not_applied")
    assert row["period_name"] == "=Cycle 2"
    assert row["settled_at"] == dt.datetime(2025, 11, 22, 10, 0, 2)  # noqa: DTZ001  # spreadsheets know no time zones
    assert (row["reset_streak_status"], row["org_id"], row["reason"]) == (None, None, None)
    streak = dict(zip(header, rows[-1], strict=True))
    assert (streak["outcome"], streak["reset_streak_status"], streak["Note"]) == ("unrecognised", True, "'16")


def test_another_reader_sees_the_same(reported: Reported) -> None:
    folder, _ = reported()
    opened = python_calamine.CalamineWorkbook.from_path(folder / "reconciliation.xlsx")
    assert opened.sheet_names == SHEETS
    rejected = opened.get_sheet_by_name("Rejected rows").to_python()
    assert tuple(rejected[0][: len(REJECTED_COLUMNS)]) == REJECTED_COLUMNS
    assert [row[5] for row in rejected[1:]] == [
        "digits_lost", "not_text", "duplicate", "contradiction", "contradiction",
    ]  # fmt: skip


def test_an_id_that_a_spreadsheet_would_round_is_text(tmp_path: Path) -> None:
    path = tmp_path / "ids.xlsx"
    values = [999_999_999_999_999, 9_223_372_036_854_775_807, "050672", "1e5", 0.1, float("nan"), True, None, ""]
    with book(path, 0) as opened:
        sheet = opened.add_sheet("ids")
        for column, value in enumerate(values):
            opened.write(sheet, 0, column, value)
    (row,) = openpyxl.load_workbook(path)["ids"].iter_rows(values_only=True)
    assert row[:7] == (999_999_999_999_999, "9223372036854775807", "050672", "1e5", 0.1, "nan", True)
    assert openpyxl.load_workbook(path)["ids"]["A1"].number_format == "0"


def test_awkward_texts_come_back_from_a_cell(tmp_path: Path) -> None:
    path = tmp_path / "awkward.xlsx"
    values = ["a\x01b", "_x0041_", "<b>&amp;", " blanks ", "日本 😀", "two\nlines", "half \ud83d"]
    with book(path, 0) as opened:
        sheet = opened.add_sheet("x")
        for row, value in enumerate(values):
            opened.write(sheet, row, 0, value)
    read = [row[0] for row in python_calamine.CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()]
    assert read == [*values[:-1], "half \\ud83d"]


def test_the_summary_shows_only_the_outcomes_that_occur(reported: Reported) -> None:
    """Fails when those that did not happen stand there with 0; summary.json has them all."""
    folder, accounts = reported(lambda ledger: ledger.execute("UPDATE outcome SET outcome = 'enrolled'"))
    found = [row[0] for row in openpyxl.load_workbook(folder / "reconciliation.xlsx")["Summary"].values]
    shown = found[found.index("Outcomes") + 2 : found.index("all")]
    assert shown == [outcome for outcome, count in accounts.tallies.outcomes.items() if count]
    assert len(shown) < len(Outcome)


def test_a_full_sheet_holds_the_first_rows_and_the_summary_says_how_many_there_are(
    reported: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbook, "SHEET_ROWS", 3)
    folder, _ = reported()
    opened = openpyxl.load_workbook(folder / "reconciliation.xlsx")
    assert opened["Failures"].max_row == 5
    assert opened["Failures"]["A5"].value == "and 7 more rows, which stand only in failed.csv"
    assert opened["Failures"].auto_filter.ref.endswith("4")
    assert opened["Rejected rows"]["A5"].value == "and 2 more rows, which stand only in rejected_rows.csv"
    lines = {row[0]: row for row in opened["Summary"].iter_rows(values_only=True)}
    assert lines["Failures"] == ("Failures", 3, 10, None, None, "failed.csv")
    assert lines["Rejected rows"] == ("Rejected rows", 3, 5, None, None, "rejected_rows.csv")
    assert lines["In doubt"] == ("In doubt", 1, 1, None, None, "failed.csv")


def test_subtotals_by_target_and_cycle_add_up(reported: Reported) -> None:
    folder, accounts = reported()
    sheet = openpyxl.load_workbook(folder / "reconciliation.xlsx")["By target and cycle"]
    header, *rows = sheet.iter_rows(values_only=True)
    assert header == ("target", "cycle", *(outcome.value for outcome in Outcome), "requests")
    assert [row[:2] for row in rows] == [
        ("milestone 29463/5512", "PERIOD_G_29463_1"), ("milestone 29463/5512", "=Cycle 2"),
        ("streak 29463/77, org 50672", "(none)"), ("milestone 29463/5512, unenroll", "(none)"),
    ]  # fmt: skip
    assert sum(int(str(row[-1])) for row in rows) == accounts.tallies.unique


def test_charts_are_native_and_sheets_have_filters_and_frozen_headers(reported: Reported) -> None:
    folder, _ = reported()
    opened = openpyxl.load_workbook(folder / "reconciliation.xlsx")
    titles = set()
    with zipfile.ZipFile(folder / "reconciliation.xlsx") as archive:
        for name in archive.namelist():
            if name.startswith("xl/charts/chart"):
                titles |= set(re.findall(rb"<a:t>([^<]+)</a:t>", archive.read(name)))
    assert titles == {
        b"Requests by outcome", b"Attempts over time, by what they brought", b"Rate against the allowed rate",
        b"Progress over time", b"2025-11-22 (UTC)",
    }  # fmt: skip
    for sheet in (opened[name] for name in SHEETS[5:]):
        assert sheet.freeze_panes == "B2"
    for sheet in (opened[name] for name in SHEETS[2:]):
        assert sheet.auto_filter.ref.startswith("A1:")
    assert opened["By target and cycle"].auto_filter.ref.endswith("5")


def test_a_chart_over_midnight_shows_the_day_beside_each_time(reported: Reported) -> None:
    def long_run(ledger: LedgerOfTests) -> None:
        for number in range(1, 61):
            request_no = ledger.request(ledger.row(number, "x", ""), number, 1, 2)
            ledger.outcome(request_no, "enrolled", settled_at=START + number * 1200 * SECOND)
        ledger.event("finished", "done", at=START + 20 * 3600 * SECOND)

    folder, _ = reported(long_run)
    with zipfile.ZipFile(folder / "reconciliation.xlsx") as archive:
        charts = [archive.read(name).decode() for name in archive.namelist() if name.startswith("xl/charts/chart")]
    over_time = [chart for chart in charts if "2025-11-22 to 2025-11-23 (UTC)" in chart]
    assert len(over_time) == 3
    assert all('formatCode="dd mmm hh:mm"' in chart for chart in over_time)


def test_the_times_of_the_summary_are_dates(reported: Reported) -> None:
    folder, _ = reported()
    facts = {row[0]: row[1] for row in openpyxl.load_workbook(folder / "reconciliation.xlsx")["Summary"].values}
    assert facts["Sending began"] == dt.datetime(2025, 11, 22, 10, 0, 1)  # noqa: DTZ001  # sheets know no time zones
    assert facts["Sending ended"] == dt.datetime(2025, 11, 22, 10, 1, 1)  # noqa: DTZ001
    assert facts["Rate on average"] == "28.5 per minute"


@pytest.mark.parametrize("sign", ["x", "😀"])
def test_a_text_that_no_cell_can_hold_ends_with_words_that_say_so(tmp_path: Path, sign: str) -> None:
    path = tmp_path / "long.xlsx"
    units = len(sign.encode("utf-16-le")) // 2
    fits, too_long = sign * (LONGEST // units), sign * (LONGEST // units + 1)
    with book(path, 0) as opened:
        sheet = opened.add_sheet("x")
        opened.write(sheet, 0, 0, fits)
        opened.write(sheet, 1, 0, too_long)
    first, second = (row[0] for row in openpyxl.load_workbook(path)["x"].iter_rows(values_only=True))
    assert first == fits
    assert str(second).startswith(sign * 30_000 if units == 1 else sign)
    assert str(second).endswith(CUT)
    assert len(str(second).encode("utf-16-le")) // 2 <= LONGEST


def test_a_chart_shows_the_figures_that_its_title_names(reported: Reported) -> None:
    folder, accounts = reported()
    opened = openpyxl.load_workbook(folder / "reconciliation.xlsx")
    with zipfile.ZipFile(folder / "reconciliation.xlsx") as archive:
        charts = [archive.read(name).decode() for name in archive.namelist() if name.startswith("xl/charts/chart")]

    def shown(chart: str) -> list[list[object]]:
        found = []
        for reference in re.findall(r"<c:val><c:numRef><c:f>([^<]+)</c:f>", chart):
            sheet, cells = reference.replace("'", "").replace("$", "").split("!")
            found.append([row[0].value for row in opened[sheet][cells]])
        return found

    by_title = {re.findall(r"<a:t>([^<]+)</a:t>", chart)[0]: shown(chart) for chart in charts}
    assert by_title["Requests by outcome"] == [list(accounts.tallies.outcomes.values())]
    brought = by_title["Attempts over time, by what they brought"]
    assert sum(int(str(cell)) for column in brought for cell in column) == accounts.tallies.attempts
    assert by_title["Progress over time"][0][-1] == accounts.settled


def test_what_happened_over_time_adds_up(reported: Reported) -> None:
    folder, accounts = reported(options={"set_per_s": 2.0})
    header, *rows = openpyxl.load_workbook(folder / "reconciliation.xlsx")["Over time"].iter_rows(values_only=True)
    assert header == OVER_TIME
    lines = [dict(zip(header, row, strict=True)) for row in rows]
    assert sum(int(str(line["attempts"])) for line in lines) == accounts.tallies.attempts
    assert lines[-1]["requests settled so far"] == accounts.settled
    assert {line["allowed per second"] for line in lines} == {2}
    assert lines[0]["from (UTC)"] == dt.datetime(2025, 11, 22, 10, 0)  # noqa: DTZ001  # sheets know no time zones


def test_what_needs_a_look_is_explained_by_code(reported: Reported) -> None:
    folder, accounts = reported()
    header, *rows = openpyxl.load_workbook(folder / "reconciliation.xlsx")["By code"].iter_rows(values_only=True)
    assert header == BY_CODE
    lines = [dict(zip(header, row, strict=True)) for row in rows]
    ended = {line["outcome"]: line for line in lines if line["what"] == "requests that ended so"}
    assert sum(int(str(line["count"])) for line in ended.values()) == accounts.tallies.unique - 4
    assert ended["invalid user"]["it means"] == "meaning of invalid_user 200 310011"
    assert {line["outcome"] for line in lines if line["what"] == "attempts tried again"} == {
        "rate limited", "server error", "unreachable", "in doubt",
    }  # fmt: skip


def test_a_failure_on_the_way_leaves_the_old_workbook_and_no_temporary_files(tmp_path: Path) -> None:
    path = tmp_path / "old.xlsx"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), book(path, 0) as opened:
        opened.write(opened.add_sheet("x"), 0, 0, 1 / 0)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_workbook_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(EnrollBatchError, match="cannot be written"), book(tmp_path / "gone" / "x.xlsx", 0) as opened:
        opened.add_sheet("x")


def test_the_same_ledger_gives_the_same_workbook(reported: Reported) -> None:
    folder, _ = reported()
    before = (folder / "reconciliation.xlsx").read_bytes()
    write_again(folder)
    assert (folder / "reconciliation.xlsx").read_bytes() == before
