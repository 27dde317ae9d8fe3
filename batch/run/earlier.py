"""Look at other runs, read-only: whether this file was sent before, and which runs belong to one story."""

from __future__ import annotations

import contextlib
import json
import shlex
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from batch.errors import InputRefused, LedgerFailed, RunLocked, UsageError
from batch.ledger.looking import connect_to_read
from batch.ledger.sqlite import LEDGER_NAME
from batch.model import State
from batch.report.reconcile import OUTCOME_FILES
from batch.run.lock import is_locked
from batch.run.opening import campaign_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from batch.run.inputs import InputFile
    from batch.run.opening import OpenRun


_REPORTS = frozenset({*OUTCOME_FILES, "reconciliation.xlsx", "annotated.xlsx"})
"""The files of a run that hold requests or rows of its upload."""


_PATIENCE_S = 60.0
"""Source: our choice; whoever decides looks into each ledger of a folder, which takes milliseconds for each."""


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """A run that has begun to send the same file for the same campaign."""

    folder: Path
    state: State


class SentBefore(InputRefused):
    """A file that another run has begun to send."""

    def __init__(self, text: str, run: EarlierRun) -> None:
        super().__init__(text, told=text)
        self.run = run


class BeingSent(InputRefused):
    """A file that another process is about to send."""


def ledgers_in(report_dir: Path) -> list[Path]:
    """Return the folders of all runs in a folder, oldest first.

    Raises:
        UsageError: it cannot be read.
    """
    if not report_dir.is_dir():
        return []
    try:
        return [folder for folder in sorted(report_dir.iterdir()) if (folder / LEDGER_NAME).is_file()]
    except OSError as error:
        raise UsageError(f"{report_dir}: cannot be read ({error.strerror}); check its permissions") from error


def earlier_run(
    report_dir: Path, base_url: str, campaign: str, digests: Collection[str], this: Path | None = None
) -> EarlierRun | None:
    """Return the run that has begun to send one of these files, an unfinished one before a finished one.

    One that has looked customers up counts, because it goes on from there. Runs against the embedded API and mere plans
    do not, nor does a damaged ledger, nor the run in the folder `this`.

    Raises:
        UsageError: a ledger is there that cannot be read for the moment, or not by this user.
    """
    if base_url == "sandbox":
        return None
    marks = ", ".join("?" * len(digests))
    found: EarlierRun | None = None
    begun = f"""
        SELECT state FROM run WHERE base_url = ? AND campaign = ? AND (
            started_at IS NOT NULL AND EXISTS (SELECT 1 FROM input WHERE sha256 IN ({marks}))
            OR started_at IS NULL AND state = 'planning' AND command IN ('run', 'nightly')
            AND coalesce(stop_reason, '') <> 'input'
            AND EXISTS (SELECT 1 FROM lookup WHERE customer IS NOT NULL OR outcome IS NOT NULL)
            AND EXISTS (SELECT 1 FROM json_each(inputs) WHERE json_extract(value, '$[1]') IN ({marks})))
    """
    for folder in ledgers_in(report_dir):
        if folder == this:
            continue
        try:
            rows = _answers(folder, begun, base_url, campaign, *digests, *digests)
        except sqlite3.OperationalError as error:
            if "no such" in str(error):  # of another version
                continue
            raise UsageError(
                f"{folder}: its ledger cannot be read ({error}), so whether this file was sent before is not known; "
                "see to it that it can, or move the folder away"
            ) from error
        except (sqlite3.Error, LedgerFailed):
            continue
        for (state,) in rows:
            if State(state) is not State.FINISHED:
                return EarlierRun(folder, State(state))
            found = EarlierRun(folder, State.FINISHED)
    return found


def refuse_if_sent_before(run: OpenRun, inputs: Collection[InputFile]) -> None:
    """Refuse files that another run, in report.dir or beside this one, has begun to send for the same campaign.

    Raises:
        InputRefused: with the name of that run, and what to do instead.
    """
    base_url = run.settings.api.base_url
    for file in inputs:
        if base_url != "sandbox" and (holder := _unfinished_run_of(file.path, base_url, run.folder)):
            raise InputRefused(
                f"{file.shown} is the report of a run that is not finished, and may still send these rows: go on with "
                f"`enroll-batch resume {shlex.quote(str(holder))}`, or add --again to send them all the same"
            )
    _refuse_known(run, [(file.shown, file.sha256) for file in inputs])


def refuse_if_sent_since(run: OpenRun) -> None:
    """Refuse a plan that was never sent, when another run has begun to send one of its files since.

    Raises:
        InputRefused: with the name of that run, and what to do instead. RunLocked: as `_deciding`.
    """
    ((text, parent, started_at),) = run.ledger.read("SELECT inputs, parent, started_at FROM run")
    if parent is None and started_at is None:
        _refuse_known(run, json.loads(text))


def _refuse_known(run: OpenRun, inputs: Sequence[tuple[str, str]]) -> None:
    """Refuse files, each with its digest, that another run has begun to send or is about to.

    One process at a time says what it is about to send and looks what others are: so of two in the same moment one
    goes on.
    """
    base_url, campaign = run.settings.api.base_url, campaign_text(run.settings)
    if base_url == "sandbox":
        return
    report_dir = Path(run.settings.report.dir).absolute()
    with _deciding(report_dir):
        run.ledger.update_run(inputs=json.dumps(inputs), command=_sender(run))
        for place in sorted({report_dir, run.folder.parent}):
            for name, sha256 in inputs:
                found = earlier_run(place, base_url, campaign, [sha256], run.folder)
                if found is not None:
                    raise SentBefore(_sent_before(found, f"{name}: " if len(inputs) > 1 else ""), found)
            _refuse_rivals(run, place, base_url, campaign, {sha256 for _, sha256 in inputs})


