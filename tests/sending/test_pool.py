from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.errors import AccessRefused, LedgerFailed
from batch.model import (
    Action,
    EnrollmentRequest,
    Kind,
    Looked,
    OpenRequest,
    Outcome,
    Scope,
    StopReason,
    Tells,
    Verdict,
)  # fmt: skip
from batch.sending.guards import Stop
from batch.sending.retry import InDoubt
from tests.sending.fakes import (
    BUSY,
    ENROLLED,
    INVALID,
    LOST,
    NO_ACCESS,
    REFUSED_PORT,
    STALE,
    FakeRecorder,
    FakeSender,
    make_pool,
    open_requests,
    too_many,
)  # fmt: skip
from tests.sending.virtual_loop import run_virtually

SECOND = 1_000_000_000


def most_in_any_window(starts: list[int], window_ns: int) -> int:
    return max(sum(begin <= start < begin + window_ns for start in starts) for begin in starts)


def test_every_request_ends_and_no_customer_overlaps() -> None:
    sender = FakeSender(lambda customer, period, attempt: INVALID if customer == 3 else ENROLLED)
    recorder = FakeRecorder([open_requests(5, 3, 1), open_requests(5, 3, 2)])
    assert run_virtually(make_pool(sender, recorder).run()) is None
    outcomes = recorder.outcomes()
    assert len(outcomes) == 30
    assert sum(outcome is Outcome.INVALID_USER for outcome in outcomes.values()) == 3
    assert recorder.finished == [1, 2]
    assert sender.overlaps == 0
    assert sender.most_in_flight == 4


def test_a_customers_cycles_go_in_order() -> None:
    sender = FakeSender(lambda customer, period, attempt: BUSY if attempt == 1 and period == "c2" else ENROLLED)
    run_virtually(make_pool(sender, FakeRecorder([open_requests(3, 4)])).run())
    for customer in (1, 2, 3):
        sent = [period for _, who, period in sender.starts if who == customer]
        assert sent == ["c1", "c2", "c2", "c3", "c4"]


def test_only_one_request_is_out_until_the_api_has_answered_once() -> None:
    sender = FakeSender(lambda *_: ENROLLED, latency_s=1)
    run_virtually(make_pool(sender, FakeRecorder([open_requests(5)])).run())
    first, second, *_ = [start for start, *_ in sender.starts]
    assert second - first >= SECOND
    assert sender.most_in_flight == 4


@pytest.mark.parametrize("rate", [(20, SECOND), (100, 60 * SECOND), (3, SECOND)])
def test_no_window_holds_more_starts_than_the_rate(rate: tuple[int, int]) -> None:
    sender = FakeSender(lambda *_: ENROLLED, latency_s=0.01)
    run_virtually(make_pool(sender, FakeRecorder([open_requests(3 * rate[0])]), rate=rate).run())
    starts = [start for start, *_ in sender.starts]
    assert most_in_any_window(starts, rate[1]) <= rate[0]
    assert starts[-1] - starts[0] <= (len(starts) - 1) * rate[1] / rate[0] / 0.95


def test_retries_pay_the_rate_too() -> None:
    sender = FakeSender(lambda customer, period, attempt: BUSY if attempt < 3 else ENROLLED, latency_s=0.01)
    run_virtually(make_pool(sender, FakeRecorder([open_requests(20)]), rate=(10, SECOND)).run())
    starts = [start for start, *_ in sender.starts]
    assert len(starts) == 60
    assert most_in_any_window(starts, SECOND) <= 10


def test_attempts_run_out_and_the_request_ends_as_its_last_attempt() -> None:
    sender = FakeSender(lambda customer, *_: BUSY if customer == 1 else ENROLLED)
    recorder = FakeRecorder([open_requests(2)])
    assert run_virtually(make_pool(sender, recorder, attempts=3).run()) is None
    assert recorder.outcomes() == {1: Outcome.SERVER_ERROR, 2: Outcome.ENROLLED}
    assert [r.attempt for r in recorder.results if r.request_no == 1] == [1, 2, 3]


