"""The metrics file is what Prometheus' own parser reads, and is never seen half written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from batch.model import Outcome
from batch.nightly.metrics import Figures, metrics_text, read_last_success, write_metrics

FIGURES = Figures(
    config="milestone",
    rows={"blank": 1, "with_problems": 2, "planned": 3},
    outcomes={Outcome.ENROLLED: 7, Outcome.IN_DOUBT: 2},
    attempts=11,
    retries=2,
    in_flight=0,
    rate_per_s=1.667,
    throttled_s=12.5,
    started_at=1_764_540_000.25,
    exit_code=5,
    last_success_at=1_764_540_100.5,
)


def read(text: str) -> dict[tuple[str, ...], float]:
    """Return what the parser makes of a text: (name, label values but the config...) -> value."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            labels = [value for name, value in sorted(sample.labels.items()) if name != "config"]
            assert "config" in sample.labels
            found[sample.name.removeprefix("enroll_batch_"), *labels] = sample.value
    return found


def test_every_figure_is_read_by_the_parser_of_prometheus() -> None:
    found = read(metrics_text(FIGURES))
    assert [found["rows", name] for name in ("blank", "with_problems", "planned")] == [1, 2, 3]
    assert {name: value for (kind, *rest), value in found.items() for name in rest if kind == "requests" and value} == {
        "enrolled": 7,
        "in_doubt": 2,
    }
    assert sum(key[0] == "requests" for key in found) == len(Outcome)
    single = {key[0]: value for key, value in found.items() if len(key) == 1}
    assert single == {
        "in_doubt_outstanding": 2,
        "attempts": 11,
        "retries": 2,
        "in_flight": 0,
        "rate_per_second": 1.667,
        "throttled_seconds": 12.5,
        "running": 0,
        "last_run_timestamp_seconds": 1_764_540_000.25,
        "last_exit_code": 5,
        "last_success_timestamp_seconds": 1_764_540_100.5,
    }


@given(st.text())
def test_any_name_of_a_config_can_be_a_label(name: str) -> None:
    """Fails when a quote, a backslash or a line end is not escaped."""
    figures = Figures(name, {}, {}, 0, 0, 0, 0.0, 0.0, None, None, None)
    (sample,) = (
        sample
        for family in text_string_to_metric_families(metrics_text(figures))
        for sample in family.samples
        if family.name == "enroll_batch_running"
    )
    assert (sample.labels, sample.value) == ({"config": name}, 1)


def test_the_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "batch.prom"
    write_metrics(path, FIGURES)
    before = path.open("rb")  # who reads the old file goes on reading it
    write_metrics(path, Figures("other", {}, {}, 0, 0, 0, 0.0, 0.0, None, None, None))
    with before:
        assert b"milestone" in before.read()
    assert "milestone" not in path.read_text()
    assert [each.name for each in path.parent.iterdir()] == ["batch.prom"]
    assert path.stat().st_mode & 0o444 == 0o444


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "batch.prom"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_metrics(path, FIGURES)
    assert [each.name for each in tmp_path.iterdir()] == ["batch.prom"]


def test_the_last_success_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "batch.prom"
    assert read_last_success(path) is None
    write_metrics(path, FIGURES)
    assert read_last_success(path) == 1_764_540_100.5
    path.write_bytes(b"\xff")
    assert read_last_success(path) is None
