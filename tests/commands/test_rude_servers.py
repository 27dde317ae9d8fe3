"""Servers that speak HTTP wrongly, flood, drip, redirect, set cookies or hang up: true outcomes, bounded memory."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.commands.conftest import Desk, Factory, check_against_the_truth, customers

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox
    from tests.crash.forks import Forks

PEOPLE = range(101, 107)
ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}


@dataclass(frozen=True)
class Ended:
    code: int
    peak_kib: int
    said: str


def run_alone(forks: Forks, desk: Desk, api: RunningSandbox) -> Ended:
    """Run the command in a process of its own, whose memory is nobody else's."""
    times = {"base_url": api.url, "connect_timeout_s": "0.2", "read_timeout_s": "0.3"}
    config = desk.config(api, campaign=ONE_CYCLE, api=times)
    line = ["run", desk.upload(customers(PEOPLE)), "-c", config, "--yes", "--run-dir", "run"]
    with forks.command(desk.folder, line) as process:
        code = process.wait()
    said = (desk.folder / "said").read_text()
    assert "Traceback" not in said
    assert process.peak_kib is not None
    return Ended(code, process.peak_kib, said)


@pytest.fixture(scope="module")
def measured() -> dict[str, int]:
    """What was measured already."""
    return {}


@pytest.fixture
def usual_kib(desk: Desk, sandbox: Factory, forks: Forks, measured: dict[str, int]) -> int:
    """What the same run takes against a server that behaves; measured once."""
    if not measured:
        measured["usual"] = run_alone(forks, desk, sandbox(preload=False)).peak_kib
        shutil.rmtree(desk.folder / "run")
    return measured["usual"]


@pytest.mark.parametrize("attempts", ["the first", "every"])
@pytest.mark.parametrize("fault", ["not_http", "endless_headers", "huge_body", "drip"])
def test_an_answer_that_cannot_be_read_leaves_a_true_outcome_and_flat_memory(
    desk: Desk, sandbox: Factory, forks: Forks, usual_kib: int, fault: str, attempts: str
) -> None:
    """Each of these has applied the request. Found by it: a limit on the body taken away, a flood that is read on."""
    api = sandbox(preload=False, huge_mb=1024, drip_ms=100)
    for customer in PEOPLE[1:]:
        api.inject(customer, [fault] * (1 if attempts == "the first" else 3))
    ended = run_alone(forks, desk, api)
    assert ended.peak_kib < usual_kib + 32 * 1024
    if attempts == "the first":
        assert (ended.code, desk.outcomes()) == (0, {"enrolled": 6})
        assert {row["reason"] for row in desk.rows("succeeded.csv")} == {"", "confirmed_by_retry"}
    else:
        assert (ended.code, desk.outcomes()) == (5, {"enrolled": 1, "in_doubt": 5})
    check_against_the_truth(desk, api)


@pytest.mark.parametrize("fault", ["set_cookie", "last_on_connection"])
def test_cookies_and_closed_connections_cost_nothing(desk: Desk, sandbox: Factory, forks: Forks, fault: str) -> None:
    api = sandbox(preload=False, **{fault: "100%"})
    assert run_alone(forks, desk, api).code == 0
    assert (desk.outcomes(), desk.summary()["retries"]) == ({"enrolled": 6}, 0)
    check_against_the_truth(desk, api)


def test_a_server_that_redirects_everything_is_never_followed_and_ends_the_run(
    desk: Desk, sandbox: Factory, forks: Forks
) -> None:
    api = sandbox(preload=False, redirect="100%")
    ended = run_alone(forks, desk, api)
    assert ended.code == 10
    assert desk.outcomes() == {"unrecognised": 3, "not_sent": 3}
    assert api.calls["unknown"] == 0
    check_against_the_truth(desk, api)


@pytest.mark.parametrize("fault", ["close_before", "reset_before"])
def test_a_server_that_hangs_up_on_everybody_ends_the_run(
    desk: Desk, sandbox: Factory, forks: Forks, fault: str
) -> None:
    api = sandbox(preload=False, **{fault: "100%"})
    ended = run_alone(forks, desk, api)
    assert ended.code == 7
    assert "has not answered once" in " ".join(ended.said.split())
    assert desk.outcomes() == {"in_doubt": 1, "not_sent": 5}
    assert api.calls["enroll"] == 3
