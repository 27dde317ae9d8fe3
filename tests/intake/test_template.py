from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest

from batch.commands.template import template
from batch.errors import EnrollBatchError, UsageError
from batch.intake.reader import ReadRules
from batch.intake.template import HELP_SHEET, SHEET, template_columns, template_workbook
from batch.model import Action, Kind
from tests.intake.readings import read

if TYPE_CHECKING:
    from pathlib import Path

CAMPAIGN: dict[str, Any] = {
    "action": Action.ENROLL,
    "kind": Kind.MILESTONE,
    "cycles_in_column": True,
    "missing": (),
    "balance_in_column": True,
    "reset_in_column": True,
    "headers": {},
    "country_code": None,
}


@pytest.mark.parametrize(
    ("campaign", "names"),
    [
        ({}, ["customer_id", "period_name", "initial_balance"]),
        ({"cycles_in_column": False, "balance_in_column": False}, ["customer_id"]),
        ({"kind": Kind.STREAK}, ["customer_id", "reset_streak_status"]),
        ({"action": Action.UNENROLL}, ["customer_id"]),
        (
            {"missing": ("target_group_id", "target_id"), "action": Action.UNENROLL},
            ["customer_id", "target_group_id", "target_id"],
        ),
        ({"headers": {"customer_id": "Member ID"}}, ["Member ID", "period_name", "initial_balance"]),
        ({"headers": {"mobile": "Phone"}}, ["Phone", "period_name", "initial_balance"]),
        (
            {"headers": {"email": "Mail", "customer_id": "ID"}, "kind": Kind.STREAK, "reset_in_column": False},
            ["ID", "Mail"],
        ),
    ],
)
def test_a_template_has_the_columns_that_the_config_leaves_open(campaign: dict[str, Any], names: list[str]) -> None:
    assert [column.header for column in template_columns(**CAMPAIGN | campaign)] == names


@pytest.mark.parametrize(
    ("country_code", "help_text"),
    [
        (None, "The customer's mobile number with its country code, such as 919812345678."),
        ("91", "The customer's mobile number. One of another country than +91: with + and its code."),
    ],
)
def test_a_template_asks_for_a_country_code_where_the_config_has_none(country_code: str | None, help_text: str) -> None:
    (phone, *_) = template_columns(**CAMPAIGN | {"headers": {"mobile": "Phone"}, "country_code": country_code})
    assert phone.help == help_text


def test_a_filled_template_reads_back_cleanly(tmp_path: Path) -> None:
    columns = template_columns(**CAMPAIGN | {"headers": {"customer_id": "Member ID"}})
    book = openpyxl.load_workbook(io.BytesIO(template_workbook(columns, sheet="May", header_row=3)))
    sheet = book["May"]
    for cell, value in zip(sheet["4"], ("345651201", "1-2", "0"), strict=True):
        assert sheet.column_dimensions[cell.column_letter].number_format == "@"
        cell.value = value
    path = tmp_path / "filled.xlsx"
    book.save(path)
    rules = ReadRules(sheet="May", header_row=3)
    reading = read(path, rules, {"customer_id": "Member ID"})
    assert reading.sent == [(345651201, "1-2", 0)]
    assert reading.remarks == []
    assert read(path, ReadRules(header_names=("Member ID",)), {"customer_id": "Member ID"}).sent == reading.sent


def test_an_empty_template_holds_no_row_and_its_help_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "empty.xlsx"
    path.write_bytes(template_workbook(template_columns(**CAMPAIGN), sheet=None, header_row=None))
    reading = read(path)
    assert reading.rows == []
    assert reading.sheets == [SHEET]
    assert openpyxl.load_workbook(path).sheetnames == [SHEET, HELP_SHEET]


def test_every_column_is_text_to_the_last_row_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "empty.xlsx"
    columns = template_columns(**CAMPAIGN | {"kind": Kind.STREAK})
    path.write_bytes(template_workbook(columns, sheet=None, header_row=None))
    sheet = openpyxl.load_workbook(path)[SHEET]
    checks = {str(check.sqref): (check.type, check.formula1) for check in sheet.data_validations.dataValidation}
    assert checks["A2:A1048576"][0] == "custom"
    assert checks["B2:B1048576"] == ("list", '"true,false"')


CONFIG = """
api: {base_url: sandbox}
campaign: {kind: milestone, target_group_id: 29463, target_id: 5512, cycles: column}
"""


def run_template(config: str, out: Path) -> None:
    path = out.with_name("config.yaml")
    path.write_text(config)
    template.main(["-c", str(path), str(out)], standalone_mode=False)


def test_the_command_writes_the_template_and_never_over_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "upload.xlsx"
    run_template(CONFIG, out)
    assert capsys.readouterr().out == f"{out}: customer_id, period_name, initial_balance\n"
    assert read(out).rows == []
    with pytest.raises(UsageError, match="exists already"):
        run_template(CONFIG, out)


def test_the_command_gives_the_template_the_country_code_of_the_config(tmp_path: Path) -> None:
    out = tmp_path / "upload.xlsx"
    run_template(f"{CONFIG}input: {{columns: {{mobile: Phone}}, country_code: 91}}\n", out)
    told = [str(cell.value) for (cell,) in openpyxl.load_workbook(out)[HELP_SHEET]["B1:B9"]]
    assert any("another country than +91" in text for text in told)


def test_the_command_wants_a_name_that_excel_opens(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends in \.xlsx"):
        run_template(CONFIG, tmp_path / "upload.csv")


def test_the_command_says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    with pytest.raises(EnrollBatchError, match="cannot be written"):
        template.main(["-c", str(tmp_path / "config.yaml"), str(tmp_path / "no" / "x.xlsx")], standalone_mode=False)
