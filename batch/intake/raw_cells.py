"""Step 1 of 5: what a raw cell is before anybody reads it: its blanks, its text, and cells that hold no value.

Pure. Owns what every format and every reader of cells has to agree on.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch.model import Cell, Problem

IGNORABLE = (
    "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064"
    "\u2066\u2067\u2068\u2069\ufeff\u2800\u3164"
)
"""Characters that nobody sees: zero-width ones, directions (Excel and Windows copy them along), soft hyphens."""

BLANKS = "".join(chr(c) for c in range(0x3001) if chr(c).isspace()) + IGNORABLE
"""Everything that looks like nothing at the edge of a cell; no-break and ideographic blanks are `isspace`."""

EXACT_BELOW = 10**15
"""Spreadsheet programs keep 15 digits of a number. Source: Microsoft, Excel specifications and limits."""


LOST = "\ufffd"
"""The sign that programs write for a character that they could not read."""


def whole(text: str) -> str:
    """Return `text` with halves of a character put together, and LOST for NUL and for a half that stands alone.

    Such a cell holds no text that anybody could have typed, and neither our files nor the API could carry it.
    """
    return text.replace("\0", LOST).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Unreadable(str):
    """A cell whose value the file does not hold for certain: an error, a formula never computed, a merged cell.

    As text it is what a person sees there; `problem` and `hint` say what is wrong. It is a `str`, so that it
    travels into the report like any other cell.
    """

    __slots__ = ("hint", "problem")
    problem: Problem
    hint: str

    def __new__(cls, text: str, problem: Problem, hint: str) -> Unreadable:
        """Make a cell that shows `text`."""
        cell = super().__new__(cls, text)
        cell.problem = problem
        cell.hint = hint
        return cell


def quoted(text: str, most: int = 60) -> str:
    """Return `text` in double quotes for a message, cut after `most` characters."""
    return f'"{text}"' if len(text) <= most else f'"{text[:most]}…"'


def counted(count: int, noun: str) -> str:
    """Return how many there are: "1 cell", "12 cells"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def cell_text(cell: Cell) -> str:
    """Return a cell as the text by which a person recognises it; a blank one is ""."""
    match cell:
        case None:
            return ""
        case str():
            return str(cell)
        case bool():
            return "TRUE" if cell else "FALSE"
        case dt.datetime():
            return cell.isoformat(" ")
        case dt.date() | dt.time():
            return cell.isoformat()
        case float() if cell.is_integer() and abs(cell) < EXACT_BELOW * 100:
            return str(int(cell))
        case _:
            return str(cell)


def is_blank_row(cells: tuple[Cell, ...]) -> bool:
    """Tell whether a person sees nothing in the row."""
    for cell in cells:  # noqa: SIM110 - nearly always the first cell settles it, and a generator costs twice as much
        if cell is not None and not (isinstance(cell, str) and not cell.strip(BLANKS)):
            return False
    return True


def is_blank_cell(cell: Cell) -> bool:
    """Tell whether a person sees nothing in the cell."""
    return cell is None or (isinstance(cell, str) and not cell.strip(BLANKS))
