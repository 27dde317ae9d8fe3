"""Nights whose clock goes over midnight, is set forwards and back in their midst, or stands still."""

from __future__ import annotations

import datetime as dt
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from batch.nightly.metrics import read_last_success
from batch.run import nightly, opening
from tests.nightly.nights.conftest import a_night, dying, lying_in, put, runs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.commands.conftest import Desk, Factory, Said
    from tests.conftest import RunningSandbox

SECOND = 10**9
HOUR = 3600
PER_SECOND = 50
CONCURRENCY = 8
"""So many may come late, all at once, where the server stood still."""
MIDNIGHT = dt.datetime(2026, 10, 25, tzinfo=dt.UTC)
NEGATIVE = re.compile(r"(?<![\w-])-\d[\d,.]* (ms|s|min|h)\b")


class Clock:
    """The clock on the wall, for all that asks it in this process but the simulated API."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real_ns = time.time_ns
        self._ahead_ns = 0
        self._stands_at: int | None = None
        monkeypatch.setattr(time, "time_ns", self.now_ns)
        monkeypatch.setattr(time, "time", lambda: self.now_ns() / SECOND)
        monkeypatch.setitem(nightly.Night.__init__.__kwdefaults__, "wall_ns", self.now_ns)
        zones = SimpleNamespace(UTC=dt.UTC, datetime=SimpleNamespace(now=self.now))
        monkeypatch.setattr(opening, "dt", zones)

    def now_ns(self) -> int:
        return self._real_ns() + self._ahead_ns if self._stands_at is None else self._stands_at

    def now(self, zone: dt.tzinfo) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.now_ns() / SECOND, zone)

    def show(self, moment: dt.datetime) -> None:
        self._ahead_ns = round(moment.timestamp() * SECOND) - self._real_ns()

    def set(self, seconds: float) -> None:
        """Set it forwards, or back."""
        self._ahead_ns += round(seconds * SECOND)

    def stop(self) -> None:
        self._stands_at = self.now_ns()

    @contextmanager
    def set_at(self, api: RunningSandbox, *settings: tuple[int, float]) -> Iterator[None]:
        """Set it, by so many seconds, when so many calls have come."""
        is_over = threading.Event()

        def watch() -> None:
            for count, seconds in settings:
                while api.calls["enroll"] < count:
                    if is_over.wait(0.002):
                        return
                self.set(seconds)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that shows midnight in a second."""
    clock = Clock(monkeypatch)
    clock.show(MIDNIGHT - dt.timedelta(seconds=1))
    return clock


def a_paced_night(desk: Desk, api: RunningSandbox, inbox: Path, **pacing: object) -> Said:
    """Spend a night that sends PER_SECOND and writes down when it last went well."""
    pacing = {"rate": f"{PER_SECOND}/s", "concurrency": CONCURRENCY} | pacing
    return a_night(desk, api, inbox, pacing=pacing, metrics={"textfile": str(desk.folder / "night.prom")})


def check_runs(api: RunningSandbox, *uploads: range) -> None:
    """Everything is sent once and told as it was, no faster than allowed, and nothing took less than no time."""
    assert sorted(call.customer for call in api.journal()) == [number for ids in uploads for number in ids]
    assert {customer for customer, _ in api.enrolled()} == {number for ids in uploads for number in ids}
    arrivals = api.arrivals()
    for first, at in enumerate(arrivals):
        assert sum(at <= other < at + SECOND for other in arrivals[first:]) <= PER_SECOND + CONCURRENCY
    assert len(runs()) == len(uploads)
    for run in runs():
        summary = json.loads((run / "summary.json").read_text())
        assert summary["balanced"] is True
        assert summary["state"] == "finished"
        assert summary["outcomes"]["enrolled"] == summary["attempts"] == summary["requests"]["unique"]
        assert summary["duration_s"] > 0
        assert 0 < summary["rate_per_s"] <= 1.5 * PER_SECOND
        for name in ("report.html", "summary.md"):
            assert not NEGATIVE.search(re.sub("<[^>]*>", " ", (run / name).read_text())), name
        events = [json.loads(line) for line in (run / "run.log").read_text().splitlines()]
        assert events[-1]["event"] == "finished"


@pytest.mark.parametrize(
    "settings",
    [(), ((20, HOUR), (40, -2 * HOUR)), ((20, -86_400), (100, 86_400))],
    ids=["midnight", "an-hour", "a-day"],
)
def test_a_clock_that_is_set_changes_nothing_of_what_is_sent_and_told(
    desk: Desk, sandbox: Factory, inbox: Path, clock: Clock, settings: tuple[tuple[int, float], ...]
) -> None:
    api = sandbox(preload=False, latency_ms=30)
    put(inbox, "1-may.csv", *range(100, 190))
    put(inbox, "2-june.csv", *range(200, 230))
    with clock.set_at(api, *settings):
        said = a_paced_night(desk, api, inbox)
    assert said.code == 0, said
    assert lying_in(inbox) == ["done/1-may.csv", "done/2-june.csv"]
    check_runs(api, range(100, 190), range(200, 230))
    assert runs()[-1 if not settings else 0].name.startswith(("20261024T", "20261025T00"))
    last = read_last_success(desk.folder / "night.prom")
    assert last is not None
    assert last <= clock.now_ns() / SECOND
    said = a_paced_night(desk, api, inbox)
    assert (said.code, said.out, said.err) == (0, "", "nothing to do\n")
    assert desk("status").code == 0