def test_a_request_that_may_have_been_applied_is_resent_by_default() -> None:
    sender = FakeSender(lambda customer, period, attempt: LOST if attempt == 1 else ENROLLED)
    recorder = FakeRecorder([open_requests(2)])
    run_virtually(make_pool(sender, recorder).run())
    assert recorder.outcomes() == {1: Outcome.ENROLLED, 2: Outcome.ENROLLED}


def test_with_leave_a_request_in_doubt_is_not_resent() -> None:
    sender = FakeSender(lambda customer, *_: LOST if customer == 2 else ENROLLED)
    recorder = FakeRecorder([open_requests(2)])
    run_virtually(make_pool(sender, recorder, in_doubt=InDoubt.LEAVE).run())
    assert recorder.outcomes() == {1: Outcome.ENROLLED, 2: Outcome.IN_DOUBT}
    assert len(sender.starts) == 2


@pytest.mark.parametrize(
    "request_in_doubt",
    [
        EnrollmentRequest(Scope(Action.UNENROLL, Kind.MILESTONE, None, 1, 2), 7),
        EnrollmentRequest(Scope(Action.ENROLL, Kind.MILESTONE, None, 1, 2), 7, "c1", initial_balance=0),
        EnrollmentRequest(Scope(Action.ENROLL, Kind.STREAK, None, 1, 2), 7, reset_streak_status=True),
    ],
)
def test_an_unenroll_a_balance_or_a_reset_in_doubt_is_never_resent(request_in_doubt: EnrollmentRequest) -> None:
    first, doubtful = open_requests(2)
    sender = FakeSender(lambda customer, *_: LOST if customer == 7 else ENROLLED)
    recorder = FakeRecorder([[first, dataclasses.replace(doubtful, request=request_in_doubt)]])
    run_virtually(make_pool(sender, recorder).run())
    assert recorder.outcomes() == {1: Outcome.ENROLLED, 2: Outcome.IN_DOUBT}


CONFIRMED = Verdict(Outcome.ENROLLED, settled=True, reason="confirmed_by_api")
REFUTED = Verdict(Outcome.SERVER_ERROR, settled=False, reason="refuted_by_api", tells=Tells.REFUSED)


def doubtful_run(
    standing: Callable[[int, int], Looked | Verdict | None],
    answers: Sequence[Verdict],
    in_doubt: InDoubt = InDoubt.VERIFY,
) -> tuple[FakeSender, FakeRecorder]:
    """Customer 1 goes well; customer 2 gets the answers, and looks at it say what `standing` says."""
    sender = FakeSender(lambda customer, _, attempt: ENROLLED if customer == 1 else answers[attempt - 1])
    sender.standing = standing
    recorder = FakeRecorder([open_requests(2)])
    assert run_virtually(make_pool(sender, recorder, in_doubt=in_doubt).run()) is None
    assert recorder.finished == [1]
    return sender, recorder


def test_with_verify_the_api_is_asked_before_anything_is_sent_again() -> None:
    sender, recorder = doubtful_run(lambda *_: CONFIRMED, [LOST])
    assert sender.looks == [(2, "c1")]
    assert recorder.outcomes() == {1: Outcome.ENROLLED, 2: Outcome.ENROLLED}
    assert [r.attempt for r in recorder.results if r.request_no == 2] == [1, 0]


def test_what_the_api_has_not_applied_is_sent_again() -> None:
    sender, recorder = doubtful_run(lambda *_: REFUTED, [LOST, ENROLLED])
    assert recorder.outcomes()[2] is Outcome.ENROLLED
    assert len(sender.starts) == 3


def test_an_api_that_cannot_be_asked_leaves_it_in_doubt() -> None:
    sender, recorder = doubtful_run(lambda *_: None, [LOST])
    assert recorder.outcomes()[2] is Outcome.IN_DOUBT
    assert len(sender.looks) == 3
    assert len(sender.starts) == 2


