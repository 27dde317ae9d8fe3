"""Which nights are alive: each holds a lock as long as it lasts, in a file that its claims name.

Owns the files `.night-<token>.lock` in report.dir. The lock is one of the operating system: it dies with its process,
also by SIGKILL, and is seen from every container that has the folder. Where another machine has it too, its drive must
have locks that all of them see, as for the lock of a run. A file says whose inbox it is about, because whoever has
brought back all claims there removes the files of the dead.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import filelock

from batch.errors import UsageError
from batch.nightly.claims import let_go_of_night
from batch.run.lock import PATIENCE_S, is_held

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_START, _END = ".night-", ".lock"


class NightLocks:
    """This night's lock, and those of others with the same report.dir."""

    def __init__(self, report_dir: Path) -> None:
        self._report_dir = report_dir
        self.token = secrets.token_hex(4)

    @contextmanager
    def held(self, inbox: str) -> Iterator[None]:
        """Hold this night's lock as long as the block lasts; then its file is removed, unless claims may be left.

        Raises:
            UsageError: report.dir cannot be written, or lies where nothing can be locked.
        """
        path = self._path(self.token)
        lock = filelock.FileLock(path, fallback_to_soft=False)
        try:
            self._report_dir.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=PATIENCE_S)
            path.write_text(inbox, "utf-8", errors="surrogateescape")
        except (filelock.Timeout, OSError) as error:
            _remove(path)
            lock.release()
            why = error.strerror or type(error).__name__
            what = f"cannot be written or locked ({why}), so no file is taken; mend that, or choose another report.dir"
            raise UsageError(f"{self._report_dir}: {what}") from error
        try:
            yield
        finally:
            if not let_go_of_night(self.token):
                _remove(path)
            lock.release()

    def is_over(self, token: str) -> bool | None:
        """Return whether a night has ended or died; None where no lock tells."""
        held = is_held(self._path(token))
        return None if held is None else not held

    def ended(self, inbox: str) -> list[str]:
        """Return the nights of an inbox that are over and whose files are still there."""
        paths = sorted(self._report_dir.glob(f"{_START}*{_END}"))
        tokens = [path.name.removeprefix(_START).removesuffix(_END) for path in paths if _inbox_of(path) in {"", inbox}]
        return [token for token in tokens if self.is_over(token)]

    def forget(self, tokens: Collection[str]) -> None:
        """Remove the files of nights that are over. One whose lock somebody is about to take stays."""
        for token in tokens:
            lock = filelock.FileLock(self._path(token), fallback_to_soft=False)
            with suppress(filelock.Timeout, OSError), lock.acquire(timeout=0):
                _remove(self._path(token))

    def _path(self, token: str) -> Path:
        return self._report_dir / f"{_START}{token}{_END}"


def _inbox_of(path: Path) -> str | None:
    """Return the inbox that a night is about: nothing where it died before it wrote that, None where it is unknown."""
    try:
        return path.read_text("utf-8", errors="surrogateescape")
    except OSError:
        return None


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
