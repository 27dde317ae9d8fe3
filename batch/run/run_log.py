"""The run's log: one JSON object a line, for machines; no customer, no body and no secret is ever in it."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from batch.model import Event

LOG_NAME = "run.log"


class RunLog:
    """Appends events to run.log; `show` gets each as one line for people."""

    def __init__(self, folder: Path, show: Callable[[str], None] | None = None) -> None:
        self._path = folder / LOG_NAME
        self._run_id = folder.name
        self._show = show

    def write(self, events: Sequence[Event]) -> None:
        """Append events, in order. A log that cannot be written never stops a run: the ledger has them too."""
        if not events:
            return
        lines = []
        for event in events:
            at = dt.datetime.fromtimestamp(event.at // 1_000_000_000, dt.UTC).replace(tzinfo=None)
            stamp = f"{at.isoformat()}.{event.at // 1_000_000 % 1000:03}Z"
            lines.append(json.dumps({"at": stamp, "run": self._run_id, "event": event.kind, "text": event.text}))
            if self._show:
                self._show(f"{stamp[11:19]} {event.kind}: {event.text}")
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
        except OSError:
            return
