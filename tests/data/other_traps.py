"""Workbooks in .ods, .xls and .xlsb, made by hand and by LibreOffice."""

from __future__ import annotations

import struct
from pathlib import Path

from batch.model import Problem
from tests.data.binary_packages import (
    area,
    b_area,
    b_cell,
    b_formula,
    b_record,
    b_row,
    b_shared_formula,
    b_styles,
    compound,
    error,
    formula,
    label,
    number,
    record,
    shared_formula,
    styles,
    xls,
    xls_stream,
    xlsb,
)
from tests.data.packages import ods, zipped
from tests.data.trap import Reported, Sent, Trap

HEADER = ("customer_id", "period_name", "initial_balance", "note")
ONE_SENT: tuple[Sent, ...] = ((345651201, "May"),)
TWO_SENT: tuple[Sent, ...] = (*ONE_SENT, (345651202, "June", 0))

# -- .ods ---------------------------------------------------------------------------------------------------------


def _text(text: str, extra: str = "") -> str:
    return f'<table:table-cell office:value-type="string"{extra}><text:p>{text}</text:p></table:table-cell>'


def _float(value: object, extra: str = "") -> str:
    return (
        f'<table:table-cell office:value-type="float" office:value="{value}"{extra}>'
        f"<text:p>{value}</text:p></table:table-cell>"
    )


def _row(*cells: str, extra: str = "") -> str:
    return f"<table:table-row{extra}>{''.join(cells)}</table:table-row>"


_BLANK = "<table:table-cell/>"
_ROWS = _row(*map(_text, HEADER)) + _row(_float(345651201), _text("May"), _BLANK, _text("x"))
_ROWS += _row(_text("345651202"), _text("June"), _float(0), _text("y"))
_HIDDEN = (
    '<style:style style:name="ta2" style:family="table"><style:table-properties table:display="false"/></style:style>'
)


def _table(rows: str = _ROWS, name: str = "Enrolments", style: str = "ta1") -> str:
    return f'<table:table table:name="{name}" table:style-name="{style}">{rows}</table:table>'


def _ods(
    name: str, rows: str, *remarks: str, sent: tuple[Sent, ...] = TWO_SENT, reported: tuple[Reported, ...] = ()
) -> Trap:
    return Trap(f"{name}.ods", ods(_table(rows)), sent=sent, reported=reported, remarks=remarks)


def _ods_cells(name: str, *cells: str, sent: tuple[Sent, ...] = (), reported: tuple[Reported, ...] = ()) -> Trap:
    return _ods(name, _row(*map(_text, HEADER)) + _row(*cells), sent=sent, reported=reported)


