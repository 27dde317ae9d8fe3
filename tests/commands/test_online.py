"""Cycles that the API names, and what it says of a plan: over a socket, changing nothing."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.commands.conftest import Desk, Factory, check_against_the_truth, customers

BY_API = {"cycles": "api"}


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
