"""Delimited text as people upload it."""

from __future__ import annotations

import bz2
import gzip

from batch.model import Problem
from tests.data.trap import Sent, Trap

HEADER = "customer_id,period_name,initial_balance,note"
TWO = "345651201,May,,x\r\n345651202,June,0,y\r\n"
PLAIN = f"{HEADER}\r\n{TWO}"
TWO_SENT: tuple[Sent, ...] = ((345651201, "May"), (345651202, "June", 0))


def _good(name: str, content: str | bytes, *remarks: str, sent: tuple[Sent, ...] = TWO_SENT, **more: object) -> Trap:
    data = content.encode() if isinstance(content, str) else content
    return Trap(name, data, sent=sent, remarks=remarks, **more)  # type: ignore[arg-type]


ENCODINGS = (
    _good("utf8.csv", PLAIN),
    _good("utf8_bom.csv", PLAIN.encode("utf-8-sig")),
    _good("utf8_bom_quoted_header.csv", PLAIN.replace("customer_id", '"customer_id"').encode("utf-8-sig")),
    _good("utf16le_bom_unicode_text.txt", PLAIN.replace(",", "\t").encode("utf-16")),
    _good("utf16be_bom.csv", b"\xfe\xff" + PLAIN.encode("utf-16-be")),
    _good("utf16le_without_bom.csv", PLAIN.encode("utf-16-le"), "no byte order mark"),
    _good("utf16be_without_bom.csv", PLAIN.encode("utf-16-be"), "no byte order mark"),
    _good("utf32.csv", PLAIN.encode("utf-32")),
    _good(
        "cp1252.csv",
        f"{HEADER}\r\n345651201,Frühling €,,x\r\n".encode("cp1252"),
        "read as Windows-1252",
        sent=((345651201, "Frühling €"),),
    ),
    _good(
        "cp1252_only_at_the_end_of_a_large_file.csv",
        (f"{HEADER}\r\n" + "345651201,May,,x\r\n" * 70_000 + "345651202,Über,,x\r\n").encode("cp1252"),
        "read as Windows-1252",
        sent=((345651201, "May"),) * 70_000 + ((345651202, "Über"),),
    ),
    _good(
        "shift_jis_by_config.csv",
        f"{HEADER}\r\n345651201,五月,,x\r\n".encode("shift_jis"),
        sent=((345651201, "五月"),),
        read={"encoding": "shift_jis"},
    ),
    _good("bom_wins_over_config.csv", PLAIN.encode("utf-8-sig"), read={"encoding": "cp1252"}),
    Trap("no_known_encoding.csv", PLAIN.encode() + b"5,\x81\x8d,,\r\n", refused="neither UTF-8"),
    Trap(
        "not_the_encoding_of_the_config.csv",
        PLAIN.encode() + b"5,\xe4,,\r\n",
        refused="cannot be read as utf-8",
        read={"encoding": "utf-8"},
    ),
    Trap(
        "unknown_encoding_in_config.csv", PLAIN.encode(), refused="no such text encoding", read={"encoding": "klingon"}
    ),
    Trap(
        "no_text_encoding_in_config.csv", PLAIN.encode(), refused="no such text encoding", read={"encoding": "base64"}
    ),
    Trap(
        "utf8_cut_in_the_middle_of_a_character.csv",
        f"{HEADER}\r\n345651201,Frühling,,\r\n345651202,Fr\u00fc".encode()[:-1],
        refused="begins as UTF-8, and is broken or in another encoding from line 3",
    ),
    Trap(
        "utf8_and_cp1252_in_one.csv",
        f"{HEADER}\r\n345651201,Frühling,,\r\n".encode() + "345651202,Frühling,,\r\n".encode("cp1252"),
        refused="begins as UTF-8, and is broken or in another encoding from line 3",
    ),
    Trap(
        "utf8_and_cp1252_in_one_large_file.csv",
        f"{HEADER}\n1,é,,\n{'1,May,,' + chr(10)}".encode() + b"2,May,,\n" * 200_000 + b"3,\xe9,,\n",
        refused="from line 200004",
    ),
    _good(
        "cp1252_at_the_very_end.csv",
        f"{HEADER}\n345651201,May,,Café".encode("cp1252"),
        "read as Windows-1252",
        "the last line has no line break",
        sent=((345651201, "May"),),
    ),
    Trap(
        "half_a_character.csv",
        b"customer_id,period_name\r\n5,+2D0-\r\n",
        refused="cannot be read as utf-7 (surrogates not allowed)",
        read={"encoding": "utf-7"},
    ),
    Trap(
        "character_lost_before.csv",
        f"{HEADER}\r\n345651201,Fr\ufffdhling,,x\r\n345651202,June,0,\ufffd\r\n".encode(),
        sent=((345651202, "June", 0),),
        reported=((2, "period_name", Problem.AMBIGUOUS),),
    ),
    Trap("utf16_cut_in_the_middle_of_a_character.csv", PLAIN.encode("utf-16")[:-1], refused="cannot be read as utf-16"),
)

