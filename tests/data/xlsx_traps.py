"""Workbooks in .xlsx as people and programs make them."""

from __future__ import annotations

import re

from batch.model import Problem
from tests.data.packages import (
    MAIN,
    STRICT,
    STRICT_RELATIONS,
    Cell,
    cell,
    row,
    rows,
    sheet,
    xlsx,
    xlsx_parts,
    zipped,
)
from tests.data.trap import Reported, Sent, Trap

HEADER: tuple[Cell, ...] = ("customer_id", "period_name", "initial_balance", "note")
ONE = rows(HEADER, (345651201, "May", None, "x"))
TWO = rows(HEADER, (345651201, "May", None, "x"), (345651202, "June", 0, "y"))
ONE_SENT: tuple[Sent, ...] = ((345651201, "May"),)
TWO_SENT: tuple[Sent, ...] = (*ONE_SENT, (345651202, "June", 0))
CALC_ON_LOAD = '<calcPr fullCalcOnLoad="1"/>'


def _rows(
    name: str,
    data: str,
    *remarks: str,
    sent: tuple[Sent, ...] = TWO_SENT,
    reported: tuple[Reported, ...] = (),
    **more: object,
) -> Trap:
    """Return a workbook with one sheet; `before` and `after` go around its rows, the rest into the workbook."""
    around = {key: str(more.pop(key)) for key in ("before", "after") if key in more}
    content = xlsx(("Enrolments", sheet(data, **around)), **more)
    return Trap(f"{name}.xlsx", content, sent=sent, reported=reported, remarks=remarks)


def _cells(
    name: str, *cells: str, sent: tuple[Sent, ...] = (), reported: tuple[Reported, ...] = (), **more: object
) -> Trap:
    """Return a workbook whose row 2 has these cells (A2, B2, ...)."""
    return _rows(name, row(1, *HEADER) + f'<row r="2">{"".join(cells)}</row>', sent=sent, reported=reported, **more)


SHEETS = (
    Trap(
        "two_sheets_with_data.xlsx",
        xlsx(("May", sheet(ONE)), ("June", sheet(ONE))),
        refused='several sheets hold data: "May", "June"; name the one to read in input.sheet',
    ),
    Trap(
        "sheet_by_config.xlsx",
        xlsx(("May", sheet(rows(HEADER, (1, "x")))), ("June", sheet(ONE))),
        sent=ONE_SENT,
        read={"sheet": "June"},
    ),
    Trap(
        "sheet_by_config_in_other_case.xlsx",
        xlsx(("May", sheet(rows(HEADER, (1, "x")))), ("June", sheet(ONE))),
        sent=ONE_SENT,
        read={"sheet": " june "},
    ),
    Trap(
        "sheet_by_config_is_missing.xlsx",
        xlsx(("May", sheet(ONE))),
        refused='no sheet "July" (input.sheet); its sheets are "May"',
        read={"sheet": "July"},
    ),
    Trap(
        "sheet_by_config_is_empty.xlsx",
        xlsx(("May", sheet(ONE)), ("Void", sheet(""))),
        refused="is empty",
        read={"sheet": "Void"},
    ),
    Trap(
        "empty_sheets_beside.xlsx",
        xlsx(("Sheet2", sheet("")), ("May", sheet(ONE)), ("Sheet3", sheet(row(5, None, "  ")))),
        sent=ONE_SENT,
    ),
    Trap(
        "hidden_sheet_beside.xlsx",
        xlsx(("Lists", sheet(ONE), "hidden"), ("May", sheet(ONE)), ("Deep", sheet(ONE), "veryHidden")),
        sent=ONE_SENT,
        remarks=(
            'the hidden sheet "Lists" holds data and was not read',
            'the hidden sheet "Deep" holds data and was not read',
        ),
    ),
    Trap(
        "hidden_sheet_by_config.xlsx",
        xlsx(("Lists", sheet(ONE), "hidden"), ("May", sheet(rows(HEADER)))),
        sent=ONE_SENT,
        read={"sheet": "Lists"},
    ),
    Trap(
        "only_a_hidden_sheet.xlsx",
        xlsx(("Lists", sheet(ONE), "hidden")),
        refused='only hidden sheets hold data: "Lists"',
    ),
    Trap("no_data.xlsx", xlsx(("Sheet1", sheet(""))), refused="no sheet holds data"),
    Trap("no_header.xlsx", xlsx(("May", sheet(rows((345651201, "May"))))), refused='sheet "May": no header found'),
    Trap("header_only.xlsx", xlsx(("May", sheet(rows(HEADER))))),
)

