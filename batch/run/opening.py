"""Open a run: a new one, or one that was begun before; hold its lock.

Owns where runs lie, how they are named, and what a command line may say instead of the config.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import socket
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batch import __version__
from batch.config import Rate, Settings, parse_rate
from batch.errors import ConfigError, Interrupted, UsageError
from batch.ledger.sqlite import LEDGER_NAME, NewRun, SqliteLedger, create_ledger, made_folder, open_ledger
from batch.model import State
from batch.report.reconcile import REPORT_FILES
from batch.run.inputs import Source, shown
from batch.run.kept_config import KeptConfig
from batch.run.lock import LOCK_NAME, locked, user_name
from batch.run.run_log import LOG_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NO_PLAN = (
    "{folder}: this run has no plan yet, and nothing was sent; "
    "`enroll-batch resume {folder}` plans it, where nobody is doing that"
)
"""What is said where a run is asked for what only a plan can tell."""

INBOX_NOTE = ".inbox-"
"""How the files begin that say which file of an inbox belongs to a run (`put_aside`)."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a command line says instead of the config; None says nothing. Kept in the ledger for a resume."""

    rate: str | None = None
    concurrency: int | None = None
    canary: int | None = None
    until: str | None = None
    """HH:MM, of one invocation: a resume is not bound by it."""
    asked_at: int | None = None
    """When that was asked for, in nanoseconds since 1970: `until` is the next such time after it."""
    limit: int | None = None
    """At most so many requests, of one invocation too."""

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
        return Overrides(
            self.rate or earlier.rate,
            self.concurrency or earlier.concurrency,
            canary,
            self.until,
            self.asked_at,
            self.limit,
        )


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run whose ledger is open and whose lock is held."""

    folder: Path
    ledger: SqliteLedger
    settings: Settings
    overrides: Overrides
    keeps_overrides: bool = True
    """Whether they are a person's word, which holds for whoever goes on."""

    def discard(self) -> None:
        """Remove a run that came to nothing before anything was sent."""
        self.ledger.close()
        own = (LEDGER_NAME, f"{LEDGER_NAME}-wal", f"{LEDGER_NAME}-shm", LOCK_NAME, LOG_NAME, "sandbox.sqlite")
        for name in (*own, *(REPORT_FILES if self._has_report() else ())):
            (self.folder / name).unlink(missing_ok=True)
        for note in self.folder.glob(f"{INBOX_NOTE}*"):
            note.unlink(missing_ok=True)
        with suppress(OSError):  # whatever else lies there is not ours to remove
            self.folder.rmdir()

    def keep_overrides(self) -> None:
        """Let what the command line says hold for whoever goes on, now that the API is called by its word."""
        if self.keeps_overrides:
            self.ledger.update_run(overrides=json.dumps(asdict(self.overrides)))

    def _has_report(self) -> bool:
        """Whether the report's files in the folder are this run's; else they are a person's, who gave the folder."""
        try:
            summary = json.loads((self.folder / "summary.json").read_text("utf-8"))
            return bool(summary["run_id"] == self.folder.name)
        except (OSError, ValueError, TypeError, KeyError):
            return False


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
def new_run(
    config: Path,
    settings: Settings,
    overrides: Overrides,
    *,
    name: str,
    command: str,
    run_dir: Path | None = None,
    inputs: Sequence[Source] = (),
    parent: Path | None = None,
    rerun: str | None = None,
) -> Iterator[OpenRun]:
    """Make the folder and the ledger of a new run, and hold its lock.

    `name` becomes part of the folder's name unless `run_dir` is given. `inputs` are the files that it is planned from,
    kept from the first moment, so that planning can begin anew after a death. `parent` is the run that it goes on from,
    and `rerun` what was asked of it, for the same reason. The text that is kept of the config is the one that the
    settings were made from: the file may have been changed since.

    Raises:
        UsageError: the folder holds a ledger, or cannot be written or locked.
        RunLocked: another process is just making a run there.
        Interrupted: a signal came while nothing was out.
    """
    folder = made_folder(run_dir.absolute()) if run_dir else _new_folder(Path(settings.report.dir).absolute(), name)
    run = NewRun(
        run_id=folder.name,
        program_version=__version__,
        user=user_name(),
        host=socket.gethostname(),
        command=command,
        config_path=str(spelled(config)),
        config_text=settings.origin.text,
        working_dir=str(settings.origin.working_dir),
        overrides=json.dumps(asdict(overrides)),
        base_url=settings.api.base_url,
        campaign=campaign_text(settings),
        parent=str(parent) if parent else None,
        rerun=rerun,
        inputs=json.dumps([(shown(source), None) for source in inputs]),
        created_at=time.time_ns(),
    )
    with locked(folder):  # before there is anything that another process could go on with
        with _leaving_nothing(folder):
            ledger = create_ledger(folder, run)
        with ledger, _interruptible(folder, ledger):
            yield OpenRun(folder, ledger, settings, overrides)


