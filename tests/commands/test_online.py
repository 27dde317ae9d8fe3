"""Cycles that the API names, and what it says of a plan: over a socket, changing nothing."""

from __future__ import annotations

import datetime as dt
import os
import sys
import time
import zoneinfo
from typing import TYPE_CHECKING

import pytest

from batch.sandbox import reads
from batch.sending.pace_file import budget_key, state_folder
from batch.sending.shared_pacing import SharedPacer
from tests.commands.conftest import Desk, Factory, Said, check_against_the_truth, customers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch.sandbox.answers import Refused
    from batch.sandbox.enrollment import Organisation

BY_API = {"cycles": "api"}


def plan_online(desk: Desk, *arguments: object) -> Said:
    return desk("plan", *arguments, "--run-dir", "run", "--online")


@pytest.mark.parametrize(("expand", "count"), [("each", 10), ("first", 1), ("current", 1)])
def test_the_api_names_the_cycles(desk: Desk, sandbox: Factory, expand: str, count: int) -> None:
    api = sandbox(preload=False)
    assert desk.run(api, customers([1, 2]), campaign=BY_API | {"expand": expand}).code == 0
    wanted = [f"PERIOD_G_29463_{number}" for number in range(1, count + 1)]
    assert [call.period for call in api.journal() if call.customer == 1] == wanted
    assert api.calls["target_periods"] == 1
    check_against_the_truth(desk, api)


def test_a_cycle_that_is_over_is_left_out_and_said(desk: Desk, sandbox: Factory) -> None:
    campaign = BY_API | {"target_group_id": 29464, "target_id": 5513}
    said = desk.run(sandbox(preload=False), customers([1]), campaign=campaign)
    assert "left out, because they are over or not active: PERIOD_G_29464_1" in " ".join(said.out.split())
    assert {row["period_name"] for row in desk.rows("succeeded.csv")} == {f"PERIOD_G_29464_{n}" for n in (2, 3, 4)}