HIDDEN = (
    _rows(
        "hidden_rows",
        TWO.replace('<row r="2"', '<row r="2" hidden="1"').replace('<row r="3"', '<row r="3" hidden="true"'),
        "2 rows are hidden (the first is row 2)",
    ),
    _rows(
        "hidden_rows_in_single_quotes",
        TWO.replace('"', "'").replace("<row r='3'", "<row r='3' hidden='1'"),
        "1 row is hidden (the first is row 3)",
    ),
    _rows(
        "hidden_row_that_is_not_plain",
        TWO.replace('<row r="3"', '<row r="3" hidden="1"').replace('r="D3"', "r='D3'"),
        "1 row is hidden (the first is row 3)",
    ),
    _rows("hidden_rows_at_the_end", TWO + '<row r="4" hidden="1"/><row r="5" hidden="1"><c r="A5" s="0" /></row>'),
    _rows(
        "row_of_no_height",
        TWO.replace('<row r="3"', '<row r="3" ht="0" customHeight="1"'),
        "1 row is hidden (the first is row 3)",
    ),
    _rows(
        "hidden_columns",
        TWO,
        "hidden columns are read like all others: B to C",
        before='<cols><col min="2" max="3" hidden="1"/><col min="9" max="16384" hidden="1"/></cols>',
    ),
    _rows(
        "active_filter",
        TWO.replace('<row r="3"', '<row r="3" hidden="1"'),
        "1 row is hidden",
        "a filter is set",
        after='<autoFilter ref="A1:D3"><filterColumn colId="1"><filters><filter val="May"/></filters>'
        "</filterColumn></autoFilter>",
    ),
    _rows("filter_buttons_only", TWO, after='<autoFilter ref="A1:D3"/>'),
    _rows("rows_that_say_that_they_are_not_hidden", TWO.replace('<row r="3"', '<row r="3" hidden="false" ht="12.8"')),
)

