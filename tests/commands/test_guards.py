"""What makes a run stop by itself, or leave something out, over a socket."""

from __future__ import annotations

import json

import pytest

from tests.commands.conftest import Desk, Factory, check_against_the_truth, customers
from tests.commands.test_progress import on_a_terminal

ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}
TWO_CYCLES = {"cycles": ["PERIOD_G_29463_1", "no such cycle"]}


def events(desk: Desk) -> list[str]:
    lines = (desk.folder / "run" / "run.log").read_text().splitlines()
    return [json.loads(line)["event"] for line in lines]


def test_a_cycle_that_does_not_exist_is_left_out_after_three_refusals(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    assert desk.run(api, customers(range(1, 61)), "--concurrency", 1, campaign=TWO_CYCLES).code == 4
    assert desk.outcomes() == {"enrolled": 60, "period_not_found": 3, "not_sent": 57}
    assert api.calls["enroll"] == 63
    assert {row["reason"] for row in desk.rows("failed.csv")} == {"", "quarantined_period"}
    assert "quarantine" in events(desk)
    check_against_the_truth(desk, api)


def test_a_target_that_does_not_exist_is_left_out_and_others_go_on(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    rows = "".join(f"{n},{5512 if n % 2 else 1}\n" for n in range(1, 61))
    campaign = ONE_CYCLE | {"target_id": None}
    desk.run(api, "customer_id,target_id\n" + rows, "--concurrency", 1, campaign=campaign)
    assert desk.outcomes() == {"enrolled": 30, "target_not_found": 3, "not_sent": 27}
    check_against_the_truth(desk, api)


def test_a_quarantine_survives_a_resume(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    upload = customers(range(1, 61))
    assert desk.run(api, upload, "--concurrency", 1, "--limit", 20, campaign=TWO_CYCLES).code == 7
    refused = desk.outcomes()["period_not_found"]
    desk("resume", "run", "--yes", "--concurrency", 1)
    assert desk.outcomes() == {"enrolled": 60, "period_not_found": refused, "not_sent": 60 - refused}
    assert refused == 3


def test_a_canary_covers_each_target_and_cycle_and_waits_for_a_word(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    rows = "".join(f"{n},PERIOD_G_29463_{1 if n < 50 else 2}\n" for n in range(1, 61))
    said = desk.run(api, "customer_id,period_name\n" + rows, "--canary", 4)
    assert said.code == 9
    assert api.enrolled() == {(n, "PERIOD_G_29463_1") for n in (1, 2, 3)} | {(50, "PERIOD_G_29463_2")}
    assert desk.outcomes() == {"enrolled": 4, "not_sent": 56}
    assert "canary" in said.out
    assert desk("resume", "run", "--yes").code == 0
    assert desk.outcomes() == {"enrolled": 60}
    check_against_the_truth(desk, api)


@pytest.mark.parametrize(("answer", "code", "sent"), [("y", 0, 60), ("n", 9, 4)])
def test_on_a_terminal_the_canary_asks_and_a_yes_sends_the_rest(
    desk: Desk, sandbox: Factory, answer: str, code: int, sent: int
) -> None:
    api = sandbox(preload=False)
    config, upload = desk.config(api, campaign=ONE_CYCLE), desk.upload(customers(range(1, 61)))
    command = ["run", str(upload), "-c", str(config), "--yes", "--canary", "4", "--run-dir", "run"]
    ended, shown = on_a_terminal(desk, command, f"{answer}\n".encode())
    assert "The sample is done. Send the rest?" in shown
    assert (ended, api.calls["enroll"]) == (code, sent)
    check_against_the_truth(desk, api)


@pytest.mark.parametrize("options", [("--canary", "4"), ()])
def test_the_question_before_a_sample_counts_the_sample_alone(
    desk: Desk, sandbox: Factory, options: tuple[str, ...]
) -> None:
    """Whether it comes from the command line or the config; and once it is done the rest is asked about."""
    api = sandbox(preload=False)
    guard = {} if options else {"canary": "4"}
    config, upload = desk.config(api, campaign=ONE_CYCLE, guard=guard), desk.upload(customers(range(1, 61)))
    command = ["run", str(upload), "-c", str(config), "--run-dir", "run", *options]
    ended, shown = on_a_terminal(desk, command, b"y\nn\n")
    assert "A sample of 4 requests of 60 open ones will be sent to" in shown
    assert "Send the sample?" in shown
    assert (ended, api.calls["enroll"]) == (9, 4)
    assert "Stopped after the sample (canary), and waits for your go-ahead: 4 of 60" in " ".join(shown.split())
    said = " ".join(desk("status", "run").out.split())
    assert "the sample (canary) of 4 requests (4 customers) is done; it waits for your go-ahead" in said
    _, shown = on_a_terminal(desk, ["resume", "run"], b"n\n")
    assert "56 requests will be sent to" in shown


def test_a_canary_that_is_the_whole_file_is_no_stop(desk: Desk, sandbox: Factory) -> None:
    assert desk.run(sandbox(preload=False), customers([1, 2]), "--canary", 100).code == 0


def test_a_canary_may_come_from_the_config(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    assert desk.run(api, customers(range(1, 30)), guard={"canary": 5}, campaign=ONE_CYCLE).code == 9
    assert api.calls["enroll"] == 5


def test_too_many_invalid_customers_stop_the_run(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    guard = {"stop_when": {"invalid_user": "50%"}, "minimum": 10}
    said = desk.run(api, customers([100 * n + 99 for n in range(1, 200)]), guard=guard, campaign=ONE_CYCLE)
    assert said.code == 6
    assert "guard.stop_when" in said.out
    assert desk.outcomes()["invalid_user"] < 10 + 16 + 1


def test_a_limit_is_a_stop_that_a_resume_goes_on_from(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    assert desk.run(api, customers(range(1, 31)), "--limit", 7, campaign=ONE_CYCLE).code == 7
    assert desk.outcomes() == {"enrolled": 7, "not_sent": 23}
    assert api.calls["enroll"] == 7
    assert desk("resume", "run", "--yes", "--limit", 23).code == 0
    assert desk.outcomes() == {"enrolled": 30}


@pytest.mark.parametrize(("already", "warns"), [(9, False), (10, True)])
def test_a_share_of_already_enrolled_above_nine_in_ten_is_pointed_out(
    desk: Desk, sandbox: Factory, already: int, warns: bool
) -> None:
    said = desk.run(sandbox(), customers([1, *(100 * n + 7 for n in range(already))]), campaign=ONE_CYCLE)
    assert said.code == 0
    assert desk.outcomes() == {"enrolled": 1, "already_enrolled": already}
    assert ("may have been processed before" in " ".join(said.out.split())) is warns
