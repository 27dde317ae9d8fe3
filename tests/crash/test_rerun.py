"""A re-run that dies before its plan stands is planned again, from the very same run and as it was told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.commands.conftest import Desk, Factory, customers

if TYPE_CHECKING:
    from tests.commands.conftest import Said

    Start = Callable[..., object]

TWO_CYCLES = {"cycles": ["PERIOD_G_29463_1", "typo"]}


class Died(BaseException):
    """Stands for the death of the process."""


def rerun_that_dies(desk: Desk, *options: object) -> None:
    """Rerun the run in `run` into `again`, up to the end of its planning."""

    def die(*_: object) -> None:
        raise Died

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("batch.run.rerunning.PlanWriter.finish", die)
        with pytest.raises(Died):
            desk("rerun", "run", "--yes", "--run-dir", "again/run", *options)


def reruns(desk: Desk) -> Desk:
    return Desk(desk.folder / "again", desk.capsys, desk.monkeypatch)


@pytest.fixture
def finished(desk: Desk, sandbox: Factory) -> Desk:
    """A desk with a finished run: 1 and 2 are enrolled in the first cycle, the second cycle does not exist."""
    api = sandbox(preload=False)
    desk.run(api, customers([1, 2, 99]), campaign=TWO_CYCLES)
    assert desk.outcomes() == {"enrolled": 2, "period_not_found": 2, "invalid_user": 2}
    return desk


def test_resume_plans_it_again_as_it_was_told(finished: Desk) -> None:
    """Fails when the outcomes that were chosen are forgotten."""
    rerun_that_dies(finished, "--only", "invalid_user")
    assert "planning" in finished("status", "again/run").out
    said = finished("resume", "again/run", "--yes")
    assert said.code == 4
    assert "2  requests to send" in said.out
    assert reruns(finished).outcomes() == {"invalid_user": 2}
    assert "Run run" in finished("why", "again/run", 99).out


def test_resume_expands_the_rows_anew_where_the_setup_was_corrected(finished: Desk) -> None:
    """Fails when it is forgotten that the config is another."""
    config = finished.folder / "config.yaml"
    corrected = finished.folder / "corrected.yaml"
    corrected.write_text(config.read_text().replace("typo", "PERIOD_G_29463_2"))
    rerun_that_dies(finished, "-c", corrected)
    assert finished("resume", "again/run", "--yes").code == 0
    assert reruns(finished).outcomes() == {"enrolled": 2}


def refused(said: Said) -> str:
    assert said.code == 3
    (line,) = said.err.splitlines()
    return line


def test_an_earlier_run_that_is_gone_is_refused_and_the_run_stays(finished: Desk) -> None:
    rerun_that_dies(finished)
    away = (finished.folder / "run").rename(finished.folder / "away")
    assert "is not a run" in refused(finished("resume", "again/run", "--yes"))
    away.rename(finished.folder / "run")
    assert finished("resume", "again/run", "--yes").code == 4


def test_an_earlier_run_that_has_changed_is_refused_and_rerun_is_named(finished: Desk) -> None:
    """Fails when another run in its place, or a later look at the API, goes unnoticed."""
    rerun_that_dies(finished)
    kept = shutil.copytree(finished.folder / "run", finished.folder / "kept")
    finished("verify", "run", "--sample", 1)
    line = refused(finished("resume", "again/run", "--yes"))
    assert "has changed since this run began to read it; nothing was sent" in line
    assert f"`enroll-batch rerun {finished.folder / 'run'}`" in line
    shutil.rmtree(finished.folder / "run")
    kept.rename(finished.folder / "run")
    assert finished("resume", "again/run", "--yes").code == 4


def test_nothing_left_to_run_again_is_said_by_resume_too(finished: Desk) -> None:
    rerun_that_dies(finished, "--only", "rate_limited")
    said = finished("resume", "again/run", "--yes")
    assert (said.code, said.err) == (0, "")
    assert "Nothing" in said.out
    assert not (finished.folder / "again" / "run").exists()
