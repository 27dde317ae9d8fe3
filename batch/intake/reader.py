"""Step 1 of 5: a file becomes a table: named columns, and source rows that know where they stand.

Owns which reader a file needs, which sheet is meant, where the header is and where the table ends. Nothing is
interpreted here: cells stay as the file has them, except that the apostrophe which our own CSV writer puts before
dangerous texts is taken off again.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from typing import TYPE_CHECKING, TypeVar

from batch.errors import InputRefused
from batch.intake.formats.binary import open_binary
from batch.intake.formats.content import Content, content_of
from batch.intake.formats.grid import refuse_wide
from batch.intake.formats.ods import open_ods
from batch.intake.formats.text import open_text
from batch.intake.formats.xlsx import open_xlsx
from batch.intake.headers import HEADER_WITHIN, OWN_REPORT, is_own_report, known_names, named_columns
from batch.intake.raw_cells import BLANKS, Unreadable, cell_text, is_blank_row, quoted
from batch.intake.sheet_choice import choose_sheets
from batch.model import SourceRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from batch.intake.formats.grid import Grid, Workbook
    from batch.model import Cell

OWN_SHEET_ROWS = 100_000
"""A sheet of our workbook shows no more rows than this; the CSV beside it has all of them."""

_C = TypeVar("_C", bound="Cell")


@dataclass(frozen=True, slots=True)
class ReadRules:
    """How to read a file; None means: find out. `header_row` counts from 1, as the spreadsheet program shows it.

    `header_names` are the headers that the config maps to names of ours, by which a header row is known too.
    For one of our own reports none of this applies.
    """

    sheet: str | None = None
    header_row: int | None = None
    encoding: str | None = None
    delimiter: str | None = None
    header_names: tuple[str, ...] = ()


class Table:
    """The table of one file or sheet, open for reading; a context manager."""

    def __init__(self, path: Path, grid: Grid, header: SourceRow, close: Callable[[], None]) -> None:
        columns = _texts(header)
        refuse_wide(path.name, grid.sheet, len(columns))
        for cell in header.cells:
            if isinstance(cell, Unreadable) and cell.strip(BLANKS):
                raise InputRefused(f"{path.name}, header in row {header.row}: {cell.hint}")
        if grid.width is not None:
            columns = (columns + [""] * grid.width)[: grid.width]
        self.path = path
        self.sheet = grid.sheet
        self.header_row = header.row
        above = any(not is_blank_row(row.cells) for row in takewhile(lambda row: row.row < header.row, grid.rows()))
        not_read = (f"what stands above the header in row {header.row} is not read",) if above else ()
        self.remarks = (*grid.remarks, *not_read)
        self.is_own_report = is_own_report(columns)
        self._is_guarded = self.is_own_report and grid.width is None
        self.columns = tuple(map(_unguarded, columns) if self._is_guarded else columns)
        self._may_be_cut = self.is_own_report and grid.width is not None
        self._grid = grid
        self._close = close

    def rows(self) -> Iterator[SourceRow]:
        """Yield every row from below the header to the last one that is not blank; starts over at each call.

        A blank row in between has no cells. In a sheet every other row has as many cells as there are columns.
        Raises: InputRefused where the file cannot be read to its end.
        """
        expected, width, is_guarded = self.header_row + 1, self._grid.width, self._is_guarded
        for row in self._grid.rows():
            number, cells = row.row, row.cells
            if number < expected or is_blank_row(cells):
                continue
            while expected < number:
                yield SourceRow(expected, ())
                expected += 1
            expected = number + 1
            if self._may_be_cut and number - self.header_row >= OWN_SHEET_ROWS:
                raise InputRefused(
                    f'{self.path.name}, sheet "{self.sheet}": a sheet of a report shows at most {OWN_SHEET_ROWS} '
                    "requests; give the CSV files beside it instead"
                )
            if width is not None and len(cells) < width:
                yield SourceRow(number, cells + (None,) * (width - len(cells)))
            elif is_guarded:
                yield SourceRow(number, tuple(map(_unguarded, cells)), row.line)
            else:
                yield row

    def close(self) -> None:
        """Let go of the file."""
        self._close()

    def __enter__(self) -> Table:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_table(path: Path, rules: ReadRules) -> Table:
    """Open the one table of a file.

    Raises: InputRefused where there is no such file, or it cannot be read exactly; the text says why and what to do.
    """
    tables = open_tables(path, rules)
    table = next(tables)
    second = next(tables, None)
    if second is None:
        return table
    table.close()
    second.close()
    names = f"{quoted(str(table.sheet))} and {quoted(str(second.sheet))}"
    raise InputRefused(f"{path.name}: several sheets hold requests: {names}; keep one of them")


def open_tables(path: Path, rules: ReadRules) -> Iterator[Table]:
    """Yield the tables of a file, each open: one, except for a workbook of ours, whose failure sheets are read.

    Raises: InputRefused as `open_table` does.
    """
    content = content_of(path)
    if content is Content.TEXT:
        grid = open_text(path, rules.encoding, rules.delimiter, rules.header_names)
        yield Table(path, grid, _find_header(path, grid, rules), lambda: None)
        return
    book = _open_workbook(path, content)
    with _closed_when_refused(book):
        chosen = choose_sheets(path.name, book.sheets, rules.sheet)
    for number, (name, remarks) in enumerate(chosen):
        if number:  # a table closes its workbook, so each needs its own
            book = _open_workbook(path, content)
        with _closed_when_refused(book):
            grid = next(sheet for sheet in book.sheets if sheet.name == name).grid()
            grid = replace(grid, remarks=grid.remarks + remarks)
            table = Table(path, grid, _find_header(path, grid, rules), book.close)
        yield table


def _open_workbook(path: Path, content: Content) -> Workbook:
    match content:
        case Content.XLSX:
            return open_xlsx(path)
        case Content.ODS:
            return open_ods(path)
        case _:
            return open_binary(path, is_package=content is Content.XLSB)


@contextmanager
def _closed_when_refused(book: Workbook) -> Iterator[None]:
    try:
        yield
    except InputRefused:
        book.close()
        raise


_NUMBER = re.compile(r"'?\d[\d.,\s']*(?:[eE][+]?\d+)?")


def _find_header(path: Path, grid: Grid, rules: ReadRules) -> SourceRow:
    """Return the header row: that of a report of ours, the one that the config names, or the one that looks like it."""
    top = list(islice(grid.rows(), HEADER_WITHIN))
    likeness = {row.row: known_names(_texts(row), rules.header_names) for row in top}
    best = max(top, key=lambda row: likeness[row.row], default=None)
    if best is not None and likeness[best.row] == OWN_REPORT:
        return best
    where = f"{path.name}, sheet {quoted(grid.sheet)}" if grid.sheet else path.name
    if rules.header_row is not None:
        header = next((row for row in grid.rows() if row.row >= rules.header_row), None)
        if header is None or header.row > rules.header_row or not any(_texts(header)):
            raise InputRefused(f"{where}: row {rules.header_row} (input.header_row) is blank or not there")
        return header
    if best is None or not likeness[best.row]:
        raise InputRefused(
            f"{where}: no header found: none of the first {HEADER_WITHIN} rows has a cell customer_id; add a header "
            "row, name its customer column in input.columns, or say in input.header_row where it is"
        )
    _refuse_rows_above(where, [row for row in top if row.row < best.row], best, likeness, rules)
    return best


def _refuse_rows_above(
    where: str, above: Sequence[SourceRow], header: SourceRow, likeness: Mapping[int, int], rules: ReadRules
) -> None:
    """Refuse a file whose rows above the header may be more than titles: they would vanish uncounted.

    Raises: InputRefused for another header, or for a number in a column that the header gives a meaning.
    """
    remedy = "keep one table in a file, or say in input.header_row where the header is"
    columns = named_columns(_texts(header), rules.header_names)
    for row in above:
        if likeness[row.row]:
            raise InputRefused(f"{where}: rows {row.row} and {header.row} both look like a header; {remedy}")
        texts = _texts(row)
        if any(_NUMBER.fullmatch(texts[index]) for index in columns if index < len(texts)):
            raise InputRefused(f"{where}: row {row.row}, above the header in row {header.row}, holds data; {remedy}")


def _texts(row: SourceRow) -> list[str]:
    return [cell_text(cell).strip(BLANKS) for cell in row.cells]


def _unguarded(cell: _C) -> _C | str:
    """Take off the one apostrophe that our CSV writer puts before texts which a spreadsheet program would execute."""
    return cell[1:] if isinstance(cell, str) and cell[:1] == "'" else cell
