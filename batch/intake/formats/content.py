"""Step 1 of 5: what a file is: its content decides, never its name.

Owns the marks by which formats are known, and what is said about those that are not read.
"""

from __future__ import annotations

import os
import re
from enum import StrEnum
from typing import TYPE_CHECKING

from batch.errors import FileRefused
from batch.intake.formats.package import Package
from batch.intake.formats.xlsx_book import main_part_of

if TYPE_CHECKING:
    from pathlib import Path


class Content(StrEnum):
    """What a file can be."""

    TEXT = "delimited text"
    XLSX = "xlsx"
    XLSB = "xlsb"
    ODS = "ods"
    OLE = "xls"


_HEAD = 4096
_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_SAVE_AS = "open it in a spreadsheet program and save it as .xlsx or CSV"
_NOT_READ = (
    (b"\x1f\x8b", "is compressed with gzip; unpack it first"),
    (b"BZh", "is compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ\x00", "is compressed with xz; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd; unpack it first"),
    (b"7z\xbc\xaf", "is a 7-Zip archive; unpack it first"),
    (b"Rar!", "is a RAR archive; unpack it first"),
    (b"PK\x05\x06", "is an empty zip archive"),
    (b"%PDF", "is a PDF; ask for the spreadsheet behind it"),
    (b"PAR1", "is a Parquet file; save it as CSV"),
    (b"SQLite format 3\x00", "is a database; save the table as CSV"),
    (b"{\\rtf", f"is a text document (RTF); {_SAVE_AS}"),
    (b"\x89PNG", "is a picture; ask for the spreadsheet behind it"),
    (b"\xff\xd8\xff", "is a picture; ask for the spreadsheet behind it"),
    (b"\t\x00\x04\x00", f"is a workbook of Excel 2; {_SAVE_AS}"),
    (b"\t\x02\x06\x00", f"is a workbook of Excel 3; {_SAVE_AS}"),
    (b"\t\x04\x06\x00", f"is a workbook of Excel 4; {_SAVE_AS}"),
)
_MARKUP = re.compile(r"<[a-z!?]", re.IGNORECASE)
_WORKBOOK = re.compile(rb"<(?:\w+:)?workbook\b")
_MHTML = re.compile(r"(?:MIME-Version|From|Content-Type):.*multipart/related", re.IGNORECASE | re.DOTALL)


def content_of(path: Path) -> Content:
    """Return what the file is.

    Raises: InputRefused where it cannot be opened, is empty, or is something that is not read.
    """
    if (shown := _readable(str(path.absolute()))) != str(path.absolute()):
        raise FileRefused(f"{shown}: the name of the file or of its folder is not UTF-8; rename it")
    try:
        if path.exists() and not path.is_file():
            raise FileRefused(f"{path}: not a file; name the spreadsheet itself")
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError as error:
        raise FileRefused(f"{path}: cannot be read ({error.strerror}); check the path") from None
    for mark, what in _NOT_READ:
        if head.startswith(mark):
            raise FileRefused(f"{path.name} {what}")
    if head.startswith(_OLE):
        return Content.OLE
    if head.startswith(_ZIP):
        return _package_content(path)
    if markup := _markup(head):
        raise FileRefused(f"{path.name} is {markup}, whatever its name says; {_SAVE_AS}")
    return Content.TEXT


def _readable(name: str) -> str:
    """Return a file's name as it can be shown and kept; bytes that are no UTF-8 stand as their numbers."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _markup(head: bytes) -> str | None:
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    text = head.decode(encoding, errors="replace").lstrip("\ufeff \t\r\n").lower()
    if _MHTML.match(text):
        return "a web archive (MHTML)"
    if not _MARKUP.match(text):
        return None
    if "urn:schemas-microsoft-com:office:spreadsheet" in text or 'progid="excel.sheet"' in text:
        return "an XML Spreadsheet 2003"
    if "urn:oasis:names:tc:opendocument" in text:
        return "a flat OpenDocument file"
    return "XML" if text.startswith("<?xml") and "<html" not in text else "a web page (HTML)"


def _package_content(path: Path) -> Content:
    with Package(path) as package:
        if "mimetype" in package and package.read("mimetype").startswith(
            b"application/vnd.oasis.opendocument.spreadsheet"
        ):
            return Content.ODS
        main_part = main_part_of(package)
        if main_part and main_part.endswith(".bin"):
            return Content.XLSB
        if main_part and _WORKBOOK.search(package.read(main_part, _HEAD)):
            return Content.XLSX
    raise FileRefused(f"{path.name} is a zip archive and no workbook; unpack it, or save the sheet as .xlsx or CSV")
