"""Step 1 of 5: a mobile number becomes the digits that the API looks up, country code first; or a fault.

Pure. Owns how people and spreadsheet programs write such numbers. Which lengths and ranges a country has for mobile
numbers is the library's to know; it decides only between two readings, because ranges are handed out faster than
lists are.
"""

from __future__ import annotations

import re

from phonenumbers import (
    NumberParseException,
    PhoneNumber,
    PhoneNumberFormat,
    PhoneNumberType,
    format_number,
    is_possible_number_for_type,
    is_valid_number,
    number_type,
    parse,
    region_code_for_country_code,
)

from batch.errors import ConfigError
from batch.intake.cells import Fault
from batch.intake.raw_cells import BLANKS, EXACT_BELOW, IGNORABLE, Unreadable, cell_text, quoted
from batch.intake.spellings import is_error_text
from batch.model import Cell, Problem

_PLUS = ("+", "＋", "﹢")
_DASHES = "-‐‑‒–—−"
_SIGNS = re.compile(rf"[\s{re.escape(IGNORABLE)}().{re.escape(_DASHES)}]+")
_TRUNK = re.compile(r"\(\s*0\s*\)")
_DECIMALS = re.compile(r"([0-9]{7,})[.,]([0-9]+)", re.ASCII)
_TEXT_FORMULA = re.compile(r'="(.*)"')
_SCIENTIFIC = re.compile(r"([0-9])(?:[.,]([0-9]+))?[eE]\+?([0-9]{1,2})", re.ASCII)
_SHORTEST, _LONGEST = 7, 15
"""Digits with the country code. Source: ITU-T E.164 for the longest; for the shortest our choice: nobody has less."""
_TOO_LONG = 60


def region_of(country_code: str) -> str:
    """Return the main region of a country code, such as IN for 91.

    Raises:
        ConfigError: there is no such country code.

    """
    region = region_code_for_country_code(int(country_code))
    if region in {"ZZ", "001"}:
        raise ConfigError(f"input.country_code: {country_code} is no country's code; write it in digits, such as 91")
    return region


def read_mobile(cell: Cell, country_code: str | None = None, region: str | None = None) -> str | Fault:
    """Read a mobile number: its digits, country code first, as the API wants them.

    Blanks, brackets, dots, dashes and the invisible among them do not count; `+` or `00` before the number says that a
    country code follows. A number without either is a national one, where `country_code` is set, unless it can only
    be one with that code; where it is not set it is taken as it stands, but for a leading 0.
    `region` is that of the country code.

    Source: docs.capillarytech.com/reference/get-customer-id: mobile values carry the country code.
    """
    text = _digits_of_cell(cell)
    if isinstance(text, Fault):
        return text
    is_marked = text.startswith(_PLUS)
    bare = _SIGNS.sub("", _TRUNK.sub("", text[1:]) if is_marked else text)
    shown = quoted(cell_text(cell))
    if bare.isdecimal() and not bare.isascii():
        return Fault(Problem.NOT_AN_IDENTIFIER, f"{shown} is not written in the digits 0 to 9; write {_latin(bare)}")
    if not bare.isdecimal():
        return _no_mobile(shown)
    if not is_marked and bare.startswith("00"):
        is_marked, bare = True, _SIGNS.sub("", _TRUNK.sub("", text)).removeprefix("00")
    if is_marked:
        return _international(bare, shown)
    if country_code and region:
        return _with_country_code(bare, country_code, region, shown)
    if bare.startswith("0"):
        remedy = "write it with its country code, or set input.country_code in the config"
        return Fault(Problem.AMBIGUOUS, f"{shown} begins with 0, as numbers without a country code do; {remedy}")
    return _of_length(bare, shown)


def _digits_of_cell(cell: Cell) -> str | Fault:
    """Return the number in a cell as text, or what is wrong with the kind of cell."""
    shown = quoted(cell_text(cell))
    if isinstance(cell, Unreadable):
        return Fault(cell.problem, cell.hint)
    if isinstance(cell, str):
        return _digits_of_text(cell.strip(BLANKS))
    if isinstance(cell, bool) or not isinstance(cell, (int, float)):
        hint = f"{shown} is no mobile number; format the column as text and write the number again"
        return Fault(Problem.NOT_AN_IDENTIFIER, hint)
    if not abs(cell) < EXACT_BELOW:
        return Fault(
            Problem.DIGITS_LOST,
            f"{shown} has more than 15 digits in a numeric cell, which keeps only 15; "
            "format the column as text and write the number again",
        )
    if cell < 0 or cell != int(cell):
        return _no_mobile(shown)
    return str(int(cell))


