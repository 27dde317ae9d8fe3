"""The form of run.log: what stands in a line, and in which order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from batch.model import Event
from batch.run.run_log import LOG_NAME, RunLog, line_of

if TYPE_CHECKING:
    from pathlib import Path

AT = 1_796_025_600_250_000_000


def lines(folder: Path) -> list[str]:
    return (folder / LOG_NAME).read_text("utf-8").splitlines()


def test_what_an_event_tells_stands_beside_its_text(tmp_path: Path) -> None:
    RunLog(tmp_path).write([Event(AT, "hold", "4.0 s: HTTP 429", {"held_s": 4.0, "reason": "HTTP 429"})])
    (line,) = lines(tmp_path)
    assert list(json.loads(line).items()) == [
        ("at", "2026-11-30T08:00:00.250Z"), ("run", tmp_path.name), ("event", "hold"), ("text", "4.0 s: HTTP 429"),
        ("held_s", 4.0), ("reason", "HTTP 429"),
    ]  # fmt: skip


def test_a_fact_never_stands_in_the_place_of_what_every_line_has(tmp_path: Path) -> None:
    own = {"at": 1, "run": "another", "event": "another", "text": "another"}
    RunLog(tmp_path).write([Event(AT, "hold", "4.0 s", {**own, "held_s": None})])
    (line,) = lines(tmp_path)
    assert json.loads(line) == {
        "at": "2026-11-30T08:00:00.250Z", "run": tmp_path.name, "event": "hold", "text": "4.0 s", "held_s": None,
    }  # fmt: skip


def test_whoever_watches_gets_each_event_in_order(tmp_path: Path) -> None:
    seen: list[Event] = []
    events = [Event(AT, "rate", "4.00/s: lowered"), Event(AT, "hold", "1.0 s: HTTP 503")]
    RunLog(tmp_path, seen.append).write(events)
    assert seen == events
    assert [line_of(event) for event in seen] == ["08:00:00 rate: 4.00/s: lowered", "08:00:00 hold: 1.0 s: HTTP 503"]
