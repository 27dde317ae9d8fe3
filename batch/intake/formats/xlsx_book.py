"""Step 1 of 5: what an .xlsx package says about its sheets: where they are, their strings, styles and calendar.

Owns the parts around the sheets. Reads transitional and strict OOXML with any prefix. Written by hand because no
library tells an error, a formula that was never computed or a hidden row from an ordinary cell.
Source: ECMA-376 part 1, chapter 18 (SpreadsheetML).
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.errors import FileRefused, InputRefused
from batch.intake.formats.number_formats import Shown, shown_by
from batch.intake.formats.package import Package, XmlHandler, parse_xml
from batch.intake.raw_cells import whole

if TYPE_CHECKING:
    from pathlib import Path

MAIN = (
    "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
    "http://purl.oclc.org/ooxml/spreadsheetml/main",
)
_RELATIONS = (
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    "http://purl.oclc.org/ooxml/officeDocument/relationships",
)
MAX_STRINGS_BYTES = 1 << 30
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")


def local_names(*names: str) -> dict[str, str]:
    """Return the table by which a handler knows SpreadsheetML elements: the name as expat gives it -> the local one."""
    return {f"{namespace} {name}": name for namespace in MAIN for name in names}


def unescaped(text: str) -> str:
    """Return a string as a person sees it: `_x000D_` is how SpreadsheetML writes what XML cannot hold.

    Source: ECMA-376 part 1, 22.9.2.19 (ST_Xstring).
    """
    if "_x" not in text:
        return text
    return whole(_ESCAPED.sub(lambda found: chr(int(found[1], 16)), text))


@dataclass(frozen=True, slots=True)
class SheetPart:
    """One sheet of the workbook: its name, its part of the package, and whether it is shown."""

    name: str
    part: str
    is_hidden: bool


@dataclass(frozen=True, slots=True)
class Book:
    """What all sheets share. `shown` says for each cell style how it shows numbers."""

    sheets: tuple[SheetPart, ...]
    strings: list[str]
    shown: list[Shown]
    is_1904: bool
    computes_on_load: bool
    """Results of formulas are stale: the program that wrote them asks for all of them to be computed anew."""


def read_book(package: Package, main_part: str) -> Book:
    """Read the parts that all sheets share.

    Raises: InputRefused where the package contradicts itself.
    """
    targets = relations(package, main_part)
    workbook = _Workbook()
    parse_xml(package, main_part, workbook)
    sheets = []
    for name, state, relation in workbook.sheets:
        kind, part = targets.get(relation, ("", ""))
        if not kind:
            what, remedy = f"{package.path.name}: damaged: its sheet", "is missing; open it and save it again"
            raise InputRefused(f'{what} "{name}" {remedy}', told=f"{what} {remedy}")
        if kind == "worksheet":
            sheets.append(SheetPart(name, part, state != "visible"))
    by_kind = {kind: part for kind, part in targets.values() if part in package}
    strings, styles = _Strings(package.path), _Styles()
    if "sharedStrings" in by_kind:
        parse_xml(package, by_kind["sharedStrings"], strings)
    if "styles" in by_kind:
        parse_xml(package, by_kind["styles"], styles)
    return Book(tuple(sheets), strings.strings, styles.shown, workbook.is_1904, workbook.computes_on_load)


def main_part_of(package: Package) -> str | None:
    """Return the name of the part that is the workbook, or None where the package is something else."""
    if "_rels/.rels" in package:
        for kind, part in relations(package, "").values():
            if kind == "officeDocument":
                return part
    return next((part for part in ("xl/workbook.xml", "xl/workbook.bin") if part in package), None)


def relations_part(part: str) -> str:
    """Return the part that says to which parts `part` points."""
    folder, name = posixpath.split(part)
    return posixpath.join(folder, "_rels", f"{name}.rels")


def relations(package: Package, part: str) -> dict[str, tuple[str, str]]:
    """Return relation id -> (last word of its type, part), without targets outside the package."""
    handler = _Relations(posixpath.dirname(part))
    if relations_part(part) in package:
        parse_xml(package, relations_part(part), handler)
    return handler.targets


class _Relations(XmlHandler):
    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.targets: dict[str, tuple[str, str]] = {}

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name.endswith(" Relationship") and attributes.get("TargetMode") != "External":
            target = posixpath.normpath(posixpath.join("/", self._folder, attributes.get("Target", ""))).lstrip("/")
            kind = attributes.get("Type", "").rpartition("/")[2]
            self.targets[attributes.get("Id", "")] = (kind, target)


class _Workbook(XmlHandler):
    _NAMES = local_names("sheet", "workbookPr", "calcPr")

    def __init__(self) -> None:
        self.sheets: list[tuple[str, str, str]] = []
        self.is_1904 = False
        self.computes_on_load = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        match self._NAMES.get(name):
            case "sheet":
                relation = next((attributes[key] for space in _RELATIONS if (key := f"{space} id") in attributes), "")
                self.sheets.append((attributes.get("name", ""), attributes.get("state", "visible"), relation))
            case "workbookPr":
                self.is_1904 = is_on(attributes.get("date1904"))
            case "calcPr":
                self.computes_on_load = is_on(attributes.get("fullCalcOnLoad"))


def is_on(value: str | None) -> bool:
    """Read an XML boolean; absent is off."""
    return value in ("1", "true", "on")


class _Strings(XmlHandler):
    """The shared strings: the text of each, without the reading aids of East Asian scripts (rPh)."""

    _NAMES = local_names("si", "t", "rPh")

    def __init__(self, path: Path) -> None:
        self._path = path
        self.strings: list[str] = []
        self._pieces: list[str] = []
        self._in_text = False
        self._in_phonetic = False
        self._bytes = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:  # noqa: ARG002 - the handler's form
        tag = self._NAMES.get(name)
        if tag == "t":
            self._in_text = not self._in_phonetic
        elif tag == "rPh":
            self._in_phonetic = True

    def end(self, name: str) -> None:
        tag = self._NAMES.get(name)
        if tag == "t":
            self._in_text = False
        elif tag == "rPh":
            self._in_phonetic = False
        elif tag == "si":
            string = unescaped("".join(self._pieces))
            self._pieces.clear()
            self.strings.append(string)
            self._bytes += len(string) + 8
            if self._bytes > MAX_STRINGS_BYTES:
                raise FileRefused(f"{self._path.name}: more than {MAX_STRINGS_BYTES} bytes of text; split the file")

    def text(self, piece: str) -> None:
        if self._in_text:
            self._pieces.append(piece)


class _Styles(XmlHandler):
    _NAMES = local_names("numFmt", "cellXfs", "xf")

    def __init__(self) -> None:
        self._codes: dict[int, str] = {}
        self._in_cell_formats = False
        self.shown: list[Shown] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        match self._NAMES.get(name):
            case "numFmt":
                self._codes[number_of(attributes.get("numFmtId"))] = attributes.get("formatCode", "")
            case "cellXfs":
                self._in_cell_formats = True
            case "xf" if self._in_cell_formats:
                format_id = number_of(attributes.get("numFmtId"))
                self.shown.append(shown_by(format_id, self._codes.get(format_id)))

    def end(self, name: str) -> None:
        if self._NAMES.get(name) == "cellXfs":
            self._in_cell_formats = False


def number_of(text: str | None) -> int:
    """Return a whole number of an attribute, 0 where it is absent or none."""
    return int(text) if text and text.isdecimal() and len(text) < 10 else 0
