"""What was left out for a cascade, in the end of a run: asked about, sampled, sent or settled without a call."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.model import Outcome, Seen, Speaks, StopReason, Tells, Verdict
from batch.sending.conclusions import LOOKS
from batch.sending.evidence import PROOF
from batch.sending.guards import Stop
from batch.sending.needless import ASKED, ASKING_NS, SENT, SHARE, SLICE, _spread
from tests.sending.fakes import (
    BUSY,
    LOST,
    SCOPE,
    STALE,
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
    from collections.abc import Sequence

    from batch.model import EnrollmentRequest, Entries, OpenRequest
    from batch.sending.cascade import Cascades
    from batch.sending.pool import Pool

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


def stopped_at_the_first_question(pool: Pool, sender: FakeSender) -> None:
    def shows(*_: object) -> bool:
        pool.stop(Stop(StopReason.SIGNAL, "stopped by SIGTERM"))
        return True

    sender.shows = shows


def resumed(
    requests: list[OpenRequest], recorder: FakeRecorder, customers: int, cycles: int
) -> tuple[Cascades, FakeRecorder]:
    """What a resume knows, and what is open for it."""
    known, settled = skipping(customers, cycles), recorder.outcomes()
    known.recall((1, False, requests[r.request_no - 1].request, r.verdict, r.attempt) for r in recorder.results)
    return known, FakeRecorder([[item for item in requests if item.request_no not in settled]])


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


TROUBLE = [
    pytest.param(Seen(BUSY), id="overloaded"),
    pytest.param(Seen(too_many(30.0)), id="429"),
    pytest.param(Seen(too_many(None)), id="429 without a time"),
    pytest.param(Seen(dataclasses.replace(too_many(None), http_status=503)), id="503"),
    pytest.param(Seen(dataclasses.replace(BUSY, http_status=504, error_code=None)), id="504"),
    pytest.param(Seen(Verdict(Outcome.UNREACHABLE, settled=False, tells=Tells.NEVER_REACHED)), id="silence"),
    pytest.param(Seen(STALE), id="a token that is always refused"),
]
"""What says nothing, and may be asked again."""


@pytest.mark.parametrize("said", [pytest.param(REFUSED, id="refused"), *TROUBLE])
def test_where_the_api_does_not_say_a_sample_of_each_pair_of_cycles_is_sent(said: Seen) -> None:
    """Fails when the samples are of all pairs together, and when trouble of the read alone ends the run."""
    world, requests, sender, recorder = cascading(200, 6, sees=False)
    sender.shows = lambda *_: said
    assert run_virtually(make_pool(sender, recorder, cascades=skipping(200, 6)).run()) is None
    assert len(sender.looks) < 2 * ASKED, "it is not asked on and on"
    assert max(Counter(sender.looks).values()) <= LOOKS
    sent = Counter(period for _, _, period in sender.starts)
    assert all(SENT + PROOF <= sent[f"c{n}"] <= SENT + PROOF + 10 for n in range(2, 7))
    assert enrolled_or_covered(recorder, world, requests)
    assert list(recorder.outcomes().values()).count(Outcome.COVERED_BY_CASCADE) > 700
    assert (recorder.events.count("asked"), recorder.events.count("sampled")) == (1, 1)


@pytest.mark.parametrize("said", TROUBLE)
@pytest.mark.parametrize("good", [0, 20])
def test_where_only_the_read_is_in_trouble_the_run_ends(said: Seen, good: int) -> None:
    """Also on a resume, to which the API has answered nothing yet."""
    world, requests, sender, recorder = cascading(60)
    pool = make_pool(sender, recorder, cascades=skipping(60, 4))
    stopped_at_the_first_question(pool, sender)
    run_virtually(pool.run())
    settled = recorder.outcomes()
    known, again = resumed(requests, recorder, 60, 4)
    second = FakeSender(world.answer)
    second.shows = lambda *key: key in world.enrolled if len(second.looks) <= good else said
    assert run_virtually(make_pool(second, again, outage_s=1, cascades=known).run()) is None
    assert len(settled | again.outcomes()) == len(requests)
    assert max(Counter(second.looks).values()) <= LOOKS


def answers_slowly(sender: FakeSender, seconds: float) -> None:
    look_at = sender.look_at

    async def slowly(worker: int, requests: Sequence[EnrollmentRequest]) -> Seen:
        await asyncio.sleep(seconds - sender.latency_s)
        return await look_at(worker, requests)

    sender.look_at = slowly  # type: ignore[method-assign]


@pytest.mark.parametrize("interrupted", [0, 1, 7])
def test_a_read_that_answers_too_seldom_is_waited_for_less_each_time(interrupted: int) -> None:
    """Fails when each invocation asks for as long as the first: a window that is shorter never sees the end."""
    world, requests, sender, recorder = cascading(60)
    answers_slowly(sender, 50)
    known = skipping(60, 4)
    known.remember([], [(SCOPE, interrupted)])
    assert run_virtually(make_pool(sender, recorder, concurrency=1, cascades=known).run()) is None
    assert len(sender.looks) - 1 == ASKING_NS // (1 + interrupted) // (50 * SECOND)
    assert "sampled" in recorder.events
    assert enrolled_or_covered(recorder, world, requests)


def test_when_the_time_is_over_so_many_answers_as_are_asked_for_at_least_are_enough() -> None:
    """Fails when the customers are asked about in the order of the upload: then those at its end never are."""
    customers = 2 * ASKED * SHARE + SHARE
    world, requests = World(cascades=True), open_requests(customers, 3)
    sender, recorder = seeing_sender(world), FakeRecorder([requests])
    answers_slowly(sender, ASKING_NS / SECOND / (1.5 * ASKED))
    assert run_virtually(make_pool(sender, recorder, concurrency=1, cascades=skipping(customers, 3)).run()) is None
    assert ASKED < len(sender.looks) < 1.6 * ASKED
    assert "sampled" not in recorder.events
    asked = sorted(customer for customer, _ in sender.looks)
    assert max(later - earlier for earlier, later in pairwise([0, *asked, customers])) < 4 * customers / len(asked)
    assert Outcome.COVERED_BY_CASCADE in recorder.outcomes().values()


def test_at_a_slow_rate_the_questions_have_time() -> None:
    _, _, sender, recorder = cascading(60)
    pool = make_pool(sender, recorder, rate=(1, 20 * SECOND), cascades=skipping(60, 4))
    assert run_virtually(pool.run()) is None
    assert len(sender.looks) == ASKED
    assert "sampled" not in recorder.events


def test_whoever_an_answer_does_not_list_is_sent_and_the_others_are_asked_about_all_the_same() -> None:
    """Fails when one answer of which one cycle is not known ends the asking, and when that one is settled unsent."""
    world, requests, sender, recorder = cascading(200, 4)
    unlisted: list[int] = []

    def shows(customer: int, period: str | None) -> bool | None:
        if not unlisted:
            unlisted.append(customer)
        return None if customer == unlisted[0] and period == "c3" else (customer, period) in world.enrolled

    sender.shows = shows
    assert run_virtually(make_pool(sender, recorder, cascades=skipping(200, 4)).run()) is None
    assert len(sender.looks) == ASKED
    assert (unlisted[0], "c3") in {(customer, period) for _, customer, period in sender.starts}
    assert {period for _, customer, period in sender.starts if customer == unlisted[0]} <= {"c1", "c3"}
    assert "sampled" not in recorder.events
    assert enrolled_or_covered(recorder, world, requests)


@pytest.mark.parametrize("seed", range(12))
def test_an_api_that_lists_only_who_is_enrolled_tells_as_much_as_one_that_lists_all(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a repeatable course of events
    missing = {n for n in range(1, 201) if chance.random() < 0.2}
    world = World(False, ((n, f"c{k}") for n in range(1, 201) if n not in missing for k in range(2, 5)))
    requests = open_requests(200, 4)
    sender, recorder = FakeSender(world.answer), FakeRecorder([requests])
    sender.shows = lambda *key: True if key in world.enrolled else None
    assert run_virtually(make_pool(sender, recorder, concurrency=16, cascades=skipping(200, 4)).run()) is None
    assert enrolled_or_covered(recorder, world, requests)


def test_where_questions_would_be_as_many_calls_as_requests_these_are_sent() -> None:
    world, requests, sender, recorder = cascading(200, 2)
    assert run_virtually(make_pool(sender, recorder, cascades=skipping(200, 2)).run()) is None
    assert sender.looks == []
    assert recorder.events.count("sampled") == 1
    assert 200 + ASKED < len(sender.starts) < 200 + ASKED + 30
    assert enrolled_or_covered(recorder, world, requests)


def one_is_missing(world: World, sender: FakeSender) -> None:
    """Let the API call one customer missing, and answer strangely when he is sent."""
    missing: list[int] = []

    def shows(customer: int, period: str | None) -> bool:
        missing.extend([customer] if period == "c3" and not missing else [])
        return period != "c3" or customer not in missing

    odd = Verdict(Outcome.UNRECOGNISED, settled=True, http_status=418)
    sender.script = lambda *key: odd if key[0] in missing and key[1] == "c3" else world.answer(*key)
    sender.shows = shows


def test_nothing_is_settled_unsent_while_an_answer_that_may_refute_waits_for_others() -> None:
    """Fails when what was left out is settled before what waits."""
    world, requests, sender, recorder = cascading(60, 3)
    one_is_missing(world, sender)
    assert run_virtually(make_pool(sender, recorder, cascades=skipping(60, 3)).run()) is None
    assert recorder.events.count("no_cascade") == 1
    assert len(sender.starts) == len(requests)
    assert list(recorder.outcomes().values()).count(Outcome.UNRECOGNISED) == 1


def test_where_it_waits_and_nothing_was_accepted_yet_what_was_left_out_stays_open() -> None:
    world, requests, sender, recorder = cascading(60, 3)
    pool = make_pool(sender, recorder, cascades=skipping(60, 3))
    stopped_at_the_first_question(pool, sender)
    run_virtually(pool.run())
    known, again = resumed(requests, recorder, 60, 3)
    second = FakeSender(world.answer)
    one_is_missing(world, second)
    stop = run_virtually(make_pool(second, again, cascades=known).run())
    assert stop is not None
    assert stop.reason is StopReason.REFUSED
    assert again.outcomes() == {}


@pytest.mark.parametrize("customers", [SLICE // 2, SLICE])
def test_what_is_settled_unsent_is_written_in_slices(customers: int) -> None:
    """Fails when it is one transaction: what is not written yet lies in memory."""
    _, requests, sender, recorder = cascading(customers, 5)
    sizes: list[int] = []
    write = recorder.write

    async def counted(entries: Entries) -> None:
        sizes.append(len(entries.results))
        await write(entries)

    recorder.write = counted  # type: ignore[method-assign]
    assert run_virtually(make_pool(sender, recorder, concurrency=16, cascades=skipping(customers, 5)).run()) is None
    assert max(sizes) == SLICE
    assert len(recorder.outcomes()) == len(requests)
    assert recorder.finished == [1]


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
    known, again = resumed(requests, recorder, 60, 4)
    second = seeing_sender(world)
    assert run_virtually(make_pool(second, again, cascades=known).run()) is None
    assert len(second.looks) == ASKED
    assert max(second.looked_at) < ASKED * SECOND // 10 // 2, "an answer proves our access, so they are put at once"
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
