"""The real command under a clock that is not this machine's (libfaketime): a night that a window ends, and midnight."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batch.nightly.metrics import read_last_success
from tests.commands.conftest import Desk, Factory, customers, desk

__all__ = ["desk"]

pytestmark = pytest.mark.machine
SECOND = 10**9
PER_SECOND = 50
CONCURRENCY = 8
"""So many may come late, all at once, where the server stood still."""
IDS = range(1000, 1720, 2)
"""Even ones: nobody has an id that ends in 99. So many that at this rate the second night cannot end before midnight:
the first one has 3.5 s at most, so that 184 are left for the 2.5 s that the second one has at most before it."""


def night_at(moment: dt.datetime, desk: Desk, config: Path) -> tuple[int, str]:
    """Spend a night that begins at a moment; all clocks run on from there. Return its exit code and what it said."""
    clock = {
        "LD_PRELOAD": str(next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))),
        "FAKETIME": f"{moment.timestamp() - time.time():+.0f}",
        "NO_FAKE_STAT": "1",
    }
    line = [sys.executable, "-m", "batch", "nightly", "-c", str(config)]
    night = subprocess.run(line, cwd=desk.folder, env=os.environ | clock, capture_output=True, text=True, check=False)
    return night.returncode, night.stdout + night.stderr


def test_a_night_ends_with_its_window_and_the_next_one_goes_on_over_midnight(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    inbox = desk.folder / "inbox"
    inbox.mkdir()
    (inbox / "may.csv").write_text(customers(IDS))
    os.utime(inbox / "may.csv", (10**9, 10**9))
    config = desk.config(
        api,
        api={"read_timeout_s": 2},
        campaign={"cycles": ["PERIOD_G_29463_1"]},
        inbox=str(inbox),
        pacing={"rate": f"{PER_SECOND}/s", "concurrency": CONCURRENCY, "window": "22:00-06:00"},
        metrics={"textfile": "night.prom"},
    )
    midnight = dt.datetime(2026, 10, 25, tzinfo=dt.UTC)
    code, said = night_at(midnight - dt.timedelta(hours=18, seconds=3), desk, config)
    assert code == 7, said
    assert (inbox / "unfinished/may.csv").exists()
    assert api.calls["enroll"] < len(IDS)
    code, said = night_at(midnight - dt.timedelta(seconds=2), desk, config)
    assert code == 0, said
    assert (inbox / "done/may.csv").exists()
    assert sorted(call.customer for call in api.journal()) == list(IDS)
    assert len(api.truth()) == len(IDS)
    arrivals = api.arrivals()
    for first, at in enumerate(arrivals):
        assert sum(at <= other < at + SECOND for other in arrivals[first:]) <= PER_SECOND + CONCURRENCY
    (run,) = (desk.folder / "reports").glob("20261024T05*-may")
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["balanced"], summary["state"]) == (True, "finished")
    assert summary["started_at"] < "2026-10-24T06:00"
    assert summary["finished_at"] > "2026-10-25T00:00"
    assert 0 < summary["rate_per_s"] <= PER_SECOND + 2
    last = read_last_success(desk.folder / "night.prom")
    assert last is not None
    assert last > midnight.timestamp()
