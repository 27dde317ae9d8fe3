"""Step 1 of 5: an .xlsx workbook becomes sheets.

Joins the package, the parts that all sheets share, and the two passes over a sheet.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from batch.errors import InputRefused
from batch.intake.formats.grid import Grid, Sheet, Workbook, hidden_remarks, refuse_wide
from batch.intake.formats.package import Package
from batch.intake.formats.traps import column_names
from batch.intake.formats.xlsx_book import Book, SheetPart, main_part_of, read_book
from batch.intake.formats.xlsx_look import SheetLook
from batch.intake.formats.xlsx_scan import scan_sheet
from batch.intake.formats.xlsx_sheet import SheetRows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch.model import SourceRow


def open_xlsx(path: Path) -> Workbook:
    """Open a workbook that `content_of` has recognised.

    Raises: InputRefused where the package is damaged or contradicts itself.
    """
    package = Package(path)
    try:
        book = read_book(package, main_part_of(package) or "")
    except InputRefused:
        package.close()
        raise
    return Workbook(
        tuple(
            Sheet(
                name=part.name,
                is_hidden=part.is_hidden,
                top=partial(_rows, package, book, part, {}),
                grid=partial(_grid, package, book, part),
            )
            for part in book.sheets
        ),
        package.close,
    )


def _grid(package: Package, book: Book, part: SheetPart) -> Grid:
    look = SheetLook()
    for _ in scan_sheet(package, part.part, look):
        pass
    refuse_wide(package.path.name, part.name, look.width)
    names = column_names(look.hidden_columns, look.width)
    remarks = hidden_remarks(look.hidden_rows, names, has_filter=look.has_filter)
    rows = partial(_rows, package, book, part, look.covered(package.path.name))
    return Grid(part.name, rows, look.width, remarks)


def _rows(package: Package, book: Book, part: SheetPart, covered: dict[int, dict[int, str]]) -> Iterator[SourceRow]:
    handler = SheetRows(package.path.name, book, covered)
    for _ in scan_sheet(package, part.part, handler):
        yield from handler.rows
        handler.rows.clear()