DELIMITERS = (
    _good("semicolon.csv", PLAIN.replace(",", ";")),
    _good("tab.tsv", PLAIN.replace(",", "\t")),
    _good("pipe.csv", PLAIN.replace(",", "|")),
    _good("caret_by_config.csv", PLAIN.replace(",", "^"), read={"delimiter": "^"}),
    _good("sep_line.csv", "sep=;\r\n" + PLAIN.replace(",", ";")),
    _good("sep_line_utf16.csv", ("sep=\t\r\n" + PLAIN.replace(",", "\t")).encode("utf-16")),
    _good("sep_line_of_a_rare_sign.csv", "SEP=~\n" + PLAIN.replace(",", "~")),
    _good(
        "commas_in_semicolon_cells.csv",
        "customer_id;period_name;note\r\n345651201;May, June;a,b,c,d\r\n",
        sent=((345651201, "May, June"),),
    ),
    _good("one_column.csv", "customer_id\r\n5\r\n6\r\n", sent=((5, "A"), (6, "A")), plan={"cycles": ("A",)}),
    Trap(
        "one_column_and_other_delimiters_below.csv",
        b"customer_id\r\n5;7\r\n6,8\r\n",
        reported=((2, "customer_id", Problem.NOT_A_WHOLE_NUMBER), (3, "", Problem.ROW_SHAPE)),
        plan={"cycles": ("A",)},
    ),
)

LINES = (
    _good("lf.csv", PLAIN.replace("\r\n", "\n")),
    _good("cr.csv", PLAIN.replace("\r\n", "\r")),
    _good("mixed_line_ends.csv", f"{HEADER}\r345651201,May,,x\n345651202,June,0,y\r\n"),
    _good("no_last_line_break.csv", PLAIN.rstrip(), "the last line has no line break"),
    _good(
        "blank_lines_between.csv",
        f"\r\n\r\n{HEADER}\r\n\r\n345651201,May,,x\r\n,,,\r\n\r\n345651202,June,0,y\r\n\r\n,,,\r\n",
    ),
    _good("many_blank_rows_at_the_end.csv", PLAIN + ",,,\r\n" * 100_000),
    _good(
        "unusual_line_separators_stay_inside.csv",
        f"{HEADER}\r\n345651201,May,,a\u2028b\x0bc\x0cd\x85e\r\n",
        sent=((345651201, "May"),),
    ),
    Trap(
        "cut_off_in_the_middle_of_a_row.csv",
        f"{HEADER}\r\n345651201,May,,x\r\n345651202".encode(),
        sent=((345651201, "May"),),
        reported=((3, "period_name", Problem.ROW_SHAPE),),
        remarks=("the last line has no line break",),
    ),
    Trap("line_without_end.csv", b"customer_id," + b"x" * (9 << 20), refused="this is no table"),
)

QUOTES = (
    _good(
        "quoted.csv",
        f'{HEADER}\r\n"345651201","May, or ""June""",,"a\r\nb\nc"\r\n345651202,June,0,y\r\n',
        sent=((345651201, 'May, or "June"'), (345651202, "June", 0)),
    ),
    _good(
        "quote_inside_an_unquoted_cell.csv",
        f'{HEADER}\r\n345651201,May 5" pipe,,x\r\n',
        sent=((345651201, 'May 5" pipe'),),
    ),
    Trap(
        "quote_never_closed.csv",
        f'{HEADER}\r\n345651201,"May,,x\r\n{TWO}'.encode(),
        refused="line 2: a quote is opened and never closed",
    ),
    Trap(
        "quote_never_closed_in_a_large_file.csv",
        f'{HEADER}\r\n5,"May,,x\r\n{TWO * 9000}'.encode(),
        refused="line 2: a quote is opened and never closed",
    ),
    Trap(
        "quote_closed_in_the_middle.csv",
        f'{HEADER}\r\n{TWO}345651203,"5" pipe",,x\r\n'.encode(),
        refused="line 4: a quote is closed in the middle",
    ),
    Trap(
        "quote_closed_in_the_middle_of_the_header.csv",
        f'"a"b,{PLAIN}'.encode(),
        refused="line 1: a quote is closed in the middle",
    ),
    Trap(
        "blank_before_a_quote.csv",
        f'{HEADER}\r\n345651201, "May",, "x"\r\n345651202,June,0,y\r\n'.encode(),
        sent=((345651202, "June", 0),),
        reported=((2, "period_name", Problem.AMBIGUOUS),),
    ),
)

