from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.sending.pacing import LATE_NS, Pacer

SECOND = 1_000_000_000
RATES = [(100, 60 * SECOND), (20, SECOND), (3_000, SECOND), (1, SECOND), (7, 2 * SECOND)]


def most_in_any_window(starts: list[int], window_ns: int) -> int:
    first = most = 0
    for last, start in enumerate(starts):
        while starts[first] <= start - window_ns:
            first += 1
        most = max(most, last - first + 1)
    return most


@given(st.sampled_from(RATES), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400)), max_size=300))
def test_no_window_ever_holds_more_than_the_rate(rate: tuple[int, int], moves: list[tuple[int, int]]) -> None:
    """Fails without the log of real starts: late starts followed by punctual ones then squeeze one more in."""
    pacer, now, starts = Pacer(rate), 0, []
    for kind, thousandths in moves:
        amount = pacer.interval_ns * thousandths // 100
        if kind == 0:
            now += amount
        elif kind == 1:
            pacer.hold_until(now + amount)
        else:
            now = pacer.next_start_at(now) + (min(amount, 2 * LATE_NS) if kind == 2 else 0)
            pacer.started(now)
            starts.append(now)
    assert most_in_any_window(starts, rate[1]) <= rate[0]


@settings(max_examples=40)
@given(
    st.sampled_from(RATES),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400), st.floats(0, 1)), min_size=3, max_size=8),
)
def test_no_window_that_is_full_holds_more_than_the_rate(
    rate: tuple[int, int], moves: list[tuple[int, int, float]]
) -> None:
    """Each move is repeated up to as often as a window has starts, so that also 3,000 a second fill theirs.

    Fails without the log of real starts, and with a hold that is forgotten by the slot after it.
    """
    pacer, now, starts = Pacer(rate), 0, []
    for kind, thousandths, share in moves:
        amount = pacer.interval_ns * thousandths // 100
        if kind == 1:
            pacer.hold_until(now + amount * rate[0] // 10)
        for _ in range(1 + round(share * rate[0])):
            now = pacer.next_start_at(now) + (min(amount, 2 * LATE_NS) if kind == 2 else 0)
            pacer.started(now)
            starts.append(now)
    assert most_in_any_window(starts, rate[1]) <= rate[0]


@pytest.mark.parametrize("rate", RATES)
def test_the_whole_rate_is_used_and_evenly_from_the_first_start_on(rate: tuple[int, int]) -> None:
    pacer, now, starts = Pacer(rate), 5, []
    for _ in range(3 * rate[0] + 1):
        now = pacer.next_start_at(now)
        pacer.started(now)
        starts.append(now)
    assert starts[0] == 5
    assert {b - a for a, b in pairwise(starts)} <= {pacer.interval_ns, pacer.interval_ns - 1}


@pytest.mark.parametrize("rate", RATES)
def test_small_delays_cost_almost_no_rate(rate: tuple[int, int]) -> None:
    pacer, now = Pacer(rate), 0
    late_ns = 1_000_000
    count = 5 * rate[0]
    for number in range(count):
        at = pacer.next_start_at(now)
        now = at + late_ns * (number % 3) // 2 if at > now else now  # only a timer wakes up late
        pacer.started(now)
    assert now <= (count / rate[0] * rate[1]) * 1.01 + 5 * late_ns


def test_a_late_start_gives_its_missed_slots_up() -> None:
    pacer = Pacer((10, SECOND))
    pacer.started(0)
    pacer.started(5 * SECOND)
    assert pacer.next_start_at(5 * SECOND) == 5 * SECOND + SECOND // 10


def test_nothing_starts_before_a_hold_ends_and_a_shorter_hold_changes_nothing() -> None:
    pacer = Pacer((10, SECOND))
    pacer.hold_until(3 * SECOND)
    pacer.hold_until(2 * SECOND)
    assert pacer.next_start_at(0) == 3 * SECOND
    assert pacer.held_until == 3 * SECOND


def test_without_a_rate_only_holds_delay_a_start() -> None:
    pacer = Pacer(None)
    for now in (0, 0, 1, 1):
        assert pacer.next_start_at(now) == now
        pacer.started(now)
    pacer.hold_until(9)
    assert pacer.next_start_at(1) == 9