def _sender(run: OpenRun) -> str:
    """Return by which command a run sends: a plan that is resumed is a run like any other."""
    ((command,),) = run.ledger.read("SELECT command FROM run")
    return "run" if command == "plan" else str(command)


def _refuse_rivals(run: OpenRun, place: Path, base_url: str, campaign: str, digests: Collection[str]) -> None:
    rivals = (
        "SELECT 1 FROM run WHERE base_url = ? AND campaign = ? AND command IN ('run', 'nightly')"
        " AND EXISTS (SELECT 1 FROM json_each(inputs)"
        f" WHERE json_extract(value, '$[1]') IN ({', '.join('?' * len(digests))}))"
    )
    for folder in ledgers_in(place):
        if folder != run.folder and is_locked(folder) and _ask(folder, rivals, base_url, campaign, *digests):
            raise BeingSent(
                f"this file is held by a run that has just begun, {folder}; wait for it, or add --again to send it "
                "once more"
            )


@contextlib.contextmanager
def _deciding(report_dir: Path) -> Iterator[None]:
    """Let one process at a time decide whether it may send a file.

    Raises:
        RunLocked: another one is at it and does not come to its end. UsageError: the folder cannot be written.
    """
    try:
        report_dir.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(report_dir / ".deciding.lock", fallback_to_soft=False)
        lock.acquire(timeout=_PATIENCE_S)
    except filelock.Timeout as error:
        raise RunLocked(f"{report_dir}: another process has been beginning a run for long; try again later") from error
    except OSError as error:
        raise UsageError(f"{report_dir}: cannot be written ({error.strerror}); choose another report.dir") from error
    try:
        yield
    finally:
        lock.release()


def refuse_if_run_again(earlier: Path, places: Collection[Path], *, again: bool) -> None:
    """Refuse to run a run again that was run again before, by a re-run in one of these folders.

    `again`: a finished re-run is no hindrance; one that still sends what was open always is. Those against the
    embedded API count only as long as they send.

    Raises:
        InputRefused: with the name of that re-run.
    """
    question = "SELECT state, base_url FROM run WHERE parent = ? AND started_at IS NOT NULL"
    for folder in (each for place in sorted(places) for each in ledgers_in(place)):
        for state, base_url in _ask(folder, question, str(earlier)):
            if State(state) is not State.FINISHED:
                raise InputRefused(
                    f"{earlier}: is being run again by a run that is not finished: go on with "
                    f"`enroll-batch resume {shlex.quote(str(folder))}`"
                )
            if not again and base_url != "sandbox":
                raise InputRefused(
                    f"{earlier}: was run again before, by {folder}; `enroll-batch rerun {shlex.quote(str(folder))}` "
                    "sends what is still open, or add --again to send once more what that one has settled"
                )


def _sent_before(found: EarlierRun, name: str) -> str:
    if found.state is State.FINISHED:
        return (
            f"{name}this file was sent before, by {found.folder}; see its report, or add --again to send it once more"
        )
    return (
        f"{name}this file is held by an unfinished run: go on with "
        f"`enroll-batch resume {shlex.quote(str(found.folder))}`, or add --again to start over"
    )


def _unfinished_run_of(report_file: Path, base_url: str, this: Path) -> Path | None:
    """Return the folder of the unfinished run that has written a file about what it has sent and what is open."""
    folder = report_file.absolute().parent
    if report_file.name not in _REPORTS or folder == this or not (folder / LEDGER_NAME).is_file():
        return None
    unfinished = (  # one that was refused for its rows can never send
        "SELECT 1 FROM run WHERE base_url = ? AND state <> 'finished' AND coalesce(stop_reason, '') <> 'input'"
    )
    return folder if _ask(folder, unfinished, base_url) else None


def chain_of(folder: Path) -> list[Path]:
    """Return the folders of the runs that this run goes on from, oldest first, itself last.

    A run goes on from another by `rerun`, or because its upload is a report file in that run's folder.
    """
    chain = [folder.resolve()]
    while parent := _parent_of(chain[0]):
        if parent in chain:
            break
        chain.insert(0, parent)
    return chain


def _parent_of(folder: Path) -> Path | None:
    parents = [Path(parent) for (parent,) in _ask(folder, "SELECT parent FROM run WHERE parent IS NOT NULL")]
    parents = parents or [Path(path).parent for (path,) in _ask(folder, "SELECT path FROM input ORDER BY input_no")]
    return next((parent.resolve() for parent in parents if (parent / LEDGER_NAME).is_file()), None)


def _ask(folder: Path, sql: str, *values: object) -> list[tuple[str, ...]]:
    """Ask a ledger, read-only; one that cannot be read says nothing."""
    try:
        return _answers(folder, sql, *values)
    except (sqlite3.Error, LedgerFailed):
        return []


def _answers(folder: Path, sql: str, *values: object) -> list[tuple[str, ...]]:
    with contextlib.closing(connect_to_read(folder / LEDGER_NAME)) as connection:
        return connection.execute(sql, values).fetchall()