@contextmanager
def _leaving_nothing(folder: Path) -> Iterator[None]:
    """Remove the lock and the folder of a run that could not be made."""
    try:
        yield
    except BaseException:
        if not (folder / LEDGER_NAME).exists():
            (folder / LOCK_NAME).unlink(missing_ok=True)
            with suppress(OSError):  # whatever else lies there is not ours to remove
                folder.rmdir()
        raise


@contextmanager
def existing_run(folder: Path, overrides: Overrides) -> Iterator[OpenRun]:
    """Open a run that was planned before, with the config that its ledger keeps, and hold its lock.

    Raises:
        UsageError, ConfigError: the run cannot be opened by this program, a secret is gone, or its API is another now.
        RunLocked: another process holds it.
        Interrupted: a signal came while nothing was out.
    """
    with _held(folder) as ledger:
        if ledger.state is State.PLANNING:
            raise UsageError(NO_PLAN.format(folder=folder))
        yield _open_run(folder, ledger, overrides, with_secrets=True)


@contextmanager
def unfinished_run(folder: Path, overrides: Overrides) -> Iterator[OpenRun]:
    """Open a run to go on with it; what the command line says holds instead of the config, and is kept once it is used.

    One that has sent everything and died over its report counts as unfinished. It needs secrets only to tell of it.

    Raises:
        UsageError: the run is finished. And as `existing_run`.
    """
    with _held(folder) as ledger:
        ((state, exit_code),) = ledger.read("SELECT state, exit_code FROM run")
        is_finished = State(state) is State.FINISHED
        if is_finished and exit_code is not None:
            raise UsageError(
                f"{folder}: this run is finished; `enroll-batch rerun {folder}` sends again what is still open in it, "
                f"`enroll-batch report {folder}` writes its report again"
            )
        try:
            run = _open_run(folder, ledger, overrides, with_secrets=True)
        except ConfigError:
            if not is_finished:
                raise
            run = _open_run(folder, ledger, overrides, with_secrets=False)
        yield run


@contextmanager
def _held(folder: Path) -> Iterator[SqliteLedger]:
    with open_ledger(folder) as ledger, locked(folder), _interruptible(folder, ledger):
        yield ledger


def _open_run(folder: Path, ledger: SqliteLedger, overrides: Overrides, *, with_secrets: bool) -> OpenRun:
    ((config_path, text, working_dir, earlier, base_url),) = ledger.read(
        "SELECT config_path, config_text, working_dir, overrides, base_url FROM run"
    )
    settings = KeptConfig(Path(config_path), text, Path(working_dir), base_url).load(with_secrets=with_secrets)
    return OpenRun(folder.absolute(), ledger, settings, overrides.over(Overrides(**json.loads(earlier))))


@contextmanager
def _interruptible(folder: Path, ledger: SqliteLedger) -> Iterator[None]:
    """Say how to go on where a signal comes while nothing is out; while sending it drains instead.

    Raises:
        Interrupted: it came.
    """
    try:
        yield
    except KeyboardInterrupt:
        finished = ledger.state is State.FINISHED
        how = f"report {folder}` writes its report" if finished else f"resume {folder}` goes on"
        raise Interrupted(f"stopped by a signal; nothing is lost: `enroll-batch {how}") from None


def spelled(config: Path) -> Path:
    """Return the spelling of a config's path by which its runs are known: absolute, with links as they are."""
    return Path(os.path.normpath(config.absolute()))


def campaign_text(settings: Settings) -> str:
    """Return what makes two runs of one file the same: campaign and scope, as JSON."""
    parts = {"campaign": settings.campaign.model_dump(mode="json"), "scope": settings.scope.model_dump(mode="json")}
    return json.dumps(parts, sort_keys=True)


def _new_folder(report_dir: Path, stem: str) -> Path:
    """Make a folder that was not there before, also when two runs begin in the same second."""
    now = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"{now}-{re.sub(r'[^A-Za-z0-9._-]+', '_', stem)[:60]}"
    made_folder(report_dir)
    folder, number = report_dir / name, 1
    while True:
        try:
            return made_folder(folder, exist_ok=False)
        except FileExistsError:
            number += 1
            folder = report_dir / f"{name}-{number}"
