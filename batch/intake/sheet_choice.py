"""Step 1 of 5: which sheet of a workbook is meant.

Owns the rule that nothing is left out in silence: one visible sheet with data is the one; several are refused with
their names. In a workbook of ours the sheets of requests that did not end well are meant. Owns too by what our
workbook is told from a CSV file of ours that was saved as one. Knows no file format.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from batch.errors import FileRefused, InputRefused
from batch.intake.headers import HEADER_WITHIN, is_own_report
from batch.intake.raw_cells import BLANKS, cell_text, is_blank_row, quoted
from batch.model import GROUP_OF, Group, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batch.intake.formats.grid import Sheet
    from batch.model import SourceRow

HELP_MARK = "This sheet is help for people; it is not read."
"""What the first cell of a sheet says that is to be left alone, such as the help sheet of our template."""

OWN_SUMMARY = "Summary"
OWN_SHEETS = frozenset(
    ("Succeeded", "Already enrolled", "Invalid users", "Failures", "In doubt", "Not sent", "Rejected rows")
)
"""The names of the sheets of rows in our workbook; spreadsheet programs keep names when they save."""

_DONE = frozenset(outcome.value for outcome in Outcome if GROUP_OF[outcome] is Group.DONE)


def choose_sheets(file_name: str, sheets: Sequence[Sheet], wanted: str | None) -> list[tuple[str, tuple[str, ...]]]:
    """Return the name of each sheet to read and what to say about the sheets that are not.

    `wanted` is the config's `input.sheet`, which may also name a hidden sheet.
    Raises: InputRefused where no sheet or several could be meant.
    """
    visible = [sheet for sheet in sheets if not sheet.is_hidden and _has_data(sheet)]
    if any(_outcome_column(sheet) is not None for sheet in visible):
        return [(name, ()) for name in _failures(file_name, visible)]
    if wanted is not None:
        return [(_named(file_name, sheets, wanted), ())]
    hidden = [sheet for sheet in sheets if sheet.is_hidden and _has_data(sheet)]
    if len(visible) == 1:
        remarks = tuple(f"the hidden sheet {quoted(sheet.name)} holds data and was not read" for sheet in hidden)
        return [(visible[0].name, remarks)]
    if visible:
        what, remedy = f"{file_name}: several sheets hold data", "name the one to read in input.sheet"
        raise InputRefused(f"{what}: {_listed(visible)}; {remedy}", told=f"{what}; {remedy}")
    if hidden:
        what, remedy = f"{file_name}: only hidden sheets hold data", "show the sheet to be read"
        raise InputRefused(f"{what}: {_listed(hidden)}; {remedy}", told=f"{what}; {remedy}")
    raise FileRefused(f"{file_name}: no sheet holds data")


def is_sheet_of_ours(name: str, sheets: Sequence[Sheet]) -> bool:
    """Tell whether the sheet was written by us: a CSV file that was saved as a workbook has no summary beside it."""
    return name in OWN_SHEETS and any(sheet.name == OWN_SUMMARY for sheet in sheets)


def _named(file_name: str, sheets: Sequence[Sheet], wanted: str) -> str:
    same = [sheet for sheet in sheets if sheet.name == wanted] or [
        sheet for sheet in sheets if sheet.name.strip(BLANKS).casefold() == wanted.strip(BLANKS).casefold()
    ]
    if len(same) != 1:
        what = f"{file_name}: no sheet {quoted(wanted)} (input.sheet)"
        raise InputRefused(f"{what}; its sheets are {_listed(sheets)}", told=what)
    if not _has_data(same[0]):
        raise FileRefused(f"{file_name}: the sheet {quoted(wanted)} (input.sheet) is empty")
    return same[0].name


def _has_data(sheet: Sheet) -> bool:
    first = next(_rows_with_data(sheet), None)
    return first is not None and _texts(first)[0] != HELP_MARK


def _failures(file_name: str, sheets: Sequence[Sheet]) -> list[str]:
    """Return the sheets of our own workbook whose requests did not end well, by the outcome in their first row."""
    names = []
    for sheet in sheets:
        place = _outcome_column(sheet)
        if place is None:
            continue
        row, column = place
        first = next((r for r in _rows_with_data(sheet) if r.row > row), None)
        if first is not None and (_texts(first)[column:] or [""])[0] not in _DONE:
            names.append(sheet.name)
    if not names:
        raise FileRefused(f"{file_name}: this report lists no request that failed; there is nothing to send again")
    return names


def _outcome_column(sheet: Sheet) -> tuple[int, int] | None:
    """Return the header row of an outcome sheet and the place of its outcome in a row; None for other sheets."""
    for row in islice(_rows_with_data(sheet), HEADER_WITHIN):
        texts = _texts(row)
        if is_own_report(texts):
            return row.row, texts.index("outcome")
    return None


def _rows_with_data(sheet: Sheet) -> Iterator[SourceRow]:
    return (row for row in sheet.top() if not is_blank_row(row.cells))


def _texts(row: SourceRow) -> list[str]:
    return [cell_text(cell).strip(BLANKS) for cell in row.cells]


def _listed(sheets: Sequence[Sheet]) -> str:
    return ", ".join(quoted(sheet.name) for sheet in sheets)
