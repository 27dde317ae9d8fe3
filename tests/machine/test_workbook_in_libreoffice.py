"""The workbook in a spreadsheet program: nothing is executed, figures stay, and the failure sheets go back in."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from typing import TYPE_CHECKING

import openpyxl
import pytest
import python_calamine

from tests.machine.conftest import FORMULA
from tests.report.test_round_trip import read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Convert = Callable[[Path, str], Path]

pytestmark = [
    pytest.mark.machine,
    pytest.mark.filterwarnings("ignore:.* extension is not supported"),  # LibreOffice's own, of the data bars
]


@pytest.fixture(scope="session")
def convert(tmp_path_factory: pytest.TempPathFactory) -> Convert:
    """Return a function that lets LibreOffice open a file and save it: `convert(path, "xlsx")`."""
    home = tmp_path_factory.mktemp("libreoffice")

    def to(path: Path, form: str) -> Path:
        out = home / form / path.stem
        out.mkdir(parents=True, exist_ok=True)
        profile = f"-env:UserInstallation={(home / 'profile').as_uri()}"
        subprocess.run(
            [shutil.which("soffice") or "soffice", profile, "--headless", "--convert-to", form, "--outdir", out, path],
            check=True,
            capture_output=True,
            env=os.environ | {"HOME": str(home)},
        )
        (made,) = out.glob(f"*.{form.partition(':')[0]}")
        return made

    return to


def test_libreoffice_shows_the_figures_and_executes_nothing(folder: Path, convert: Convert) -> None:
    saved = convert(folder / "reconciliation.xlsx", "xlsx")
    ours, theirs = openpyxl.load_workbook(folder / "reconciliation.xlsx"), openpyxl.load_workbook(saved)
    assert theirs.sheetnames == ours.sheetnames
    cells = [cell for sheet in theirs for row in sheet.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} <= {"s", "n", "d", "b"}
    assert not [cell for cell in cells if cell.hyperlink]
    assert FORMULA in {cell.value for cell in cells}
    for name in ("Succeeded", "Failures", "Invalid users"):
        assert [row[:9] for row in theirs[name].iter_rows(values_only=True)] == [
            row[:9] for row in ours[name].iter_rows(values_only=True)
        ]
    with zipfile.ZipFile(saved) as archive:
        assert len([name for name in archive.namelist() if name.startswith("xl/charts/chart")]) == 4


@pytest.mark.parametrize("form", ["xlsx", "ods"])
def test_failure_sheets_saved_by_libreoffice_go_back_in(folder: Path, convert: Convert, form: str) -> None:
    requests, problems = read(folder / "reconciliation.xlsx")
    again, problems_again = read(convert(folder / "reconciliation.xlsx", form))
    assert problems == problems_again == []
    assert set(again) == set(requests)
    assert len(again) == len(requests) > 300


def test_the_csv_files_open_without_executing_anything(folder: Path, convert: Convert) -> None:
    saved = convert(folder / "succeeded.csv", "xlsx")
    cells = [cell for sheet in openpyxl.load_workbook(saved) for row in sheet.iter_rows() for cell in row]
    assert "f" not in {cell.data_type for cell in cells}
    assert f"'{FORMULA}" in {cell.value for cell in cells}


def test_the_workbook_prints(folder: Path, convert: Convert) -> None:
    printed = convert(folder / "reconciliation.xlsx", "pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    assert 8 < printed.count(b"/Type/Page") < 200


def test_an_annotated_workbook_keeps_its_marks(folder: Path, convert: Convert) -> None:
    saved = convert(folder / "annotated.xlsx", "xlsx")
    cells = [cell for sheet in openpyxl.load_workbook(saved) for row in sheet.iter_rows() for cell in row]
    assert "digits lost: hint for digits_lost" in {cell.comment.text for cell in cells if cell.comment}
    assert python_calamine.CalamineWorkbook.from_path(saved).sheet_names == ["may.csv", "Juni"]
