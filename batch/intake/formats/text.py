"""Step 1 of 5: a delimited text file becomes rows of text.

Owns encodings, delimiters, quotes and line ends, and streams: a file of any size is never in memory. Knows nothing
of what the columns mean, except that a header row tells the delimiter. pandas is not used here: its reader cannot
tell a short row, a physical line or a broken quote.
"""

from __future__ import annotations

import codecs
import csv
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batch.errors import FileRefused, InputRefused
from batch.intake.formats.grid import Grid
from batch.intake.headers import HEADER_WITHIN, OWN_REPORT, known_names
from batch.intake.raw_cells import BLANKS, Unreadable, quoted
from batch.model import Problem, SourceRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

DELIMITERS = (",", ";", "\t", "|")

_BOMS = (  # the longer ones first: UTF-32 LE begins like UTF-16 LE
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_BOM = "\ufeff"
_CHUNK = 1 << 20
_SAMPLE = 1 << 16
_LONGEST_LINE = 1 << 23
"""Characters without a line break after which a file is no table: it would have to be held in memory as one line."""
_SEP_LINE = re.compile(r"sep=(.)(?:\r\n|\r|\n)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Layout:
    """How to read the file: what was found out, or said by the config."""

    path: Path
    encoding: str
    delimiter: str = ","
    skipped_lines: int = 0
    """1 where the file begins with `sep=;`, which no spreadsheet program shows as a row."""
    has_nul_tail: bool = False
    has_loose_quotes: bool = False


@dataclass(frozen=True, slots=True)
class _Look:
    """What one pass over the whole text shows."""

    sample: str
    is_empty: bool
    has_nul: bool
    has_nul_tail: bool
    has_loose_quotes: bool
    ends_with_line_break: bool


def open_text(path: Path, encoding: str | None, delimiter: str | None, header_names: Iterable[str] = ()) -> Grid:
    """Look through the file once, and return its rows.

    `encoding` and `delimiter` None: found out. `header_names` are the config's own names of columns.

    Raises:
        InputRefused: the file is empty, cannot be decoded, or holds NUL characters. Also from the rows: a quote that
            is never closed, or closed in the middle of a cell.

    """
    used, look, remarks = _decode(path, encoding)
    if look.is_empty:
        raise FileRefused(f"{path.name}: the file is empty")
    layout = _Layout(path, used, has_nul_tail=look.has_nul_tail, has_loose_quotes=look.has_loose_quotes)
    if look.has_nul and not look.has_nul_tail:
        line = next(number for number, text in enumerate(_lines(layout), 1) if "\0" in text)
        raise FileRefused(
            f"{path.name}, line {line}: a NUL character, so the file is damaged or in another encoding; "
            "export it again, or set input.encoding"
        )
    if look.has_nul_tail:
        remarks += ("the file ends in NUL characters, as after a broken copy; nothing else stands there",)
    if not look.ends_with_line_break:
        remarks += ("the last line has no line break: if the file was cut off, its last row is incomplete",)
    sep = _SEP_LINE.match(look.sample)
    found = find_delimiter(look.sample, tuple(header_names))
    if _header_likeness(look.sample, found, ()) < OWN_REPORT:
        found = delimiter or (sep[1] if sep else found)
    layout = replace(layout, delimiter=found, skipped_lines=1 if sep else 0)
    return Grid(sheet=None, rows=lambda: _rows(layout), remarks=remarks)


def find_delimiter(sample: str, header_names: tuple[str, ...] = ()) -> str:
    """Return the delimiter under which a row near the top of `sample` is a header; comma where none is."""
    return max(DELIMITERS, key=lambda delimiter: _header_likeness(sample, delimiter, header_names))


def _header_likeness(sample: str, delimiter: str, header_names: tuple[str, ...]) -> int:
    best = 0
    reader = csv.reader(re.findall(r"[^\r\n]*(?:\r\n|\r|\n|$)", sample), delimiter=delimiter)
    try:
        for _, record in zip(range(HEADER_WITHIN), reader, strict=False):
            best = max(best, known_names(record, header_names))
    except csv.Error:  # a broken quote is named when the rows are read
        pass
    return best


# -- encodings ----------------------------------------------------------------------------------------------------


def _decode(path: Path, encoding: str | None) -> tuple[str, _Look, tuple[str, ...]]:
    """Return the encoding in which the whole file can be read, what it shows, and what to say about it."""
    with path.open("rb") as stream:
        head = stream.read(_SAMPLE)
    for bom, name in _BOMS:  # before the config: the file knows better, and a report of ours has one
        if head.startswith(bom):
            return _as_told(path, name)
    if encoding is not None:
        return _as_told(path, encoding)
    if utf16 := _utf16_without_bom(head):
        return (*_as_told(path, utf16)[:2], (f"no byte order mark; read as {utf16.upper()}",))
    try:
        return "utf-8", _look_through(path, "utf-8"), ()
    except UnicodeDecodeError as error:
        not_utf8 = error
    if line := _where_utf8_breaks(path):
        raise FileRefused(
            f"{path.name}: begins as UTF-8, and is broken or in another encoding from line {line}; export it again, or "
            "set input.encoding"
        )
    try:
        look = _look_through(path, "cp1252")
    except UnicodeDecodeError:
        raise FileRefused(
            f"{path.name}: neither UTF-8 ({not_utf8.reason}) nor Windows-1252; save it as UTF-8, or set input.encoding"
        ) from None
    return "cp1252", look, ("not UTF-8; read as Windows-1252 (check names with accents)",)


def _where_utf8_breaks(path: Path) -> int | None:
    """Return the line where a file that holds characters in UTF-8 stops to be UTF-8; None where it never was.

    Such a file was cut off inside a character, or put together from two; as Windows-1252 all its names would be wrong.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, is_utf8 = 1, False
    with path.open("rb") as stream:
        while block := stream.read(_CHUNK):
            try:
                text = decoder.decode(block)
            except UnicodeDecodeError as error:
                before = error.object[: error.start]
                return line + before.count(b"\n") if is_utf8 or not before.isascii() else None
            is_utf8 = is_utf8 or not text.isascii()
            line += text.count("\n")
    return line if is_utf8 else None


def _as_told(path: Path, encoding: str) -> tuple[str, _Look, tuple[str, ...]]:
    try:
        return encoding, _look_through(path, encoding), ()
    except (LookupError, ValueError) as error:  # UnicodeDecodeError is a ValueError; binary codecs raise LookupError
        reason = error.reason if isinstance(error, UnicodeDecodeError | UnicodeEncodeError) else "no such text encoding"
        raise FileRefused(
            f"{path.name}: cannot be read as {encoding} ({reason}); save it as UTF-8, or set input.encoding"
        ) from None


def _utf16_without_bom(head: bytes) -> str | None:
    """Recognise Latin text in UTF-16: every other byte is NUL, and only every other one."""
    even, odd = head[::2], head[1::2]
    if odd and odd.count(0) > len(odd) * 0.6 and not even.count(0):
        return "utf-16-le"
    if even and even.count(0) > len(even) * 0.6 and not odd.count(0):
        return "utf-16-be"
    return None


def _look_through(path: Path, encoding: str) -> _Look:
    """Decode the whole file, strictly, and note what has to be known before its first row.

    Raises:
        UnicodeDecodeError: it is not in this encoding.
        InputRefused: a line never ends.

    """
    sample, last, is_empty, has_loose_quotes = "", "", True, False
    nuls = nul_tail = unbroken = 0
    with path.open(encoding=encoding, newline="") as stream:
        while text := stream.read(_CHUNK):
            sample = sample or text[:_SAMPLE].removeprefix(_BOM)
            if not text.isascii():
                text.encode()  # refuses half characters, which odd encodings such as UTF-7 let through
            is_empty = is_empty and not text.strip(BLANKS + "\0")
            has_loose_quotes = has_loose_quotes or ' "' in text or '\u00a0"' in text or text[0] == '"'
            if "\0" in text:
                nuls += text.count("\0")
                tail = len(text) - len(text.rstrip("\0"))
                nul_tail = nul_tail + tail if tail == len(text) else tail
            else:
                nul_tail = 0
            last = text.rstrip("\0")[-1:] or last
            broken = max(text.rfind("\n"), text.rfind("\r"))
            unbroken = unbroken + len(text) if broken < 0 else len(text) - broken
            if unbroken > _LONGEST_LINE:
                raise FileRefused(f"{path.name}: a line of more than {_LONGEST_LINE} characters; this is no table")
    return _Look(sample, is_empty, nuls > 0, nuls > 0 and nuls == nul_tail, has_loose_quotes, last in ("\n", "\r"))


# -- rows ---------------------------------------------------------------------------------------------------------


def _lines(layout: _Layout) -> Iterator[str]:
    """Yield the physical lines (ended by LF, CRLF or CR) with their ends, without a byte order mark."""
    with layout.path.open(encoding=layout.encoding, newline="") as stream:
        yield next(stream, "").removeprefix(_BOM)
        if not layout.has_nul_tail:
            yield from stream
            return
        for line in stream:
            if text := line.rstrip("\0"):
                yield text


def _rows(layout: _Layout) -> Iterator[SourceRow]:
    lines = _lines(layout)
    for _ in range(layout.skipped_lines):
        next(lines, None)
    reader = csv.reader(lines, delimiter=layout.delimiter, strict=True)
    before, has_loose_quotes = 1 + layout.skipped_lines, layout.has_loose_quotes
    line = before
    try:
        for row, record in enumerate(reader, 1):
            cells = _with_loose_quotes(record) if has_loose_quotes else record
            yield SourceRow(row, tuple(cells), line)
            line = reader.line_num + before
    except csv.Error as error:
        raise InputRefused(_broken_quote(layout, str(error), line, reader.line_num + layout.skipped_lines)) from None


def _broken_quote(layout: _Layout, error: str, first: int, last: int) -> str:
    name = layout.path.name
    if "expected after" in error:
        return f'{name}, line {last}: a quote is closed in the middle of a cell; write a quote inside a cell as ""'
    if (
        "unexpected end" in error or "field limit" in error
    ):  # no cell has 131,072 characters, unless a quote swallows rows
        return f"{name}, line {first}: a quote is opened and never closed; close it, or remove it"
    return f"{name}, line {last}: {error}"


def _with_loose_quotes(record: list[str]) -> list[str]:
    """Mark cells such as ` "May"`: after a blank, nobody knows whether the quotes belong to the text."""
    return [
        Unreadable(cell, Problem.AMBIGUOUS, f"{quoted(cell)} has a blank before its quote; remove the blank")
        if cell[:1] in BLANKS and cell.strip(BLANKS)[:1] == '"'
        else cell
        for cell in record
    ]
