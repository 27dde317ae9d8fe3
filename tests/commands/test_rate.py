"""The rate that was asked for, as the server sees it over a real socket."""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from batch.sending.pace_file import budget_key, state_folder
from batch.sending.shared_pacing import SharedPacer
from tests.commands.conftest import Desk, Factory, check_against_the_truth, customers

SAMPLE = Path(__file__).parents[2] / "samples" / "enroll_200x5.csv"
SECOND_NS = 1_000_000_000
ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}


def test_the_server_sees_the_whole_rate_and_never_more(desk: Desk, sandbox: Factory) -> None:
    """At most 20 arrivals in any second, one more for jitter, from the first on; and at least 95 % of 20 a second.

    The bound above holds in every run. The bound below is reached in one of three, because a machine that is busy
    with other things may lose slots, which are never caught up. Found by them: a burst of five requests at the
    start; slots that are 7 % too far apart.
    """
    kept_per_s = []
    for attempt in ("first", "second", "third"):
        api = sandbox(preload=False)
        upload = desk.upload(customers(range(100, 210)), f"{attempt}.csv")  # 199 is unknown, and takes a slot too
        config = desk.config(api, campaign=ONE_CYCLE)
        desk("run", upload, "-c", config, "--yes", "--rate", "20/s", "--run-dir", attempt)
        arrivals = api.arrivals()
        assert len(arrivals) == 110
        for first, one_too_many in zip(arrivals, arrivals[21:], strict=False):
            assert one_too_many - first >= SECOND_NS
        kept_per_s.append((len(arrivals) - 1) * SECOND_NS / (arrivals[-1] - arrivals[0]))
        if kept_per_s[-1] >= 0.95 * 20:
            return
    raise AssertionError(f"20/s was asked for; kept were {kept_per_s}")


def test_retries_pay_like_first_attempts(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False, error_461="30%")
    desk.run(api, customers(range(100, 130)), "--rate", "25/s", campaign=ONE_CYCLE, retry={"attempts": 20})
    assert desk.summary()["retries"] > 0
    arrivals = api.arrivals()
    assert len(arrivals) == desk.summary()["attempts"]
    assert all(later - first >= SECOND_NS for first, later in zip(arrivals, arrivals[26:], strict=False))


def test_a_hold_that_the_server_asks_for_holds_everybody(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False, limit_per_min=900, limit_window_s=1, retry_after="seconds")
    desk.run(api, customers(range(100, 130)), campaign=ONE_CYCLE)
    assert desk.outcomes() == {"enrolled": 30}
    arrivals = api.arrivals()
    assert api.statuses[429] >= 1
    longest = max(later - earlier for earlier, later in pairwise(arrivals))
    assert longest >= 0.9 * SECOND_NS
    check_against_the_truth(desk, api)


def test_status_says_who_shares_the_rate_of_one_key(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    desk.run(api, customers([1]))
    state = state_folder(os.environ)
    with ExitStack() as stack:
        for name, rate in (("evening", (100, 60 * SECOND_NS)), ("morning", None)):
            budget = budget_key(api.url, "a key")
            pacer = SharedPacer(state, budget, rate, run_id=name, now=time.monotonic_ns())
            stack.callback(pacer.close)
        said = desk("status", "--dir", ".").out
    assert f"Sharing the rate of one key at {api.url}, the lowest of:" in said
    shown = [" ".join(line.split()) for line in said.partition("the lowest of:")[2].strip().splitlines()]
    assert shown == ["evening 100/min", "morning no limit set"]
    assert "Sharing" not in desk("status", "--dir", ".").out


@pytest.mark.parametrize("retry_after", ["none", "http-date"])
def test_a_lower_limit_than_was_set_ends_the_run_by_itself_with_few_refusals(
    desk: Desk, sandbox: Factory, retry_after: str
) -> None:
    """60 a second are allowed and 200 are set. How much of the 60 is used is measured on a machine of its own."""
    api = sandbox(preload=False, limit_per_min=3600, limit_window_s=1, retry_after=retry_after)
    assert desk.run(api, customers(range(100, 599)), "--rate", "200/s", campaign=ONE_CYCLE).code == 4
    assert desk.outcomes() == {"enrolled": 495, "invalid_user": 4}
    assert 1 <= api.statuses[429] <= 0.05 * len(api.arrivals())
    assert {"hold", "rate"} <= {json.loads(line)["event"] for line in Path("run/run.log").read_text().splitlines()}
    assert "The allowed rate changed" in Path("run/report.html").read_text("utf-8")
    check_against_the_truth(desk, api)


def test_a_thousand_requests_of_the_sample_without_a_limit(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    cycles = {"pattern": "PERIOD_G_29463_{n}", "from": 1, "to": 5}
    config = desk.config(api, campaign={"cycles": cycles})
    assert desk("run", SAMPLE, "-c", config, "--yes", "--rate", "none", "--run-dir", "run").code == 4
    summary = desk.summary()
    assert summary["requests"] == {"expanded": 1010, "duplicates": 10, "contradicted": 0, "unique": 1000}
    assert summary["attempts"] == len(api.arrivals()) == 1000
    check_against_the_truth(desk, api)


def test_a_429_to_a_look_at_a_request_in_doubt_holds_everybody(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False, retry_after="seconds")
    api.inject(110, ["reset_before"])
    api.inject(110, ["error_429"], struck="read")
    rows = "".join(f"{number},50\n" for number in range(100, 140))
    desk.run(api, "customer_id,initial_balance\n" + rows, "--rate", "20/s", "--concurrency", "2", campaign=ONE_CYCLE)
    assert desk.outcomes() == {"enrolled": 40}
    longest = max(later - earlier for earlier, later in pairwise(api.arrivals()))
    assert longest >= 0.9 * SECOND_NS
    check_against_the_truth(desk, api)
