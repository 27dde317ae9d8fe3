"""Step 1 of 5: a column that means something to us: where it is, and how its cells are read.

Owns what the last texts in it meant, because most columns repeat themselves. Pure; knows nothing of the other columns
of the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batch.intake.cells import Fault
from batch.intake.raw_cells import cell_text
from batch.model import RowProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batch.model import Cell

_REMEMBERED = 4096
"""How many texts a column remembers; balances and cycles repeat, customers do not."""


class Column:
    """A column of ours in a table, whose cells `reader` reads, each to a value or a fault."""

    __slots__ = ("_header", "_index", "_read", "_seen")

    def __init__(self, index: int, header: str, reader: Callable[[Cell], Any]) -> None:
        self._index = index
        self._header = header
        self._read = reader
        self._seen: dict[str, Any] = {}

    def take(self, cells: Sequence[Cell], problems: list[RowProblem]) -> Any:
        """Return the value of this column in the row; add to `problems` what is wrong with it."""
        cell = cells[self._index]
        if type(cell) is str:
            value = self._seen.get(cell, self)
            if value is self:
                value = self._read(cell)
                if len(self._seen) < _REMEMBERED:
                    self._seen[cell] = value
        else:  # 1, 1.0 and True are one key of a dict, and mean different things
            value = self._read(cell)
        if type(value) is Fault:
            problems.append(RowProblem(self._header, cell_text(cell), value.problem, value.hint))
        return value
