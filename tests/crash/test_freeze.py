"""SIGSTOP in the middle of sending, SIGCONT later: who sleeps keeps the run, or has lost it for good.

On SQLite the lease is the run's OS lock, which a sleeping process holds as a living one does. So it can be lost only
where the lock itself is, as on a network drive that gives it away; then the fence must hold.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.crash.conftest import BALANCED, CONCURRENCY, command, inject_faults, wait_until, write_run
from tests.crash.witness import Key, check_the_end, witness

if TYPE_CHECKING:
    from pathlib import Path

    from batch.model import Outcome
    from tests.commands.conftest import Desk
    from tests.conftest import RunningSandbox

    Start = Callable[..., RunningSandbox]

READ_TIMEOUT_S = 0.5
RATE_PER_S = 150


def stop_between_writes(process: subprocess.Popen[bytes], ledger: Path) -> None:
    """Freeze a process, but not while it keeps everybody else from writing to its ledger."""
    while True:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        with contextlib.closing(sqlite3.connect(ledger, timeout=0, isolation_level=None)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                process.send_signal(signal.SIGCONT)
            else:
                return


@contextmanager
def frozen(desk: Desk, api: RunningSandbox) -> Iterator[subprocess.Popen[bytes]]:
    """A run that was stopped in the middle of sending, for longer than it waits for any answer."""
    pacing = {"rate": f"{RATE_PER_S}/s", "concurrency": CONCURRENCY}
    timeouts = {"base_url": api.url, "read_timeout_s": READ_TIMEOUT_S}
    with command(desk, write_run(desk, api, pacing=pacing, api=timeouts)) as process:
        assert wait_until(lambda: len(api.arrivals()) >= 40, process)
        stop_between_writes(process, desk.folder / "run" / "ledger.sqlite")
        asleep_until = time.monotonic() + 2 * READ_TIMEOUT_S
        assert desk("resume", "run", "--yes").code == 8
        while time.monotonic() < asleep_until:
            assert " now" in desk("status", "run").out
        yield process


def test_a_sender_that_slept_still_holds_its_run_and_goes_on(
    desk: Desk, sandbox: Start, uninterrupted: Mapping[Key, Outcome]
) -> None:
    api = inject_faults(sandbox(latency_ms="2-40"))
    with frozen(desk, api) as process:
        process.send_signal(signal.SIGCONT)
        assert process.wait(60) in {4, 5}
    check_the_end(desk.folder / "run", api, uninterrupted, BALANCED)
    assert api.overlaps == 0
    arrivals = api.arrivals()
    for first, one_too_many in zip(arrivals, arrivals[RATE_PER_S + 1 :], strict=False):
        assert one_too_many - first >= 1_000_000_000


def test_a_sender_that_was_taken_for_dead_can_start_nothing_when_it_wakes(
    desk: Desk, sandbox: Start, uninterrupted: Mapping[Key, Outcome]
) -> None:
    api, run = inject_faults(sandbox(latency_ms="2-40")), desk.folder / "run"
    with frozen(desk, api) as process:
        (run / "lock").unlink()  # stands for a network drive that has given the lock away
        assert desk("resume", run, "--yes").code in {4, 5}
        calls, doubted = len(api.journal()), witness(run).doubted
        process.send_signal(signal.SIGCONT)
        assert process.wait(60) == 1
    said = (desk.folder / "said").read_text().splitlines()
    assert said[-1].endswith("was taken by another sender; this one stops sending")
    assert "Traceback" not in "".join(said)
    late = Counter((call.customer, call.period or "") for call in api.journal()[calls:])
    assert late.total() <= CONCURRENCY  # what it had announced before it fell asleep, and nothing else
    assert late.keys() <= doubted
    assert desk("report", run).code in {4, 5}
    check_the_end(run, api, uninterrupted, BALANCED, doubted_before=doubted)
