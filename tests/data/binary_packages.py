"""Makes .xls and .xlsb workbooks record by record, and the container around an .xls.

Source: Microsoft [MS-CFB], [MS-XLS], [MS-XLSB].
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from tests.data.packages import zipped

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECTOR = 512
_END, _FREE, _FAT = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD


def compound(streams: Mapping[str, bytes], *, mini: bool = False) -> bytes:
    """Return a compound file with these streams.

    Each is filled up to 4,096 bytes, or, where they are `mini`, stands as it is in the stream of small streams.
    """
    sectors: list[bytes] = []
    table: list[int] = []

    def add(content: bytes) -> int:
        first, count = len(sectors), -(-len(content) // _SECTOR)
        sectors.extend(content[i * _SECTOR : (i + 1) * _SECTOR].ljust(_SECTOR, b"\0") for i in range(count))
        table.extend([*range(first + 1, first + count), _END])
        return first

    root, mini_table_at = (_END, 0), _END
    if mini:
        places, mini_stream, mini_table = _minis(streams)
        root, mini_table_at = (add(mini_stream), len(mini_stream)), add(mini_table)
    else:
        places = {name: (add(content.ljust(4096, b"\0")), max(len(content), 4096)) for name, content in streams.items()}
    entries = [_entry("Root Entry", 5, *root, child=1)]
    entries += [
        _entry(name, 2, *place, right=n + 2 if n + 1 < len(places) else _FREE)
        for n, (name, place) in enumerate(places.items())
    ]
    directory = add(b"".join(entries))
    fat_count = -(-(len(sectors) + 1) // 127)
    fat_at = len(sectors)
    table += [_FAT] * fat_count
    table += [_FREE] * (fat_count * 128 - len(table))
    difat = [*range(fat_at, fat_at + fat_count), *[_FREE] * (109 - fat_count)]
    numbers = (62, 3, 0xFFFE, 9, 6, 0, fat_count, directory, 0, 4096, mini_table_at, int(mini), _END, 0)
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH6xIIIIIIIII", *numbers)
    header += struct.pack("<109I", *difat)
    return header + b"".join(sectors) + struct.pack(f"<{len(table)}I", *table)


def _minis(streams: Mapping[str, bytes]) -> tuple[dict[str, tuple[int, int]], bytes, bytes]:
    """Return where each stream stands in the stream of small streams, that stream, and its table."""
    places, stream, table = {}, b"", []
    for name, content in streams.items():
        first, count = len(table), -(-len(content) // 64)
        places[name] = (first, len(content))
        stream += content.ljust(count * 64, b"\0")
        table += [*range(first + 1, first + count), _END]
    return places, stream, struct.pack(f"<{len(table)}I", *table).ljust(_SECTOR, b"\xff")


def _entry(name: str, kind: int, start: int, size: int, right: int = _FREE, child: int = _FREE) -> bytes:
    encoded = name.encode("utf-16-le")
    return struct.pack("<64sHBBIII16xI16xIQ", encoded, len(encoded) + 2, kind, 1, _FREE, right, child, 0, start, size)


# -- .xls ---------------------------------------------------------------------------------------------------------


def record(kind: int, body: bytes = b"") -> bytes:
    """Return one BIFF record."""
    return struct.pack("<HH", kind, len(body)) + body


def number(row: int, column: int, value: float, style: int = 0) -> bytes:
    """Return a NUMBER cell."""
    return record(0x0203, struct.pack("<HHHd", row, column, style, value))


def styles(*codes: str, is_1904: bool = False) -> bytes:
    """Return the records of formats and cell styles: style 0 is plain, n shows as the n-th code; and the calendar."""
    formats = b"".join(
        record(0x041E, struct.pack("<HHB", 163 + n, len(code), 1) + code.encode("utf-16-le"))
        for n, code in enumerate(codes, 1)
    )
    numbers = [0, *(163 + n for n in range(1, len(codes) + 1))]
    return (
        record(0x0022, struct.pack("<H", is_1904))
        + formats
        + b"".join(record(0x00E0, struct.pack("<HH16x", 0, number)) for number in numbers)
    )


def label(row: int, column: int, text: str) -> bytes:
    """Return a LABEL cell: text in the cell itself."""
    encoded = text.encode("utf-16-le", "surrogatepass")
    return record(0x0204, struct.pack("<HHHHB", row, column, 0, len(encoded) // 2, 1) + encoded)


def error(row: int, column: int, code: int) -> bytes:
    """Return a BOOLERR cell that is an error."""
    return record(0x0205, struct.pack("<HHHBB", row, column, 0, code, 1))


def formula(row: int, column: int, result: bytes, options: int = 0, tokens: bytes = b"\x1e\x01\x00") -> bytes:
    """Return a FORMULA cell with this result (8 bytes); without other tokens it is `=1`."""
    head = struct.pack("<HHH8sHIH", row, column, 0, result, options, 0, len(tokens))
    return record(0x0006, head + tokens)


def area(top: int, bottom: int, left: int, right: int, token: int = 0x25) -> bytes:
    """Return the token of an area in .xls."""
    return struct.pack("<BHHHH", token, top, bottom, left, right)


def shared_formula(row: int, first: int, last: int, tokens: bytes) -> bytes:
    """Return the SHRFMLA record of a row's cells from `first` to `last`."""
    return record(0x04BC, struct.pack("<HHBBBBH", row, row, first, last, 0, last - first + 1, len(tokens)) + tokens)


