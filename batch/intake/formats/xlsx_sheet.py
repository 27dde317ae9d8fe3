"""Step 1 of 5: one sheet of an .xlsx becomes rows of typed cells.

Owns what a cell of SpreadsheetML holds, and yields rows while the XML is still being read, so memory stays flat.
Cells are kept where they say that they stand; where they do not say, each stands behind the one before.
Source: ECMA-376 part 1, 18.3.1 (worksheets) and 18.18.11 (ST_CellType).
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

from batch.errors import FileRefused, InputRefused
from batch.intake.formats import traps
from batch.intake.formats.number_formats import Shown, as_shown, stored_number
from batch.intake.formats.xlsx_book import Book, is_on, local_names, number_of, unescaped
from batch.intake.formats.xlsx_scan import CELL, RowTaker
from batch.intake.raw_cells import Unreadable
from batch.model import Problem, SourceRow

if TYPE_CHECKING:
    from batch.model import Cell

MAX_ROWS = 1_048_576
MAX_TEXT = 1 << 18
"""Characters of one cell; the longest that Excel writes has 32,767."""
MAX_LONG_TEXT = 1 << 28
"""Characters that long texts of one sheet may add up to: one shared string can be shown by a million cells."""
_LONG = 1_000
_FORM = re.compile(rb'(?: s="([0-9]{1,6})")?(?: t="([a-zA-Z]{1,9})")?( ?/)?')
_MOST_FORMS = 10_000


class SheetRows(RowTaker):
    """Collects the rows of a sheet: `rows` holds those that were completed since it was last emptied."""

    _NAMES = local_names("row", "c", "v", "f", "t", "rPh")

    def __init__(self, file_name: str, book: Book, covered: dict[int, dict[int, str]]) -> None:
        self.rows: list[SourceRow] = []
        self._file_name = file_name
        self._strings = book.strings
        self._shown = {str(style): shown for style, shown in enumerate(book.shown) if shown is not Shown.AS_NUMBER}
        self._is_1904 = book.is_1904
        self._is_stale = book.computes_on_load
        self._covered = covered
        self._columns: dict[str, int] = {}
        self._plain_columns: dict[bytes, int] = {}
        self._forms: dict[bytes, tuple[str, str, bool]] = {}
        self._long_text = 0
        self._row = 0
        self._cells: list[Cell] = []
        self._next_column = 0
        self._cell: dict[str, str] = {}
        self._text = ""
        self._value: str | None = None
        self._formula: str | None = None
        self._shared = ""
        self._shared_totals: set[str] = set()
        self._in_phonetic = False

    def take_row(self, row: int, attributes: bytes, body: bytes) -> bool:  # noqa: ARG002 - for the first pass
        """Take a plain row."""
        try:
            cells = self._plain_cells(row, body)
        except UnicodeDecodeError:
            return False
        if cells is None:
            return False
        self._row = row
        self._add_row(cells)
        return True

    def _plain_cells(self, row: int, body: bytes) -> list[Cell] | None:
        """Return the cells of a plain row; None where it is not written plainly."""
        if not self._row < row <= MAX_ROWS or len(body) > MAX_TEXT:
            return None
        row_text, columns, forms = b"%d" % row, self._plain_columns, self._forms
        cells: list[Cell] = []
        open_count = 0
        for letters, number, other, value, text, _ in CELL.findall(body):
            form = forms.get(other) or self._new_form(other)
            column = columns.get(letters)
            if column is None:
                column = columns[letters] = traps.column_number(letters.decode()) - 1
            if number != row_text or form is None or column < len(cells):
                return None
            if column > len(cells):
                cells += [None] * (column - len(cells))
            kind, style, is_open = form
            open_count += is_open
            if kind == "n" and style not in self._shown and value.isdigit() and len(value) < 16:
                cells.append(int(value))
            elif value or text:
                cells.append(self._typed(kind, style, (value or text).decode(), None, row, column))
            else:
                cells.append(None)
        return cells if open_count == body.count(b"</c>") else None

    def _new_form(self, attributes: bytes) -> tuple[str, str, bool] | None:
        """Read the attributes of a plain cell: its type, its style, and whether it is closed by a tag of its own."""
        found = _FORM.fullmatch(attributes)
        if found is None:
            return None
        form = ((found[2] or b"n").decode(), (found[1] or b"0").decode(), not found[3])
        if len(self._forms) < _MOST_FORMS:
            self._forms[attributes] = form
        return form

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take the start of an element."""
        tag = self._NAMES.get(name)
        if tag == "c":
            self._cell = attributes
            self._value = self._formula = None
        elif tag == "row":
            self._start_row(attributes)
        elif tag == "rPh":
            self._in_phonetic = True
        elif tag == "f":
            self._shared = attributes.get("si", "") if attributes.get("t") == "shared" else ""
        self._text = ""

    def text(self, piece: str) -> None:
        """Take a piece of text."""
        self._text = piece if not self._text else self._longer(piece)

    def end(self, name: str) -> None:
        """Take the end of an element."""
        tag = self._NAMES.get(name)
        if tag == "v":
            self._value = self._text
        elif tag == "c":
            self._end_cell()
        elif tag == "t":
            if not self._in_phonetic:  # a rich text has several
                self._value = (self._value or "") + self._text
        elif tag == "f":
            self._formula = self._text
        elif tag == "row":
            self._add_row(self._cells)
        elif tag == "rPh":
            self._in_phonetic = False

    def _longer(self, piece: str) -> str:
        if len(self._text) > MAX_TEXT:
            raise FileRefused(f"{self._file_name}: a cell in row {self._row} with more than {MAX_TEXT} characters")
        return self._text + piece

    def _start_row(self, attributes: dict[str, str]) -> None:
        text = attributes.get("r")
        row = self._row + 1 if text is None else number_of(text)
        if not self._row < row <= MAX_ROWS:
            raise self._damaged(f"row {text} stands after row {self._row}")
        self._row = row
        self._cells, self._next_column = [], 0

    def _end_cell(self) -> None:
        reference = self._cell.get("r")
        column = self._next_column if reference is None else self._column_of(reference)
        if column < self._next_column:
            raise self._damaged(f"the cells of row {self._row} are out of order")
        self._next_column = column + 1
        kind, style = self._cell.get("t", "n"), self._cell.get("s", "0")
        cell = self._typed(kind, style, self._value, self._formula, self._row, column)
        if cell is not None:
            self._cells += [None] * (column - len(self._cells))
            self._cells.append(cell)

    def _column_of(self, reference: str) -> int:
        letters = reference.removesuffix(str(self._row))
        column = self._columns.get(letters)
        if column is None:
            if not letters.isascii() or not letters.isalpha() or not letters.isupper() or len(letters) > 3:
                raise self._damaged(f'the cell "{reference}" stands in row {self._row}')
            column = self._columns[letters] = traps.column_number(letters) - 1
        return column

    def _add_row(self, cells: list[Cell]) -> None:
        if self._row in self._covered:
            covered = self._covered[self._row]
            cells += [None] * (max(covered) + 1 - len(cells))
            for column, merged in covered.items():
                cells[column] = traps.merged_away(merged)
        while cells and cells[-1] is None:
            cells.pop()
        if cells:
            self.rows.append(SourceRow(self._row, tuple(cells)))

    def _typed(self, kind: str, style: str, value: str | None, formula: str | None, row: int, column: int) -> Cell:
        """Return the value of a cell as its type, its format and its formula say."""
        if formula is not None and (trap := self._formula_trap(kind, value, formula, row, column)):
            return trap
        if not value:
            return None
        if kind == "s":
            return self._shared_string(int(value) if value.isdecimal() and len(value) < 10 else -1, row)
        if kind == "n":
            return self._number(value, style, row)
        match kind:
            case "str" | "inlineStr":
                return unescaped(value)
            case "b":
                return is_on(value)
            case "e":
                return traps.error_cell(value)
            case "d":
                return iso_date(value)
            case _:
                raise self._damaged(f'a cell of the unknown type "{kind}" in row {row}')

    def _shared_string(self, number: int, row: int) -> str | None:
        if not 0 <= number < len(self._strings):
            raise self._damaged(f"row {row} points to a text that is not there")
        text = self._strings[number]
        if len(text) > _LONG:
            self._long_text += len(text)
            if self._long_text > MAX_LONG_TEXT:
                raise FileRefused(f"{self._file_name}: refused as a bomb: its texts add up to gigabytes")
        return text or None

    def _formula_trap(self, kind: str, value: str | None, formula: str, row: int, column: int) -> Unreadable | None:
        formula = formula or "…"  # a formula shared with another cell
        if value is None or (not value and kind == "n"):
            return traps.never_computed(formula)
        if kind != "e" and self._is_total(formula, row, column):
            return traps.total_line(formula, value)
        return traps.stale(formula, value) if self._is_stale else None

    def _is_total(self, formula: str, row: int, column: int) -> bool:
        """Tell whether a formula sums up what is above it; where its text stands in another cell, whether that does."""
        if traps.is_total(formula, column + 1, row):
            self._shared_totals.add(self._shared)
            return True
        return bool(self._shared) and self._shared in self._shared_totals

    def _number(self, text: str, style: str, row: int) -> Cell:
        try:
            number = stored_number(text)
        except ValueError:
            raise self._damaged(f'the number "{text}" in row {row}') from None
        shown = self._shown.get(style)
        return number if shown is None else as_shown(number, shown, is_1904=self._is_1904)

    def _damaged(self, what: str) -> InputRefused:
        return InputRefused(f"{self._file_name}: damaged: {what}; open it in a spreadsheet program and save it again")


def iso_date(text: str) -> Cell:
    """Read a date, a moment or a time of day as ISO 8601 writes it."""
    for read in (dt.date.fromisoformat, dt.datetime.fromisoformat, dt.time.fromisoformat):
        try:
            return read(text)
        except ValueError:
            continue
    return Unreadable(text, Problem.AMBIGUOUS, f'"{text}" is stored as a date and is none; write the value again')
