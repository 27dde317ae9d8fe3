"""Which file of an inbox belongs to which run, so that it can follow when the run has come to its end.

Owns a small hidden file in the run's folder, one for each inbox: the claims by which its files were taken, and the
places where they lie since. It is made before anything is planned, and large enough for what is noted later, because
the disk may be full by then.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batch.errors import LedgerFailed
from batch.ledger.looking import connect_to_read
from batch.ledger.sqlite import LEDGER_NAME
from batch.model import State
from batch.run.earlier import ledgers_in
from batch.run.opening import INBOX_NOTE

if TYPE_CHECKING:
    from pathlib import Path

_ROOM = 4096
"""Bytes that are written at once, as blanks where nothing stands yet."""


@dataclass(frozen=True, slots=True)
class PutAside:
    """A file that waits, and the run that has ended since. `place` is its name in the inbox."""

    place: str
    folder: Path
    exit_code: int


@dataclass(frozen=True, slots=True)
class _Note:
    claims: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)


def taken(folder: Path, inbox: str, claim: str) -> None:
    """Note by which claim a file of a run was taken. A disk that is full now is for the ledger to tell."""
    note = _read(folder, inbox)
    note.claims.append(claim)
    _write(folder, inbox, note)


def remember(folder: Path, inbox: str, place: str) -> None:
    """Note that a file of an inbox waits for a run."""
    note = _read(folder, inbox)
    if place not in note.places:
        note.places.append(place)
        _write(folder, inbox, note)


def forget(folder: Path, inbox: str, place: str) -> None:
    """Note that a file does not wait any more."""
    note = _read(folder, inbox)
    if place in note.places:
        note.places.remove(place)
        _write(folder, inbox, note)


def waiting_no_longer(report_dir: Path, inbox: str) -> list[PutAside]:
    """Return the files of an inbox whose run has come to its end since they were put aside.

    A place that two runs have noted is left alone: one of them died before its file came there.
    """
    places = {folder: _read(folder, inbox).places for folder in ledgers_in(report_dir)}
    noted = [place for each in places.values() for place in each]
    found = []
    for folder in (folder for folder, each in places.items() if each):
        exit_code = _exit_code(folder)
        if exit_code is not None:
            found += [PutAside(place, folder, exit_code) for place in places[folder] if noted.count(place) == 1]
    return found


def run_of(report_dir: Path, inbox: str, claim: str) -> Path | None:
    """Return the folder of the run whose file was taken by a claim."""
    return next((folder for folder in ledgers_in(report_dir) if claim in _read(folder, inbox).claims), None)


def _path(folder: Path, inbox: str) -> Path:
    return folder / f"{INBOX_NOTE}{hashlib.sha256(inbox.encode(errors='surrogateescape')).hexdigest()[:8]}"


def _read(folder: Path, inbox: str) -> _Note:
    try:
        return _Note(**json.loads(_path(folder, inbox).read_text("ascii")))
    except (OSError, ValueError, TypeError):
        return _Note()


def _write(folder: Path, inbox: str, note: _Note) -> None:
    """Write in place: a new file would need room on the disk."""
    content = json.dumps({"claims": note.claims, "places": note.places}).ljust(_ROOM).encode()
    path = _path(folder, inbox)
    with contextlib.suppress(OSError), path.open("r+b" if path.exists() else "wb") as file:
        file.write(content)
        file.truncate()


def _exit_code(folder: Path) -> int | None:
    """Return how a run ended, None while it has not."""
    try:
        with contextlib.closing(connect_to_read(folder / LEDGER_NAME)) as connection:
            state, exit_code = connection.execute("SELECT state, exit_code FROM run").fetchone()
    except (sqlite3.Error, LedgerFailed):
        return None
    return int(exit_code) if state == State.FINISHED and exit_code is not None else None
