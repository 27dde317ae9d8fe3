"""Step 1 of 5: one raw cell becomes a value, or a fault that says what is wrong and what to write instead.

Owns what a careful person would read in a cell. Pure: knows no file, no column and no row. The rule behind each
decision: where such a person is certain the cell is read; where two readings are left it is a fault.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from batch.intake.raw_cells import BLANKS, EXACT_BELOW, IGNORABLE, LOST, Unreadable, cell_text, is_blank_cell, quoted
from batch.intake.spellings import NO, YES, is_error_text
from batch.model import Action, Cell, Problem

MAX_ID = 2**63 - 1
"""The largest id: a Java long. Source: facts on customerId; the range is our reading of "Long"."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a cell cannot be used, and one sentence with the remedy."""

    problem: Problem
    hint: str


# -- whole numbers ------------------------------------------------------------------------------------------------

_PLAIN = re.compile(r"'?([0-9]+)", re.ASCII)
_ZERO_DECIMALS = re.compile(r"([0-9]+)\.0+", re.ASCII)
_TEXT_FORMULA = re.compile(r'="([0-9]+)"', re.ASCII)
_SCIENTIFIC = re.compile(r"([0-9])(?:[.,]([0-9]+))?[eE]\+?([0-9]{1,3})", re.ASCII)
_IN_GROUPS = r"([0-9]{1,3}(?:([.,'’٬\s\u00a0\u2009\u202f])[0-9]{3})(?:\2[0-9]{3})*)"
_GROUPED = re.compile(_IN_GROUPS, re.ASCII)
_LIKELY = (
    _GROUPED,
    re.compile(_IN_GROUPS + r"(?!\2)[.,][0-9]*", re.ASCII),  # 1.250,00
    re.compile(r"([0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3})(?:\.[0-9]*)?", re.ASCII),  # 12,50,000, as in India
    re.compile(r"([0-9]+)(?:[.,][0-9]*)?", re.ASCII),
)
"""Numbers as people write them for people; what is counted in whole stands in the first group."""
_CENT = "\N{CENT SIGN}"
_PLUS, _MINUS = "+＋﹢", "-−﹣－"
_TOO_LONG = 40
"""No number of ours needs more characters; Python itself refuses to convert thousands of digits."""


def read_id(cell: Cell, what: str = "id") -> int | Fault:
    """Read an id (customer, org, target group, target): a whole number from 1 to 2**63-1. `what` is its name.

    Accepted, because nobody could read them otherwise: digits with blanks or invisible characters around; one
    apostrophe before them or `="..."` around them (the two ways to make Excel keep text); `345651201.0`; a number
    in scientific form that shows every digit; a numeric cell that is integral and below 10**15.
    Everything else is a fault; leading zeros and `+` too, because they speak for a phone or a card number.
    """
    if type(cell) is str and cell.isdigit() and cell.isascii() and cell[0] != "0" and len(cell) < 19:
        return int(cell)
    number = _whole_number(cell, f"is no {what}; write the id, or remove the row if it is a total")
    if not isinstance(number, int):
        return number if number is not None else Fault(Problem.MISSING, "is blank; write the id")
    if 1 <= number <= MAX_ID:
        return number
    return Fault(Problem.OUT_OF_RANGE, f"{quoted(cell_text(cell))} is no id: ids go from 1 to {MAX_ID}; check the id")


def read_balance(cell: Cell) -> int | Fault | None:
    """Read an initial balance: a whole number from 0, or None where the cell is blank or says NULL.

    0 is a balance and blank is none: the API resumes the old value for none and wipes it for 0.
    Source: docs.capillarytech.com/reference/enroll-customer (initialBalance).
    """
    if type(cell) is str:
        if cell.isascii() and cell.isdigit() and len(cell) < 19 and (cell[0] != "0" or cell == "0"):
            return int(cell)
        if cell.strip(BLANKS).casefold() == "null":
            return None
    number = _whole_number(cell, _NO_BALANCE)
    if not isinstance(number, int):
        return number
    if 0 <= number <= MAX_ID:
        return number
    return Fault(
        Problem.OUT_OF_RANGE,
        f"{quoted(cell_text(cell))} is no balance: balances go from 0 to {MAX_ID}; leave the cell blank for none",
    )


_NO_BALANCE = (
    "is not a whole number; write one without separators, decimals and currency, such as 1250, "
    "or leave the cell blank for none"
)


