"""Makes .xlsx and .ods packages part by part, so that each can be wrong in exactly one way."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
STRICT = "http://purl.oclc.org/ooxml/spreadsheetml/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
STRICT_RELATIONS = "http://purl.oclc.org/ooxml/officeDocument/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/"
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'

Cell = str | int | float | None


def zipped(parts: Mapping[str, bytes | str], stored: Sequence[str] = ()) -> bytes:
    """Return a zip archive of these parts, the same bytes at each call."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as package:
        for name, content in parts.items():
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED
            package.writestr(info, content)
    return target.getvalue()


def letters(column: int) -> str:
    """Return the letters of a column, A for 0."""
    return (chr(64 + column // 26) if column >= 26 else "") + chr(65 + column % 26)


def escaped(text: str) -> str:
    """Return text as XML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


def cell(reference: str, value: Cell | str, extra: str = "") -> str:
    """Return a cell: text as an inline string, numbers as numbers; a str that begins with < is what is in the cell."""
    if value is None:
        return f'<c r="{reference}"{extra}/>'
    if isinstance(value, str) and value.startswith("<"):
        return f'<c r="{reference}"{extra}>{value}</c>'
    if isinstance(value, str):
        text = f'<is><t xml:space="preserve">{escaped(value)}</t></is>'
        return f'<c r="{reference}"{extra} t="inlineStr">{text}</c>'
    return f'<c r="{reference}"{extra}><v>{value}</v></c>'


def row(number: int, *values: Cell, extra: str = "") -> str:
    """Return a row of cells from column A."""
    cells = "".join(cell(f"{letters(column)}{number}", value) for column, value in enumerate(values))
    return f'<row r="{number}"{extra}>{cells}</row>'


def rows(*lines: Sequence[Cell]) -> str:
    """Return rows from row 1."""
    return "".join(row(number, *values) for number, values in enumerate(lines, 1))


def sheet(data: str, *, before: str = "", after: str = "", namespace: str = MAIN) -> str:
    """Return a worksheet part around rows."""
    return f'{_XML}<worksheet xmlns="{namespace}">{before}<sheetData>{data}</sheetData>{after}</worksheet>'


def xlsx_parts(
    *sheets: tuple[str, str] | tuple[str, str, str],
    strings: Sequence[str] = (),
    formats: Sequence[str] = (),
    workbook: str = "",
    namespace: str = MAIN,
    relations: str = RELATIONS,
) -> dict[str, bytes | str]:
    """Return the parts of a workbook. Sheets are (name, part, state); `strings` the inside of each shared string.

    `formats` are number format codes: cell style n shows as the n-th, counted from 1.
    """
    states = [each[2] if len(each) > 2 else "visible" for each in sheets]
    listed = "".join(
        f'<sheet name="{each[0]}" sheetId="{n}" state="{state}" r:id="rId{n}"/>'
        for n, (each, state) in enumerate(zip(sheets, states, strict=True), 1)
    )
    targets = "".join(
        f'<Relationship Id="rId{n}" Type="{relations}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n in range(1, len(sheets) + 1)
    )
    codes = "".join(f'<numFmt numFmtId="{163 + n}" formatCode="{escaped(code)}"/>' for n, code in enumerate(formats, 1))
    styles = "".join(f'<xf numFmtId="{163 + n}"/>' for n in range(1, len(formats) + 1))
    parts: dict[str, bytes | str] = {
        "[Content_Types].xml": f'{_XML}<Types xmlns="{_PACKAGE}content-types"/>',
        "_rels/.rels": f'{_XML}<Relationships xmlns="{_PACKAGE}relationships">'
        f'<Relationship Id="rId1" Type="{relations}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'{_XML}<workbook xmlns="{namespace}" xmlns:r="{relations}">'
        f"{workbook}<sheets>{listed}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'{_XML}<Relationships xmlns="{_PACKAGE}relationships">{targets}'
        f'<Relationship Id="rId98" Type="{relations}/styles" Target="styles.xml"/>'
        f'<Relationship Id="rId99" Type="{relations}/sharedStrings" Target="/xl/sharedStrings.xml"/></Relationships>',
        "xl/styles.xml": f'{_XML}<styleSheet xmlns="{namespace}"><numFmts>{codes}</numFmts>'
        f'<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs><xf numFmtId="0"/>{styles}</cellXfs></styleSheet>',
        "xl/sharedStrings.xml": f'{_XML}<sst xmlns="{namespace}">'
        + "".join(f"<si>{string}</si>" for string in strings)
        + "</sst>",
    }
    for number, each in enumerate(sheets, 1):
        parts[f"xl/worksheets/sheet{number}.xml"] = each[1]
    return parts


def xlsx(*sheets: tuple[str, str] | tuple[str, str, str], **more: object) -> bytes:
    """Return a workbook; see `xlsx_parts`."""
    return zipped(xlsx_parts(*sheets, **more))  # type: ignore[arg-type]


_ODF = "urn:oasis:names:tc:opendocument:xmlns:"


def ods(
    tables: str, *, styles: str = "", after: str = "", prolog: str = "", extra: Mapping[str, str] | None = None
) -> bytes:
    """Return an OpenDocument workbook around these tables."""
    spaces = " ".join(f'xmlns:{name}="{_ODF}{name}:1.0"' for name in ("office", "table", "text", "style"))
    calcext = 'xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"'
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?>{prolog}<office:document-content {spaces} {calcext} '
        f'xmlns:draw="{_ODF}drawing:1.0"><office:automatic-styles>{styles}</office:automatic-styles><office:body>'
        f"<office:spreadsheet>{tables}{after}</office:spreadsheet></office:body></office:document-content>"
    )
    parts = {
        "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
        "content.xml": content,
        "META-INF/manifest.xml": "<manifest/>",
    }
    return zipped(parts | dict(extra or {}), stored=("mimetype",))
