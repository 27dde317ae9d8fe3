"""Step 1 of 5: what the records of a binary workbook say that the reading library keeps to itself.

Owns the notes that the walks over .xls and .xlsb records take: which cells are errors, totals, never computed or shown
as something else, what is hidden, how far the values reach. Values are not read here.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batch.intake.formats.formula_tokens import TokenForm, is_shared, sums_up

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from batch.intake.formats.number_formats import Shown

ERRORS = {
    0x00: "#NULL!", 0x07: "#DIV/0!", 0x0F: "#VALUE!", 0x17: "#REF!", 0x1D: "#NAME?", 0x24: "#NUM!", 0x2A: "#N/A",
    0x2B: "#GETTING_DATA",
}  # fmt: skip


class BrokenRecords(ValueError):
    """The records contradict themselves."""


@dataclass(frozen=True, slots=True)
class BookLook:
    """What all sheets share. `shown` says for each cell style that is not plain how it shows numbers."""

    places: tuple[int, ...] = ()
    relations: tuple[str, ...] = ()
    """Where each sheet is, in the order of the workbook: its place in the stream, or its relation in the package."""
    shown: Mapping[int, Shown] = field(default_factory=dict)
    is_1904: bool = False
    computes_on_load: bool = False
    has_known_tokens: bool = True
    """Whether its formulas can be read; those of Excel 95 are not."""
    never_computed: bool = False
    """No engine says that it has computed the formulas, so a blank result may be none."""


@dataclass(slots=True)
class RecordLook:
    """What the records of one sheet show. Rows and columns count from 0."""

    book: BookLook = field(default_factory=BookLook)
    errors: dict[tuple[int, int], str] = field(default_factory=dict)
    """(row, column) -> the error that is shown there."""
    stale: set[tuple[int, int]] = field(default_factory=set)
    """Formulas whose result is to be computed anew when the file is opened."""
    blank_results: set[tuple[int, int]] = field(default_factory=set)
    """Formulas with a blank result in a workbook that was never computed."""
    totals: set[tuple[int, int]] = field(default_factory=set)
    """Formulas that sum up the cells above them."""
    hidden_rows: list[int] = field(default_factory=list)
    hidden_columns: list[tuple[int, int]] = field(default_factory=list)
    has_filter: bool = False
    merged: list[tuple[int, int, int, int]] = field(default_factory=list)
    """(top, left, bottom, right)."""
    value_count: int = 0
    last_row: int = -1
    last_column: int = -1
    _runs: dict[int, list[tuple[int, int, Shown]]] = field(default_factory=dict)
    """Column -> (first row, last row, how numbers are shown there): formats go down a column, so these are few."""
    _sorted: set[int] = field(default_factory=set)
    _last_shared: tuple[tuple[int, int], tuple[int, int]] | None = None
    """The last cell whose formula stands elsewhere, and the cell that it was written for."""
    _shared_totals: set[tuple[int, int]] = field(default_factory=set)

    @property
    def area(self) -> int:
        """How many cells there are from the first to the last value, blank ones too."""
        return (self.last_row + 1) * (self.last_column + 1)

    def note_value(self, row: int, column: int, style: int) -> None:
        """Note that a cell holds a value."""
        self.value_count += 1
        self.last_row = max(self.last_row, row)
        self.last_column = max(self.last_column, column)
        if style in self.book.shown:
            self._note_shown(row, column, self.book.shown[style])

    def _note_shown(self, row: int, column: int, shown: Shown) -> None:
        runs = self._runs.setdefault(column, [])
        if runs and runs[-1][1] + 1 == row and runs[-1][2] is shown:
            runs[-1] = (runs[-1][0], row, shown)
        else:
            runs.append((row, row, shown))

    def shown_in(self, row: int) -> Iterator[tuple[int, Shown]]:
        """Yield (column, how a number is shown there) for the cells of a row whose format is not plain."""
        for column, runs in self._runs.items():
            if column not in self._sorted:  # some programs write cells in any order
                runs.sort(key=_first_row)
                self._sorted.add(column)
            place = bisect_right(runs, row, key=_first_row) - 1
            if place >= 0 and row <= runs[place][1]:
                yield column, runs[place][2]

    def note_formula(self, row: int, column: int, tokens: bytes, form: TokenForm, first: tuple[int, int]) -> None:
        """Note a formula; where its tokens stand elsewhere, `first` is the cell that they were written for."""
        if is_shared(tokens):
            self._last_shared = ((row, column), first)
            if first in self._shared_totals:
                self.totals.add((row, column))
        elif sums_up(tokens, row, column, form):
            self.totals.add((row, column))

    def note_shared(self, tokens: bytes, form: TokenForm) -> None:
        """Note the tokens that the last cell shares with others: where it is a total, all are, being filled along."""
        if self._last_shared is not None:
            cell, first = self._last_shared
            if sums_up(tokens, *cell, form):
                self._shared_totals.add(first)
                self.totals.add(cell)


def _first_row(run: tuple[int, int, Shown]) -> int:
    return run[0]


def unpack(form: str, data: bytes) -> tuple[int, ...]:
    """Take numbers from the beginning of a record. Raises: BrokenRecords where it is too short."""
    try:
        return struct.unpack_from(form, data)
    except struct.error:
        raise BrokenRecords("a record is too short") from None