SHAPES = (
    Trap(
        "ragged.csv",
        f"{HEADER}\r\n1,May,5\r\n2,May\r\n3\r\n4,May,5,x,,\r\n5,May,5,x,6\r\n6,May,1,000,x\r\n".encode(),
        sent=((1, "May", 5), (4, "May", 5)),
        reported=(
            (3, "initial_balance", Problem.ROW_SHAPE),
            (4, "period_name", Problem.ROW_SHAPE),
            (6, "", Problem.ROW_SHAPE),
            (7, "", Problem.ROW_SHAPE),
        ),
    ),
    _good("headers_of_any_look.csv", "\u00a0Customer ID\u200b , Period-Name,INITIAL BALANCE\u00a0,Note\r\n" + TWO),
    _good("camel_case_headers.csv", "customerId,periodName,initialBalance,Note\r\n" + TWO),
    _good(
        "unknown_columns_with_one_name.csv",
        PLAIN.replace("note", "x,x").replace(",x\r", ",,\r").replace(",y\r", ",,\r"),
    ),
    _good("column_without_header.csv", PLAIN.replace("note", "")),
    _good(
        "titles_above_and_a_total_below.csv",
        f"Upload of May;;;\r\n;;;\r\nall shops;;;\r\n{PLAIN};;;\r\nTotal;;1200;\r\n".replace(",", ";"),
        "what stands above the header in row 4 is not read",
        reported=((8, "customer_id", Problem.NOT_A_WHOLE_NUMBER), (8, "period_name", Problem.MISSING)),
    ),
    _good(
        "date_and_version_above_the_customers.csv",
        f"22.11.2026,,,\r\n1.2,,,\r\nReport 2026,,,\r\n{PLAIN}",
        "what stands above the header in row 4 is not read",
    ),
    _good(
        "numbers_above_other_columns.csv",
        f'Rows,2,,\r\nSum,,1200,2026\r\n,22.11.2026,"1,200",\r\n{PLAIN}',
        "what stands above the header in row 4 is not read",
    ),
    *(
        Trap(
            f"{name}_above_the_header.csv",
            f"{cell},May,,x\r\n{PLAIN}".encode(),
            refused="row 1, above the header in row 2, has a number in the column of the customers",
        )
        for name, cell in (
            ("customer", "345651203"),
            ("customer_with_apostrophe", "'345651203"),
            ("customer_of_zero_decimals", " 345651203.0 "),
            ("grouped_customer", "345.651.203"),
            ("scientific_customer", "3.45651E+08"),
            ("customer_with_plus", "+345651203"),
        )
    ),
    Trap(
        "customer_above_the_header_that_the_config_names.csv",
        b"5,May\r\nMember,Cycle\r\n6,June\r\n",
        refused="row 1, above the header in row 2, has a number",
        renamed={"customer_id": "Member", "period_name": "Cycle"},
    ),
    Trap("header_above_the_header.csv", f"Customer ID\r\n5\r\n{PLAIN}".encode(), refused="rows 1 and 3 both look like"),
    Trap(
        "header_repeated_below.csv",
        f"{PLAIN}{PLAIN}".encode(),
        sent=(*TWO_SENT, *TWO_SENT),
        reported=((4, "customer_id", Problem.NOT_A_WHOLE_NUMBER), (4, "initial_balance", Problem.NOT_A_WHOLE_NUMBER)),
    ),
    Trap(
        "other_header_below.csv",
        f"{PLAIN}customer_id,initial_balance,period_name,note\r\n5,7,May,\r\n".encode(),
        refused="row 4 is the header of another table",
    ),
    Trap(
        "other_header_below_with_the_customer_elsewhere.csv",
        f"{PLAIN}period_name,customer_id,initial_balance,note\r\nMay,5,7,\r\n".encode(),
        refused="row 4 is the header of another table",
    ),
    _good(
        "column_name_as_a_cell.csv",
        "customer_id,period_name,5\r\n5,May,customer_id\r\n",
        sent=((5, "May"),),
        reported=(),
    ),
    _good(
        "header_row_by_config.csv",
        f"customer_id,was here before\r\n{PLAIN}",
        "what stands above the header in row 2 is not read",
        read={"header_row": 2},
    ),
    _good("header_by_config_name.csv", PLAIN.replace("customer_id", "Member"), renamed={"customer_id": "Member"}),
    _good(
        "config_name_wins.csv",
        "customer id,Member,period_name,initial_balance\r\n9,345651201,May,\r\n8,345651202,June,0\r\n",
        renamed={"customer_id": "member"},
    ),
    Trap(
        "header_row_by_config_is_blank.csv",
        f"\r\n{PLAIN}".encode(),
        refused="row 1 (input.header_row) is blank",
        read={"header_row": 1},
    ),
    Trap(
        "header_row_by_config_is_beyond_the_end.csv",
        PLAIN.encode(),
        refused="row 9 (input.header_row)",
        read={"header_row": 9},
    ),
    Trap("two_customer_columns.csv", b"customer_id,Customer ID\r\n1,2\r\n", refused="2 columns could be customer_id"),
    Trap(
        "two_balance_columns.csv",
        b"customer_id,period_name,initial_balance,initialBalance\r\n1,May,2,3\r\n",
        refused="2 columns could be initial_balance",
    ),
    Trap("no_header.csv", TWO.encode(), refused="no header found"),
    Trap("no_customer_column.csv", b"member,period_name\r\n1,May\r\n", refused="no header found"),
    _good(
        "customers_by_mobile.csv",
        "Mobile,period_name\r\n491701234567,May\r\n",
        sent=(("mobile:491701234567", "May"),),
    ),
    _good(
        "customers_by_external_id.csv",
        "external id,period_name\r\nA7,May\r\n",
        sent=(("external_id:A7", "May"),),
    ),
    _good(
        "email_beside_the_customer.csv", "customer_id,email,period_name\r\n5,a@b.example,May\r\n", sent=((5, "May"),)
    ),
    Trap(
        "config_names_a_column_that_is_not_there.csv",
        PLAIN.encode(),
        refused="not in the file",
        renamed={"target_id": "Target"},
    ),
    Trap(
        "slip_of_the_finger_in_a_header.csv",
        PLAIN.replace("initial_balance", "inital_balance").encode(),
        refused='column "inital_balance" is almost initial_balance',
    ),
    Trap("too_many_columns.csv", ("customer_id" + ",c" * 16_383 + "\r\n").encode(), refused="16384 columns"),
    Trap(
        "explained_header.csv",
        b"customer_id,Initial Balance (points),period_name\r\n5,7,May\r\n",
        refused="is almost initial_balance",
    ),
    Trap(
        "blank_before_a_quote_in_the_header.csv",
        b'customer_id, "action",period_name\r\n5,unenroll,May\r\n',
        refused="has a blank before its quote",
    ),
    _good("header_only.csv", f"{HEADER}\r\n", sent=()),
    Trap("empty.csv", b"", refused="is empty"),
    Trap("only_a_byte_order_mark.csv", b"\xef\xbb\xbf", refused="is empty"),
    Trap("only_blanks.csv", b" \r\n\t\r\n\xc2\xa0\r\n", refused="is empty"),
)

