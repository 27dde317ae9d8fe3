"""Step 1 of 5: an .xls or .xlsb workbook becomes sheets of typed cells.

Values come from python-calamine, which shows an error as a blank and does not tell what is hidden; a walk over the
records adds that. The walk comes first, because the library would follow any number in a damaged file.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import python_calamine

from batch.errors import FileRefused, InputRefused
from batch.intake.formats import traps
from batch.intake.formats.compound_file import BrokenContainer, CompoundFile
from batch.intake.formats.grid import Grid, HiddenRows, Sheet, Workbook, hidden_remarks, refuse_wide
from batch.intake.formats.number_formats import Shown, as_shown
from batch.intake.formats.package import Package
from batch.intake.formats.record_look import BrokenRecords, RecordLook
from batch.intake.formats.xls_records import look_at_xls_book, look_at_xls_sheet
from batch.intake.formats.xlsb_records import look_at_xlsb_book, look_at_xlsb_sheet
from batch.intake.formats.xlsx_book import main_part_of, relations
from batch.intake.raw_cells import EXACT_BELOW, cell_text, counted, whole
from batch.model import SourceRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from batch.model import Cell

MAX_XLS_BYTES = 1 << 28
_MAX_SPARSE = 1_000_000
_SPARSE = 10
"""Cells that the library lays out in memory, blank ones too, when fewer than one in ten holds a value."""


_AT_ONCE = 500
"""Rows that are taken from the library between two looks at how it fares."""
_DAMAGE = (BrokenContainer, BrokenRecords, IndexError, OSError, OverflowError, python_calamine.CalamineError)


def open_binary(path: Path, *, is_package: bool) -> Workbook:
    """Open a workbook that `content_of` has recognised; `is_package` tells .xlsb from .xls.

    Raises: InputRefused where it is damaged, locked or out of all proportion.
    """
    with _damage_named(path):
        looks = _xlsb_looks(path) if is_package else _xls_looks(path)
        _refuse_sparse(path, looks)
        book = python_calamine.load_workbook(path)
        sheets = []
        for number, meta in enumerate(book.sheets_metadata):
            if meta.typ is not python_calamine.SheetTypeEnum.WorkSheet:
                continue
            rows = partial(_rows, path, book, number, looks[number])
            hidden = meta.visible is not python_calamine.SheetVisibleEnum.Visible
            sheets.append(Sheet(meta.name, hidden, top=rows, grid=partial(_grid, path, meta.name, looks[number], rows)))
    return Workbook(tuple(sheets), book.close)


def _xls_looks(path: Path) -> list[RecordLook]:
    if path.stat().st_size > MAX_XLS_BYTES:
        raise FileRefused(f"{path.name}: more than {MAX_XLS_BYTES} bytes; save it as .xlsx")
    container = CompoundFile(path.read_bytes())
    if "EncryptedPackage" in container:
        raise PermissionError
    name = next((name for name in ("Workbook", "Book") if name in container), None)
    if name is None:
        raise FileRefused(f"{path.name} is an old Office document and no workbook; save the table as .xlsx or CSV")
    stream = container.stream(name)
    look = look_at_xls_book(stream)
    return [look_at_xls_sheet(stream, place, look) for place in look.places]


def _xlsb_looks(path: Path) -> list[RecordLook]:
    with Package(path) as package:
        main_part = main_part_of(package) or ""
        targets = relations(package, main_part)
        styles = next((part for kind, part in targets.values() if kind == "styles" and part in package), None)
        look = look_at_xlsb_book(package.chunks(main_part), package.chunks(styles) if styles else ())
        return [
            look_at_xlsb_sheet(package.chunks(part), look) if kind == "worksheet" else RecordLook(look)
            for relation in look.relations
            for kind, part in [targets.get(relation, ("", ""))]
        ]


def _grid(path: Path, name: str, look: RecordLook, rows: Callable[[], Iterator[SourceRow]]) -> Grid:
    width = look.last_column + 1
    refuse_wide(path.name, name, width)
    columns = traps.column_names([(first + 1, last + 1) for first, last in look.hidden_columns], width)
    hidden = [row + 1 for row in look.hidden_rows if row <= look.last_row]
    remarks = hidden_remarks(HiddenRows(len(hidden), min(hidden, default=0)), columns, has_filter=look.has_filter)
    return Grid(name, rows, width, remarks)


def _rows(path: Path, book: python_calamine.CalamineWorkbook, number: int, look: RecordLook) -> Iterator[SourceRow]:
    if not look.value_count:
        return
    with _damage_named(path):
        sheet = book.get_sheet_by_index(number)
        top, left = sheet.start or (0, 0)
        lines = sheet.iter_rows()
    marked = _marked(look)
    for row, line in enumerate(_safely(path, lines), top):
        cells: list[Cell] = [None] * left
        cells += [_cell(value) for value in line]
        for column, shown in look.shown_in(row):
            if column < len(cells):
                cells[column] = _shown(shown, look.book.is_1904, cells[column])
        for column, mark in marked.get(row, ()):
            if column < len(cells):
                cells[column] = mark(cells[column])
        yield SourceRow(row + 1, tuple(cells))


def _safely(path: Path, lines: Iterator[Sequence[Cell]]) -> Iterator[Sequence[Cell]]:
    """Yield the library's rows; making a date of a number that is none, it can still die."""
    while True:
        with _damage_named(path):
            some = list(islice(lines, _AT_ONCE))
        if not some:
            return
        yield from some


