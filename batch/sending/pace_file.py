"""Step 4 of 5: the small file in which the runs of this machine see each other.

Owns the file: where it lies, its two tables, how a budget is named. What the numbers mean is known to `slots`, what
follows from them to `shared_pacing`. It never learns a credential.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import platformdirs

from batch.errors import UsageError
from batch.sending.processes import boot_id, is_alive
from batch.sending.slots import PaceRow, Sharer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILE_NAME = "pace.sqlite"
GONE_NS = 2_000_000_000
"""A run that was not seen for so long no longer counts, whatever became of it."""
BUSY_MS = 2
"""How long the event loop may wait for another process's write; they take about 0.1 ms."""

TABLES = """
CREATE TABLE IF NOT EXISTS pace (
    budget TEXT NOT NULL,        -- scheme, host and port, a blank, a keyed hash of the credential
    boot TEXT NOT NULL,          -- the boot whose monotonic clock the times are of, in nanoseconds
    next_slot INTEGER NOT NULL,
    held_until INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    sharer_count INTEGER NOT NULL,
    PRIMARY KEY (budget, boot)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sharer (
    budget TEXT NOT NULL,
    boot TEXT NOT NULL,
    run_id TEXT NOT NULL,
    pid INTEGER NOT NULL,
    born TEXT NOT NULL,
    max_starts INTEGER,          -- NULL: no limit
    window_ns INTEGER,
    interval_ns INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (budget, boot, run_id, pid)
) WITHOUT ROWID;
"""


def state_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder for what runs share: `$ENROLL_BATCH_STATE`, else the user's folder for state."""
    chosen = environ.get("ENROLL_BATCH_STATE", "").strip()
    if chosen:
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_state_path("enroll-batch", appauthor=False)


def budget_key(base_url: str, credential: str) -> str:
    """Return the name of a rate budget: scheme, host and port of the API, and a keyed hash of the credential.

    Neither the path nor the case of the host makes a difference. Source: the limit belongs to the API key (DESIGN).
    """
    parts = urlsplit(base_url)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    host = (parts.hostname or "").rstrip(".")
    host = f"[{host}]" if ":" in host else host
    digest = hashlib.blake2b(credential.encode(), digest_size=16, key=b"enroll-batch rate budget")
    return f"{parts.scheme}://{host}:{port} {digest.hexdigest()}"


class PaceFile:
    """The open file, as seen by the runs of one budget: one connection, used by one thread."""

    def __init__(self, folder: Path, budget: str) -> None:
        """Open the file, and create it where there is none.

        Raises:
            UsageError: it cannot be written, or is damaged.
        """
        self.path = folder / FILE_NAME
        self._of_budget = (budget, boot_id())
        with explaining(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = _connect(self.path)

    def glance(self) -> tuple[int, int] | None:
        """Return (epoch, held_until), or None where the budget has no row. Made for each start: about 6 µs."""
        sql = "SELECT epoch, held_until FROM pace WHERE budget = ? AND boot = ?"
        found: tuple[int, int] | None = self._connection.execute(sql, self._of_budget).fetchone()
        return found

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Let no other process write during the block; keep all of it or nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def row(self) -> PaceRow:
        """Return what the runs have in common; zeros where nobody has shared yet."""
        sql = "SELECT next_slot, held_until, epoch, sharer_count FROM pace WHERE budget = ? AND boot = ?"
        found = self._connection.execute(sql, self._of_budget).fetchone()
        return PaceRow(*found) if found else PaceRow()

    def put_row(self, row: PaceRow) -> None:
        """Write what the runs have in common."""
        values = (*self._of_budget, row.next_slot, row.held_until, row.epoch, row.sharer_count)
        self._connection.execute("REPLACE INTO pace VALUES (?, ?, ?, ?, ?, ?)", values)

    def hold_until(self, at: int) -> None:
        """Let no run start anything before `at`."""
        sql = "UPDATE pace SET held_until = max(held_until, ?) WHERE budget = ? AND boot = ?"
        self._connection.execute(sql, (at, *self._of_budget))

    def sharers(self) -> list[Sharer]:
        """Return the rows of all runs of this budget, dead or alive."""
        return _sharers(self._connection, "budget = ? AND boot = ?", *self._of_budget)

    def put_sharer(self, sharer: Sharer) -> None:
        """Write the row of a run."""
        rate = (sharer.max_starts, sharer.window_ns, sharer.interval_ns)
        values = (*self._of_budget, sharer.run_id, sharer.pid, sharer.born, *rate, sharer.seen_at)
        self._connection.execute("REPLACE INTO sharer VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def remove_sharer(self, sharer: Sharer) -> None:
        """Forget a run."""
        sql = "DELETE FROM sharer WHERE budget = ? AND boot = ? AND run_id = ? AND pid = ?"
        self._connection.execute(sql, (*self._of_budget, sharer.run_id, sharer.pid))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def sharers(folder: Path, now: int) -> list[Sharer]:
    """Return the runs that share a rate at monotonic `now`, of any host and credential, ordered by budget and run.

    Raises:
        UsageError: the file is there and cannot be read.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return []
    with explaining(path), contextlib.closing(_connect(path)) as connection:
        return [sharer for sharer in _sharers(connection, "boot = ?", boot_id()) if counts(sharer, now, look=True)]


def counts(sharer: Sharer, now: int, *, look: bool) -> bool:
    """Return whether a run was seen lately and, when asked to `look`, whether its process lives.

    One seen far in the future was seen in another boot.
    """
    return abs(now - sharer.seen_at) <= GONE_NS and (not look or is_alive(sharer.pid, sharer.born))


def _sharers(connection: sqlite3.Connection, where: str, *values: str) -> list[Sharer]:
    columns = "budget, run_id, pid, born, max_starts, window_ns, interval_ns, seen_at"
    sql = f"SELECT {columns} FROM sharer WHERE {where} ORDER BY budget, run_id, pid"
    return [Sharer(*row) for row in connection.execute(sql, values)]


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.executescript(f"BEGIN IMMEDIATE; {TABLES} COMMIT;")
        with contextlib.suppress(sqlite3.OperationalError):  # another run is just doing it
            connection.execute("PRAGMA journal_mode=WAL")  # a glance never waits for a write
        # Nothing but the tables outlives a boot, and those are on the disk now.
        connection.executescript(f"PRAGMA synchronous=OFF; PRAGMA busy_timeout={BUSY_MS};")
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Turn what keeps the file from being opened into one line for a person."""
    advice = "set ENROLL_BATCH_STATE to a folder that can be written"
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path.parent}: cannot be made or written ({error.strerror}); {advice}") from error
    except sqlite3.OperationalError as error:
        raise UsageError(f"{path}: cannot be opened or written ({error}); {advice}") from error
    except sqlite3.Error as error:
        raise UsageError(f"{path}: is damaged ({error}); delete it while no run is sending") from error


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether another process was writing, so that trying again will do."""
    code = getattr(error, "sqlite_errorcode", None)  # faults of the module itself have none
    return code is not None and code & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
