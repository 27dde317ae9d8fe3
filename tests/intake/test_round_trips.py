from __future__ import annotations

import csv
import datetime as dt
import io
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest
import python_calamine
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.errors import InputRefused
from batch.intake import reader, sheet_choice
from batch.intake.cells import MAX_ID
from batch.intake.raw_cells import BLANKS
from batch.intake.reader import ReadRules, open_tables
from batch.intake.spellings import is_error_text
from batch.model import Action, EnrollmentRequest, Kind, Outcome, Problem, Scope, request_id
from batch.report import workbook
from batch.report.files import csv_file
from batch.report.tables import OUTCOME_COLUMNS, REJECTED_COLUMNS
from tests.data.binary_packages import b_cell, b_row, label, number, xls, xlsb
from tests.data.packages import cell as xlsx_cell
from tests.data.packages import escaped, ods, row, sheet, xlsx
from tests.intake.readings import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from batch.model import Cell

HEADER = ("customer_id", "period_name", "initial_balance", "note")
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufffd"), max_size=40)
NAMES = TEXTS.map(lambda text: text.strip(BLANKS)).filter(lambda text: text and not is_error_text(text))
NARROW = st.text("abÄ€中=-'1 .", min_size=1, max_size=30).map(lambda text: f"x{text}".strip(BLANKS))
IDS = st.integers(1, MAX_ID)
BALANCES = st.none() | st.integers(0, MAX_ID)
Asked = tuple[int, str, int | None, str]
ROWS = st.lists(st.tuples(IDS, NAMES, BALANCES, TEXTS), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("round_trips")


def sent(path: Path, **rules: Any) -> list[tuple[int, str | None, int | None]]:
    reading = read(path, **rules)
    assert reading.reported == []
    return [(request.customer, request.period, request.initial_balance) for request in reading.requests]


def without_notes(rows: Iterable[Asked]) -> list[tuple[int, str, int | None]]:
    return [(customer, period, balance) for customer, period, balance, _ in rows]


@settings(deadline=None)
@given(
    rows=ROWS,
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    end=st.sampled_from(["\r\n", "\n", "\r"]),
)
def test_every_id_and_every_name_survives_a_csv(
    rows: list[Asked], delimiter: str, encoding: str, end: str, folder: Path
) -> None:
    """Broken by reading the file as Latin-1 and by stripping more than blanks."""
    path = folder / "round.csv"
    with path.open("w", encoding=encoding, newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
        writer.writerows([HEADER, *rows])
    assert sent(path) == without_notes(rows)
    assert [each.cells[3] for each in read(path).rows] == [note for *_, note in rows]


def xlsx_with_shared_strings(path: Path, rows: list[Asked]) -> None:
    write_xlsx(path, rows, constant_memory=False)


def xlsx_with_inline_strings(path: Path, rows: list[Asked]) -> None:
    write_xlsx(path, rows, constant_memory=True)


def write_xlsx(path: Path, rows: list[Asked], *, constant_memory: bool) -> None:
    with xlsxwriter.Workbook(path, {"constant_memory": constant_memory}) as book:
        page = book.add_worksheet()
        for line, values in enumerate([HEADER, *rows]):
            for column, value in enumerate(values):
                if isinstance(value, int) and value < 10**15:
                    page.write_number(line, column, value)
                elif value is not None:
                    page.write_string(line, column, str(value))


def handmade_xls(path: Path, rows: list[Asked]) -> None:
    records = b""
    for line, values in enumerate([HEADER, *rows]):
        for column, value in enumerate(values):
            if isinstance(value, int) and value < 10**15:
                records += number(line, column, float(value))
            elif value is not None:
                records += label(line, column, str(value))
    path.write_bytes(xls(("Sheet1", records)))


@settings(deadline=None)
@given(rows=ROWS, write=st.sampled_from([xlsx_with_shared_strings, xlsx_with_inline_strings]))
def test_every_id_and_every_name_survives_an_xlsx(
    rows: list[Asked], write: Callable[[Path, list[Asked]], None], folder: Path
) -> None:
    """Broken by not decoding `_x000D_` and by reading plain rows as Latin-1."""
    path = folder / f"round{len(rows)}.xlsx"
    write(path, rows)
    assert sent(path) == without_notes(rows)


@settings(deadline=None)
@given(rows=st.lists(st.tuples(IDS, NARROW, BALANCES, st.just("x")), min_size=1, max_size=8))
def test_every_id_and_every_name_survives_an_xls(rows: list[Asked], folder: Path) -> None:
    path = folder / "round.xls"
    handmade_xls(path, rows)
    assert sent(path) == without_notes(rows)


CELLS = (
    st.none()
    | st.integers(-(10**15) + 1, 10**15 - 1)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.booleans()
    | st.dates(dt.date(1901, 1, 1))
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=12).filter(
        lambda text: not text.isspace() and "_x" not in text
    )
)


@settings(deadline=None, max_examples=50)
@given(rows=st.lists(st.lists(CELLS, max_size=6), min_size=1, max_size=8))
def test_cells_of_other_programs_are_read_as_other_programs_read_them(rows: list[list[Cell]], folder: Path) -> None:
    """Read what openpyxl writes, and compare with openpyxl and calamine."""
    path = folder / "typed.xlsx"
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    page.append(["customer_id"])
    for line, values in enumerate(rows, 2):
        for column, value in enumerate(values, 1):
            cell = page.cell(line, column, value)
            if isinstance(value, str):
                cell.data_type = "s"  # or "=x" becomes a formula
    book.save(path)
    with next(open_tables(path, ReadRules())) as table:
        ours = {(each.row, column): cell for each in table.rows() for column, cell in enumerate(each.cells)}
    theirs = {
        (each[0].row, column): cell.value
        for each in openpyxl.load_workbook(path).active.iter_rows(min_row=2)  # type: ignore[union-attr]
        for column, cell in enumerate(each)
    }
    lines = python_calamine.load_workbook(str(path)).get_sheet_by_index(0).to_python(skip_empty_area=False)
    third = {(line, column): value for line, values in enumerate(lines, 1) for column, value in enumerate(values)}
    for place in ours | {place: None for place, value in theirs.items() if value is not None}:
        mine, openpyxls = ours.get(place), theirs.get(place)
        if isinstance(openpyxls, dt.datetime):
            openpyxls = openpyxls.date()
        assert mine == openpyxls, place
        assert isinstance(mine, bool) == isinstance(openpyxls, bool)
        assert mine == (third.get(place) if third.get(place) != "" else None), place


PLAIN_CELLS = (
    st.none()
    | st.integers(-(10**17), 10**17)
    | st.floats(-1e6, 1e6)
    | st.sampled_from(["a", "=x", "a & b < c", "ÄÖ", "_x0041_", "", "<f>A1+1</f><v>7</v>", "<v>1.5E3</v>", "<v/>"])
)


@settings(deadline=None)
@given(
    rows=st.lists(st.lists(PLAIN_CELLS, max_size=6), min_size=1, max_size=8),
    gap=st.integers(1, 3),
    extra=st.sampled_from(["", ' spans="1:6"', ' hidden="1"']),
)
def test_the_short_cut_for_plain_rows_reads_what_the_xml_parser_reads(
    rows: list[list[Cell]], gap: int, extra: str, folder: Path
) -> None:
    """A comment before the rows switches the short cut off. Broken by any difference between the two ways."""
    data = row(1, "customer_id") + "".join(
        row(2 + line * gap, *values, extra=extra)  # type: ignore[arg-type]
        for line, values in enumerate(rows)
    )
    tables = []
    for name, before in (("plain", ""), ("parsed", "<!-- -->")):
        path = folder / f"{name}.xlsx"
        path.write_bytes(xlsx(("S", sheet(data, before=before))))
        with next(open_tables(path, ReadRules())) as table:
            tables.append((table.columns, table.remarks, list(table.rows())))
    assert tables[0] == tables[1]
    assert [type(cell) for each in tables[0][2] for cell in each.cells] == [
        type(cell) for each in tables[1][2] for cell in each.cells
    ]


@settings(deadline=None)
@given(rows=st.lists(st.tuples(IDS, NARROW, BALANCES), min_size=1, max_size=8))
def test_every_id_and_every_name_survives_an_ods(rows: list[tuple[int, str, int | None]], folder: Path) -> None:
    lines = [HEADER[:3], *rows]
    cells = "".join(
        "<table:table-row>" + "".join(_ods_cell(value) for value in values) + "</table:table-row>" for values in lines
    )
    path = folder / "round.ods"
    path.write_bytes(ods(f'<table:table table:name="S">{cells}</table:table>'))
    assert sent(path) == rows


def _ods_cell(value: int | str | None) -> str:
    if value is None:
        return "<table:table-cell/>"
    if isinstance(value, int) and value < 10**15:
        return (
            f'<table:table-cell office:value-type="float" office:value="{value}">'
            f"<text:p>{value:,}</text:p></table:table-cell>"
        )
    text = str(value).replace("&", "&amp;").replace("<", "&lt;").replace("  ", ' <text:s text:c="1"/>')
    return f'<table:table-cell office:value-type="string"><text:p>{text}</text:p></table:table-cell>'


ANY_TEXT = st.text(st.characters() | st.sampled_from("_xD80\0\ufffd\ud83d\ude00 \t\r\n"), min_size=1, max_size=12)


def _xlsx_of(texts: list[str]) -> bytes:
    lines = [row(1, *HEADER[:2])]
    for n, text in enumerate(texts, 2):
        inside = f'<is><t xml:space="preserve">{escaped(_as_excel_writes(text))}</t></is>'
        text_cell = xlsx_cell(f"B{n}", inside, extra=' t="inlineStr"')
        lines.append(f'<row r="{n}">{xlsx_cell(f"A{n}", 5)}{text_cell}</row>')
    return xlsx(("S", sheet("".join(lines))))


def _xls_of(texts: list[str]) -> bytes:
    head = label(0, 0, HEADER[0]) + label(0, 1, HEADER[1])
    return xls(("S", head + b"".join(number(n, 0, 5.0) + label(n, 1, text) for n, text in enumerate(texts, 1))))


def _xlsb_of(texts: list[str]) -> bytes:
    lines = [b_row(0) + b_cell(0, HEADER[0]) + b_cell(1, HEADER[1])]
    lines += [b_row(n) + b_cell(0, 5.0) + b_cell(1, text) for n, text in enumerate(texts, 1)]
    return xlsb(("S", b"".join(lines)))


def _csv_of(texts: list[str]) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([HEADER[:2], *((5, text) for text in texts)])
    return stream.getvalue().encode("utf-16", "surrogatepass")


def _as_excel_writes(text: str) -> str:
    """Escape what XML cannot hold, each half of a character on its own, as ST_Xstring says."""
    text = text.replace("_x", "_x005F_x")
    return re.sub("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", lambda c: f"_x{ord(c[0]):04X}_", text)


@settings(deadline=None)
@given(texts=st.lists(ANY_TEXT, min_size=1, max_size=5), write=st.sampled_from([_xlsx_of, _xls_of, _xlsb_of, _csv_of]))
def test_any_text_of_a_cell_arrives_or_is_a_problem(
    texts: list[str], write: Callable[[list[str]], bytes], folder: Path
) -> None:
    """Broken by passing on a half of a character, which neither the ledger nor the API can hold, or by replacing it."""
    path = folder / "any.bin"
    path.write_bytes(write(texts))
    try:
        reading = read(path)
    except InputRefused as refused:
        assert write is _csv_of
        refused.text.encode()
        return
    arrived = dict(reading.arrived)
    for row_number, text in enumerate(texts, 2):
        try:
            meant = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le").strip(BLANKS)
        except UnicodeDecodeError:
            meant = "\ufffd"
        is_name = meant and not {"\0", "\ufffd"} & set(meant) and not is_error_text(meant)
        assert arrived.get(row_number) == (meant if is_name else None)
    for each in reading.rows:
        for cell in each.cells:
            str(cell).encode()


SCOPES = st.builds(
    Scope, st.sampled_from(Action), st.just(Kind.MILESTONE), st.none() | st.integers(1, MAX_ID), IDS, IDS
)


@st.composite
def any_request(draw: st.DrawFn) -> EnrollmentRequest:
    scope = draw(SCOPES)
    if scope.action is Action.UNENROLL:
        return EnrollmentRequest(scope, draw(IDS))
    dangerous = st.tuples(st.sampled_from("=+-@＝＋－＠'"), NAMES).map("".join)
    name = draw((NAMES | dangerous).filter(lambda text: not is_error_text(text)))
    return EnrollmentRequest(scope, draw(IDS), name, draw(BALANCES))


def report_line(request: EnrollmentRequest, note: str) -> list[Any]:
    values = {
        "customer_id": request.customer,
        "period_name": request.period,
        "initial_balance": request.initial_balance,
        "action": request.scope.action.value,
        "org_id": request.scope.org_id,
        "target_group_id": request.scope.target_group_id,
        "target_id": request.scope.target_id,
        "outcome": Outcome.NOT_SENT.value,
        "reason": "=x",
        "request_id": request_id(request),
        "source_row": 7,
    }
    return [*(values.get(name) for name in OUTCOME_COLUMNS), note]


@settings(deadline=None)
@given(asked=st.lists(st.tuples(any_request(), TEXTS), min_size=1, max_size=6))
def test_what_our_csv_writes_is_read_back_as_the_same_requests(
    asked: list[tuple[EnrollmentRequest, str]], folder: Path
) -> None:
    """Broken by taking no apostrophe off, or more than one, or by heeding the config's sheet, columns or separator."""
    path = folder / "failed.csv"
    with csv_file(path, [*OUTCOME_COLUMNS, "=note"]) as report:
        for request, note in asked:
            report.write(report_line(request, note))
    rules = ReadRules(sheet="May", header_row=9, delimiter=";", encoding="cp1252")
    reading = read(path, rules, {"customer_id": "Member"}, period_separator="a", cycles=("X",), initial_balance=3)
    assert reading.reported == []
    assert reading.requests == [request for request, _ in asked]
    assert reading.notes == []
    assert reading.columns[0][-1] == "=note"
    assert [each.cells[-1] for each in reading.rows] == [note for _, note in asked]


def saved_as_xlsx(csv_path: Path) -> Path:
    path = csv_path.with_suffix(".xlsx")
    with xlsxwriter.Workbook(path, {"strings_to_formulas": False, "strings_to_urls": False}) as book:
        page = book.add_worksheet(csv_path.stem)
        for line, values in enumerate(lines_of(csv_path)):
            for column, value in enumerate(values):
                page.write_string(line, column, value)
    return path


def saved_as_xlsx_by_openpyxl(csv_path: Path) -> Path:
    path = csv_path.with_name("again.xlsx")
    book = openpyxl.Workbook()
    book.create_sheet("Summary")  # a person's own; ours has sheets of rows with our names beside it
    page = book["Sheet"]
    for line, values in enumerate(lines_of(csv_path), 1):
        for column, value in enumerate(values, 1):
            page.cell(line, column, value or None).data_type = "s" if value else "n"
    book.save(path)
    return path


def saved_as_ods(csv_path: Path) -> Path:
    cells = "".join(
        f"<table:table-row>{''.join(_ods_cell(value or None) for value in values)}</table:table-row>"
        for values in lines_of(csv_path)
    )
    path = csv_path.with_suffix(".ods")
    path.write_bytes(ods(f'<table:table table:name="{csv_path.stem}">{cells}</table:table>'))
    return path


def saved_as_xls(csv_path: Path) -> Path:
    records = b"".join(
        label(line, column, value)
        for line, values in enumerate(lines_of(csv_path))
        for column, value in enumerate(values)
        if value
    )
    path = csv_path.with_suffix(".xls")
    path.write_bytes(xls((csv_path.stem, records)))
    return path


def lines_of(csv_path: Path) -> list[list[str]]:
    with csv_path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.reader(stream))