def test_a_429_to_a_look_holds_everybody_and_costs_no_look() -> None:
    """Found by it: looks that are sent on through a hold, or give up after three 429s."""
    sender = FakeSender(lambda customer, _, attempt: LOST if customer == 2 else ENROLLED)
    sender.standing = lambda _, looks: Looked(too_many(30)) if looks <= 5 else CONFIRMED
    recorder = FakeRecorder([open_requests(200)])
    pool = make_pool(sender, recorder, rate=(1, SECOND), in_doubt=InDoubt.VERIFY, adaptive=True, outage_s=600)
    assert run_virtually(pool.run()) is None
    assert recorder.outcomes()[2] is Outcome.ENROLLED
    assert (len(sender.looks), recorder.events.count("hold")) == (6, 5)
    for look in sender.looked_at[:5]:
        held = range(look + round(sender.latency_s * SECOND) + 1, look + 30 * SECOND)
        assert not [start for start, *_ in sender.starts if start in held]
    assert "rate" in recorder.events


def test_an_outage_that_a_look_meets_costs_waiting_and_no_look() -> None:
    def standing(_: int, looks: int) -> Looked:
        up = asyncio.get_running_loop().time() >= 600
        return Looked(ENROLLED, CONFIRMED) if up else Looked(REFUSED_PORT)

    sender = FakeSender(lambda customer, *_: LOST if customer > 1 else ENROLLED)
    sender.standing = standing
    recorder = FakeRecorder([open_requests(31)])
    pool = make_pool(sender, recorder, in_doubt=InDoubt.VERIFY, concurrency=30, outage_s=3600)
    assert run_virtually(pool.run()) is None
    assert set(recorder.outcomes().values()) == {Outcome.ENROLLED}


def test_a_look_with_a_token_that_is_always_refused_is_not_made_for_ever() -> None:
    sender, recorder = doubtful_run(lambda *_: Looked(STALE), [LOST])
    assert len(sender.looks) == 3
    assert recorder.outcomes()[2] is Outcome.IN_DOUBT


def test_what_is_refuted_when_all_attempts_are_used_up_is_known_not_to_be_applied() -> None:
    sender, recorder = doubtful_run(lambda *_: REFUTED, [LOST, LOST, LOST])
    assert recorder.outcomes()[2] is Outcome.SERVER_ERROR
    assert len(sender.looks) == 3


def left_behind(attempts: int) -> list[OpenRequest]:
    """One request that a dead sender left in doubt, or that an earlier run did (no attempts in this one)."""
    first, second = open_requests(2)
    return [first, dataclasses.replace(second, maybe_applied=True, attempts=attempts, attempts_counted=attempts)]


@pytest.mark.parametrize(
    ("setting", "outcome", "sent", "looks"),
    [
        (InDoubt.RESEND, Outcome.ENROLLED, 2, 0),
        (InDoubt.VERIFY, Outcome.ENROLLED, 1, 1),
        (InDoubt.LEAVE, Outcome.IN_DOUBT, 1, 0),
    ],
)
def test_what_a_dead_sender_left_in_doubt_goes_by_the_setting(
    setting: InDoubt, outcome: Outcome, sent: int, looks: int
) -> None:
    sender = FakeSender(lambda *_: ENROLLED)
    sender.standing = lambda *_: CONFIRMED
    recorder = FakeRecorder([left_behind(attempts=1)])
    assert run_virtually(make_pool(sender, recorder, in_doubt=setting).run()) is None
    assert recorder.outcomes()[2] is outcome
    assert (len(sender.starts), len(sender.looks)) == (sent, looks)


def test_what_an_earlier_run_left_in_doubt_was_started_again_by_a_person_and_is_sent() -> None:
    sender = FakeSender(lambda *_: ENROLLED)
    recorder = FakeRecorder([left_behind(attempts=0)])
    run_virtually(make_pool(sender, recorder, in_doubt=InDoubt.LEAVE).run())
    assert len(sender.starts) == 2


