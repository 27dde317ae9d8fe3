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
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from batch.errors import InputRefused, LedgerFailed
from batch.ledger.looking import connect_to_read
from batch.ledger.sqlite import LEDGER_NAME
from batch.model import State, StopReason
from batch.run.earlier import ledgers_in
from batch.run.opening import INBOX_NOTE

if TYPE_CHECKING:
    from pathlib import Path

    from batch.nightly.choice import Upload

_ROOM = 4096
"""Bytes that are written at once, as blanks where nothing stands yet."""


@dataclass(frozen=True, slots=True)
class PutAside:
    """A file that waits, and the run that has ended since. `place` is its name in the inbox.

    `why` says why nothing of it can be sent, "" where that is not so.
    """

    place: str
    folder: Path
    exit_code: int
    why: str


@dataclass(frozen=True, slots=True)
class _Note:
    claims: list[tuple[str, str]] = field(default_factory=list)
    """By which a file was taken, and in which version."""
    places: list[tuple[str, str]] = field(default_factory=list)
    """Where a file waits, or is about to, and the claim that it has or had."""


def taken(folder: Path, inbox: str, claim: str, upload: Upload) -> None:
    """Note by which claim a file of a run was taken, and in which version.

    A disk that is full now is for the ledger to tell.
    """
    note = _read(folder, inbox)
    note.claims.append((claim, _version(upload)))
    _write(folder, inbox, note)


def remember(folder: Path, inbox: str, place: str, claim: str) -> None:
    """Note that the file of a claim is about to be put to a place, where it waits for a run."""
    note = _read(folder, inbox)
    note.places.append((place, claim))
    _write(folder, inbox, note)


def arrived(folder: Path, inbox: str, place: str, claim: str) -> None:
    """Note where the file of a claim waits now. Nothing else can lie there, so no other run's file is looked for there.

    Somebody may have taken away what another run had put there.
    """
    note = _read(folder, inbox)
    places = [*(each for each in note.places if place != each[0] and claim != each[1]), (place, claim)]
    if places != note.places:
        _write(folder, inbox, replace(note, places=places))
    for other in ledgers_in(folder.parent):
        if other != folder:
            forget(other, inbox, place)


def give_up_claims(folder: Path, inbox: str) -> None:
    """Note that the file of a run has been put away, so that another one of its content is only a repeat."""
    note = _read(folder, inbox)
    if note.claims:
        _write(folder, inbox, replace(note, claims=[]))


def is_taken(folder: Path, inbox: str) -> bool:
    """Return whether the file of a run was taken and has not been put away."""
    return bool(_read(folder, inbox).claims)


def not_arrived(folder: Path, inbox: str, claim: str) -> None:
    """Note that the file of a claim waits nowhere: it was not put away, or not where it would wait."""
    note = _read(folder, inbox)
    places = [each for each in note.places if claim != each[1]]
    if places != note.places:
        _write(folder, inbox, replace(note, places=places))


def forget(folder: Path, inbox: str, place: str) -> None:
    """Note that no file waits at a place any more."""
    note = _read(folder, inbox)
    places = [each for each in note.places if place != each[0]]
    if places != note.places:
        _write(folder, inbox, replace(note, places=places))


def waiting_no_longer(report_dir: Path, inbox: str) -> list[PutAside]:
    """Return the files of an inbox whose run has come to its end since they were put aside.

    A place that two runs have noted is left alone: one of them died before its file came there, and forgets that when
    its claim is recovered.
    """
    places = {folder: sorted({place for place, _ in _read(folder, inbox).places}) for folder in ledgers_in(report_dir)}
    noted = [place for each in places.values() for place in each]
    found = []
    for folder in (folder for folder, each in places.items() if each):
        if ended := _how_it_ended(folder):
            found += [PutAside(place, folder, *ended) for place in places[folder] if noted.count(place) == 1]
    return found


def is_waited_for(folder: Path) -> bool:
    """Return whether a file of any inbox waits for a run."""
    return any(_read_note(path).places for path in folder.glob(f"{INBOX_NOTE}*"))


def noted_runs(report_dir: Path, inbox: str) -> list[Path]:
    """Return the folders of the runs that have, or had, a file of an inbox, oldest first."""
    return [folder for folder in ledgers_in(report_dir) if _path(folder, inbox).exists()]


def run_of(report_dir: Path, inbox: str, claim: str) -> Path | None:
    """Return the folder of the run whose file was taken by a claim."""
    return next((folder for folder in ledgers_in(report_dir) if claim in dict(_read(folder, inbox).claims)), None)


def has_taken(folder: Path, inbox: str, claim: str, upload: Upload) -> bool:
    """Return whether what lies in an inbox is still the version that a run has taken by a claim.

    If it is not, it is an upload like any other, and its digest says whether it was sent.
    """
    return (claim, _version(upload)) in _read(folder, inbox).claims


def _version(upload: Upload) -> str:
    return f"{upload.size} {upload.modified_ns} {upload.tag}"


def _path(folder: Path, inbox: str) -> Path:
    return folder / f"{INBOX_NOTE}{hashlib.sha256(inbox.encode(errors='surrogateescape')).hexdigest()[:8]}"


def _read(folder: Path, inbox: str) -> _Note:
    return _read_note(_path(folder, inbox))


def _read_note(path: Path) -> _Note:
    try:
        note = _Note(**json.loads(path.read_text("ascii")))
        return _Note(
            [(claim, version) for claim, version in note.claims], [(place, claim) for place, claim in note.places]
        )
    except (OSError, ValueError, TypeError):
        return _Note()


def _write(folder: Path, inbox: str, note: _Note) -> None:
    """Write in place: a new file would need room on the disk."""
    content = json.dumps({"claims": note.claims, "places": note.places}).ljust(_ROOM).encode()
    path = _path(folder, inbox)
    with contextlib.suppress(OSError), path.open("r+b" if path.exists() else "wb") as file:
        file.write(content)
        file.truncate()


def _how_it_ended(folder: Path) -> tuple[int, str] | None:
    """Return the exit code of a run, and why its upload was refused if it was; None while it has not ended."""
    try:
        with contextlib.closing(connect_to_read(folder / LEDGER_NAME)) as connection:
            state, exit_code, stop_reason, stop_text = connection.execute(
                "SELECT state, exit_code, stop_reason, stop_text FROM run"
            ).fetchone()
    except (sqlite3.Error, LedgerFailed):
        return None
    if stop_reason == StopReason.INPUT:
        return InputRefused.exit_code, str(stop_text)
    return (int(exit_code), "") if state == State.FINISHED and exit_code is not None else None
