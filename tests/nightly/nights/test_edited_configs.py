"""Configs that people edit, rename or take away while a night is at work, or between two of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from batch.run.putting_away import PuttingAway
from tests.nightly.nights.conftest import a_night, access_refused, lying_in, night_config, put, runs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batch.nightly.inbox import Claim
    from batch.run.unattended import Ended
    from tests.commands.conftest import Desk, Factory

pytestmark = pytest.mark.usefixtures("lean_report")


def when_a_file_has_ended(monkeypatch: pytest.MonkeyPatch, does: Callable[[], object]) -> None:
    """Let somebody do something whenever the run of a file has ended."""
    real = PuttingAway._finish

    def finish(ends: PuttingAway, claim: Claim, ended: Ended) -> Ended:
        does()
        return real(ends, claim, ended)

    monkeypatch.setattr(PuttingAway, "_finish", finish)


def kept_text(run: Path) -> str:
    with closing(sqlite3.connect(run / "ledger.sqlite")) as ledger:
        ((text,),) = ledger.execute("SELECT config_text FROM run")
    return str(text)


@pytest.mark.parametrize("wrong", ["campagn:", "campaign: {target_id: 7777}\nx:"])
def test_a_run_keeps_the_config_that_its_night_has_read(
    desk: Desk, sandbox: Factory, inbox: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    api = sandbox(preload=False)
    put(inbox, "1-may.csv", 1)
    put(inbox, "2-june.csv", 2, 99)
    config = night_config(desk, api, inbox)
    good = config.read_text()
    when_a_file_has_ended(monkeypatch, lambda: config.write_text(good.replace("campaign:", wrong)))
    assert desk("nightly", "-c", config).code == 4
    assert lying_in(inbox) == ["done/1-may.csv", "done/2-june.csv"]
    assert [kept_text(run) for run in runs()] == [good, good]
    assert desk("rerun", runs()[1], "--only", "invalid_user", "--yes").code == 4


def test_a_config_that_is_gone_while_the_night_is_at_work_fails_no_file(
    desk: Desk, sandbox: Factory, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = sandbox(preload=False)
    put(inbox, "1-may.csv", 1)
    put(inbox, "2-june.csv", 2)
    config = night_config(desk, api, inbox)
    when_a_file_has_ended(monkeypatch, lambda: config.unlink(missing_ok=True))
    assert desk("nightly", "-c", config).code == 0
    assert lying_in(inbox) == ["done/1-may.csv", "done/2-june.csv"]


def test_a_rate_that_was_lowered_holds_for_a_run_of_the_night_before(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", *range(1, 4))
    with access_refused():
        assert a_night(desk, api, inbox, pacing={"rate": "600/s"}).code == 10
    assert a_night(desk, api, inbox, pacing={"rate": "2/s"}).code == 0
    first, *_, last = api.arrivals()[-3:]
    assert last - first >= 10**9 - 10**8
    with closing(sqlite3.connect(runs()[0] / "ledger.sqlite")) as ledger:
        ((text,),) = ledger.execute("SELECT text FROM event WHERE kind = 'resumed'")
        ((kept,),) = ledger.execute("SELECT json_extract(overrides, '$.rate') FROM run")
    assert "at most 2 per 1 s" in text
    assert kept is None, "nobody has typed it, and it does not outlast the config that says so"


def test_a_rate_that_was_raised_waits_for_the_next_file(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1)
    with access_refused():
        a_night(desk, api, inbox, pacing={"rate": "30/s"})
    assert a_night(desk, api, inbox, pacing={"rate": "50/s"}).code == 0
    with closing(sqlite3.connect(runs()[0] / "ledger.sqlite")) as ledger:
        ((text,),) = ledger.execute("SELECT text FROM event WHERE kind = 'resumed'")
    assert "at most 30 per 1 s" in text


def test_runs_of_a_config_that_was_renamed_are_told_each_night(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1)
    with access_refused():
        assert a_night(desk, api, inbox).code == 10
    old = night_config(desk, api, inbox)
    new = old.rename(old.with_name("renamed.yaml"))
    for _ in range(2):
        said = desk("nightly", "-c", new)
        assert said.code == 7
        assert f"its config {old} is gone; `enroll-batch resume" in said.err
    assert desk("resume", runs()[0], "--yes").code == 0
    assert desk("nightly", "-c", new).code == 0
    assert lying_in(inbox) == ["done/may.csv"]
