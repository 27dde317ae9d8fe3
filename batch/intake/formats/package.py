"""Step 1 of 5: the zip package around a workbook, opened so that no file can hurt us.

Owns the limits on packages and on the XML in them: sizes are checked before anything is unpacked, every part is
read as a stream, and XML that declares a document type (the way to entity bombs and to reading other files) is
refused. Knows nothing of sheets.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING
from xml.parsers import expat  # its entities are switched off below

from batch.errors import FileRefused, InputRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

MAX_PARTS = 10_000
MAX_BYTES = 4 << 30
RATIO_FROM_BYTES = 4 << 20
MAX_RATIO = 150
"""Sheets shrink to a tenth or a thirtieth, since every cell bears its number; bombs shrink to a thousandth.
Source: our choice; small parts may shrink as they like."""

_CHUNK = 1 << 16
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
"""What the zip library raises for damaged archives; it promises only the first."""


class Package:
    """An open zip package; a context manager. Part names are found without case, as Excel finds them."""

    def __init__(self, path: Path) -> None:
        """Open the package and check it.

        Raises: InputRefused where it is damaged, locked, ambiguous or out of all proportion.
        """
        self.path = path
        with _damage_named(path):
            self._zip = zipfile.ZipFile(path)
        try:
            self._parts = self._checked()
        except BaseException:
            self._zip.close()
            raise

    def __contains__(self, part: str) -> bool:
        return part.lower().lstrip("/") in self._parts

    def read(self, part: str, most: int = 1 << 20) -> bytes:
        """Return a small part, or no more than its first `most` bytes."""
        with _damage_named(self.path), self._zip.open(self._info(part)) as stream:
            return stream.read(most)

    def chunks(self, part: str) -> Iterator[bytes]:
        """Yield a part in pieces; its checksum is compared at the end."""
        with _damage_named(self.path), self._zip.open(self._info(part)) as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def __enter__(self) -> Package:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _info(self, part: str) -> zipfile.ZipInfo:
        info = self._parts.get(part.lower().lstrip("/"))
        if info is None:
            raise FileRefused(f"{self.path.name}: damaged: its part {part} is missing; open it and save it again")
        return info

    def _checked(self) -> dict[str, zipfile.ZipInfo]:
        infos, name = self._zip.infolist(), self.path.name
        if len(infos) > MAX_PARTS:
            raise FileRefused(f"{name}: {len(infos)} parts in the package; this is no workbook")
        parts = {info.filename.lower().lstrip("/"): info for info in infos}
        if len(parts) < len(infos):
            raise FileRefused(f"{name}: damaged: two parts of the package have one name; open it and save it again")
        if any(info.flag_bits & 1 for info in infos):
            raise FileRefused(f"{name}: protected by a password; save a copy without one")
        for info in infos:
            _refuse_bomb(f"{name}: refused as a zip bomb: its part {info.filename}", info.file_size, info.compress_size)
        packed = sum(info.compress_size for info in infos)
        _refuse_bomb(f"{name}: refused as a zip bomb: it", sum(info.file_size for info in infos), packed)
        return parts


def _refuse_bomb(what: str, size: int, packed: int) -> None:
    if size > MAX_BYTES or (size > RATIO_FROM_BYTES and size > packed * MAX_RATIO):
        raise FileRefused(f"{what} unpacks from {packed} to {size} bytes")


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        what, remedy = f"{path.name}: damaged or cut off", "open it and save it again"
        raise InputRefused(f"{what} ({error}); {remedy}", told=f"{what}; {remedy}") from None


def parse_xml(package: Package, part: str, handler: XmlHandler) -> None:
    """Hand every element of an XML part to `handler`."""
    for _ in parse_xml_in_steps(package, part, handler):
        pass


def parse_xml_in_steps(package: Package, part: str, handler: XmlHandler) -> Iterator[None]:
    """Do the same piece by piece, and yield after each, so that rows can be passed on while the part is read.

    Raises: InputRefused where the part is not well-formed or declares a document type.
    """
    with parsing(package, part, handler) as parse:
        for chunk in package.chunks(part):
            parse(chunk)
            yield
    yield


@contextmanager
def parsing(package: Package, part: str, handler: XmlHandler) -> Iterator[Callable[[bytes], object]]:
    """Give a function that takes the next piece of an XML part; its end is where the block ends.

    Raises: InputRefused where the part is not well-formed or declares a document type.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.buffer_size = _CHUNK
    parser.StartElementHandler = handler.start
    parser.EndElementHandler = handler.end
    parser.CharacterDataHandler = handler.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        yield lambda piece: parser.Parse(piece, False)
        parser.Parse(b"", True)
    except (expat.ExpatError, LookupError, UnicodeError) as error:  # the last two where the XML names an odd encoding
        raise FileRefused(f"{package.path.name}: damaged: {part}: {error}; open it and save it again") from None
    except _DoctypeFound:
        raise FileRefused(
            f"{package.path.name}: refused: {part} declares a document type, which no spreadsheet program writes; "
            "it could hold an entity bomb"
        ) from None


class XmlHandler:
    """Takes the elements of an XML part; names are `namespace local`. A handler overrides what it needs."""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take the start of an element."""

    end: Callable[[str], None] | None = None
    """Takes the end of an element."""

    text: Callable[[str], None] | None = None
    """Takes a piece of text."""


class _DoctypeFound(Exception):
    pass


def _refuse_doctype(*_: object) -> None:
    raise _DoctypeFound
