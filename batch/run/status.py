"""What a run looks like from outside, while another process may be working on it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.errors import EnrollBatchError
from batch.ledger.sqlite import LEDGER_NAME, open_ledger
from batch.model import State
from batch.run.opening import is_locked
from batch.sending.pace_file import sharers, state_folder

if TYPE_CHECKING:
    from pathlib import Path

    from batch.sending.slots import Sharer


@dataclass(frozen=True, slots=True)
class RunStatus:
    """One run: its state as the ledger has it, and whether a living process holds it."""

    run_id: str
    folder: Path
    state: State | None
    settled: int
    unique: int
    exit_code: int | None
    working: bool
    who: str
    text: str
    """Why it stopped, or why it cannot be read."""


def sharing() -> list[Sharer]:
    """Return the runs on this machine that share the rate of an API key now."""
    return sharers(state_folder(os.environ), time.monotonic_ns())


def all_runs(report_dir: Path) -> list[RunStatus]:
    """Return every run in a folder, oldest first."""
    if not report_dir.is_dir():
        return []
    return [run_status(folder) for folder in sorted(report_dir.iterdir()) if (folder / LEDGER_NAME).is_file()]


def run_status(folder: Path) -> RunStatus:
    """Return the status of one run; one that cannot be read says so in `text`."""
    try:
        with open_ledger(folder) as ledger:
            ((run_id, state, exit_code, stop_text, user, host),) = ledger.read(
                "SELECT run_id, state, exit_code, stop_text, user, host FROM run"
            )
            ((unique, settled),) = ledger.read(
                "SELECT (SELECT count(*) FROM request WHERE NOT contradicted),"
                " (SELECT count(DISTINCT request_no) FROM outcome)"
            )
    except EnrollBatchError as error:
        return RunStatus(folder.name, folder, None, 0, 0, None, is_locked(folder), "", error.text)
    who = f"{user}@{host}"
    return RunStatus(run_id, folder, State(state), settled, unique, exit_code, is_locked(folder), who, stop_text or "")
