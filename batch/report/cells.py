"""Step 5 of 5: how a value becomes a cell of a workbook that no spreadsheet program executes or rounds.

Owns the opening and closing of our workbooks (whole or not at all, rows on disk instead of in memory) and their
look. Does not know what stands in which sheet.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xlsxwriter
from xlsxwriter.exceptions import FileCreateError

from batch.errors import EnrollBatchError
from batch.model import Group
from batch.report.files import GUARDED, number_text, replacing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

    from batch.report.tables import Value

LONGEST = 32_767
"""A cell holds so many UTF-16 units. Source: support.microsoft.com "Excel specifications and limits"."""
CUT = " … (cut here, because a cell holds no more; the CSV file has it all)"
_EXACT = 10**15
"""Spreadsheet programs keep 15 digits; a longer number is written as text, so that none is lost."""

FILLS = {
    Group.DONE: "#E3F4E8",
    Group.FIX_DATA: "#FFF0D9",
    Group.FIX_SETUP: "#FBE3E4",
    Group.RETRY: "#E4EEFB",
    Group.LOOK: "#EEE6F8",
}
STRONG = {
    Group.DONE: "#2F8F57",
    Group.FIX_DATA: "#D98A1C",
    Group.FIX_SETUP: "#C8444C",
    Group.RETRY: "#3F78C9",
    Group.LOOK: "#8458B3",
}
"""The same colours where no text stands on them."""

_TIME = 'yyyy-mm-dd"T"hh:mm:ss.000"Z"'
_FONT = {"font_name": "Calibri", "font_size": 11, "valign": "top"}
_LOOKS: dict[str, dict[str, object]] = {
    "text": {},
    "guarded": {"quote_prefix": True},  # stays text when a person edits the cell
    "indented": {"indent": 1},
    "wrapped": {"text_wrap": True, "indent": 1},
    "number": {"num_format": "0"},
    "count": {"num_format": "#,##0"},
    "share": {"num_format": "0.0%"},
    "decimal": {"num_format": "#,##0.00"},
    "time": {"num_format": _TIME},
    "left_time": {"num_format": _TIME, "align": "left"},
    "bold": {"bold": True},
    "bold_count": {"bold": True, "num_format": "#,##0", "top": 1},
    "title": {"bold": True, "font_size": 18},
    "section": {"bold": True, "font_size": 13, "font_color": "#1F3864", "bottom": 2, "bottom_color": "#1F3864"},
    "header": {"bold": True, "bg_color": "#1F3864", "font_color": "#FFFFFF", "text_wrap": True},
    "indented_header": {
        "bold": True,
        "bg_color": "#1F3864",
        "font_color": "#FFFFFF",
        "text_wrap": True,
        "indent": 1,
    },
    "left_count": {"num_format": "#,##0", "align": "left"},
    "yes": {"bold": True, "bg_color": "#E3F4E8", "align": "center"},
    "no": {"bold": True, "bg_color": "#C00000", "font_color": "#FFFFFF", "align": "center"},
    "right_header": {"bold": True, "bg_color": "#1F3864", "font_color": "#FFFFFF", "align": "right"},
    "good": {"bold": True, "bg_color": "#E3F4E8", "text_wrap": True},
    "warning": {"bold": True, "bg_color": "#FFF0D9", "text_wrap": True},
    "bad": {"bold": True, "bg_color": "#C00000", "font_color": "#FFFFFF", "text_wrap": True},
    "problem": {"bg_color": "#FFD2D2", "border": 1, "border_color": "#C00000"},
    "command": {"font_name": "Consolas"},
    **{group.value: {"bg_color": fill} for group, fill in FILLS.items()},
}


class Book:
    """An open workbook with its formats. Each sheet takes its rows from top to bottom."""

    def __init__(self, workbook: xlsxwriter.Workbook) -> None:
        self.workbook = workbook
        self.formats: dict[str, Format] = {name: workbook.add_format(_FONT | look) for name, look in _LOOKS.items()}

    def add_sheet(self, name: str) -> Worksheet:
        """Add a sheet at the end."""
        return self.workbook.add_worksheet(name)

    def write(self, sheet: Worksheet, row: int, column: int, value: Value, look: str = "") -> None:
        """Write one value, typed; `row` and `column` count from 0, None leaves the cell empty."""
        if isinstance(value, str):
            default = "guarded" if value[:1] in GUARDED else "text"
            sheet.write_string(row, column, fitting(encodable(value)), self.formats[look or default])
        elif value is None:
            if look:
                sheet.write_blank(row, column, None, self.formats[look])
        elif isinstance(value, bool):
            sheet.write_boolean(row, column, value, self.formats[look or "text"])
        elif math.isfinite(value) and abs(value) < _EXACT:
            whole = "number" if isinstance(value, int) or value.is_integer() else "text"
            sheet.write_number(row, column, value, self.formats[look or whole])
        else:
            sheet.write_string(row, column, number_text(value), self.formats[look or "text"])

    def write_time(self, sheet: Worksheet, row: int, column: int, at: str, look: str = "time") -> None:
        """Write an ISO 8601 time in UTC as a date that reads the same."""
        moment = dt.datetime.fromisoformat(at).replace(tzinfo=None)  # a spreadsheet knows no time zones
        sheet.write_datetime(row, column, moment, self.formats[look])


def encodable(text: str) -> str:
    """Return a text that UTF-8 can hold: a lone surrogate, which JSON can hold, must not cost the whole report."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def fitting(text: str) -> str:
    """Return a text as a cell can hold it: a longer one ends with words that say so, because a reader must know."""
    if len(text) <= LONGEST // 2 or len(units := text.encode("utf-16-le")) // 2 <= LONGEST:
        return text
    return units[: 2 * (LONGEST - len(CUT))].decode("utf-16-le", "ignore") + CUT


@contextlib.contextmanager
def book(path: Path, created_at: int) -> Iterator[Book]:
    """Open a workbook that appears under `path` when the block ends well; the same content gives the same bytes.

    Raises:
        EnrollBatchError: the folder, or the one for temporary files, cannot be written or is full.
    """
    options: dict[str, Any] = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with replacing(path) as partial, tempfile.TemporaryDirectory(prefix="enroll-batch-") as rows:
        workbook = xlsxwriter.Workbook(str(partial), options | {"tmpdir": rows})
        workbook.use_zip64()
        # Not the time of writing: the same ledger gives the same workbook.
        created = dt.datetime.fromtimestamp(created_at // 10**9, dt.UTC).replace(tzinfo=None)
        workbook.set_properties({"title": "Reconciliation", "author": "enroll-batch", "created": created})
        try:
            yield Book(workbook)
            workbook.close()
        except FileCreateError as error:
            raise EnrollBatchError(
                f"{path}: cannot be written ({error}); make room and write the report again"
            ) from error
        finally:
            for sheet in workbook.worksheets():
                sheet.row_data_fh.close()  # it stays open when something fails on the way
