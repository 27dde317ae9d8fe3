"""The end of the program before and after each single write of the ledger; a resume after it may end so as well.

Found by it when broken: the same as by killing at random, and a chunk that is called done with requests open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batch.model import Outcome
from tests.crash.forks import DIED, Forks, write_less
from tests.crash.witness import Key, check_the_end, outcomes, witness

if TYPE_CHECKING:
    from tests.commands.conftest import Desk
    from tests.conftest import RunningSandbox

    Start = Callable[..., RunningSandbox]

CONCURRENCY = 3
UPLOAD = "customer_id,initial_balance\n100,\n101,\n102,7\n107,\n199,\nnobody,\n100,\n"
WITH_VALUE = {102}
FAULTS = {100: ["ok", "reset_after"], 101: ["error_461"], 102: ["ok", "close_after"]}


class Ends:
    """Runs commands in the desk's folder, each to its end or to one of its writes."""

    def __init__(self, desk: Desk, forks: Forks) -> None:
        self._desk = desk
        self._forks = forks

    def __call__(self, write: int | None, moment: str, *argv: object) -> int:
        """Run it and return its exit code; DIED when it came to that write."""
        return self._forks.start(self._desk.folder, argv, is_lean=True, write=write, moment=moment).wait()


@pytest.fixture
def ends(desk: Desk, forks: Forks) -> Ends:
    return Ends(desk, forks)


class Course:
    """One run after the other in a folder each, against an API each."""

    def __init__(self, desk: Desk, start: Start) -> None:
        self._desk = desk
        self._start = start
        self._number = 0

    def begin(self, faults: Mapping[int, list[str]] | None = None) -> tuple[Path, RunningSandbox, list[object]]:
        """Return the folder of a new run, its API, and the command that runs it; with `faults` it leaves doubts."""
        self._number += 1
        api = self._start(latency_ms="0-5", seed=self._number)
        for customer, struck in (faults or FAULTS).items():
            api.inject(customer, struck)
        run = self._desk.folder / str(self._number) / "run"  # each run looks at all that lie beside it
        pacing = {"rate": None, "concurrency": CONCURRENCY}
        retry = {"attempts": 3, "in_doubt": "leave"} if faults else {"attempts": 10}
        config = self._desk.config(api, pacing=pacing, retry=retry | {"base_s": 0.001, "max_s": 0.005})
        return run, api, ["run", self._desk.upload(UPLOAD), "-c", config, "--yes", "--run-dir", run]


@pytest.fixture
def course(desk: Desk, sandbox: Start, monkeypatch: pytest.MonkeyPatch) -> Course:
    """As many runs as are asked for, their reports without page and workbook."""
    write_less(monkeypatch.setattr)
    return Course(desk, sandbox)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_wherever_the_program_ends_resume_goes_on_without_a_loss(
    desk: Desk, ends: Ends, course: Course, moment: str
) -> None:
    run, api, command = course.begin()
    assert ends(None, "", *command) in {4, 5}, (desk.folder / "said").read_text()
    expected = outcomes(run)
    api.close()
    for write in range(1, 1000):
        run, api, command = course.begin()
        if ends(write, moment, *command) != DIED:
            break
        assert len(witness(run).untold) <= CONCURRENCY
        if write % 3 == 0:  # the resume dies as well, here and there
            ends(write // 2, moment, "resume", run, "--yes")
            assert len(witness(run).untold) <= CONCURRENCY
        said = desk("resume", run, "--yes")
        if "this run is finished" in said.err:
            said = desk("report", run)
        assert said.code in {4, 5}
        check_the_end(run, api, expected, WITH_VALUE)
        api.close()
    assert write > 20


def leave_open(course: Course, desk: Desk) -> tuple[Path, RunningSandbox]:
    """Finish a run that leaves two requests in doubt, who both turn out to be enrolled, and two that failed."""
    run, api, command = course.begin({100: ["ok", "reset_after"], 101: ["error_461"] * 6, 107: ["reset_before"]})
    said = desk(*command)
    assert said.code in {4, 5}, said
    found = Counter(outcomes(run).values())
    assert (found[Outcome.IN_DOUBT], found[Outcome.SERVER_ERROR]) == (2, 2)
    return run, api


@pytest.mark.parametrize("moment", ["before", "after"])
def test_wherever_a_rerun_ends_resume_goes_on_with_it(desk: Desk, ends: Ends, course: Course, moment: str) -> None:
    """Fails when what the rerun was told is not kept, or not from the first moment."""
    for write in range(1, 1000):
        run, api = leave_open(course, desk)
        again = run / "again"
        ended = ends(write, moment, "rerun", run, "--yes", "--run-dir", again)
        said = desk("resume", again, "--yes")
        if "this run is finished" in said.err:
            said = desk("report", again)
        assert said.code in {0, 5}, said
        told, doubted = outcomes(again), witness(again).doubted
        assert len(told) == 4
        for key, outcome in told.items():
            assert outcome is Outcome.ENROLLED or (outcome is Outcome.IN_DOUBT and key in doubted), key
        assert all(enrolment.enrolls <= 1 for enrolment in api.truth().values())
        api.close()
        if ended != DIED:
            break
    assert write > 10


@pytest.mark.parametrize("moment", ["before", "after"])
def test_wherever_a_verification_ends_the_next_one_goes_on(desk: Desk, ends: Ends, course: Course, moment: str) -> None:
    expected: dict[Key, Outcome] = {}
    for write in range(1, 1000):
        run, api = leave_open(course, desk)
        calls = len(api.journal())
        if ends(write if expected else None, moment, "verify", run) != DIED and expected:
            break
        assert desk("verify", run).code == 4
        expected = expected or outcomes(run)
        assert outcomes(run) == expected
        assert len(api.journal()) == calls
        api.close()
    assert write > 3
