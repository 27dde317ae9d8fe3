"""Hold a run's folder, and see whether somebody holds it: one planner, sender or verifier at a time.

The lock is one of the operating system: it dies with its process, also by SIGKILL, and a process that sleeps keeps it.
The file says who holds it, for people only.
"""

from __future__ import annotations

import errno
import getpass
import json
import os
import socket
import sys
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import filelock

from batch.errors import RunLocked, UsageError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_NAME = "lock"
PATIENCE_S = 1.0
"""For so long a lock is tried for. Source: our choice: who only looks holds it for microseconds."""
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL})


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a run, as it has said itself."""

    pid: int
    user: str
    host: str

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host}"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run as long as the block lasts.

    Raises:
        RunLocked: another process holds it.
        UsageError: the folder cannot be written, or lies where nothing can be locked.
    """
    path = folder / LOCK_NAME
    # A lock that is only a file would outlive its process, so a drive without locks is refused.
    lock = filelock.FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(timeout=PATIENCE_S)
    except filelock.Timeout as error:
        holder = holder_in(folder)
        who = f": {holder}" if holder else "; `enroll-batch status` shows what it does"
        raise RunLocked(f"{folder}: another process is at work on this run{who}") from error
    except OSError as error:
        if error.errno in _NO_LOCKS:
            what = f"its drive has no locks ({error.strerror}); put the run's folder on one that has"
        else:
            what = f"cannot be written ({error.strerror}); choose another folder with --run-dir"
        raise UsageError(f"{folder}: {what}") from error
    try:
        _sign(path)
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> bool:
    """Return whether a living process holds the lock of a run; whoever is about to take it is not kept from it."""
    return bool(is_held(folder / LOCK_NAME))


def is_held(path: Path) -> bool | None:
    """Return whether a living process holds a lock; None where it is not there, or its drive does not tell."""
    if sys.platform == "win32":
        return _cannot_be_taken(path) if path.exists() else None
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who look do not see each other
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


def _cannot_be_taken(path: Path) -> bool:
    try:
        with filelock.FileLock(path, fallback_to_soft=False).acquire(timeout=0):
            return False
    except filelock.Timeout:
        return True


def holder_in(folder: Path) -> Holder | None:
    """Return who has written himself into the lock of a run, be he dead or alive; None where that cannot be read."""
    with suppress(OSError, ValueError, TypeError):
        return Holder(**json.loads((folder / LOCK_NAME).read_text("utf-8")))
    return None


def _sign(path: Path) -> None:
    with suppress(OSError):  # a full disk is for the ledger to tell
        path.write_text(json.dumps(asdict(Holder(os.getpid(), user_name(), socket.gethostname()))), "utf-8")


def user_name() -> str:
    """Return who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for its user
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"