def test_three_refusals_for_the_whole_run_in_a_row_stop_it_and_store_nothing() -> None:
    sender = FakeSender(lambda *_: NO_ACCESS)
    recorder = FakeRecorder([open_requests(50)])
    stop = run_virtually(make_pool(sender, recorder).run())
    assert stop is not None
    assert stop.reason is StopReason.REFUSED
    assert recorder.outcomes() == {}
    assert len(sender.starts) == 3
    assert len(recorder.open_attempts(Tells.REFUSED)) == len(sender.starts)


def test_a_single_refusal_among_successes_is_that_requests_own_outcome() -> None:
    sender = FakeSender(lambda customer, *_: NO_ACCESS if customer in {5, 20} else ENROLLED)
    recorder = FakeRecorder([open_requests(20)])
    assert run_virtually(make_pool(sender, recorder).run()) is None
    outcomes = recorder.outcomes()
    assert len(outcomes) == 20
    assert {no for no, outcome in outcomes.items() if outcome is Outcome.ACCESS_REFUSED} == {5, 20}
    assert recorder.finished == [1]


def test_a_run_that_met_nothing_but_one_refusal_was_refused_as_a_whole() -> None:
    stop = run_virtually(make_pool(FakeSender(lambda *_: NO_ACCESS), FakeRecorder([open_requests(1)])).run())
    assert stop is not None
    assert stop.reason is StopReason.REFUSED


def test_a_token_that_is_refused_is_renewed_and_its_request_sent_again_without_losing_an_attempt() -> None:
    sender = FakeSender(lambda customer, period, attempt: STALE if attempt == 1 else ENROLLED)
    recorder = FakeRecorder([open_requests(3)])
    assert run_virtually(make_pool(sender, recorder, attempts=1).run()) is None
    assert set(recorder.outcomes().values()) == {Outcome.ENROLLED}


def test_a_token_that_is_refused_again_after_its_renewal_is_an_access_refusal() -> None:
    sender = FakeSender(lambda *_: STALE)
    stop = run_virtually(make_pool(sender, FakeRecorder([open_requests(30)])).run())
    assert stop is not None
    assert stop.reason is StopReason.REFUSED


def test_refused_credentials_stop_the_run_before_anything_left() -> None:
    sender = FakeSender(lambda *_: AccessRefused("key and secret are refused"))
    recorder = FakeRecorder([open_requests(30)])
    pool = make_pool(sender, recorder)
    assert run_virtually(pool.run()) == Stop(StopReason.REFUSED, "key and secret are refused")
    assert recorder.open_attempts(Tells.WITHDRAWN) == [1]
    assert pool.attempts == 0


def test_an_api_that_has_never_answered_gets_the_set_attempts_and_stores_nothing() -> None:
    sender = FakeSender(lambda *_: REFUSED_PORT)
    recorder = FakeRecorder([open_requests(30)])
    stop = run_virtually(make_pool(sender, recorder, attempts=4).run())
    assert stop is not None
    assert stop.reason is StopReason.SILENT
    assert recorder.outcomes() == {}
    assert len(sender.starts) == 4


def test_an_outage_costs_waiting_and_no_attempts() -> None:
    down = {"until": 600.0}

    def script(customer: int, period: str | None, attempt: int) -> object:
        now = asyncio.get_running_loop().time()
        return REFUSED_PORT if 1 <= now < down["until"] else ENROLLED

    sender = FakeSender(script, latency_s=0.1)  # type: ignore[arg-type]
    recorder = FakeRecorder([open_requests(200)])
    assert run_virtually(make_pool(sender, recorder, attempts=2, outage_s=3600).run()) is None
    outcomes = recorder.outcomes()
    assert len(outcomes) == 200
    # Those that failed before the outage was recognised have used up attempts; nobody else has.
    assert sum(outcome is Outcome.UNREACHABLE for outcome in outcomes.values()) <= 10
    assert "hold" in recorder.events