def _digits_of_text(text: str) -> str | Fault:
    shown = quoted(text)
    if is_error_text(text):
        return Fault(Problem.ERROR_CELL, f"{shown} is the error of a formula; mend the formula or write the value")
    if len(text) > _TOO_LONG:
        return _no_mobile(shown)
    if formula := _TEXT_FORMULA.fullmatch(text):
        text = formula[1].strip(BLANKS)
    text = text.removeprefix("'")
    decimals = _DECIMALS.fullmatch(text)
    if decimals and decimals[2].strip("0") == "":
        return decimals[1]
    if decimals or text[:1] in set(_DASHES):
        return _no_mobile(shown)
    if scientific := _SCIENTIFIC.fullmatch(text):
        digits = scientific[1] + (scientific[2] or "")
        if len(digits) == int(scientific[3]) + 1 <= _LONGEST:
            return digits
        return Fault(
            Problem.DIGITS_LOST,
            f"{shown} has lost digits; format the column as text in the source file and write the whole number",
        )
    return text


def _international(digits: str, shown: str) -> str | Fault:
    """Read the digits behind `+` or `00`. A 0 kept between country code and number is taken out where that is sure."""
    try:
        number = parse(f"+{digits}")
    except NumberParseException:
        return Fault(Problem.NOT_AN_IDENTIFIER, f"{shown} begins with no country code, or is too short; check it")
    if is_valid_number(number):
        return format_number(number, PhoneNumberFormat.E164).removeprefix("+")
    return _of_length(digits, shown)


def _with_country_code(digits: str, country_code: str, region: str, shown: str) -> str | Fault:
    """Read digits that say nothing of their country: national ones, or those that can only be with country code."""
    if digits.startswith("0"):
        return _behind_trunk_zero(digits, country_code, region, shown)
    readings = {country_code + digits: _number(country_code, digits)}
    if digits.startswith(country_code):
        readings[digits] = _number(country_code, digits.removeprefix(country_code))
    for is_likely in (_is_mobile, _may_be_mobile):
        likely = [reading for reading, number in readings.items() if number and is_likely(number)]
        if len(likely) == 1:
            return likely[0]
        if likely:
            return Fault(
                Problem.AMBIGUOUS,
                f"{shown} can be read with and without its country code; write +{digits} or +{country_code}{digits}",
            )
    return _foreign(country_code, shown)


def _behind_trunk_zero(digits: str, country_code: str, region: str, shown: str) -> str | Fault:
    try:
        number = parse(digits, region)
    except NumberParseException:
        return _foreign(country_code, shown)
    if not _may_be_mobile(number):
        return _foreign(country_code, shown)
    return format_number(number, PhoneNumberFormat.E164).removeprefix("+")


def _number(country_code: str, national: str) -> PhoneNumber | None:
    """Return a number as it stands: the library's own reading would take leading zeros off."""
    significant = national.lstrip("0")
    if not significant or len(national) > _LONGEST:
        return None
    zeros = len(national) - len(significant)
    return PhoneNumber(
        country_code=int(country_code),
        national_number=int(significant),
        italian_leading_zero=bool(zeros),
        number_of_leading_zeros=zeros or None,
    )


def _is_mobile(number: PhoneNumber) -> bool:
    return number_type(number) in {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE}


def _may_be_mobile(number: PhoneNumber) -> bool:
    """Whether it is as long as mobile numbers of its country are."""
    return is_possible_number_for_type(number, PhoneNumberType.MOBILE)


def _no_mobile(shown: str) -> Fault:
    return Fault(Problem.NOT_AN_IDENTIFIER, f"{shown} is no mobile number; write one number, in digits")


def _foreign(country_code: str, shown: str) -> Fault:
    return Fault(
        Problem.NOT_AN_IDENTIFIER,
        f"{shown} is no mobile number of country code {country_code}; write one of another country with + and its code",
    )


def _of_length(digits: str, shown: str) -> str | Fault:
    if _SHORTEST <= len(digits) <= _LONGEST:
        return digits
    return Fault(
        Problem.NOT_AN_IDENTIFIER,
        f"{shown} has {len(digits)} digits; mobile numbers have {_SHORTEST} to {_LONGEST} with their country code",
    )


def _latin(digits: str) -> str:
    return "".join(str(int(digit)) for digit in digits)