LAYOUT = (
    _rows(
        "titles_and_total",
        row(1, "Upload of May")
        + row(3, "all shops", None, None, "since 2024")
        + "".join(
            row(number, *values)
            for number, values in ((5, HEADER), (6, (345651201, "May", None, "x")), (8, (345651202, "June", 0, "y")))
        )
        + f'<row r="10">{cell("A10", "Total")}{cell("C10", "<f>SUM(C6:C8)</f><v>0</v>")}</row>',
        "what stands above the header in row 5 is not read",
        reported=(
            (10, "customer_id", Problem.NOT_A_WHOLE_NUMBER),
            (10, "period_name", Problem.MISSING),
            (10, "initial_balance", Problem.AMBIGUOUS),
        ),
    ),
    _rows(
        "count_below_the_customers",
        row(1, "customer_id", "period_name")
        + row(2, 345651201, "May")
        + f'<row r="3">{cell("A3", "<f>COUNT(A2:A2)</f><v>1</v>")}{cell("B3", "May")}</row>'
        + f'<row r="4">{cell("A4", "<f>SUBTOTAL(103,[customer_id])</f><v>1</v>")}{cell("B4", "May")}</row>'
        + f'<row r="5">{cell("A5", "<f>SUM(A2:A3)</f><v>345651202</v>")}{cell("B5", "May")}</row>',
        sent=(*ONE_SENT, (1, "May")),
        reported=((4, "customer_id", Problem.AMBIGUOUS), (5, "customer_id", Problem.AMBIGUOUS)),
    ),
    _rows(
        "total_line_filled_to_the_right",
        row(1, "customer_id", "period_name", "initial_balance", "target_id")
        + row(2, 345651201, "May", None, 7)
        + row(3, 345651202, "May", 1, 7)
        + f'<row r="4">{cell("A4", 5)}{cell("B4", "May")}'
        + cell("C4", '<f t="shared" ref="C4:D4" si="0">SUM(C2:C3)</f><v>1</v>')
        + cell("D4", '<f t="shared" si="0"/><v>14</v>')
        + f'</row><row r="5">{cell("A5", 6)}{cell("B5", "May")}'
        + cell("C5", '<f t="shared" ref="C5:D5" si="1">A5+2</f><v>8</v>')
        + cell("D5", '<f t="shared" si="1"/><v>7</v>')
        + "</row>",
        sent=((345651201, "May"), (345651202, "May", 1), (6, "May", 8)),
        reported=((4, "target_id", Problem.AMBIGUOUS), (4, "initial_balance", Problem.AMBIGUOUS)),
    ),
    _rows(
        "sheet_that_begins_at_c5",
        "".join(
            f'<row r="{number}">'
            + "".join(cell(f"{letter}{number}", value) for letter, value in zip("CDEF", values, strict=True))
            + "</row>"
            for number, values in ((5, HEADER), (6, (345651201, "May", None, "x")), (7, (345651202, "June", 0, "y")))
        ),
    ),
    _rows(
        "notes_beside_the_table",
        TWO.replace("</row>", cell("H2", "call them back") + "</row>", 2).replace("H2", "H1", 1),
    ),
    _rows(
        "formatted_down_to_the_last_row",
        TWO
        + "".join(f'<row r="{n}" s="0" customFormat="1"><c r="A{n}" s="0"/></row>' for n in range(4, 20_000))
        + '<row r="1048576"><c r="XFD1048576" s="0"/></row>',
    ),
    _rows("wrong_dimension", TWO, before='<dimension ref="A1"/>'),
    _rows("dimension_of_the_whole_sheet", TWO, before='<dimension ref="A1:XFD1048576"/>'),
    _rows(
        "far_away_value",
        TWO + '<row r="1048576"><c r="D1048576"><v>1</v></c></row>',
        reported=((1048576, "customer_id", Problem.MISSING), (1048576, "period_name", Problem.MISSING)),
    ),
    _rows(
        "merged_titles",
        row(1, "Upload of May", None, None, None)
        + "".join(
            row(n, *v) for n, v in ((2, HEADER), (3, (345651201, "May", None, "x")), (4, (345651202, "June", 0, "y")))
        ),
        "what stands above the header in row 2 is not read",
        after='<mergeCells count="1"><mergeCell ref="A1:D1"/></mergeCells>',
    ),
    _rows(
        "merged_customers",
        rows(HEADER, (345651201, "May", None, "x"), (None, "June", 7, "y"), (345651202, "June", 0, "y")),
        reported=((3, "customer_id", Problem.AMBIGUOUS),),
        after='<mergeCells count="1"><mergeCell ref="A2:A3"/></mergeCells>',
    ),
    _rows(
        "merged_balances",
        rows(HEADER, (345651202, "June", 0, "x"), (345651201, "May", None, "y")),
        sent=((345651202, "June", 0),),
        reported=((3, "initial_balance", Problem.AMBIGUOUS),),
        after='<mergeCells><mergeCell ref="C2:C1048576"/></mergeCells>',
    ),
    _rows(
        "rows_merged_to_two_lines",
        rows(HEADER, (345651201, "May", None, "x"), (), (345651202, "June", 0, "y")),
        after="<mergeCells>"
        + "".join(f'<mergeCell ref="{letter}2:{letter}3"/>' for letter in "ABCD")
        + "</mergeCells>",
    ),
)

_PRETTY = TWO.replace("<row", "\n  <row").replace("<c ", "\n    <c ").replace("</row>", "\n  </row>")
_PREFIXED = (
    sheet(TWO).replace("<", "<x:").replace("<x:/", "</x:").replace("<x:?xml", "<?xml").replace("xmlns=", "xmlns:x=")
)
_NO_REFERENCES = "<row><c/></row>" + re.sub(' r="[A-Z0-9]+"', "", TWO)
_STRINGS = (
    "<t>customer_id</t>",
    "<r><t>period</t></r><r><rPr><b/></rPr><t>_name</t></r>",
    "<t>May</t><rPh><t>MEI</t></rPh>",
    "<t/>",
)
_SHARED = "".join(
    f'<row r="{n}"><c r="A{n}"{a}</c><c r="B{n}" t="s"><v>{b}</v></c><c r="C{n}" t="s"><v>3</v></c></row>'
    for n, a, b in ((1, ' t="s"><v>0</v>', 1), (2, "><v>345651201</v>", 2))
)

