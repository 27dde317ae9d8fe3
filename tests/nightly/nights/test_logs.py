"""What a night leaves behind for those who look after the machine: lines on stderr, and nightly.log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.crash.conftest import wait_until
from tests.nightly.nights.conftest import LONG_AGO, a_night, night_config, night_process, put, put_long_ago
from tests.nightly.receivers import web_server

if TYPE_CHECKING:
    from tests.commands.conftest import Desk, Factory
    from tests.crash.forks import Forks

NAME = "Wilhelmina"
NOBODY = [{"kind": "heartbeat", "url": "http://127.0.0.1:1/hidden"}]
"""Those who are told of a night, and do not hear of it."""


def entries() -> list[dict[str, Any]]:
    """Return what stands in nightly.log, in order."""
    return [json.loads(line) for line in Path("reports/nightly.log").read_text("utf-8").splitlines()]


def of(event: str) -> list[dict[str, Any]]:
    return [each for each in entries() if each["event"] == event]


def test_each_night_is_logged_with_its_files_and_who_was_told(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    put(inbox, "1-may.csv", 345651201)
    (inbox / "2-bad.csv").write_text(f"{NAME}\n")
    config = night_config(desk, sandbox(preload=False), inbox, notify=NOBODY)
    assert desk("nightly", "-c", config).code == 3
    assert [each["event"] for each in entries()] == ["begin", "notify", "file", "file", "notify", "end"]
    assert len({each["night"] for each in entries()}) == 1
    may, bad = of("file")
    (run,) = Path("reports").glob("*Z-1-may")
    assert (may["name"], may["exit_code"], may["run"]) == ("1-may.csv", 0, run.name)
    assert (may["place"], may["text"]) == (f"{inbox}/done/1-may.csv", "Finished: 1 request, all done.")
    assert (bad["name"], bad["exit_code"], bad["run"]) == ("2-bad.csv", 3, None)
    begun, told = of("notify")
    why = "no connection: the connection is refused; check the url (3 attempts)"
    assert told["text"] == f"notify, item 1 (heartbeat): not told: {why}"
    assert (begun["attempts"], told["attempts"], told["arrived"]) == (1, 3, False)
    assert (of("end")[0]["exit_code"], of("end")[0]["text"]) == (3, "2 files: 1 done, 1 refused")
    text = Path("reports/nightly.log").read_text("utf-8")
    for hidden in (NAME, "345651", "hidden"):
        assert hidden not in text
    assert desk("nightly", "-c", config).code == 0
    assert [each["text"] for each in of("end")] == ["2 files: 1 done, 1 refused", "nothing to do"]
    assert len({each["night"] for each in entries()}) == 2 or of("begin")[0]["at"][:19] == of("begin")[1]["at"][:19]


def test_what_waits_is_logged(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    put(inbox, "may.csv", *range(1, 40))
    config = night_config(desk, sandbox(preload=False), inbox, guard={"canary": 5})
    assert [desk("nightly", "-c", config).code for _ in range(2)] == [9, 9]
    assert "waits for a person" in of("waits")[0]["text"]


def test_the_log_is_written_as_the_night_goes_on(desk: Desk, sandbox: Factory, inbox: Path, forks: Forks) -> None:
    api = sandbox(preload=False, latency_ms=20)
    put_long_ago(inbox, "1-may.csv", 1)
    put_long_ago(inbox, "2-june.csv", *range(100, 190))
    with night_process(forks, desk, night_config(desk, api, inbox, pacing={"concurrency": 2})) as night:
        assert wait_until(lambda: api.calls["enroll"] > 2, night)
        night.kill()
    assert [each["event"] for each in entries()] == ["begin", "file"]


def test_a_log_that_cannot_be_written_changes_nothing(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    put(inbox, "may.csv", 1)
    Path("reports/nightly.log").mkdir(parents=True)
    assert a_night(desk, sandbox(preload=False), inbox).code == 0
    assert (inbox / "done" / "may.csv").is_file()


def test_with_q_only_what_did_not_go_well_is_printed(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    put(inbox, "1-may.csv", 1)
    (inbox / "2-bad.csv").write_text("")
    config = night_config(desk, sandbox(preload=False), inbox, notify=NOBODY)
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
    put_long_ago(inbox, "1-may.csv", 1)
    put_long_ago(inbox, "2-june.csv", 2)
    (inbox / "3-bad.csv").write_text("")
    os.utime(inbox / "3-bad.csv", LONG_AGO)
    with web_server() as watchman:
        notify = [{"kind": "heartbeat", "url": watchman.url("/beat")}]
        config = night_config(desk, sandbox(preload=False), inbox, notify=notify)
        line = [sys.executable, "-m", "batch", "nightly", "-c", str(config)]
        with Path("/dev/full").open("w") as full:
            out = full if lost == "both" else subprocess.DEVNULL
            night = subprocess.run(line, cwd=desk.folder, stdout=out, stderr=full, check=False)
    assert night.returncode == 3
    assert {path.name for path in (inbox / "done").iterdir()} == {"1-may.csv", "2-june.csv"}
    assert [post.path for post in watchman.posts] == ["/beat/start", "/beat/fail"]
