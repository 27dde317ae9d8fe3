"""The real command as a process that can be killed or frozen, and one upload with a bit of everything.

The simulated API runs in this process and outlives every sender, so that its truth can be compared.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from batch.sandbox.switches import parse_switches
from tests.commands.conftest import Desk, desk
from tests.conftest import RunningSandbox
from tests.crash.witness import Key, outcomes

if TYPE_CHECKING:
    from batch.model import Outcome
    from tests.crash.forks import Fork

__all__ = ["desk"]

CONCURRENCY = 8
PERIODS = ("PERIOD_G_29463_1", "PERIOD_G_29463_2")
BALANCED = frozenset(range(100, 160, 6))
FAULTS = {
    102: ["reset_after"],
    107: ["reset_after"],
    109: ["ok", "close_after"],
    113: ["error_461", "error_461", "truncate"],
    118: ["reset_before"],
    121: ["ok", "reset_after", "reset_after"],
    126: ["unreadable_200"],
    142: ["reset_after"],
    149: ["error_503_4001", "reset_after"],
}
"""What goes wrong with the next calls for a customer; 126 and 142 ask for a balance, so they stay in doubt."""


def upload() -> str:
    """60 customers, of whom 107 and 157 are enrolled already, 199 is unknown, and some ask for a balance."""
    ids = [*range(100, 158), 199, 261]
    rows = [f"{number},{number % 50 if number in BALANCED else ''}" for number in ids]
    return "\n".join(["customer_id,initial_balance", *rows, "103,", "not a number,", ""])


def inject_faults(api: RunningSandbox) -> RunningSandbox:
    """Let the calls of this upload go wrong as FAULTS has it."""
    for customer, faults in FAULTS.items():
        api.inject(customer, faults)
    return api


def write_run(desk: Desk, api: RunningSandbox, /, in_doubt: str = "resend", **groups: object) -> list[object]:
    """Write config and upload, and return the command that runs them."""
    retry = {"attempts": 10, "base_s": 0.01, "max_s": 0.05, "in_doubt": in_doubt}
    config = desk.config(api, **{"retry": retry, "pacing": {"rate": None, "concurrency": CONCURRENCY}} | groups)
    return ["run", desk.upload(upload()), "-c", config, "--yes", "--run-dir", desk.folder / "run"]


@contextmanager
def command(desk: Desk, arguments: list[object]) -> Iterator[subprocess.Popen[bytes]]:
    """Run `enroll-batch` in a process of its own that does not outlive the block."""
    line = [sys.executable, "-m", "batch", *map(str, arguments)]
    with (desk.folder / "said").open("wb") as said:
        process = subprocess.Popen(line, cwd=desk.folder, stdout=said, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes] | Fork) -> bool:
    """Look at a condition until it holds or the process has ended; return whether it held. Gives up in the end."""
    until = time.monotonic() + 60
    while not (held := condition()) and process.poll() is None:
        assert time.monotonic() < until, "this never happened"
        time.sleep(0.002)
    return held


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[Key, Outcome]:
    """How each request of the upload ends when nothing stops the run."""
    folder: Path = tmp_path_factory.mktemp("uninterrupted")
    unused: Any = None
    api = inject_faults(RunningSandbox(parse_switches({}), None, time.time))
    with pytest.MonkeyPatch.context() as environment, contextlib.closing(api):
        for name, value in {"KEY": "sandbox-key", "SECRET": "sandbox-secret"}.items():
            environment.setenv(name, value)
        desk = Desk(folder, unused, environment)
        with command(desk, write_run(desk, api)) as process:
            assert process.wait(60) in {4, 5}, (folder / "said").read_text()
    return outcomes(folder / "run")
