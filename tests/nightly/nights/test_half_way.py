"""Nights that end half-way through a file's end, and files that wait for runs: what is told, and who follows whom."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from batch.nightly.moving_inbox import MovingInbox
from batch.run import nights
from batch.run.driving import signalled_by
from batch.storage.failures import StorageFailed
from tests.commands.conftest import customers
from tests.commands.test_hours import set_clock
from tests.nightly.nights.conftest import (
    MOBILES,
    ONE_CYCLE,
    a_night,
    access_refused,
    dying,
    lying_in,
    put,
    runs,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.commands.conftest import Desk, Factory
    from tests.crash.forks import Forks

pytestmark = pytest.mark.usefixtures("lean_report")
FINISH = "batch.run.putting_away.PuttingAway._finish"


def night_texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect what nights tell everybody."""
    texts: list[str] = []
    real = nights.night_text
    monkeypatch.setattr(nights, "night_text", lambda spent: texts.append(real(spent)) or texts[-1])
    return texts


# -- a run has ended, and its file is not put away ---------------------------------------------------------------------


def test_a_file_whose_night_died_after_its_run_ends_as_its_run_has(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1, 99)
    with dying(FINISH):
        a_night(desk, api, inbox)
    said = a_night(desk, api, inbox)
    assert said.code == 4
    assert "may.csv: Finished: 1 of 2 requests done" in said.err
    assert lying_in(inbox) == ["done/may.csv"]
    assert api.calls["enroll"] == 2
    assert a_night(desk, api, inbox).code == 0


def test_a_signal_while_a_file_is_put_away_hides_nothing(
    desk: Desk, sandbox: Factory, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1, 99)
    with monkeypatch.context() as patched:
        patched.setattr(MovingInbox, "finish", lambda *_, **__: signal.raise_signal(signal.SIGINT))
        said = a_night(desk, api, inbox)
    assert said.code == 7
    assert "may.csv: Finished: 1 of 2 requests done" in said.err
    assert "the file could not be moved to done: a signal came" in said.err


