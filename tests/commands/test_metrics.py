"""The figures of a run stand in the metrics file, while it sends and when it has ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batch.model import Event, Outcome
from batch.nightly.metrics import Figures, write_metrics
from batch.run import nightly
from batch.run.measuring import throttled_s
from tests.commands.conftest import Desk, Factory, customers
from tests.nightly.test_metrics import read

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
        Event(10 * S, "hold", "", {"held_s": 4.0}),
        Event(12 * S, "hold", "", {"held_s": 5.0}),
        Event(30 * S, "hold", "", {"held_s": 1.5}),
        Event(40 * S, "hold", "", {"held_s": 3600.0}),
        Event(42 * S, "stopped", "by a signal"),
        Event(900 * S, "resumed", ""),
    ]
    assert throttled_s(events) == 7 + 1.5 + 2
    assert throttled_s(events[:1]) == 0


# -- all runs of a config ----------------------------------------------------------------------------------------------

DOUBTFUL: dict[str, Any] = {
    "metrics": METRICS,
    "campaign": {"cycles": ["PERIOD_G_29463_1"]},
    "retry": {"in_doubt": "leave", "attempts": 3, "base_s": 0.01},
}


def in_doubt(desk: Desk) -> float:
    return figures(desk)["in_doubt_outstanding",]


@pytest.fixture
def two_in_doubt(desk: Desk, sandbox: Factory) -> Path:
    """The config of a run in `reports/1` of which two requests are in doubt."""
    api = sandbox(preload=False)
    for customer in (1, 2):
        api.inject(customer, ["reset_after"])
    config = desk.config(api, **DOUBTFUL)
    assert desk("run", desk.upload(customers([1, 2, 3])), "-c", config, "--yes", "--run-dir", "reports/1").code == 5
    assert in_doubt(desk) == 2
    return config


def run_another(desk: Desk, config: Path, number: int) -> None:
    upload = desk.upload(customers([10 + number]), f"{number}.csv")
    assert desk("run", upload, "-c", config, "--yes", "--run-dir", f"reports/{number}").code == 0


def test_a_doubt_is_told_until_it_is_over_whatever_runs_meanwhile(desk: Desk, two_in_doubt: Path) -> None:
    run_another(desk, two_in_doubt, 2)
    assert in_doubt(desk) == 2
    assert figures(desk)["requests", "in_doubt"] == 0
    assert desk("verify", "reports/1").code == 0
    assert in_doubt(desk) == 0
    run_another(desk, two_in_doubt, 3)
    assert in_doubt(desk) == 0


def test_a_doubt_that_a_rerun_has_taken_over_is_told_once(desk: Desk, two_in_doubt: Path) -> None:
    assert desk("rerun", "reports/1", "--yes", "--only", "enrolled").code == 0
    assert in_doubt(desk) == 2
    assert desk("rerun", "reports/1", "--yes", "--again").code == 0
    assert in_doubt(desk) == 0


def test_a_doubt_whose_rows_were_sent_again_from_the_report_is_over(desk: Desk, two_in_doubt: Path) -> None:
    rows = Path("reports/1/failed.csv")
    assert desk("run", rows, "-c", two_in_doubt, "--yes", "--run-dir", "reports/2").code == 0
    assert in_doubt(desk) == 0


def test_doubts_of_other_configs_and_damaged_ledgers_are_not_counted(desk: Desk, two_in_doubt: Path) -> None:
    other = desk.folder / "other.yaml"
    other.write_text(two_in_doubt.read_text())
    Path("reports/0").mkdir()
    Path("reports/0/ledger.sqlite").write_text("no ledger")
    run_another(desk, other, 2)
    assert in_doubt(desk) == 0
    run_another(desk, two_in_doubt, 3)
    assert in_doubt(desk) == 2


# -- nights ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def night(desk: Desk, sandbox: Factory, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Spends a night with these files in the inbox, and returns its exit code."""
    monkeypatch.setattr(nightly, "SETTLE_S", 0)
    (desk.folder / "inbox").mkdir()
    api = sandbox(preload=False)
    config = desk.config(api, metrics=METRICS, campaign={"cycles": ["PERIOD_G_29463_1"]}, inbox="inbox")

    def spend(**files: str) -> int:
        for name, text in files.items():
            (desk.folder / "inbox" / f"{name}.csv").write_text(text)
        return desk("nightly", "-c", config).code

    return spend


def test_the_figures_end_with_the_exit_code_of_the_night(desk: Desk, night: Callable[..., int]) -> None:
    """Broken once: the last file was a good one, so a night of refused files ended with 0."""
    assert night(a_bad="", b_good=customers([1, 2])) == 3
    found = figures(desk)
    assert (found["last_exit_code",], found["running",]) == (3, 0)
    assert (found["requests", "enrolled"], found["rows", "planned"]) == (2, 2)


def test_a_night_that_could_read_nothing_is_measured(desk: Desk, night: Callable[..., int]) -> None:
    assert night(bad="") == 3
    found = figures(desk)
    assert (found["last_exit_code",], found["rows", "planned"]) == (3, 0)
    assert ("last_success_timestamp_seconds",) not in found
    assert night(good=customers([1, 2])) == 0
    good = figures(desk)["last_success_timestamp_seconds",]
    assert night(worse="") == 3
    found = figures(desk)
    assert (found["last_exit_code",], found["rows", "planned"]) == (3, 2)
    assert found["last_success_timestamp_seconds",] == good


def test_a_night_without_files_that_went_well_is_a_success(desk: Desk, night: Callable[..., int]) -> None:
    """Broken once: an alarm on the last success rang after each night without uploads."""
    assert night(good=customers([1, 2])) == 0
    before = figures(desk)
    assert night() == 0
    after = figures(desk)
    assert after["last_success_timestamp_seconds",] > before["last_success_timestamp_seconds",]
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {("last_success_timestamp_seconds",)}


def test_a_night_whose_figures_cannot_be_written_says_so(desk: Desk, night: Callable[..., int]) -> None:
    (desk.folder / "metrics").write_text("in the way")
    assert night(good=customers([1])) == 0
    entries = [json.loads(line) for line in Path("reports/nightly.log").read_text().splitlines()]
    assert [each["text"] for each in entries if each["event"] == "metrics"] == [
        f"{desk.folder}/metrics/batch.prom: cannot be written (File exists); check metrics.textfile and its folder"
    ]
