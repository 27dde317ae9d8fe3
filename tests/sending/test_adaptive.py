from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace

import pytest

from batch.model import Outcome, Verdict
from batch.sending.adaptive import AdaptiveConcurrency, AdaptiveRate, RetryBudget
from tests.sending.fakes import (
    BUSY,
    ENROLLED,
    INVALID,
    LOST,
    FakeRecorder,
    FakeSender,
    make_pool,
    open_requests,
    too_many,
)
from tests.sending.virtual_loop import run_virtually

SECOND = 1_000_000_000


class Limited:
    """A server that allows `limit` calls in any window, as a script for FakeSender; refused calls do not count."""

    def __init__(self, limit: int, window_s: float, retry_after: bool) -> None:
        self.limit = limit
        self.window_s = window_s
        self.retry_after = retry_after
        self.allowed: deque[float] = deque()
        self.refused = 0

    def __call__(self, customer: int, period: str | None, attempt: int) -> Verdict:
        now = asyncio.get_running_loop().time()
        while self.allowed and self.allowed[0] <= now - self.window_s:
            self.allowed.popleft()
        if len(self.allowed) < self.limit:
            self.allowed.append(now)
            return ENROLLED
        self.refused += 1
        return too_many(self.allowed[0] + self.window_s - now if self.retry_after else None)


@pytest.mark.parametrize("retry_after", [True, False])
@pytest.mark.parametrize(
    ("set_to", "allowed", "window_s", "requests"),
    [((200, SECOND), 60, 1, 1800), ((200, SECOND), 20, 1, 600), ((300, 60 * SECOND), 100, 60, 2000)],
)
def test_a_lower_limit_is_found_used_and_seldom_exceeded(
    set_to: tuple[int, int], allowed: int, window_s: float, requests: int, retry_after: bool
) -> None:
    server = Limited(allowed, window_s, retry_after)
    sender = FakeSender(server, latency_s=0.03)
    recorder = FakeRecorder([open_requests(requests)])
    pool = make_pool(sender, recorder, rate=set_to, concurrency=16, adaptive=True, outage_s=600)
    assert run_virtually(pool.run()) is None
    assert set(recorder.outcomes().values()) == {Outcome.ENROLLED}
    took_s = (sender.starts[-1][0] - sender.starts[0][0]) / SECOND
    assert server.refused <= 0.05 * len(sender.starts)
    assert requests / took_s >= 0.85 * allowed / window_s


def test_a_rate_that_went_down_by_accident_finds_its_way_up_again() -> None:
    rate = AdaptiveRate((100, SECOND))
    now = 0
    for _ in range(20):
        now += 2 * SECOND
        rate.pushed_back(now)
    assert rate.per_s is not None
    assert rate.per_s < 5
    accepted_until = now + 60 * SECOND
    while now < accepted_until:
        now += rate.interval_ns
        rate.accepted(now)
    assert rate.per_s == 100


def test_one_503_among_successes_holds_nobody_and_two_in_a_row_do() -> None:
    hiccup = replace(too_many(None), http_status=503)
    for refused, holds in (({20}, 0), ({20, 21, 22, 23}, 1)):
        sender = FakeSender(
            lambda customer, _, attempt, refused=refused: hiccup if customer in refused and attempt == 1 else ENROLLED
        )
        recorder = FakeRecorder([open_requests(60)])
        run_virtually(make_pool(sender, recorder, adaptive=True).run())
        assert recorder.events.count("hold") == holds
        assert set(recorder.outcomes().values()) == {Outcome.ENROLLED}


def test_refusals_of_requests_slow_nothing_down() -> None:
    sender = FakeSender(lambda customer, *_: INVALID, latency_s=0.01)
    recorder = FakeRecorder([open_requests(100)])
    run_virtually(make_pool(sender, recorder, rate=(50, SECOND), concurrency=8, adaptive=True).run())
    assert sender.starts[-1][0] - sender.starts[0][0] <= 99 * SECOND / 50 * 1.03
    assert recorder.events == []


def test_what_was_out_when_a_hold_began_does_not_lengthen_it() -> None:
    refused = range(26, 34)
    sender = FakeSender(
        lambda customer, _, attempt: too_many(None) if customer in refused and attempt == 1 else ENROLLED
    )
    recorder = FakeRecorder([open_requests(60)])
    run_virtually(make_pool(sender, recorder, concurrency=8, adaptive=True).run())
    assert len({start for start, customer, _ in sender.starts if customer in refused}) == 9
    assert sender.starts[-1][0] <= 3 * SECOND
    assert recorder.events.count("hold") == 1


def test_without_adaptive_a_429_holds_but_the_rate_stays() -> None:
    sender = FakeSender(lambda customer, period, attempt: too_many(1) if (customer, attempt) == (5, 1) else ENROLLED)
    recorder = FakeRecorder([open_requests(40)])
    run_virtually(make_pool(sender, recorder, rate=(20, SECOND), adaptive=False).run())
    assert set(recorder.events) == {"hold"}
    assert sender.starts[-1][0] <= 4 * SECOND