SAVERS = {
    "nobody": lambda path: path,
    "xlsx": saved_as_xlsx,
    "openpyxl": saved_as_xlsx_by_openpyxl,
    "ods": saved_as_ods,
    "xls": saved_as_xls,
}


@pytest.mark.parametrize("keeps_request_id", [True, False])
@settings(deadline=None, max_examples=30)
@given(asked=st.lists(any_request(), min_size=1, max_size=6))
def test_our_csv_saved_as_a_workbook_is_read_back_as_the_same_requests(
    keeps_request_id: bool, asked: list[EnrollmentRequest], folder: Path
) -> None:
    """The apostrophes are in its cells, as people keep them. Broken by leaving them where they are."""
    path = folder / "failed.csv"
    with csv_file(path, OUTCOME_COLUMNS) as report:
        for request in asked:
            line = report_line(request, "")[:-1]
            report.write(line if keeps_request_id else emptied(line))
    reading = read(saved_as_xlsx(path))
    assert reading.reported == []
    assert reading.requests == asked


def emptied(line: list[Any]) -> list[Any]:
    """The line as a person makes it a new request, as the report advises."""
    at = OUTCOME_COLUMNS.index("request_id")
    return [*line[:at], None, *line[at + 1 :]]


AWKWARD = ("@Q1", "=1+1", "+91 98", "-a", "＝x", "'x", "''x", "'@Q1", "Q1", "'")
"""Texts that our CSV writer guards, all but one; some of them have an apostrophe of their own."""


