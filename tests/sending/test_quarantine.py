from __future__ import annotations

from dataclasses import replace

from batch.model import EnrollmentRequest, Outcome, Speaks, Verdict
from batch.sending.quarantine import Closed, Quarantines
from tests.sending.fakes import ENROLLED, INVALID, SCOPE, FakeRecorder, FakeSender, make_pool, open_requests
from tests.sending.virtual_loop import run_virtually

NO_PERIOD = Verdict(Outcome.PERIOD_NOT_FOUND, settled=True, speaks=Speaks.PERIOD, error_code=310019)
NO_TARGET = Verdict(Outcome.TARGET_NOT_FOUND, settled=True, speaks=Speaks.TARGET, error_code=310018)
NO_GROUP = Verdict(Outcome.TARGET_NOT_FOUND, settled=True, speaks=Speaks.GROUP, error_code=310017)


def request(period: str = "c1", target_id: int = 1, group_id: int = 1, customer: int = 1) -> EnrollmentRequest:
    return EnrollmentRequest(replace(SCOPE, target_group_id=group_id, target_id=target_id), customer, period)


def test_three_refusals_in_a_row_close_the_cycle_and_nothing_else() -> None:
    quarantines = Quarantines()
    said = [quarantines.observe(request("c1", customer=n), NO_PERIOD) for n in range(3)]
    assert said[:2] == [None, None]
    assert said[2] == Closed(
        "cycle c1 of group 1: refused 3 times in a row with code 310019",
        {
            "org_id": None, "target_group_id": 1, "target_id": 1, "period": "c1", "refusals": 3, "error_code": 310019,
        },
    )  # fmt: skip
    closed = quarantines.closed_for(request("c1", customer=9))
    assert closed is not None
    assert (closed.outcome, closed.reason, closed.error_code) == (Outcome.NOT_SENT, "quarantined_period", 310019)
    assert quarantines.closed_for(request("c2")) is None


def test_a_success_between_them_starts_the_count_again() -> None:
    quarantines = Quarantines()
    for verdict in (NO_PERIOD, NO_PERIOD, ENROLLED, NO_PERIOD, NO_PERIOD):
        assert quarantines.observe(request(), verdict) is None


def test_an_invalid_customer_between_them_proves_nothing() -> None:
    quarantines = Quarantines()
    verdicts = (NO_PERIOD, INVALID, NO_PERIOD, INVALID, NO_PERIOD)
    assert [quarantines.observe(request(), verdict) is not None for verdict in verdicts][-1]


def test_a_target_and_a_group_close_all_that_is_below_them() -> None:
    quarantines = Quarantines()
    for customer in range(3):
        target = quarantines.observe(request(target_id=1, customer=customer), NO_TARGET)
        group = quarantines.observe(request(target_id=customer, group_id=7), NO_GROUP)
    assert target is not None
    assert group is not None
    named = [[news.facts[name] for name in ("target_group_id", "target_id", "period")] for news in (target, group)]
    assert named == [[1, 1, None], [7, None, None]]
    assert quarantines.closed_for(request("c9", target_id=1)) is not None
    assert quarantines.closed_for(request(target_id=2)) is None
    assert quarantines.closed_for(request(target_id=5, group_id=7)) is not None


def test_what_was_closed_stays_closed_after_a_resume() -> None:
    before = Quarantines()
    for customer in range(3):
        before.observe(request(customer=customer), NO_PERIOD)
    left_out = before.closed_for(request())
    assert left_out is not None
    after = Quarantines([(request(), left_out)])
    assert after.closed_for(request(customer=99)) == left_out


def test_the_pool_leaves_a_closed_cycle_out_and_sends_the_others() -> None:
    sender = FakeSender(lambda customer, period, attempt: NO_PERIOD if period == "c2" else ENROLLED)
    recorder = FakeRecorder([open_requests(20, 3, 1), open_requests(20, 3, 2)])
    pool = make_pool(sender, recorder)
    assert run_virtually(pool.run()) is None
    outcomes = list(recorder.outcomes().values())
    assert outcomes.count(Outcome.ENROLLED) == 80
    assert 3 <= outcomes.count(Outcome.PERIOD_NOT_FOUND) <= 3 + 4
    assert outcomes.count(Outcome.NOT_SENT) == 40 - outcomes.count(Outcome.PERIOD_NOT_FOUND)
    assert recorder.finished == [1, 2]
    assert recorder.events == ["quarantine"]
