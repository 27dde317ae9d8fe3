"""Step 5 of 5: reconciliation.xlsx: sheets of figures, one for each kind of outcome, and one for rejected rows.

Owns which sheets there are, which rows stand in them and how many at most. The sheets have the columns and values
of the CSV files, or less of them where customers are masked. The figures are `summary_sheet`'s and `figure_sheets`'.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from batch.model import GROUP_OF, Outcome
from batch.report.cells import Book, book
from batch.report.chart_sheet import write_charts
from batch.report.figure_sheets import write_by_code, write_by_target, write_over_time
from batch.report.reconcile import FILE_OF
from batch.report.sheet_lines import print_wide
from batch.report.summary_sheet import write_overview
from batch.report.tables import OUTCOME_COLUMNS, REJECTED_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from batch.model import InputFacts, RowProblem
    from batch.report.masking import Mask
    from batch.report.overview import Overview
    from batch.report.tables import Value

SHEET_ROWS = 100_000
"""A sheet holds so many rows; its CSV holds all. Source: our choice, because larger sheets are slow to open."""

_PRINTED_COLUMNS = 14
"""So many are printed, up to the advice; more would be too small to read."""

FAILURES = "Failures"
REJECTED = "Rejected rows"
SHEET_OF = dict.fromkeys(Outcome, FAILURES) | {
    Outcome.ENROLLED: "Succeeded",
    Outcome.UNENROLLED: "Succeeded",
    Outcome.ALREADY_ENROLLED: "Already enrolled",
    Outcome.COVERED_BY_CASCADE: "Already enrolled",
    Outcome.INVALID_USER: "Invalid users",
    Outcome.IN_DOUBT: "In doubt",
    Outcome.NOT_SENT: "Not sent",
}
"""The sheet in which each outcome stands."""

_ORDER = ("Succeeded", "Already enrolled", "Invalid users", FAILURES, "In doubt", "Not sent")
_CSV_OF = {sheet: FILE_OF[outcome] for outcome, sheet in SHEET_OF.items()} | {REJECTED: "rejected_rows.csv"}
_WIDTHS = {
    "customer_id": 16, "period_name": 22, "outcome": 18, "reason": 26, "error_message": 40, "advice": 60, "hint": 60,
    "request_id": 27, "api_request_id": 34, "settled_at": 25, "source_file": 30, "value": 24, "problem": 20,
}  # fmt: skip


class RowSheet:
    """A sheet with the columns and values of a CSV file, up to `SHEET_ROWS` rows; it counts those left out."""

    def __init__(self, workbook: Book, name: str, columns: Sequence[str]) -> None:
        self.name = name
        self.count = 0
        """Rows that belong here, shown or not."""
        self._book = workbook
        self._sheet = workbook.add_sheet(name)
        self._columns = tuple(columns)
        self._time_column = columns.index("settled_at") if "settled_at" in columns else None
        self._outcome_column = columns.index("outcome") if "outcome" in columns else None
        self._sheet.freeze_panes(1, 1)
        self._sheet.repeat_rows(0)
        print_wide(self._sheet)
        for index, column in enumerate(columns):
            self._sheet.set_column(index, index, _WIDTHS.get(column, 14))
            workbook.write(self._sheet, 0, index, column, "header")

    @property
    def shown(self) -> int:
        """How many rows the sheet shows."""
        return min(self.count, SHEET_ROWS)

    def has_room(self) -> bool:
        """Count one more row, and tell whether it is to be shown."""
        self.count += 1
        return self.count <= SHEET_ROWS

    def write(self, record: Sequence[Value], outcome: Outcome | None = None) -> None:
        """Write the row that was counted last, below the others."""
        write, sheet, row = self._book.write, self._sheet, self.count
        for column, value in enumerate(record):
            if value is None or value == "":
                continue
            if column == self._time_column and outcome is not None:  # else it is the upload's, and may hold anything
                self._book.write_time(sheet, row, column, str(value))
            elif column == self._outcome_column and outcome is not None:
                write(sheet, row, column, value, GROUP_OF[outcome].value)
            else:
                write(sheet, row, column, value)

    def finish(self) -> None:
        """Let the header filter all rows, and say below them what is left out.

        Whoever sends a sheet again that does not hold everything is told so by that line: it is no row.
        """
        self._sheet.autofilter(0, 0, max(self.shown, 1), len(self._columns) - 1)
        self._sheet.print_area(0, 0, max(self.shown, 1) + 1, min(len(self._columns), _PRINTED_COLUMNS) - 1)
        if self.count > self.shown:
            text = f"and {self.count - self.shown:,} more rows, which stand only in {_CSV_OF[self.name]}"
            self._book.write(self._sheet, self.shown + 1, 0, text, "bold")


class ReconciliationBook:
    """The open workbook: takes the rows of one pass, then the figures."""

    def __init__(
        self, workbook: Book, outcome_columns: Sequence[str], rejected_columns: Sequence[str], mask: Mask | None
    ) -> None:
        self._book = workbook
        self._mask = mask
        if mask:
            outcome_columns, rejected_columns = OUTCOME_COLUMNS, REJECTED_COLUMNS
        self._overview = workbook.add_sheet("Summary")
        self._charts = workbook.add_sheet("Charts")
        self._by_target = workbook.add_sheet("By target and cycle")
        self._over_time = workbook.add_sheet("Over time")
        self._by_code = workbook.add_sheet("By code")
        self._sheets = {name: RowSheet(workbook, name, outcome_columns) for name in _ORDER}
        self._rejected = RowSheet(workbook, REJECTED, rejected_columns)

    def write(self, outcome: Outcome, record: Sequence[Value]) -> None:
        """Write a request's record into the sheet of its outcome, or only count it when the sheet is full."""
        sheet = self._sheets[SHEET_OF[outcome]]
        if sheet.has_room():
            sheet.write(self._mask.outcome_record(record) if self._mask else record, outcome)

    def write_rejected(self, record: Sequence[Value], problem: RowProblem, file: InputFacts) -> None:
        """Write the record of a row problem, a duplicate or a contradiction of that file."""
        if self._rejected.has_room():
            self._rejected.write(self._mask.rejected_record(record, problem, file) if self._mask else record)

    def finish(self, overview: Overview) -> None:
        """Fill the sheets of figures, which can be counted only now."""
        sheets = [*self._sheets.values(), self._rejected]
        for sheet in sheets:
            sheet.finish()
        shown = [(sheet.name, sheet.shown, sheet.count, _CSV_OF[sheet.name]) for sheet in sheets]
        first_outcome = write_overview(self._book, self._overview, overview, shown)
        write_by_target(self._book, self._by_target, overview.accounts)
        write_over_time(self._book, self._over_time, overview)
        write_by_code(self._book, self._by_code, overview)
        write_charts(
            self._book,
            self._charts,
            self._overview,
            self._over_time,
            first_outcome=first_outcome,
            outcomes=[outcome for outcome, count in overview.accounts.tallies.outcomes.items() if count],
            timeline=overview.timeline,
        )


@contextlib.contextmanager
def reconciliation_book(
    path: Path, created_at: int, outcome_columns: Sequence[str], rejected_columns: Sequence[str], mask: Mask | None
) -> Iterator[ReconciliationBook]:
    """Open reconciliation.xlsx; it appears under `path` when the block ends well.

    Raises:
        EnrollBatchError: the folder, or the one for temporary files, cannot be written or is full.
    """
    with book(path, created_at) as workbook:
        yield ReconciliationBook(workbook, outcome_columns, rejected_columns, mask)
