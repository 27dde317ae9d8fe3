"""Runs `enroll-batch` again and again in forks of one warm process, and ends some of them at a write that it is told.

`Forks` is the side of the tests; what it starts are processes as any other, that can be killed. It talks with the warm
process by JSON lines. A command to start: `argv`, `folder`, `environ`, `is_lean`, and where to die, `write` (the how
many-th write of the ledger, or null) and `moment`: "before" (all of it is done but its commit) or "after" (it is on
disk); its number comes back. Or the number of one to ask for, `pid`: its exit code comes back and the most memory that
it had, null while it runs. The product knows nothing of this: its one way to write is replaced in the fork.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import batch
from batch.commands import cli
from batch.ledger import planning, sqlite
from batch.report import folder

LAZY = ("anyio._backends._asyncio", "h11", "httpcore", "phonenumbers")
"""What libraries import at their first use."""

DIED = 77
"""The exit code of a fork that ended where it was told to."""


def warm_up() -> None:
    """Import all that commands import when they need it, so that no fork has to: it takes longer than all they do."""
    rooms = (each.name for each in pkgutil.walk_packages(batch.__path__, "batch."))
    for name in (*LAZY, *(room for room in rooms if not room.startswith(("batch.sandbox", "batch.__main__")))):
        importlib.import_module(name)


def run(order: dict[str, Any]) -> None:
    """Be the command of an order; does not return."""
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environ"])
    with Path("said").open("wb") as said, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    if order["is_lean"]:
        write_less()
        planning.BATCH_ROWS, planning.CHUNK_REQUESTS = 3, 4  # so that a small upload takes several writes and chunks
    if order["write"]:
        die_at(order["write"], order["moment"])
    sys.argv = ["enroll-batch", *order["argv"]]
    cli.main()


class NoBook:
    """Stands for reconciliation.xlsx."""

    def write(self, *_: object) -> None:
        pass

    write_rejected = finish = write


@contextlib.contextmanager
def no_book(*_: object) -> Iterator[NoBook]:
    yield NoBook()


def no_page(*_: object) -> None:
    pass


def write_less(patch: Callable[[object, str, object], None] = setattr) -> None:
    """Write neither page nor workbook: they take longer than all the rest, and no account rests on them."""
    patch(folder, "write_page", no_page)
    patch(folder, "reconciliation_book", no_book)


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


def serve() -> None:
    """Obey one line after the other."""
    warm_up()
    for line in sys.stdin:
        order = json.loads(line)
        answer: int | tuple[int, int] | None
        if "pid" in order:
            ended, status, used = os.wait4(order["pid"], os.WNOHANG)
            answer = (os.waitstatus_to_exitcode(status), used.ru_maxrss) if ended else None
        else:
            answer = os.fork()
            if answer == 0:
                run(order)
        print(json.dumps(answer), flush=True)


class Fork:
    """A command that was started. It can be killed as long as nobody has asked for its end."""

    def __init__(self, ask: Callable[..., Any], pid: int) -> None:
        self._ask = ask
        self._pid = pid
        self._code: int | None = None
        self.peak_kib: int | None = None
        """The most memory that it had, once its end is known; what it shares with the warm process is in it."""

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self._pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """Return the exit code as Popen has it, None as long as the command runs."""
        if self._code is None and (ended := self._ask(pid=self._pid)):
            self._code, self.peak_kib = ended
        return self._code

    def wait(self) -> int:
        """Return the exit code; gives up in the end."""
        until = time.monotonic() + 60
        while (code := self.poll()) is None:
            assert time.monotonic() < until, "this command does not end"
            time.sleep(0.002)
        return code


class Forks:
    """Starts commands in forks of a warm process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def _ask(self, **order: object) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(
        self, folder: Path, arguments: Iterable[object], *, is_lean: bool = False, write: int | None = None,
        moment: str = "",
    ) -> Fork:  # fmt: skip
        """Start a command in a folder; what it says goes into the file `said`. Died at a write, it ends with DIED.

        `is_lean`: without page and workbook, and in many small writes.
        """
        argv, environ = [*map(str, arguments)], dict(os.environ)
        pid: int = self._ask(
            argv=argv, folder=str(folder), environ=environ, is_lean=is_lean, write=write, moment=moment
        )
        return Fork(self._ask, pid)

    @contextlib.contextmanager
    def command(self, folder: Path, arguments: Iterable[object]) -> Iterator[Fork]:
        """Run a command that does not outlive the block."""
        fork = self.start(folder, arguments)
        try:
            yield fork
        finally:
            fork.kill()
            fork.wait()


@contextlib.contextmanager
def warm_process() -> Iterator[Forks]:
    """Give what starts commands, for as long as the block takes."""
    line, root = [sys.executable, "-m", "tests.crash.forks"], Path(__file__).parents[2]
    with subprocess.Popen(line, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Forks(process)


if __name__ == "__main__":
    serve()
