"""What a night does when one run or one file cannot go on: the others do, and nothing is forgotten."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batch.errors import LedgerFailed
from batch.nightly.moving_inbox import MovingInbox
from batch.run import nightly, unattended
from batch.run.lock import locked
from batch.storage.failures import StorageFailed
from tests.commands.conftest import customers

if TYPE_CHECKING:
    from tests.commands.conftest import Desk, Factory, Said
    from tests.conftest import RunningSandbox

ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look twice at once: what tests put into an inbox is complete."""
    monkeypatch.setattr(nightly, "SETTLE_S", 0)


@pytest.fixture
def inbox(desk: Desk) -> Path:
    folder = desk.folder / "inbox"
    folder.mkdir()
    return folder


def put(inbox: Path, name: str, *ids: int) -> None:
    (inbox / name).write_text(customers(ids))


def lying_in(inbox: Path) -> list[str]:
    return sorted(str(path.relative_to(inbox)) for path in inbox.rglob("*") if path.is_file())


def a_night(desk: Desk, api: RunningSandbox | str, inbox: Path, **groups: object) -> Said:
    groups = {"campaign": ONE_CYCLE, "inbox": str(inbox)} | groups
    return desk("nightly", "-c", desk.config(api, **groups))


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
    config = desk.config(api, campaign=ONE_CYCLE, inbox=str(inbox))
    code = desk("run", desk.upload(customers(range(1, 40))), "-c", config, "--yes", *option).code
    before = api.calls["enroll"]
    said = desk("nightly", "-c", config)
    assert said.code == code
    assert "waits for a person: `enroll-batch resume" in said.err
    assert api.calls["enroll"] == before


def test_a_config_that_is_named_by_another_way_is_the_same(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1)
    with pytest.MonkeyPatch.context() as wrong:
        wrong.setenv("SECRET", "no longer valid")
        assert a_night(desk, api, inbox).code == 10
    (desk.folder / "elsewhere").mkdir()
    assert desk("nightly", "-c", "elsewhere/../config.yaml").code == 0
    assert lying_in(inbox) == ["done/may.csv"]


def test_a_file_whose_run_is_being_sent_by_another_process_is_left_to_it(
    desk: Desk, sandbox: Factory, inbox: Path
) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", *range(1, 6))
    config = desk.config(api, campaign=ONE_CYCLE, inbox=str(inbox))
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


def test_a_full_disk_leaves_every_file_in_the_inbox(
    desk: Desk, sandbox: Factory, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = sandbox(preload=False)
    put(inbox, "1-may.csv", 1)
    put(inbox, "2-june.csv", 2)

    def full(*_: object, **__: object) -> None:
        raise LedgerFailed("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(nightly, "plan", full)
        said = a_night(desk, api, inbox)
    assert said.code == 1
    assert "1-may.csv: the disk is full; it stays in the inbox" in said.err
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

    def claim(self: MovingInbox, upload: nightly.Upload) -> object:
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
    with monkeypatch.context() as wrong:
        wrong.setenv("SECRET", "no longer valid")
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
