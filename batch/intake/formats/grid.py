"""Step 1 of 5: what every file format is turned into: sheets, and numbered rows of raw cells.

Owns the one shape in which `reader` gets a text file or a workbook. Knows no format and no column.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batch.errors import InputRefused
from batch.intake.raw_cells import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batch.model import SourceRow

MAX_COLUMNS = 1_000
"""Source: our choice; an upload has a dozen, and every cell travels into the report."""


@dataclass(frozen=True, slots=True)
class Grid:
    """One text file, or one sheet of a workbook.

    `rows()` starts over at each call and yields the rows in their order, from the first; blank ones may be left out,
    since every row bears its number. `width` is how many columns hold values in a sheet, whose rows have no length
    of their own; None for text, where a row's length says something. `remarks` are sentences for the report.

    `rows()` may raise InputRefused when the file breaks off or contradicts itself further down.
    """

    sheet: str | None
    rows: Callable[[], Iterator[SourceRow]]
    width: int | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet that may be chosen: `top()` yields its rows for a look, `grid()` prepares all of it for reading."""

    name: str
    is_hidden: bool
    top: Callable[[], Iterator[SourceRow]]
    grid: Callable[[], Grid]


@dataclass(frozen=True, slots=True)
class Workbook:
    """An open workbook: its worksheets in their order (charts are none), and how to let go of the file."""

    sheets: tuple[Sheet, ...]
    close: Callable[[], None] = field(default=lambda: None)


@dataclass(slots=True)
class HiddenRows:
    """Counts the hidden rows of a sheet, but not those behind the last value."""

    count: int = 0
    first: int = 0
    _behind: int = 0
    _first_behind: int = 0

    def note(self, row: int, count: int = 1) -> None:
        """Note that `count` rows from `row` are hidden."""
        self._first_behind = self._first_behind or row
        self._behind += count

    def note_value(self) -> None:
        """Note that a value stands in the row that was noted last, or in one behind it."""
        if self._behind:
            self.first = self.first or self._first_behind
            self.count += self._behind
            self._behind = 0


def hidden_remarks(rows: HiddenRows, columns: str, *, has_filter: bool) -> tuple[str, ...]:
    """Return what to say about parts of a sheet that a person does not see; all of them are read."""
    remarks = []
    if rows.count:
        how_many = "1 row is" if rows.count == 1 else f"{rows.count} rows are"
        remarks.append(f"{how_many} hidden (the first is row {rows.first}) and read like all others")
    if columns:
        remarks.append(f"hidden columns are read like all others: {columns}")
    if has_filter:
        remarks.append("a filter is set; the rows that it hides are read like all others")
    return tuple(remarks)


def refuse_wide(file_name: str, sheet: str | None, width: int) -> None:
    """Refuse a file or sheet with too many columns.

    Raises: InputRefused.
    """
    if width > MAX_COLUMNS:
        what = f"{width} columns; at most {MAX_COLUMNS} are read: remove what stands to the right of the table"
        raise table_refused(file_name, sheet, what)


def table_refused(file_name: str, sheet: str | None, what: str) -> InputRefused:
    """Return what is wrong with a table. The name that a person gave its sheet is not told to everybody."""
    where = f"{file_name}, sheet {quoted(sheet)}" if sheet else file_name
    return InputRefused(f"{where}: {what}", told=f"{file_name}: {what}")