def _refuse_sparse(path: Path, looks: Sequence[RecordLook]) -> None:
    """Refuse a workbook that the library would blow up; it lays out all sheets of an .xls before one is chosen."""
    cells = sum(look.area for look in looks)
    if cells > max(_MAX_SPARSE, _SPARSE * sum(look.value_count for look in looks)):
        look = max(looks, key=lambda look: look.area - look.value_count)
        raise FileRefused(
            f"{path.name}: {counted(look.value_count, 'value')} spread over {counted(look.last_row + 1, 'row')} and "
            f"{counted(look.last_column + 1, 'column')}; remove what stands far away from the table"
        )


def _marked(look: RecordLook) -> dict[int, list[tuple[int, Callable[[Cell], Cell]]]]:
    """Return row -> the columns whose cell is not what the library says, each with what to make of it."""
    marked: dict[int, list[tuple[int, Callable[[Cell], Cell]]]] = {}
    for row, column in look.blank_results:
        marked.setdefault(row, []).append((column, _never_computed))
    for row, column in look.totals:
        marked.setdefault(row, []).append((column, _total))
    for row, column in look.stale - look.totals:
        marked.setdefault(row, []).append((column, _stale))
    for (row, column), error in look.errors.items():
        marked.setdefault(row, []).append((column, partial(_error, error)))
    for top, left, bottom, right in look.merged:
        merged = f"{traps.column_letters(left + 1)}{top + 1}:{traps.column_letters(right + 1)}{bottom + 1}"
        for row in range(top, min(bottom, look.last_row) + 1):
            for column in range(left, min(right, look.last_column) + 1):
                if (row, column) != (top, left):
                    marked.setdefault(row, []).append((column, partial(_merged, merged)))
    return marked


def _error(shown: str, _: Cell) -> Cell:
    return traps.error_cell(shown)


def _shown(shown: Shown, is_1904: bool, cell: Cell) -> Cell:
    if isinstance(cell, bool) or not isinstance(cell, (int, float)):
        return cell
    return as_shown(cell, shown, is_1904=is_1904)


def _total(stored: Cell) -> Cell:
    return traps.total_line(None, cell_text(stored))


def _never_computed(_: Cell) -> Cell:
    return traps.never_computed("…")


def _stale(stored: Cell) -> Cell:
    return traps.stale(None, cell_text(stored))


def _merged(merged: str, _: Cell) -> Cell:
    return traps.merged_away(merged)


def _cell(value: Cell) -> Cell:
    """Return whole numbers as int: a cell of a workbook does not tell 5 from 5.0."""
    if type(value) is float and value.is_integer() and abs(value) < EXACT_BELOW:
        return int(value)
    if type(value) is str and "\0" in value:
        return whole(value)
    return None if value == "" else value


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        with _quiet():
            yield
    except (PermissionError, python_calamine.PasswordError):
        raise FileRefused(f"{path.name}: protected by a password; save a copy without one") from None
    except _DAMAGE as error:
        what, remedy = f"{path.name}: damaged or cut off", "open it and save it again"
        raise InputRefused(f"{what} ({error}); {remedy}", told=f"{what}; {remedy}") from None
    except InputRefused:
        raise
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # how the library, written in Rust, dies of a damaged file
            raise
        raise FileRefused(f"{path.name}: damaged; open it in a spreadsheet program and save it again") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's last words, a stack of Rust functions, from the terminal."""
    with Path(os.devnull).open("w") as nowhere:
        stderr = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
