"""The embedded API that dies under a run: one clear line, and a resume that starts it again."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

from batch.commands.progress import Progress
from batch.sandbox.embedded import Embedded
from tests.commands.conftest import Desk, customers

if TYPE_CHECKING:
    import pytest

    from batch.commands.progress import Pool

ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}


def test_a_run_whose_embedded_api_was_killed_stops_at_once_and_a_resume_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by it: probing for `retry.outage_s`, an hour, a server that nobody will start."""
    embedded: list[int] = []
    start = Embedded.__init__

    def started(self: Embedded, *arguments: object) -> None:
        start(self, *arguments)  # type: ignore[arg-type]
        embedded.append(self.pid)

    async def kill_it(self: Progress, pool: Pool, total: int) -> None:
        while pool.settled.total() < 5:  # noqa: ASYNC110 - a pool wakes nobody
            await asyncio.sleep(0.01)
        os.kill(embedded[0], signal.SIGKILL)

    with monkeypatch.context() as patched:
        patched.setattr(Embedded, "__init__", started)
        patched.setattr(Progress, "watch", kill_it)
        said = desk.run(
            "sandbox", customers(range(110, 150)), "--rate", "50/s", auth=None, campaign=ONE_CYCLE,
            retry={"attempts": 100},  # more than fit into the moment before anybody has seen that it is gone
        )  # fmt: skip
    assert said.code == 7
    assert "the embedded sandbox has ended with code -9" in " ".join(said.out.split())
    assert desk.outcomes()["not_sent"] > 0
    assert desk("resume", "run").code == 0
    assert desk.outcomes() == {"enrolled": 40}
