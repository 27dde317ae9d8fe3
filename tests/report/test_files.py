from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.errors import EnrollBatchError
from batch.report.files import csv_file, csv_text, write_text

if TYPE_CHECKING:
    from pathlib import Path

EXECUTED = "=+-@＝＋－＠\t\r"


@pytest.mark.parametrize("first", [*EXECUTED, "'"])
def test_a_text_that_a_spreadsheet_program_would_execute_gets_one_apostrophe(first: str) -> None:
    assert csv_text(f"{first}cmd|' /C calc'!A0") == f"'{first}cmd|' /C calc'!A0"


@given(st.text(st.one_of(st.sampled_from(EXECUTED + "' a"), st.characters(codec="utf-8"))))
def test_taking_one_apostrophe_off_gives_every_text_back_and_none_is_executed(text: str) -> None:
    """Fails when a text that begins with an apostrophe of its own is not guarded."""
    written = csv_text(text)
    assert written[:1] == "" or written[0] not in EXECUTED
    assert written.removeprefix("'") == text


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, ""), ("", ""), (True, "true"), (False, "false"), (0, "0"), (-5, "-5"), (345651201, "345651201"),
        (9223372036854775807, "9223372036854775807"), (5.0, "5"), (-0.5, "-0.5"), (0.1, "0.1"), (1e22, "1e+22"),
        ("null", "null"), (" =1", " =1"),
    ],
)  # fmt: skip
def test_values_are_written_so_that_they_read_the_same(value: str | float | None, written: str) -> None:
    assert csv_text(value) == written


def test_a_csv_file_has_bom_commas_and_crlf_and_a_header_even_when_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    with csv_file(path, ["customer_id", "=Region", 'a "b", c']):
        pass
    assert path.read_bytes() == b'\xef\xbb\xbfcustomer_id,\'=Region,"a ""b"", c"\r\n'


def test_awkward_texts_come_back_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "awkward.csv"
    cells = ["Nörd, Süd", 'say "hi"', "two\nlines", "two\r\nlines", " blanks ", "日本", "a\x00b", ";", ""]
    with csv_file(path, ["x"] * len(cells)) as file:
        file.write(cells)
        assert file.lines == 1
    with path.open(encoding="utf-8-sig", newline="") as stream:
        assert list(csv.reader(stream))[1] == cells


def test_half_a_character_does_not_cost_the_report(tmp_path: Path) -> None:
    path = tmp_path / "half.csv"
    with csv_file(path, ["x"]) as file:
        file.write([json.loads('"\\ud83d!"')])
    assert path.read_text("utf-8-sig") == "x\n\\ud83d!\n"


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    write_text(path, "yesterday")
    with pytest.raises(ZeroDivisionError), csv_file(path, ["x"]) as file:
        file.write(1 / 0 for _ in range(1))
    assert path.read_text() == "yesterday"
    assert [file.name for file in tmp_path.iterdir()] == ["report.csv"]


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(EnrollBatchError, match=r"x\.csv: cannot be written \(No such file or directory\)") as caught:
        write_text(tmp_path / "gone" / "x.csv", "")
    assert caught.value.exit_code == 1
    assert "enroll-batch report" in caught.value.text
