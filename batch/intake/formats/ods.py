"""Step 1 of 5: an .ods workbook becomes sheets of typed cells.

Owns how OpenDocument writes cells, repeats and hidden parts. All sheets stand in one part, which is streamed: once to
look at all of them, and once for each sheet that is read.
Source: OASIS OpenDocument 1.3 part 3, chapter 9 (tables) and 19 (attributes).
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from batch.errors import FileRefused, InputRefused
from batch.intake.formats import traps
from batch.intake.formats.grid import MAX_COLUMNS, Grid, HiddenRows, Sheet, Workbook, hidden_remarks, refuse_wide
from batch.intake.formats.number_formats import Shown, as_shown, stored_number
from batch.intake.formats.package import Package, XmlHandler, parse_xml, parse_xml_in_steps
from batch.intake.formats.xlsx_sheet import MAX_ROWS, MAX_TEXT, iso_date
from batch.intake.raw_cells import Unreadable, is_blank_cell
from batch.model import Problem, SourceRow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch.model import Cell

_NS = "urn:oasis:names:tc:opendocument:xmlns:"
_TABLE, _TEXT, _OFFICE, _STYLE = (f"{_NS}{name}:1.0 " for name in ("table", "text", "office", "style"))
_CALCEXT = "urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0 "
_CONTENT = "content.xml"
_MAX_REPEATED = 100_000
"""Rows with values that a file may make by repeating others. Source: our choice; people have no two rows alike."""
_CELLS = (f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell")
_ROW, _SHEET, _COLUMN = f"{_TABLE}table-row", f"{_TABLE}table", f"{_TABLE}table-column"
_PARAGRAPH = f"{_TEXT}p"
_VALUE_TYPE = f"{_OFFICE}value-type"
_FORMULA = f"{_TABLE}formula"
_ASIDES = (f"{_OFFICE}annotation", f"{_NS}drawing:1.0 ", f"{_TEXT}ruby-text", f"{_TEXT}note")
"""What stands in a cell and is not its text: comments, drawings, reading aids."""
_SCIENTIFIC = re.compile(r"[0-9]e[+-]?[0-9]", re.IGNORECASE)
_ZERO_DECIMALS = re.compile(r"(?<=[0-9])[.,]0+(?![0-9.,])")
_FRACTION = re.compile(r"(?<![0-9])0[.,][0-9]|[0-9][.,](?![0-9]{2,3}(?![0-9]))[0-9]")
"""A point or comma with digits behind it that is no thousands separator; those of India make groups of two."""
_TIME = re.compile(r"(-?)PT(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9.]+)S)?")


@dataclass(slots=True)
class _SheetLook:
    """What one sheet shows at first sight."""

    name: str
    is_hidden: bool
    width: int = 0
    hidden_rows: HiddenRows = field(default_factory=HiddenRows)
    hidden_columns: list[tuple[int, int]] = field(default_factory=list)
    is_filtered: bool = False


def open_ods(path: Path) -> Workbook:
    """Open a workbook that `content_of` has recognised.

    Raises: InputRefused where the package is damaged, locked or contradicts itself.
    """
    package = Package(path)
    looks = _Looks()
    try:
        _refuse_locked(package)
        parse_xml(package, _CONTENT, looks)
    except InputRefused:
        package.close()
        raise
    sheets = (
        Sheet(
            name=look.name,
            is_hidden=look.is_hidden,
            top=partial(_rows, package, number),
            grid=partial(_grid, package, number, look),
        )
        for number, look in enumerate(looks.sheets)
    )
    return Workbook(tuple(sheets), package.close)


def _refuse_locked(package: Package) -> None:
    manifest = "META-INF/manifest.xml"
    locked = manifest in package and b"encryption-data" in package.read(manifest)
    if locked or "encrypted-package" in package:
        raise FileRefused(f"{package.path.name}: protected by a password; save a copy without one")


def _grid(package: Package, number: int, look: _SheetLook) -> Grid:
    refuse_wide(package.path.name, look.name, look.width)
    names = traps.column_names(look.hidden_columns, look.width)
    remarks = hidden_remarks(look.hidden_rows, names, has_filter=look.is_filtered)
    return Grid(look.name, partial(_rows, package, number), look.width, remarks)


def _rows(package: Package, number: int) -> Iterator[SourceRow]:
    handler = _Rows(package.path.name, number)
    for _ in parse_xml_in_steps(package, _CONTENT, handler):
        yield from handler.rows
        handler.rows.clear()
        if handler.is_past:
            return


class _Looks(XmlHandler):
    """The sheets of the document, with what is hidden in each."""

    def __init__(self) -> None:
        self.sheets: list[_SheetLook] = []
        self._style = ""
        self._hidden_styles: set[str] = set()
        self._row = self._column = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name in _CELLS:
            self._column += _count(attributes.get(f"{_TABLE}number-columns-repeated"))
            if _VALUE_TYPE in attributes or _FORMULA in attributes:
                self._note_value()
        elif name == _PARAGRAPH:
            if self._row and self._column:
                self._note_value()
        elif name == _ROW:
            self._note_row(attributes)
        else:
            self._note_other(name, attributes)

    def _note_value(self) -> None:
        look = self.sheets[-1]
        look.width = max(look.width, self._column)
        look.hidden_rows.note_value()

    def _note_row(self, attributes: dict[str, str]) -> None:
        first, count = self._row + 1, _count(attributes.get(f"{_TABLE}number-rows-repeated"))
        self._row += count
        self._column = 0
        visibility = attributes.get(f"{_TABLE}visibility", "visible")
        look = self.sheets[-1]
        if visibility != "visible":
            look.hidden_rows.note(first, count)
            look.is_filtered |= visibility == "filter"

    def _note_other(self, name: str, attributes: dict[str, str]) -> None:
        if name == f"{_STYLE}style":
            self._style = attributes.get(f"{_STYLE}name", "")
        elif name == f"{_STYLE}table-properties" and attributes.get(f"{_TABLE}display") == "false":
            self._hidden_styles.add(self._style)
        elif name == _SHEET:
            is_hidden = attributes.get(f"{_TABLE}style-name", "") in self._hidden_styles
            self.sheets.append(_SheetLook(attributes.get(f"{_TABLE}name", ""), is_hidden))
            self._row = self._column = 0
        elif name == _COLUMN:
            first = self._column + 1
            self._column += _count(attributes.get(f"{_TABLE}number-columns-repeated"))
            if attributes.get(f"{_TABLE}visibility", "visible") != "visible":
                self.sheets[-1].hidden_columns.append((first, self._column))


class _Rows(XmlHandler):
    """Collects the rows of the sheet with this number, from 0; `is_past` once another sheet has begun."""

    def __init__(self, file_name: str, number: int) -> None:
        self.rows: list[SourceRow] = []
        self.is_past = False
        self._file_name = file_name
        self._sheets_to_come = number + 1
        self._row = self._repeated = self._repeats = self._aside = 0
        self._cells: list[Cell] = []
        self._cell: dict[str, str] = {}
        self._is_covered = False
        self._paragraphs: list[list[str]] = []
        self._in_paragraph = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == _SHEET:
            self._sheets_to_come -= 1
            self.is_past = self._sheets_to_come < 0
        if self._sheets_to_come:
            return
        if self._aside or name.startswith(_ASIDES):
            self._aside += 1
        elif name in _CELLS:
            self._cell, self._paragraphs = attributes, []
        elif name == _ROW:
            self._repeats = _count(attributes.get(f"{_TABLE}number-rows-repeated"))
            self._cells = []
        elif name == _PARAGRAPH:
            self._paragraphs.append([])
            self._in_paragraph = True
        elif self._in_paragraph:
            self._note_blank(name, attributes)

    def end(self, name: str) -> None:
        if self._sheets_to_come:
            return
        if self._aside:
            self._aside -= 1
        elif name in _CELLS:
            self._end_cell(name)
        elif name == _ROW:
            self._end_row()
        elif name == _PARAGRAPH:
            self._in_paragraph = False

    def text(self, piece: str) -> None:
        if self._in_paragraph and not self._aside and not self._sheets_to_come:
            self._paragraphs[-1].append(piece)  # LibreOffice writes repeated blanks as they are
            if len(self._paragraphs[-1]) > MAX_TEXT:
                raise FileRefused(f"{self._file_name}: a cell with more text than a cell can hold")

    def _note_blank(self, name: str, attributes: dict[str, str]) -> None:
        if name == f"{_TEXT}s":
            self._paragraphs[-1].append(" " * min(_count(attributes.get(f"{_TEXT}c")), MAX_TEXT))
        elif name == f"{_TEXT}tab":
            self._paragraphs[-1].append("\t")
        elif name == f"{_TEXT}line-break":
            self._paragraphs[-1].append("\n")

    def _end_cell(self, name: str) -> None:
        count = _count(self._cell.get(f"{_TABLE}number-columns-repeated"))
        cell: Cell = traps.merged_away("above or to the left") if name == _CELLS[1] else self._typed()
        if cell is None or isinstance(cell, Unreadable):  # blank to the end of the sheet, or a wide merged cell
            count = min(count, MAX_COLUMNS + 1 - len(self._cells))
        elif len(self._cells) + count > MAX_COLUMNS:
            raise FileRefused(f"{self._file_name}: values beyond column {MAX_COLUMNS}; remove them")
        self._cells.extend([cell] * count)

    def _end_row(self) -> None:
        cells = self._cells
        while cells and cells[-1] is None:
            cells.pop()
        first, self._row = self._row + 1, self._row + self._repeats
        if all(map(is_blank_cell, cells)):
            return
        self._repeated += self._repeats - 1
        if self._row > MAX_ROWS or self._repeated > _MAX_REPEATED:
            raise FileRefused(f"{self._file_name}: refused as a bomb: it repeats rows {self._repeated} times")
        self.rows.extend(SourceRow(row, tuple(cells)) for row in range(first, self._row + 1))

    def _typed(self) -> Cell:
        """Return the value of the cell as its type says."""
        cell = self._cell
        kind = cell.get(_VALUE_TYPE)
        formula = cell.get(_FORMULA, "").partition("=")[2].replace("[.", "").replace(":.", ":").replace("]", "")
        text = "\n".join("".join(pieces) for pieces in self._paragraphs)
        if cell.get(f"{_CALCEXT}value-type") == "error":
            return traps.error_cell(text)
        if formula and kind is None:  # LibreOffice writes the result "" as an untyped cell with an empty paragraph
            return None if self._paragraphs and not text else traps.never_computed(formula)
        if formula and traps.is_total(formula, len(self._cells) + 1, self._row + 1):
            return traps.total_line(formula, text)
        if kind in ("float", "currency", "percentage"):
            return self._number(cell.get(f"{_OFFICE}value", ""), kind, text)
        if kind == "boolean":
            return cell.get(f"{_OFFICE}boolean-value") == "true"
        if kind == "date":
            return iso_date(cell.get(f"{_OFFICE}date-value", ""))
        if kind == "time":
            return _duration(cell.get(f"{_OFFICE}time-value", ""))
        return cell.get(f"{_OFFICE}string-value", text) or None

    def _number(self, stored: str, kind: str, text: str) -> Cell:
        try:
            number = stored_number(stored)
        except ValueError:
            raise InputRefused(f'{self._file_name}: damaged: the number "{stored}"; save it again') from None
        is_otherwise = kind == "percentage" or (self._paragraphs and not _shows(text, number))
        return as_shown(number, Shown.OTHERWISE if is_otherwise else Shown.AS_NUMBER, is_1904=False)


def _shows(text: str, number: float) -> bool:
    """Tell whether the text beside a whole number shows it, whatever stands around and between its digits."""
    if isinstance(number, float) or _SCIENTIFIC.search(text):  # in scientific form it may be rounded
        return True
    if _FRACTION.search(_ZERO_DECIMALS.sub("", text)):
        return False
    shown = "".join(str(int(digit)) for digit in _ZERO_DECIMALS.sub("", text) if digit.isdecimal())
    whole = "".join(str(int(digit)) for digit in text if digit.isdecimal())
    return str(abs(number)) in {shown.lstrip("0"), whole.lstrip("0")}


def _duration(text: str) -> Cell:
    found = _TIME.fullmatch(text)
    if found is None:
        return Unreadable(text, Problem.AMBIGUOUS, f'"{text}" is stored as a time and is none; write the value again')
    hours, minutes, seconds = (float(part or 0) for part in found.groups()[1:])
    length = dt.timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return -length if found[1] else length


def _count(text: str | None) -> int:
    """Return how often a cell or row is repeated; no sheet has more than MAX_ROWS of either."""
    return min(int(text), MAX_ROWS) if text and text.isdecimal() and len(text) < 10 else 1
