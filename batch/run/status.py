"""What a run looks like from outside, while another process may be working on it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.errors import EnrollBatchError, LedgerFailed
from batch.ledger.looking import check_version, connect_to_read
from batch.ledger.sqlite import LEDGER_NAME
from batch.model import State
from batch.report.words import stop_words
from batch.run.lock import Holder, holder_in, is_locked
from batch.sending.pace_file import sharers, state_folder

if TYPE_CHECKING:
    from pathlib import Path

    from batch.sending.slots import Sharer

_QUESTION = """
SELECT state, exit_code, stop_text, heartbeat_at,
    (SELECT count(DISTINCT request_no) FROM outcome), (SELECT count(*) FROM request WHERE NOT contradicted)
FROM run
"""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """One run: its state as the ledger has it, and whether a living process holds it."""

    run_id: str
    working: bool
    state: State | None = None
    settled: int = 0
    unique: int = 0
    exit_code: int | None = None
    holder: Holder | None = None
    """Who works on it; None when nobody does, or the lock does not say who."""
    silent_s: float | None = None
    """How long ago a sender gave its last sign of life; None when none ever did."""
    text: str = ""
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
    working = is_locked(folder)
    try:
        state, exit_code, stop_text, heartbeat_at, settled, unique = _ask(folder / LEDGER_NAME)
    except EnrollBatchError as error:
        return RunStatus(folder.name, working, text=error.text)
    working = working or is_locked(folder)  # one that has begun meanwhile is not dead
    return RunStatus(
        folder.name, working, state, settled, unique, exit_code,
        holder=holder_in(folder) if working else None,
        silent_s=None if heartbeat_at is None else max(0, time.time_ns() - heartbeat_at) / 1e9,
        text=stop_words(stop_text or ""),
    )  # fmt: skip


def _ask(path: Path) -> tuple[State, int | None, str | None, int | None, int, int]:
    try:
        with contextlib.closing(connect_to_read(path)) as connection:
            check_version(connection, path)
            state, *rest = connection.execute(_QUESTION).fetchone()
            return (State(state), *rest)
    except (sqlite3.Error, ValueError) as error:
        raise LedgerFailed(f"{path}: the ledger cannot be read ({error})") from error