@pytest.mark.parametrize("keeps_request_id", [True, False])
@pytest.mark.parametrize("saver", SAVERS)
def test_key_columns_and_others_stay_the_same_however_often_a_report_is_saved_and_run(
    saver: str, keeps_request_id: bool, tmp_path: Path
) -> None:
    """Broken by an apostrophe that stays, grows by one each round, or is taken off twice."""
    asked = [EnrollmentRequest(Scope(Action.ENROLL, Kind.MILESTONE, None, 3, 4), 5, text) for text in AWKWARD]
    notes = list(reversed(AWKWARD))
    path = tmp_path / "failed.csv"
    for _ in range(3):
        with csv_file(path, [*OUTCOME_COLUMNS, "=Phone"]) as report:
            for request, note in zip(asked, notes, strict=True):
                line = report_line(request, str(note))
                report.write(line if keeps_request_id else emptied(line))
        reading = read(SAVERS[saver](path))
        assert reading.reported == []
        assert reading.columns[0][-1] == "=Phone"
        assert [request.period for request in reading.requests] == list(AWKWARD)
        asked, notes = reading.requests, [str(each.cells[-1]) for each in reading.rows]
        assert notes == list(reversed(AWKWARD))


@pytest.mark.parametrize("saver", SAVERS)
def test_rejected_rows_saved_as_a_workbook_are_read_as_they_were(saver: str, tmp_path: Path) -> None:
    path = tmp_path / "rejected_rows.csv"
    with csv_file(path, [*REJECTED_COLUMNS, "customer_id", "period_name", "-note"]) as report:
        for text in AWKWARD:
            report.write(["up.csv", None, 2, "customer_id", "x", "not_text", "=hint", None, 5, text, text])
    reading = read(SAVERS[saver](path))
    assert reading.reported == []
    assert reading.columns[0][-1] == "-note"
    assert [request.period for request in reading.requests] == list(AWKWARD)
    assert [each.cells[-1] for each in reading.rows] == list(AWKWARD)


