"""Open a run: a new one, or one that was begun before; hold its lock, know its settings.

Owns where runs lie, how they are named, and what a command line may say instead of the config.
"""

from __future__ import annotations

import datetime as dt
import getpass
import json
import os
import re
import socket
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from batch import __version__
from batch.config import Rate, Settings, load_settings, parse_rate, read_config
from batch.errors import Interrupted, RunLocked, UsageError
from batch.ledger.sqlite import LEDGER_NAME, NewRun, SqliteLedger, create_ledger, open_ledger
from batch.model import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LOCK_NAME = "lock"


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a command line says instead of the config; None says nothing. Kept in the ledger for a resume."""

    rate: str | None = None
    concurrency: int | None = None
    canary: int | None = None

    def canary_of(self, settings: Settings) -> int:
        """Return how many requests go first as a sample, 0 for none."""
        return settings.guard.canary if self.canary is None else self.canary

    def rate_of(self, settings: Settings) -> Rate | None:
        """Return the rate in force, None for no limit."""
        return parse_rate(self.rate) if self.rate else settings.pacing.rate

    def concurrency_of(self, settings: Settings) -> int:
        """Return how many workers send."""
        return self.concurrency or settings.pacing.concurrency

    def over(self, earlier: Overrides) -> Overrides:
        """Return these overrides, with the earlier ones where these say nothing."""
        canary = earlier.canary if self.canary is None else self.canary
        return Overrides(self.rate or earlier.rate, self.concurrency or earlier.concurrency, canary)


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run whose ledger is open and whose lock is held."""

    folder: Path
    ledger: SqliteLedger
    settings: Settings
    overrides: Overrides

    def discard(self) -> None:
        """Remove a run that came to nothing before anything was sent."""
        self.ledger.close()
        for name in (LEDGER_NAME, f"{LEDGER_NAME}-wal", f"{LEDGER_NAME}-shm", LOCK_NAME, "sandbox.sqlite"):
            (self.folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # whatever else lies there is not ours to remove
            self.folder.rmdir()


def find_run(name: str, report_dir: Path) -> Path:
    """Return the folder of the run that a person named by its folder or its id.

    Raises:
        UsageError: there is no such run.
    """
    for folder in (Path(name), report_dir / name):
        if (folder / LEDGER_NAME).is_file():
            return folder
    raise UsageError(f'no run "{name}": neither that folder nor {report_dir / name} holds a {LEDGER_NAME}')


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run's lock: one planner or sender at a time. It dies with its process.

    Raises:
        RunLocked: another process holds it.
    """
    lock = filelock.FileLock(folder / LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise RunLocked(f"{folder}: another process is working on this run; `status` shows which") from error
    with lock:
        yield


def is_locked(folder: Path) -> bool:
    """Return whether a living process holds the run's lock."""
    lock = filelock.FileLock(folder / LOCK_NAME)
    try:
        with lock.acquire(timeout=0):
            return False
    except filelock.Timeout:
        return True


@contextmanager
def new_run(
    config: Path,
    settings: Settings,
    overrides: Overrides,
    *,
    name: str,
    command: str,
    run_dir: Path | None = None,
    inputs: Sequence[Path] = (),
    parent: Path | None = None,
    config_text: str | None = None,
) -> Iterator[OpenRun]:
    """Make the folder and the ledger of a new run, and hold its lock.

    `name` becomes part of the folder's name unless `run_dir` is given. `inputs` are the files that it is planned from,
    kept from the first moment, so that planning can begin anew after a death. `parent` is the run that it goes on from.
    `config_text` stands for the config file where that is kept in a ledger.

    Raises:
        UsageError: the folder holds a ledger, or cannot be written.
        Interrupted: a signal came while nothing was out.
    """
    folder = run_dir.absolute() if run_dir else _free_folder(Path(settings.report.dir), name)
    run = NewRun(
        run_id=folder.name,
        program_version=__version__,
        user=_user(),
        host=socket.gethostname(),
        command=command,
        config_path=str(config.absolute()),
        config_text=read_config(config) if config_text is None else config_text,
        working_dir=str(Path.cwd()),
        overrides=json.dumps(asdict(overrides)),
        base_url=settings.api.base_url,
        campaign=campaign_text(settings),
        parent=str(parent) if parent else None,
        inputs=json.dumps([(str(path.absolute()), None) for path in inputs]),
        created_at=time.time_ns(),
    )
    ledger = create_ledger(folder, run)
    with ledger, locked(folder), _interruptible(folder, ledger):
        yield OpenRun(folder, ledger, settings, overrides)


@dataclass(frozen=True, slots=True)
class KeptConfig:
    """The config that a run keeps in its ledger, and where it was."""

    config_path: Path
    text: str
    working_dir: Path

    def load(self, *, with_secrets: bool = True) -> Settings:
        """Return the settings, with the secrets as they are now.

        Raises:
            ConfigError: a secret is gone, or this program does not know a key.
        """
        return load_settings(
            self.config_path,
            with_secrets=with_secrets,
            working_dir=self.working_dir,
            environ=os.environ,
            text=self.text,
        )


def settings_of(folder: Path) -> KeptConfig:
    """Return the config of a finished run.

    Raises:
        UsageError: the run is not finished; `resume` is for those.
    """
    with open_ledger(folder) as ledger:
        if ledger.state is not State.FINISHED:
            raise UsageError(f"{folder}: this run is not finished; `enroll-batch resume {folder}` goes on with it")
        return _kept_config(ledger)


def _kept_config(ledger: SqliteLedger) -> KeptConfig:
    ((config_path, text, working_dir),) = ledger.read("SELECT config_path, config_text, working_dir FROM run")
    return KeptConfig(Path(config_path), text, Path(working_dir))


@contextmanager
def existing_run(folder: Path, overrides: Overrides, *, with_secrets: bool) -> Iterator[OpenRun]:
    """Open a run that was begun before, with the config that its ledger keeps, and hold its lock.

    Raises:
        UsageError, ConfigError: the run cannot be opened by this program, or a secret is gone.
        RunLocked: another process holds it.
        Interrupted: a signal came while nothing was out.
    """
    with open_ledger(folder) as ledger, locked(folder), _interruptible(folder, ledger):
        ((earlier,),) = ledger.read("SELECT overrides FROM run")
        settings = _kept_config(ledger).load(with_secrets=with_secrets)
        yield OpenRun(folder.absolute(), ledger, settings, overrides.over(Overrides(**json.loads(earlier))))


@contextmanager
def _interruptible(folder: Path, ledger: SqliteLedger) -> Iterator[None]:
    """Say how to go on where a signal comes while nothing is out. (While sending, it drains; see `sending`.)

    Raises:
        Interrupted: it came.
    """
    try:
        yield
    except KeyboardInterrupt:
        finished = ledger.state is State.FINISHED
        how = f"report {folder}` writes its report" if finished else f"resume {folder}` goes on"
        raise Interrupted(f"stopped by a signal; nothing is lost: `enroll-batch {how}") from None


def campaign_text(settings: Settings) -> str:
    """Return what makes two runs of one file the same: campaign and scope, as JSON."""
    parts = {"campaign": settings.campaign.model_dump(mode="json"), "scope": settings.scope.model_dump(mode="json")}
    return json.dumps(parts, sort_keys=True)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for its user
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def _free_folder(report_dir: Path, stem: str) -> Path:
    now = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"{now}-{re.sub(r'[^A-Za-z0-9._-]+', '_', stem)[:60]}"
    folder, number = report_dir.absolute() / name, 1
    while folder.exists():
        number += 1
        folder = report_dir.absolute() / f"{name}-{number}"
    return folder
