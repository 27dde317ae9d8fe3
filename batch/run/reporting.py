"""Third pass: the ledger becomes the files of the run's folder.

A function of the ledger, of the config that it keeps, and of the ledgers of earlier runs, which say who enrolled a
customer; so the files can be written again at any time.
"""

from __future__ import annotations

import json
import math
import os
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from batch.capillary.advice import ADVICE
from batch.errors import ConfigError, EnrollBatchError, RunLocked, UsageError
from batch.ledger.earlier_runs import EarlierLedgers
from batch.ledger.reading import LedgerReader
from batch.ledger.sqlite import LEDGER_NAME
from batch.model import State, StopReason
from batch.report.folder import write_report
from batch.report.masking import Mask
from batch.report.steps import next_steps
from batch.report.terminal import closing_table
from batch.report.words import stop_words, verdict
from batch.run.earlier import chain_of, ledgers_in
from batch.run.kept_config import KeptConfig
from batch.run.opening import NO_PLAN, Overrides
from batch.sending.pace_file import state_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch.config import Settings
    from batch.report.reconcile import Accounts

MASK_KEY = "mask.key"
"""The key of the masks, in the user's state folder: so a customer has the same mask in every report."""

_LOCK_NAME = ".report.lock"
_PATIENCE_S = 600
"""Source: our choice; the report of a million requests takes a minute or two."""

_LEAST_KEY = 16
"""Bytes; a file that another process is just making is empty."""


def report(folder: Path) -> Accounts:
    """Write the report files of a run again, and return its accounts.

    What stopped while customers were looked up is reported as it was read, with each customer as the upload has it.

    Raises:
        UsageError: there is no plan yet, and planning did not stop in its look-ups.
        LedgerFailed: the ledger is damaged or cannot be read; the files are left as they are.
        RunLocked: another process has been writing this report for a long time.
        EnrollBatchError: a file cannot be written.
    """
    with _alone(folder), LedgerReader(folder / LEDGER_NAME) as reader:
        reader.check_integrity()
        run = reader.run()
        if run.state is State.PLANNING and run.stop_reason in {None, StopReason.INPUT}:
            raise UsageError(NO_PLAN.format(folder=folder))
        path, text, working_dir, kept = reader.kept_config()
        overrides = Overrides(**json.loads(kept))
        settings = _settings(KeptConfig(Path(path), text, Path(working_dir)))
        # Whoever asked for masks does not get names because a variable of the config is gone today.
        mask = Mask(_mask_key()) if settings is None or settings.report.mask_customers else None
        paths = _earlier_ledgers(folder, run.base_url, settings)
        with EarlierLedgers(paths, run.base_url, before=run.finished_at) as earlier:
            return write_report(
                folder, reader, ADVICE, set_per_s=_set_per_s(settings, overrides), mask=mask, earlier=earlier
            )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait for another process that writes this report; so all files are of one moment, and none is half of each."""
    if not (folder / LEDGER_NAME).is_file():  # the reader says so
        yield
        return
    lock = filelock.FileLock(folder / _LOCK_NAME, fallback_to_soft=False)
    try:
        lock.acquire(timeout=_PATIENCE_S)
    except filelock.Timeout as error:
        raise RunLocked(
            f"{folder}: another process is writing this report; write it again when that is done"
        ) from error
    except OSError as error:
        raise EnrollBatchError(
            f"{folder}: cannot be written ({error.strerror}); copy the folder to where it can be, and report there"
        ) from error
    try:
        yield
    finally:
        lock.release()


def closing_lines(folder: Path, accounts: Accounts) -> list[str]:
    """Return what a person is told at the end of a run: accounts, outcomes with advice, files, next steps."""
    return closing_table(accounts, folder, ADVICE)


def stop_lines(folder: Path, accounts: Accounts) -> list[str]:
    """Return in a few sentences how a run stands that did not end well, and how to go on with it."""
    run = accounts.run
    told = [f"{folder}: {verdict(accounts)}", *([f"{stop_words(run.stop_text)}."] if run.stop_text else [])]
    return told + [f"{step.text} {step.command or ''}".strip() for step in next_steps(accounts, folder)[:1]]


def _settings(kept: KeptConfig) -> Settings | None:
    """Return the settings of the run; None where its config cannot be understood here and now."""
    with suppress(ConfigError):
        return kept.load(with_secrets=False)
    return None


def _set_per_s(settings: Settings | None, overrides: Overrides) -> float | None:
    """Return the rate that was set, infinite for no limit, None where it is not known."""
    if settings is None:
        return None
    with suppress(UsageError):
        rate = overrides.rate_of(settings)
        return rate.max_starts * 1e9 / rate.window_ns if rate else math.inf
    return None


def _earlier_ledgers(folder: Path, base_url: str, settings: Settings | None) -> list[Path]:
    """Return the ledgers that may know who enrolled a customer: beside this run, and those that it goes on from.

    Each run against the embedded API has one of its own, which only those know that go on from it.
    """
    this = folder.resolve()
    folders = {each.resolve() for each in chain_of(folder)}
    if base_url != "sandbox":
        beside = {this.parent, settings.report.dir} if settings else {this.parent}
        folders |= {each.resolve() for place in beside for each in ledgers_in(Path(place))}
    return [each / LEDGER_NAME for each in sorted(folders - {this})]


def _mask_key() -> bytes:
    """Return the key of the masks; the first report that needs one makes it.

    Raises:
        EnrollBatchError: the state folder cannot be read or written.
    """
    path = state_folder(os.environ) / MASK_KEY
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
        key = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError) as error:
        raise EnrollBatchError(
            f"{path}: the key that masks customer ids cannot be read or made ({error}); set ENROLL_BATCH_STATE to a "
            f"folder that can be written, then write the report again"
        ) from error
    if len(key) < _LEAST_KEY:
        raise EnrollBatchError(f"{path}: the key that masks customer ids is too short; remove the file")
    return key
