"""Step 1 of 5: the formulas of .xls and .xlsb, read just far enough to know a total line.

Pure. Owns how long each token is and which tokens name cells. Nothing is computed and no formula is put into words;
at a token that is not known the walk ends, and the formula is no total.
Source: Microsoft [MS-XLS] 2.5.198 and [MS-XLSB] 2.5.97 (formulas).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_EXP, _STRING, _ATTRIBUTE, _CALL, _AREA, _AREA_RELATIVE = 0x01, 0x17, 0x19, 0x22, 0x25, 0x2D
_CHOOSE = 0x04
_SUBTOTAL = 344
"""The number of the function SUBTOTAL; AGGREGATE has none, but always names its cells."""
_SIZES = dict.fromkeys(range(0x03, 0x17), 0) | {
    0x01: 4, 0x02: 4, 0x1C: 1, 0x1D: 1, 0x1E: 2, 0x1F: 8, 0x20: 7, 0x21: 2, 0x22: 3, 0x23: 4, 0x24: 4, 0x25: 8,
    0x26: 6, 0x27: 6, 0x28: 6, 0x29: 2, 0x2A: 4, 0x2B: 8, 0x2C: 4, 0x2D: 8, 0x39: 6, 0x3A: 6, 0x3B: 10, 0x3C: 6,
    0x3D: 10,
}  # fmt: skip
"""Bytes behind each token; those from 0x20 up have three classes, which are one here."""
_COLUMN, _COLUMN_IS_RELATIVE, _ROW_IS_RELATIVE = 0x3FFF, 0x4000, 0x8000


@dataclass(frozen=True, slots=True)
class TokenForm:
    """How a file format writes tokens: their sizes, an area's four numbers, and how many rows and columns there are."""

    sizes: Mapping[int, int]
    area: struct.Struct
    row_count: int
    column_count: int
    string_head: struct.Struct
    """A text's length, and where the format has it, whether its characters have two bytes; they always do in .xlsb."""


XLS_TOKENS = TokenForm(_SIZES, struct.Struct("<HHHH"), 1 << 16, 1 << 8, struct.Struct("<BB"))
XLSB_TOKENS = TokenForm(
    _SIZES | {0x20: 14, 0x24: 6, 0x25: 12, 0x2A: 6, 0x2B: 12, 0x2C: 6, 0x2D: 12, 0x3A: 8, 0x3B: 14, 0x3C: 8, 0x3D: 14},
    struct.Struct("<IIHH"),
    1 << 20,
    1 << 14,
    struct.Struct("<H"),
)


def is_shared(tokens: bytes) -> bool:
    """Tell whether the formula stands elsewhere, for several cells together."""
    return tokens[:1] == bytes([_EXP])


def sums_up(tokens: bytes, row: int, column: int, form: TokenForm) -> bool:
    """Tell whether a formula in this cell (both from 0) sums up cells above it, as a total line does."""
    for token, body in _tokens(tokens, form):
        if token == _CALL and int.from_bytes(body[1:3], "little") & 0x7FFF == _SUBTOTAL:
            return True
        if token in (_AREA, _AREA_RELATIVE):
            top, bottom, left, right = form.area.unpack(body)
            if token == _AREA_RELATIVE:
                top, left = _moved(top, left, row, column, form)
                bottom, right = _moved(bottom, right, row, column, form)
            if (left & _COLUMN) <= column <= (right & _COLUMN) and top < bottom < row:
                return True
    return False


def _moved(down: int, across: int, row: int, column: int, form: TokenForm) -> tuple[int, int]:
    """Return the row and column of a corner that a shared formula counts from its own cell."""
    if across & _ROW_IS_RELATIVE:
        down = (row + down) % form.row_count
    across, is_relative = across & _COLUMN, across & _COLUMN_IS_RELATIVE
    return down, (column + across) % form.column_count if is_relative else across


def _tokens(tokens: bytes, form: TokenForm) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place < len(tokens):
        token = tokens[place]
        if token >= 0x40:
            token = token & 0x1F | 0x20
        size = _size(token, tokens, place + 1, form)
        place += 1 + size
        if size < 0 or place > len(tokens):
            return
        yield token, tokens[place - size : place]


def _size(token: int, tokens: bytes, place: int, form: TokenForm) -> int:
    """Return how many bytes from `place` belong to the token before it; -1 where nobody knows."""
    if token == _STRING and place + form.string_head.size <= len(tokens):
        length, *is_wide = form.string_head.unpack_from(tokens, place)
        return form.string_head.size + int(length) * (2 if is_wide in ([], [1]) else 1)
    if token == _ATTRIBUTE and place + 3 <= len(tokens):
        choices = int.from_bytes(tokens[place + 1 : place + 3], "little") + 1
        return 3 + choices * 2 if tokens[place] & _CHOOSE else 3
    return form.sizes.get(token, -1)