def xls_stream(*sheets: tuple[str, bytes], before: bytes = b"") -> bytes:
    """Return the Workbook stream: sheets are (name, records); `before` are records of the workbook itself."""
    begin, end = struct.pack("<HHHHII", 0x0600, 0x0005, 0, 0, 0, 0), record(0x000A)
    names = [name.encode("utf-16-le") for name, _ in sheets]
    bounds_size = sum(4 + 8 + len(name) for name in names)
    start = 4 + len(begin) + len(before) + bounds_size + len(end)
    bounds, content = b"", b""
    for name, (_, records) in zip(names, sheets, strict=True):
        bounds += record(0x0085, struct.pack("<IBBBB", start + len(content), 0, 0, len(name) // 2, 1) + name)
        content += record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0010, 0, 0, 0, 0)) + records + end
    return record(0x0809, begin) + before + bounds + end + content


def xls(*sheets: tuple[str, bytes], before: bytes = b"") -> bytes:
    """Return an .xls workbook; see `xls_stream`."""
    return compound({"Workbook": xls_stream(*sheets, before=before)})


# -- .xlsb --------------------------------------------------------------------------------------------------------


def b_record(kind: int, body: bytes = b"") -> bytes:
    """Return one record of .xlsb: kind and size in groups of seven bits."""
    return _sevens(kind) + _sevens(len(body)) + body


def _sevens(value: int) -> bytes:
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F)
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def b_row(row: int, *, hidden: bool = False) -> bytes:
    """Return the beginning of a row."""
    return b_record(0, struct.pack("<IIHBBBI", row, 0, 300, 0, 0x10 if hidden else 0, 0, 0))


def b_cell(column: int, value: float | str | None, *, kind: int | None = None, style: int = 0) -> bytes:
    """Return a cell: text in the cell itself, a number, or (kind 3) an error by its code."""
    head = struct.pack("<II", column, style)
    if kind == 3:
        return b_record(3, head + bytes([int(value or 0)]))
    if value is None:
        return b_record(1, head)
    if isinstance(value, str):
        return b_record(6, head + _wide(value))
    return b_record(5, head + struct.pack("<d", value))


def b_formula(column: int, result: float | str, tokens: bytes, *, options: int = 0, first_column: int = 0) -> bytes:
    """Return a formula with its result; `first_column` matters to a shared one, which names its row in the token."""
    value = _wide(result) if isinstance(result, str) else struct.pack("<d", result)
    rest = struct.pack("<HI", options, len(tokens)) + tokens + struct.pack("<II", 4, first_column)
    return b_record(8 if isinstance(result, str) else 9, struct.pack("<II", column, 0) + value + rest)


def b_area(top: int, bottom: int, left: int, right: int, token: int = 0x25) -> bytes:
    """Return the token of an area in .xlsb."""
    return struct.pack("<BIIHH", token, top, bottom, left, right)


def b_shared_formula(row: int, first: int, last: int, tokens: bytes) -> bytes:
    """Return the record of a formula that a row's cells share."""
    return b_record(427, struct.pack("<IIIII", row, row, first, last, len(tokens)) + tokens + bytes(4))


def b_styles(*codes: str) -> bytes:
    """Return styles.bin: style 0 is plain, n shows as the n-th code."""
    formats = b"".join(b_record(44, struct.pack("<H", 163 + n) + _wide(code)) for n, code in enumerate(codes, 1))
    numbers = [0, *(163 + n for n in range(1, len(codes) + 1))]
    ours = b"".join(b_record(47, struct.pack("<HH12x", 0xFFFF, number)) for number in numbers)
    others = b_record(626, bytes(4)) + b_record(47, struct.pack("<HH12x", 0xFFFF, 9)) + b_record(627)
    return b_record(278) + formats + others + b_record(617, bytes(4)) + ours + b_record(618) + b_record(279)


def _wide(text: str) -> bytes:
    encoded = text.encode("utf-16-le", "surrogatepass")
    return struct.pack("<I", len(encoded) // 2) + encoded


def xlsb(
    *sheets: tuple[str, bytes],
    state: int = 0,
    styles: bytes = b"",
    computes_on_load: bool = False,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """Return an .xlsb workbook: sheets are (name, records between the beginning and the end of the sheet data).

    `before` and `after` go around the data of each.
    """
    bundles = b"".join(
        b_record(156, struct.pack("<II", state, n) + _wide(f"rId{n}") + _wide(name))
        for n, (name, _) in enumerate(sheets, 1)
    )
    spaces = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
    types = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    targets = "".join(
        f'<Relationship Id="rId{n}" Type="{types}/worksheet" Target="worksheets/sheet{n}.bin"/>'
        for n in range(1, len(sheets) + 1)
    )
    targets += f'<Relationship Id="rId99" Type="{types}/styles" Target="styles.bin"/>' if styles else ""
    bundles += b_record(144) + b_record(157, struct.pack("<24xH", computes_on_load))
    parts: dict[str, bytes | str] = {
        "_rels/.rels": f'<Relationships {spaces}><Relationship Id="rId1" Type="{types}/officeDocument" '
        'Target="xl/workbook.bin"/></Relationships>',
        "xl/workbook.bin": b_record(131) + b_record(143) + bundles + b_record(132),
        "xl/_rels/workbook.bin.rels": f"<Relationships {spaces}>{targets}</Relationships>",
    }
    if styles:
        parts["xl/styles.bin"] = styles
    for n, (_, records) in enumerate(sheets, 1):
        size = b_record(148, struct.pack("<IIII", 0, 100, 0, 20))
        parts[f"xl/worksheets/sheet{n}.bin"] = (
            b_record(129) + size + before + b_record(145) + records + b_record(146) + after + b_record(130)
        )
    return zipped(parts)
