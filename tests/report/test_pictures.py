"""The flow, the charts and the answering times: places and sizes, as the page draws them."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.model import Event, Outcome
from batch.report.charts import draw_latency, draw_shares, draw_throughput
from batch.report.flow import draw_flow
from batch.report.latency import fold_latencies
from batch.report.timeline import SECOND_NS
from tests.report.ledgers import START
from tests.report.test_reconcile import tallies_of
from tests.report.test_timeline import event, sent, timeline_of
from tests.report.test_words import accounts_of

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

COUNTS = st.dictionaries(st.sampled_from(Outcome), st.integers(0, 10**7))


@settings(deadline=None)
@given(COUNTS, st.integers(0, 10**6), st.integers(0, 10**6))
def test_every_count_has_its_place_in_the_flow_and_no_labels_overlap(
    outcomes: dict[Outcome, int], duplicates: int, problems: int
) -> None:
    """Fails when rare outcomes get no height, or labels stand closer than a line."""
    accounts = accounts_of(tallies_of(outcomes, duplicates=duplicates), problems=problems)
    flow = draw_flow(accounts)
    assert flow
    by_column: dict[float, list[float]] = {}
    for node in flow.nodes:
        assert node.height >= 3
        assert node.y >= 0
        assert node.y + node.height <= flow.height
        assert node.y <= node.label_y <= node.y + node.height
        by_column.setdefault(node.x, []).append(node.label_y)
    for labels in by_column.values():
        assert all(later - earlier >= 20.8 for earlier, later in pairwise(labels))
    shown = {node.name: node.count for node in flow.nodes}
    for outcome, count in outcomes.items():
        assert shown.get(outcome.replace("_", " "), 0) == count


def test_a_run_without_rows_has_no_flow() -> None:
    empty = accounts_of(tallies_of({}))
    assert draw_flow(type(empty)(empty.run, (), empty.tallies, empty.identities, 3)) is None


def heights(path: str) -> list[float]:
    return [abs(float(height)) for height in re.findall(r"v-(\d+(?:\.\d+)?)h", path)]


def test_bars_are_as_high_as_their_attempts_and_never_leave_the_chart() -> None:
    activity = (sent(0, Outcome.ENROLLED, 30), sent(0, None, 10, pushed_back=10), sent(1, Outcome.INVALID_USER, 20))
    drawn = timeline_of(event(0, "started"), event(99, "finished"), activity=activity, set_per_s=45.0)
    chart = draw_throughput(drawn)
    assert chart
    assert [(layer.color, heights(layer.path)) for layer in chart.layers] == [
        ("done", [60.0]), ("fix-data", [40.0]), ("again", [20.0]),
    ]  # fmt: skip
    assert [label.text for label in chart.y_labels] == ["0", "10", "20", "30", "40", "50"]
    assert chart.allowed.startswith("M0 10.00H1")
    assert [spot.x for spot in chart.pushed_back] == [0]
    assert chart.unit == "per second"


def test_slow_rates_are_shown_per_minute() -> None:
    drawn = timeline_of(event(0, "started"), event(99, "finished"), activity=(sent(0, Outcome.ENROLLED, 1),))
    chart = draw_throughput(timeline_of(
        event(0, "started"), event(600, "finished"), activity=(sent(0, Outcome.ENROLLED, 9),), set_per_s=100 / 60,
    ))  # fmt: skip
    assert chart
    assert draw_throughput(drawn)
    assert chart.unit == "per minute"
    assert chart.y_labels[-1].text == "100"


def test_a_limit_far_above_what_was_sent_does_not_flatten_the_bars() -> None:
    activity = (sent(0, Outcome.ENROLLED, 2),)
    drawn = timeline_of(event(0, "started"), event(50, "finished"), activity=activity, set_per_s=1000.0)
    chart = draw_throughput(drawn)
    assert chart
    assert chart.allowed == ""


@pytest.mark.parametrize(
    ("first", "second", "texts"),
    [
        (5, 95, ["paused 60.0 s", "paused 60.0 s"]),
        (5, 30, ["2 pauses, 2 min 0 s", ""]),
        (30, 70, ["2 pauses, 2 min 0 s", ""]),
        (55, 95, ["paused 60.0 s", "paused 60.0 s"]),
        (60, 90, ["2 pauses, 2 min 0 s", ""]),
    ],
)
def test_pauses_near_to_each_other_have_one_text(first: int, second: int, texts: list[str]) -> None:
    """Fails when each is told beside its mark: behind it, in the right half before it, a third of a phone wide."""
    drawn = timeline_of(event(0, "started"), event(100, "finished"), activity=(sent(0, Outcome.ENROLLED, 30),))
    places = [round(share * len(drawn.stretches) / 100) for share in (first, second)]
    chart = draw_throughput(replace(drawn, pauses=tuple((place, 60 * SECOND_NS) for place in places)))
    assert chart
    assert [label.text.replace("1 min 0 s", "60.0 s") for label in chart.pauses] == texts
    assert [label.at for label in chart.pauses] == [100 * place / len(drawn.stretches) for place in places]


def test_nothing_sent_is_no_chart() -> None:
    assert draw_throughput(timeline_of(event(0, "started"), event(9, "finished"))) is None
    assert draw_latency(fold_latencies([])) is None
    assert fold_latencies([]).text == "No attempt was answered."


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 10**6)), min_size=1), st.floats(0.01, 10**6))
def test_no_shape_leaves_its_chart(attempts: list[tuple[int, int]], set_per_s: float) -> None:
    """Fails when the scale looks at the bars and not at the limit, or rounds down."""
    lowered = Event(START + 10, "rate", "", {"per_s": set_per_s / 3})
    events = [event(0, "started"), lowered, event(300, "finished")]
    activity = tuple(sent(when, Outcome.ENROLLED, count) for when, count in attempts)
    chart = draw_throughput(timeline_of(*events, activity=activity, set_per_s=set_per_s))
    assert chart
    tops = [height for layer in chart.layers for height in heights(layer.path)]
    assert all(0 <= height <= 100.01 for height in tops)
    levels = [float(y) for y in re.findall(r"[MV](?:\d+ )?(\d+\.\d+)", chart.allowed)]
    assert all(0 <= level <= 100 for level in levels)


def test_answering_times_are_told_to_the_millisecond() -> None:
    found = fold_latencies([(12, 50), (31, 40), (900, 9), (2999, 1)])
    assert found.text == (
        "100 answers: half of them within 13 ms, nine in ten within 32 ms, 99 in 100 within 901 ms; "
        "the slowest took 3 s."
    )
    assert [(step.text, step.count) for step in found.steps if step.count] == [
        ("10 to 15 ms", 50), ("30 to 50 ms", 40), ("700 to 1000 ms", 9), ("2 to 3 s", 1),
    ]  # fmt: skip


@given(st.dictionaries(st.integers(0, 600_000), st.integers(1, 1000), min_size=1))
def test_every_answer_stands_in_one_step(counts: dict[int, int]) -> None:
    """Fails when a time on an edge falls into no step, or into two."""
    found = fold_latencies(sorted(counts.items()))
    assert sum(step.count for step in found.steps) == found.count == sum(counts.values())
    for step in found.steps:
        inside = sum(n for ms, n in counts.items() if step.from_ms <= ms < (step.to_ms or 10**9))
        assert step.count == inside


def test_shares_fill_the_bar() -> None:
    spots = draw_shares([("done", 1), ("retry", 0), ("look", 3)])
    assert [(spot.text, spot.x, spot.width) for spot in spots] == [("done", 0, 25), ("look", 25, 75)]
    assert draw_shares([("done", 0)]) == ()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 10, 99, 1_000_000])
def test_a_chart_of_counts_has_whole_marks(count: int) -> None:
    chart = draw_latency(fold_latencies([(5, count)]))
    assert chart
    assert all(label.text.replace(",", "").isdigit() for label in chart.y_labels)
