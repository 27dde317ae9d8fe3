"""Nights that have to look customers up first."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batch.nightly import claims
from batch.run import nightly

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
    (folder / "may.csv").write_text("Mobile\n" + "".join(f"91{number:010}\n" for number in range(120, 130)))
    return folder


def a_night(desk: Desk, api: RunningSandbox, inbox: Path, **groups: object) -> Said:
    return desk("nightly", "-c", desk.config(api, campaign=ONE_CYCLE, inbox=str(inbox), **groups))


def test_a_night_looks_up_then_sends(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    assert a_night(desk, api, inbox).code == 0
    assert (api.calls["lookup"], api.calls["enroll"]) == (10, 10)
    assert (inbox / "done" / "may.csv").is_file()


def test_look_ups_that_stopped_go_on_in_the_next_night_and_the_file_follows(
    desk: Desk, sandbox: Factory, inbox: Path
) -> None:
    api = sandbox(preload=False)
    api.inject(0, ["ok", "ok", *["error_403_4000"] * 8], "read")
    said = a_night(desk, api, inbox)
    assert said.code == 10
    assert (inbox / "unfinished" / "may.csv").is_file()
    assert (api.calls["lookup"], api.calls["enroll"]) == (10, 0)
    assert a_night(desk, api, inbox).code == 0
    assert (api.calls["lookup"], api.calls["enroll"]) == (18, 10)
    assert (inbox / "done" / "may.csv").is_file()
    assert len(list(Path("reports").glob("*Z-*"))) == 1


class Died(BaseException):
    """Stands for the death of the process."""


@pytest.mark.parametrize(
    "where", ["batch.run.looking_up._note", "batch.run.unattended.preview", "batch.run.nightly.new_run"]
)
def test_a_night_that_dies_after_its_look_ups_asks_about_nobody_twice(
    desk: Desk, sandbox: Factory, inbox: Path, where: str
) -> None:
    api = sandbox(preload=False)

    def die(*_: object, **__: object) -> None:
        raise Died

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(where, die)
        with pytest.raises(Died):
            a_night(desk, api, inbox)
    claims.OURS.clear()
    said = a_night(desk, api, inbox)
    assert said.code == 0, said
    assert (api.calls["lookup"], api.calls["enroll"]) == (10, 10)
    assert (inbox / "done" / "may.csv").is_file()
    assert len(list(Path("reports").glob("*Z-*"))) == 1


def test_outside_of_its_hours_a_night_looks_nobody_up(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    opens, closes = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours) for hours in (2, 3))
    said = a_night(desk, api, inbox, pacing={"window": f"{opens:%H:%M}-{closes:%H:%M}"})
    assert said.code == 7
    assert (api.calls["lookup"], api.calls["enroll"]) == (0, 0)
    assert (inbox / "unfinished" / "may.csv").is_file()
