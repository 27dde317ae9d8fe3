"""Step 2 of 5: the embedded ledger, one SQLite file in the run's folder.

Owns the file: how it comes to be, how it is opened, the run row and the states. Planning writes through
`planning.PlanWriter`, sending through `sending.SendingLedger`, the report reads through `reading.LedgerReader`.
Knows nothing of spreadsheets, HTTP or reports.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batch.errors import LedgerFailed, UsageError
from batch.ledger.looking import check_version, require_ledger
from batch.ledger.schema import SCHEMA_VERSION, TABLES
from batch.model import State

if TYPE_CHECKING:
    from collections.abc import Iterator

LEDGER_NAME = "ledger.sqlite"
BUSY_S = 30.0
"""How long to wait while another program writes to the ledger. Source: our choice, because a backup takes seconds."""


@dataclass(frozen=True, slots=True)
class NewRun:
    """What the run row says from the first moment. `created_at` is in nanoseconds since 1970 UTC."""

    run_id: str
    program_version: str
    user: str
    host: str
    command: str
    config_path: str
    config_text: str
    working_dir: str
    overrides: str
    base_url: str
    campaign: str
    created_at: int
    parent: str | None = None
    rerun: str | None = None
    inputs: str = "[]"


def create_ledger(folder: Path, run: NewRun) -> SqliteLedger:
    """Create the ledger of a new run in `folder` and open it.

    The file gets its name only when its run row is committed, so a ledger without a run never exists.

    Raises:
        UsageError: the folder holds a ledger already, or cannot be written.
    """
    path = folder / LEDGER_NAME
    if path.exists():
        raise UsageError(f"{folder} holds a run already; choose another --run-dir, or resume that run")
    made_folder(folder)
    unnamed = folder / f".{LEDGER_NAME}.{secrets.token_hex(8)}.new"  # so that two processes never write to one file
    try:
        connection = sqlite3.connect(unnamed, isolation_level=None)
        with contextlib.closing(connection):
            connection.executescript(f"PRAGMA synchronous=FULL; BEGIN; {TABLES}")
            row = asdict(run) | {"schema_version": SCHEMA_VERSION, "state": State.PLANNING.value}
            names = ", ".join(row)
            connection.execute(f"INSERT INTO run ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values()))
            connection.execute("COMMIT")
        os.link(unnamed, path)  # unlike a rename it never replaces a ledger that another process has just made
    except FileExistsError as error:
        raise UsageError(f"{folder} holds a run already; choose another --run-dir, or resume that run") from error
    except UnicodeEncodeError as error:
        raise UsageError(
            "the name of the run's folder, its config or an input is not UTF-8; rename it, or choose another --run-dir"
        ) from error
    except OSError as error:
        raise _unwritable(folder, error) from error
    except sqlite3.Error as error:
        raise UsageError(f"{folder}: a ledger cannot be made there ({error}); choose another --run-dir") from error
    finally:
        for left in (unnamed, unnamed.with_name(f"{unnamed.name}-journal")):
            with contextlib.suppress(OSError):
                left.unlink(missing_ok=True)
    return open_ledger(folder)


def made_folder(folder: Path, *, exist_ok: bool = True) -> Path:
    """Make a folder for a run where it is not there yet, and return it.

    Raises:
        FileExistsError: it is there, and that is not `exist_ok`.
        UsageError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except OSError as error:
        if isinstance(error, FileExistsError) and not exist_ok:
            raise
        raise _unwritable(folder, error) from error
    return folder


def _unwritable(folder: Path, error: OSError) -> UsageError:
    return UsageError(f"{folder}: cannot be written ({error.strerror}); choose another folder with --run-dir")


def open_ledger(folder: Path) -> SqliteLedger:
    """Open the ledger of an existing run for writing.

    Raises:
        UsageError: there is no ledger, or its layout is of another version.
        LedgerFailed: the file is damaged or cannot be opened.
    """
    path = folder / LEDGER_NAME
    require_ledger(path)
    if not (os.access(path, os.W_OK) and os.access(folder, os.W_OK)):
        raise LedgerFailed(f"{folder}: cannot be written here; nothing is sent without a record of it")
    with _failing_as_ledger(path):
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
        try:
            check_version(connection, path)
            # FULL: an intent must be on disk before its bytes leave, also when the power goes.
            connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;")
        except BaseException:
            connection.close()
            raise
    return SqliteLedger(path, connection)


@contextlib.contextmanager
def _failing_as_ledger(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        held = getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
        mend = "close the program that has it open, and" if held else "when the disk is in order again,"
        raise LedgerFailed(f"{path}: {error}; nothing more is sent; {mend} resume the run") from error


class SqliteLedger:
    """An open ledger: one connection, used by one thread at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit all of the block or nothing of it; what the block wrote is durable when it ends.

        Raises:
            LedgerFailed: the disk is full or failing; nothing of the block stands.
        """
        with _failing_as_ledger(self.path):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self.connection.execute("ROLLBACK")
                raise

    def read(self, sql: str, *values: Any) -> list[Any]:
        """Return all rows of a small query."""
        with _failing_as_ledger(self.path):
            return self.connection.execute(sql, values).fetchall()

    @property
    def state(self) -> State:
        """The state of the run as it stands on disk."""
        return State(self.read("SELECT state FROM run")[0][0])

    def update_run(self, **values: str | int | None) -> None:
        """Set columns of the run row, durably."""
        with self.transaction() as connection:
            assignments = ", ".join(f"{name} = ?" for name in values)
            connection.execute(f"UPDATE run SET {assignments}", list(values.values()))

    def close(self) -> None:
        """Close the file; what was committed stays."""
        with _failing_as_ledger(self.path):
            self.connection.close()

    def __enter__(self) -> SqliteLedger:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