def test_what_a_person_types_into_a_saved_report_is_sent_as_typed(tmp_path: Path) -> None:
    """A spreadsheet program takes a typed apostrophe for itself: the cell then has none to take off."""
    line = emptied(report_line(EnrollmentRequest(Scope(Action.ENROLL, Kind.MILESTONE, None, 3, 4), 5, "@Q1"), ""))
    path = tmp_path / "failed.xlsx"
    path.write_bytes(xlsx(("failed", sheet(row(1, *OUTCOME_COLUMNS) + row(2, *line[:-1])))))
    assert [request.period for request in read(path).requests] == ["@Q1"]


def test_an_error_in_a_saved_report_stays_an_error(tmp_path: Path) -> None:
    """Broken by making a plain text of a cell that only shows one."""
    stored = xlsx_cell("B2", "<f>SUBTOTAL(9,B1:B1)</f><v>'x</v>", extra=' t="str"')
    cells = row(1, "customer_id", "period_name", "outcome", "request_id") + f'<row r="2">{xlsx_cell("A2", 5)}{stored}'
    cells += xlsx_cell("C2", "<is><t>not_sent</t></is>", extra=' t="inlineStr"') + "</row>"
    path = tmp_path / "failed.xlsx"
    path.write_bytes(xlsx(("failed", sheet(cells))))
    reading = read(path, target_id=4, target_group_id=3)
    assert reading.requests == []
    assert reading.reported == [(2, "period_name", Problem.AMBIGUOUS)]


