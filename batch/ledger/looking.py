"""Step 2 of 5: open a ledger to look at it, beside a running sender, and know whether it is one of this version.

Owns how a file is opened that must not be changed, also where the folder cannot be written. Asks nothing else of it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

from batch.errors import LedgerFailed, UsageError
from batch.ledger.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from pathlib import Path

WAIT_S = 5.0
"""How long to wait for a program that keeps even readers out. Source: our choice: nobody needs that for long."""


def require_ledger(path: Path) -> None:
    """Raise UsageError where there is no ledger at `path`."""
    if not path.is_file():
        raise UsageError(f"{path.parent} is not a run: it holds no {path.name}")


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open the ledger at `path`; whatever is asked of it, it changes nothing and leaves no file behind.

    Raises:
        sqlite3.Error: the file cannot be opened.
        LedgerFailed: its last writer died, and what he left cannot be put in order where nothing can be written.
    """
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        try:
            # Not for reading alone: such a connection leaves the files of the write-ahead log behind.
            return _connected(path, "mode=rw")
        except sqlite3.OperationalError as error:  # a full disk has no room for these files
            if _has_log(path) or error.sqlite_errorcode & 0xFF not in _NO_ROOM:
                raise
    if not _has_log(path):
        return _connected(path, "mode=ro&immutable=1")  # nobody is writing, so these files are not needed
    try:
        return _connected(path, "mode=ro")
    except sqlite3.OperationalError as error:
        raise LedgerFailed(
            f"{path}: cannot be read ({error}), because its last writer died and its folder cannot be written; "
            "copy the folder to where it can be"
        ) from error


_NO_ROOM = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})


def _has_log(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None, timeout=WAIT_S)
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT 1 FROM sqlite_master")
    except BaseException:
        connection.close()
        raise
    return connection


def standing_of(path: Path) -> str:
    """Return what tells a ledger from any other, and from itself after something was recorded in it.

    Raises:
        UsageError: there is no ledger at `path`, or it is of another version.
        LedgerFailed: it cannot be read.
    """
    require_ledger(path)
    try:
        with contextlib.closing(connect_to_read(path)) as connection:
            check_version(connection, path)
            return " ".join(map(str, connection.execute(_STANDING).fetchone()))
    except sqlite3.Error as error:
        raise LedgerFailed(f"{path}: the ledger cannot be read ({error})") from error


_STANDING = """
SELECT run_id, created_at, state, (SELECT count(*) FROM outcome), (SELECT count(*) FROM verdict),
    (SELECT count(*) FROM event) FROM run
"""


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Make sure that a file is a ledger of the version that this program knows.

    Raises:
        UsageError: its layout is of another version.
        LedgerFailed: it is no ledger.
        sqlite3.Error: it is damaged.
    """
    try:
        found = connection.execute("SELECT schema_version FROM run").fetchone()
    except sqlite3.OperationalError as error:
        if "no such" not in str(error):
            raise
        found = None
    if found is None:
        raise LedgerFailed(f"{path}: the ledger cannot be read: it holds no run; restore the file from a backup")
    if found[0] != SCHEMA_VERSION:
        raise UsageError(
            f"{path}: ledger version {found[0]}, but this program knows version {SCHEMA_VERSION}; "
            f"use the enroll-batch that made it"
        )
