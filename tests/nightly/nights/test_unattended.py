"""What a night does when one run or one file cannot go on: the others do, and nothing is forgotten."""

from __future__ import annotations

import datetime as dt
import errno
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batch.errors import InputRefused, LedgerFailed
from batch.nightly.choice import Upload
from batch.nightly.moving_inbox import MovingInbox
from batch.run import nightly, put_aside, unattended
from batch.run.lock import locked
from batch.run.unfinished import Next, look_at
from batch.storage.failures import StorageFailed
from tests.commands.conftest import customers
from tests.nightly.nights.conftest import (
    LOOK_UPS_REFUSED,
    MOBILES,
    ONE_CYCLE,
    a_night,
    access_refused,
    dying,
    lying_in,
    night_config,
    put,
    runs,
)
from tests.report.ledgers import LedgerOfTests

if TYPE_CHECKING:
    from tests.commands.conftest import Desk, Factory, Said


pytestmark = pytest.mark.usefixtures("lean_report")


def said_by(said: Said) -> str:
    return said.out + said.err


# -- runs that cannot go on --------------------------------------------------------------------------------------------


def test_a_run_that_was_begun_with_a_wrong_address_does_not_keep_others_back(
    desk: Desk, sandbox: Factory, inbox: Path
) -> None:
    api = sandbox(preload=False)
    put(inbox, "1-may.csv", 1)
    put(inbox, "2-june.csv", 2)
    assert a_night(desk, "http://127.0.0.1:9", inbox).code == 7
    assert lying_in(inbox) == ["2-june.csv", "unfinished/1-may.csv"]
    said = a_night(desk, api, inbox)
    assert said.code == 7
    assert lying_in(inbox) == ["done/2-june.csv", "unfinished/1-may.csv"]
    assert [call.customer for call in api.journal()] == [2]