def test_an_answer_does_not_come_before_its_question(desk: Desk, sandbox: Factory, inbox: Path, clock: Clock) -> None:
    """Broken once: "the slowest took -3599799 ms"."""
    api = sandbox(preload=False, latency_ms=300)
    put(inbox, "may.csv", 1)
    with clock.set_at(api, (1, -HOUR)):
        assert a_paced_night(desk, api, inbox).code == 0
    check_runs(api, range(1, 2))


@pytest.mark.parametrize("seconds", [HOUR, -86_400])
def test_what_a_dead_night_held_is_taken_again_whatever_the_clock_shows(
    desk: Desk, sandbox: Factory, inbox: Path, clock: Clock, seconds: float
) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", *range(100, 110))

    with dying("batch.run.closing.report"):
        a_paced_night(desk, api, inbox)
    clock.set(seconds)
    said = a_paced_night(desk, api, inbox)
    assert said.code == 0, said
    assert "was claimed by a process that is gone" in said.err
    assert lying_in(inbox) == ["done/may.csv"]
    check_runs(api, range(100, 110))


def test_while_the_clock_stands_still_runs_have_folders_of_their_own(
    desk: Desk, sandbox: Factory, inbox: Path, clock: Clock
) -> None:
    api = sandbox(preload=False)
    clock.stop()
    for ids in (range(100, 103), range(200, 203)):
        put(inbox, "may.csv", *ids)
        assert a_paced_night(desk, api, inbox).code == 0
    assert lying_in(inbox) == ["done/may-2.csv", "done/may.csv"]
    assert [run.name for run in runs()] == ["20261024T235959Z-may", "20261024T235959Z-may-2"]
    check_runs(api, range(100, 103), range(200, 203))


@pytest.mark.parametrize(
    ("begins", "seconds"),
    [("05:30", HOUR), ("23:59", -3 * HOUR)],
)
def test_a_clock_that_is_set_out_of_the_window_ends_the_night_and_the_next_one_goes_on(
    desk: Desk, sandbox: Factory, inbox: Path, clock: Clock, begins: str, seconds: float
) -> None:
    """What had its slot already may still leave: that is fifty milliseconds."""
    api = sandbox(preload=False, latency_ms=30)
    put(inbox, "1-may.csv", *range(100, 190))
    put(inbox, "2-june.csv", 200)
    clock.show(dt.datetime.combine(MIDNIGHT, dt.time.fromisoformat(begins), dt.UTC))
    with clock.set_at(api, (20, seconds)):
        said = a_paced_night(desk, api, inbox, window="22:00-06:00")
    assert said.code == 7, said
    assert lying_in(inbox) == ["2-june.csv", "unfinished/1-may.csv"]
    sent = api.calls["enroll"]
    assert sent < 90
    clock.show(MIDNIGHT + dt.timedelta(hours=12))
    assert a_paced_night(desk, api, inbox, window="22:00-06:00").code == 7
    assert lying_in(inbox) == ["2-june.csv", "unfinished/1-may.csv"]
    assert api.calls["enroll"] == sent
    clock.show(MIDNIGHT + dt.timedelta(days=1, seconds=-1))
    said = a_paced_night(desk, api, inbox, window="22:00-06:00")
    assert said.code == 0, said
    assert lying_in(inbox) == ["done/1-may.csv", "done/2-june.csv"]
    check_runs(api, range(100, 190), range(200, 201))


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_a_file_that_still_grows_is_not_old_because_the_clock_is_wrong(
    desk: Desk, sandbox: Factory, inbox: Path, clock: Clock, seconds: float
) -> None:
    """Broken once: a clock ten minutes ahead of the inbox took every upload at the first look."""
    put(inbox, "may.csv", 1)
    clock.show(dt.datetime.fromtimestamp((inbox / "may.csv").stat().st_mtime, dt.UTC))
    clock.set(seconds)
    grow = partial(put, inbox, "may.csv", 1, 2)
    desk.monkeypatch.setitem(nightly.Night.__init__.__kwdefaults__, "sleep", lambda _: grow())
    said = a_paced_night(desk, sandbox(preload=False), inbox)
    assert "may.csv: is still being written" in said.err
    assert lying_in(inbox) == ["may.csv"]


def test_a_last_success_is_never_later_than_now(desk: Desk, sandbox: Factory, inbox: Path, clock: Clock) -> None:
    """Broken once: a success told by a clock that was a year ahead hid the failures of a year."""
    clock.set(365 * 86_400)
    put(inbox, "may.csv", 1)
    assert a_paced_night(desk, sandbox(preload=False), inbox).code == 0
    clock.set(-365 * 86_400)
    set_at = clock.now_ns()
    put(inbox, "june.csv", 2)
    desk.monkeypatch.setenv("SECRET", "no longer valid")
    assert a_paced_night(desk, sandbox(preload=False), inbox).code == 10
    last = read_last_success(desk.folder / "night.prom")
    assert last is not None
    assert set_at - SECOND <= last * SECOND <= clock.now_ns()
