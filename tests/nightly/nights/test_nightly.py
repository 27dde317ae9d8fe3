"""The command `nightly`, as cron starts it, against the simulated API."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batch.run import nightly
from tests.commands.conftest import Desk, Factory, customers
from tests.crash.conftest import wait_until
from tests.nightly.nights.conftest import (
    a_night,
    access_refused,
    dying,
    lying_at,
    lying_in,
    night_config,
    night_process,
    put,
    put_long_ago,
    runs,
)

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox
    from tests.crash.forks import Forks
    from tests.nightly.inbox.conftest import Site


def calls(api: RunningSandbox) -> int:
    return api.calls["enroll"]


def test_a_file_is_run_reported_and_put_away_wherever_the_inbox_is(desk: Desk, sandbox: Factory, site: Site) -> None:
    api = sandbox(preload=False)
    site.put("may.csv", customers([1, 2]).encode())
    said = a_night(desk, api, site.address)
    assert (said.code, said.out) == (0, "")
    assert "may.csv: Finished: 2 requests, all done. See " in said.err
    found = site.everything()
    assert found.pop("done/may.csv") == customers([1, 2]).encode()
    (run,) = runs()
    summary = json.loads((run / "summary.json").read_text())
    assert summary["input"][0]["path"] == f"{site.address}/may.csv"
    assert summary["outcomes"]["enrolled"] == 2
    uploaded = {name.removeprefix("done/may.csv.report/") for name in found}
    assert uploaded == (set() if site.kind == "folder" else {"summary.json", *uploaded})
    assert not {"ledger.sqlite", "lock", "may.csv"} & uploaded
    before = calls(api)
    said = a_night(desk, api, site.address)
    assert (said.code, said.out, said.err) == (0, "", "nothing to do\n")
    assert calls(api) == before


def test_the_order_is_by_number_then_by_age(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    for age, name in enumerate(["young.csv", "old.csv", "20-late.csv", "3-first.csv"]):
        put(inbox, name, 10 + age)
        os.utime(inbox / name, (10**9 - age, 10**9 - age))
    assert a_night(desk, api, inbox).code == 0
    assert [call.customer for call in api.journal()] == [13, 12, 11, 10]


def test_a_file_that_was_seen_before_is_put_away_with_a_note(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1, 2)
    a_night(desk, api, inbox)
    put(inbox, "may.csv", 1, 2)
    before = calls(api)
    said = a_night(desk, api, inbox)
    assert said.code == 0
    assert "may.csv: Not sent: its content was sent before" in said.err
    assert lying_in(inbox) == ["done/may-2.csv", "done/may.csv"]
    assert calls(api) == before
    assert len(runs()) == 1


def test_a_file_that_is_still_being_written_waits(
    desk: Desk, sandbox: Factory, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(inbox, "growing.csv", 1)
    put(inbox, "whole.csv", 2)
    put(inbox, "whole.csv.part", 3)
    monkeypatch.setattr(nightly.time, "sleep", lambda _: put(inbox, "growing.csv", 1, 4))
    real = nightly.Night.__init__
    monkeypatch.setattr(
        nightly.Night, "__init__", lambda *args, **named: real(*args, **named, sleep=nightly.time.sleep)
    )
    said = a_night(desk, sandbox(preload=False), inbox)
    assert "growing.csv: is still being written" in said.err
    assert lying_in(inbox) == ["done/whole.csv", "growing.csv", "whole.csv.part"]


def test_an_api_that_is_silent_leaves_the_rest_in_the_inbox(desk: Desk, inbox: Path) -> None:
    put(inbox, "1-may.csv", 1)
    put(inbox, "2-june.csv", 2)
    said = a_night(desk, "http://127.0.0.1:9", inbox)
    assert said.code == 7
    assert lying_in(inbox) == ["2-june.csv", "unfinished/1-may.csv"]


def test_what_was_unfinished_is_resumed_first_and_its_file_follows(desk: Desk, sandbox: Factory, site: Site) -> None:
    api = sandbox(preload=False)
    site.put("1-may.csv", customers([1]).encode())
    site.put("2-june.csv", customers([2]).encode())
    with access_refused():
        assert a_night(desk, api, site.address).code == 10
    assert lying_at(site) == {"2-june.csv", "unfinished/1-may.csv"}
    said = a_night(desk, api, site.address)
    assert said.code == 0, said
    assert lying_at(site) == {"done/1-may.csv", "done/2-june.csv"}
    assert [call.customer for call in api.journal()] == [1, 2]
    assert a_night(desk, api, site.address).err == "nothing to do\n"


def test_the_file_of_a_run_that_a_person_resumed_follows(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    put(inbox, "may.csv", *range(1, 40))
    assert a_night(desk, sandbox(preload=False), inbox, guard={"canary": 5}).code == 9
    assert lying_in(inbox) == ["unfinished/may.csv"]
    (run,) = runs()
    assert desk("resume", run, "--yes").code == 0
    assert desk("nightly", "-c", "config.yaml").code == 0
    assert lying_in(inbox) == ["done/may.csv"]


def test_a_run_that_waits_for_a_person_is_not_resumed(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", *range(1, 40))
    said = a_night(desk, api, inbox, guard={"canary": 5})
    assert said.code == 9
    assert lying_in(inbox) == ["unfinished/may.csv"]
    before = calls(api)
    said = a_night(desk, api, inbox, guard={"canary": 5})
    assert said.code == 9
    assert "waits for a person" in said.err
    assert calls(api) == before


def test_several_configs_have_their_own_inboxes_and_a_bad_one_stops_no_other(
    desk: Desk, sandbox: Factory, inbox: Path
) -> None:
    put(inbox, "may.csv", 1)
    config = night_config(desk, sandbox(preload=False), inbox)
    broken = desk.folder / "broken.yaml"
    broken.write_text(config.read_text().replace("inbox:", "in_box:"))
    lost = desk.folder / "lost.yaml"
    lost.write_text(config.read_text().replace(str(inbox), str(inbox) + "-gone"))
    said = desk("nightly", "-c", broken, "-c", lost, "-c", config)
    assert said.code == 1
    assert "in_box" in said.err
    assert "the inbox: there is no such folder; make it" in said.err
    assert lying_in(inbox) == ["done/may.csv"]


def test_a_config_without_an_inbox_is_refused(desk: Desk) -> None:
    said = desk("nightly", "-c", desk.config("sandbox", auth=None))
    assert said.code == 2
    assert "inbox is not set" in said.err


# -- death ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where",
    [
        "batch.run.nightly.new_run",
        "batch.run.inputs.fingerprint",
        "batch.run.planning._plan",
        "batch.run.planning.PlanWriter.finish",
        "batch.run.closing.check_problems",
        "batch.run.closing.send",
        "batch.run.closing.report",
        "batch.run.closing.measure",
        "batch.run.putting_away.PuttingAway._finish",
    ],
)
def test_a_night_that_dies_anywhere_is_made_good_by_the_next(
    desk: Desk, sandbox: Factory, inbox: Path, where: str
) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1, 2)
    with dying(where):
        a_night(desk, api, inbox)
    said = a_night(desk, api, inbox)
    assert said.code == 0, said
    assert lying_in(inbox) == ["done/may.csv"]
    assert len(api.truth()) == 2
    assert calls(api) == 2
    assert len(runs()) == 1


def test_a_night_that_is_killed_is_made_good_by_the_next(
    desk: Desk, sandbox: Factory, inbox: Path, forks: Forks
) -> None:
    api = sandbox(preload=False, latency_ms=20)
    put_long_ago(inbox, "may.csv", *range(100, 190))
    config = night_config(desk, api, inbox, pacing={"concurrency": 2})
    with night_process(forks, desk, config) as night:
        assert wait_until(lambda: calls(api) > 0, night)
        night.kill()
    assert "unfinished" not in " ".join(lying_in(inbox))
    assert desk("nightly", "-c", config).code == 0
    assert lying_in(inbox) == ["done/may.csv"]
    assert len(api.truth()) == 90
    assert len(runs()) == 1


def test_a_night_that_is_stopped_drains_and_the_next_goes_on(
    desk: Desk, sandbox: Factory, inbox: Path, forks: Forks
) -> None:
    api = sandbox(preload=False, latency_ms=20)
    put_long_ago(inbox, "1-may.csv", *range(100, 190))
    put_long_ago(inbox, "2-june.csv", 200)
    config = night_config(desk, api, inbox, pacing={"concurrency": 2})
    with night_process(forks, desk, config) as night:
        assert wait_until(lambda: calls(api) > 0, night)
        night.send_signal(signal.SIGTERM)
        assert night.wait() == 7
    assert "2-june.csv: stays in the inbox" in (desk.folder / "said").read_text()
    assert lying_in(inbox) == ["2-june.csv", "unfinished/1-may.csv"]
    assert desk("nightly", "-c", config).code == 0
    assert lying_in(inbox) == ["done/1-may.csv", "done/2-june.csv"]
    assert calls(api) == len(api.truth()) == 91


def test_two_nights_at_once_send_everything_once(desk: Desk, sandbox: Factory, inbox: Path, forks: Forks) -> None:
    api = sandbox(preload=False)
    for number in range(6):
        put_long_ago(inbox, f"{number}-may.csv", 10 * number + 1, 10 * number + 2)
    config = night_config(desk, api, inbox)
    with night_process(forks, desk, config) as one, night_process(forks, desk, config) as other:
        assert (one.wait(), other.wait()) == (0, 0), (desk.folder / "said").read_text()
    assert lying_in(inbox) == [f"done/{number}-may.csv" for number in range(6)]
    assert calls(api) == len(api.truth()) == 12
