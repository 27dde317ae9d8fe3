"""SIGKILL at random moments, again and again, until the run is done.

`CRASH_SEEDS=50` takes fifty courses of events instead of eight. Found by it when broken: doubt that is not taken over
from the dead, intents that are written after the bytes, results that are not written before the next request starts,
doubt that a resumed request does not remember.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pytest

from tests.crash.conftest import BALANCED, CONCURRENCY, inject_faults, wait_until, write_run
from tests.crash.witness import Key, check_the_end, witness

if TYPE_CHECKING:
    from batch.model import Outcome
    from tests.commands.conftest import Desk
    from tests.conftest import RunningSandbox
    from tests.crash.forks import Forks

SEEDS = range(int(os.environ.get("CRASH_SEEDS", "8")))
START_S = 0.15
"""A command has begun to send after about this time."""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_that_is_killed_again_and_again_loses_nothing_and_repeats_only_what_was_in_doubt(
    desk: Desk, sandbox: Callable[..., RunningSandbox], forks: Forks, uninterrupted: Mapping[Key, Outcome], seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - a repeatable course of events
    api = inject_faults(sandbox(latency_ms="2-40", seed=seed))
    in_doubt = "leave" if seed % 4 == 3 else "resend"
    pacing = {"rate": chance.choice(["100/s", "400/s", None]), "concurrency": CONCURRENCY}
    arguments = write_run(desk, api, in_doubt, pacing=pacing)
    run = desk.folder / "run"
    for _ in range(chance.randint(2, 4)):
        while_starting = chance.random() < 0.2
        arrivals = len(api.arrivals()) + (0 if while_starting else chance.randint(1, 50))
        with forks.command(desk.folder, arguments) as process:
            wait_until(lambda: len(api.arrivals()) >= arrivals, process)  # noqa: B023 - it is asked at once
            time.sleep(chance.random() * (START_S if while_starting else 0.04))
            process.kill()
            ended = process.wait()
        if (run / "ledger.sqlite").exists():
            assert len(witness(run).untold) <= CONCURRENCY
            arguments = ["resume", run, "--yes"]
        if ended != -signal.SIGKILL:
            break
    said = desk(*arguments)
    if "this run is finished" in said.err:  # it died over its report, or not at all
        said = desk("report", run)
    assert said.code in {4, 5}
    check_the_end(run, api, uninterrupted, BALANCED, in_doubt)