def test_an_outage_longer_than_allowed_stops_the_run() -> None:
    sender = FakeSender(lambda customer, *_: ENROLLED if customer == 1 else REFUSED_PORT)
    recorder = FakeRecorder([open_requests(50)])
    stop = run_virtually(make_pool(sender, recorder, attempts=100, outage_s=30).run())
    assert stop is not None
    assert stop.reason is StopReason.SILENT
    assert recorder.outcomes() == {1: Outcome.ENROLLED}


def test_a_429_holds_everybody_for_as_long_as_it_says() -> None:
    sender = FakeSender(lambda customer, period, attempt: too_many(30) if (customer, attempt) == (2, 1) else ENROLLED)
    recorder = FakeRecorder([open_requests(20)])
    run_virtually(make_pool(sender, recorder, concurrency=2, attempts=1).run())
    starts = sorted(start for start, *_ in sender.starts)
    refused_at = next(start for start, customer, _ in sender.starts if customer == 2) + SECOND // 10
    assert not [start for start in starts if refused_at < start < refused_at + 30 * SECOND]
    assert set(recorder.outcomes().values()) == {Outcome.ENROLLED}


def test_a_drain_finishes_what_is_out_and_withdraws_what_is_not() -> None:
    sender = FakeSender(lambda *_: ENROLLED, latency_s=1)
    recorder = FakeRecorder([open_requests(20)])
    pool = make_pool(sender, recorder, rate=(100, SECOND))

    async def drained() -> Stop | None:
        running = asyncio.create_task(pool.run())
        await asyncio.sleep(1.5)
        pool.stop(Stop(StopReason.SIGNAL, "SIGTERM"))
        return await running

    stop = run_virtually(drained())
    assert stop == Stop(StopReason.SIGNAL, "SIGTERM")
    sent, settled = len(sender.starts), len(recorder.outcomes())
    assert 0 < sent == settled < 20
    withdrawn = len(recorder.open_attempts(Tells.WITHDRAWN))
    assert len(recorder.intended) == sent + withdrawn


def test_an_abort_leaves_what_is_out_in_doubt() -> None:
    sender = FakeSender(lambda *_: ENROLLED, latency_s=1)
    recorder = FakeRecorder([open_requests(20)])
    pool = make_pool(sender, recorder)

    async def aborted() -> None:
        running = asyncio.create_task(pool.run())
        await asyncio.sleep(1.5)
        pool.stop(Stop(StopReason.SIGNAL, "SIGINT"))
        pool.abort()
        await running

    run_virtually(aborted())
    assert len(recorder.open_attempts(Tells.MAY_BE_APPLIED)) == 4
    assert len(recorder.outcomes()) == 1


def test_a_limit_stops_after_that_many_requests_with_their_retries() -> None:
    sender = FakeSender(lambda customer, period, attempt: BUSY if attempt == 1 else ENROLLED)
    recorder = FakeRecorder([open_requests(20, 1, 1), open_requests(20, 1, 2), open_requests(20, 1, 3)])
    stop = run_virtually(make_pool(sender, recorder, limit=5).run())
    assert stop is not None
    assert stop.reason is StopReason.LIMIT
    assert recorder.outcomes() == dict.fromkeys(range(1, 6), Outcome.ENROLLED)
    assert recorder.claims <= 2


def test_a_limit_that_everything_fits_into_is_no_stop() -> None:
    recorder = FakeRecorder([open_requests(5)])
    assert run_virtually(make_pool(FakeSender(lambda *_: ENROLLED), recorder, limit=5).run()) is None


def test_a_share_of_failures_above_the_threshold_drains_the_run() -> None:
    sender = FakeSender(lambda customer, *_: INVALID if customer % 2 else ENROLLED)
    recorder = FakeRecorder([open_requests(100)])
    stop = run_virtually(make_pool(sender, recorder, stop_when={"invalid_user": 0.4}, minimum=10).run())
    assert stop is not None
    assert stop.reason is StopReason.GUARD
    assert len(recorder.outcomes()) < 20


