"""Step 5 of 5: the sheets of figures: lines from top to bottom, with sections, table headers and banners.

Owns how such a sheet is laid out and printed. Does not know what it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlsxwriter.worksheet import Worksheet

    from batch.report.cells import Book
    from batch.report.tables import Value

LAST_COLUMN = 5
"""Banners and sections reach to this column, from 0."""
_LINE_HEIGHT = 15.0
"""Points."""


class SheetLines:
    """Writes lines from top to bottom."""

    def __init__(self, book: Book, sheet: Worksheet) -> None:
        self.book = book
        self.sheet = sheet
        self.row = 0

    def line(self, values: Sequence[Value], looks: Sequence[str] = ()) -> None:
        """Write one row; a look that is missing is the value's own."""
        for column, value in enumerate(values):
            self.book.write(self.sheet, self.row, column, value, looks[column] if column < len(looks) else "")
        self.row += 1

    def banner(self, text: str, look: str, height: float) -> None:
        """Write a text over the full width."""
        self.sheet.set_row(self.row, height)
        self.sheet.merge_range(self.row, 0, self.row, LAST_COLUMN, "", self.book.formats[look])
        self.book.write(self.sheet, self.row, 0, text, look)
        self.row += 1

    def time(self, name: str, at: str) -> None:
        """Write the name of a time and the time, over two columns: a date that does not fit shows only `###`."""
        self.book.write(self.sheet, self.row, 0, name, "bold")
        self.sheet.merge_range(self.row, 1, self.row, 2, "", self.book.formats["left_time"])
        self.book.write_time(self.sheet, self.row, 1, at, "left_time")
        self.row += 1

    def section(self, title: str) -> None:
        """Begin a section below an empty row."""
        self.row += 1
        self.line([title, *[None] * LAST_COLUMN], ["section"] * (LAST_COLUMN + 1))

    def header(self, names: Sequence[str], *, counts: Sequence[int] = ()) -> None:
        """Write the header of a table; `counts` are the columns whose figures stand on the right."""
        looks = ["right_header" if index in counts else "header" for index in range(len(names))]
        if len(names) == LAST_COLUMN + 1:
            looks[-1] = "indented_header"  # as the wrapped texts below it
        self.line(names, looks)

    def filter(self, last_column: int) -> None:
        """Let the header in the first row filter all lines written so far."""
        self.sheet.autofilter(0, 0, max(1, self.row - 1), last_column)

    def fit(self, *wrapped: tuple[str | None, int]) -> None:
        """Make the next row high enough for texts wrapped at so many signs: not every program does that by itself."""
        lines = max(-(-len(text or "") // width) for text, width in wrapped)
        if lines > 1:
            self.sheet.set_row(self.row, _LINE_HEIGHT * lines)


def print_wide(worksheet: Worksheet) -> None:
    """Print all columns on one page of A4 across."""
    worksheet.set_landscape()
    worksheet.set_paper(9)
    worksheet.fit_to_pages(1, 0)