def _whole_number(cell: Cell, if_none: str) -> int | Fault | None:
    """Return the whole number in a cell, None where it is blank, or the fault.

    `if_none` is said of a text that nobody reads as a number. It must not ask for digits only: whoever drops the
    separators of `1.250,00` writes a hundred times the number.
    """
    if cell is None:
        return None
    if isinstance(cell, Unreadable):
        return Fault(cell.problem, cell.hint)
    if isinstance(cell, str):
        return _number_in_text(cell.strip(BLANKS), if_none)
    shown = quoted(cell_text(cell))
    if isinstance(cell, bool):
        return Fault(Problem.NOT_A_WHOLE_NUMBER, f"{shown} is a yes or no; write a whole number in digits")
    if isinstance(cell, (int, float)):
        return _number_in_cell(cell, shown)
    return Fault(
        Problem.NOT_A_WHOLE_NUMBER,
        f"{shown} is a date or time; format the column as text and write the number again",
    )


def _number_in_cell(cell: float, shown: str) -> int | Fault:
    """Read a numeric cell. Numbers are whole below 10**15 or not trusted: Excel has rounded the 16th digit."""
    if not abs(cell) < EXACT_BELOW:  # also what is not a number at all
        return Fault(
            Problem.DIGITS_LOST,
            f"{shown} has more than 15 digits in a numeric cell, which keeps only 15; "
            "format the column as text and write the number again",
        )
    if isinstance(cell, int) or cell.is_integer():
        return int(cell)
    return Fault(Problem.NOT_A_WHOLE_NUMBER, f"{shown} is not a whole number; write {int(cell)}, if that is meant")


def _number_in_text(text: str, if_none: str) -> int | Fault | None:
    """Read digits as people and programs write them. `text` has no blanks around it."""
    if not text:
        return None
    if len(text) > _TOO_LONG:
        return Fault(Problem.NOT_A_WHOLE_NUMBER, f"{quoted(text)} {if_none}")
    plain = _PLAIN.fullmatch(text) or _ZERO_DECIMALS.fullmatch(text) or _TEXT_FORMULA.fullmatch(text)
    if plain is None:
        return _odd_number(text, if_none)
    digits = plain[1]
    if digits[0] == "0" and digits != "0":
        stripped = digits.lstrip("0") or "0"
        return Fault(
            Problem.AMBIGUOUS,
            f"{quoted(text)} has leading zeros, as other kinds of numbers do; write {stripped}, if that is meant",
        )
    if re.fullmatch(r"[0-9]{1,3}\.000", text):
        return Fault(
            Problem.AMBIGUOUS,
            f"{quoted(text)} can be read as {digits} and as {digits}000; write the one that is meant",
        )
    return int(digits)


def _odd_number(text: str, if_none: str) -> int | Fault:
    """Read what is not plain digits: exact scientific numbers; for the rest, name the fault and the remedy."""
    if scientific := _SCIENTIFIC.fullmatch(text):
        return _scientific(text, scientific[1] + (scientific[2] or ""), int(scientific[3]))
    if is_error_text(text):
        return _error_fault(text)
    if text[0] in _PLUS + _MINUS and text[1:2].isdecimal():
        if text[0] in _PLUS:
            remedy = "write the number without the sign, if this is the one meant"
            return Fault(Problem.AMBIGUOUS, f"{quoted(text)} begins with a plus sign, as phone numbers do; {remedy}")
        return Fault(Problem.OUT_OF_RANGE, f"{quoted(text)} is negative; write a whole number without a sign")
    if _GROUPED.fullmatch(text):
        return _grouped(text)
    if likely := _likely(text):
        return Fault(
            Problem.NOT_A_WHOLE_NUMBER, f"{quoted(text)} is not a whole number; write {likely}, if that is meant"
        )
    if seen := _hidden(text):
        return Fault(
            Problem.NOT_A_WHOLE_NUMBER,
            f"{quoted(text)} holds an invisible character (U+{ord(seen):04X}); write the number again",
        )
    if text.isdecimal():
        digits = "".join(str(int(digit)) for digit in text)
        return Fault(Problem.NOT_A_WHOLE_NUMBER, f"{quoted(text)} is not written in the digits 0 to 9; write {digits}")
    return Fault(Problem.NOT_A_WHOLE_NUMBER, f"{quoted(text)} {if_none}")


def _likely(text: str) -> str:
    """Return the whole number that is written with decimals, separators or currency; "" where no reading is sound."""
    bare = text
    for end in (0, -1):
        if len(bare) > 1 and unicodedata.category(bare[end]) == "Sc" and bare[end] != _CENT:
            bare = (bare[1:] if end == 0 else bare[:-1]).strip(BLANKS)
    if bare != text and _GROUPED.fullmatch(bare):
        return ""  # decimals or thousands: nobody knows
    found = next((match for form in _LIKELY if (match := form.fullmatch(bare))), None)
    return (re.sub(r"[^0-9]", "", found[1]).lstrip("0") or "0") if found else ""


