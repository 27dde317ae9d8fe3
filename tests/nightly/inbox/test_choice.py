"""Which files are uploads, which have settled, and which goes first."""

from __future__ import annotations

from itertools import islice

import pytest

from batch.errors import EXIT_CODES
from batch.nightly.choice import OLD_ENOUGH_NS, Ending, Upload, choose, ending_of, is_upload, names_for

NOW = 1_800_000_000 * 10**9
OLD = NOW - OLD_ENOUGH_NS


def test_a_file_that_has_not_changed_for_long_is_ready_at_the_first_look() -> None:
    old, young = Upload("old.csv", 1, OLD), Upload("young.csv", 1, OLD + 1)
    assert choose([young, old], {}, NOW).ready == (old,)
    assert choose([young, old], {}, NOW).unsettled == ("young.csv",)


@pytest.mark.parametrize(
    ("before", "ready"),
    [
        (Upload("may.csv", 10, NOW, "a"), True),
        (Upload("may.csv", 9, NOW, "a"), False),
        (Upload("may.csv", 10, NOW - 1, "a"), False),
        (Upload("may.csv", 10, NOW, "b"), False),
    ],
)
def test_a_file_that_is_as_it_was_at_the_look_before_is_ready(before: Upload, *, ready: bool) -> None:
    now = Upload("may.csv", 10, NOW, "a")
    assert bool(choose([now], {"may.csv": before}, NOW).ready) is ready


def test_a_file_from_the_future_is_not_old() -> None:
    assert choose([Upload("may.csv", 1, NOW + 10**18)], {}, NOW).ready == ()


@pytest.mark.parametrize(
    "name",
    [
        ".may.csv", "~$may.xlsx", "~may.tmp", "may.csv.part", "may.csv.PARTIAL", "may.csv.filepart", "may.tmp",
        "may.temp", "may.csv.crdownload", "may.csv.download", ".may.csv.swp", "may.csv~", ".~lock.may.ods#", "may.lock",
        "", "a\nb.csv", "a\udcff.csv",
    ],
)  # fmt: skip
def test_what_is_temporary_or_cannot_be_shown_is_no_upload(name: str) -> None:
    assert not is_upload(name)


@pytest.mark.parametrize("name", ["may.csv", "MAY.XLSX", "may", "part.csv", "tmp-may.csv", "mai größer.csv", "done"])
def test_everything_else_is_an_upload(name: str) -> None:
    assert is_upload(name)


def test_numbers_go_first_then_the_oldest_then_the_name() -> None:
    order = ["1-z.csv", "010-a.csv", "10-b.csv", "999-x.csv", "2026-05-may.csv", "b.csv", "c.csv", "a.csv"]
    ages = {"2026-05-may.csv": 50, "b.csv": 40, "c.csv": 40}
    uploads = [Upload(name, 1, OLD - ages.get(name, 0)) for name in sorted(order)]
    assert [upload.name for upload in choose(uploads, {}, NOW).ready] == order


def test_numbered_names_keep_the_suffix() -> None:
    assert list(islice(names_for("may.csv"), 3)) == ["may.csv", "may-2.csv", "may-3.csv"]
    assert list(islice(names_for("may"), 2)) == ["may", "may-2"]


@pytest.mark.parametrize("name", ["x" * 251 + ".csv", "ä" * 126 + ".csv", "y" * 255, "a." + "z" * 250, "." + "x" * 254])
@pytest.mark.parametrize("longest", [255, 244])
def test_a_long_name_loses_the_end_of_its_stem_and_stays_one_of_its_own(name: str, longest: int) -> None:
    names = list(islice(names_for(name, longest), 120))
    assert max(len(each.encode()) for each in names) <= longest
    assert len(set(names)) == 120
    assert {each[-4:] for each in names} == {".csv"} or not name.endswith(".csv")
    assert names[0][:80] == names[119][:80] == name[:80]
    assert (names[0] == name) is (len(name.encode()) <= longest)


def test_a_name_that_is_no_text_keeps_its_bytes() -> None:
    assert list(islice(names_for("\udcff.csv"), 2)) == ["\udcff.csv", "\udcff-2.csv"]


def test_every_exit_code_has_its_folder() -> None:
    endings = {code: ending_of(code) for code in EXIT_CODES}
    assert [code for code, ending in endings.items() if ending is Ending.DONE] == [0, 4, 5]
    assert [code for code, ending in endings.items() if ending is Ending.FAILED] == [1, 2, 3]
