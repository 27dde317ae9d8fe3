"""Step 1 of 5, backwards: an empty upload sheet that `reader` reads without a question.

Owns the workbook: columns formatted as text, so that a spreadsheet program changes nothing that is typed, a check on
each cell, and a sheet of help. Which columns it has is a pure function of what the config leaves to the file.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import xlsxwriter

from batch.intake.sheet_choice import HELP_MARK
from batch.model import Action, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHEET = "Enrolments"
HELP_SHEET = "Help"
_LAST_ROW = 1_048_575


@dataclass(frozen=True, slots=True)
class TemplateColumn:
    """One column: its header, what to write in it, and the check: "number", or the words that may stand there."""

    header: str
    help: str
    check: str | tuple[str, ...] | None
    width: int


def template_columns(
    *,
    action: Action,
    kind: Kind,
    cycles_in_column: bool,
    missing: Sequence[str],
    balance_in_column: bool,
    reset_in_column: bool,
    headers: Mapping[str, str],
    country_code: str | None,
) -> tuple[TemplateColumn, ...]:
    """Return the columns of an upload, only those that the config leaves open: a column decides for every row.

    `missing` are the columns that the config gives no value for (target_group_id, target_id). `headers` are the
    config's own names (`input.columns`); where they name an identifier and no id, customers are named by that.
    `country_code` is that of mobile numbers without one.
    """
    enrolls = action is Action.ENROLL
    is_milestone = kind is Kind.MILESTONE
    wanted = {
        "customer_id": "customer_id" in headers or not any(name in headers for name in _IDENTIFIERS),
        **{name: name in headers for name in _IDENTIFIERS},
        "period_name": enrolls and is_milestone and cycles_in_column,
        "initial_balance": enrolls and is_milestone and balance_in_column,
        "reset_streak_status": enrolls and not is_milestone and reset_in_column,
        "target_group_id": "target_group_id" in missing,
        "target_id": "target_id" in missing,
    }
    about = _ABOUT if country_code is None else {**_ABOUT, "mobile": _mobile_within(country_code)}
    return tuple(
        TemplateColumn(headers.get(name, name), *about[name]) for name, is_wanted in wanted.items() if is_wanted
    )


def _mobile_within(country_code: str) -> tuple[str, None, int]:
    return f"The customer's mobile number. One of another country than +{country_code}: with + and its code.", None, 20


_IDENTIFIERS = ("mobile", "email", "external_id")

_ABOUT: dict[str, tuple[str, str | tuple[str, ...] | None, int]] = {
    "customer_id": ("The customer's id in Capillary, in digits. Needed in every row.", "number", 20),
    "mobile": ("The customer's mobile number with its country code, such as 919812345678.", None, 20),
    "email": ("The customer's e-mail address.", None, 30),
    "external_id": ("The customer's external id in Capillary, to the letter.", None, 24),
    "period_name": ("The name of the cycle, to the letter. Needed in every row.", None, 28),
    "initial_balance": ("A whole number. Blank: none, the old balance goes on. 0 wipes the old balance.", "number", 18),
    "reset_streak_status": ("true: the streak begins anew. Blank or false: it goes on.", ("true", "false"), 22),
    "target_group_id": ("The id of the target group, in digits. Needed in every row.", "number", 18),
    "target_id": ("The id of the target, in digits. Needed in every row.", "number", 18),
}
_RULES = (
    "One row is one customer; where there is a column for the cycle, one row is one customer and one cycle.",
    "All columns are formatted as text, so that nothing you type or paste is changed. Paste values only.",
    "You may add columns of your own to the right: they come back in the report, untouched.",
    "Blank rows are passed over. Do not merge cells, and put no total below.",
    "See what would be sent, without sending it: enroll-batch plan FILE -c CONFIG",
)


def template_workbook(columns: Sequence[TemplateColumn], *, sheet: str | None, header_row: int | None) -> bytes:
    """Return the workbook (.xlsx) with these columns, on the sheet and row where the config looks for them."""
    target = io.BytesIO()
    with xlsxwriter.Workbook(target, {"in_memory": True, "strings_to_formulas": False}) as book:
        _add_upload(book, columns, sheet or SHEET, (header_row or 1) - 1)
        _add_help(book, columns, HELP_SHEET if sheet != HELP_SHEET else f"{HELP_SHEET} 2")
    return target.getvalue()


def _add_upload(book: xlsxwriter.Workbook, columns: Sequence[TemplateColumn], name: str, header_row: int) -> None:
    sheet = book.add_worksheet(name)
    as_text = book.add_format({"num_format": "@"})
    bold = book.add_format({"num_format": "@", "bold": True, "bottom": 1, "bg_color": "#E4EEFB"})
    sheet.freeze_panes(header_row + 1, 0)
    for number, column in enumerate(columns):
        sheet.set_column(number, number, column.width, as_text)
        sheet.write_string(header_row, number, column.header, bold)
        rule: dict[str, object] = {"validate": "any"}
        if column.check == "number":
            first = xlsxwriter.utility.xl_rowcol_to_cell(header_row + 1, number)
            rule = {"validate": "custom", "value": _DIGITS_ONLY.replace("CELL", first)}
        elif column.check is not None:
            rule = {"validate": "list", "source": list(column.check)}
        rule |= {
            "input_title": column.header[:32],
            "input_message": column.help,
            "error_title": column.header[:32],
            "error_message": column.help,
        }
        sheet.data_validation(header_row + 1, number, _LAST_ROW, number, rule)


_DIGITS_ONLY = '=ISNUMBER(SUMPRODUCT(FIND(MID(CELL,ROW(INDIRECT("1:"&LEN(CELL))),1),"0123456789")))'
"""Digits and nothing else, in words that Excel and LibreOffice both understand."""


def _add_help(book: xlsxwriter.Workbook, columns: Sequence[TemplateColumn], name: str) -> None:
    sheet = book.add_worksheet(name)
    bold = book.add_format({"bold": True})
    wrapped = book.add_format({"text_wrap": True, "valign": "top"})
    sheet.set_column(0, 0, 24, wrapped)
    sheet.set_column(1, 1, 90, wrapped)
    sheet.write_string(0, 0, HELP_MARK, bold)
    row = 2
    for column in columns:
        sheet.write_string(row, 0, column.header, bold)
        sheet.write_string(row, 1, column.help, wrapped)
        row += 1
    for rule in _RULES:
        row += 1
        sheet.write_string(row, 1, rule, wrapped)
