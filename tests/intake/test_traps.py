from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch.errors import InputRefused
from batch.intake.reader import ReadRules
from tests.data.other_traps import OTHER_TRAPS
from tests.data.text_traps import TEXT_TRAPS
from tests.data.xlsx_traps import XLSX_TRAPS
from tests.intake.readings import read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.data.trap import Trap

TRAPS = (*TEXT_TRAPS, *XLSX_TRAPS, *OTHER_TRAPS)


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_what_people_upload_is_read_exactly_or_refused_with_a_reason(trap: Trap, tmp_path: Path) -> None:
    path = tmp_path / trap.name
    path.write_bytes(trap.content)
    rules = ReadRules(**trap.read, header_names=tuple(trap.renamed.values()))
    refused, reading = "", None
    try:
        reading = read(path, rules, trap.renamed, **trap.plan)
    except InputRefused as error:
        refused = error.text
    if reading is None:
        assert "\n" not in refused
        assert trap.refused in refused
        assert not trap.sent
        assert not trap.reported
        return
    assert not trap.refused
    assert tuple(reading.sent) == trap.sent
    assert tuple(reading.reported) == trap.reported
    for words in trap.remarks:
        assert any(words in remark for remark in reading.remarks), reading.remarks
    assert len(reading.remarks) == len(trap.remarks), reading.remarks
    for _, problem in reading.problems:
        assert problem.hint
