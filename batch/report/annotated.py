"""Step 5 of 5: annotated.xlsx: the upload's own rows, with the cells that cannot be used coloured and explained.

Owns which cell a problem belongs to. Values only: a formula of the upload is shown as the text that it had.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from batch.model import Problem
from batch.report.cells import Book, book, encodable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from batch.model import InputFacts, RejectedRow, RowProblem
    from batch.report.tables import Value

    Rows = Iterable[tuple[int, Sequence[Value]]]

_COMMENT = {"author": "enroll-batch", "x_scale": 2, "y_scale": 1.2}


def write_annotated(
    path: Path, created_at: int, inputs: Iterable[tuple[InputFacts, Rows]], rejected: Iterable[RejectedRow]
) -> None:
    """Write annotated.xlsx: a sheet per input, each row under its own row number.

    `inputs` come with their rows that are not blank: row number and cells, in order. `rejected` may hold duplicates;
    they are no fault and are not marked.

    Raises:
        EnrollBatchError: the folder, or the one for temporary files, cannot be written or is full.
    """
    problems: dict[int, dict[int, list[RowProblem]]] = {}
    for row in rejected:
        if row.problem.problem is not Problem.DUPLICATE:
            problems.setdefault(row.input_no, {}).setdefault(row.row, []).append(row.problem)
    names = _SheetNames()
    with book(path, created_at) as workbook:
        for file, rows in inputs:
            _write_input(workbook, names.unused(file), file, rows, problems.get(file.input_no, {}))


def _write_input(
    workbook: Book, name: str, file: InputFacts, rows: Rows, problems: dict[int, list[RowProblem]]
) -> None:
    sheet = workbook.add_sheet(name)
    sheet.set_comments_author("enroll-batch")
    sheet.set_column(0, max(len(file.columns) - 1, 0), 18)
    header_row: int | None = None
    for row, cells in rows:
        if header_row is None:
            # The header stood above its first row; what stood above the header is not ours to repeat.
            header_row = max(row - 2, 0)
            for column, header in enumerate(file.columns):
                workbook.write(sheet, header_row, column, header, "header")
            sheet.freeze_panes(header_row + 1, 0)
        at = max(row - 1, header_row + 1)
        marked = _by_column(file, problems.get(row, []))
        for column in sorted({*range(len(cells)), *marked}):
            value = cells[column] if column < len(cells) else None
            hints = marked.get(column)
            workbook.write(sheet, at, column, value, "problem" if hints else "")
            if hints:
                sheet.write_comment(at, column, encodable("\n".join(hints)), _COMMENT)


def _by_column(file: InputFacts, problems: Iterable[RowProblem]) -> dict[int, list[str]]:
    """Return the hints of a row's problems by column; a problem of the whole row stands at its customer."""
    marked: dict[int, list[str]] = {}
    names = ("customer_id", "mobile", "email", "external_id")
    whole_row = next((file.roles[name] for name in names if name in file.roles), 0)
    for problem in problems:
        known = problem.column in file.columns
        column = file.columns.index(problem.column) if known else whole_row
        marked.setdefault(column, []).append(f"{problem.problem.value.replace('_', ' ')}: {problem.hint}")
    return marked


class _SheetNames:
    """Gives each input a sheet name that spreadsheet programs accept: short, unique, without their signs."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def unused(self, file: InputFacts) -> str:
        """Return a name made from the input's sheet or file."""
        wish = file.sheet or file.path.replace("\\", "/").rsplit("/", 1)[-1]
        stem = re.sub(r"[\[\]:*?/\\\x00-\x1f]", "_", encodable(wish)).strip("'")[:24] or "upload"
        for name in self._numbered(stem):
            if name.casefold() not in self._taken and name.casefold() != "history":
                self._taken.add(name.casefold())
                return name
        raise AssertionError("numbers do not end")

    @staticmethod
    def _numbered(stem: str) -> Iterator[str]:
        yield stem
        number = 1
        while True:
            number += 1
            yield f"{stem} ({number})"