def test_an_organisation_that_is_refused_stops_its_own_file_only(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    (inbox / "1-foreign.csv").write_text("customer_id,org_id\n" + "".join(f"{each},4711\n" for each in range(5)))
    put(inbox, "2-ours.csv", 2)
    said = a_night(desk, api, inbox)
    assert said.code == 10
    assert "to give the run up, remove its folder" in said_by(said)
    assert lying_in(inbox) == ["done/2-ours.csv", "unfinished/1-foreign.csv"]
    put(inbox, "3-more.csv", 3)
    assert a_night(desk, api, inbox).code == 10
    assert lying_in(inbox) == ["done/2-ours.csv", "done/3-more.csv", "unfinished/1-foreign.csv"]


def test_a_damaged_ledger_is_told_each_night_and_stops_nobody(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1)
    assert a_night(desk, api, inbox).code == 0
    (ledger,) = Path("reports").glob("*Z-may/ledger.sqlite")
    content = ledger.read_bytes()
    ledger.write_bytes(b"\xff" * 400 + content[400:])
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(ledger).execute("SELECT 1 FROM run")
    put(inbox, "june.csv", 2)
    said = a_night(desk, api, inbox)
    assert said.code == 1
    assert f"{ledger.parent.name}: its ledger is damaged" in said.err
    assert lying_in(inbox) == ["done/june.csv", "done/may.csv"]


@pytest.mark.parametrize("option", [["--limit", "3"], ["--canary", "3"]])
def test_what_a_person_has_stopped_waits_for_a_person(
    desk: Desk, sandbox: Factory, inbox: Path, option: list[str]
) -> None:
    api = sandbox(preload=False)
    config = night_config(desk, api, inbox)
    code = desk("run", desk.upload(customers(range(1, 40))), "-c", config, "--yes", *option).code
    before = api.calls["enroll"]
    said = desk("nightly", "-c", config)
    assert said.code == code
    assert "waits for a person: `enroll-batch resume" in said.err
    assert api.calls["enroll"] == before


def test_a_config_that_is_named_by_another_way_is_the_same(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1)
    with access_refused():
        assert a_night(desk, api, inbox).code == 10
    (desk.folder / "elsewhere").mkdir()
    assert desk("nightly", "-c", "elsewhere/../config.yaml").code == 0
    assert lying_in(inbox) == ["done/may.csv"]


def test_a_file_whose_run_is_being_sent_by_another_process_is_left_to_it(
    desk: Desk, sandbox: Factory, inbox: Path
) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", *range(1, 6))
    config = night_config(desk, api, inbox)
    assert desk("run", inbox / "may.csv", "-c", config, "--yes", "--limit", "3", "--run-dir", "reports/1").code == 7
    with locked(Path("reports/1")):
        said = desk("nightly", "-c", config)
    assert "may.csv: another process is at work on its run; stays in the inbox" in said_by(said)
    assert lying_in(inbox) == ["may.csv"]
    said = desk("nightly", "-c", config)
    assert "may.csv: Not sent: its content is held by the run 1, which is not finished." in said.err
    assert lying_in(inbox) == ["unfinished/may.csv"]
    assert desk("resume", "reports/1", "--yes").code == 0
    assert desk("nightly", "-c", config).code == 0
    assert lying_in(inbox) == ["done/may.csv"]


# -- a machine that fails ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [LedgerFailed, OSError, InputRefused])
def test_a_full_disk_leaves_every_file_in_the_inbox(
    desk: Desk, sandbox: Factory, inbox: Path, monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
) -> None:
    api = sandbox(preload=False)
    put(inbox, "1-may.csv", 1)
    put(inbox, "2-june.csv", 2)

    def full(*_: object, **__: object) -> None:
        raise fault("the disk is full") from OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(nightly, "plan", full)
        said = a_night(desk, api, inbox)
    assert said.code == 1
    assert "; it stays in the inbox" in said.err
    assert lying_in(inbox) == ["1-may.csv", "2-june.csv"]
    assert a_night(desk, api, inbox).code == 0
    assert lying_in(inbox) == ["done/1-may.csv", "done/2-june.csv"]
    assert api.calls["enroll"] == 2


def test_a_file_whose_run_failed_half_way_follows_it(
    desk: Desk, sandbox: Factory, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1, 2)
    real = unattended.send_and_close

    def half(run: object, **options: object) -> None:
        real(run, **options | {"limit": 1})  # type: ignore[arg-type]
        run.ledger.update_run(stop_reason="fault")  # type: ignore[attr-defined]
        raise LedgerFailed("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(unattended, "send_and_close", half)
        assert a_night(desk, api, inbox).code == 1
    assert lying_in(inbox) == ["failed/may.csv", "failed/may.csv.reason.txt"]
    assert "the next night goes on with it" in (inbox / "failed/may.csv.reason.txt").read_text()
    assert a_night(desk, api, inbox).code == 0
    assert (inbox / "done/may.csv").is_file()
    assert not (inbox / "failed/may.csv").exists()
    assert api.calls["enroll"] == 2


def test_a_fault_of_our_own_ends_its_file_with_the_reason(
    desk: Desk, sandbox: Factory, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = sandbox(preload=False)
    put(inbox, "1-may.csv", 1)
    put(inbox, "2-june.csv", 2)
    real = nightly.plan

    def faulty(run: object, sources: list[object], **options: object) -> None:
        if "may" in str(sources[0]):
            raise ZeroDivisionError
        real(run, sources, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(nightly, "plan", faulty)
    assert a_night(desk, api, inbox).code == 1
    assert lying_in(inbox) == ["done/2-june.csv", "failed/1-may.csv", "failed/1-may.csv.reason.txt"]
    assert "ZeroDivisionError" in (inbox / "failed/1-may.csv.reason.txt").read_text()


def test_one_file_that_cannot_be_taken_keeps_nobody_back(
    desk: Desk, sandbox: Factory, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = sandbox(preload=False)
    put(inbox, "1-may.csv", 1)
    put(inbox, "2-june.csv", 2)
    real = MovingInbox.claim

    def claim(self: MovingInbox, upload: Upload) -> object:
        if upload.name == "1-may.csv":
            raise StorageFailed("it may not be renamed")
        return real(self, upload)

    monkeypatch.setattr(MovingInbox, "claim", claim)
    said = a_night(desk, api, inbox)
    assert said.code == 1
    assert "1-may.csv: it cannot be taken: it may not be renamed" in said.err
    assert lying_in(inbox) == ["1-may.csv", "done/2-june.csv"]


def test_a_report_folder_that_cannot_be_read_is_said_in_one_line(
    desk: Desk, sandbox: Factory, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(inbox, "may.csv", 1)
    Path("reports").mkdir()

    def forbidden(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", forbidden)
    said = a_night(desk, sandbox(preload=False), inbox)
    monkeypatch.undo()
    assert said.code == 2
    assert "reports: cannot be read (Permission denied); check its permissions" in said.err
    assert os.listdir(inbox) == ["may.csv"]  # noqa: PTH208 - iterdir was patched


def test_a_file_that_cannot_follow_its_run_keeps_nobody_back_and_follows_later(
    desk: Desk, sandbox: Factory, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = sandbox(preload=False)
    put(inbox, "1-may.csv", 1)
    with access_refused():
        assert a_night(desk, api, inbox).code == 10

    def stuck(*_: object, **__: object) -> None:
        raise StorageFailed("it may not be renamed")

    put(inbox, "2-june.csv", 2)
    with monkeypatch.context() as patched:
        patched.setattr(MovingInbox, "move_on", stuck)
        said = a_night(desk, api, inbox)
    assert said.code == 1
    assert "1-may.csv: its run has ended, but it could not be moved to done: it may not be renamed" in said.err
    assert lying_in(inbox) == ["done/2-june.csv", "unfinished/1-may.csv"]
    assert a_night(desk, api, inbox).code == 0
    assert lying_in(inbox) == ["done/1-may.csv", "done/2-june.csv"]


# -- which file belongs to which run -----------------------------------------------------------------------------------


def test_a_night_that_died_leads_to_its_run_also_when_the_campaign_was_changed_since(
    desk: Desk, sandbox: Factory, inbox: Path
) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1, 2)
    with dying("batch.run.putting_away.PuttingAway._finish"):
        a_night(desk, api, inbox)
    assert a_night(desk, api, inbox, campaign=ONE_CYCLE | {"on_cascade": "skip"}).code == 0
    assert lying_in(inbox) == ["done/may.csv"]
    assert api.calls["enroll"] == 2


def test_a_dead_nights_file_is_not_called_sent_while_its_run_is_not_finished(
    desk: Desk, sandbox: Factory, inbox: Path
) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1, 2)
    with access_refused(), dying("batch.run.putting_away.PuttingAway._finish"):
        a_night(desk, api, inbox)
    renamed = (desk.folder / "config.yaml").rename(desk.folder / "renamed.yaml")
    said = desk("nightly", "-c", renamed)
    assert said.code == 7
    (run,) = runs()
    assert f"may.csv: Its own run, {run.name}, is not finished. " in said.err
    assert lying_in(inbox) == ["unfinished/may.csv"]
    assert api.calls["enroll"] == 0


@pytest.mark.parametrize("where", ["putting_away.PuttingAway._moved", "nightly.Night._note"])
def test_a_file_follows_its_run_also_when_the_night_died_while_it_was_put_aside(
    desk: Desk, sandbox: Factory, inbox: Path, where: str
) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1, 2)
    with access_refused(), dying(f"batch.run.{where}"):
        a_night(desk, api, inbox)
    assert a_night(desk, api, inbox).code == 0
    a_night(desk, api, inbox)
    assert lying_in(inbox) == ["done/may.csv"]
    assert api.calls["enroll"] == 2


def test_two_inboxes_with_the_same_file_are_both_seen_to(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    other = desk.folder / "other"
    other.mkdir()
    put(inbox, "may.csv", 1, 2)
    put(other, "same.csv", 1, 2)
    assert a_night(desk, api, inbox, guard={"canary": 1}).code == 9
    assert a_night(desk, api, other, guard={"canary": 1}).code == 9
    assert (lying_in(inbox), lying_in(other)) == (["unfinished/may.csv"], ["unfinished/same.csv"])
    (run,) = Path("reports").glob("*Z-may")
    assert desk("resume", run, "--yes").code == 0
    assert a_night(desk, api, inbox).code == 0
    assert a_night(desk, api, other).code == 0
    assert (lying_in(inbox), lying_in(other)) == (["done/may.csv"], ["done/same.csv"])
    assert api.calls["enroll"] == 2


def test_what_is_noted_needs_no_room_on_a_disk_that_has_become_full(tmp_path: Path) -> None:
    put_aside.taken(tmp_path, "inbox", "a claim", Upload("may.csv", 1, 1))
    (note,) = tmp_path.iterdir()
    size, inode = note.stat().st_size, note.stat().st_ino
    put_aside.remember(tmp_path, "inbox", "failed/" + "x" * 200, "a claim")
    assert (note.stat().st_size, note.stat().st_ino) == (size, inode)
    assert "failed/" in note.read_text()


# -- look-ups that stopped ---------------------------------------------------------------------------------------------


def test_a_file_whose_look_ups_stopped_is_held_by_its_run(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    (inbox / "may.csv").write_text(MOBILES)
    api.inject(0, LOOK_UPS_REFUSED, "read")
    assert a_night(desk, api, inbox).code == 10
    said = desk("run", inbox / "unfinished" / "may.csv", "-c", "config.yaml", "--yes")
    assert said.code == 3
    assert "held by an unfinished run" in said.err
    assert a_night(desk, api, inbox).code == 0
    assert api.calls["enroll"] == 10


def test_a_run_whose_file_was_sent_all_the_same_is_given_up(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    (inbox / "may.csv").write_text(MOBILES)
    api.inject(0, LOOK_UPS_REFUSED, "read")
    assert a_night(desk, api, inbox).code == 10
    assert desk("run", inbox / "unfinished" / "may.csv", "-c", "config.yaml", "--yes", "--again").code == 0
    said = a_night(desk, api, inbox)
    assert said.code == 3
    assert "was sent before" in said.err
    assert api.calls["enroll"] == 10
    assert a_night(desk, api, inbox).code == 0


def test_another_file_of_the_same_name_does_not_keep_a_run_from_going_on(
    desk: Desk, sandbox: Factory, inbox: Path
) -> None:
    api = sandbox(preload=False)
    (inbox / "may.csv").write_text(MOBILES)
    api.inject(0, LOOK_UPS_REFUSED, "read")
    assert a_night(desk, api, inbox).code == 10
    put(inbox, "may.csv", 500, 501)
    assert a_night(desk, api, inbox).code == 0
    assert lying_in(inbox) == ["done/may-2.csv", "done/may.csv"]
    assert api.calls["enroll"] == 12


def test_look_ups_that_a_guard_has_stopped_wait_for_a_person(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    (inbox / "may.csv").write_text("Mobile\n" + "".join(f"91{number * 100 + 99:010}\n" for number in range(1, 40)))
    guard = {"guard": {"minimum": 5, "stop_when": {"invalid_user": "50%"}}, "pacing": {"concurrency": 1}}
    assert a_night(desk, api, inbox, **guard).code == 6
    before = api.calls["lookup"]
    assert a_night(desk, api, inbox, **guard).code == 6
    assert api.calls["lookup"] == before


# -- more that keeps nobody back ---------------------------------------------------------------------------------------


def test_the_window_of_a_run_that_was_begun_with_another_one_ends_no_night(
    desk: Desk, sandbox: Factory, inbox: Path
) -> None:
    api = sandbox(preload=False)
    put(inbox, "old.csv", 1)
    opens, closes = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours) for hours in (2, 3))
    assert a_night(desk, api, inbox, pacing={"window": f"{opens:%H:%M}-{closes:%H:%M}"}).code == 7
    put(inbox, "new.csv", 2)
    assert a_night(desk, api, inbox).code == 7
    assert lying_in(inbox) == ["done/new.csv", "unfinished/old.csv"]


def test_a_name_that_cannot_be_shown_is_told(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    put(inbox, os.fsdecode(b"caf\xe9.csv"), 1)
    said = a_night(desk, sandbox(preload=False), inbox)
    assert said.code == 0
    assert "caf\\udce9.csv: its name cannot be shown, so it is not taken; give it another one" in said_by(said)


def test_a_ledger_that_cannot_be_read_for_the_moment_sends_nothing_twice(
    desk: Desk, sandbox: Factory, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1)
    assert a_night(desk, api, inbox).code == 0
    put(inbox, "may.csv", 1)

    def busy(_: Path) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    with monkeypatch.context() as patched:
        patched.setattr("batch.run.earlier.connect_to_read", busy)
        said = a_night(desk, api, inbox)
    assert said.code == 2
    assert "so whether this file was sent before is not known" in said.err
    assert lying_in(inbox) == ["done/may.csv", "may.csv"]
    assert a_night(desk, api, inbox).code == 0
    assert api.calls["enroll"] == 1


def test_a_signal_is_not_lost_where_a_file_cannot_be_given_back(
    desk: Desk, sandbox: Factory, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def stuck(*_: object) -> None:
        raise StorageFailed("gone")

    put(inbox, "may.csv", 1)
    monkeypatch.setattr(nightly, "plan", interrupted)
    monkeypatch.setattr(MovingInbox, "give_back", stuck)
    assert a_night(desk, sandbox(preload=False), inbox).code == 7


@pytest.mark.parametrize(
    ("facts", "step"),
    [
        ({"stop_reason": "declined"}, Next.WAIT),
        ({"stop_reason": "signal", "stop_text": "stopped by SIGINT"}, Next.WAIT),
        ({"stop_reason": "signal", "stop_text": "stopped by SIGTERM"}, Next.RESUME),
        ({"stop_reason": "silent"}, Next.RESUME),
        ({"stop_reason": None, "state": "sending"}, Next.RESUME),
        ({"started_at": None, "stop_reason": "declined"}, None),
        ({"started_at": None, "stop_reason": None, "state": "planned"}, Next.REMOVE),
        ({"started_at": None, "stop_reason": None, "state": "planned", "command": "run"}, None),
        ({"started_at": None, "stop_reason": "guard", "state": "planning"}, Next.WAIT),
        ({"started_at": None, "stop_reason": "refused", "state": "planning"}, Next.RESUME),
        ({"state": "finished", "stop_reason": None, "exit_code": 0}, None),
    ],
)
def test_what_a_night_does_with_a_run(tmp_path: Path, facts: dict[str, object], step: Next | None) -> None:
    config = tmp_path / "config.yaml"
    standing = {
        "config_path": str(config),
        "command": "nightly",
        "state": "stopped",
        "started_at": 1,
        "exit_code": None,
    }
    LedgerOfTests(tmp_path / "ledger.sqlite", **standing | facts).close()
    found = look_at(tmp_path, config)
    assert (found and found.next) == step