_FORMULA = ' table:formula="of:=SUM([.C1:.C1])"'
_LAUGHS = '<!DOCTYPE x [<!ENTITY l0 "ha"><!ENTITY l1 "&l0;&l0;">]>'
ODS = (
    _ods("plain", _ROWS),
    Trap("ods_named.xlsx", ods(_table()), sent=TWO_SENT),
    Trap(
        "two_sheets.ods", ods(_table() + _table(name="June")), refused='several sheets hold data: "Enrolments", "June"'
    ),
    Trap(
        "second_sheet_by_config.ods",
        ods(_table(name="May") + _table(_row(*map(_text, HEADER)) + _row(_float(5), _text("x")), "June")),
        sent=((5, "x"),),
        read={"sheet": "June"},
    ),
    Trap(
        "hidden_sheet.ods",
        ods(_table(name="Lists", style="ta2") + _table(), styles=_HIDDEN),
        sent=TWO_SENT,
        remarks=('the hidden sheet "Lists" holds data and was not read',),
    ),
    _ods(
        "hidden_rows",
        _ROWS + _row(extra=' table:number-rows-repeated="1048000" table:visibility="collapse"'),
        sent=TWO_SENT,
    ),
    _ods(
        "filtered_rows",
        _ROWS.replace("<table:table-row>", '<table:table-row table:visibility="filter">').replace(
            '<table:table-row table:visibility="filter">', "<table:table-row>", 1
        ),
        "2 rows are hidden (the first is row 2)",
        "a filter is set",
    ),
    _ods(
        "hidden_columns",
        '<table:table-column/><table:table-column table:visibility="collapse" table:number-columns-repeated="2"/>'
        + _ROWS,
        "hidden columns are read like all others: B to C",
    ),
    _ods(
        "blank_to_the_end",
        _ROWS.replace(
            "</table:table-row>", '<table:table-cell table:number-columns-repeated="16380"/></table:table-row>'
        )
        + _row(
            '<table:table-cell table:number-columns-repeated="16384"/>', extra=' table:number-rows-repeated="1048573"'
        ),
    ),
    _ods(
        "repeated_rows_and_cells",
        _row(*map(_text, HEADER))
        + _row(extra=' table:number-rows-repeated="3"')
        + _row(
            _float(5),
            _text("x"),
            _float(7, ' table:number-columns-repeated="2"'),
            extra=' table:number-rows-repeated="2"',
        ),
        sent=((5, "x", 7), (5, "x", 7)),
    ),
    _ods(
        "comment_and_drawing_in_a_cell",
        _ROWS.replace(
            "<text:p>May</text:p>",
            "<office:annotation><text:p>not this</text:p></office:annotation><draw:frame><text:p>nor this</text:p>"
            "</draw:frame><text:p>M<text:span>ay</text:span></text:p>",
        ),
    ),
    _ods(
        "blanks_and_breaks_in_text",
        _ROWS.replace(
            "<text:p>May</text:p>",
            '<text:p>a<text:s text:c="2"/>b<text:tab/>c<text:line-break/>d</text:p><text:p>e</text:p>',
        ),
        sent=((345651201, "a  b\tc\nd\ne"), (345651202, "June", 0)),
    ),
    _ods(
        "merged_customers",
        _row(*map(_text, HEADER))
        + _row(_float(345651201, ' table:number-rows-spanned="2"'), _text("May"))
        + _row("<table:covered-table-cell/>", _text("June")),
        sent=ONE_SENT,
        reported=((3, "customer_id", Problem.AMBIGUOUS),),
    ),
    _ods(
        "merged_title",
        _row(
            _text("Upload of May", ' table:number-columns-spanned="4"'),
            '<table:covered-table-cell table:number-columns-repeated="3"/>',
        )
        + _ROWS,
        "what stands above the header in row 2 is not read",
    ),
    _ods_cells(
        "error",
        _float(5),
        _text("x"),
        '<table:table-cell table:formula="of:=NA()" office:value-type="string" office:string-value="" '
        'calcext:value-type="error"><text:p>#N/A</text:p></table:table-cell>',
        reported=((2, "initial_balance", Problem.ERROR_CELL),),
    ),
    _ods_cells(
        "libreoffice_error_number", _float(5), _text("Err:502"), reported=((2, "period_name", Problem.ERROR_CELL),)
    ),
    _ods_cells(
        "formula_without_result",
        _float(5),
        _text("x"),
        f"<table:table-cell{_FORMULA}/>",
        reported=((2, "initial_balance", Problem.MISSING),),
    ),
    _ods_cells(
        "formula_with_blank_result",
        _float(5),
        _text("x"),
        f"<table:table-cell{_FORMULA}><text:p/></table:table-cell>",
        sent=((5, "x"),),
    ),
    _ods_cells(
        "formula_with_result", _float(5), _text("x"), _float(7, ' table:formula="of:=[.A2]+2"'), sent=((5, "x", 7),)
    ),
    _ods_cells(
        "sum_on_another_sheet",
        _float(5),
        _text("x"),
        _float(7, ' table:formula="of:=SUM([$Base.C1:.C1])"'),
        sent=((5, "x", 7),),
    ),
    _ods(
        "total",
        _ROWS + _row(_text("Total"), _BLANK, _float(0, ' table:formula="of:=SUM([.C2:.C3])"')),
        reported=(
            (4, "customer_id", Problem.NOT_A_WHOLE_NUMBER),
            (4, "period_name", Problem.MISSING),
            (4, "initial_balance", Problem.AMBIGUOUS),
        ),
    ),
    _ods_cells(
        "percent",
        _float(5),
        _text("x"),
        _float(5).replace('"float"', '"percentage"'),
        reported=((2, "initial_balance", Problem.AMBIGUOUS),),
    ),
    *(
        _ods_cells(
            f"format_that_{name}",
            _float(5),
            _text("x"),
            _float(12).replace("<text:p>12<", f"<text:p>{shown}<"),
            reported=((2, "initial_balance", Problem.AMBIGUOUS),),
        )
        for name, shown in (("adds_a_digit", "120"), ("hides_the_number", ""), ("shows_thousands", "0.012K"))
    ),
    *(
        _ods_cells(
            f"format_{number}_that_shows_the_number",
            _float(5),
            _text("x"),
            _float(1200).replace("<text:p>1200<", f"<text:p>{shown}<"),
            sent=((5, "x", 1200),),
        )
        for number, shown in enumerate(
            ("1,200", "€\u00a01.200,00", "1 200.0", "001200", "1.2E+03", "١٢٠٠", "1’200.00", "Rs. 1200")
        )
    ),
    _ods_cells("currency", _float(5), _text("x"), _float(12).replace('"float"', '"currency"'), sent=((5, "x", 12),)),
    _ods_cells(
        "date_time_and_yes",
        '<table:table-cell office:value-type="date" office:date-value="2024-05-01"/>',
        '<table:table-cell office:value-type="time" office:time-value="PT12H30M00S"/>',
        '<table:table-cell office:value-type="boolean" office:boolean-value="true"/>',
        reported=(
            (2, "customer_id", Problem.NOT_A_WHOLE_NUMBER),
            (2, "period_name", Problem.NOT_TEXT),
            (2, "initial_balance", Problem.NOT_A_WHOLE_NUMBER),
        ),
    ),
    _ods_cells(
        "seventeen_digits", _float(12345678901234567), _text("x"), reported=((2, "customer_id", Problem.DIGITS_LOST),)
    ),
    Trap(
        "password.ods",
        ods(_table(), extra={"META-INF/manifest.xml": "<manifest><encryption-data/></manifest>"}),
        refused="protected by a password",
    ),
    Trap(
        "password_of_a_newer_kind.ods",
        ods(_table(), extra={"encrypted-package": "?"}),
        refused="protected by a password",
    ),
    Trap("document_type.ods", ods(_table(), prolog=_LAUGHS), refused="declares a document type"),
    Trap(
        "repeats_a_row_a_million_times.ods",
        ods(_table(_ROWS + _row(_float(5), _text("x"), extra=' table:number-rows-repeated="1000000"'))),
        refused="refused as a bomb",
    ),
    Trap(
        "repeats_a_cell_16384_times.ods",
        ods(_table(_ROWS + _row(_float(5, ' table:number-columns-repeated="16384"')))),
        refused="values beyond column 1000",
    ),
    Trap("broken_number.ods", ods(_table(_ROWS + _row(_float("1,5")))), refused='damaged: the number "1,5"'),
    Trap("breaks_off.ods", ods(_table(_ROWS[:-20])), refused="damaged"),
    Trap(
        "no_content.ods",
        zipped({"mimetype": "application/vnd.oasis.opendocument.spreadsheet"}),
        refused="its part content.xml is missing",
    ),
)