def test_what_could_not_be_put_away_is_for_the_next_night_and_not_for_a_resume(
    desk: Desk, sandbox: Factory, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise StorageFailed("the line is cut")

    api = sandbox(preload=False)
    put(inbox, "may.csv", 1)
    messages = night_texts(monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr(MovingInbox, "finish", fails)
        assert a_night(desk, api, inbox).code == 1
    assert "could not be put away; the next night does it" in messages[-1]
    assert "resume" not in messages[-1]
    assert a_night(desk, api, inbox).code == 0
    assert lying_in(inbox) == ["done/may.csv"]


def test_files_behind_one_that_cannot_be_fetched_nor_given_back_are_named(
    desk: Desk, sandbox: Factory, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise StorageFailed("the line is cut")

    api = sandbox(preload=False)
    for name in ("1-may.csv", "2-june.csv", "3-july.csv"):
        put(inbox, name, int(name[0]))
    with monkeypatch.context() as patched:
        for method in ("fetch", "give_back"):
            patched.setattr(MovingInbox, method, fails)
        said = a_night(desk, api, inbox)
    assert said.code == 1
    for name in ("1-may.csv", "2-june.csv", "3-july.csv"):
        assert f"{name}: " in said.err
    assert a_night(desk, api, inbox).code == 0
    assert lying_in(inbox) == ["done/1-may.csv", "done/2-june.csv", "done/3-july.csv"]


@pytest.mark.parametrize("where", ["batch.run.nightly.Night._ready", "batch.run.nightly.Night._claimed"])
def test_what_a_dead_nights_run_brought_is_told_also_when_the_next_night_dies(
    desk: Desk, sandbox: Factory, inbox: Path, where: str
) -> None:
    """Broken once: the claim was recovered by then, and the file counted as a repeat of itself."""
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1, 99)
    for death in (FINISH, where):
        with dying(death):
            a_night(desk, api, inbox)
    said = a_night(desk, api, inbox)
    assert said.code == 4
    assert "may.csv: Finished: 1 of 2 requests done" in said.err
    put(inbox, "may.csv", 1, 99)
    said = a_night(desk, api, inbox)
    assert said.code == 0
    assert "Not sent: its content was sent before" in said.err
    assert api.calls["enroll"] == 2


def test_what_a_run_brought_is_told_after_a_signal_that_came_when_it_had_ended(
    desk: Desk, sandbox: Factory, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1, 99)
    with monkeypatch.context() as patched:
        patched.setattr("batch.run.closing.measure", lambda *_: signal.raise_signal(signal.SIGINT))
        assert a_night(desk, api, inbox).code == 7
    said = a_night(desk, api, inbox)
    assert said.code == 4
    assert "may.csv: Finished: 1 of 2 requests done" in said.err
    assert lying_in(inbox) == ["done/may.csv"]


def test_a_fault_of_ours_after_the_look_ups_does_not_part_a_file_from_its_run(
    desk: Desk, sandbox: Factory, inbox: Path
) -> None:
    api = sandbox(preload=False)
    (inbox / "people.csv").write_text(MOBILES)
    with pytest.MonkeyPatch.context() as patched:
        patched.delattr("batch.run.looking_up._note")
        assert a_night(desk, api, inbox).code == 1
    a_night(desk, api, inbox)
    a_night(desk, api, inbox)
    assert lying_in(inbox) == ["done/people.csv"]
    assert (api.calls["lookup"], api.calls["enroll"]) == (10, 10)


# -- files that wait ---------------------------------------------------------------------------------------------------


def test_a_file_follows_its_run_though_another_run_died_on_the_way_to_its_place(
    desk: Desk, sandbox: Factory, inbox: Path
) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1, 2)
    assert a_night(desk, api, inbox, guard={"canary": 1}).code == 9
    put(inbox, "may.csv", 11, 12)
    with access_refused(), dying("batch.run.putting_away.PuttingAway._moved"):
        a_night(desk, api, inbox)
    a_night(desk, api, inbox)
    assert lying_in(inbox) == ["done/may.csv", "unfinished/may.csv"]
    assert desk("resume", runs()[0], "--yes").code == 0
    assert a_night(desk, api, inbox).code == 0
    assert lying_in(inbox) == ["done/may-2.csv", "done/may.csv"]


def test_a_file_follows_its_run_though_it_has_the_place_of_one_that_was_taken_out(
    desk: Desk, sandbox: Factory, inbox: Path
) -> None:
    api = sandbox(preload=False)
    for ids in ((1, 2, 3), (1, 2, 4)):
        put(inbox, "may.csv", *ids)
        assert a_night(desk, api, inbox, guard={"canary": 1}).code == 9
        assert lying_in(inbox) == ["unfinished/may.csv"]
        if ids[2] == 3:
            (inbox / "unfinished/may.csv").unlink()
    for run in runs():
        assert desk("resume", run, "--yes").code == 0
    assert a_night(desk, api, inbox).code == 0
    assert lying_in(inbox) == ["done/may.csv"]
    assert (inbox / "done/may.csv").read_text() == customers([1, 2, 4])


def test_two_files_of_one_content_and_name_both_follow_their_run(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    for _ in range(2):
        put(inbox, "may.csv", 1, 2)
        a_night(desk, api, inbox, guard={"canary": 1})
    assert lying_in(inbox) == ["unfinished/may-2.csv", "unfinished/may.csv"]
    assert desk("resume", runs()[0], "--yes").code == 0
    assert a_night(desk, api, inbox).code == 0
    assert lying_in(inbox) == ["done/may-2.csv", "done/may.csv"]


def test_a_file_that_waits_for_look_ups_is_not_forgotten_with_a_night_that_dies_before_the_first(
    desk: Desk, sandbox: Factory, inbox: Path
) -> None:
    api = sandbox(preload=False)
    (inbox / "people.csv").write_text(MOBILES)
    hours = {"pacing": {"rate": None, "window": "22:00-23:00"}}
    set_clock(desk, "2026-12-01T12:00:00", "UTC")
    assert a_night(desk, api, inbox, **hours).code == 7
    assert lying_in(inbox) == ["unfinished/people.csv"]
    set_clock(desk, "2026-12-01T22:00:10", "UTC")
    with dying("batch.run.looking_up._look_up"):
        a_night(desk, api, inbox, **hours)
    set_clock(desk, "2026-12-02T22:00:10", "UTC")
    assert a_night(desk, api, inbox, **hours).code in {0, 4}
    assert lying_in(inbox) == ["done/people.csv"]
    assert api.calls["enroll"] == 10


# -- what a person has typed -------------------------------------------------------------------------------------------


def test_ctrl_c_while_customers_are_looked_up_is_a_persons_word(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    (inbox / "people.csv").write_text(MOBILES)
    hours = {"pacing": {"rate": None, "window": "22:00-23:00"}}
    set_clock(desk, "2026-12-01T12:00:00", "UTC")
    a_night(desk, api, inbox, **hours)
    with closing(sqlite3.connect(runs()[0] / "ledger.sqlite")) as ledger:
        stop_text = f"{signalled_by(signal.SIGINT)}; 0 of 10 customers are looked up, 0 of them not found"
        ledger.execute("UPDATE run SET stop_reason = 'signal', stop_text = ?", (stop_text,))
        ledger.commit()
    set_clock(desk, "2026-12-02T22:00:10", "UTC")
    said = a_night(desk, api, inbox, **hours)
    assert said.code == 7
    assert "waits for a person" in said.err
    assert not api.calls["lookup"]


def test_a_run_that_died_before_its_limit_waits_for_a_person(
    desk: Desk, sandbox: Factory, inbox: Path, forks: Forks
) -> None:
    api = sandbox(preload=False, latency_ms=20)
    config = desk.config(api, campaign=ONE_CYCLE, inbox=str(inbox), pacing={"rate": "50/s", "concurrency": 2})
    upload = desk.upload(customers(range(200, 299)))
    with forks.command(desk.folder, ["run", upload, "-c", config, "--yes", "--limit", "60"]) as run:
        while api.calls["enroll"] < 10:
            assert run.poll() is None
        run.kill()
    sent = api.calls["enroll"]
    said = desk("nightly", "-c", config)
    assert said.code == 7
    assert "waits for a person" in said.err
    assert desk("resume", runs()[0]).code == 2, "without --yes"
    assert desk("nightly", "-c", config).code == 7
    assert api.calls["enroll"] == sent < 60
    assert desk("resume", runs()[0], "--yes").code == 0
    with closing(sqlite3.connect(runs()[0] / "ledger.sqlite")) as ledger:
        ((overrides,),) = ledger.execute("SELECT json_extract(overrides, '$.limit') FROM run")
    assert overrides is None


def test_a_file_whose_look_ups_cannot_be_right_follows_into_failed(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    """The look-ups stop one night; the next one finds that they name one customer for everybody."""
    api = sandbox(preload=False)
    (inbox / "people.csv").write_text(MOBILES)
    hours = {"pacing": {"rate": None, "window": "22:00-23:00"}}
    set_clock(desk, "2026-12-01T12:00:00", "UTC")
    assert a_night(desk, api, inbox, **hours).code == 7
    assert (runs()[0] / "summary.json").exists()
    with closing(sqlite3.connect(runs()[0] / "ledger.sqlite")) as ledger:
        ledger.execute("UPDATE lookup SET customer = 120, outcome = NULL")
        ledger.commit()
    set_clock(desk, "2026-12-01T22:00:10", "UTC")
    assert a_night(desk, api, inbox, **hours).code == 3
    assert lying_in(inbox) == ["failed/people.csv", "failed/people.csv.reason.txt"]
    assert "the same customer" in (inbox / "failed/people.csv.reason.txt").read_text()
    assert a_night(desk, api, inbox, **hours).code == 0
    assert not api.calls["enroll"]
    (inbox / "failed/people.csv").rename(inbox / "people.csv")  # what was wrong is mended
    assert a_night(desk, api, inbox, **hours).code == 0
    assert api.calls["enroll"] == 10
