"""Nights that have to look customers up first."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from tests.nightly.nights.conftest import LOOK_UPS_REFUSED, MOBILES, a_night, dying, runs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.commands.conftest import Desk, Factory


@pytest.fixture
def inbox(inbox: Path) -> Path:
    """An inbox with a file whose customers have to be looked up."""
    (inbox / "may.csv").write_text(MOBILES)
    return inbox


def test_a_night_looks_up_then_sends(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    assert a_night(desk, api, inbox).code == 0
    assert (api.calls["lookup"], api.calls["enroll"]) == (10, 10)
    assert (inbox / "done" / "may.csv").is_file()


def test_look_ups_that_stopped_go_on_in_the_next_night_and_the_file_follows(
    desk: Desk, sandbox: Factory, inbox: Path
) -> None:
    api = sandbox(preload=False)
    api.inject(0, LOOK_UPS_REFUSED, "read")
    said = a_night(desk, api, inbox)
    assert said.code == 10
    assert (inbox / "unfinished" / "may.csv").is_file()
    assert (api.calls["lookup"], api.calls["enroll"]) == (10, 0)
    assert a_night(desk, api, inbox).code == 0
    assert (api.calls["lookup"], api.calls["enroll"]) == (18, 10)
    assert (inbox / "done" / "may.csv").is_file()
    assert len(runs()) == 1


@pytest.mark.parametrize(
    "where", ["batch.run.looking_up._note", "batch.run.unattended.preview", "batch.run.nightly.new_run"]
)
def test_a_night_that_dies_after_its_look_ups_asks_about_nobody_twice(
    desk: Desk, sandbox: Factory, inbox: Path, where: str
) -> None:
    api = sandbox(preload=False)
    with dying(where):
        a_night(desk, api, inbox)
    said = a_night(desk, api, inbox)
    assert said.code == 0, said
    assert (api.calls["lookup"], api.calls["enroll"]) == (10, 10)
    assert (inbox / "done" / "may.csv").is_file()
    assert len(runs()) == 1


def test_outside_of_its_hours_a_night_looks_nobody_up(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    opens, closes = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours) for hours in (2, 3))
    said = a_night(desk, api, inbox, pacing={"window": f"{opens:%H:%M}-{closes:%H:%M}"})
    assert said.code == 7
    assert (api.calls["lookup"], api.calls["enroll"]) == (0, 0)
    assert (inbox / "unfinished" / "may.csv").is_file()
