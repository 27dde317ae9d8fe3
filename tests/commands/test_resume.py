"""Which runs are gone on with, with which settings, and what is said where that cannot be."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from batch.run import sending
from tests.commands.conftest import Desk, Factory, customers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.commands.conftest import Said

ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}


def refusal(said: Said, code: int) -> str:
    """The one line by which a command refuses."""
    assert said.code == code, said
    (line,) = said.err.splitlines()
    assert line.startswith("Error: ")
    return line


def ledger(desk: Desk, sql: str, *values: object) -> list[tuple[object, ...]]:
    """Ask the ledger of the run, or change it."""
    with contextlib.closing(sqlite3.connect(desk.folder / "run" / "ledger.sqlite", isolation_level=None)) as connection:
        return connection.execute(sql, values).fetchall()


def test_a_finished_run_says_so_without_its_secrets_and_names_rerun(desk: Desk, sandbox: Factory) -> None:
    desk.run(sandbox(preload=False), customers([1]), campaign=ONE_CYCLE)
    desk.monkeypatch.delenv("SECRET")
    line = refusal(desk("resume", "run", "--yes"), 2)
    assert "this run is finished" in line
    assert "`enroll-batch rerun run`" in line
    assert "`enroll-batch report run`" in line


def test_a_run_that_died_over_its_report_gets_one_without_its_secrets(desk: Desk, sandbox: Factory) -> None:
    """Fails when a finished run is refused whether it has its report or not."""

    class Died(BaseException):
        """Stands for the death of the process."""

    def die(*_: object, **__: object) -> None:
        raise Died

    api = sandbox(preload=False)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("batch.run.reporting.write_report", die)
        with pytest.raises(Died):
            desk.run(api, customers([1, 2]), campaign=ONE_CYCLE)
    assert "died over the report" in desk("status", "run").out
    desk.monkeypatch.delenv("SECRET")
    assert desk("resume", "run", "--yes").code == 0
    assert desk.outcomes() == {"enrolled": 2}
    assert api.calls["enroll"] == 2
    assert desk("resume", "run", "--yes").code == 2


def test_a_run_whose_api_is_another_now_is_refused_by_both_names(desk: Desk, sandbox: Factory) -> None:
    """Fails when the URL is taken from the environment of the day: the rest would go to another API."""
    first, second = sandbox(preload=False), sandbox(preload=False)
    desk.monkeypatch.setenv("URL", first.url)
    upload, config = desk.upload(customers([1, 2])), desk.config("${URL}", campaign=ONE_CYCLE)
    assert desk("run", upload, "-c", config, "--yes", "--run-dir", "run", "--limit", 1).code == 7
    desk.monkeypatch.setenv("URL", second.url)
    for command in ("resume", "run", "--yes"), ("verify", "run"):
        line = refusal(desk(*command), 2)
        assert f"api.base_url is now {second.url}, but this run was begun for {first.url}" in line
    assert not second.journal()
    desk.monkeypatch.setenv("URL", first.url)
    assert desk("resume", "run", "--yes").code == 0
    desk.monkeypatch.setenv("URL", second.url)
    assert "this run was begun for" in refusal(desk("rerun", "run", "--yes"), 2)


def test_what_a_resume_is_told_holds_for_the_next_one_but_not_what_a_look_is_told(desk: Desk, sandbox: Factory) -> None:
    """Fails when the next resume goes back to the rate of the config."""
    desk.run(sandbox(preload=False), customers(range(1, 10)), "--limit", 3, campaign=ONE_CYCLE, pacing={"rate": "50/s"})
    assert desk("resume", "run", "--yes", "--limit", 3, "--rate", "20/s", "--concurrency", 2).code == 7
    desk("verify", "run", "--rate", "7/s")
    assert desk("resume", "run", "--yes").code == 0
    ((kept,),) = ledger(desk, "SELECT overrides FROM run")
    assert json.loads(str(kept)) | {"rate": "20/s", "concurrency": 2} == json.loads(str(kept))
    said = [text for (text,) in ledger(desk, "SELECT text FROM event WHERE kind IN ('started', 'resumed')")]
    assert [str(text).rpartition(", ")[2] for text in said] == [
        "at most 50 per 1 s", "at most 20 per 1 s", "at most 20 per 1 s",
    ]  # fmt: skip
    assert "Allowed: 50 per second, then 20 per second." in (desk.folder / "run" / "report.html").read_text()


def test_a_canary_that_a_limit_cuts_short_is_not_done(desk: Desk, sandbox: Factory) -> None:
    """Fails when the end of the pool is taken for the end of the canary."""
    api = sandbox(preload=False)
    assert desk.run(api, customers(range(1, 31)), "--canary", 6, "--limit", 2, campaign=ONE_CYCLE).code == 7
    assert desk.summary()["stop_reason"] == "limit"
    assert desk("resume", "run", "--yes").code == 9
    assert api.calls["enroll"] == 6
    assert desk("resume", "run", "--yes").code == 0
    assert desk.outcomes() == {"enrolled": 30}


@pytest.fixture
def stopped(desk: Desk, sandbox: Factory) -> Desk:
    """A desk with a run that has sent one of its two requests."""
    assert desk.run(sandbox(preload=False), customers([1, 2]), "--limit", 1, campaign=ONE_CYCLE).code == 7
    return desk


COMMANDS = [
    ("resume", "run", "--yes"), ("report", "run"), ("verify", "run"), ("why", "run", "1"), ("rerun", "run", "--yes"),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_a_ledger_of_another_version_is_refused_by_name(stopped: Desk, command: tuple[str, ...]) -> None:
    ledger(stopped, "UPDATE run SET schema_version = 99")
    line = refusal(stopped(*command), 2)
    assert "ledger version 99" in line
    assert "use the enroll-batch that made it" in line


def empty(content: bytes) -> bytes:
    return content[:0]


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def head(content: bytes) -> bytes:
    return content[:4096]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("cut", [empty, half, head])
def test_a_ledger_that_was_copied_by_half_is_one_clear_line(
    stopped: Desk, command: tuple[str, ...], cut: Callable[[bytes], bytes]
) -> None:
    path = stopped.folder / "run" / "ledger.sqlite"
    path.write_bytes(cut(path.read_bytes()))
    assert "ledger.sqlite" in refusal(stopped(*command), 1)
    assert "unreadable" in stopped("status", "run").out


@pytest.mark.parametrize("command", COMMANDS[1:3])
def test_what_only_a_plan_can_tell_is_refused_without_one(stopped: Desk, command: tuple[str, ...]) -> None:
    """Fails when half a plan is reported: its accounts cannot balance."""
    ledger(stopped, "UPDATE run SET state = 'planning', stop_reason = NULL")
    line = refusal(stopped(*command), 2)
    assert "has no plan yet" in line
    assert "resume" in line


def test_the_time_of_an_invocation_that_was_killed_counts_up_to_its_last_heartbeat(stopped: Desk) -> None:
    """Fails when a take-over forgets it."""
    before = stopped.summary()["duration_s"]
    ledger(
        stopped,
        "UPDATE run SET state = 'sending', sending_since = 5000000000, heartbeat_at = 65000000000, exit_code = NULL",
    )
    assert stopped("report", "run").code == 7
    assert stopped.summary()["duration_s"] == pytest.approx(before + 60, abs=0.01)
    assert stopped("resume", "run", "--yes").code == 0
    assert stopped.summary()["duration_s"] >= before + 60
    assert ledger(stopped, "SELECT sending_since FROM run") == [(None,)]


def test_a_sender_gives_signs_of_life_while_it_waits(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    api.inject(1, ["error_429"])
    desk.monkeypatch.setattr(sending, "BEAT_S", 0.01)
    beats: list[int] = []
    whole = sending.SendingLedger.beat

    def beat(self: sending.SendingLedger, now: int) -> None:
        beats.append(now)
        whole(self, now)

    desk.monkeypatch.setattr(sending.SendingLedger, "beat", beat)
    desk.run(api, customers([1]), campaign=ONE_CYCLE)
    assert beats


def test_the_report_of_an_unfinished_run_is_no_upload(stopped: Desk) -> None:
    """Fails when only the digest of the file is looked for: its rows would be sent twice."""
    config = stopped.folder / "config.yaml"
    again = ("run", "run/failed.csv", "-c", config, "--yes", "--run-dir", "second")
    line = refusal(stopped(*again), 3)
    assert f"`enroll-batch resume {stopped.folder / 'run'}`" in line
    assert not (stopped.folder / "second").exists()
    assert stopped("resume", "run", "--yes").code == 0
    shutil.rmtree(stopped.folder / "second", ignore_errors=True)
    assert stopped("run", "run/succeeded.csv", "-c", config, "--yes", "--run-dir", "second").code == 0


def test_a_number_that_no_ledger_can_hold_is_one_clear_line(stopped: Desk) -> None:
    assert "is no customer id" in refusal(stopped("why", "run", 2**63), 2)
    assert "stands in no row of run" in refusal(stopped("why", "run", 2**63 - 1), 2)