WRITERS = (
    Trap(
        "strict.xlsx",
        xlsx(("Enrolments", sheet(TWO, namespace=STRICT)), namespace=STRICT, relations=STRICT_RELATIONS),
        sent=TWO_SENT,
    ),
    Trap("prefixed.xlsx", xlsx(("Enrolments", _PREFIXED)), sent=TWO_SENT),
    _rows("pretty_printed", _PRETTY),
    _rows("single_quotes", TWO.replace('"', "'")),
    _rows("comment_and_cdata", TWO.replace("<row", "<!-- <row> -->\n<row").replace(">May<", "><![CDATA[May]]><")),
    _rows("without_references", _NO_REFERENCES),
    _rows(
        "references_in_some_cells",
        row(1, *HEADER) + '<row><c r="A2"/><c><v>1</v></c></row>'
        '<row r="3"><c><v>345651201</v></c><c t="inlineStr"><is><t>May</t></is></c>'
        '<c r="D3" t="inlineStr"><is><t>x</t></is></c></row>',
        sent=ONE_SENT,
        reported=((2, "customer_id", Problem.MISSING), (2, "period_name", Problem.NOT_TEXT)),
    ),
    _rows("shared_strings", _SHARED, sent=ONE_SENT, strings=_STRINGS),
    _rows(
        "plain_rows_then_others",
        TWO
        + '<row r="4" ><c r="A4" ><v>345651203</v></c>'
        + cell("B4", "July")
        + "</row>"
        + row(5, 345651204, "August"),
        sent=(*TWO_SENT, (345651203, "July"), (345651204, "August")),
    ),
    _rows(
        "escaped_characters",
        rows(HEADER, (345651201, "_x004D_ay_x005F_x0041_ &<>", None, None)),
        sent=((345651201, "May_x0041_ &<>"),),
    ),
    _rows(
        "halves_of_characters",
        rows(
            HEADER,
            (5, "a_xD800_b", None, "x"),
            (6, "c", None, "_xDC00_"),
            (7, "_xD83D__xDE00_", None, "x"),
            (8, "d_x0000_", None, "_x0000_"),
        ),
        sent=((6, "c"), (7, "\U0001f600")),
        reported=((2, "period_name", Problem.AMBIGUOUS), (5, "period_name", Problem.AMBIGUOUS)),
    ),
    Trap(
        "utf16_xml.xlsx",
        zipped(
            xlsx_parts(("Enrolments", ""))
            | {"xl/worksheets/sheet1.xml": sheet(TWO).replace("UTF-8", "UTF-16").encode("utf-16")}
        ),
        sent=TWO_SENT,
    ),
    Trap(
        "latin1_xml.xlsx",
        zipped(
            xlsx_parts(("Enrolments", ""))
            | {
                "xl/worksheets/sheet1.xml": sheet(rows(HEADER, (345651201, "Mäy")))
                .replace("UTF-8", "ISO-8859-1")
                .encode("latin-1")
            }
        ),
        sent=((345651201, "Mäy"),),
    ),
    Trap(
        "part_names_in_other_case.xlsx",
        zipped({name.replace("sheet1", "Sheet1"): part for name, part in xlsx_parts(("E", sheet(TWO))).items()}),
        sent=TWO_SENT,
    ),
    Trap(
        "without_shared_strings_and_styles.xlsx",
        zipped(
            {
                name: part
                for name, part in xlsx_parts(("E", sheet(TWO))).items()
                if name not in ("xl/styles.xml", "xl/sharedStrings.xml")
            }
        ),
        sent=TWO_SENT,
    ),
    Trap("xlsx_named.csv", xlsx(("Enrolments", sheet(TWO))), sent=TWO_SENT),
    Trap("xlsx_named.xls", xlsx(("Enrolments", sheet(TWO))), sent=TWO_SENT),
)

