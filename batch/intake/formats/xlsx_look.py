"""Step 1 of 5: what has to be known of an .xlsx sheet before its first row is read.

Owns the first pass over a sheet: hidden rows and columns, filters, merged cells, and how far the values reach. What
the sheet says of its own size is ignored: writers get it wrong.
Source: ECMA-376 part 1, 18.3.1 (worksheets).
"""

from __future__ import annotations

import re
from collections import defaultdict

from batch.errors import FileRefused
from batch.intake.formats import traps
from batch.intake.formats.grid import HiddenRows
from batch.intake.formats.xlsx_book import is_on, local_names, number_of
from batch.intake.formats.xlsx_scan import CELL, RowTaker

_DIGITS = "0123456789"
_MAX_MERGED = 500_000
_HIDDEN_ROW = re.compile(rb' (?:hidden="(?:1|true|on)"|ht="0(?:\.0*)?")')


class SheetLook(RowTaker):
    """What a sheet shows at first sight."""

    _NAMES = local_names("row", "c", "v", "is", "f", "col", "mergeCell", "filterColumn")

    def __init__(self) -> None:
        self.hidden_rows = HiddenRows()
        self.hidden_columns: list[tuple[int, int]] = []
        self.has_filter = False
        self.last_row = 0
        self._merged: list[str] = []
        self._letters: set[str] = set()
        self._plain_letters: set[bytes] = set()
        self._reference: str | None = None
        self._column = self._width = self._row = 0

    @property
    def width(self) -> int:
        """How many columns, from the first, hold values."""
        letters = self._letters | {letters.decode() for letters in self._plain_letters}
        return max(self._width, *map(traps.column_number, letters), 0)

    def covered(self, file_name: str) -> dict[int, dict[int, str]]:
        """Return row -> column (from 0) -> merged cell, for the cells that a merged cell covers but for its first."""
        covered: defaultdict[int, dict[int, str]] = defaultdict(dict)
        cells = 0
        for merged in self._merged:
            left, top, right, bottom = traps.corners(merged)
            bottom, right = min(bottom, self.last_row), min(right, self.width)
            cells += max(bottom - top + 1, 0) * max(right - left + 1, 0)
            if cells > _MAX_MERGED:
                raise FileRefused(f"{file_name}: merged cells cover more than {_MAX_MERGED} cells; unmerge them")
            for row in range(top, bottom + 1):
                for column in range(left, right + 1):
                    if (row, column) != (top, left):
                        covered[row][column - 1] = merged
        return covered

    def take_row(self, row: int, attributes: bytes, body: bytes) -> bool:
        """Look at a plain row: its cells stand in order, so the last one with a value tells how far it reaches."""
        if b"<!" in body or b"<?" in body:
            return False
        place, letters = len(body), b""
        while not letters and (place := body.rfind(b"<c", 0, place)) >= 0:
            cell = CELL.match(body, place)
            if cell is None or not cell[1]:
                return False
            is_blank = cell[3].endswith(b"/") or cell[0].endswith(b'"></c>')
            letters = b"" if is_blank else cell[1]
        self._row = row
        if _HIDDEN_ROW.search(attributes):
            self.hidden_rows.note(row)
        if letters:
            self._plain_letters.add(letters)
            self.last_row = row
            self.hidden_rows.note_value()
        return True

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take the start of an element."""
        tag = self._NAMES.get(name)
        if tag == "c":
            self._column += 1
            self._reference = attributes.get("r")
        elif tag in ("v", "is", "f"):
            self._note_value()
        elif tag == "row":
            self._row = number_of(attributes.get("r")) or self._row + 1
            self._column = 0
            if is_on(attributes.get("hidden")) or attributes.get("ht") in ("0", "0.0"):
                self.hidden_rows.note(self._row)
        elif tag is not None:
            self._note_sheet(tag, attributes)

    def _note_value(self) -> None:
        self.last_row = self._row
        self.hidden_rows.note_value()
        if self._reference is None:
            self._width = max(self._width, self._column)
        else:
            self._letters.add(self._reference.rstrip(_DIGITS))

    def _note_sheet(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "filterColumn":
            self.has_filter = True
        elif tag == "mergeCell":
            self._merged.append(attributes.get("ref", ""))
        elif is_on(attributes.get("hidden")) or attributes.get("width") in ("0", "0.0"):
            self.hidden_columns.append((number_of(attributes.get("min")), number_of(attributes.get("max"))))
