"""The rows of one customer that became no request, because a cell cannot be used.

Joins the ledger, which has the rows as they came, and the intake, which knows how a customer is written. Reads only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.intake.cells import read_id
from batch.intake.headers import LOOKED_UP
from batch.intake.raw_cells import BLANKS, cell_text
from batch.ledger.reading import LedgerReader
from batch.ledger.sqlite import LEDGER_NAME
from batch.model import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from batch.model import Cell, RowProblem

_OF_REQUESTS = frozenset({Problem.DUPLICATE, Problem.CONTRADICTION})
"""What stands beside a request; all other problems kept their row from becoming one."""


_PERHAPS_AN_ID = re.compile(r"\+?(?:[0-9]{1,3}(?:[.,'’\s][0-9]{3})+|[0-9]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class UnsentRow:
    """A row that was not sent: where it stands, and what is wrong with it, a problem or more."""

    path: str
    sheet: str | None
    row: int
    problems: tuple[RowProblem, ...]


def unsent_rows(folder: Path, whom: str) -> list[UnsentRow]:
    """Return the rows with problems in which `whom` stands where the customer does, in the order of the upload.

    Raises:
        LedgerFailed, UsageError: the ledger cannot be read, or is of another version.
    """
    found: dict[tuple[int, int], list[RowProblem]] = {}
    with LedgerReader(folder / LEDGER_NAME) as reader:
        inputs = {file.input_no: file for file in reader.inputs()}
        for row in reader.rejected_rows():
            is_unsent = row.problem.problem not in _OF_REQUESTS
            if is_unsent and _names(inputs[row.input_no].roles, row.cells, whom):
                found.setdefault((row.input_no, row.row), []).append(row.problem)
    return [
        UnsentRow(inputs[number].path, inputs[number].sheet, row, tuple(problems))
        for (number, row), problems in found.items()
    ]


def _names(roles: Mapping[str, int], cells: Sequence[Cell], whom: str) -> bool:
    """Whether a row names this customer: by the same id, or in the same text; a mobile number by its digits."""
    for name in ("customer_id", *LOOKED_UP):
        index = roles.get(name)
        cell = cells[index] if index is not None and index < len(cells) else None
        text, wanted = cell_text(cell).strip(BLANKS).casefold(), whom.strip(BLANKS).casefold()
        if not text:
            continue
        if text == wanted or (name == "customer_id" and wanted in {str(read_id(cell)), _digits_of_id(text)}):
            return True
        if name == "mobile" and _digits(text) and _digits(text) == _digits(wanted):
            return True
    return False


def _digits_of_id(text: str) -> str:
    """Return the number in `001040` or `1,040`, which are no ids but may be meant as that one; else a blank."""
    return re.sub(r"[^0-9]", "", text).lstrip("0") if _PERHAPS_AN_ID.fullmatch(text) else ""


def _digits(text: str) -> str:
    return re.sub(r"[\s()+.-]", "", text).removeprefix("00") if not re.search(r"[a-z@]", text) else ""
