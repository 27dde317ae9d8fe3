"""A night holds a lock that dies with its process; so a claim is known to be dead whatever its host is called."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import pytest

from batch.errors import UsageError
from batch.nightly import claims
from batch.nightly.claims import Claims, let_go
from batch.run.night_locks import NightLocks
from tests.commands.conftest import Desk, Factory, customers
from tests.crash.conftest import wait_until
from tests.nightly.nights.conftest import lying_at, night_config

if TYPE_CHECKING:
    from tests.nightly.inbox.conftest import Site

HOLDING = """
import sys
from pathlib import Path
from batch.run.night_locks import NightLocks
night = NightLocks(Path(sys.argv[1]))
with night.held(sys.argv[2]):
    print(night.token, flush=True)
    sys.stdin.readline()
"""


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def a_dead_night(folder: Path, inbox: str) -> str:
    """Return the token of a night that was killed."""
    line = [sys.executable, "-c", HOLDING, str(folder), inbox]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as night:
        assert night.stdout is not None
        token = night.stdout.readline().strip()
        assert NightLocks(folder).is_over(token) is False
        assert NightLocks(folder).ended(inbox) == []
        night.send_signal(signal.SIGKILL)
    return token


def test_a_night_that_ends_leaves_nothing(tmp_path: Path) -> None:
    night = NightLocks(tmp_path / "reports")
    assert night.is_over(night.token) is None
    with night.held("inbox"):
        assert NightLocks(tmp_path / "reports").is_over(night.token) is False
        assert night.is_over(night.token) is False
    assert files(tmp_path / "reports") == []
    assert night.is_over(night.token) is None


def test_a_night_that_was_killed_is_over_and_is_forgotten_by_who_has_its_inbox(tmp_path: Path) -> None:
    token = a_dead_night(tmp_path, "s3://bucket/ä")
    night = NightLocks(tmp_path)
    assert night.is_over(token) is True
    assert night.ended("s3://bucket/other") == []
    assert night.ended("s3://bucket/ä") == [token]
    night.forget([token])
    assert files(tmp_path) == []
    night.forget([token])
    assert files(tmp_path) == []


def test_a_night_that_leaves_a_claim_is_remembered(tmp_path: Path) -> None:
    night = NightLocks(tmp_path)
    with night.held("inbox"):
        first, second = (Claims(lambda: 0, night).new() for _ in range(2))
        let_go(first)
    assert second.nonce not in claims.OURS
    assert NightLocks(tmp_path).ended("inbox") == [night.token]
    with NightLocks(tmp_path).held("inbox"):
        assert NightLocks(tmp_path).ended("inbox") == [night.token]


def test_a_night_that_died_before_it_named_its_inbox_is_forgotten_by_anybody(tmp_path: Path) -> None:
    (tmp_path / ".night-0123abcd.lock").touch()
    assert NightLocks(tmp_path).ended("inbox") == ["0123abcd"]


def test_one_whose_lock_is_just_being_taken_is_not_forgotten(tmp_path: Path) -> None:
    path = tmp_path / ".night-0123abcd.lock"
    with filelock.FileLock(path):
        NightLocks(tmp_path).forget(["0123abcd"])
        assert path.exists()


def test_what_cannot_be_locked_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".night-0123abcd.lock").touch()

    def refused(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refused)
    assert NightLocks(tmp_path).is_over("0123abcd") is None
    with pytest.raises(UsageError) as told, NightLocks(tmp_path).held("inbox"):
        raise AssertionError
    what = "cannot be written or locked (No locks available), so no file is taken; mend that, or choose another"
    assert told.value.text == f"{tmp_path}: {what} report.dir"
    assert files(tmp_path) == [".night-0123abcd.lock"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")
    with pytest.raises(UsageError) as told, NightLocks(tmp_path / "reports").held("inbox"):
        raise AssertionError
    assert told.value.text.startswith(f"{tmp_path / 'reports'}: cannot be written or locked (")


# -- with the command -------------------------------------------------------------------------------------------------


def test_what_a_killed_container_held_is_taken_again_by_the_next_one(desk: Desk, sandbox: Factory, site: Site) -> None:
    """Broken once: each pod has another name and other process numbers, so the upload was hidden for seven days."""
    api = sandbox(preload=False, latency_ms=20)
    site.put("may.csv", customers(range(100, 160)).encode())
    config = night_config(desk, api, site.address, pacing={"concurrency": 2})
    line = [sys.executable, "-c", IN_A_POD, "nightly", "-c", str(config)]
    with subprocess.Popen(line, cwd=desk.folder, stdout=subprocess.PIPE, env=os.environ) as night:
        assert wait_until(lambda: api.calls["enroll"] > 0, night)
        night.send_signal(signal.SIGKILL)
    reports = desk.folder / "reports"
    assert len(list(reports.glob(".night-*"))) == 1
    said = desk("nightly", "-c", config)
    assert said.code == 0, said
    assert lying_at(site) == {"done/may.csv"}
    assert len(api.truth()) == 60
    assert list(reports.glob(".night-*")) == []


IN_A_POD = """
import sys
from batch.nightly import claims
from batch.run import nightly
from batch.commands import cli
claims.this_host = lambda: "enroll-batch-29211840-x7x2v.4026533001"
nightly.SETTLE_S = 0
cli.main()
"""