# -- .xls ---------------------------------------------------------------------------------------------------------


def _labels(row: int, *texts: str) -> bytes:
    return b"".join(label(row, column, text) for column, text in enumerate(texts))


_RECORDS = _labels(0, *HEADER) + number(1, 0, 345651201.0) + label(1, 1, "May") + label(1, 3, "x")
_RECORDS += label(2, 0, "345651202") + label(2, 1, "June") + number(2, 2, 0.0) + label(2, 3, "y")
_SHEET = ("Enrolments", _RECORDS)
_NA, _SEVEN = bytes([2, 0, 42, 0, 0, 0, 255, 255]), struct.pack("<d", 7.0)
_BLANK = bytes([3, 0, 0, 0, 0, 0, 255, 255])


def _xls(
    name: str, more: bytes, *remarks: str, sent: tuple[Sent, ...] = TWO_SENT, reported: tuple[Reported, ...] = ()
) -> Trap:
    return Trap(f"{name}.xls", xls(("Enrolments", _RECORDS + more)), sent=sent, reported=reported, remarks=remarks)


def _total(row: int, column: int, tokens: bytes, cells: int = 3) -> bytes:
    """Return a row with a customer, a period and a formula of this kind in its column."""
    others = number(row, 0, 5.0) + label(row, 1, "x") + (number(row, 3, 8.0) if cells > 2 else b"")
    return others + formula(row, column, _SEVEN, 0, tokens)


