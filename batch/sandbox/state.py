"""The simulated API's own truth: who is enrolled where, kept in SQLite.

Owns one table, written through before a call is answered, so that a later start with the same file meets the
same API again. Knows no rule: `enrollment` decides what becomes of a call.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from typing import TYPE_CHECKING, NamedTuple

from batch.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


class Membership(NamedTuple):
    """One customer in one target of one organisation."""

    org: int
    group: int
    target: int
    customer: int


class Place(NamedTuple):
    """One customer in one cycle; `period` is "" for a streak."""

    org: int
    group: int
    target: int
    customer: int
    period: str


class Enrolment(NamedTuple):
    """What is true of one place, and how often it was changed.

    `balance` is the achieved value (of a streak: its count). `enrolls` counts the enroll calls for this very
    place that took effect (a cascade from an earlier cycle is none), `unenrolls` and `resets` likewise. Times are
    seconds since 1970.
    """

    enrolled: bool
    balance: int
    enrolls: int = 0
    unenrolls: int = 0
    resets: int = 0
    enrolled_at: float = 0.0
    updated_at: float = 0.0


_OURS = 0x5A4DB0C5
"""Stands in the file's header, so that no other program's database is taken for a state."""

_TABLES = """
CREATE TABLE IF NOT EXISTS born (day TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS enrolment (
    org INTEGER, target_group INTEGER, target INTEGER, customer INTEGER, period TEXT,
    enrolled INTEGER, balance INTEGER, enrolls INTEGER, unenrolls INTEGER, resets INTEGER,
    enrolled_at REAL, updated_at REAL,
    PRIMARY KEY (org, target_group, target, customer, period)
) WITHOUT ROWID;
"""


class State:
    """The enrolments, in a file or in memory. Not for several threads at once."""

    def __init__(self, path: Path | None, today: dt.date) -> None:
        """Open the file, or make it with `today` as the day of its world's birth.

        Raises: UsageError when the file cannot be a state.
        """
        try:
            self._db = _opened(path, today)
        except sqlite3.Error as error:
            raise UsageError(f"sandbox state {path}: cannot be used ({error}); name another file") from None
        self.born_on = dt.date.fromisoformat(self._db.execute("SELECT day FROM born").fetchone()[0])

    def of(self, who: Membership) -> dict[str, Enrolment]:
        """Return what was written for this customer, by period."""
        rows = self._db.execute(
            "SELECT period, enrolled, balance, enrolls, unenrolls, resets, enrolled_at, updated_at FROM enrolment "
            "WHERE org = ? AND target_group = ? AND target = ? AND customer = ?",
            who,
        )
        return {row[0]: Enrolment(bool(row[1]), *row[2:]) for row in rows}

    def write(self, who: Membership, changed: Mapping[str, Enrolment]) -> None:
        """Write what is true now, by period; all of it or nothing, before this returns."""
        rows = [(*who, period, *enrolment) for period, enrolment in changed.items()]
        if len(rows) == 1:
            self._db.execute(_WRITE, rows[0])
            return
        self._db.execute("BEGIN")
        self._db.executemany(_WRITE, rows)
        self._db.execute("COMMIT")

    def truth(self) -> dict[Place, Enrolment]:
        """Return all that was ever written."""
        rows: Iterable[tuple[int, int, int, int, str, int, int, int, int, int, float, float]]
        rows = self._db.execute("SELECT * FROM enrolment ORDER BY 1, 2, 3, 4, 5")
        return {Place(*row[:5]): Enrolment(bool(row[5]), *row[6:]) for row in rows}

    def close(self) -> None:
        """Close the file."""
        self._db.close()


_WRITE = "INSERT OR REPLACE INTO enrolment VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def _opened(path: Path | None, today: dt.date) -> sqlite3.Connection:
    db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA busy_timeout = 10000")
        mark = db.execute("PRAGMA application_id").fetchone()[0]
        if mark != _OURS and db.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise sqlite3.DatabaseError("it is another program's database")
        db.execute(f"PRAGMA application_id = {_OURS}")
        db.execute("PRAGMA journal_mode = WAL")
        # The state must outlive a killed process, which WAL without fsync does; not a power cut.
        db.execute("PRAGMA synchronous = OFF")
        db.executescript(_TABLES)
        db.execute("INSERT INTO born SELECT ? WHERE NOT EXISTS (SELECT 1 FROM born)", (today.isoformat(),))
    except sqlite3.Error:
        db.close()
        raise
    return db