def _scientific(text: str, digits: str, exponent: int) -> int | Fault:
    """Read `3.45651201E8`, which shows all nine digits; refuse `3.45651E+08`, which shows six of them."""
    if len(digits) == exponent + 1 <= 15 and digits[0] != "0":
        return int(digits)
    return Fault(
        Problem.DIGITS_LOST,
        f"{quoted(text)} has lost digits; format the column as text in the source file and write the whole number",
    )


def _grouped(text: str) -> Fault:
    """Refuse `1,000`: it is one thousand, one with three decimals, or a list of numbers, by country and habit."""
    digits = re.sub(r"[^0-9]", "", text)
    remedy = f"write {digits}, if that is meant" if digits[0] != "0" else "write a whole number"
    return Fault(Problem.AMBIGUOUS, f"{quoted(text)} has separators and can be read in two ways; {remedy}")


def _hidden(text: str) -> str | None:
    return next((char for char in text if char in IGNORABLE), None)


# -- errors -------------------------------------------------------------------------------------------------------


def _error_fault(text: str) -> Fault:
    return Fault(Problem.ERROR_CELL, f"{quoted(text)} is the error of a formula; mend the formula or write the value")


# -- yes and no ---------------------------------------------------------------------------------------------------


def read_yes_no(cell: Cell) -> bool | Fault:
    """Read a yes or no; blank is no. Spellings: `YES` and `NO`, without case; the numbers 1 and 0; a boolean cell."""
    if isinstance(cell, bool):
        return cell
    if isinstance(cell, Unreadable):
        return Fault(cell.problem, cell.hint)
    if cell is None:
        return False
    if isinstance(cell, str):
        word = cell.strip(BLANKS).casefold()
        if not word or word in NO:
            return False
        if word in YES:
            return True
        if is_error_text(cell.strip(BLANKS)):
            return _error_fault(cell.strip(BLANKS))
    elif isinstance(cell, (int, float)) and cell in (0, 1):
        return cell == 1
    return Fault(Problem.NOT_YES_OR_NO, f"{quoted(cell_text(cell))} is neither yes nor no; write true or false")


# -- names and actions --------------------------------------------------------------------------------------------


def read_name(cell: Cell) -> str | Fault:
    """Read a period name: text, to the letter but for blanks around it.

    A number, date or yes/no in the cell is a fault, because what was typed is gone: `05` has become 5, `1-2` a day
    in January, `MAR1` the first of March.
    """
    if type(cell) is str:
        name = cell.strip(BLANKS)
        if not name:
            return Fault(Problem.MISSING, "is blank; write the name of the cycle")
        if LOST in name:
            return Fault(Problem.AMBIGUOUS, _LOST_HINT.format(quoted(name)))
        return _error_fault(name) if is_error_text(name) else name
    if isinstance(cell, Unreadable):
        return Fault(cell.problem, cell.hint)
    if cell is None:
        return Fault(Problem.MISSING, "is blank; write the name of the cycle")
    stored = (
        "a yes or no" if isinstance(cell, bool) else "a number" if isinstance(cell, (int, float)) else "a date or time"
    )
    return Fault(
        Problem.NOT_TEXT,
        f"{quoted(cell_text(cell))} is stored as {stored}; format the column as text and write the name again",
    )


_LOST_HINT = "{} holds a character that was lost when the file was made (\ufffd); write the name again"

_ACTIONS = {
    "enroll": Action.ENROLL,
    "enrol": Action.ENROLL,
    "reenroll": Action.ENROLL,
    "reenrol": Action.ENROLL,
    "unenroll": Action.UNENROLL,
    "unenrol": Action.UNENROLL,
}


def read_action(cell: Cell) -> Action | Fault:
    """Read an action: enroll, re-enroll (the same call) or unenroll.

    One l or two; case, blanks, `_` and `-` do not count.
    """
    if isinstance(cell, Unreadable):
        return Fault(cell.problem, cell.hint)
    if is_blank_cell(cell):
        return Fault(Problem.MISSING, "is blank; write enroll or unenroll")
    if isinstance(cell, str):
        word = re.sub(r"[\s_\-‐‑–]+", "", cell.strip(BLANKS).casefold())
        if word in _ACTIONS:
            return _ACTIONS[word]
        if is_error_text(cell.strip(BLANKS)):
            return _error_fault(cell.strip(BLANKS))
    return Fault(Problem.NOT_AN_ACTION, f"{quoted(cell_text(cell))} is not an action; write enroll or unenroll")
