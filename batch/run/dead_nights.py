"""Nights that broke off before anybody was told of them: the next night of the same config tells what they had done.

Owns the marks in report.dir, `.nightly-<config>-<night>.lock`: an empty file, locked by its night as long as that
lasts, and removed when the night has been told. One that nobody holds any more is that of a dead night: the lock is one
of the operating system, as in `night_locks`. Who speaks for a dead night holds its mark, so that nobody else does. What
a dead night had done stands in the nights' log.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import filelock

from batch.errors import EXIT_CODES
from batch.run.lock import PATIENCE_S, is_held
from batch.run.night_log import NIGHT_TIME, last_entries
from batch.run.opening import spelled
from batch.run.unattended import Ended

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LONG_S = 3600.0
"""A mark that is free and of which the log has no begin may be one that is just being taken, until it is so old.
Source: our choice, because that takes no second."""
MOST = 100
"""So many dead nights are spoken for, the last ones; those before them are forgotten. Source: our choice, because each
is a file that stays open, and only what dies at once, again and again, dies more often before anybody is told."""
_END = ".lock"


@dataclass(frozen=True, slots=True)
class DeadNight:
    """A night that broke off. `night` names it in the log, `begun` is for people.

    `ended` is what had come to an end before, as the log has it; `is_whole` says whether it has all.
    """

    night: str
    begun: str
    ended: Sequence[Ended]
    is_whole: bool

    @property
    def text(self) -> str:
        """One line that says so."""
        known = "" if self.is_whole else "; nightly.log does not have all that it did"
        return f"The night of {self.begun} broke off before anybody was told of it{known}."


class Marks:
    """The mark of this night, held inside the block, and those of dead ones that it speaks for."""

    def __init__(self, report_dir: Path, config: Path, night: str) -> None:
        self._reports = report_dir
        self._start = f".nightly-{hashlib.sha256(os.fsencode(spelled(config))).hexdigest()[:16]}-"
        self._own = self._path(night)
        self._held: dict[Path, filelock.BaseFileLock] = {}

    def __enter__(self) -> Marks:
        """Hold the mark of this night. Where that cannot be, nothing happens: nobody will miss this night."""
        with suppress(OSError):
            self._reports.mkdir(parents=True, exist_ok=True)
        self._hold(self._own, PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of all marks. Those that are still there are found by the next night."""
        for lock in self._held.values():
            lock.release()

    def dead_nights(self) -> list[DeadNight]:
        """Return the nights of this config that broke off and that nobody else speaks for, the oldest first."""
        paths: list[Path] = []
        with suppress(OSError):
            paths = sorted(self._reports.glob(f"{self._start}*{_END}"))
        free = [path for path in paths if is_held(path) is False]
        for path in free[:-MOST]:
            if self._hold(path, 0):
                self._remove(path)
        names = {path.name.removeprefix(self._start).removesuffix(_END): path for path in free[-MOST:]}
        mine = {night: path for night, path in names.items() if self._hold(path, 0)}
        entries = last_entries(self._reports) if mine else []  # read when they are held: a begin now is one of before
        found = []
        for night, path in mine.items():
            dead = _dead_night(night, [entry for entry in entries if entry.get("night") == night], self._reports)
            if dead is None:
                self._held.pop(path).release()
            else:
                found.append(dead)
        return found

    def told(self, *, heard: bool) -> None:
        """Note that this night has been told, and, where somebody has heard it, so have the dead ones."""
        for path in list(self._held):
            if path == self._own or heard:
                self._remove(path)

    def _remove(self, path: Path) -> None:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        self._held.pop(path).release()

    def _path(self, night: str) -> Path:
        return self._reports / f"{self._start}{night}{_END}"

    def _hold(self, path: Path, patience_s: float) -> bool:
        lock = filelock.FileLock(path, fallback_to_soft=False)
        try:
            lock.acquire(timeout=patience_s)
        except (filelock.Timeout, OSError):
            return False
        self._held[path] = lock
        return True


def _dead_night(night: str, entries: Sequence[dict[str, Any]], reports: Path) -> DeadNight | None:
    """Return what a night had done whose mark is free; None where it may be just beginning."""
    try:
        begun = dt.datetime.strptime(night.partition("-")[0], NIGHT_TIME).replace(tzinfo=dt.UTC)
    except ValueError:  # not made by us
        return None
    is_whole = any(entry.get("event") == "begin" for entry in entries)
    if not is_whole and time.time() - begun.timestamp() < LONG_S:
        return None
    ended = [each for entry in entries if (each := _ended(entry, reports)) is not None]
    return DeadNight(night, f"{begun:%Y-%m-%d %H:%M} UTC", ended, is_whole)


def _ended(entry: dict[str, Any], reports: Path) -> Ended | None:
    """Return what a line of the log says of a file or a run; None where it says something else."""
    match entry:
        case {"event": "file", "name": str(name), "exit_code": int(code), "text": str(told)} if code in EXIT_CODES:
            run, place, report = (str(entry.get(key) or "") for key in ("run", "place", "report"))
            return Ended(name, code, told, reports / run if run else None, told, place, report)
        case _:
            return None
