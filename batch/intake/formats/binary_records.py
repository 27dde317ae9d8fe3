"""Step 1 of 5: what the records of .xls and .xlsb say that the reading library keeps to itself.

Owns a walk over the records of a sheet: which cells are errors or were never computed, what is hidden, how far the
values reach. Pure: takes bytes. Values are not read here.
Source: Microsoft [MS-XLS] 2.4 and [MS-XLSB] 2.4 (records).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ERRORS = {
    0x00: "#NULL!", 0x07: "#DIV/0!", 0x0F: "#VALUE!", 0x17: "#REF!", 0x1D: "#NAME?", 0x24: "#NUM!", 0x2A: "#N/A",
    0x2B: "#GETTING_DATA",
}  # fmt: skip


class BrokenRecords(ValueError):
    """The records contradict themselves."""


@dataclass(slots=True)
class RecordLook:
    """What the records of one sheet show. Rows and columns count from 0."""

    errors: dict[tuple[int, int], str] = field(default_factory=dict)
    """(row, column) -> the error that is shown there."""
    stale: set[tuple[int, int]] = field(default_factory=set)
    """Formulas whose result is to be computed anew when the file is opened."""
    hidden_rows: list[int] = field(default_factory=list)
    hidden_columns: list[tuple[int, int]] = field(default_factory=list)
    has_filter: bool = False
    merged: list[tuple[int, int, int, int]] = field(default_factory=list)
    """(top, left, bottom, right)."""
    value_count: int = 0
    last_row: int = -1
    last_column: int = -1

    def note_value(self, row: int, column: int) -> None:
        """Note that a cell holds a value."""
        self.value_count += 1
        self.last_row = max(self.last_row, row)
        self.last_column = max(self.last_column, column)


# -- .xls ---------------------------------------------------------------------------------------------------------

_BOF, _EOF, _FILEPASS, _BOUNDSHEET = 0x0809, 0x000A, 0x002F, 0x0085
_SINGLE_VALUES = frozenset({0x0203, 0x027E, 0x00FD, 0x0204, 0x00D6})
"""NUMBER, RK, LABELSST, LABEL, RSTRING."""


def xls_sheets(stream: bytes) -> list[int]:
    """Return where the records of each sheet begin, in the order of the workbook.

    Raises: PermissionError where the stream is encrypted; BrokenRecords.
    """
    places = []
    for kind, body in _xls_records(stream, 0):
        if kind == _FILEPASS:
            raise PermissionError
        if kind == _BOUNDSHEET:
            places.append(_unpack("<I", body)[0])
        elif kind == _EOF:
            break
    return places


def look_at_xls_sheet(stream: bytes, start: int) -> RecordLook:
    """Walk over the records of the sheet that begins at `start`. Raises: BrokenRecords."""
    look = RecordLook()
    depth = 0
    for kind, body in _xls_records(stream, start):
        if kind == _BOF:
            depth += 1  # a chart inside the sheet has its own
        elif kind == _EOF:
            depth -= 1
            if depth <= 0:
                break
        elif depth == 1:
            _note_xls(look, kind, body)
    return look


def _note_xls(look: RecordLook, kind: int, body: bytes) -> None:
    if kind in _SINGLE_VALUES:
        look.note_value(*_unpack("<HH", body))
    elif note := _NOTES.get(kind):
        note(look, body)


def _note_formula(look: RecordLook, body: bytes) -> None:
    row, column, result, options = _unpack("<HH2xQH", body)
    look.note_value(row, column)
    if result >> 48 == 0xFFFF and result & 0xFF == 2:
        look.errors[row, column] = ERRORS.get(result >> 16 & 0xFF, "#ERROR")
    elif options & 1:
        look.stale.add((row, column))


def _note_bool_or_error(look: RecordLook, body: bytes) -> None:
    row, column, _, value, is_error = _unpack("<HHHBB", body)
    look.note_value(row, column)
    if is_error:
        look.errors[row, column] = ERRORS.get(value, "#ERROR")


def _note_multiple(look: RecordLook, body: bytes) -> None:
    row, first = _unpack("<HH", body)
    for number in range((len(body) - 6) // 6):
        look.note_value(row, first + number)


def _note_row(look: RecordLook, body: bytes) -> None:
    row, options = _unpack("<H10xH", body)
    if options & 0x20:
        look.hidden_rows.append(row)


def _note_columns(look: RecordLook, body: bytes) -> None:
    first, last, width, _, options = _unpack("<HHHHH", body)
    if options & 1 or not width:
        look.hidden_columns.append((first, last))


def _note_filter(look: RecordLook, body: bytes) -> None:  # noqa: ARG001 - the record is there, that is all
    look.has_filter = True


def _note_merged(look: RecordLook, body: bytes) -> None:
    for number in range(_unpack("<H", body)[0]):
        top, bottom, left, right = _unpack("<HHHH", body[2 + number * 8 :])
        look.merged.append((top, left, bottom, right))


_NOTES: dict[int, Callable[[RecordLook, bytes], None]] = {
    0x0006: _note_formula,
    0x0205: _note_bool_or_error,
    0x00BD: _note_multiple,
    0x0208: _note_row,
    0x007D: _note_columns,
    0x009B: _note_filter,
    0x00E5: _note_merged,
}


def _xls_records(stream: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    place = start
    while place + 4 <= len(stream):
        kind, size = struct.unpack_from("<HH", stream, place)
        place += 4 + size
        if place > len(stream):
            raise BrokenRecords("a record runs out of the file")
        yield kind, stream[place - size : place]
    raise BrokenRecords("the records have no end")


# -- .xlsb --------------------------------------------------------------------------------------------------------

_B_ROW, _B_CELL_ERROR, _B_FORMULA_ERROR = 0, 3, 11
_B_VALUES = frozenset({2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 62})
"""BrtCellRk to BrtCellIsst, the four formula results, BrtCellRString."""
_B_COLUMN_INFO, _B_MERGED, _B_FILTER_COLUMN, _B_BUNDLE_SHEET = 60, 176, 163, 156


def xlsb_sheets(chunks: Iterable[bytes]) -> list[tuple[str, str]]:
    """Return (name, relation) of each sheet that workbook.bin lists. Raises: BrokenRecords."""
    sheets: list[tuple[str, str]] = []

    def note(kind: int, body: bytes) -> None:
        if kind == _B_BUNDLE_SHEET:
            relation, rest = _wide_string(body[8:])
            sheets.append((_wide_string(rest)[0], relation))

    _walk_xlsb(chunks, note)
    return sheets


def look_at_xlsb_sheet(chunks: Iterable[bytes]) -> RecordLook:
    """Walk over the records of a sheet part. Raises: BrokenRecords."""
    look = RecordLook()
    row = 0

    def note(kind: int, body: bytes) -> None:
        nonlocal row
        if kind == _B_ROW:
            row = _unpack("<I", body)[0]
            if _unpack("<11xB", body)[0] & 0x10:
                look.hidden_rows.append(row)
        elif kind in _B_VALUES:
            column = _unpack("<I", body)[0]
            look.note_value(row, column)
            if kind in (_B_CELL_ERROR, _B_FORMULA_ERROR):
                look.errors[row, column] = ERRORS.get(_unpack("<8xB", body)[0], "#ERROR")
        elif kind == _B_COLUMN_INFO:
            first, last, width, _, options = _unpack("<IIIIH", body)
            if options & 1 or not width:
                look.hidden_columns.append((first, last))
        elif kind == _B_MERGED:
            top, bottom, left, right = _unpack("<IIII", body)
            look.merged.append((top, left, bottom, right))
        elif kind == _B_FILTER_COLUMN:
            look.has_filter = True

    _walk_xlsb(chunks, note)
    return look


def _walk_xlsb(chunks: Iterable[bytes], note: Callable[[int, bytes], None]) -> None:
    buffer = b""
    for chunk in chunks:
        buffer += chunk
        place = 0
        while (record := _xlsb_record(buffer, place)) is not None:
            kind, start, end = record
            note(kind, buffer[start:end])
            place = end
        buffer = buffer[place:]
    if buffer:
        raise BrokenRecords("the last record breaks off")


_LONGEST_RECORD = 1 << 24


def _xlsb_record(buffer: bytes, place: int) -> tuple[int, int, int] | None:
    """Return (kind, start, end) of the record at `place`, or None where the buffer does not hold all of it."""
    numbers = []
    for most in (2, 4):  # the kind has one or two bytes, the size one to four, with seven bits in each
        number = 0
        for index in range(most):
            if place >= len(buffer):
                return None
            byte = buffer[place]
            place += 1
            number |= (byte & 0x7F) << (7 * index)
            if not byte & 0x80:
                break
        numbers.append(number)
    kind, size = numbers
    if size > _LONGEST_RECORD:
        raise BrokenRecords("a record is too long")
    return (kind, place, place + size) if place + size <= len(buffer) else None


def _wide_string(data: bytes) -> tuple[str, bytes]:
    (length,) = _unpack("<I", data)
    if length == 0xFFFFFFFF:
        return "", data[4:]
    end = 4 + length * 2
    if end > len(data):
        raise BrokenRecords("a text runs out of its record")
    return data[4:end].decode("utf-16-le", errors="replace"), data[end:]


def _unpack(form: str, data: bytes) -> tuple[int, ...]:
    try:
        return struct.unpack_from(form, data)
    except struct.error:
        raise BrokenRecords("a record is too short") from None
