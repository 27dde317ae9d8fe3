"""What a night leaves behind for those who look after the machine: lines on stderr, and nightly.log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from batch.run import nightly
from tests.commands.conftest import customers
from tests.crash.conftest import wait_until
from tests.nightly.receivers import web_server

if TYPE_CHECKING:
    from tests.commands.conftest import Desk, Factory

ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}
NAME = "Wilhelmina"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look twice at once: what tests put into an inbox is complete. Nobody waits before another attempt."""
    monkeypatch.setattr(nightly, "SETTLE_S", 0)
    monkeypatch.setattr("batch.run.telling.WAITS_S", (0, 0))


@pytest.fixture
def inbox(desk: Desk) -> Path:
    folder = desk.folder / "inbox"
    folder.mkdir()
    return folder


def entries() -> list[dict[str, Any]]:
    """Return what stands in nightly.log, in order."""
    return [json.loads(line) for line in Path("reports/nightly.log").read_text("utf-8").splitlines()]


def of(event: str) -> list[dict[str, Any]]:
    return [each for each in entries() if each["event"] == event]


def test_each_night_is_logged_with_its_files_and_who_was_told(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    (inbox / "1-may.csv").write_text(customers([345651201]))
    (inbox / "2-bad.csv").write_text(f"{NAME}\n")
    notify = [{"kind": "heartbeat", "url": "http://127.0.0.1:1/hidden"}]
    config = desk.config(sandbox(preload=False), campaign=ONE_CYCLE, inbox=str(inbox), notify=notify)
    assert desk("nightly", "-c", config).code == 3
    assert [each["event"] for each in entries()] == ["begin", "notify", "file", "file", "notify", "end"]
    assert len({each["night"] for each in entries()}) == 1
    may, bad = of("file")
    (run,) = Path("reports").glob("*Z-1-may")
    assert (may["name"], may["exit_code"], may["run"]) == ("1-may.csv", 0, run.name)
    assert (may["place"], may["text"]) == (f"{inbox}/done/1-may.csv", "Finished: 1 request, all done.")
    assert (bad["name"], bad["exit_code"], bad["run"]) == ("2-bad.csv", 3, None)
    begun, told = of("notify")
    assert told["text"] == "notify, item 1 (heartbeat): not told: no connection (ConnectError) (3 attempts)"
    assert (begun["attempts"], told["attempts"], told["arrived"]) == (1, 3, False)
    assert (of("end")[0]["exit_code"], of("end")[0]["text"]) == (3, "2 files: 1 done, 1 refused")
    text = Path("reports/nightly.log").read_text("utf-8")
    for hidden in (NAME, "345651", "hidden"):
        assert hidden not in text
    assert desk("nightly", "-c", config).code == 0
    assert [each["text"] for each in of("end")] == ["2 files: 1 done, 1 refused", "nothing to do"]
    assert len({each["night"] for each in entries()}) == 2 or of("begin")[0]["at"][:19] == of("begin")[1]["at"][:19]


def test_what_waits_is_logged(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    (inbox / "may.csv").write_text(customers(range(1, 40)))
    config = desk.config(sandbox(preload=False), campaign=ONE_CYCLE, inbox=str(inbox), guard={"canary": 5})
    assert [desk("nightly", "-c", config).code for _ in range(2)] == [9, 9]
    assert "waits for a person" in of("waits")[0]["text"]


def test_the_log_is_written_as_the_night_goes_on(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False, latency_ms=20)
    (inbox / "1-may.csv").write_text(customers([1]))
    (inbox / "2-june.csv").write_text(customers(range(100, 190)))
    config = desk.config(api, campaign=ONE_CYCLE, inbox=str(inbox), pacing={"concurrency": 2})
    for path in inbox.iterdir():
        os.utime(path, (10**9, 10**9))
    line = [sys.executable, "-m", "batch", "nightly", "-c", str(config)]
    with subprocess.Popen(line, cwd=desk.folder, stderr=subprocess.PIPE) as night:
        assert wait_until(lambda: api.calls["enroll"] > 2, night)
        night.send_signal(signal.SIGKILL)
    assert [each["event"] for each in entries()] == ["begin", "file"]


def test_a_log_that_cannot_be_written_changes_nothing(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    (inbox / "may.csv").write_text(customers([1]))
    Path("reports/nightly.log").mkdir(parents=True)
    config = desk.config(sandbox(preload=False), campaign=ONE_CYCLE, inbox=str(inbox))
    assert desk("nightly", "-c", config).code == 0
    assert (inbox / "done" / "may.csv").is_file()


def test_with_q_only_what_did_not_go_well_is_printed(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    (inbox / "1-may.csv").write_text(customers([1]))
    (inbox / "2-bad.csv").write_text("")
    notify = [{"kind": "heartbeat", "url": "http://127.0.0.1:1/hidden"}]
    config = desk.config(sandbox(preload=False), campaign=ONE_CYCLE, inbox=str(inbox), notify=notify)
    said = desk("nightly", "-q", "-c", config)
    assert (said.code, said.out) == (3, "")
    assert "may.csv" not in said.err
    assert "2-bad.csv: " in said.err
    assert "Warning: notify, item 1 (heartbeat): not told: " in said.err


@pytest.mark.parametrize("lost", ["stderr", "both"])
def test_a_night_whose_words_nobody_can_read_does_its_work(
    desk: Desk, sandbox: Factory, inbox: Path, lost: str
) -> None:
    """Broken once: a line that could not be printed ended the night in its midst."""
    for name, number in {"1-may.csv": 1, "2-june.csv": 2}.items():
        (inbox / name).write_text(customers([number]))
        os.utime(inbox / name, (10**9, 10**9))
    (inbox / "3-bad.csv").write_text("")
    os.utime(inbox / "3-bad.csv", (10**9, 10**9))
    with web_server() as watchman:
        notify = [{"kind": "heartbeat", "url": watchman.url("/beat")}]
        config = desk.config(sandbox(preload=False), campaign=ONE_CYCLE, inbox=str(inbox), notify=notify)
        line = [sys.executable, "-m", "batch", "nightly", "-c", str(config)]
        with Path("/dev/full").open("w") as full:
            out = full if lost == "both" else subprocess.DEVNULL
            night = subprocess.run(line, cwd=desk.folder, stdout=out, stderr=full, check=False)
    assert night.returncode == 3
    assert {path.name for path in (inbox / "done").iterdir()} == {"1-may.csv", "2-june.csv"}
    assert [post.path for post in watchman.posts] == ["/beat/start", "/beat/fail"]
