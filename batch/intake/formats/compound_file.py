"""Step 1 of 5: the container around an .xls workbook, read just far enough to find one stream in it.

Owns the walk along the sector chains, with every loop and every step outside the file refused: the reading library
would follow them. Knows nothing of what the streams hold.
Source: Microsoft [MS-CFB], compound file binary format.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FREE = 0xFFFFFFFA
"""Sector numbers from here up mean the end of a chain, a free sector or a table."""
_HEADER = struct.Struct("<24xHHHHH10xIIIIIIII")
_HEADER_BYTES = 512
_ENTRY_BYTES = 128
_STREAM, _ROOT = 2, 5


class BrokenContainer(ValueError):
    """The container contradicts itself."""


class CompoundFile:
    """The streams of a compound file, by name."""

    def __init__(self, data: bytes) -> None:
        """Read the tables of the file. Raises: BrokenContainer."""
        if len(data) < _HEADER_BYTES:
            raise BrokenContainer("the file is too short")
        fields = _HEADER.unpack_from(data)
        _, major, _, shift, mini_shift, _, first_directory, _, self._cutoff, first_mini, _, first_difat, _ = fields
        if (shift, mini_shift) not in ((9, 6), (12, 6)) or major not in (3, 4):
            raise BrokenContainer("unknown sector size")
        self._data, self._size, self._mini_size = data, 1 << shift, 1 << mini_shift
        self._table = self._fat(first_difat)
        directory = self._chain(first_directory)
        entries = [directory[i : i + _ENTRY_BYTES] for i in range(0, len(directory) - _ENTRY_BYTES + 1, _ENTRY_BYTES)]
        self._streams: dict[str, tuple[int, int]] = {}
        root = (_FREE, 0)
        for entry in entries:
            name_bytes, kind = struct.unpack_from("<HB", entry, 64)
            start, size = struct.unpack_from("<IQ", entry, 116)
            if kind == _ROOT:
                root = (start, size)
            elif kind == _STREAM:
                name = entry[: max(min(name_bytes, 64) - 2, 0)].decode("utf-16-le", errors="replace")
                self._streams.setdefault(name.lower(), (start, size & 0xFFFFFFFF if major == 3 else size))
        self._mini_table = _numbers(self._chain(first_mini))
        self._mini_stream = self._chain(root[0])

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._streams

    def stream(self, name: str) -> bytes:
        """Return the content of a stream. Raises: BrokenContainer where it breaks off."""
        start, size = self._streams[name.lower()]
        if size < self._cutoff:
            pieces = [
                self._mini_stream[number * self._mini_size : (number + 1) * self._mini_size]
                for number in _walk(start, self._mini_table)
            ]
            content = b"".join(pieces)
        else:
            content = self._chain(start)
        if len(content) < size:
            raise BrokenContainer(f"the stream {name} breaks off")
        return content[:size]

    def _fat(self, first_difat: int) -> tuple[int, ...]:
        sectors = list(struct.unpack_from("<109I", self._data, 76))
        seen: set[int] = set()
        while first_difat < _FREE:
            if first_difat in seen:
                raise BrokenContainer("the sector table runs in a circle")
            seen.add(first_difat)
            numbers = _numbers(self._sector(first_difat))
            sectors += numbers[:-1]
            first_difat = numbers[-1]
        return tuple(number for sector in sectors if sector < _FREE for number in _numbers(self._sector(sector)))

    def _sector(self, number: int) -> bytes:
        start = (number + 1) * self._size
        if start >= len(self._data):
            raise BrokenContainer("a sector lies beyond the end of the file")
        return self._data[start : start + self._size].ljust(self._size, b"\0")

    def _chain(self, first: int) -> bytes:
        return b"".join(self._sector(number) for number in _walk(first, self._table))


def _walk(first: int, table: tuple[int, ...]) -> Iterator[int]:
    number, steps = first, 0
    while number < _FREE:
        if number >= len(table) or steps > len(table):
            raise BrokenContainer("a chain of sectors runs in a circle or out of the file")
        yield number
        number, steps = table[number], steps + 1


def _numbers(sector: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(sector) // 4}I", sector[: len(sector) // 4 * 4])
