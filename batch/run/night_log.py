"""The nights' log: what each night of a report folder did, also one that has left no run behind.

Owns `nightly.log` in report.dir. What is told of a file there may be told to anybody: it quotes no cell.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import secrets
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from batch.run.night_words import verdict_of
from batch.run.opening import spelled
from batch.run.run_log import append_to, stamped

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from batch.nightly.notify import Delivery
    from batch.run.nightly import Night

LOG_NAME = "nightly.log"
NIGHT_TIME = "%Y%m%dT%H%M%SZ"
"""When a night began, in UTC, is the first part of its name; behind it is a hyphen."""
TAIL_BYTES = 4 * 2**20
"""Source: our choice: a night of some ten thousand files."""


class NightLog:
    """Appends what happens in one night of one config, as it happens. A log that cannot be written stops nothing."""

    def __init__(self, report_dir: Path, config: Path) -> None:
        self._path = report_dir / LOG_NAME
        self._config = str(spelled(config))
        self.night = f"{dt.datetime.fromtimestamp(time.time(), dt.UTC):{NIGHT_TIME}}-{secrets.token_hex(4)}"
        self._ended_count = 0
        self._waiting_count = 0

    def begin(self) -> None:
        """Note that the night begins, and where."""
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        _end_last_line(self._path)
        self.write("begin", "the night begins", host=socket.gethostname(), pid=os.getpid())

    def write(self, event: str, text: str, **facts: object) -> None:
        """Append one event; `facts` are fields of their own."""
        at = stamped(time.time_ns())
        safe = text.encode(errors="backslashreplace").decode()
        own = {"at": at, "night": self.night, "config": self._config, "event": event, "text": safe}
        append_to(self._path, [{**own, **facts}])

    def catch_up(self, night: Night) -> None:
        """Append what of a night has ended, and what it has left alone, since this was asked last."""
        for each in night.ended[self._ended_count :]:
            run = each.folder.name if each.folder else None
            self.write(
                "file", verdict_of(each), name=each.name, exit_code=each.exit_code, run=run, place=each.place,
                report=each.report,
            )  # fmt: skip
        for line in night.waiting[self._waiting_count :]:
            self.write("waits", line)
        self._ended_count, self._waiting_count = len(night.ended), len(night.waiting)

    def deliveries(self, told: Iterable[Delivery]) -> None:
        """Append who was told, and who was not."""
        for each in told:
            self.write("notify", each.text, attempts=each.attempts, arrived=each.fault is None)

    def end(self, exit_code: int, text: str) -> None:
        """Note how the night ended."""
        self.write("end", text, exit_code=exit_code)


def last_entries(report_dir: Path) -> list[dict[str, Any]]:
    """Return what stands at the end of the nights' log, in order; what cannot be read is left out."""
    found = []
    with suppress(OSError), (report_dir / LOG_NAME).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        for line in file.read(TAIL_BYTES).split(b"\n"):
            with suppress(ValueError, RecursionError):
                entry = json.loads(line)
                if isinstance(entry, dict):
                    found.append(entry)
    return found


def _end_last_line(path: Path) -> None:
    """End a line that a night had half written when it died, so that it does not spoil the next one."""
    with suppress(OSError), path.open("a+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
