from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.errors import InputRefused
from batch.intake.reader import ReadRules, open_tables
from tests.data.make_traps import TRAPS
from tests.intake.readings import Reading, read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.data.trap import Trap

SMALL = [trap for trap in TRAPS if len(trap.content) < 20_000]


def read_trap(trap: Trap, path: Path) -> Reading | str:
    """Return what came out of the file, or the refusal."""
    rules = ReadRules(**trap.read, header_names=tuple(trap.renamed.values()))
    try:
        return read(path, rules, trap.renamed, **trap.plan)
    except InputRefused as error:
        return error.text


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_what_people_upload_is_read_exactly_or_refused_with_a_reason(trap: Trap, tmp_path: Path) -> None:
    path = tmp_path / trap.name
    path.write_bytes(trap.content)
    result = read_trap(trap, path)
    if isinstance(result, str):
        assert trap.refused, result
        assert trap.refused in result
        assert "\n" not in result
        return
    assert not trap.refused
    assert tuple(result.sent) == trap.sent
    assert tuple(result.reported) == trap.reported
    assert len(result.remarks) == len(trap.remarks), result.remarks
    for words in trap.remarks:
        assert any(words in remark for remark in result.remarks), result.remarks
    assert all(problem.hint for _, problem in result.problems)


def test_every_trap_has_a_name_of_its_own() -> None:
    assert len({trap.name for trap in TRAPS}) == len(TRAPS)


@settings(max_examples=150, deadline=None)
@given(trap=st.sampled_from(SMALL), seed=st.integers(0, 2**32))
def test_no_damage_ends_in_anything_but_a_reading_or_a_refusal(
    trap: Trap, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Broken by believing any one number of a damaged file, such as the place of a shared text."""
    chance = random.Random(seed)  # noqa: S311 - which byte is damaged is no secret
    content = bytearray(trap.content or b"?")
    for _ in range(chance.choice((1, 2, 10))):
        place = chance.randrange(len(content))
        content[place : place + chance.randrange(5)] = chance.choice(
            (chance.randbytes(1), b"", b"\xff" * 4, b"\0" * 4, b'"', b"<!")
        )
        content = content or bytearray(b"?")
    path = tmp_path_factory.getbasetemp() / trap.name
    path.write_bytes(content)
    result = read_trap(trap, path)
    assert not isinstance(result, str) or "\n" not in result


def test_the_row_and_the_physical_line_are_both_right(tmp_path: Path) -> None:
    path = tmp_path / "lines.csv"
    path.write_bytes(b'sep=,\r\ncustomer_id,period_name,note\n1,"a\r\nb",x\r\r2,c,"\n\n"\n3,d,\n')
    assert [(row.row, row.line) for row in read(path).rows] == [(2, 3), (3, None), (4, 6), (5, 9)]


def test_rows_of_a_sheet_have_the_numbers_that_people_see(tmp_path: Path) -> None:
    trap = next(trap for trap in TRAPS if trap.name == "titles_and_total.xlsx")
    path = tmp_path / trap.name
    path.write_bytes(trap.content)
    assert [(row.row, row.line, len(row.cells)) for row in read(path).rows] == [
        (6, None, 4),
        (7, None, 0),
        (8, None, 4),
        (9, None, 0),
        (10, None, 4),
    ]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "cannot be read (No such file or directory); check the path"),
        (lambda path: path.mkdir(), "not a file; name the spreadsheet itself"),
    ],
)
def test_a_path_without_a_file_is_refused(make: object, words: str, tmp_path: Path) -> None:
    path = tmp_path / "upload.csv"
    make(path)  # type: ignore[operator]
    with pytest.raises(InputRefused) as refused:
        read(path)
    assert words in refused.value.text


@pytest.mark.parametrize("name", [b"up\xff.csv", b"folder\xff/upload.csv"])
def test_a_name_that_is_no_utf8_is_refused_and_shown_as_bytes(name: bytes, tmp_path: Path) -> None:
    """Neither the ledger nor a report could keep it."""
    path = tmp_path / os.fsdecode(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"customer_id,period_name\n5,May\n")
    with pytest.raises(InputRefused) as refused:
        read(path)
    assert "\\xff" in refused.value.text
    assert "is not UTF-8; rename it" in refused.value.text
    refused.value.text.encode()


def test_rows_start_over_at_each_call(tmp_path: Path) -> None:
    for name in ("utf8.csv", "plain_rows_then_others.xlsx", "plain.ods", "plain.xls"):
        trap = next(trap for trap in TRAPS if trap.name == name)
        path = tmp_path / name
        path.write_bytes(trap.content)
        with next(open_tables(path, ReadRules())) as table:
            assert list(table.rows()) == list(table.rows())