_MAY = cell("B2", "May")
_F = "<f>A9+1</f>"
CELLS = (
    _cells("number_as_text", cell("A2", " 345651201\u00a0"), _MAY, sent=ONE_SENT),
    _cells("number_with_zero_decimals", cell("A2", "<v>345651201.0</v>"), _MAY, sent=ONE_SENT),
    _cells("number_in_scientific_form", cell("A2", "<v>3.45651201E8</v>"), _MAY, sent=ONE_SENT),
    _cells(
        "sixteen_digits",
        cell("A2", "<v>1234567890123456</v>"),
        _MAY,
        reported=((2, "customer_id", Problem.DIGITS_LOST),),
    ),
    _cells(
        "sixteen_digits_as_excel_writes_them",
        cell("A2", "<v>1.23456789012345E+18</v>"),
        _MAY,
        reported=((2, "customer_id", Problem.DIGITS_LOST),),
    ),
    _cells("nineteen_digits_as_text", cell("A2", "9223372036854775807"), _MAY, sent=((2**63 - 1, "May"),)),
    _cells("fifteen_digits", cell("A2", "<v>999999999999999</v>"), _MAY, sent=((999999999999999, "May"),)),
    _cells(
        "fraction", cell("A2", "<v>345651201.5</v>"), _MAY, reported=((2, "customer_id", Problem.NOT_A_WHOLE_NUMBER),)
    ),
    _cells(
        "error_in_the_customer",
        cell("A2", "<v>#N/A</v>", ' t="e"'),
        _MAY,
        reported=((2, "customer_id", Problem.ERROR_CELL),),
    ),
    _cells(
        "error_in_the_balance",
        cell("A2", 5),
        _MAY,
        cell("C2", "<f>1/0</f><v>#DIV/0!</v>", ' t="e"'),
        reported=((2, "initial_balance", Problem.ERROR_CELL),),
    ),
    _cells(
        "error_in_the_period",
        cell("A2", 5),
        cell("B2", "<v>#REF!</v>", ' t="e"'),
        reported=((2, "period_name", Problem.ERROR_CELL),),
    ),
    _cells("error_elsewhere", cell("A2", 345651201), _MAY, cell("D2", "<v>#REF!</v>", ' t="e"'), sent=ONE_SENT),
    _cells(
        "formula_with_result",
        cell("A2", f"{_F}<v>345651201</v>"),
        cell("B2", '<f>"M"&amp;"ay"</f><v>May</v>', ' t="str"'),
        sent=ONE_SENT,
    ),
    _cells(
        "formula_with_blank_result",
        cell("A2", 345651201),
        _MAY,
        cell("C2", '<f>""</f><v></v>', ' t="str"'),
        sent=ONE_SENT,
    ),
    _cells(
        "formula_without_result",
        cell("A2", 5),
        _MAY,
        cell("C2", _F),
        reported=((2, "initial_balance", Problem.MISSING),),
    ),
    _cells(
        "formula_with_empty_result",
        cell("A2", 5),
        _MAY,
        cell("C2", f"{_F}<v></v>"),
        reported=((2, "initial_balance", Problem.MISSING),),
    ),
    _cells(
        "formula_with_a_stand_in",
        cell("A2", 5),
        _MAY,
        cell("C2", f"{_F}<v>0</v>"),
        reported=((2, "initial_balance", Problem.AMBIGUOUS),),
        workbook=CALC_ON_LOAD,
    ),
    _cells(
        "row_of_blank_stand_ins",
        cell("A2", '<f>""</f><v></v>', ' t="str"'),
        cell("B2", '<f>""</f><v></v>', ' t="str"'),
        reported=((2, "customer_id", Problem.AMBIGUOUS), (2, "period_name", Problem.AMBIGUOUS)),
        workbook=CALC_ON_LOAD,
    ),
    _cells(
        "values_beside_stand_ins",
        cell("A2", 345651201),
        _MAY,
        cell("D2", f"{_F}<v>0</v>"),
        sent=ONE_SENT,
        workbook=CALC_ON_LOAD,
    ),
    _cells(
        "lookup_on_another_sheet",
        cell("A2", 345651201),
        _MAY,
        cell("C2", "<f>VLOOKUP(A2,Base!A1:C1,3,0)</f><v>7</v>"),
        sent=((345651201, "May", 7),),
    ),
    _cells(
        "date_in_the_customer",
        cell("A2", 45000, ' s="1"'),
        _MAY,
        reported=((2, "customer_id", Problem.NOT_A_WHOLE_NUMBER),),
        formats=("yyyy\\-mm\\-dd",),
    ),
    _cells(
        "customer_in_a_date_format",
        cell("A2", 345651201, ' s="1"'),
        _MAY,
        reported=((2, "customer_id", Problem.AMBIGUOUS),),
        formats=("dd/mm/yyyy",),
    ),
    _cells(
        "date_in_the_period",
        cell("A2", 5),
        cell("B2", 45413, ' s="1"'),
        reported=((2, "period_name", Problem.NOT_TEXT),),
        formats=("mmm\\ yy",),
    ),
    _cells(
        "date_in_the_period_1904",
        cell("A2", 5),
        cell("B2", 45413, ' s="1"'),
        reported=((2, "period_name", Problem.NOT_TEXT),),
        formats=("mmm\\ yy",),
        workbook='<workbookPr date1904="1"/>',
    ),
    _cells(
        "iso_date_in_the_period",
        cell("A2", 5),
        cell("B2", "<v>2024-05-01</v>", ' t="d"'),
        reported=((2, "period_name", Problem.NOT_TEXT),),
    ),
    _cells("number_in_the_period", cell("A2", 5), cell("B2", 202405), reported=((2, "period_name", Problem.NOT_TEXT),)),
    _cells(
        "number_in_a_text_format_in_the_period",
        cell("A2", 5),
        cell("B2", 5, ' s="1"'),
        reported=((2, "period_name", Problem.NOT_TEXT),),
        formats=("@",),
    ),
    _cells(
        "yes_in_the_period",
        cell("A2", 5),
        cell("B2", "<v>1</v>", ' t="b"'),
        reported=((2, "period_name", Problem.NOT_TEXT),),
    ),
    _cells(
        "yes_in_the_customer",
        cell("A2", "<v>1</v>", ' t="b"'),
        _MAY,
        reported=((2, "customer_id", Problem.NOT_A_WHOLE_NUMBER),),
    ),
    _cells(
        "percent_in_the_balance",
        cell("A2", 5),
        _MAY,
        cell("C2", 5, ' s="1"'),
        reported=((2, "initial_balance", Problem.AMBIGUOUS),),
        formats=("0%",),
    ),
    _cells(
        "thousands_shown_in_the_balance",
        cell("A2", 5),
        _MAY,
        cell("C2", 12000, ' s="1"'),
        reported=((2, "initial_balance", Problem.AMBIGUOUS),),
        formats=('#,##0,"K"',),
    ),
    *(
        _cells(
            f"format_that_{name}",
            cell("A2", 5),
            _MAY,
            cell("C2", 12, ' s="1"'),
            reported=((2, "initial_balance", Problem.AMBIGUOUS),),
            formats=(code,),
        )
        for name, code in (
            ("adds_zeros", '0"000"'),
            ("adds_a_digit", "0\\0"),
            ("hides_the_number", ";;;"),
            ("shows_a_word", '"VIP"'),
            ("shows_millions", '0.0,,"M"'),
        )
    ),
    *(
        _cells(
            f"format_{number}_that_shows_the_number",
            cell("A2", 5),
            _MAY,
            cell("C2", 12, ' s="1"'),
            sent=((5, "May", 12),),
            formats=(code,),
        )
        for number, code in enumerate(
            ("", "General", "@", "0.00E+00", "# ?/?", '"A-"0', '_-* #,##0_-;-* #,##0_-;_-* "-"_-;_-@_-', "[>9]0;0.0")
        )
    ),
    _cells(
        "currency_in_the_balance",
        cell("A2", 5),
        _MAY,
        cell("C2", 12, ' s="1"'),
        sent=((5, "May", 12),),
        formats=("#,##0.00\\ [$€-407];[Red]-#,##0.00",),
    ),
    _cells("leading_zeros_shown", cell("A2", 345, ' s="1"'), _MAY, sent=((345, "May"),), formats=("00000000",)),
    _cells("text_that_looks_like_something_else", cell("A2", 5), cell("B2", "MAR1"), sent=((5, "MAR1"),)),
    _cells("text_that_begins_like_a_formula", cell("A2", 5), cell("B2", "=x"), sent=((5, "=x"),)),
    _cells(
        "apostrophe_style",
        '<c r="A2" s="1" t="inlineStr"><is><t>345651201</t></is></c>',
        _MAY,
        sent=ONE_SENT,
        formats=("General",),
    ),
)


