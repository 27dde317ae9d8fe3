"""Which runs of a config did not come to their end, and what a night may do with them without asking anybody."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from batch.errors import LedgerFailed
from batch.ledger.looking import connect_to_read
from batch.ledger.sqlite import LEDGER_NAME
from batch.model import State, StopReason
from batch.report.reconcile import STOP_EXIT_CODES
from batch.run.driving import signalled_by
from batch.run.earlier import ledgers_in
from batch.run.inputs import COPIES
from batch.run.opening import spelled
from batch.run.put_aside import is_waited_for

if TYPE_CHECKING:
    from batch.run.opening import OpenRun

NIGHTLY = "nightly"
"""The command that a night's runs are begun by."""

_FOR_A_PERSON = frozenset({StopReason.GUARD, StopReason.CANARY, StopReason.LIMIT, StopReason.DECLINED})


class Next(Enum):
    """What a night does with a run."""

    RESUME = auto()
    WAIT = auto()
    """A guard or a person has stopped it, or its sample is done: a person has to say whether it goes on."""
    REMOVE = auto()
    """A night began it and died before it called the API: its file is still in the inbox, and is taken anew.

    Not where its file was put aside already, to wait for it.
    """
    TELL = auto()
    """Its ledger is damaged: nobody knows what was sent."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run that did not come to its end; `exit_code` is that of how it stands."""

    folder: Path
    next: Next
    exit_code: int


def unfinished_runs(report_dir: Path, config: Path) -> list[Unfinished]:
    """Return the runs of a config that a night has to do with, oldest first.

    What was planned only, declined, or refused for its rows is left alone: nothing of it was ever sent. What a night
    has stopped while it looked customers up goes on.

    Raises:
        UsageError: the folder cannot be read.
    """
    looks = (look_at(folder, config) for folder in ledgers_in(report_dir))
    return [found for found in looks if found is not None]


_HOW_IT_STANDS = """
SELECT state, stop_reason, stop_text, command, started_at, exit_code, json_extract(overrides, '$.limit'),
    EXISTS (SELECT 1 FROM lookup WHERE customer IS NOT NULL OR outcome IS NOT NULL)
FROM run WHERE config_path = ?
"""


def look_at(folder: Path, config: Path) -> Unfinished | None:
    """Return what a night does with a run of this config; None where it has nothing to do with it.

    Whoever acts on it holds the run's lock and asks again: another night may have ended the run meanwhile.
    """
    try:
        with contextlib.closing(connect_to_read(folder / LEDGER_NAME)) as connection:
            row = connection.execute(_HOW_IT_STANDS, (str(spelled(config)),)).fetchone()
    except sqlite3.OperationalError:  # busy, gone by now, or of another version
        return None
    except sqlite3.DatabaseError:
        return Unfinished(folder, Next.TELL, 1)
    except LedgerFailed:
        return None  # `status` tells of it
    if row is None or (step := _next(*row, waited_for=is_waited_for(folder))) is None:
        return None
    reason = row[1]
    return Unfinished(folder, step, STOP_EXIT_CODES[StopReason(reason)] if reason else 7)


def _next(
    state: str,
    stop_reason: str | None,
    stop_text: str | None,
    command: str,
    started_at: int | None,
    exit_code: int | None,
    limit: int | None,
    has_looked_up: bool,
    *,
    waited_for: bool,
) -> Next | None:
    if started_at is None:
        if command != NIGHTLY:
            return None
        if stop_reason is None:
            return Next.RESUME if has_looked_up or waited_for else Next.REMOVE
        if state != State.PLANNING or stop_reason == StopReason.INPUT:
            return None
    if state == State.FINISHED:
        return Next.RESUME if exit_code is None else None
    # Whoever types Ctrl-C or --limit says when it goes on, also where the run died before it came to its limit.
    by_hand = (stop_text or "").startswith(signalled_by(signal.SIGINT)) or limit is not None
    return Next.WAIT if by_hand or stop_reason in _FOR_A_PERSON else Next.RESUME


def can_go_on(folder: Path | None, config: Path) -> bool:
    """Return whether a run of this config can still be gone on with, by a night or a person."""
    found = None if folder is None else look_at(folder, config)
    return found is not None and found.next in {Next.RESUME, Next.WAIT}


def lost_config(folder: Path) -> Path | None:
    """Return the config of a run that is not finished, where no file has that name any more; else None.

    What a night has not sent anything of counts too when it looked customers up: only its own config goes on with it.
    """
    try:
        with contextlib.closing(connect_to_read(folder / LEDGER_NAME)) as connection:
            ((config,),) = connection.execute("SELECT config_path FROM run").fetchall()
    except (sqlite3.Error, LedgerFailed, ValueError):
        return None
    return Path(config) if can_go_on(folder, Path(config)) and not os.path.lexists(config) else None


def remove_unsent(run: OpenRun) -> None:
    """Remove a run that a night began and of which nothing was sent, with the copy of its file."""
    shutil.rmtree(run.folder / COPIES, ignore_errors=True)
    run.discard()


def give_up(run: OpenRun, why: str) -> None:
    """Let no night go on with a run of which nothing was sent."""
    run.ledger.update_run(state=State.STOPPED.value, stop_reason=StopReason.INPUT.value, stop_text=why)


def state_of_sender(folder: Path) -> State | None:
    """Return how a run stands that has begun to send, whatever its config is called now; None where it has not.

    One whose ledger cannot be read counts as stopped: nobody knows that it came to its end.
    """
    try:
        with contextlib.closing(connect_to_read(folder / LEDGER_NAME)) as connection:
            ((state, started_at),) = connection.execute("SELECT state, started_at FROM run").fetchall()
            return None if started_at is None else State(state)
    except (sqlite3.Error, LedgerFailed, ValueError):
        return State.STOPPED