def test_the_sheets_of_our_workbook_are_known_by_the_names_that_it_gives_them() -> None:
    assert {*workbook.SHEET_OF.values(), workbook.REJECTED} == sheet_choice.OWN_SHEETS


@pytest.mark.parametrize("keeps_request_id", [True, False])
@settings(deadline=None, max_examples=30)
@given(asked=st.lists(any_request(), min_size=1, max_size=6))
def test_the_failure_sheets_of_our_workbook_are_read_and_no_others(
    keeps_request_id: bool, asked: list[EnrollmentRequest], folder: Path
) -> None:
    """They have no apostrophe but their own. Broken by taking one off."""
    path = folder / "reconciliation.xlsx"
    sheets = {"Succeeded": Outcome.ENROLLED, "Failures": Outcome.SERVER_ERROR, "Not sent": Outcome.NOT_SENT}
    with xlsxwriter.Workbook(path, {"strings_to_formulas": False, "strings_to_urls": False}) as book:
        book.add_worksheet("Summary").write_string(0, 0, "customer_id")
        for name, outcome in sheets.items():
            page = book.add_worksheet(name)
            page.write_row(0, 0, OUTCOME_COLUMNS)
            for line, request in enumerate(asked, 1):
                values = dict(zip(OUTCOME_COLUMNS, report_line(request, ""), strict=False)) | {"outcome": outcome.value}
                for column, value in enumerate(values.values()):
                    if value is not None and (keeps_request_id or OUTCOME_COLUMNS[column] != "request_id"):
                        page.write_string(line, column, str(value))
    reading = read(path, ReadRules(sheet="May"))
    assert reading.reported == []
    assert reading.sheets == ["Failures", "Not sent"]
    assert reading.requests == asked * 2


