"""Runs `enroll-batch` again and again in forks of one warm process, and ends each at the write that it is told.

One JSON object a line on stdin says what to run: `argv`, `folder`, and where to die: `write` (the how many-th write of
the ledger, or null) and `moment`: "before" (all of it is done but its commit) or "after" (it is on disk). One line on
stdout says how it ended. The product knows nothing of this: its one way to write is replaced in the fork.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from batch.commands import cli
from batch.ledger import planning, sqlite
from batch.report import folder
from batch.run import reporting, sending

WARM = (reporting, sending)
"""Imported here, so that no fork has to."""

DIED = 77
"""The exit code of a fork that ended where it was told to."""


def run(order: dict[str, Any]) -> None:
    """Be the command of an order; does not return."""
    os.chdir(order["folder"])
    with Path("said").open("wb") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    folder.write_page = no_page
    planning.BATCH_ROWS, planning.CHUNK_REQUESTS = 3, 4  # so that a small upload takes several writes and chunks
    if order["write"]:
        die_at(order["write"], order["moment"])
    sys.argv = ["enroll-batch", *order["argv"]]
    cli.main()


def no_page(*_: object) -> None:
    """Write no report.html: it takes longer than all the rest, and no account rests on it."""


def die_at(number: int, moment: str) -> None:
    """End this process at a write, as SIGKILL would: no block is left in order, no file is closed."""
    whole = sqlite.SqliteLedger.transaction
    writes = 0
    one = threading.Lock()

    @contextlib.contextmanager
    def transaction(self: sqlite.SqliteLedger) -> Iterator[Any]:
        nonlocal writes
        with one:
            writes += 1
            mine = writes
        with whole(self) as connection:
            yield connection
            if (mine, moment) == (number, "before"):
                os._exit(DIED)
        if (mine, moment) == (number, "after"):
            os._exit(DIED)

    sqlite.SqliteLedger.transaction = transaction  # type: ignore[method-assign]


if __name__ == "__main__":
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
