"""Step 1 of 5: the records of an .xlsb workbook.

Owns the walk over the parts of the package: which sheets there are, what the styles show, and a look at each sheet.
Pure: takes the parts as pieces of bytes.
Source: Microsoft [MS-XLSB] 2.4 (records).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.intake.formats.formula_tokens import XLSB_TOKENS
from batch.intake.formats.number_formats import Shown, shown_by
from batch.intake.formats.record_look import ERRORS, BookLook, BrokenRecords, RecordLook, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_ROW, _CELL_ERROR, _FORMULA_STRING, _FORMULA_NUMBER, _FORMULA_YES_NO, _FORMULA_ERROR = 0, 3, 8, 9, 10, 11
_VALUES = frozenset({2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 62})
"""BrtCellRk to BrtCellIsst, the four formula results, BrtCellRString."""
_RESULT_BYTES = {_FORMULA_NUMBER: 8, _FORMULA_YES_NO: 1, _FORMULA_ERROR: 1}
_ARRAY_FORMULA, _SHARED_FORMULA = 426, 427
_COLUMN_INFO, _MERGED, _FILTER_COLUMN, _BUNDLE_SHEET, _BOOK_PROPERTIES, _CALCULATION = 60, 176, 163, 156, 153, 157
_FORMAT, _XF, _CELL_XFS_BEGIN, _CELL_XFS_END = 44, 47, 617, 618


def look_at_xlsb_book(workbook: Iterable[bytes], styles: Iterable[bytes]) -> BookLook:
    """Return what workbook.bin and styles.bin say; the sheets are relations. Raises: BrokenRecords."""
    relations: list[str] = []
    is_1904 = computes_on_load = False

    def note(kind: int, body: bytes) -> None:
        nonlocal is_1904, computes_on_load
        if kind == _BUNDLE_SHEET:
            relations.append(_wide_string(body[8:])[0])
        elif kind == _BOOK_PROPERTIES:
            is_1904 = bool(unpack("<I", body)[0] & 1)
        elif kind == _CALCULATION:
            computes_on_load = bool(unpack("<24xH", body)[0] & 1)

    _walk(workbook, note)
    return BookLook((), tuple(relations), _shown(styles), is_1904, computes_on_load)


def _shown(styles: Iterable[bytes]) -> dict[int, Shown]:
    """Return cell style -> how it shows numbers, for the styles that are not plain."""
    codes: dict[int, str] = {}
    numbers: list[int] = []
    in_cell_styles = False

    def note(kind: int, body: bytes) -> None:
        nonlocal in_cell_styles
        if kind == _FORMAT:
            codes[unpack("<H", body)[0]] = _wide_string(body[2:])[0]
        elif kind == _XF and in_cell_styles:
            numbers.append(unpack("<2xH", body)[0])
        elif kind in (_CELL_XFS_BEGIN, _CELL_XFS_END):
            in_cell_styles = kind == _CELL_XFS_BEGIN

    _walk(styles, note)
    shown = {style: shown_by(number, codes.get(number)) for style, number in enumerate(numbers)}
    return {style: how for style, how in shown.items() if how is not Shown.AS_NUMBER}


def look_at_xlsb_sheet(chunks: Iterable[bytes], book: BookLook) -> RecordLook:
    """Walk over the records of a sheet part. Raises: BrokenRecords."""
    look = RecordLook(book)
    row = 0

    def note(kind: int, body: bytes) -> None:
        nonlocal row
        if kind == _ROW:
            row = unpack("<I", body)[0]
            if unpack("<11xB", body)[0] & 0x10:
                look.hidden_rows.append(row)
        elif kind in _VALUES:
            _note_value(look, kind, row, body)
        elif note := _NOTES.get(kind):
            note(look, body)

    _walk(chunks, note)
    return look


def _note_value(look: RecordLook, kind: int, row: int, body: bytes) -> None:
    column, style = unpack("<II", body)
    look.note_value(row, column, style & 0xFFFFFF)
    if kind in (_CELL_ERROR, _FORMULA_ERROR):
        look.errors[row, column] = ERRORS.get(unpack("<8xB", body)[0], "#ERROR")
    if kind == _FORMULA_STRING:
        _note_formula(look, row, column, _wide_string(body[8:])[1])
    elif kind in _RESULT_BYTES:
        _note_formula(look, row, column, body[8 + _RESULT_BYTES[kind] :])


def _note_formula(look: RecordLook, row: int, column: int, formula: bytes) -> None:
    """Note what stands behind the result: options, tokens, and for a shared formula the cell it was written for."""
    (options,) = unpack("<H", formula)
    if look.book.computes_on_load or options & 2:
        look.stale.add((row, column))
    tokens, extra = _tokens(formula, 2)
    first_row, first_column = tokens[1:5], extra[4:8]
    first = (int.from_bytes(first_row, "little"), int.from_bytes(first_column, "little"))
    look.note_formula(row, column, tokens, XLSB_TOKENS, first)


def _note_shared(look: RecordLook, body: bytes) -> None:
    look.note_shared(_tokens(body, 16)[0], XLSB_TOKENS)


def _note_array(look: RecordLook, body: bytes) -> None:
    look.note_shared(_tokens(body, 17)[0], XLSB_TOKENS)


def _tokens(body: bytes, place: int) -> tuple[bytes, bytes]:
    end = place + 4 + int.from_bytes(body[place : place + 4], "little")
    return body[place + 4 : end], body[end:]


def _note_columns(look: RecordLook, body: bytes) -> None:
    first, last, width, _, options = unpack("<IIIIH", body)
    if options & 1 or not width:
        look.hidden_columns.append((first, last))


def _note_merged(look: RecordLook, body: bytes) -> None:
    top, bottom, left, right = unpack("<IIII", body)
    look.merged.append((top, left, bottom, right))


def _note_filter(look: RecordLook, body: bytes) -> None:  # noqa: ARG001 - the record is there, that is all
    look.has_filter = True


_NOTES: dict[int, Callable[[RecordLook, bytes], None]] = {
    _ARRAY_FORMULA: _note_array,
    _SHARED_FORMULA: _note_shared,
    _COLUMN_INFO: _note_columns,
    _MERGED: _note_merged,
    _FILTER_COLUMN: _note_filter,
}


def _walk(chunks: Iterable[bytes], note: Callable[[int, bytes], None]) -> None:
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
    (length,) = unpack("<I", data)
    if length == 0xFFFFFFFF:
        return "", data[4:]
    end = 4 + length * 2
    if end > len(data):
        raise BrokenRecords("a text runs out of its record")
    return data[4:end].decode("utf-16-le", errors="replace"), data[end:]