def test_a_workbook_of_ours_without_failures_is_refused(folder: Path) -> None:
    path = folder / "done.xlsx"
    cells = row(1, *OUTCOME_COLUMNS) + row(2, *(["x"] * 8), "already_enrolled")
    path.write_bytes(xlsx(("Already enrolled", sheet(cells))))
    with pytest.raises(InputRefused, match="there is nothing to send again"):
        read(path)


def test_a_sheet_of_ours_that_may_not_show_all_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reader.OWN_SHEET_ROWS == workbook.SHEET_ROWS
    monkeypatch.setattr(reader, "OWN_SHEET_ROWS", 2)
    path = folder / "long.xlsx"
    cells = row(1, *OUTCOME_COLUMNS) + "".join(row(n, "5", "May", *[None] * 6, "not_sent") for n in (2, 3))
    path.write_bytes(xlsx(("Not sent", sheet(cells))))
    with pytest.raises(InputRefused, match="give the CSV files beside it instead"):
        read(path)


def test_files_are_closed_again(folder: Path) -> None:
    path = folder / "closed.xlsx"
    path.write_bytes(xlsx(("S", sheet(row(1, "customer_id") + row(2, 5)))))
    with next(open_tables(path, ReadRules())) as table:
        assert next(table.rows()).cells == (5,)
    open_files = [Path(f"/proc/self/fd/{name.name}").resolve() for name in Path("/proc/self/fd").iterdir()]
    assert path not in open_files
    assert zipfile.is_zipfile(io.BytesIO(path.read_bytes()))
