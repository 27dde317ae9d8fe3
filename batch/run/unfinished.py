"""Which runs of a config did not come to their end, and what a night may do with them without asking anybody."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from batch.errors import LedgerFailed
from batch.ledger.looking import connect_to_read
from batch.ledger.sqlite import LEDGER_NAME
from batch.model import State, StopReason
from batch.run.earlier import ledgers_in
from batch.run.inputs import COPIES

if TYPE_CHECKING:
    from pathlib import Path

    from batch.run.opening import OpenRun

NIGHTLY = "nightly"
"""The command that a night's runs are begun by."""

_FOR_A_PERSON = frozenset({StopReason.GUARD, StopReason.CANARY})


class Next(Enum):
    """What a night does with a run."""

    RESUME = auto()
    WAIT = auto()
    """A guard has stopped it, or its sample is done: a person has to say whether it goes on."""
    REMOVE = auto()
    """A night began it and died before it called the API: its file is still in the inbox, and is taken anew."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run that did not come to its end."""

    folder: Path
    next: Next


def unfinished_runs(report_dir: Path, config: Path) -> list[Unfinished]:
    """Return the runs of a config that a night has to do with, oldest first.

    What was planned only, declined, or refused for its rows is left alone: nothing of it was ever sent. What a night
    has stopped while it looked customers up goes on.
    """
    steps = ((folder, next_step(folder, config)) for folder in ledgers_in(report_dir))
    return [Unfinished(folder, step) for folder, step in steps if step is not None]


def next_step(folder: Path, config: Path) -> Next | None:
    """Return what a night does with a run of this config; None where it has nothing to do with it.

    Whoever acts on it holds the run's lock and asks again: another night may have ended the run meanwhile.
    """
    question = """
        SELECT state, stop_reason, command, started_at, exit_code,
            EXISTS (SELECT 1 FROM lookup WHERE customer IS NOT NULL OR outcome IS NOT NULL)
        FROM run WHERE config_path = ?
    """
    try:
        with contextlib.closing(connect_to_read(folder / LEDGER_NAME)) as connection:
            row = connection.execute(question, (str(config.absolute()),)).fetchone()
    except (sqlite3.Error, LedgerFailed):
        return None  # `status` tells of it
    if row is None:
        return None
    state, stop_reason, command, started_at, exit_code, has_looked_up = row
    if started_at is None:
        if command != NIGHTLY:
            return None
        if stop_reason is None:
            return Next.RESUME if has_looked_up else Next.REMOVE
        return Next.RESUME if state == State.PLANNING else None
    if state == State.FINISHED:
        return Next.RESUME if exit_code is None else None
    return Next.WAIT if stop_reason in _FOR_A_PERSON else Next.RESUME


def remove_unsent(run: OpenRun) -> None:
    """Remove a run that a night began and of which nothing was sent, with the copy of its file."""
    shutil.rmtree(run.folder / COPIES, ignore_errors=True)
    run.discard()
