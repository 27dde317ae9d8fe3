"""A run that dies before its plan stands is planned again, from the very same files."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batch.ledger.planning import BATCH_ROWS
from tests.commands.conftest import Desk, customers
from tests.crash.conftest import wait_until

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox
    from tests.crash.forks import Forks

    Start = Callable[..., RunningSandbox]

ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}
ROWS = BATCH_ROWS + 1
BLANK_ROWS = 300_000


def rows_planned(run: Path) -> int:
    """How many rows of the upload are in the ledger by now."""
    if not (run / "ledger.sqlite").exists():
        return 0
    with contextlib.closing(sqlite3.connect(run / "ledger.sqlite")) as ledger:
        return int(ledger.execute("SELECT count(*) FROM source_row").fetchone()[0])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 7)])
def test_a_run_that_is_killed_while_planning_is_planned_again(
    desk: Desk, sandbox: Start, forks: Forks, number: signal.Signals, code: int
) -> None:
    api, run = sandbox(preload=False), desk.folder / "run"
    rows = [f"{customer}," for customer in range(1_000_000, 1_000_000 + ROWS)]
    rows[-1:-1] = [","] * BLANK_ROWS  # which take a while, and nothing else
    upload = desk.upload("\n".join(["customer_id,note", *rows]))
    config = desk.config(api, campaign=ONE_CYCLE)
    with forks.command(desk.folder, ["run", upload, "-c", config, "--yes", "--run-dir", run]) as process:
        assert wait_until(lambda: rows_planned(run) > 0, process)
        process.send_signal(number)
        assert process.wait() == code
    assert 0 < rows_planned(run) < ROWS
    assert "planning" in desk("status", run).out
    assert desk("resume", run, "--yes", "--limit", "20").code == 7
    summary = desk.summary()
    assert summary["requests"]["unique"] == ROWS
    told = summary["input"][0]
    assert (told["rows_read"], told["rows_blank"], told["rows_planned"]) == (ROWS + BLANK_ROWS, BLANK_ROWS, ROWS)
    assert (summary["outcomes"]["enrolled"], summary["outcomes"]["not_sent"]) == (20, ROWS - 20)
    assert len(api.truth()) == 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_report_is_written_names_the_command_that_writes_it(
    desk: Desk, sandbox: Start, number: signal.Signals
) -> None:
    """Fails when sending leaves SIGTERM to the system, which then ends the process without a word."""
    api = sandbox(preload=False)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("batch.run.reporting.write_report", lambda *_, **__: os.kill(os.getpid(), number))
        said = desk.run(api, customers([1]), campaign=ONE_CYCLE)
    assert said.code == 7
    assert f"`enroll-batch report {desk.folder / 'run'}`" in said.err
    assert desk("report", "run").code == 0
    assert desk.outcomes() == {"enrolled": 1}


class Died(BaseException):
    """Stands for the death of the process."""


def run_that_dies(desk: Desk, where: str, config: Path, *uploads: Path) -> None:
    """Run uploads into the folder `run`, up to a function of the planner."""

    def die(*_: object, **__: object) -> None:
        raise Died

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(f"batch.run.planning.{where}", die)
        with pytest.raises(Died):
            desk("run", *uploads, "-c", config, "--yes", "--run-dir", "run")


@pytest.fixture
def died_planning(desk: Desk, sandbox: Start) -> Path:
    """The second upload of a run that died when it had read its two files."""
    uploads = desk.upload(customers(range(100, 110)), "first.csv"), desk.upload(customers([111]), "second.csv")
    config = desk.config(sandbox(preload=False), campaign=ONE_CYCLE)
    run_that_dies(desk, "PlanWriter.finish", config, *uploads)
    return uploads[1]


@pytest.mark.usefixtures("died_planning")
def test_resume_plans_all_files_again_and_shows_the_plan(desk: Desk) -> None:
    said = desk("resume", "run", "--yes")
    assert said.code == 0
    assert "11  requests to send" in said.out
    assert desk.outcomes() == {"enrolled": 11}


def test_a_file_that_has_changed_meanwhile_is_refused_and_the_run_stays(desk: Desk, died_planning: Path) -> None:
    before = died_planning.read_bytes()
    died_planning.write_text(customers([111, 112]))
    said = desk("resume", "run", "--yes")
    assert said.code == 3
    assert f"{died_planning}: has changed since this run began to read it; nothing was sent" in said.err
    died_planning.write_bytes(before)
    assert desk("resume", "run", "--yes").code == 0


def test_a_file_that_is_gone_is_refused_and_the_run_stays(desk: Desk, died_planning: Path) -> None:
    away = died_planning.rename(died_planning.with_name("away.csv"))
    said = desk("resume", "run", "--yes")
    assert said.code == 3
    assert f"{died_planning}: cannot be read" in said.err
    away.rename(died_planning)
    assert desk("resume", "run", "--yes").code == 0


def test_files_that_were_named_but_not_read_yet_are_read_as_they_are(desk: Desk, sandbox: Start) -> None:
    upload = desk.upload(customers([100]))
    config = desk.config(sandbox(preload=False), campaign=ONE_CYCLE)
    run_that_dies(desk, "gather", config, upload)
    connection = sqlite3.connect("run/ledger.sqlite")
    assert json.loads(connection.execute("SELECT inputs FROM run").fetchone()[0]) == [[str(upload), None]]
    connection.close()
    upload.write_text(customers([100, 101]))
    assert desk("resume", "run", "--yes").code == 0
    assert desk.outcomes() == {"enrolled": 2}


def test_two_files_of_one_content_are_both_read_again(desk: Desk, sandbox: Start) -> None:
    """Fails when what a run is about to send is kept by its digests: one of the two would vanish from the accounts."""
    api = sandbox(preload=False)
    uploads = desk.upload(customers([100]), "first.csv"), desk.upload(customers([100]), "second.csv")
    run_that_dies(desk, "_plan", desk.config(api, campaign=ONE_CYCLE), *uploads)
    assert desk("resume", "run", "--yes").code == 0
    summary = desk.summary()
    assert [told["rows_read"] for told in summary["input"]] == [1, 1]
    assert summary["requests"] == {"expanded": 2, "duplicates": 1, "contradicted": 0, "unique": 1}
