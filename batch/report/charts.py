"""Step 5 of 5: the page's charts in places and sizes: throughput over time, answering times, shares.

Pure geometry. Across, the unit is one bar; down, it is a percent of the height: the page stretches the shapes to any
width, and sets the texts beside them as text, so that they stay readable on a phone.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from batch.model import Group
from batch.report.latency import time_text
from batch.report.words import counted, duration_text, rate_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from batch.report.latency import Latencies
    from batch.report.timeline import Stretch, Timeline

_BAR = 0.86
"""The width of a bar; the rest is the gap to the next one."""
_FAR_ABOVE = 4.0
"""A limit so many times above the busiest stretch is not drawn: the bars would be flat."""
_MOST_LABELS = 6
PAUSE_TURNS = 45.0
"""The text about a pause further right, in percent, stands before its mark, as the template has it: it is not cut."""
PAUSE_WIDTH = 35.0
"""So much of the width such a text takes on a phone."""
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Layer:
    """The bars of one colour, as an SVG path."""

    color: str
    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Label:
    """A text at a place in percent of the width, or of the height."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Spot:
    """A bar's place, and what to say about it."""

    x: float
    width: float
    text: str


@dataclass(frozen=True, slots=True)
class ThroughputChart:
    """Attempts over time against the allowed rate."""

    bars: int
    layers: tuple[Layer, ...]
    allowed: str
    """The line of the allowed rate, as an SVG path; empty where there is none to draw."""
    held: tuple[Spot, ...]
    pushed_back: tuple[Spot, ...]
    slowed: tuple[Spot, ...]
    """Where fewer requests were let out at once."""
    marks: tuple[Spot, ...]
    pauses: tuple[Label, ...]
    x_labels: tuple[Label, ...]
    y_labels: tuple[Label, ...]
    unit: str
    spots: tuple[Spot, ...]


@dataclass(frozen=True, slots=True)
class LatencyChart:
    """Answers by how long they took."""

    bars: int
    path: str
    x_labels: tuple[Label, ...]
    y_labels: tuple[Label, ...]
    spots: tuple[Spot, ...]


def draw_throughput(timeline: Timeline) -> ThroughputChart | None:
    """Return the chart of a timeline; None where nothing was sent."""
    stretches = timeline.stretches
    if not any(stretch.attempts for stretch in stretches):
        return None
    per_s = 1 / timeline.width_s
    allowed = [_finite(stretch.allowed_per_s) for stretch in stretches]
    limits = [limit for limit in allowed if limit is not None]
    busiest = timeline.busiest_per_s
    is_drawn = bool(limits) and max(limits) <= _FAR_ABOVE * busiest
    highest = max(busiest, *limits) if is_drawn else busiest
    unit_s, unit = (60, "per minute") if highest < 2 else (1, "per second")
    top, steps = _scale(highest * unit_s)
    height = 100 / top * unit_s * per_s
    return ThroughputChart(
        bars=len(stretches),
        layers=_layers(stretches, height),
        allowed=_line(allowed, 100 / top * unit_s) if is_drawn else "",
        held=_held(timeline),
        pushed_back=_pushed_back(stretches),
        slowed=_marks(stretches, slowing=True),
        marks=_marks(stretches, slowing=False),
        pauses=_pauses(timeline),
        x_labels=_times(stretches, timeline.width_ns),
        y_labels=tuple(Label(100 - 100 * step / top, f"{step:,.9g}") for step in steps),
        unit=unit,
        spots=tuple(
            Spot(index, 1.0, stretch_text(stretch, timeline.width_s)) for index, stretch in enumerate(stretches)
        ),
    )


def _pauses(timeline: Timeline) -> tuple[Label, ...]:
    """Mark the pauses; those so near to each other that their texts would meet have one text, at the first of them."""
    near: list[list[tuple[float, int]]] = []
    taken = 0.0
    for index, pause in timeline.pauses:
        at = 100 * index / len(timeline.stretches)
        begin, end = (at - PAUSE_WIDTH, at) if at > PAUSE_TURNS else (at, at + PAUSE_WIDTH)
        if near and begin < taken:
            near[-1].append((at, pause))
            taken = max(taken, at)
        else:
            near.append([(at, pause)])
            taken = end
    labels = []
    for marks in near:
        lasting = duration_text(sum(pause for _, pause in marks) / 1e9)
        first = f"paused {lasting}" if len(marks) == 1 else f"{len(marks)} pauses, {lasting}"
        labels += [Label(at, "" if place else first) for place, (at, _) in enumerate(marks)]
    return tuple(labels)


def _held(timeline: Timeline) -> tuple[Spot, ...]:
    """Mark the stretches in which nothing might start for a while, each as wide as that was long."""
    return tuple(
        Spot(index, min(1.0, stretch.held_ns / timeline.width_ns), f"held {duration_text(stretch.held_ns / 1e9)}")
        for index, stretch in enumerate(timeline.stretches)
        if stretch.held_ns
    )


def _pushed_back(stretches: Sequence[Stretch]) -> tuple[Spot, ...]:
    """Mark the stretches in which the API refused attempts by 429 or 503."""
    return tuple(
        Spot(index, _BAR, f"{stretch.pushed_back:,} times 429 or 503")
        for index, stretch in enumerate(stretches)
        if stretch.pushed_back
    )


def _marks(stretches: Sequence[Stretch], *, slowing: bool) -> tuple[Spot, ...]:
    """Mark the stretches with events about concurrency, or with all others."""
    chosen = [[mark for mark in stretch.marks if (mark.kind == "concurrency") is slowing] for stretch in stretches]
    return tuple(
        Spot(index, _BAR, "; ".join(f"{mark.kind}: {mark.text}" for mark in marks[:5]))
        for index, marks in enumerate(chosen)
        if marks
    )


