"""How many requests of a config's runs are in doubt, all runs together; and which of its runs is the newest.

Looks at the newest ledgers of a folder, read-only. A doubt is over when a look at the API has ended it, or when a later
run has sent the request again.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from batch.errors import EnrollBatchError, LedgerFailed
from batch.ledger.looking import connect_to_read
from batch.ledger.reading import LedgerReader
from batch.ledger.sqlite import LEDGER_NAME
from batch.model import Outcome, State, StopReason
from batch.run.earlier import ledgers_in
from batch.run.lock import is_locked
from batch.run.opening import spelled

if TYPE_CHECKING:
    from collections.abc import Iterator

LEDGERS = 100
"""At most so many are looked at, the newest ones. Source: our choice: a quarter of a year of nights."""
_SURE = frozenset({0, 4})
"""Exit codes that say that nothing is in doubt: 5 goes before them."""
_UNREADABLE = (sqlite3.Error, LedgerFailed, OSError, ValueError, TypeError, KeyError)
"""What it raises to read a ledger that is damaged, gone by now, or of another version."""
_DOUBTS_GO_INTO = frozenset({"failed.csv", "reconciliation.xlsx"})
_QUESTION = """
SELECT config_path, state, stop_reason, exit_code, started_at, created_at, finished_at, parent, rerun, inputs FROM run
"""


@dataclass(frozen=True, slots=True)
class _Run:
    folder: Path
    config: Path
    exit_code: int | None
    at: int
    """When it ended, or began, in nanoseconds since 1970."""
    changed_at: int
    """When its ledger was, by the file system."""
    has_figures: bool
    takes_over: frozenset[Path]
    """The runs whose doubtful requests it has sent again."""


def newest_run(report_dir: Path, config: Path) -> Path | None:
    """Return the folder of the run of a config that has sent, or was refused, last."""
    runs = [run for run in _runs(report_dir) if run.config == spelled(config) and run.has_figures]
    return max(runs, key=lambda run: run.at).folder if runs else None


def in_doubt_beside(report_dir: Path, config: Path, this: Path) -> int:
    """Return how many requests are in doubt in the runs of a config, but for `this` and those that are at work now."""
    runs = list(_runs(report_dir))
    taken_over = frozenset[Path]().union(*(run.takes_over for run in runs))
    return sum(
        _in_doubt(run.folder, run.changed_at)
        for run in runs
        if run.config == spelled(config)
        and run.exit_code not in _SURE
        and run.folder != this.resolve()
        and run.folder not in taken_over
        and not is_locked(run.folder)
    )


def _runs(report_dir: Path) -> Iterator[_Run]:
    with contextlib.suppress(EnrollBatchError, OSError):
        folders = sorted(ledgers_in(report_dir), key=lambda folder: -(folder / LEDGER_NAME).stat().st_mtime_ns)
        for folder in folders[:LEDGERS]:
            with contextlib.suppress(*_UNREADABLE):
                yield _run(folder.resolve())


def _run(folder: Path) -> _Run:
    with contextlib.closing(connect_to_read(folder / LEDGER_NAME)) as connection:
        config, state, reason, exit_code, started_at, created_at, finished_at, parent, rerun, inputs = (
            connection.execute(_QUESTION).fetchone()
        )
    takes_over = set()
    if started_at is not None:
        uploads = (Path(path) for path, _ in json.loads(inputs))
        takes_over = {path.parent.resolve() for path in uploads if path.name in _DOUBTS_GO_INTO}
        if parent and rerun and Outcome.IN_DOUBT in json.loads(rerun)["outcomes"]:
            takes_over.add(Path(parent).resolve())
    was_refused = reason == StopReason.INPUT and state != State.PLANNING
    return _Run(
        folder=folder,
        config=Path(config),
        exit_code=exit_code,
        at=max(created_at, finished_at or 0),
        changed_at=(folder / LEDGER_NAME).stat().st_mtime_ns,
        has_figures=started_at is not None or was_refused,
        takes_over=frozenset(takes_over),
    )


@lru_cache(LEDGERS)
def _in_doubt(folder: Path, _changed_at: int) -> int:
    """Count once what does not change: it takes seconds where there are a million requests."""
    with contextlib.suppress(EnrollBatchError), LedgerReader(folder / LEDGER_NAME) as reader:
        return reader.tallies().outcomes[Outcome.IN_DOUBT]
    return 0
