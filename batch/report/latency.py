"""Step 5 of 5: how long the API took to answer.

Pure: counts per millisecond become a few steps on a logarithmic scale, and percentiles that are exact to the
millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from batch.report.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

_EDGES_MS = (
    0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1_000, 1_500, 2_000, 3_000, 5_000, 7_000,
    10_000, 15_000, 20_000, 30_000, 45_000, 60_000, 120_000, 300_000,
)  # fmt: skip
"""Where the steps begin; the last one has no end. Source: our choice, as even to the eye as round figures can be."""


@dataclass(frozen=True, slots=True)
class Step:
    """Answers that took at least `from_ms` and less than `to_ms`, which is None for the last step."""

    from_ms: int
    to_ms: int | None
    count: int

    @property
    def text(self) -> str:
        """The step as people read it, such as `20 to 30 ms`."""
        if self.to_ms is None:
            return f"{time_text(self.from_ms)} or more"
        unit = "s" if self.from_ms >= 1_000 else "ms"
        scale = 1_000 if self.from_ms >= 1_000 else 1
        return f"{self.from_ms / scale:g} to {self.to_ms / scale:g} {unit}"


@dataclass(frozen=True, slots=True)
class Latencies:
    """How long answers took: the steps between the fastest and the slowest, and percentiles."""

    count: int
    steps: tuple[Step, ...]
    percentiles: tuple[tuple[str, int], ...]
    """What each is called, and its milliseconds: half of the answers, nine in ten, 99 in 100, the slowest."""

    @property
    def text(self) -> str:
        """The percentiles in a sentence."""
        if not self.count:
            return "No attempt was answered."
        half, nine, most, slowest = (time_text(ms) for _, ms in self.percentiles)
        return (
            f"{counted(self.count, 'answer')}: half of them within {half}, nine in ten within {nine}, "
            f"99 in 100 within {most}; the slowest took {slowest}."
        )


def fold_latencies(counts: Sequence[tuple[int, int]]) -> Latencies:
    """Return the distribution of answering times given as (milliseconds, count), fastest first."""
    total = sum(count for _, count in counts)
    if not total:
        return Latencies(0, (), ())
    in_step = [0] * len(_EDGES_MS)
    step = 0
    for ms, count in counts:
        while step + 1 < len(_EDGES_MS) and ms >= _EDGES_MS[step + 1]:
            step += 1
        in_step[step] += count
    occupied = [index for index, count in enumerate(in_step) if count]
    ends: tuple[int | None, ...] = (*_EDGES_MS[1:], None)
    steps = tuple(Step(_EDGES_MS[index], ends[index], in_step[index]) for index in range(occupied[0], occupied[-1] + 1))
    shares = {"half": 0.5, "nine in ten": 0.9, "99 in 100": 0.99, "slowest": 1.0}
    return Latencies(total, steps, tuple((name, _percentile(counts, total, share)) for name, share in shares.items()))


def _percentile(counts: Sequence[tuple[int, int]], total: int, share: float) -> int:
    """Return the milliseconds within which at least this share of the answers came."""
    so_far = accumulate(count for _, count in counts)
    return next(
        (ms + 1 for (ms, _), until in zip(counts, so_far, strict=True) if until >= share * total), counts[-1][0]
    )


def time_text(ms: int) -> str:
    """Return milliseconds as people read them."""
    return f"{ms / 1_000:g} s" if ms >= 1_000 else f"{ms} ms"
