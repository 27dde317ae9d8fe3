"""Step 1 of 5: a file becomes a table: named columns, and source rows that know where they stand.

Owns which reader a file needs, which sheet is meant, where the header is and where the table ends. Nothing is
interpreted here: cells stay as the file has them, except that the apostrophe which our own CSV writer puts before
dangerous texts is taken off again, also where the CSV was saved as a workbook; our own workbook has none.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, takewhile
from typing import TYPE_CHECKING, TypeVar

from batch.errors import InputRefused
from batch.intake.formats.binary import open_binary
from batch.intake.formats.content import Content, content_of
from batch.intake.formats.grid import refuse_wide, table_refused
from batch.intake.formats.ods import open_ods
from batch.intake.formats.text import open_text
from batch.intake.formats.xlsx import open_xlsx
from batch.intake.headers import (
    HEADER_WITHIN,
    OWN_REPORT,
    customer_columns,
    header_key,
    is_own_report,
    is_rejected_rows,
    known_names,
    named_columns,
)
from batch.intake.raw_cells import BLANKS, Unreadable, cell_text, is_blank_row
from batch.intake.sheet_choice import choose_sheets, is_sheet_of_ours
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

    def __init__(
        self,
        path: Path,
        grid: Grid,
        header: SourceRow,
        header_names: Sequence[str],
        close: Callable[[], None],
        *,
        has_guards: bool = True,
    ) -> None:
        """`has_guards`: whether its texts have our CSV writer's apostrophes, if its columns are those of a report."""
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
        self._is_guarded = (self.is_own_report or is_rejected_rows(columns)) and has_guards
        self.columns = tuple(map(_unguarded, columns) if self._is_guarded else columns)
        self._header_texts = frozenset(column for column in columns if column and not column.isdigit())
        self._named = named_columns(columns, header_names)
        self._customer = next(iter(customer_columns(columns, header_names)), 0)
        self._may_be_cut = self.is_own_report and grid.width is not None
        self._grid = grid
        self._close = close

    def rows(self) -> Iterator[SourceRow]:
        """Yield every row from below the header to the last one that is not blank; starts over at each call.

        A blank row in between has no cells. In a sheet every other row has as many cells as there are columns.
        Raises: InputRefused where the file cannot be read to its end.
        """
        expected, width, is_guarded = self.header_row + 1, self._grid.width, self._is_guarded
        customer, header_texts = self._customer, self._header_texts
        for row in self._grid.rows():
            number, cells = row.row, row.cells
            if number < expected or is_blank_row(cells):
                continue
            while expected < number:
                yield SourceRow(expected, ())
                expected += 1
            expected = number + 1
            if self._may_be_cut and number - self.header_row >= OWN_SHEET_ROWS:
                what = (
                    f"a sheet of a report shows at most {OWN_SHEET_ROWS} requests; give the CSV files beside it instead"
                )
                raise table_refused(self.path.name, self.sheet, what)
            if len(cells) > customer and cells[customer] in header_texts:
                self._refuse_another_header(row)
            if is_guarded:
                cells = tuple(map(_unguarded, cells))
            if width is not None and len(cells) < width:
                cells += (None,) * (width - len(cells))
            yield row if cells is row.cells else SourceRow(number, cells, row.line)

    def _refuse_another_header(self, row: SourceRow) -> None:
        """Refuse the header of another table, whose columns stand in another order; a mere repeat is a row problem."""
        keys = [header_key(text) for text in _texts(row)]
        ours = [header_key(text) for text in self.columns]
        if ours[self._customer] not in keys:
            return
        if any(keys[index : index + 1] != ours[index : index + 1] for index in self._named):
            what = "the header of another table, whose columns stand in another order; keep one table in a file"
            raise table_refused(self.path.name, self.sheet, f"row {row.row} is {what}")

    def close(self) -> None:
        """Let go of the file."""
        self._close()

    def __enter__(self) -> Table:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_tables(path: Path, rules: ReadRules) -> Iterator[Table]:
    """Yield the tables of a file, each open: one, except for a workbook of ours, whose failure sheets are read.

    Raises: InputRefused where there is no such file, or it cannot be read exactly; the text says why and what to do.
    """
    content = content_of(path)
    if content is Content.TEXT:
        grid = open_text(path, rules.encoding, rules.delimiter, rules.header_names)
        yield Table(path, grid, _find_header(path, grid, rules), rules.header_names, lambda: None)
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
            header, has_guards = _find_header(path, grid, rules), not is_sheet_of_ours(name, book.sheets)
            table = Table(path, grid, header, rules.header_names, book.close, has_guards=has_guards)
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


_CUSTOMER = re.compile(
    r"""=?["']?\+?(?:\d+(?:[.,]0*)?|\d{1,3}(?:[.,'\u2019\s]\d{3})+|\d[.,]?\d*[eE]\+?\d+)["']?""",
)
"""What people write for a customer id, right or wrong; not a date, and not a version such as 1.2."""


def _find_header(path: Path, grid: Grid, rules: ReadRules) -> SourceRow:
    """Return the header row: that of a report of ours, the one that the config names, or the one that looks like it."""
    top = list(islice(grid.rows(), HEADER_WITHIN))
    likeness = {row.row: known_names(_texts(row), rules.header_names) for row in top}
    best = max(top, key=lambda row: likeness[row.row], default=None)
    if best is not None and likeness[best.row] == OWN_REPORT:
        return best
    refused = partial(table_refused, path.name, grid.sheet)
    if rules.header_row is not None:
        header = next((row for row in grid.rows() if row.row >= rules.header_row), None)
        if header is None or header.row > rules.header_row or not any(_texts(header)):
            raise refused(f"row {rules.header_row} (input.header_row) is blank or not there")
        return header
    if best is None or not likeness[best.row]:
        raise refused(
            f"no header found: none of the first {HEADER_WITHIN} rows has a cell customer_id, mobile, email "
            "or external_id; add a header row, name its customer column in input.columns, or say in input.header_row "
            "where it is"
        )
    _refuse_rows_above(refused, [row for row in top if row.row < best.row], best, likeness, rules)
    return best


def _refuse_rows_above(
    refused: Callable[[str], InputRefused],
    above: Sequence[SourceRow],
    header: SourceRow,
    likeness: Mapping[int, int],
    rules: ReadRules,
) -> None:
    """Refuse a file whose rows above the header may be more than titles: they would vanish uncounted.

    Raises: InputRefused for another header, or for what may be a customer's id in the column of the customers.
    """
    remedy = "keep one table in a file, or say in input.header_row where the header is"
    columns = customer_columns(_texts(header), rules.header_names)
    for row in above:
        if likeness[row.row]:
            raise refused(f"rows {row.row} and {header.row} both look like a header; {remedy}")
        texts = _texts(row)
        if any(_CUSTOMER.fullmatch(texts[index]) for index in columns if index < len(texts)):
            raise refused(
                f"row {row.row}, above the header in row {header.row}, has a number in the column of the "
                f"customers; {remedy}"
            )


def _texts(row: SourceRow) -> list[str]:
    return [cell_text(cell).strip(BLANKS) for cell in row.cells]


def _unguarded(cell: _C) -> _C | str:
    """Take off the one apostrophe that our CSV writer puts before texts which a spreadsheet program would execute."""
    if not isinstance(cell, str) or isinstance(cell, Unreadable):  # such a one stays a problem
        return cell
    return cell.removeprefix("'")