def _damaged(name: str, refused: str, **parts: bytes | str | None) -> Trap:
    """Return a workbook in which the parts (named without folder and ending) are others, or missing (None)."""
    places = {
        "sheet": "xl/worksheets/sheet1.xml",
        "strings": "xl/sharedStrings.xml",
        "workbook": "xl/workbook.xml",
        "rels": "xl/_rels/workbook.xml.rels",
        "styles": "xl/styles.xml",
    }
    made = xlsx_parts(("E", sheet(TWO)))
    for key, part in parts.items():
        if part is None:
            del made[places[key]]
        else:
            made[places[key]] = part
    return Trap(f"{name}.xlsx", zipped(made), refused=refused)


_WHOLE = xlsx(("Enrolments", sheet(TWO)))
_LAUGHS = (
    '<!DOCTYPE x [<!ENTITY l0 "ha">' + "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10)) + "]>"
)
_EXTERNAL = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
_FOREIGN = '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">'


def _with_doctype(part: str, doctype: str) -> str:
    return part.replace("?>\n", f"?>\n{doctype}", 1)


DAMAGE = (
    Trap("cut_off.xlsx", _WHOLE[: len(_WHOLE) // 2], refused="damaged or cut off"),
    Trap("cut_off_at_the_end.xlsx", _WHOLE[:-30], refused="damaged or cut off"),
    Trap("damaged_in_the_middle.xlsx", _WHOLE.replace(_WHOLE[1500:1520], b"\0" * 20), refused="damaged"),
    _damaged("sheet_is_missing", "its part xl/worksheets/sheet1.xml is missing", sheet=None),
    _damaged("relations_are_missing", 'its sheet "E" is missing', rels=None),
    _damaged("sheet_breaks_off", "damaged", sheet=sheet(TWO)[:-60]),
    _damaged("sheet_is_no_xml", "damaged", sheet=b"\0\1\2"),
    _damaged("tags_out_of_order", "damaged", sheet=sheet(TWO.replace("</c></row>", "</row></c>"))),
    _damaged("cell_never_closed", "damaged", sheet=sheet(TWO.replace("<v>345651201</v></c>", ""))),
    _damaged("rows_out_of_order", "row 1 stands after row 3", sheet=sheet(TWO + row(1, 5, "x"))),
    _damaged("row_twice", "row 3 stands after row 3", sheet=sheet(TWO + row(3, 5, "x"))),
    _damaged(
        "cells_out_of_order", "out of order", sheet=sheet(TWO + f'<row r="4">{cell("B4", "x")}{cell("A4", 5)}</row>')
    ),
    _damaged("cell_twice", "out of order", sheet=sheet(TWO + f'<row r="4">{cell("A4", 6)}{cell("A4", 5)}</row>')),
    _damaged(
        "cell_of_another_row", 'the cell "A5" stands in row 4', sheet=sheet(TWO + f'<row r="4">{cell("A5", 6)}</row>')
    ),
    _damaged("row_beyond_the_last", "row 1048577 stands after row 3", sheet=sheet(TWO + row(1048577, 5))),
    _damaged(
        "text_that_is_not_there",
        "points to a text that is not there",
        sheet=sheet(TWO + '<row r="4"><c r="A4" t="s"><v>7</v></c></row>'),
    ),
    _damaged(
        "text_of_a_negative_number",
        "points to a text that is not there",
        sheet=sheet(TWO + '<row r="4"><c r="A4" t="s"><v>-1</v></c></row>'),
    ),
    _damaged(
        "number_that_is_none",
        'the number "12_000" in row 4',
        sheet=sheet(TWO + '<row r="4"><c r="A4"><v>12_000</v></c></row>'),
    ),
    _damaged(
        "not_a_number", 'the number "nan" in row 4', sheet=sheet(TWO + '<row r="4"><c r="A4"><v>nan</v></c></row>')
    ),
    _damaged("unknown_type", 'unknown type "q"', sheet=sheet(TWO + '<row r="4"><c r="A4" t="q"><v>1</v></c></row>')),
    _damaged(
        "value_far_to_the_right",
        "16384 columns; at most 1000",
        sheet=sheet(TWO + '<row r="4"><c r="XFD4"><v>1</v></c></row>'),
    ),
    _damaged("all_columns", "16384 columns; at most 1000", sheet=sheet("<row>" + "<c><v>1</v></c>" * 16384 + "</row>")),
    _damaged(
        "merged_everything_twice_over",
        "merged cells cover more than",
        sheet=sheet(
            TWO + row(90_000, 5, "x"), after="<mergeCells>" + '<mergeCell ref="A2:D90000"/>' * 3 + "</mergeCells>"
        ),
    ),
    _damaged(
        "billion_laughs_in_strings",
        "declares a document type",
        strings=_with_doctype(f'<?xml version="1.0"?>\n<sst xmlns="{MAIN}"><si><t>&l9;</t></si></sst>', _LAUGHS),
    ),
    _damaged("billion_laughs_in_a_sheet", "declares a document type", sheet=_with_doctype(sheet(TWO), _LAUGHS)),
    _damaged(
        "external_entity", "declares a document type", sheet=_with_doctype(sheet(TWO).replace("May", "&e;"), _EXTERNAL)
    ),
    _damaged(
        "external_document_type",
        "declares a document type",
        workbook=_with_doctype(str(xlsx_parts(("E", ""))["xl/workbook.xml"]), _FOREIGN),
    ),
    _damaged("zip_bomb", "refused as a zip bomb", sheet=sheet(TWO + " " * (8 << 20))),
    _damaged(
        "zip_bomb_in_strings",
        "refused as a zip bomb",
        strings=f'<sst xmlns="{MAIN}"><si><t>{"A" * (8 << 20)}</t></si></sst>',
    ),
    _damaged("zip_bomb_in_a_part_that_is_not_read", "refused as a zip bomb", styles="<styleSheet/>" + " " * (8 << 20)),
    _damaged(
        "one_string_shown_a_million_times",
        "its texts add up to gigabytes",
        strings=f'<sst xmlns="{MAIN}"><si><t>{"A" * 30_000}</t></si></sst>',
        sheet=sheet(TWO + "".join(f'<row r="{n}"><c r="D{n}" t="s"><v>0</v></c></row>' for n in range(4, 12_000))),
    ),
    _damaged(
        "endless_text",
        "with more than",
        sheet=sheet(TWO + f'<row r="4"><c r="A4" t="str"><v>{"A" * (1 << 20)}</v></c></row>'),
    ),
    Trap(
        "two_parts_of_one_name.xlsx",
        zipped(xlsx_parts(("E", sheet(TWO))) | {"xl/worksheets/SHEET1.xml": sheet(ONE)}),
        refused="two parts of the package have one name",
    ),
    Trap("other.zip", zipped({"a.csv": "customer_id\n5\n"}), refused="is a zip archive and no workbook"),
    Trap(
        "letter.docx",
        zipped(
            {
                "_rels/.rels": str(xlsx_parts(("E", ""))["_rels/.rels"]).replace("xl/workbook", "word/document"),
                "word/document.xml": "<w:document/>",
            }
        ),
        refused="is a zip archive and no workbook",
    ),
    Trap("empty.zip", zipped({}), refused="is an empty zip archive"),
)

XLSX_TRAPS = (*SHEETS, *HIDDEN, *LAYOUT, *WRITERS, *CELLS, *DAMAGE)
