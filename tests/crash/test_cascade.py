"""SIGKILL while later cycles are left out: what was found out and what is true outlive it.

Found by it when broken: answers of earlier invocations that are not recalled, so that nothing is left out any more.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from batch.sending.evidence import on_circle
from tests.commands.conftest import customers
from tests.crash.conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.commands.conftest import Desk
    from tests.conftest import RunningSandbox
    from tests.crash.forks import Forks

PEOPLE = [n for n in range(1, 152) if n % 100 != 99]
CYCLES = [f"PERIOD_G_29463_{n}" for n in range(1, 11)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("cascade", [True, False])
def test_a_run_that_is_killed_ends_as_what_is_true_and_saves_its_calls(
    desk: Desk, sandbox: Callable[..., RunningSandbox], forks: Forks, seed: int, cascade: bool
) -> None:
    chance = random.Random(seed)  # noqa: S311 - a repeatable course of events
    api = sandbox(cascade=cascade, preload=False, latency_ms="1-10", seed=seed)
    cycles = CYCLES if cascade else CYCLES[:3]
    campaign = {"cycles": cycles, "on_cascade": "skip"}
    config = desk.config(api, campaign=campaign, pacing={"rate": None, "concurrency": 8})
    run = desk.folder / "run"
    arguments: list[object] = ["run", desk.upload(customers(PEOPLE)), "-c", config, "--yes", "--run-dir", run]
    for _ in range(3):
        arrivals = len(api.arrivals()) + chance.randint(10, 70)
        with forks.command(desk.folder, arguments) as process:
            wait_until(lambda: len(api.arrivals()) >= arrivals, process)  # noqa: B023 - it is asked at once
            process.kill()
            process.wait()
        arguments = ["resume", run, "--yes"]
    said = desk(*arguments)
    if "this run is finished" in said.err:
        said = desk("report", run)
    assert said.code == 0
    assert api.enrolled() == {(n, cycle) for n in PEOPLE for cycle in cycles}
    assert api.overlaps == 0
    assert desk.summary()["state"] == "finished"
    if cascade:
        assert set(desk.outcomes()) == {"enrolled", "covered_by_cascade"}
        # A customer whose first cycle was in flight at a kill proves nothing: before the finding all cycles go out.
        assert api.calls["enroll"] <= 150 + 18 + 3 + 20 + 3 * 8 * 10
    else:
        assert desk.outcomes() == {"enrolled": 450}


@pytest.mark.parametrize("seed", range(2))
def test_a_run_that_is_killed_while_it_asks_about_what_it_left_out_settles_nothing_unsent(
    desk: Desk, sandbox: Callable[..., RunningSandbox], forks: Forks, seed: int
) -> None:
    """Somebody else enrolled into the later cycles, but a few whom no sample meets: only the questions find them."""
    chance = random.Random(seed)  # noqa: S311 - a repeatable course of events
    api = sandbox(preload=False, latency_ms="5-20", seed=seed)
    missing = [n for place, n in enumerate(PEOPLE) if place > 20 and on_circle(3 * place + 3) > 2**64 // 10][::8]
    rows = "".join(f"{n},{CYCLES[1]}\n" + (f"{n},{CYCLES[2]}\n" if n not in missing else "") for n in PEOPLE)
    others = desk.upload("customer_id,period_name\n" + rows, "others.csv")
    fast = {"rate": None, "concurrency": 16}
    assert desk("run", others, "-c", desk.config(api, pacing=fast), "--yes", "--run-dir", desk.folder / "o").code == 0
    config = desk.config(api, campaign={"cycles": CYCLES[:3], "on_cascade": "skip"}, pacing=fast | {"concurrency": 2})
    run = desk.folder / "run"
    arguments: list[object] = ["run", desk.upload(customers(PEOPLE)), "-c", config, "--yes", "--run-dir", run]
    for _ in range(2):
        looks = api.calls["target_groups"] + chance.randint(1, 4)
        with forks.command(desk.folder, arguments) as process:
            assert wait_until(lambda: api.calls["target_groups"] >= looks, process)  # noqa: B023
            process.kill()
            process.wait()
        arguments = ["resume", run, "--yes"]
    said = desk(*arguments)
    if "this run is finished" in said.err:
        said = desk("report", run)
    assert said.code == 0
    assert api.enrolled() == {(n, cycle) for n in PEOPLE for cycle in CYCLES[:3]}
    assert desk.summary()["calls_saved"] == 0
    assert api.overlaps == 0
