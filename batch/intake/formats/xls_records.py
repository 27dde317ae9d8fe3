"""Step 1 of 5: the records of an .xls workbook.

Owns the walk over the stream: where the sheets are, what the formats show, and a look at each sheet. Pure: takes bytes.
Source: Microsoft [MS-XLS] 2.4 (records); the books of Excel 95 (BIFF5) differ in texts and formulas.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from batch.intake.formats.formula_tokens import XLS_TOKENS
from batch.intake.formats.number_formats import Shown, shown_by
from batch.intake.formats.record_look import ERRORS, BookLook, BrokenRecords, RecordLook, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BOF, _EOF, _FILEPASS, _BOUNDSHEET, _FORMAT, _XF, _1904 = 0x0809, 0x000A, 0x002F, 0x0085, 0x041E, 0x00E0, 0x0022
_BIFF5 = 0x0500
_RECALCULATED = 0x01C1
"""RECALCID: which engine computed the formulas. Excel computes all of them anew when a file has none."""
_BLANK_RESULT = 3
_SINGLE_VALUES = frozenset({0x0203, 0x027E, 0x00FD, 0x0204, 0x00D6})
"""NUMBER, RK, LABELSST, LABEL, RSTRING."""
_COMPUTED_ON_LOAD = 3
"""Two options by which programs that compute nothing say that the result is none: "always" and "when it is opened".
Excel leaves the second one alone; programs in Java set it and write 0."""


def look_at_xls_book(stream: bytes) -> BookLook:
    """Return what the workbook's own records say; its sheets are places in the stream.

    Raises: PermissionError where the stream is encrypted; BrokenRecords.
    """
    places: list[int] = []
    codes: dict[int, str] = {}
    styles: list[int] = []
    is_1904 = is_biff5 = is_computed = False
    for kind, body in _xls_records(stream, 0):
        if kind == _FILEPASS:
            raise PermissionError
        if kind == _BOF:
            is_biff5 = unpack("<H", body)[0] == _BIFF5
        elif kind == _BOUNDSHEET:
            places.append(unpack("<I", body)[0])
        elif kind == _FORMAT:
            codes[unpack("<H", body)[0]] = _format_code(body, is_biff5=is_biff5)
        elif kind == _XF:
            styles.append(unpack("<2xH", body)[0])
        elif kind == _RECALCULATED:
            is_computed = True
        elif kind == _1904:
            is_1904 = bool(unpack("<H", body)[0])
        elif kind == _EOF:
            break
    shown = {style: shown_by(number, codes.get(number)) for style, number in enumerate(styles)}
    not_plain = {style: how for style, how in shown.items() if how is not Shown.AS_NUMBER}
    return BookLook(
        tuple(places), (), not_plain, is_1904, has_known_tokens=not is_biff5, never_computed=not is_computed
    )


def _format_code(body: bytes, *, is_biff5: bool) -> str:
    if is_biff5:
        return body[3:].decode("latin-1")
    _, _, is_wide = unpack("<HHB", body)
    return body[5:].decode("utf-16-le" if is_wide & 1 else "latin-1", errors="replace")


def look_at_xls_sheet(stream: bytes, start: int, book: BookLook) -> RecordLook:
    """Walk over the records of the sheet that begins at `start`. Raises: BrokenRecords."""
    look = RecordLook(book)
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
        look.note_value(*unpack("<HHH", body))
    elif note := _NOTES.get(kind):
        note(look, body)


def _note_formula(look: RecordLook, body: bytes) -> None:
    row, column, style, result, options = unpack("<HHHQH", body)
    look.note_value(row, column, style)
    if result >> 48 == 0xFFFF and result & 0xFF == 2:
        look.errors[row, column] = ERRORS.get(result >> 16 & 0xFF, "#ERROR")
    elif options & _COMPUTED_ON_LOAD:
        look.stale.add((row, column))
    elif look.book.never_computed and result >> 48 == 0xFFFF and result & 0xFF == _BLANK_RESULT:
        look.blank_results.add((row, column))
    if look.book.has_known_tokens:
        first = struct.unpack_from("<HH", body.ljust(27), 23)
        look.note_formula(row, column, _tokens(body, 20), XLS_TOKENS, first)


def _note_shared(look: RecordLook, body: bytes) -> None:
    look.note_shared(_tokens(body, 8), XLS_TOKENS)


def _note_array(look: RecordLook, body: bytes) -> None:
    look.note_shared(_tokens(body, 12), XLS_TOKENS)


def _tokens(body: bytes, place: int) -> bytes:
    size = int.from_bytes(body[place : place + 2], "little")
    return body[place + 2 : place + 2 + size]


def _note_bool_or_error(look: RecordLook, body: bytes) -> None:
    row, column, style, value, is_error = unpack("<HHHBB", body)
    look.note_value(row, column, style)
    if is_error:
        look.errors[row, column] = ERRORS.get(value, "#ERROR")


def _note_multiple(look: RecordLook, body: bytes) -> None:
    row, first = unpack("<HH", body)
    for number in range((len(body) - 6) // 6):
        (style,) = struct.unpack_from("<H", body, 4 + number * 6)
        look.note_value(row, first + number, style)


def _note_row(look: RecordLook, body: bytes) -> None:
    row, options = unpack("<H10xH", body)
    if options & 0x20:
        look.hidden_rows.append(row)


def _note_columns(look: RecordLook, body: bytes) -> None:
    first, last, width, _, options = unpack("<HHHHH", body)
    if options & 1 or not width:
        look.hidden_columns.append((first, last))


def _note_filter(look: RecordLook, body: bytes) -> None:  # noqa: ARG001 - the record is there, that is all
    look.has_filter = True


def _note_merged(look: RecordLook, body: bytes) -> None:
    for number in range(unpack("<H", body)[0]):
        top, bottom, left, right = unpack("<HHHH", body[2 + number * 8 :])
        look.merged.append((top, left, bottom, right))


_NOTES: dict[int, Callable[[RecordLook, bytes], None]] = {
    0x0006: _note_formula,
    0x04BC: _note_shared,
    0x0221: _note_array,
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
