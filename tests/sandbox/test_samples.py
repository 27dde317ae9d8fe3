"""The files in samples/ are what the script makes, and hold what their README line promises."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pytest
from python_calamine import CalamineWorkbook

ROOT = Path(__file__).parents[2]


def load_script():
    spec = importlib.util.spec_from_file_location("make_samples", ROOT / "tests" / "data" / "make_samples.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = load_script()


def rows_of(name):
    with (ROOT / "samples" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("name", ["enroll_200x5.csv", "streak.csv", "unenroll.csv", "connected_orgs.csv"])
def test_the_samples_are_what_the_script_makes(name):
    assert (ROOT / "samples" / name).read_bytes() == SCRIPT.make()[name]


def test_the_workbook_holds_what_the_script_makes():
    workbook = CalamineWorkbook.from_path(ROOT / "samples" / "enroll_cycles.xlsx")
    found = workbook.get_sheet_by_name("Enrolments").to_python()
    assert found == [["" if cell is None else cell for cell in row] for row in SCRIPT.enroll_cycles()]


def test_the_readme_sample_has_200_customers_and_some_of_each_kind():
    header, *rows = rows_of("enroll_200x5.csv")
    assert header == ["Customer ID", "Name", "Tier"]
    ids = [row[0] for row in rows]
    good = [each for each in ids if each.isdigit()]
    assert (len(rows), len(good), len(set(good))) == (206, 202, 200)
    assert sum(each.endswith("99") for each in set(good)) == 5
    assert sum(each[-2:] in {"07", "57"} for each in set(good)) == 8
    repeats = [row for row in rows if ids.count(row[0]) > 1]
    assert len({tuple(row) for row in repeats}) == 2
    assert [each for each in ids if not each.isdigit()] == ["to be added", "12345x", "3.45651E+08", ""]


def test_the_readme_sample_meets_what_it_is_meant_to_meet(sandbox, call, code):
    client = call(sandbox())
    met = {}
    for customer in sorted({int(row[0]) for row in rows_of("enroll_200x5.csv") if row[0].isdigit()}):
        answer = code(client.enroll(customer, "PERIOD_G_29463_5"))
        met[answer] = met.get(answer, 0) + 1
    assert met == {None: 187, 310119: 8, 310011: 5}


def test_the_streak_and_unenroll_samples_meet_every_kind_of_answer(sandbox, call, code):
    client = call(sandbox())
    streak = [code(client.enroll(int(r[0]), None, group=29501, target=5601)) for r in rows_of("streak.csv")[1:]]
    gone = [code(client.unenroll(int(row[0]))) for row in rows_of("unenroll.csv")[1:]]
    assert (streak.count(None), streak.count(310011)) == (10, 1)
    assert (gone.count(None), gone.count(310149), gone.count(310011)) == (8, 1, 1)
