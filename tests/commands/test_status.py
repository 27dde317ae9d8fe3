"""Who holds a run, what is seen of it from outside, and that looking disturbs nobody."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from batch.errors import RunLocked, UsageError
from batch.run.lock import LOCK_NAME, holder_in, is_locked, locked
from tests.commands.conftest import Desk, Factory, customers

ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}

HOLD = """
import sys, pathlib
from batch.run.lock import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held_elsewhere(folder: Path) -> subprocess.Popen[str]:
    """Another process that holds a folder until it is killed."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_living_holder_is_named_and_a_dead_one_is_none(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    with held_elsewhere(tmp_path) as process:
        assert is_locked(tmp_path)
        assert holder_in(tmp_path).pid == process.pid
        message = f"another process is at work on this run: process {process.pid} of"
        with pytest.raises(RunLocked, match=message), locked(tmp_path):
            pass
        process.kill()
        process.wait()
        assert not is_locked(tmp_path)
    with locked(tmp_path):
        assert holder_in(tmp_path).pid == os.getpid()
    assert not is_locked(tmp_path)


def test_looking_keeps_nobody_from_taking_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when one who looks is taken for a holder by others who look, or by one who wants the lock."""
    (tmp_path / LOCK_NAME).touch()
    looking = os.open(tmp_path / LOCK_NAME, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    assert not is_locked(tmp_path)
    monkeypatch.setattr("filelock._api.time.sleep", lambda _: fcntl.flock(looking, fcntl.LOCK_UN))
    with locked(tmp_path):
        assert is_locked(tmp_path)
    os.close(looking)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_a_drive_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Fails when a lock that outlives its process is taken instead."""

    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(UsageError, match="its drive has no locks"), locked(tmp_path):
        pass


def test_status_tells_who_works_on_a_run_and_when_it_last_gave_a_sign(desk: Desk, sandbox: Factory) -> None:
    desk.run(sandbox(preload=False), customers([1, 2]), "--limit", 1, campaign=ONE_CYCLE)
    with contextlib.closing(sqlite3.connect("run/ledger.sqlite", isolation_level=None)) as ledger:
        ledger.execute("UPDATE run SET state = 'sending', stop_text = NULL, heartbeat_at = heartbeat_at - 300000000000")
    said = desk("status", "run").out
    assert "its process died; last heartbeat 5 minutes" in said
    assert "`enroll-batch resume` goes on" in " ".join(said.split())
    with held_elsewhere(desk.folder / "run") as process:
        said = " ".join(desk("status", "run").out.split())
        assert " now " in said
        assert f"process {process.pid} of " in said
        assert "last heartbeat 5 minutes" in said


def forbid_writing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a folder one that cannot be written, as a drive that is mounted for reading alone is."""
    usual = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and usual(path, mode))
    for path in [*folder.iterdir(), folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)


def test_a_folder_that_is_not_there_is_no_folder_without_runs(desk: Desk) -> None:
    said = desk("status", "--dir", "nowhere")
    assert said.code == 2
    assert "nowhere: there is no such folder" in said.err
    (desk.folder / "nowhere").mkdir()
    assert (desk("status", "--dir", "nowhere").code, desk("status", "--dir", "nowhere").out) == (
        0, "No runs in nowhere.\n",
    )  # fmt: skip


def test_a_folder_that_cannot_be_written_can_be_looked_at(desk: Desk, sandbox: Factory) -> None:
    """Fails when a ledger is opened as one that may be written to."""
    run = desk.folder / "run"
    desk.run(sandbox(preload=False), customers([1, 2]), "--limit", 1, campaign=ONE_CYCLE)
    forbid_writing(run, desk.monkeypatch)
    before = {path: path.read_bytes() for path in run.iterdir()}
    assert "1/2" in desk("status", "run").out
    assert "attempt 1, HTTP 200, enrolled" in desk("why", "run", 1).out
    said = desk("resume", "run", "--yes")
    assert said.code == 1
    assert said.err == "Error: run: cannot be written here; nothing is sent without a record of it\n"
    assert {path: path.read_bytes() for path in run.iterdir()} == before
    run.chmod(0o755)


def test_what_lies_in_the_log_of_a_dead_writer_is_read_where_nothing_can_be_written(
    desk: Desk, sandbox: Factory
) -> None:
    run = desk.folder / "run"
    desk.run(sandbox(preload=False), customers([1, 2]), "--limit", 1, campaign=ONE_CYCLE)
    write = "import sqlite3, os; c = sqlite3.connect('run/ledger.sqlite', isolation_level=None); c.execute(\"UPDATE run"
    subprocess.run([sys.executable, "-c", f"{write} SET stop_text = 'in the log'\"); os._exit(0)"], check=True)
    assert (run / "ledger.sqlite-wal").stat().st_size
    forbid_writing(run, desk.monkeypatch)
    assert "in the log" in desk("status", "run").out
    run.chmod(0o755)


def test_two_runs_that_begin_in_the_same_second_get_a_folder_each(
    desk: Desk, sandbox: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when a folder is looked for and then made: the second run would find a run there."""
    api = sandbox(preload=False)
    config = desk.config(api, campaign=ONE_CYCLE)
    monkeypatch.setattr("pathlib.Path.exists", lambda _: False)  # what the first made is not seen by the second
    for _ in range(2):
        assert desk("plan", desk.upload(customers([1])), "-c", config).code == 0
    assert len(list((desk.folder / "reports").glob("*Z-*"))) == 2
