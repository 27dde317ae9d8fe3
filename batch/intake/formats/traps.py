"""Step 1 of 5: the cells of a workbook that look like values and are none, said in one wording for all formats.

Pure. Owns the faults that only the file format shows: errors, formulas without a result, totals, merged cells.
"""

from __future__ import annotations

import re

from batch.intake.raw_cells import Unreadable, quoted
from batch.model import Problem


def error_cell(shown: str) -> Unreadable:
    """Return the cell of a formula that ended in an error, such as #N/A."""
    hint = f"{quoted(shown)} is the error of a formula; mend the formula or write the value"
    return Unreadable(shown, Problem.ERROR_CELL, hint)


def never_computed(formula: str) -> Unreadable:
    """Return the cell of a formula whose result the file does not hold."""
    shown = f"={formula}"
    hint = (
        f"the result of {quoted(shown)} is not stored; open the file in a spreadsheet program and save it, "
        "or write the value"
    )
    return Unreadable(shown, Problem.MISSING, hint)


def stale(formula: str | None, stored: str) -> Unreadable:
    """Return the cell of a formula whose stored result is only a stand-in until the file is opened."""
    what = quoted("=" + formula) if formula else "a formula"
    stored = stored or f"={formula or '…'}"  # a blank one would make a blank row of a row of formulas
    hint = (
        f"{quoted(stored)} is a stand-in for the result of {what}; open the file in a spreadsheet program and save "
        "it, or write the value"
    )
    return Unreadable(stored, Problem.AMBIGUOUS, hint)


def total_line(formula: str | None, stored: str) -> Unreadable:
    """Return the cell of a formula that sums up the cells above it."""
    what = f" ({quoted('=' + formula)})" if formula else ""
    hint = f"{quoted(stored)} sums up the cells above it{what}; remove the total line"
    return Unreadable(stored, Problem.AMBIGUOUS, hint)


def merged_away(merged: str) -> Unreadable:
    """Return a cell that a merged cell covers: nobody knows whether its value holds here too."""
    hint = f"the cell is part of the merged cell {merged}; unmerge it and write the value into each row"
    return Unreadable("", Problem.AMBIGUOUS, hint)


_RANGE = re.compile(r"(?<![!.A-Z0-9$])\$?([A-Z]{1,3})\$?([0-9]{1,7}):\$?([A-Z]{1,3})\$?([0-9]{1,7})")
"""A range of cells on the same sheet; one on another sheet has a `!` before it."""


def is_total(formula: str, column: int, row: int) -> bool:
    """Tell whether a formula in this cell (both from 1) sums up cells above it, as a total line does."""
    if "SUBTOTAL(" in formula or "AGGREGATE(" in formula:
        return True
    for left, top, right, bottom in _RANGE.findall(formula):
        if column_number(left) <= column <= column_number(right) and int(top) < int(bottom) < row:
            return True
    return False


def column_number(letters: str) -> int:
    """Return the number of a column, from 1 for A."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


def column_letters(number: int) -> str:
    """Return the letters of a column, A for 1."""
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


_CORNERS = re.compile(r"\$?([A-Z]{1,3})\$?([0-9]{1,7})(?::\$?([A-Z]{1,3})\$?([0-9]{1,7}))?")


def corners(cells: str) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom), each from 1, of a range such as A2:C4; an empty range for anything else."""
    found = _CORNERS.fullmatch(cells)
    if found is None:
        return 1, 1, 0, 0
    left, top = column_number(found[1]), int(found[2])
    return left, top, column_number(found[3]) if found[3] else left, int(found[4]) if found[4] else top


def column_names(columns: list[tuple[int, int]], width: int) -> str:
    """Return stretches of columns, each from first to last, for people: "B, D to F"; none beyond `width`."""
    inside = [(column_letters(first), column_letters(min(last, width))) for first, last in columns if first <= width]
    return ", ".join(first if first == last else f"{first} to {last}" for first, last in inside)
