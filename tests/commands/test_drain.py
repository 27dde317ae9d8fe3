"""A run that is interrupted, by a signal or by its death, and what `resume` makes of it.

The command runs as a process of its own; the simulated API runs here, so that its truth can be compared.
Found by these tests when broken: intents of a dead sender that are not taken as doubt, a second signal that gives
nothing up, a first one that does.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.commands.conftest import Desk, Factory, check_against_the_truth, customers

if TYPE_CHECKING:
    import subprocess

    from tests.conftest import RunningSandbox
    from tests.crash.forks import Fork, Forks

ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}
PERIOD = "PERIOD_G_29463_1"
FOUR = "--concurrency", "4"


@contextmanager
def sending(
    forks: Forks, desk: Desk, api: RunningSandbox, ids: range, /, *options: object, **groups: object
) -> Iterator[Fork]:
    """Run an upload of `ids` into the folder `run`, in a process of its own that does not outlive the block."""
    config = desk.config(api, campaign=ONE_CYCLE, **groups)
    upload = desk.upload(customers(ids))
    line = ["run", upload, "-c", config, "--yes", "--run-dir", "run", *options]
    with forks.command(desk.folder, line) as process:
        yield process


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes] | Fork) -> None:
    """Look at a condition until it holds; give up when the process has ended without it, or after a minute."""
    until = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, "the run ended too early"
        assert time.monotonic() < until, "this never happened"
        time.sleep(0.005)


def arrived(api: RunningSandbox, count: int) -> Callable[[], bool]:
    return lambda: len(api.arrivals()) >= count


def effects(api: RunningSandbox) -> Counter[int]:
    """How often each customer was enrolled."""
    return Counter({place.customer: enrolment.enrolls for place, enrolment in api.truth().items()})


def times_asked(api: RunningSandbox) -> Counter[int]:
    """How many calls came for each customer."""
    return Counter(call.customer for call in api.journal())


def in_doubt(desk: Desk) -> set[int]:
    """The customers of all intents whose end the ledger does not know, as a dead sender leaves it."""
    ledger = sqlite3.connect(desk.folder / "run" / "ledger.sqlite")
    intents = ledger.execute("SELECT attempts FROM intent").fetchall()
    named = {request_no for (attempts,) in intents for request_no, _ in json.loads(attempts)}
    ended = {no for (no,) in ledger.execute("SELECT request_no FROM outcome UNION SELECT request_no FROM attempt")}
    found = {
        customer for no, customer in ledger.execute("SELECT request_no, customer FROM request") if no in named - ended
    }
    ledger.close()
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_and_resume_finishes(
    desk: Desk, sandbox: Factory, forks: Forks, number: signal.Signals
) -> None:
    api, ids = sandbox(preload=False, latency_ms=50), range(100, 180)
    with sending(forks, desk, api, ids, *FOUR) as process:
        wait_until(arrived(api, 20), process)
        process.send_signal(number)
        assert process.wait() == 7
    summary = desk.summary()
    assert (summary["state"], summary["stop_reason"]) == ("stopped", "signal")
    assert summary["attempts"] == len(api.arrivals())
    shown = "Ctrl-C" if number is signal.SIGINT else "a signal (SIGTERM)"
    assert f"Stopped by {shown}" in desk("report", "run").out
    assert f"stopped by {shown}" in desk("status", "run").out
    assert desk.outcomes() == {"enrolled": len(api.truth()), "not_sent": 80 - len(api.truth())}
    assert 0 < summary["outcomes"]["not_sent"] < 80
    check_against_the_truth(desk, api)

    assert desk("resume", "run", "--yes").code == 0
    assert desk.summary()["state"] == "finished"
    assert times_asked(api) == effects(api) == Counter(dict.fromkeys(ids, 1))
    check_against_the_truth(desk, api)


def test_a_second_signal_stops_at_once_and_leaves_in_doubt_what_was_out(
    desk: Desk, sandbox: Factory, forks: Forks
) -> None:
    api, ids, stuck = sandbox(preload=False), range(100, 140), {110, 111, 112, 113}
    for customer in stuck:
        api.inject(customer, ["hang_after"])
    patient = {"read_timeout_s": 600}  # so that nothing but the second signal can end these four
    with sending(forks, desk, api, ids, *FOUR, api={"base_url": api.url} | patient) as process:
        wait_until(lambda: stuck <= effects(api).keys(), process)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 7
    outcomes = desk.outcomes()
    assert outcomes["in_doubt"] == 4
    assert {int(row["customer_id"]) for row in desk.rows("failed.csv") if row["outcome"] == "in_doubt"} == stuck
    assert outcomes == {"enrolled": len(api.truth()) - 4, "in_doubt": 4, "not_sent": 40 - len(api.truth())}
    check_against_the_truth(desk, api)

    assert desk("resume", "run", "--yes").code == 0
    assert desk.outcomes() == {"enrolled": 40}
    confirmed = {int(row["customer_id"]) for row in desk.rows("succeeded.csv") if row["reason"] == "confirmed_by_retry"}
    assert confirmed == stuck
    assert effects(api) == Counter(dict.fromkeys(ids, 1))
    assert times_asked(api) == Counter(dict.fromkeys(ids, 1)) + Counter(stuck)
    check_against_the_truth(desk, api)


@pytest.mark.parametrize("arrivals", [1, 40, 100])
def test_a_run_that_is_killed_goes_on_where_it_died(desk: Desk, sandbox: Factory, forks: Forks, arrivals: int) -> None:
    api, ids = sandbox(preload=False, latency_ms="20-60"), range(300, 600, 2)
    with sending(forks, desk, api, ids, "--concurrency", "8") as process:
        wait_until(arrived(api, arrivals), process)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    doubtful = in_doubt(desk)
    assert doubtful
    said = desk("status", "run").out
    assert "sending" in said
    assert "resume" in said
    assert desk("report", "run").code == 7
    assert desk.outcomes()["in_doubt"] == len(doubtful)

    assert desk("resume", "run", "--yes").code == 0
    assert desk.outcomes() == {"enrolled": 150}
    assert effects(api) == Counter(dict.fromkeys(ids, 1))
    assert {customer for customer, times in times_asked(api).items() if times > 1} <= doubtful
    confirmed = {int(row["customer_id"]) for row in desk.rows("succeeded.csv") if row["reason"] == "confirmed_by_retry"}
    assert confirmed <= doubtful
    check_against_the_truth(desk, api)


def test_others_may_look_while_one_sends_but_none_may_send(desk: Desk, sandbox: Factory, forks: Forks) -> None:
    api, ids = sandbox(preload=False), range(100, 120)
    api.inject(119, ["hang_before"])
    with sending(forks, desk, api, ids, *FOUR) as process:
        wait_until(lambda: len(effects(api)) == 19 and 119 in times_asked(api), process)
        wait_until(lambda: "19/20" in desk("status", "run").out, process)
        assert " now" in desk("status", "run").out
        assert desk("report", "run").code == 7
        assert desk.outcomes() == {"enrolled": 19, "in_doubt": 1}
        second = desk("resume", "run", "--yes")
        assert second.code == 8
        assert "another process" in second.err
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 7
    assert times_asked(api) == Counter(dict.fromkeys(ids, 1))


def test_a_limit_sends_so_many_and_resume_sends_the_rest(desk: Desk, sandbox: Factory) -> None:
    api, ids = sandbox(preload=False), range(100, 120)
    assert desk.run(api, customers(ids), "--limit", "7", campaign=ONE_CYCLE).code == 7
    assert desk.outcomes() == {"enrolled": 7, "not_sent": 13}
    assert {row["reason"] for row in desk.rows("failed.csv")} == {"limit"}
    assert desk("resume", "run", "--yes", "--limit", "5").code == 7
    assert desk("resume", "run", "--yes").code == 0
    assert times_asked(api) == Counter(dict.fromkeys(ids, 1))
    check_against_the_truth(desk, api)
    assert desk("resume", "run", "--yes").code == 2
