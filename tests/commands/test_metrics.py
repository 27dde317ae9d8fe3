"""The figures of a run stand in the metrics file, while it sends and when it has ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from batch.model import Event, Outcome
from batch.nightly.metrics import Figures, write_metrics
from batch.run.measuring import throttled_s
from tests.commands.conftest import Desk, Factory, customers
from tests.nightly.test_metrics import read

if TYPE_CHECKING:
    import pytest

TEN = customers(range(345651201, 345651211))
METRICS = {"textfile": "metrics/batch.prom"}
S = 10**9


def figures(desk: Desk) -> dict[tuple[str, ...], float]:
    return read((desk.folder / "metrics" / "batch.prom").read_text("utf-8"))


def test_a_finished_run_is_counted(desk: Desk, sandbox: Factory) -> None:
    upload = "customer_id,Name\n345651201,Wilhelmina\n,\n345651299,Wilhelmina\nx,Wilhelmina\n"
    assert desk.run(sandbox(), upload, metrics=METRICS).code == 4
    found = figures(desk)
    assert [found["rows", name] for name in ("blank", "with_problems", "planned")] == [1, 1, 2]
    summary = desk.summary()
    for outcome in Outcome:
        assert found["requests", outcome] == summary["outcomes"][outcome]
    assert found["attempts",] == summary["attempts"]
    assert (found["running",], found["in_flight",], found["last_exit_code",]) == (0, 0, 4)
    assert found["last_success_timestamp_seconds",] >= found["last_run_timestamp_seconds",]
    text = (desk.folder / "metrics" / "batch.prom").read_text("utf-8")
    assert "345651" not in text
    assert "Wilhelmina" not in text


def test_a_run_that_stops_keeps_the_time_of_the_last_success(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    assert desk.run(api, TEN, metrics=METRICS).code == 0
    good = figures(desk)["last_success_timestamp_seconds",]
    config = desk.folder / "config.yaml"
    said = desk("run", desk.upload(TEN), "-c", config, "--yes", "--again", "--limit", 3, "--run-dir", "again")
    assert said.code == 7
    found = figures(desk)
    assert (found["last_success_timestamp_seconds",], found["last_exit_code",]) == (good, 7)
    assert found["requests", "not_sent"] == 17
    assert desk("resume", "again", "--yes").code == 0
    assert figures(desk)["last_success_timestamp_seconds",] > good


def test_while_it_sends_every_request_is_in_one_outcome(
    desk: Desk, sandbox: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Figures] = []

    def kept(path: Path, found: Figures) -> None:
        seen.append(found)
        write_metrics(path, found)

    monkeypatch.setattr("batch.run.measuring.write_metrics", kept)
    monkeypatch.setattr("batch.run.measuring.EVERY_S", 0)
    monkeypatch.setattr("batch.run.measuring._LOOK_S", 0.01)
    assert desk.run(sandbox(latency_ms=50), TEN, "-q", metrics=METRICS, pacing={"concurrency": 2}).code == 0
    live = [found for found in seen if found.exit_code is None]
    assert any(found.in_flight for found in live)
    assert any(0 < found.outcomes[Outcome.ENROLLED] < 20 for found in live)
    assert {sum(found.outcomes.values()) for found in seen} == {20}
    assert seen[-1].exit_code == 0


def test_a_file_that_cannot_be_written_changes_nothing_and_is_noted(desk: Desk, sandbox: Factory) -> None:
    (desk.folder / "metrics").write_text("in the way")
    assert desk.run(sandbox(), TEN, metrics=METRICS).code == 0
    entries = [json.loads(line) for line in (desk.folder / "run" / "run.log").read_text("utf-8").splitlines()]
    (text, *_) = [entry["text"] for entry in entries if entry["event"] == "metrics"]
    assert text.endswith("check metrics.textfile and its folder")


def test_holds_that_overlap_count_once_and_end_with_the_run() -> None:
    events = [
        Event(0, "started", ""),
        Event(10 * S, "hold", "4.0 s: HTTP 429"),
        Event(12 * S, "hold", "5.0 s: HTTP 429"),
        Event(30 * S, "hold", "1.5 s: HTTP 503"),
        Event(40 * S, "hold", "3600.0 s: HTTP 429"),
        Event(42 * S, "stopped", "by a signal"),
        Event(900 * S, "resumed", ""),
    ]
    assert throttled_s(events) == 7 + 1.5 + 2
    assert throttled_s(events[:1]) == 0
