"""Step 5 of 5: reconciliation.xlsx: the overview, then a sheet for each kind of outcome and one for rejected rows.

Owns which sheets there are, which rows stand in them and how many at most. The sheets have the columns and values
of the CSV files. The overview's content is `overview`'s, the cells are `cells`'.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from batch.model import GROUP_OF, Outcome
from batch.report.cells import Book, book
from batch.report.overview import Overview, write_by_target, write_overview
from batch.report.reconcile import FILE_OF

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from batch.report.tables import Value

SHEET_ROWS = 100_000
"""A sheet holds so many rows; its CSV holds all. Source: our choice, because larger sheets are slow to open."""

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
        self._sheet.set_landscape()
        self._sheet.set_paper(9)
        for index, column in enumerate(columns):
            self._sheet.set_column(index, index, _WIDTHS.get(column, 14))
            workbook.write(self._sheet, 0, index, column, "header")

    @property
    def shown(self) -> int:
        """How many rows the sheet shows."""
        return min(self.count, SHEET_ROWS)

    def write(self, record: Sequence[Value], outcome: Outcome | None = None) -> None:
        """Write one row below the others, or only count it when the sheet is full."""
        self.count += 1
        if self.count > SHEET_ROWS:
            return
        write, sheet, row = self._book.write, self._sheet, self.count
        for column, value in enumerate(record):
            if value is None or value == "":
                continue
            if column == self._time_column:
                self._book.write_time(sheet, row, column, str(value))
            elif column == self._outcome_column and outcome is not None:
                write(sheet, row, column, value, GROUP_OF[outcome].value)
            else:
                write(sheet, row, column, value)

    def finish(self) -> None:
        """Let the header filter all rows."""
        self._sheet.autofilter(0, 0, max(self.shown, 1), len(self._columns) - 1)


class ReconciliationBook:
    """The open workbook: takes the rows of one pass, then the overview."""

    def __init__(self, workbook: Book, outcome_columns: Sequence[str], rejected_columns: Sequence[str]) -> None:
        self._book = workbook
        self._overview = workbook.add_sheet("Summary")
        self._by_target = workbook.add_sheet("By target and cycle")
        self._sheets = {name: RowSheet(workbook, name, outcome_columns) for name in _ORDER}
        self._rejected = RowSheet(workbook, REJECTED, rejected_columns)

    def write(self, outcome: Outcome, record: Sequence[Value]) -> None:
        """Write a request's record into the sheet of its outcome."""
        self._sheets[SHEET_OF[outcome]].write(record, outcome)

    def write_rejected(self, record: Sequence[Value]) -> None:
        """Write the record of a row problem, a duplicate or a contradiction."""
        self._rejected.write(record)

    def finish(self, overview: Overview) -> None:
        """Fill the overview, which can count only now."""
        sheets = [*self._sheets.values(), self._rejected]
        for sheet in sheets:
            sheet.finish()
        shown = [(sheet.name, sheet.shown, sheet.count, _CSV_OF[sheet.name]) for sheet in sheets]
        write_overview(self._book, self._overview, overview, shown)
        write_by_target(self._book, self._by_target, overview.accounts)


@contextlib.contextmanager
def reconciliation_book(
    path: Path, created_at: int, outcome_columns: Sequence[str], rejected_columns: Sequence[str]
) -> Iterator[ReconciliationBook]:
    """Open reconciliation.xlsx; it appears under `path` when the block ends well.

    Raises:
        EnrollBatchError: the folder, or the one for temporary files, cannot be written or is full.
    """
    with book(path, created_at) as workbook:
        yield ReconciliationBook(workbook, outcome_columns, rejected_columns)
