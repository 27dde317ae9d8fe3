"""A full disk, a ledger that another program holds, a damaged one: one clear line, and nothing that cannot be mended.

`RLIMIT_FSIZE` stands for the full disk: no file of the process may grow beyond it.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batch.ledger import sqlite
from tests.commands.conftest import Desk, Said
from tests.crash.conftest import BALANCED, inject_faults, write_run
from tests.crash.witness import Key, check_the_end, witness

if TYPE_CHECKING:
    from batch.model import Outcome
    from tests.conftest import RunningSandbox

    Start = Callable[..., RunningSandbox]

LIMITED = """
import resource, runpy, sys
size = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
runpy.run_module("batch", run_name="__main__", alter_sys=True)
"""


def with_full_disk(desk: Desk, size: int, arguments: list[object]) -> Said:
    """Run a command none of whose files can grow beyond `size` bytes."""
    line = [sys.executable, "-c", LIMITED, size, *arguments]
    done = subprocess.run(
        list(map(str, line)), cwd=desk.folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert "Traceback" not in done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


def is_one_line(said: Said, ending: str) -> bool:
    lines = [line for line in said.err.splitlines() if line]
    return len(lines) == 1 and lines[0].startswith("Error: ") and lines[0].endswith(ending)


def check_that_nothing_left_unannounced(api: RunningSandbox, run: Path) -> None:
    ledger = witness(run)
    calls = Counter((call.customer, call.period or "") for call in api.journal())
    assert all(count <= ledger.intended[key] for key, count in calls.items())


@pytest.mark.parametrize("room", [40_000, 90_000, 150_000])
def test_a_disk_that_fills_up_stops_the_sending_and_resume_goes_on(
    desk: Desk, sandbox: Start, uninterrupted: Mapping[Key, Outcome], room: int
) -> None:
    api, run = inject_faults(sandbox(latency_ms="2-10")), desk.folder / "run"
    _, upload, *options = write_run(desk, api)
    assert desk("plan", upload, *(option for option in options if option != "--yes")).code == 4
    said = with_full_disk(desk, (run / "ledger.sqlite").stat().st_size + room, ["resume", run, "--yes"])
    assert said.code == 1
    assert is_one_line(said, "nothing more is sent; when the disk is in order again, resume the run"), said.err
    check_that_nothing_left_unannounced(api, run)
    assert len(api.truth()) < 100
    assert desk("resume", run, "--yes").code in {4, 5}
    check_the_end(run, api, uninterrupted, BALANCED)


def test_a_disk_that_fills_up_while_planning_leaves_a_run_that_can_be_resumed(
    desk: Desk, sandbox: Start, uninterrupted: Mapping[Key, Outcome], tmp_path_factory: pytest.TempPathFactory
) -> None:
    api, run = inject_faults(sandbox(latency_ms="2-10")), desk.folder / "run"
    command = write_run(desk, api)
    said = with_full_disk(desk, _size_of_an_empty_ledger(tmp_path_factory.mktemp("empty")), command)
    assert said.code == 1
    assert is_one_line(said, "when the disk is in order again, resume the run"), said.err
    assert not api.journal()
    assert desk("resume", run, "--yes").code in {4, 5}
    check_the_end(run, api, uninterrupted, BALANCED)


def _size_of_an_empty_ledger(folder: Path) -> int:
    from tests.ledger.ledgers import NEW_RUN  # noqa: PLC0415

    sqlite.create_ledger(folder, NEW_RUN).close()
    return (folder / "ledger.sqlite").stat().st_size


def test_a_ledger_that_another_program_holds_is_named_and_nothing_is_sent(
    desk: Desk, sandbox: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, run = sandbox(), desk.folder / "run"
    _, upload, *options = write_run(desk, api)
    desk("plan", upload, *(option for option in options if option != "--yes"))
    monkeypatch.setattr(sqlite, "BUSY_S", 0.01)
    other = sqlite3.connect(run / "ledger.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    said = desk("resume", run, "--yes")
    assert said.code == 1
    assert said.err.splitlines()[-1] == (
        f"Error: {run / 'ledger.sqlite'}: database is locked; nothing more is sent; "
        "close the program that has it open, and resume the run"
    )
    other.close()
    assert not api.arrivals()


def test_a_ledger_that_another_program_takes_in_the_middle_stops_the_sending(
    desk: Desk, sandbox: Start, uninterrupted: Mapping[Key, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_S", 0.01)
    api, run = inject_faults(sandbox(latency_ms="2-10")), desk.folder / "run"
    done = threading.Event()

    def take() -> None:
        while len(api.arrivals()) < 30 and not done.is_set():
            time.sleep(0.002)
        other = sqlite3.connect(run / "ledger.sqlite", isolation_level=None, timeout=60)
        other.execute("BEGIN IMMEDIATE")
        done.wait()
        other.close()

    thief = threading.Thread(target=take)
    thief.start()
    try:
        said = desk(*write_run(desk, api))
    finally:
        done.set()
        thief.join()
    assert said.code == 1
    assert said.err.splitlines()[-1].endswith("close the program that has it open, and resume the run")
    check_that_nothing_left_unannounced(api, run)
    assert len(api.truth()) < 100
    assert desk("resume", run, "--yes").code in {4, 5}
    check_the_end(run, api, uninterrupted, BALANCED)


@pytest.mark.parametrize("name", ["sqlite_autoindex_request_1", "outcome"])
def test_a_damaged_ledger_is_named_by_report_and_the_files_stay(desk: Desk, sandbox: Start, name: str) -> None:
    api, run = sandbox(), desk.folder / "run"
    assert desk(*write_run(desk, api)).code == 4
    connection = sqlite3.connect(run / "ledger.sqlite")
    ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,))
    ((size,),) = connection.execute("PRAGMA page_size")
    connection.close()
    with (run / "ledger.sqlite").open("r+b") as file:
        file.seek(page * size - 64)
        file.write(b"\xff" * 64)
    before = {path: path.read_bytes() for path in run.iterdir()}
    said = desk("report", run)
    assert said.code == 1
    assert is_one_line(said, "check the disk and its free space, or restore the file from a backup"), said.err
    assert {path: path.read_bytes() for path in run.iterdir()} == before