def _finite(per_s: float | None) -> float | None:
    return per_s if per_s is not None and math.isfinite(per_s) else None


def stretch_text(stretch: Stretch, width_s: float) -> str:
    """Return what happened in a stretch as one line."""
    brought = [f"{stretch.brought[group]:,} {group}" for group in Group if stretch.brought[group]]
    parts = [
        f"{counted(stretch.attempts, 'attempt')} ({rate_text(stretch.attempts / width_s)})",
        *brought,
        *([f"{stretch.tried_again:,} tried again"] if stretch.tried_again else []),
        *([f"{stretch.pushed_back:,} times 429 or 503"] if stretch.pushed_back else []),
        *([f"held {duration_text(stretch.held_ns / 1e9)}"] if stretch.held_ns else []),
    ]
    return f"{moment_text(stretch.begin)}: {', '.join(parts)}"


def moment_text(at: int) -> str:
    """Return a time as people read it, in UTC."""
    return f"{dt.datetime.fromtimestamp(at / 1e9, dt.UTC):%Y-%m-%d %H:%M:%S}"


def _layers(stretches: Sequence[Stretch], height: float) -> tuple[Layer, ...]:
    """Stack what attempts brought: what was tried again at the bottom, then the groups of outcomes."""
    paths = {color: "" for color, _ in _LAYERS}
    for index, stretch in enumerate(stretches):
        bottom = 100.0
        brought = [(group.value.replace(" ", "-"), stretch.brought[group]) for group in Group]
        for color, count in [("again", stretch.tried_again), *brought]:
            if count:
                paths[color] += _bar(index, bottom, count * height)
                bottom -= count * height
    return tuple(Layer(color, name, paths[color]) for color, name in _LAYERS if paths[color])


_LAYERS = (
    *((group.value.replace(" ", "-"), group.value) for group in Group),
    ("again", "tried again"),
)


def _bar(index: int, bottom: float, height: float) -> str:
    return f"M{index + (1 - _BAR) / 2:.2f} {bottom:.2f}v{-height:.2f}h{_BAR}v{height:.2f}z"


def _line(values: Sequence[float | None], height: float) -> str:
    """Draw a line of steps, broken where there is no value."""
    path, is_down = "", False
    for index, value in enumerate(values):
        if value is None:
            is_down = False
            continue
        y = max(0.0, 100 - value * height)
        path += f"V{y:.2f}" if is_down else f"M{index} {y:.2f}"
        path += f"H{index + 1}"
        is_down = True
    return path


def draw_latency(latencies: Latencies) -> LatencyChart | None:
    """Return the chart of answering times; None where there was no answer."""
    if not latencies.count:
        return None
    steps = latencies.steps
    top, marks = _scale(max(step.count for step in steps), 1.0)
    every = -(-len(steps) // 10)
    return LatencyChart(
        bars=len(steps),
        path="".join(_bar(index, 100.0, 100 * step.count / top) for index, step in enumerate(steps)),
        x_labels=tuple(
            Label(100 * index / len(steps), time_text(step.from_ms))
            for index, step in enumerate(steps)
            if index % every == 0
        ),
        y_labels=tuple(Label(100 - 100 * mark / top, f"{mark:,.9g}") for mark in marks),
        spots=tuple(
            Spot(index, 1.0, f"{step.text}: {counted(step.count, 'answer')}") for index, step in enumerate(steps)
        ),
    )


def draw_shares(counts: Iterable[tuple[str, int]]) -> tuple[Spot, ...]:
    """Return the parts of a bar of 100 units; `text` is the colour. Neighbours of one colour are one part."""
    neighbours = groupby(((color, count) for color, count in counts if count), key=lambda part: part[0])
    present = [(color, sum(count for _, count in parts)) for color, parts in neighbours]
    total = sum(count for _, count in present)
    spots, x = [], 0.0
    for color, count in present:
        width = 100 * count / total
        spots.append(Spot(round(x, 3), round(width, 3), color))
        x += width
    return tuple(spots)


def _scale(highest: float, least_step: float = 0.0) -> tuple[float, tuple[float, ...]]:
    """Return a round figure not below `highest`, and the marks from 0 to it: two to six, at equal distances."""
    power = 10.0 ** math.floor(math.log10(highest)) if highest > 0 else 1.0
    for share in (0.2, 0.25, 0.5, 1.0, 2.0):
        step = max(share * power, least_step)
        count = math.ceil(round(highest / step, 9))
        if count <= 5:
            break
    return step * max(count, 1), tuple(step * index for index in range(max(count, 1) + 1))


def _times(stretches: Sequence[Stretch], width_ns: int) -> tuple[Label, ...]:
    """Return when some of the stretches begin, evenly spread, as exactly as their length asks for."""
    first, last = _utc(stretches[0].begin), _utc(stretches[-1].begin)
    form = "%H:%M:%S" if width_ns < 60_000_000_000 else "%H:%M"
    form = form if first.date() == last.date() else f"%d %b {form}"
    every = max(1, -(-len(stretches) // _MOST_LABELS))
    labels = []
    for index in range(0, len(stretches), every):
        at = stretches[index].begin
        tenths = f".{at // 100_000_000 % 10}" if width_ns < _SECOND_NS else ""
        labels.append(Label(100 * index / len(stretches), f"{_utc(at):{form}}{tenths}"))
    return tuple(labels)


def _utc(at: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(at / 1e9, dt.UTC)