def test_time_outs_lower_the_concurrency_and_use_brings_it_back() -> None:
    concurrency = AdaptiveConcurrency(16)
    assert concurrency.timed_out(0)
    assert concurrency.limit == 11
    assert not concurrency.timed_out(SECOND // 2)
    for _ in range(200):
        concurrency.answered(1_000_000, in_flight=2, now=SECOND)
    assert concurrency.limit == 11
    for _ in range(200):
        concurrency.answered(1_000_000, in_flight=16, now=SECOND)
    assert concurrency.limit == 16


def test_answers_that_take_longer_and_longer_lower_the_concurrency() -> None:
    concurrency = AdaptiveConcurrency(16)
    for _ in range(100):
        assert not concurrency.answered(100_000_000, in_flight=16, now=0)
    assert any(concurrency.answered(600_000_000, in_flight=16, now=SECOND) for _ in range(10))
    assert concurrency.limit < 16


def test_the_rate_grows_only_by_accepted_requests_and_never_above_the_ceiling() -> None:
    rate = AdaptiveRate((100, SECOND))
    for number in range(100):
        rate.accepted(number * SECOND // 100)
    assert rate.pushed_back(SECOND)
    lowered = rate.per_s
    assert lowered is not None
    assert lowered < 100
    rate.accepted(3600 * SECOND)
    assert rate.per_s == pytest.approx(lowered, rel=0.01)
    for number in range(6000):
        rate.accepted(3601 * SECOND + number * SECOND // 100)
    assert rate.per_s == 100


def test_one_congestion_lowers_the_rate_once() -> None:
    rate = AdaptiveRate((100, SECOND))
    assert rate.pushed_back(0)
    assert not rate.pushed_back(SECOND - 1)
    assert rate.pushed_back(SECOND)


def test_a_run_without_a_rate_finds_one_when_it_is_pushed_back() -> None:
    rate = AdaptiveRate(None)
    assert rate.interval_ns == 0
    for number in range(50):
        rate.accepted(number * SECOND // 50)
    rate.pushed_back(SECOND - 1)
    assert rate.per_s == pytest.approx(50 * 0.97 * 0.85)


def test_a_server_that_refuses_everything_gets_only_a_tenth_more_calls() -> None:
    budget = RetryBudget()
    assert sum(budget.take() for _ in range(1000)) == 100
    for _ in range(1000):
        budget.settled()
    assert sum(budget.take() for _ in range(1000)) == 100


def test_retries_beyond_the_budget_wait_as_long_as_the_settings_allow() -> None:
    sender = FakeSender(lambda customer, period, attempt: BUSY if attempt == 1 else ENROLLED, latency_s=0.001)
    recorder = FakeRecorder([open_requests(300)])
    run_virtually(make_pool(sender, recorder, concurrency=16, adaptive=True).run())
    retried_at = sorted(start for start, *_ in sender.starts)
    assert retried_at[-1] >= 60 * SECOND
    assert set(recorder.outcomes().values()) == {Outcome.ENROLLED}


def test_time_outs_of_the_pool_reach_the_concurrency() -> None:
    sender = FakeSender(lambda customer, period, attempt: LOST if customer in {9, 10} and attempt == 1 else ENROLLED)
    recorder = FakeRecorder([open_requests(40)])
    run_virtually(make_pool(sender, recorder, adaptive=True).run())
    assert "concurrency" in recorder.events


def test_headers_that_tell_what_is_left_spare_most_refusals_and_cost_little_rate() -> None:
    """Found by it: a hold at each "none left", which would leave half of the rate unused."""
    limit, window_s, requests = 60, 1, 1500
    refused, kept_per_s = [], []
    for tells in (False, True):
        server = Limited(limit, window_s, retry_after=True)

        def script(
            customer: int, period: str | None, attempt: int, tells: bool = tells, server: Limited = server
        ) -> Verdict:
            verdict = server(customer, period, attempt)
            return replace(verdict, at_limit=tells and len(server.allowed) >= limit)

        sender = FakeSender(script, latency_s=0.03)
        pool = make_pool(
            sender, FakeRecorder([open_requests(requests)]), rate=(200, window_s * SECOND), adaptive=True, outage_s=600
        )
        assert run_virtually(pool.run()) is None
        refused.append(server.refused)
        kept_per_s.append(requests * SECOND / (sender.starts[-1][0] - sender.starts[0][0]))
    assert refused[1] <= refused[0]
    assert kept_per_s[1] >= 0.85 * limit / window_s


def test_a_server_that_always_says_that_nothing_is_left_is_believed_once() -> None:
    rate = AdaptiveRate((100, SECOND))
    lowered = 0
    for number in range(10_000):
        now = number * SECOND // 90
        rate.accepted(now)
        lowered += rate.told(at_limit=True, now=now)
    assert lowered == 1
    assert rate.per_s == 100


def test_what_is_left_is_only_ever_a_reason_to_go_slower() -> None:
    rate = AdaptiveRate((100, SECOND))
    assert rate.pushed_back(0)
    lowered = rate.per_s
    assert not rate.told(at_limit=False, now=10 * SECOND)
    assert rate.per_s == lowered


def test_what_slows_everybody_tells_its_numbers() -> None:
    """Fails when the text and the facts of an event are made of different numbers."""
    sender = FakeSender(lambda customer, _, attempt: too_many(2.5) if (customer, attempt) == (30, 1) else ENROLLED)
    recorder = FakeRecorder([open_requests(60)])
    run_virtually(make_pool(sender, recorder, rate=(20, SECOND), adaptive=True).run())
    (hold,) = (event for event in recorder.told if event.kind == "hold")
    assert (hold.text, hold.facts) == ("2.5 s: HTTP 429", {"held_s": 2.5, "reason": "HTTP 429"})
    lowered, *_ = (event for event in recorder.told if event.kind == "rate")
    per_s = lowered.number("per_s")
    assert per_s is not None
    assert 0 < per_s < 20
    assert lowered.text == f"{per_s:.2f}/s: lowered after HTTP 429"
    assert lowered.facts["reason"] == "lowered after HTTP 429"
    assert lowered.number("reason") is None
