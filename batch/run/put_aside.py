"""Which file of an inbox waits in `unfinished` for which run, so that it can follow when the run has come to its end.

Owns a small hidden file in the run's folder: one line for each file, its whole name as people know it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.errors import LedgerFailed
from batch.ledger.looking import connect_to_read
from batch.ledger.sqlite import LEDGER_NAME
from batch.model import State
from batch.run.earlier import ledgers_in

if TYPE_CHECKING:
    from pathlib import Path

NOTE_NAME = ".inbox"


@dataclass(frozen=True, slots=True)
class PutAside:
    """A file that waits, and the run that has ended since. `place` is its name in the inbox."""

    place: str
    folder: Path
    exit_code: int


def remember(folder: Path, inbox: str, place: str) -> None:
    """Note that a file of an inbox waits for a run. Where that cannot be written, the file stays where it is."""
    with contextlib.suppress(OSError), (folder / NOTE_NAME).open("a", encoding="utf-8") as file:
        file.write(f"{inbox}/{place}\n")


def waiting_no_longer(report_dir: Path, inbox: str) -> list[PutAside]:
    """Return the files of an inbox whose run has come to its end since they were put aside."""
    found = []
    for folder in ledgers_in(report_dir):
        places = _places(folder, inbox)
        exit_code = _exit_code(folder) if places else None
        if exit_code is not None:
            found += [PutAside(place, folder, exit_code) for place in places]
    return found


def forget(folder: Path) -> None:
    """Note that nothing waits for a run any more."""
    with contextlib.suppress(OSError):
        (folder / NOTE_NAME).unlink(missing_ok=True)


def _places(folder: Path, inbox: str) -> list[str]:
    try:
        lines = (folder / NOTE_NAME).read_text("utf-8").split("\n")  # names may hold what else separates lines
    except (OSError, UnicodeDecodeError):
        return []
    return [line.removeprefix(f"{inbox}/") for line in lines if line.startswith(f"{inbox}/")]


def _exit_code(folder: Path) -> int | None:
    """Return how a run ended, None while it has not."""
    try:
        with contextlib.closing(connect_to_read(folder / LEDGER_NAME)) as connection:
            state, exit_code = connection.execute("SELECT state, exit_code FROM run").fetchone()
    except (sqlite3.Error, LedgerFailed):
        return None
    return int(exit_code) if state == State.FINISHED and exit_code is not None else None