NULS = (
    _good("nul_tail.csv", PLAIN.encode() + b"\0" * 4096, "the file ends in NUL characters"),
    Trap("nul_inside.csv", PLAIN.replace("June", "Ju\0ne").encode(), refused="line 3: a NUL character"),
    Trap("only_nuls.csv", b"\0" * 4096, refused="is empty"),
)

MISLABELLED = (
    Trap("gzip.csv", gzip.compress(PLAIN.encode(), mtime=0), refused="is compressed with gzip"),
    Trap("bzip2.csv", bz2.compress(PLAIN.encode()), refused="is compressed with bzip2"),
    _good("csv_named.xlsx", PLAIN),
    _good("csv_named.xls", PLAIN.replace(",", "\t").encode("utf-16")),
    Trap(
        "html_named.xls",
        b"<html><table><tr><td>customer_id</td></tr><tr><td>5</td></tr></table></html>",
        refused="is a web page (HTML)",
    ),
    Trap(
        "html_utf16_named.xls",
        "<!DOCTYPE html>\n<table><tr><td>customer_id".encode("utf-16"),
        refused="is a web page (HTML)",
    ),
    Trap("table_only_named.xls", b"\r\n  <table border=1><tr><td>customer_id", refused="is a web page (HTML)"),
    Trap(
        "mhtml_named.xls",
        b'MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary="x"\r\n',
        refused="is a web archive",
    ),
    Trap(
        "xml_spreadsheet_2003.xls",
        b'<?xml version="1.0"?>\n<?mso-application progid="Excel.Sheet"?>\n'
        b'<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"/>',
        refused="is an XML Spreadsheet 2003",
    ),
    Trap("other.xml", b'<?xml version="1.0"?><rows/>', refused="is XML"),
    Trap("page.csv", b"%PDF-1.7\n", refused="is a PDF"),
    Trap("picture.csv", b"\x89PNG\r\n\x1a\n", refused="is a picture"),
    Trap("noise.csv", bytes(range(256)) * 64, refused="neither UTF-8"),
)

TEXT_TRAPS = (*ENCODINGS, *DELIMITERS, *LINES, *QUOTES, *SHAPES, *NULS, *MISLABELLED)
