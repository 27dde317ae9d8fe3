"""Step 2 of 5: how events are kept: what is shown of a run over time, each with its facts beside its text.

Owns the form of a row. Knows no kind of event, and not what its facts say.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from batch.model import Event

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable


def write_events(connection: sqlite3.Connection, events: Iterable[Event]) -> None:
    """Append events, in order."""
    connection.executemany(
        "INSERT INTO event (at, kind, text, facts) VALUES (?, ?, ?, ?)",
        [(e.at, e.kind, e.text, json.dumps(dict(e.facts), separators=(",", ":"))) for e in events],
    )


def read_events(rows: Callable[[str], Iterable[tuple[Any, ...]]]) -> tuple[Event, ...]:
    """Return all events, oldest first; `rows` asks a ledger.

    Raises:
        ValueError: the facts of an event are damaged.
    """
    found = rows("SELECT at, kind, text, facts FROM event ORDER BY event_no")
    return tuple(Event(at, kind, text, json.loads(facts)) for at, kind, text, facts in found)