def _hidden_row(row: int) -> bytes:
    return record(0x0208, struct.pack("<HHHHHHHH", row, 0, 4, 300, 0, 0, 0x20, 15))


_STREAM = xls_stream(_SHEET)
_WHOLE = compound({"Workbook": _STREAM})
_CHAIN_IN_A_CIRCLE = _WHOLE[:-512] + struct.pack("<I", 0) + _WHOLE[-508:]
XLS = (
    _xls("plain", b""),
    Trap("xls_named.csv", _WHOLE, sent=TWO_SENT),
    Trap("small_stream.xls", compound({"Other": b"x" * 100, "Workbook": _STREAM}, mini=True), sent=TWO_SENT),
    Trap("two_sheets.xls", xls(_SHEET, ("June", _RECORDS)), refused='several sheets hold data: "Enrolments", "June"'),
    Trap("empty_sheets_beside.xls", xls(("Sheet1", b""), _SHEET, ("Sheet3", b"")), sent=TWO_SENT),
    _xls(
        "hidden_rows_columns_and_filter",
        _hidden_row(1) + _hidden_row(2) + record(0x007D, struct.pack("<HHHHHH", 1, 2, 2048, 0, 1, 0)) + record(0x009B),
        "2 rows are hidden (the first is row 2)",
        "hidden columns are read like all others: B to C",
        "a filter is set",
    ),
    _xls(
        "errors",
        number(3, 0, 5.0) + label(3, 1, "x") + error(3, 2, 0x07) + formula(4, 0, _NA) + label(4, 1, "x"),
        reported=((4, "initial_balance", Problem.ERROR_CELL), (5, "customer_id", Problem.ERROR_CELL)),
    ),
    _xls(
        "half_a_character_and_a_nul",
        number(3, 0, 5.0)
        + record(0x0204, struct.pack("<HHHHB", 3, 1, 0, 2, 1) + b"a\x00\x00\xd8")
        + number(4, 0, 5.0)
        + label(4, 1, "x\0"),
        reported=((4, "period_name", Problem.AMBIGUOUS), (5, "period_name", Problem.AMBIGUOUS)),
    ),
    _xls("formulas", number(3, 0, 5.0) + label(3, 1, "x") + formula(3, 2, _SEVEN), sent=(*TWO_SENT, (5, "x", 7))),
    _xls(
        "formula_with_a_stand_in",
        number(3, 0, 5.0) + label(3, 1, "x") + formula(3, 2, _SEVEN, 1),
        reported=((4, "initial_balance", Problem.AMBIGUOUS),),
    ),
    _xls(
        "formula_with_a_stand_in_of_programs_in_java",
        number(3, 0, 5.0) + label(3, 1, "x") + formula(3, 2, bytes(8), 2),
        reported=((4, "initial_balance", Problem.AMBIGUOUS),),
    ),
    _xls(
        "formulas_of_a_program_that_does_not_compute",
        number(3, 0, 5.0) + label(3, 1, "x") + formula(3, 2, _BLANK),
        reported=((4, "initial_balance", Problem.MISSING),),
    ),
    Trap(
        "formula_with_blank_result.xls",
        xls(
            ("Enrolments", _RECORDS + number(3, 0, 5.0) + label(3, 1, "x") + formula(3, 2, _BLANK)),
            before=record(0x01C1, struct.pack("<HHI", 0x01C1, 0, 191029)),
        ),
        sent=(*TWO_SENT, (5, "x")),
    ),
    _xls(
        "merged_customers",
        number(3, 0, 5.0) + label(3, 1, "x") + label(4, 1, "y") + record(0x00E5, struct.pack("<HHHHH", 1, 3, 4, 0, 0)),
        sent=(*TWO_SENT, (5, "x")),
        reported=((5, "customer_id", Problem.AMBIGUOUS),),
    ),
    _xls(
        "digits_lost",
        number(3, 0, 1.23456789012345e18) + label(3, 1, "x"),
        reported=((4, "customer_id", Problem.DIGITS_LOST),),
    ),
    Trap(
        "number_formats.xls",
        xls(
            (
                "Enrolments",
                _labels(0, *HEADER[:3])
                + number(1, 0, 5.0)
                + label(1, 1, "x")
                + number(1, 2, 5.0, 1)
                + number(2, 0, 5.0)
                + label(2, 1, "x")
                + record(0x00BD, struct.pack("<HHHIHIH", 3, 0, 3, (345651201 << 2) | 2, 0, (5 << 2) | 2, 1))
                + number(4, 0, 6.0)
                + label(4, 1, "x")
                + number(4, 2, 12.0, 4)
                + number(5, 0, 5.0)
                + label(5, 1, "x")
                + number(5, 2, 12000.0, 2),
            ),
            before=styles("0%", '#,##0,"K"', "dd/mm/yyyy", "#,##0.00\\ [$€-407]"),
        ),
        sent=((5, "x"), (6, "x", 12)),
        reported=(
            (2, "initial_balance", Problem.AMBIGUOUS),
            (4, "customer_id", Problem.AMBIGUOUS),
            (4, "period_name", Problem.NOT_TEXT),
            (6, "initial_balance", Problem.AMBIGUOUS),
        ),
    ),
    Trap(
        "formatted_cells_in_any_order.xls",
        xls(
            (
                "Enrolments",
                b"".join(
                    number(row, 0, 5.0) + label(row, 1, "x") + number(row, 2, float(row), row % 2)
                    for row in (5, 2, 3, 4, 1)
                )
                + _labels(0, *HEADER[:3]),
            ),
            before=styles("0%"),
        ),
        sent=((5, "x", 2), (5, "x", 4)),
        reported=tuple((row, "initial_balance", Problem.AMBIGUOUS) for row in (2, 4, 6)),
    ),
    Trap(
        "totals.xls",
        xls(
            (
                "Enrolments",
                _labels(0, "customer_id", "period_name", "initial_balance", "target_id")
                + number(1, 0, 5.0)
                + label(1, 1, "x")
                + number(1, 2, 7.0)
                + number(1, 3, 8.0)
                + _total(2, 2, b"\x17\x03\x00a,b" + area(1, 2, 2, 2))  # the row above, and this one
                + _total(3, 2, area(1, 2, 0xC002, 0xC002) + b"\x19\x10\x00\x00")
                + _total(4, 2, area(1, 3, 0, 5, 0x45) + b"\x22\x02\x58\x01")
                + _total(5, 2, b"\x01\x05\x00\x02\x00", 2)
                + shared_formula(5, 2, 3, area(0xFFFC, 0xFFFF, 0xC000, 0xC000, 0x2D) + b"\x42\x01\x04\x00")
                + formula(5, 3, _SEVEN, 8, b"\x01\x05\x00\x02\x00")
                + _total(6, 2, b"\x22\x02\x58\x01")
                + _total(7, 2, b"\x18\x01\x02" + area(1, 3, 2, 2)),
            )
        ),
        sent=((5, "x", 7), (5, "x", 7), (5, "x", 7)),
        plan={"target_group_id": 1},
        reported=(
            *((row, "initial_balance", Problem.AMBIGUOUS) for row in (4, 5)),
            *((6, column, Problem.AMBIGUOUS) for column in ("target_id", "initial_balance")),
            (7, "initial_balance", Problem.AMBIGUOUS),
        ),
    ),
    Trap(
        "two_values_at_opposite_ends.xls",
        xls(("Enrolments", _RECORDS + number(65535, 255, 1.0))),
        refused="12 values spread over 65536 rows and 256 columns",
    ),
    Trap(
        "many_sheets_of_two_far_values.xls",
        xls(*((f"S{n}", label(0, 0, "customer_id") + number(3900, 255, 1.0)) for n in range(20))),
        refused="2 values spread over 3901 rows and 256 columns",
    ),
    *(
        Trap(
            f"{name}.xls",
            xls(("Enrolments", _RECORDS + number(3, 2, value, 1)), before=styles(code)),
            refused="damaged",
        )
        for name, value, code in (
            ("number_that_is_no_date", -1e300, "dd/mm/yyyy"),
            ("number_that_is_no_duration", 1e300, "[h]:mm:ss"),
        )
    ),
    Trap("password.xls", xls(_SHEET, before=record(0x002F, bytes(6))), refused="protected by a password"),
    Trap(
        "password.xlsx", compound({"EncryptionInfo": b"", "EncryptedPackage": b"?"}), refused="protected by a password"
    ),
    Trap("letter.doc", compound({"WordDocument": b"?"}), refused="is an old Office document and no workbook"),
    Trap("cut_off.xls", _WHOLE[: len(_WHOLE) // 2], refused="damaged or cut off"),
    Trap("header_only.xls", _WHOLE[:76], refused="damaged or cut off"),
    Trap("chain_in_a_circle.xls", _CHAIN_IN_A_CIRCLE, refused="damaged or cut off"),
    Trap(
        "record_runs_out.xls",
        compound({"Workbook": _STREAM[:-4] + struct.pack("<HH", 0x0203, 9000)}),
        refused="damaged or cut off",
    ),
    Trap("short_record.xls", xls(("Enrolments", record(0x0203, b"\0"))), refused="damaged or cut off"),
    Trap("excel_4.xls", b"\t\x04\x06\x00\x00\x00\x10\x00", refused="is a workbook of Excel 4"),
)

# -- .xlsb --------------------------------------------------------------------------------------------------------

_B_RECORDS = b_row(0) + b"".join(b_cell(column, text) for column, text in enumerate(HEADER))
_B_RECORDS += b_row(1) + b_cell(0, 345651201.0) + b_cell(1, "May") + b_cell(2, None) + b_cell(3, "x")
_B_RECORDS += b_row(2, hidden=True) + b_cell(0, "345651202") + b_cell(1, "June") + b_cell(2, 0.0) + b_cell(3, "y")
_B_HEADER = b_row(0) + b"".join(b_cell(column, text) for column, text in enumerate(HEADER))
_B_FIVE_X = b_cell(0, 5.0) + b_cell(1, "x")
_HIDDEN_REMARK = "1 row is hidden (the first is row 3)"
XLSB = (
    Trap("plain.xlsb", xlsb(("Enrolments", _B_RECORDS)), sent=TWO_SENT, remarks=(_HIDDEN_REMARK,)),
    Trap(
        "error.xlsb",
        xlsb(("Enrolments", _B_RECORDS + b_row(3) + b_cell(0, 5.0) + b_cell(1, "x") + b_cell(2, 42, kind=3))),
        sent=TWO_SENT,
        reported=((4, "initial_balance", Problem.ERROR_CELL),),
        remarks=(_HIDDEN_REMARK,),
    ),
    Trap(
        "number_formats.xlsb",
        xlsb(
            (
                "Enrolments",
                _B_HEADER
                + b_row(1)
                + _B_FIVE_X
                + b_cell(2, 5.0, style=1)
                + b_row(2)
                + b_cell(0, 345651201.0, style=2)
                + b_cell(1, "x")
                + b_row(3)
                + _B_FIVE_X
                + b_cell(2, 12.0, style=3),
            ),
            styles=b_styles("0%", "dd/mm/yyyy", "#,##0.00\\ [$€-407]"),
        ),
        sent=((5, "x", 12),),
        reported=((2, "initial_balance", Problem.AMBIGUOUS), (3, "customer_id", Problem.AMBIGUOUS)),
    ),
    Trap(
        "totals.xlsb",
        xlsb(
            (
                "Enrolments",
                _B_HEADER
                + b_row(1)
                + _B_FIVE_X
                + b_formula(2, 7.0, b"\x17\x01\x00ab" + b_area(1, 2, 2, 2))
                + b_row(3)
                + _B_FIVE_X
                + b_formula(2, 7.0, b_area(1, 2, 2, 0xC002) + b"\x19\x10\x00\x00")
                + b_row(4)
                + _B_FIVE_X
                + b_formula(2, 7.0, b"\x01\x04\x00\x00\x00", first_column=2)
                + b_shared_formula(4, 2, 3, b_area(0xFFFFD, 0xFFFFF, 0xC000, 0xC000, 0x2D))
                + b_formula(3, 7.0, b"\x01\x04\x00\x00\x00", first_column=2),
            ),
        ),
        sent=((5, "x", 7),),
        reported=((4, "initial_balance", Problem.AMBIGUOUS), (5, "initial_balance", Problem.AMBIGUOUS)),
    ),
    Trap(
        "hidden_columns_filter_and_merged_customers.xlsb",
        xlsb(
            (
                "Enrolments",
                _B_HEADER
                + b_row(1)
                + _B_FIVE_X
                + b_row(2)
                + b_cell(1, "y")
                + b_row(3)
                + b_cell(0, 6.0)
                + b_cell(1, "z"),
            ),
            before=b_record(390) + b_record(60, struct.pack("<IIIIH", 1, 2, 2048, 0, 1)) + b_record(391),
            after=b_record(161, bytes(16))
            + b_record(163, bytes(6))
            + b_record(164)
            + b_record(162)
            + b_record(177, struct.pack("<I", 1))
            + b_record(176, struct.pack("<IIII", 1, 2, 0, 0))
            + b_record(178),
        ),
        sent=((5, "x"), (6, "z")),
        reported=((3, "customer_id", Problem.AMBIGUOUS),),
        remarks=("hidden columns are read like all others: B", "a filter is set"),
    ),
    Trap(
        "formula_with_a_stand_in.xlsb",
        xlsb(("Enrolments", _B_HEADER + b_row(1) + _B_FIVE_X + b_formula(2, 7.0, b"\x1e\x07\x00", options=2))),
        reported=((2, "initial_balance", Problem.AMBIGUOUS),),
    ),
    Trap(
        "formulas_of_a_program_that_does_not_compute.xlsb",
        xlsb(
            ("Enrolments", _B_HEADER + b_row(1) + _B_FIVE_X + b_formula(3, "y", b"\x1e\x07\x00")),
            ("Void", b""),
            computes_on_load=True,
        ),
        sent=((5, "x"),),
    ),
    Trap(
        "two_sheets.xlsb",
        xlsb(("May", _B_RECORDS), ("June", _B_RECORDS)),
        refused='several sheets hold data: "May", "June"',
    ),
    Trap("hidden_sheets.xlsb", xlsb(("May", _B_RECORDS), state=1), refused='only hidden sheets hold data: "May"'),
    Trap(
        "value_at_the_far_end.xlsb",
        xlsb(("May", _B_RECORDS + b_row(1048575) + b_cell(16383, 1.0))),
        refused="values spread over 1048576 rows and 16384 columns",
    ),
    Trap("breaks_off.xlsb", xlsb(("May", _B_RECORDS[:-3])), refused="damaged or cut off"),
    Trap("endless_record.xlsb", xlsb(("May", b"\x05\xff\xff\xff\x7f")), refused="damaged or cut off"),
    Trap("no_records.xlsb", xlsb(("May", b"\xff" * 100 + b_record(1))), refused="damaged or cut off"),
)

# -- LibreOffice --------------------------------------------------------------------------------------------------

_ABOVE = "what stands above the header in row 3 is not read"
_SEEN = (
    _ABOVE,
    "1 row is hidden (the first is row 6)",
    "hidden columns are read like all others: D",
    'the hidden sheet "Lists" holds data',
)
_READ: tuple[Sent, ...] = ((345651201, "May"), (345651202, "1-2", 0), (345651203, "MAR1", 12), (345651204, "NA"))
_PERCENT: Reported = (7, "initial_balance", Problem.AMBIGUOUS)
_REPORTED: tuple[Reported, ...] = (
    (7, "customer_id", Problem.ERROR_CELL),
    (7, "period_name", Problem.ERROR_CELL),
    _PERCENT,
    (8, "customer_id", Problem.NOT_A_WHOLE_NUMBER),
    (8, "period_name", Problem.NOT_TEXT),
    (8, "initial_balance", Problem.NOT_A_WHOLE_NUMBER),
    (9, "customer_id", Problem.DIGITS_LOST),
    (9, "initial_balance", Problem.NOT_A_WHOLE_NUMBER),
    (11, "customer_id", Problem.AMBIGUOUS),
    (13, "customer_id", Problem.NOT_A_WHOLE_NUMBER),
    (13, "period_name", Problem.MISSING),
    (13, "initial_balance", Problem.AMBIGUOUS),
)
_IN_CSV = {
    _PERCENT: (7, "initial_balance", Problem.NOT_A_WHOLE_NUMBER),
    (8, "period_name", Problem.NOT_TEXT): None,
    (9, "customer_id", Problem.DIGITS_LOST): None,
    (11, "customer_id", Problem.AMBIGUOUS): (11, "customer_id", Problem.MISSING),
    (13, "initial_balance", Problem.AMBIGUOUS): None,
}
_REPORTED_IN_CSV = tuple(other for each in _REPORTED if (other := _IN_CSV.get(each, each)) is not None)


def _libreoffice(ending: str) -> bytes:
    return (Path(__file__).parent / "libreoffice" / f"traps.{ending}").read_bytes()


LIBREOFFICE = (
    Trap("libreoffice.xlsx", _libreoffice("xlsx"), sent=_READ, reported=_REPORTED, remarks=_SEEN),
    Trap("libreoffice.ods", _libreoffice("ods"), sent=_READ, reported=_REPORTED, remarks=_SEEN),
    Trap("libreoffice.xls", _libreoffice("xls"), sent=_READ, reported=_REPORTED, remarks=_SEEN),
    Trap("libreoffice.csv", _libreoffice("csv"), sent=_READ, reported=_REPORTED_IN_CSV, remarks=(_ABOVE,)),
    Trap("libreoffice.fods", _libreoffice("fods"), refused="is a flat OpenDocument file"),
)

OTHER_TRAPS = (*ODS, *XLS, *XLSB, *LIBREOFFICE)
