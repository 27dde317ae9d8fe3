"""Step 1 of 5: whom a row names, by id, or by mobile number, e-mail address or external id for a look-up.

Owns which column decides, and what such a cell holds, as people and spreadsheet programs write it. Pure: knows no API
and nobody's id. Where a careful person is certain the cell is read; where two readings are left it is a fault.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from batch.intake.cells import Fault, read_id
from batch.intake.headers import LOOKED_UP
from batch.intake.mobiles import read_mobile, region_of
from batch.intake.raw_cells import BLANKS, IGNORABLE, LOST, Unreadable, cell_text, is_blank_cell, quoted
from batch.intake.spellings import is_error_text
from batch.model import Problem, RowProblem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batch.model import Cell

_WHAT = {"mobile": "the mobile number", "email": "the e-mail address", "external_id": "the external id"}


class Customers:
    """The columns of a table that name its customers: customer_id, or others that have to be looked up.

    Of several others the first that is not blank decides, in the order mobile, email, external_id; the rest is not
    looked at. Source: our choice, because each further question costs a call. A report of ours names those by id whom
    an earlier run has found, and the others as the upload did.

    Raises:
        ConfigError: there is no such country code.

    """

    def __init__(self, columns: Sequence[str], roles: Mapping[str, int], country_code: str | None) -> None:
        self._columns = columns
        self._id = roles.get("customer_id")
        self._others = [(name, roles[name]) for name in LOOKED_UP if name in roles]
        self._region = region_of(country_code) if country_code and "mobile" in roles else None
        self._country_code = country_code

    def take(self, cells: Sequence[Cell], problems: list[RowProblem]) -> int | str:
        """Return whom a row names: an id, or for example `mobile:919111111111`; add to `problems` what is wrong."""
        if self._id is not None and not (self._others and self._is_named_otherwise(cells, self._id)):
            customer = read_id(cells[self._id], "customer id")
            return self._fault(self._id, cells, customer, problems) if isinstance(customer, Fault) else customer
        for name, index in self._others:
            if is_blank_cell(cells[index]):
                continue
            value = self._read(name, cells[index])
            if isinstance(value, Fault):
                return self._fault(index, cells, value, problems)
            return f"{name}:{value}"
        name, index = self._others[0]
        return self._fault(index, cells, Fault(Problem.MISSING, f"is blank; write {_WHAT[name]}"), problems)

    def _is_named_otherwise(self, cells: Sequence[Cell], customer_id: int) -> bool:
        return is_blank_cell(cells[customer_id]) and not all(is_blank_cell(cells[index]) for _, index in self._others)

    def _fault(self, index: int, cells: Sequence[Cell], fault: Fault, problems: list[RowProblem]) -> int:
        problems.append(RowProblem(self._columns[index], cell_text(cells[index]), fault.problem, fault.hint))
        return 0

    def _read(self, name: str, cell: Cell) -> str | Fault:
        if name == "mobile":
            return read_mobile(cell, self._country_code, self._region)
        return read_email(cell) if name == "email" else read_external_id(cell)


_ADDRESS = re.compile(r"[^\s@,;:<>()\[\]\"]+@[^\s@,;:<>()\[\]\".]+(?:\.[^\s@,;:<>()\[\]\".]+)+")
_LONGEST_ADDRESS = 254
"""Source: RFC 5321, 4.5.3.1.3."""
_LONGEST_ID = 255
"""Source: our choice; no page says how long an external id may be."""


def read_email(cell: Cell) -> str | Fault:
    """Read an e-mail address, its case as typed: whether two spellings are one customer is the API's to say."""
    text = _text_of(cell, "e-mail address")
    if isinstance(text, Fault) or (_ADDRESS.fullmatch(text) and len(text) <= _LONGEST_ADDRESS):
        return text
    return Fault(Problem.NOT_AN_IDENTIFIER, f"{quoted(text)} is no e-mail address; write one address, such as a@b.com")


def read_external_id(cell: Cell) -> str | Fault:
    """Read an external id: text, to the letter but for blanks around it.

    A number in the cell is a fault, because what was typed may be gone: `00123` has become 123.
    """
    text = _text_of(cell, "external id")
    if isinstance(text, Fault) or len(text) <= _LONGEST_ID:
        return text
    return Fault(Problem.NOT_AN_IDENTIFIER, f"{quoted(text)} is too long for an external id; check it")


def _text_of(cell: Cell, what: str) -> str | Fault:
    if isinstance(cell, Unreadable):
        return Fault(cell.problem, cell.hint)
    if not isinstance(cell, str):
        hint = f"{quoted(cell_text(cell))} is not stored as text; format the column as text and write the {what} again"
        return Fault(Problem.NOT_TEXT, hint)
    text = cell.strip(BLANKS)
    if is_error_text(text):
        return _error_cell(text)
    if LOST in text:
        hint = f"{quoted(text)} holds a character that was lost when the file was made ({LOST}); write it again"
        return Fault(Problem.AMBIGUOUS, hint)
    if hidden := next((char for char in text if char in IGNORABLE or not (char.isprintable())), None):
        hint = f"{quoted(text)} holds an invisible character (U+{ord(hidden):04X}); write the {what} again"
        return Fault(Problem.NOT_AN_IDENTIFIER, hint)
    return text


def _error_cell(text: str) -> Fault:
    return Fault(Problem.ERROR_CELL, f"{quoted(text)} is the error of a formula; mend the formula or write the value")
