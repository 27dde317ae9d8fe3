"""Step 5 of 5: the CSV files and summary.json.

Owns how a value is written into a CSV so that no spreadsheet program executes it and our reader gets it back, and
that a file appears whole or not at all. Does not know what the columns mean.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
from typing import IO, TYPE_CHECKING, Any

from batch.errors import EnrollBatchError
from batch.report.reconcile import FILE_OF, OUTCOME_FILES
from batch.report.tables import utc_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from batch.model import Outcome
    from batch.report.reconcile import Accounts
    from batch.report.tables import Value

GUARDED = frozenset("=+-@＝＋－＠\t\r'")
"""A text that begins with one of these would be executed, or be taken for one that we have guarded."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to; the file takes its place under `path` only when the block ends well.

    Raises:
        EnrollBatchError: the folder cannot be written or the disk is full.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        os.replace(partial, path)  # noqa: PTH105  # says what it does: the old file is replaced at once
    except OSError as error:
        raise EnrollBatchError(
            f"{path}: cannot be written ({error.strerror or error}); the ledger is safe: when there is room and "
            f"permission, write the report again with `enroll-batch report {path.parent}`"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def csv_text(value: Value) -> str:
    """Return a value as a CSV cell: null is empty, and no text is executed by a spreadsheet program."""
    if isinstance(value, str):
        return f"'{value}" if value[:1] in GUARDED else value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value)


def number_text(value: float) -> str:
    """Return a number as a person typed it: workbooks know no whole numbers, so 5.0 is 5."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


class CsvFile:
    """One open CSV file: UTF-8 with BOM, comma, CRLF."""

    def __init__(self, stream: IO[str], columns: Sequence[str]) -> None:
        self._writer = csv.writer(stream, lineterminator="\r\n")
        self.lines = 0
        self._writer.writerow([csv_text(column) for column in columns])

    def write(self, record: Iterable[Value]) -> None:
        """Write one line."""
        self._writer.writerow([csv_text(value) for value in record])
        self.lines += 1


@contextlib.contextmanager
def csv_file(path: Path, columns: Sequence[str]) -> Iterator[CsvFile]:
    """Open a CSV file that appears under `path` when the block ends well.

    Raises:
        EnrollBatchError: the folder cannot be written or the disk is full.
    """
    with (
        replacing(path) as partial,
        # A lone surrogate, which JSON can hold and UTF-8 cannot, must not cost the whole report.
        partial.open("w", encoding="utf-8-sig", errors="backslashreplace", newline="") as stream,
    ):
        yield CsvFile(stream, columns)


class OutcomeFiles:
    """The four outcome files of a run folder, written side by side in one pass. A context manager."""

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        self._folder = folder
        self._columns = columns
        self._stack = contextlib.ExitStack()
        self._files: dict[str, CsvFile] = {}

    def write(self, outcome: Outcome, record: Iterable[Value]) -> None:
        """Write a request's record into the file of its outcome."""
        self._files[FILE_OF[outcome]].write(record)

    @property
    def lines(self) -> dict[str, int]:
        """How many requests each file has got."""
        return {name: file.lines for name, file in self._files.items()}

    def __enter__(self) -> OutcomeFiles:
        with contextlib.ExitStack() as stack:
            for name in OUTCOME_FILES:
                self._files[name] = stack.enter_context(csv_file(self._folder / name, self._columns))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.__exit__(*exception)


def summary(accounts: Accounts) -> dict[str, object]:
    """Return summary.json as an object.

    `duration_s` is the time spent sending, without the pauses between invocations; `rate_per_s` is `attempts` over
    it. Source: DESIGN "A run's folder"; `stop_reason` and `identities` are ours, for those who ask why.
    """
    run, tallies = accounts.run, accounts.tallies
    return {
        "run_id": run.run_id,
        "state": run.state.value,
        "started_by": f"{run.user}@{run.host}",
        "input": [
            {
                "path": file.path,
                "sha256": file.sha256,
                "rows_read": file.rows_read,
                "rows_blank": file.rows_blank,
                "rows_with_problems": file.rows_with_problems,
                "rows_planned": file.rows_planned,
            }
            for file in accounts.inputs
        ],
        "requests": {
            "expanded": tallies.expanded,
            "duplicates": tallies.duplicates,
            "contradicted": tallies.contradicted,
            "unique": tallies.unique,
        },
        "outcomes": {outcome.value: count for outcome, count in tallies.outcomes.items()},
        "attempts": tallies.attempts,
        "retries": tallies.retries,
        "calls_saved": tallies.calls_saved,
        "look_ups": tallies.look_ups,
        "started_at": utc_text(run.started_at),
        "finished_at": utc_text(run.finished_at),
        "duration_s": accounts.duration_s,
        "rate_per_s": accounts.rate_per_s,
        "balanced": accounts.balanced,
        "exit_code": accounts.exit_code,
        "stop_reason": run.stop_reason,
        "identities": [
            {
                "name": identity.name,
                "formula": identity.formula,
                "left": identity.left,
                "right": identity.right,
                "holds": identity.holds,
            }
            for identity in accounts.identities
        ],
    }


def summary_text(accounts: Accounts) -> str:
    """Return summary.json as text."""
    return json.dumps(summary(accounts), indent=2, ensure_ascii=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file that appears whole or not at all.

    Raises:
        EnrollBatchError: the folder cannot be written or the disk is full.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
