"""Step 1 of 5: what a number format of a workbook makes of a number: a date, a time, or a number shown scaled.

Pure. Owns the built-in formats and how a format code is read; knows no file.
"""

from __future__ import annotations

import datetime as dt
import re
from enum import StrEnum

from batch.intake.raw_cells import EXACT_BELOW, Unreadable, quoted
from batch.model import Cell, Problem


class Shown(StrEnum):
    """How a number is shown to a person."""

    AS_NUMBER = "as a number"
    AS_DATE = "as a date or time"
    AS_DURATION = "as a duration"
    OTHERWISE = "multiplied or divided, with digits of the format's own, or not at all"


_BUILT_IN_DATES = frozenset({*range(14, 23), *range(27, 37), *range(50, 59), 45, 47})
_BUILT_IN_DURATION = 46
_BUILT_IN_PERCENT = frozenset({9, 10})
"""Source: ECMA-376 part 1, 18.8.30 (numFmt), the implied formats."""

_LONGEST_CODE = 255
"""Characters of a number format. Source: Microsoft, Excel specifications and limits."""
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
_DURATION = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)
_DATE = re.compile(r"[ymdhs]|am/pm|a/p", re.IGNORECASE)
_SCALES = re.compile(r"%|[0#?],+(?![0#?,])")
"""A percent sign multiplies by 100; commas behind the last digit divide by 1,000 each."""
_OWN_DIGIT = re.compile(r'(?:"[^"]*|\\)[0-9]')
_PLACE = re.compile(r"[0#?@]")
"""Where the number stands in the format; it may also be General."""

_EPOCH_1900 = dt.datetime(1899, 12, 30)  # noqa: DTZ001 - spreadsheets know no time zones
_EPOCH_1904 = dt.datetime(1904, 1, 1)  # noqa: DTZ001 - as above
_LAST_DAY = 2_958_466
_NEVER_WAS = 60
"""Excel counts a 29 February 1900, so the days before it are one off."""
_DAY_MS = 86_400_000


_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)


def stored_number(text: str) -> float:
    """Return a number as a workbook's XML holds it: whole numbers as int, since 5 and 5.0 are one number there.

    Digits beyond the fifteenth are kept, so that a person sees what is wrong with them.
    Raises: ValueError where it is none.
    """
    if text.isdecimal() and text.isascii() and len(text) < 400:
        return int(text)
    if len(text) > 400 or not _NUMBER.fullmatch(text):
        raise ValueError(text)
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < EXACT_BELOW else number


def shown_by(format_id: int, code: str | None) -> Shown:
    """Return how a number format shows numbers. `code` None: one of the built-in formats."""
    if code is None:
        if format_id in _BUILT_IN_DATES:
            return Shown.AS_DATE
        if format_id == _BUILT_IN_DURATION:
            return Shown.AS_DURATION
        return Shown.OTHERWISE if format_id in _BUILT_IN_PERCENT else Shown.AS_NUMBER
    first = code[:_LONGEST_CODE].split(";")[0]
    bare = _LITERAL.sub("", first)
    if _DURATION.search(bare):
        return Shown.AS_DURATION
    if "general" in bare.lower():
        return Shown.AS_NUMBER
    if _DATE.search(bare):
        return Shown.AS_DATE
    own_digits = any(_OWN_DIGIT.match(literal) for literal in _LITERAL.findall(first))
    is_plain = not own_digits and not _SCALES.search(bare) and (_PLACE.search(bare) or not code)
    return Shown.AS_NUMBER if is_plain else Shown.OTHERWISE


def as_shown(number: float, shown: Shown, *, is_1904: bool) -> Cell:
    """Return the cell that a person sees: a date for a date, and a fault for a number that looks like another one."""
    if shown is Shown.AS_NUMBER or (shown is Shown.OTHERWISE and not number):
        return number
    if shown is Shown.OTHERWISE:
        return _unclear(number, "is shown as something else by its format (percent or thousands, for example)")
    if shown is Shown.AS_DURATION and abs(number) < _LAST_DAY:
        return dt.timedelta(milliseconds=round(number * _DAY_MS))
    if not 0 <= number < _LAST_DAY or int(number) == _NEVER_WAS:
        return _unclear(number, "stands in a date format that cannot show it")
    if number < 1 and not is_1904:
        return (_EPOCH_1904 + dt.timedelta(milliseconds=min(round(number * _DAY_MS), _DAY_MS - 1))).time()
    early = not is_1904 and number < _NEVER_WAS
    epoch = _EPOCH_1904 if is_1904 else _EPOCH_1900
    moment = epoch + dt.timedelta(days=int(number) + early, milliseconds=round(number % 1 * _DAY_MS))
    return moment.date() if number == int(number) else moment


def _unclear(number: float, why: str) -> Unreadable:
    hint = f"{quoted(str(number))} {why}; give the cell a plain format and write the value again"
    return Unreadable(str(number), Problem.AMBIGUOUS, hint)
