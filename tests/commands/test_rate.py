"""The rate that was asked for, as the server sees it over a real socket."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

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


def test_a_thousand_requests_of_the_sample_without_a_limit(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    cycles = {"pattern": "PERIOD_G_29463_{n}", "from": 1, "to": 5}
    config = desk.config(api, campaign={"cycles": cycles})
    assert desk("run", SAMPLE, "-c", config, "--yes", "--rate", "none", "--run-dir", "run").code == 4
    summary = desk.summary()
    assert summary["requests"] == {"expanded": 1010, "duplicates": 10, "contradicted": 0, "unique": 1000}
    assert summary["attempts"] == len(api.arrivals()) == 1000
    check_against_the_truth(desk, api)