def test_an_unknown_fault_stops_the_run_and_leaves_its_request_in_doubt() -> None:
    sender = FakeSender(lambda customer, *_: ValueError("secret 123") if customer == 4 else ENROLLED)
    recorder = FakeRecorder([open_requests(50)])
    stop = run_virtually(make_pool(sender, recorder).run())
    assert stop is not None
    assert stop.reason is StopReason.FAULT
    assert "ValueError" in stop.text
    assert "secret 123" not in stop.text
    assert recorder.open_attempts(Tells.MAY_BE_APPLIED) == [4]


@pytest.mark.parametrize("fails_at", [1, 2, 3, 5])
def test_a_failing_ledger_ends_the_run_and_nothing_leaves_without_an_intent(fails_at: int) -> None:
    sender = FakeSender(lambda *_: ENROLLED)
    recorder = FakeRecorder([open_requests(50)], fails_at=fails_at)
    with pytest.raises(LedgerFailed, match="disk full"):
        run_virtually(make_pool(sender, recorder).run())
    assert {(customer, 1) for _, customer, _ in sender.starts} <= recorder.intended


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_whatever_is_answered_each_request_ends_once_and_results_are_never_lost(data: st.DataObject) -> None:
    """Fails when `advance` is called without `_settle`, or when a released refusal is dropped in `_conclude`."""
    customers, periods = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 3))
    answers = st.sampled_from([ENROLLED, INVALID, BUSY, LOST, NO_ACCESS, STALE, too_many(2), too_many(None)])
    plan = {
        (c, f"c{p}"): data.draw(st.lists(answers, max_size=4)) for c in range(1, customers + 1) for p in range(1, 4)
    }

    def script(customer: int, period: str | None, attempt: int) -> object:
        said = plan[customer, str(period)]
        return said[attempt - 1] if attempt <= len(said) else ENROLLED

    sender = FakeSender(script)  # type: ignore[arg-type]
    recorder = FakeRecorder([open_requests(customers, periods)])
    pool = make_pool(sender, recorder, concurrency=data.draw(st.integers(1, 4)))
    stop = run_virtually(pool.run())
    settled = [r.request_no for r in recorder.results if r.settled]
    assert len(settled) == len(set(settled))
    assert sender.overlaps == 0
    assert pool.attempts == len(sender.starts)
    assert len([r for r in recorder.results if r.verdict.tells is not Tells.WITHDRAWN]) == len(sender.starts)
    if stop is None:
        assert len(settled) == customers * periods
        assert recorder.finished == [1]


def test_a_refusal_of_the_whole_run_that_shows_while_it_drains_is_not_stored_and_outranks_the_signal() -> None:
    sender = FakeSender(lambda customer, *_: ENROLLED if customer == 1 else NO_ACCESS, latency_s=1)
    recorder = FakeRecorder([open_requests(20)])
    pool = make_pool(sender, recorder, concurrency=3)

    async def stopped() -> Stop | None:
        running = asyncio.create_task(pool.run())
        await asyncio.sleep(1.5)
        pool.stop(Stop(StopReason.SIGNAL, "SIGINT"))
        return await running

    stop = run_virtually(stopped())
    assert stop is not None
    assert stop.reason is StopReason.REFUSED
    assert recorder.outcomes() == {1: Outcome.ENROLLED}


def test_a_refusal_that_waits_for_a_decision_stays_open_when_the_run_stops() -> None:
    sender = FakeSender(lambda customer, *_: ENROLLED if customer == 1 else NO_ACCESS, latency_s=1)
    recorder = FakeRecorder([open_requests(20)])
    stop = run_virtually(make_pool(sender, recorder, limit=2).run())
    assert stop is not None
    assert stop.reason is StopReason.LIMIT
    assert recorder.outcomes() == {1: Outcome.ENROLLED}
