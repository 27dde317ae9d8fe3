"""What was left out for a cascade, in the end of a run: asked about, sampled, sent or settled without a call."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.model import Outcome, Seen, Speaks, StopReason, Verdict
from batch.sending.conclusions import LOOKS
from batch.sending.evidence import PROOF
from batch.sending.guards import Stop
from batch.sending.needless import ASKED, SENT, _spread
from tests.sending.fakes import (
    BUSY,
    LOST,
    FakeRecorder,
    FakeSender,
    make_pool,
    open_requests,
    too_many,
)  # fmt: skip
from tests.sending.test_cascade import (
    CONFIRMED,
    World,
    enrolled_or_covered,
    seeing_sender,
    skipping,
)  # fmt: skip
from tests.sending.virtual_loop import run_virtually

if TYPE_CHECKING:
    from batch.model import OpenRequest

REFUSED = Seen(Verdict(Outcome.UNRECOGNISED, settled=True, http_status=404))
SECOND = 1_000_000_000


def all_but_some_of_the_last(seed: int, customers: int, cycles: int, share: float) -> World:
    """An organisation that does not cascade, where others enrolled into all later cycles, but few into the last."""
    chance = random.Random(seed)  # noqa: S311 - a repeatable course of events
    before = {(n, f"c{k}") for n in range(1, customers + 1) for k in range(2, cycles)}
    return World(False, before | {(n, f"c{cycles}") for n in range(1, customers + 1) if chance.random() < share})


def cascading(
    customers: int, cycles: int = 4, *, sees: bool = True
) -> tuple[World, list[OpenRequest], FakeSender, FakeRecorder]:
    world, requests = World(cascades=True), open_requests(customers, cycles)
    sender = seeing_sender(world) if sees else FakeSender(world.answer)
    return world, requests, sender, FakeRecorder([requests])


@pytest.mark.parametrize("seed", range(40))
def test_nobody_is_left_out_where_others_enrolled_most_customers_into_the_later_cycles(seed: int) -> None:
    """Every other pair of seeds without an API that can be asked. With the thin sample alone, 4 of 40 fail."""
    world = all_but_some_of_the_last(seed, 200, 10, 0.8 if seed % 2 else 0.7)
    requests = open_requests(200, 10)
    sender = seeing_sender(world) if seed % 4 < 2 else FakeSender(world.answer)
    recorder = FakeRecorder([requests])
    assert run_virtually(make_pool(sender, recorder, concurrency=16, cascades=skipping(200, 10)).run()) is None
    assert enrolled_or_covered(recorder, world, requests)
    assert Outcome.COVERED_BY_CASCADE not in recorder.outcomes().values()
    assert sender.overlaps == 0


def test_a_few_of_many_customers_are_asked_about_and_who_is_missing_is_sent() -> None:
    """One in ten is missing, none of those whom the thin sample meets."""
    world, requests = World(cascades=True), open_requests(200, 3)
    gaps = {(n, "c3") for n in range(10, 201, 10)}

    def answer(customer: int, period: str | None, attempt: int) -> Verdict:
        before = set(world.enrolled)
        said = world.answer(customer, period, attempt)
        if period == "c1":
            world.enrolled -= gaps - before
        return said

    sender, recorder = seeing_sender(world), FakeRecorder([requests])
    sender.script = answer
    assert run_virtually(make_pool(sender, recorder, cascades=skipping(200, 3)).run()) is None
    assert enrolled_or_covered(recorder, world, requests)
    assert "no_cascade" in recorder.events
    assert Outcome.COVERED_BY_CASCADE not in recorder.outcomes().values()


def test_a_question_is_paced_and_is_no_attempt() -> None:
    _, requests, sender, recorder = cascading(60)
    pool = make_pool(sender, recorder, rate=(1, SECOND // 10), cascades=skipping(60, 4))
    assert run_virtually(pool.run()) is None
    assert len(sender.looks) == ASKED
    assert pool.attempts == len(sender.starts)
    times = sorted([at for at, *_ in sender.starts] + sender.looked_at)
    assert min(later - earlier for earlier, later in pairwise(times)) >= SECOND // 10
    assert len(recorder.outcomes()) == len(requests)


def test_a_question_waits_and_is_put_again_like_a_request() -> None:
    world, requests, sender, recorder = cascading(60)
    first = {1: Seen(BUSY), 2: Seen(too_many(30.0))}
    sender.shows = lambda *key: first.get(len(sender.looks)) or key in world.enrolled
    pool = make_pool(sender, recorder, concurrency=1, cascades=skipping(60, 4))
    assert run_virtually(pool.run()) is None
    assert len(sender.looks) == ASKED + 2
    assert "hold" in recorder.events
    assert len(sender.starts) < 60 + 5 + 2 * 3 + 25
    assert len(recorder.outcomes()) == len(requests)


@pytest.mark.parametrize("said", [REFUSED, None, Seen(Verdict(Outcome.SERVER_ERROR, settled=False), ())])
def test_where_the_api_does_not_say_a_sample_of_each_pair_of_cycles_is_sent(said: Seen | None) -> None:
    """Fails when the samples are of all pairs together."""
    world, requests, sender, recorder = cascading(200, 6, sees=False)
    sender.shows = lambda *_: said
    assert run_virtually(make_pool(sender, recorder, cascades=skipping(200, 6)).run()) is None
    again = isinstance(said, Seen) and not said.answer.settled
    assert len(sender.looks) < (LOOKS + 1) * ASKED if again else ASKED, "it is not asked on and on"
    sent = Counter(period for _, _, period in sender.starts)
    assert all(SENT + PROOF <= sent[f"c{n}"] <= SENT + PROOF + 10 for n in range(2, 7))
    assert enrolled_or_covered(recorder, world, requests)
    assert list(recorder.outcomes().values()).count(Outcome.COVERED_BY_CASCADE) > 700
    assert recorder.events.count("asked") == 2


def test_where_there_are_fewer_all_are_sent() -> None:
    world, requests, sender, recorder = cascading(SENT, 3, sees=False)
    assert run_virtually(make_pool(sender, recorder, cascades=skipping(SENT, 3)).run()) is None
    assert len(sender.starts) == len(requests)
    assert enrolled_or_covered(recorder, world, requests)


def test_what_the_api_shows_too_late_is_sent_and_the_finding_stands() -> None:
    _, requests, sender, recorder = cascading(60)
    sender.shows = lambda customer, _: customer % 7 != 0
    assert run_virtually(make_pool(sender, recorder, cascades=skipping(60, 4)).run()) is None
    assert "no_cascade" not in recorder.events
    outcomes = list(recorder.outcomes().values())
    assert len(outcomes) == len(requests)
    assert Outcome.COVERED_BY_CASCADE in outcomes


def test_what_is_missing_by_the_apis_word_and_enrolled_by_a_lost_attempt_refutes_too() -> None:
    """Fails when only an attempt that is accepted takes the finding back: its answer may be lost."""
    world, requests, sender, recorder = cascading(45, 3)
    asked: set[int] = set()

    def answer(customer: int, period: str | None, attempt: int) -> Verdict:
        if customer in asked:
            return LOST if attempt == 1 else CONFIRMED
        return world.answer(customer, period, attempt)

    def shows(customer: int, period: str | None) -> bool:
        asked.update({customer} if customer == 30 else ())
        return customer != 30 or period != "c3"

    sender.script, sender.shows = answer, shows
    assert run_virtually(make_pool(sender, recorder, cascades=skipping(45, 3)).run()) is None
    assert recorder.events.count("no_cascade") == 1
    assert len(sender.starts) >= len(requests)


@pytest.mark.parametrize("calls", [1, 20, 47])
def test_a_run_that_is_stopped_while_it_asks_settles_nothing_unsent_and_a_resume_does(calls: int) -> None:
    world, requests, sender, recorder = cascading(60)
    pool = make_pool(sender, recorder, concurrency=1, cascades=skipping(60, 4))

    def shows(customer: int, period: str | None) -> bool:
        if len(sender.looks) == calls:
            pool.stop(Stop(StopReason.SIGNAL, "stopped by SIGTERM"))
        return (customer, period) in world.enrolled

    sender.shows = shows
    stop = run_virtually(pool.run())
    assert stop is not None
    assert stop.reason is StopReason.SIGNAL
    assert len(sender.looks) == calls
    settled = recorder.outcomes()
    assert Outcome.COVERED_BY_CASCADE not in settled.values()
    known = skipping(60, 4)
    known.recall((1, False, requests[r.request_no - 1].request, r.verdict, r.attempt) for r in recorder.results)
    again = FakeRecorder([[item for item in requests if item.request_no not in settled]])
    second = seeing_sender(world)
    assert run_virtually(make_pool(second, again, cascades=known).run()) is None
    assert len(second.looks) == ASKED
    assert len(settled | again.outcomes()) == len(requests)
    assert second.starts == []


def test_an_abort_while_it_asks_leaves_everything_open() -> None:
    world, _, sender, recorder = cascading(60)
    pool = make_pool(sender, recorder, cascades=skipping(60, 4))

    def shows(customer: int, period: str | None) -> bool:
        if len(sender.looks) >= 10 and not pool.stopping:
            pool.abort()
            pool.stop(Stop(StopReason.SIGNAL, "stopped by SIGTERM"))
        return (customer, period) in world.enrolled

    sender.shows = shows

    async def running() -> Stop | None:
        return await asyncio.create_task(pool.run())

    assert run_virtually(running()) is not None
    assert Outcome.COVERED_BY_CASCADE not in recorder.outcomes().values()


@pytest.mark.parametrize("limit", [1, 30, 61, 66, 75])
def test_a_limit_settles_nothing_unsent_while_it_leaves_requests_out(limit: int) -> None:
    world, requests, sender, recorder = cascading(60)
    stop = run_virtually(make_pool(sender, recorder, limit=limit, cascades=skipping(60, 4)).run())
    covered = Outcome.COVERED_BY_CASCADE in recorder.outcomes().values()
    assert covered == (stop is None)
    assert len(sender.starts) <= limit
    if stop is None:
        assert enrolled_or_covered(recorder, world, requests)


def test_a_key_that_is_refused_at_the_end_falls_back_to_a_sample() -> None:
    world, requests, sender, recorder = cascading(100, 3, sees=False)
    no_access = Verdict(Outcome.ACCESS_REFUSED, settled=True, speaks=Speaks.RUN, http_status=403)
    sender.shows = lambda *_: Seen(no_access)
    assert run_virtually(make_pool(sender, recorder, cascades=skipping(100, 3)).run()) is None
    assert enrolled_or_covered(recorder, world, requests)


@given(st.integers(1, 3_000), st.integers(1, 60))
def test_a_sample_is_spread_over_the_whole(size: int, count: int) -> None:
    """Believed after the first `count` were taken."""
    chosen = _spread(range(size), count)
    assert len(set(chosen)) == min(size, count)
    assert chosen == sorted(chosen)
    if size > count > 3:
        gaps = [later - earlier for earlier, later in zip([0, *chosen], [*chosen, size], strict=True)]
        assert max(gaps) <= 3 * size / count + 1