def test_a_column_names_the_cycles_without_asking(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    assert desk.run(api, "customer_id,period_name\n1,PERIOD_G_29463_2\n", campaign=BY_API).code == 0
    assert api.calls["target_periods"] == 0


def test_reads_are_tried_again_and_pay_the_rate(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    api.inject(0, ["error_503", "reset_before"], struck="read")
    assert (
        desk.run(api, customers([1]), campaign=BY_API, retry={"attempts": 5, "base_s": 0.01, "max_s": 0.02}).code == 0
    )
    assert api.calls["target_periods"] == 3


@pytest.mark.parametrize(
    ("campaign", "code", "said_of_it"),
    [
        ({"target_group_id": 29466, "target_id": 5515}, 2, "target group 29466 does not exist, or is not active"),
        ({"target_group_id": None}, 2, "api needs campaign.target_group_id"),
    ],
)
def test_a_group_without_cycles_leaves_no_run(
    desk: Desk, sandbox: Factory, campaign: dict[str, object], code: int, said_of_it: str
) -> None:
    upload = "customer_id,target_group_id\n1,29463\n"
    said = desk.run(
        sandbox(), upload if not campaign["target_group_id"] else customers([1]), campaign=BY_API | campaign
    )
    assert said.code == code
    assert said_of_it in said.err
    assert not (desk.folder / "run").exists()


def test_wrong_credentials_leave_no_run(desk: Desk, sandbox: Factory) -> None:
    desk.monkeypatch.setenv("SECRET", "hunter2")
    said = desk.run(sandbox(), customers([1]), campaign=BY_API)
    assert said.code == 10
    assert "hunter2" not in said.err
    assert not (desk.folder / "run").exists()


def test_an_api_that_is_silent_leaves_no_run(desk: Desk) -> None:
    said = desk.run("http://127.0.0.1:9", customers([1]), campaign=BY_API)
    assert said.code == 7
    assert "try again later" in said.err
    assert not (desk.folder / "run").exists()


def test_a_plan_asks_only_when_it_may(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    config = desk.config(api, campaign=BY_API)
    said = desk("plan", desk.upload(customers([1])), "-c", config, "--run-dir", "run")
    assert said.code == 2
    assert "add --online" in said.err
    assert not api.calls
    said = desk("plan", desk.upload(customers([1])), "-c", config, "--run-dir", "run", "--online")
    assert said.code == 0
    assert "expanded into 10 requests" in said.out
    assert api.calls["enroll"] == 0


def test_a_plan_is_compared_with_what_the_api_knows(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    upload = "customer_id,period_name\n1,PERIOD_G_29463_1\n2,PERIOD_G_29463_3\n3,PERIOD_G_29463_33\n"
    config = desk.config(api)
    said = desk("plan", desk.upload(upload), "-c", config, "--run-dir", "run", "--online")
    told = said.out[said.out.index("The API says:") :]
    assert said.code == 4
    assert "target 5512 of group 29463 is active" in told
    assert f'cycle "PERIOD_G_29463_1" is running, until {dt.datetime.now(dt.UTC):%Y-%m}' in told
    assert 'cycle "PERIOD_G_29463_3" begins on ' in told
    assert '! cycle "PERIOD_G_29463_33": the target group has no such cycle; did you mean' in told
    assert api.calls["enroll"] == 0


def test_what_the_api_cannot_be_asked_about_is_said(desk: Desk, sandbox: Factory) -> None:
    upload = "customer_id,org_id\n1,50672\n"
    config = desk.config(sandbox())
    said = desk("plan", desk.upload(upload), "-c", config, "--run-dir", "run", "--online")
    assert said.code == 0
    assert "no page documents that the API can be asked" in " ".join(said.out.split())


def test_a_rerun_with_a_corrected_config_asks_anew(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    wrong = {"cycles": ["PERIOD_G_29463_1", "nonsense"]}
    assert desk.run(api, customers([1, 2]), campaign=wrong).code == 4
    config = desk.config(api, campaign=BY_API | {"expand": "each"})
    assert desk("rerun", "run", "-c", config, "--yes", "--run-dir", "second").code == 0
    assert len(api.enrolled()) == 20


# Which cycles are whose ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("upload", "said_of_it"),
    [
        ("customer_id,target_group_id\n1,29463\n2,29464\n", "row 3: campaign.cycles: api means the cycles of"),
        ("customer_id,org_id\n1,50672\n", "this row names target group 29463 of organisation 50672"),
        ("customer_id,action,target_group_id\n1,unenroll,29464\n2,enroll,29464\n", "row 3: campaign.cycles"),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_the_cycles_of_one_group_are_used_for_no_other(
    desk: Desk, sandbox: Factory, command: str, upload: str, said_of_it: str
) -> None:
    api = sandbox(preload=False)
    if command == "run":
        said = desk.run(api, upload, campaign=BY_API)
    else:
        said = plan_online(desk, desk.upload(upload), "-c", desk.config(api, campaign=BY_API))
    assert said.code == 3
    assert said.err.count("\n") == 1
    assert said_of_it in said.err
    assert "a file and a config of its own" in said.err
    assert (api.calls["enroll"], api.calls["unenroll"]) == (0, 0)
    assert not (desk.folder / "run").exists()


def test_a_rerun_by_such_a_config_is_refused_too(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    upload = "customer_id,target_group_id\n1,29463\n2,29464\n"
    assert desk.run(api, upload, campaign={"cycles": ["nonsense"]}).code == 4
    said = desk("rerun", "run", "-c", desk.config(api, campaign=BY_API), "--yes", "--run-dir", "second")
    assert said.code == 3
    assert "names target group 29464" in said.err
    assert not (desk.folder / "second").exists()


@pytest.mark.parametrize(
    "upload",
    [
        "customer_id,target_group_id\n1,29463\n2,29463\n",
        "customer_id,action,target_group_id\n1,enroll,29463\n2,unenroll,29464\n",
    ],
)
def test_a_column_that_names_the_group_of_the_config_changes_nothing(desk: Desk, sandbox: Factory, upload: str) -> None:
    api = sandbox(preload=False)
    config = desk.config(api, campaign=BY_API | {"expand": "first"})
    assert "expanded into 2 requests" in plan_online(desk, desk.upload(upload), "-c", config).out


def test_cycles_that_a_person_wrote_are_used_for_other_groups_and_organisations(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    upload = "customer_id,target_group_id,org_id\n1,29463,50672\n2,29464,50672\n"
    config = desk.config(api)
    assert desk("plan", desk.upload(upload), "-c", config, "--run-dir", "run").code == 0


# Lists that cannot be read -------------------------------------------------------------------------------------------


@pytest.fixture
def broken_cycle(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What is wrong with the first cycle that the API lists."""
    wrong: dict[str, object] = {}
    listed = reads.target_periods

    def with_a_fault(organisation: Organisation, group_id: int) -> list[dict[str, object]] | Refused:
        rows = listed(organisation, group_id)
        assert isinstance(rows, list)
        return [rows[0] | wrong, *rows[1:]]

    monkeypatch.setattr(reads, "target_periods", with_a_fault)
    return wrong


def test_a_cycle_that_cannot_be_read_is_named_and_not_asked_for_again(
    desk: Desk, sandbox: Factory, broken_cycle: dict[str, object]
) -> None:
    broken_cycle["endDate"] = None
    api = sandbox(preload=False)
    said = desk.run(api, customers([1]), campaign=BY_API)
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "the cycles of target group 29463 cannot be read (entry 1, cycle " in said.err
    assert "endDate is null, no date); write campaign.cycles out" in said.err
    assert api.calls["target_periods"] == 1
    assert not (desk.folder / "run").exists()


def test_a_cycle_that_is_of_no_use_and_cannot_be_read_does_not_matter(
    desk: Desk, sandbox: Factory, broken_cycle: dict[str, object]
) -> None:
    broken_cycle |= {"refCode": None, "active": False}
    assert desk.run(sandbox(preload=False), customers([1]), campaign=BY_API).code == 0
    assert desk.outcomes() == {"enrolled": 9}


def test_a_plan_whose_cycles_cannot_be_compared_is_no_worse_for_it(
    desk: Desk, sandbox: Factory, broken_cycle: dict[str, object]
) -> None:
    broken_cycle["endDate"] = "soon"
    said = plan_online(desk, desk.upload(customers([1])), "-c", desk.config(sandbox()))
    told = " ".join(said.out.split())
    assert said.code == 0
    assert "target 5512 of group 29463 is active" in told
    assert 'endDate is "soon", no date' in told


@pytest.mark.parametrize("shape", [{"content": []}, "soon", None])
def test_a_success_in_another_shape_is_said_like_any_other_list_that_cannot_be_read(
    desk: Desk, sandbox: Factory, monkeypatch: pytest.MonkeyPatch, shape: object
) -> None:
    """Fails when it is taken for trouble that passes: each night would try the same file again."""
    monkeypatch.setattr(reads, "target_periods", lambda organisation, group_id: shape)
    api = sandbox(preload=False)
    said = desk.run(api, customers([1]), campaign=BY_API, retry={"attempts": 2, "base_s": 0.01, "max_s": 0.02})
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert (
        "the cycles of target group 29463 cannot be read (HTTP 200, an answer that cannot be read); write" in said.err
    )
    assert api.calls["target_periods"] == 2
    assert not (desk.folder / "run").exists()
    config = desk.config(api, retry={"attempts": 2, "base_s": 0.01, "max_s": 0.02})
    said = plan_online(desk, desk.upload(customers([1])), "-c", config)
    assert said.code == 0
    assert "cannot be read (HTTP 200" in " ".join(said.out.split())
    assert "! " not in said.out


def test_a_passing_error_in_a_success_is_no_such_shape(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    api.inject(0, ["truncate"] * 2, "read")
    said = desk.run(api, customers([1]), campaign=BY_API, retry={"attempts": 2, "base_s": 0.01, "max_s": 0.02})
    assert said.code == 7
    assert "try again later" in said.err


# What need not be read -----------------------------------------------------------------------------------------------


def test_each_list_is_read_once_and_only_where_it_is_needed(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    assert desk.run(api, customers([1]), campaign=BY_API).code == 0
    assert (api.calls["target_periods"], api.calls["targets"]) == (1, 0)
    config = desk.config(api, campaign=BY_API)
    said = desk("plan", desk.upload(customers([1])), "-c", config, "--run-dir", "second", "--online")
    assert said.code == 0
    assert 'cycle "PERIOD_G_29463_1" is running' in said.out
    assert (api.calls["target_periods"], api.calls["targets"]) == (2, 1)


def test_the_cycles_of_a_streak_are_not_read(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    config = desk.config(api, campaign={"kind": "streak", "cycles": None})
    assert plan_online(desk, desk.upload(customers([1])), "-c", config).code == 0
    assert (api.calls["target_periods"], api.calls["targets"]) == (0, 1)


@pytest.mark.parametrize("fault", ["error_403_4000", "error_400"])
def test_targets_that_cannot_be_read_leave_the_rest_as_it_is(desk: Desk, sandbox: Factory, fault: str) -> None:
    api = sandbox()
    api.inject(0, ["ok", fault], "read")
    said = plan_online(desk, desk.upload(customers([1])), "-c", desk.config(api, campaign=BY_API))
    told = " ".join(said.out.split())
    assert said.code == 0
    assert 'cycle "PERIOD_G_29463_1" is running' in told
    assert "targets of target group 29463" in told
    assert "! " not in said.out


def test_a_group_that_does_not_exist_is_said_once(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    config = desk.config(api, campaign={"target_group_id": 29466, "target_id": 5515})
    said = plan_online(desk, desk.upload(customers([1])), "-c", config)
    assert said.code == 4
    assert said.out.count("29466 does not exist, or is not active") == 1
    assert (api.calls["target_periods"], api.calls["targets"]) == (1, 0)


# Reads that are not allowed, or have to wait -------------------------------------------------------------------------


def test_that_reading_is_not_allowed_says_nothing_of_the_credentials(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(access=False)
    said = desk.run(api, customers([1]), campaign=BY_API)
    assert said.code == 10
    assert "reading target groups is not allowed for these credentials" in said.err
    assert "ask for the resource Target Loyalty, or write campaign.cycles out" in said.err
    assert not (desk.folder / "run").exists()
    said = plan_online(desk, desk.upload(customers([1])), "-c", desk.config(api))
    told = " ".join(said.out.split())
    assert said.code == 0
    assert "the cycles of target group 29463 are not checked: reading target groups is not allowed" in told
    assert "! " not in said.out


@pytest.mark.parametrize(
    "fault", ["error_429", "error_500", "error_503", "error_504", "error_400", "truncate", "reset_before"]
)
def test_an_api_that_cannot_be_asked_is_said_and_is_no_fault_of_the_plan(
    desk: Desk, sandbox: Factory, fault: str
) -> None:
    """Fails when silence counts like a fault that the API knows of: exit code 4 is for row problems."""
    api = sandbox()
    api.inject(0, [fault] * 1000, "read")
    retry = {"base_s": 0.01, "max_s": 0.02, "outage_s": 0.2, "attempts": 2}
    said = plan_online(desk, desk.upload(customers([1])), "-c", desk.config(api, retry=retry))
    told = " ".join(said.out[said.out.index("The API says:") :].split())
    assert said.code == 0
    assert "the API cannot be asked" in told
    assert "! " not in said.out


def test_credentials_that_are_refused_tell_nothing_of_the_plan(desk: Desk, sandbox: Factory) -> None:
    desk.monkeypatch.setenv("SECRET", "hunter2")
    said = plan_online(desk, desk.upload(customers([1])), "-c", desk.config(sandbox()))
    assert said.code == 0
    assert "the API cannot be asked: " in " ".join(said.out.split())
    assert "hunter2" not in said.out


def test_that_the_api_asks_to_wait_is_said_at_once_and_given_up_before_long(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    api.inject(0, ["error_429"] * 1000, "read")
    said = desk.run(
        api, customers([1]), campaign=BY_API, retry={"base_s": 0.01, "max_s": 0.02, "outage_s": 0.2, "attempts": 2}
    )
    assert said.code == 7
    waiting, error = said.err.splitlines()
    assert waiting.startswith("The API asks to wait (HTTP 429) before it tells of target groups; that is given up")
    assert error.endswith("try again later")
    assert not (desk.folder / "run").exists()


def test_a_hold_that_is_longer_than_anybody_waits_is_said_and_not_waited_for(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(retry_after="seconds")
    api.inject(0, ["error_429"], "read")
    said = desk.run(api, customers([1]), campaign=BY_API, retry={"outage_s": 0.1})
    assert said.code == 7
    assert "the API asks to wait (HTTP 429), and reads wait 0.1 s at most; try again later" in said.err
    assert api.calls["target_periods"] == 1


def test_a_hold_of_which_another_run_was_told_holds_reads_too(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    budget = budget_key(api.url, "sandbox-key")
    other = SharedPacer(state_folder(os.environ), budget, None, run_id="other", now=time.monotonic_ns())
    try:
        other.hold_until(time.monotonic_ns() + 3600 * 10**9)
        said = desk.run(api, customers([1]), campaign=BY_API)
    finally:
        other.close()
    assert said.code == 7
    assert "the API asks to wait (as another run was told), and reads wait 300 s at most" in said.err
    assert api.calls["target_periods"] == 0


@pytest.fixture
def no_zones(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without a time zone database, and without the package that stands in for one."""
    for name in ("tzdata", "tzdata.zoneinfo"):
        monkeypatch.setitem(sys.modules, name, None)
    zoneinfo.reset_tzpath(to=())
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()


@pytest.mark.usefixtures("no_zones")
def test_utc_needs_no_time_zone_database(desk: Desk, sandbox: Factory) -> None:
    with pytest.raises(zoneinfo.ZoneInfoNotFoundError):
        zoneinfo.ZoneInfo("UTC")
    api = sandbox(preload=False)
    assert desk.run(api, customers([1]), "--until", "06:00", campaign=BY_API).code == 0
    config = desk.config(api)
    assert desk("plan", desk.upload(customers([1])), "-c", config, "--run-dir", "second", "--online").code == 0
    assert desk("doctor", "-c", desk.config(api)).code == 0
