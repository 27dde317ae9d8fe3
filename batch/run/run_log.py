"""Logs for machines: one JSON object a line; no customer, no body and no secret is ever in one.

Owns `run.log` in a run's folder, and the form that it shares with a night's log.
"""

from __future__ import annotations

import datetime as dt
import json
from contextlib import suppress
from typing import TYPE_CHECKING

from batch.report.words import event_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from batch.model import Event

    Show = Callable[[Event], None]
    """Gets each event as it happens; may be called from another thread."""

LOG_NAME = "run.log"


class RunLog:
    """Appends events to run.log; `show` gets each too."""

    def __init__(self, folder: Path, show: Show | None = None) -> None:
        self._path = folder / LOG_NAME
        self._run_id = folder.name
        self._show = show

    def write(self, events: Sequence[Event]) -> None:
        """Append events, in order. A log that cannot be written never stops a run: the ledger has them too."""
        entries = []
        for event in events:
            own = {"at": stamped(event.at), "run": self._run_id, "event": event.kind, "text": event.text}
            entries.append({**own, **event.facts, **own})  # own ones stand first, and no fact stands in their place
            if self._show:
                self._show(event)
        append_to(self._path, entries)


def line_of(event: Event) -> str:
    """Return an event as one line for people who watch; the time is in UTC."""
    return f"{stamped(event.at)[11:19]} {event.kind}: {event_words(event)}"


def stamped(at: int) -> str:
    """Return a time, in nanoseconds since 1970, as logs have it: ISO 8601 in UTC, to the millisecond."""
    seconds = dt.datetime.fromtimestamp(at // 1_000_000_000, dt.UTC).replace(tzinfo=None)
    return f"{seconds.isoformat()}.{at // 1_000_000 % 1000:03}Z"


def append_to(path: Path, entries: Iterable[Mapping[str, object]]) -> None:
    """Append a line for each entry. Where that cannot be, nothing happens."""
    lines = "".join(f"{json.dumps(entry)}\n" for entry in entries)
    if lines:
        with suppress(OSError), path.open("a", encoding="utf-8") as file:
            file.write(lines)
