"""Look at other runs, read-only: whether this file was sent before, and which runs belong to one story."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batch.errors import InputRefused
from batch.ledger.sqlite import LEDGER_NAME
from batch.model import State
from batch.run.opening import campaign_text
from batch.run.planning import _fingerprint

if TYPE_CHECKING:
    from collections.abc import Collection

    from batch.config import Settings


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """A run that has begun to send the same file for the same campaign."""

    folder: Path
    state: State


def ledgers_in(report_dir: Path) -> list[Path]:
    """Return the folders of all runs in a folder, oldest first."""
    if not report_dir.is_dir():
        return []
    return [folder for folder in sorted(report_dir.iterdir()) if (folder / LEDGER_NAME).is_file()]


def earlier_run(report_dir: Path, base_url: str, campaign: str, digests: Collection[str]) -> EarlierRun | None:
    """Return the run that has begun to send one of these files, an unfinished one before a finished one.

    Runs against the embedded API and mere plans do not count, nor does a ledger that cannot be read.
    """
    if base_url == "sandbox":
        return None
    marks = ", ".join("?" * len(digests))
    found: EarlierRun | None = None
    for folder in ledgers_in(report_dir):
        rows = _ask(
            folder,
            "SELECT state FROM run WHERE base_url = ? AND campaign = ? AND started_at IS NOT NULL"
            f" AND EXISTS (SELECT 1 FROM input WHERE sha256 IN ({marks}))",
            base_url,
            campaign,
            *digests,
        )
        for (state,) in rows:
            if State(state) is not State.FINISHED:
                return EarlierRun(folder, State(state))
            found = EarlierRun(folder, State.FINISHED)
    return found


def refuse_if_sent_before(settings: Settings, inputs: Collection[Path], report_dir: Path) -> None:
    """Refuse files that another run in `report_dir` has begun to send for the same campaign.

    Raises:
        InputRefused: with the name of that run, and what to do instead.
    """
    digests = {_fingerprint(path)[1] for path in inputs}
    found = earlier_run(report_dir, settings.api.base_url, campaign_text(settings), digests)
    if found is None:
        return
    if found.state is State.FINISHED:
        raise InputRefused(
            f"this file was sent before, by {found.folder}; see its report, or add --again to send it once more"
        )
    raise InputRefused(
        f"this file is held by an unfinished run: go on with `enroll-batch resume {found.folder}`, "
        "or add --again to start over"
    )


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


def _ask(folder: Path, sql: str, *values: str) -> list[tuple[str, ...]]:
    """Ask a ledger, read-only; one that cannot be read says nothing."""
    try:
        uri = f"{(folder / LEDGER_NAME).absolute().as_uri()}?mode=rw"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=5)) as connection:
            connection.execute("PRAGMA query_only = ON")  # opened for reading alone it would leave its -shm behind
            return connection.execute(sql, values).fetchall()
    except sqlite3.Error:
        return []
