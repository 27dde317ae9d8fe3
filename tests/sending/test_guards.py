from __future__ import annotations

from dataclasses import replace

import pytest

from batch.model import Outcome, Speaks, StopReason, Tells, Verdict
from batch.sending.guards import Reachability, RunRefusals, Thresholds, is_pushback, is_transport_failure
from tests.sending.fakes import BUSY, ENROLLED, INVALID, LOST, NO_ACCESS, REFUSED_PORT, too_many

SECOND = 1_000_000_000
BAD_SCOPE = Verdict(Outcome.SCOPE_REFUSED, settled=True, speaks=Speaks.RUN, http_status=400, error_code=310144)
HTML_404 = Verdict(Outcome.UNRECOGNISED, settled=True, http_status=404, error_message="<html>")


def observe_all(verdicts: list[Verdict]) -> tuple[list[int], StopReason | None]:
    refusals: RunRefusals[int] = RunRefusals()
    released: list[int] = []
    for number, verdict in enumerate(verdicts, start=1):
        settled, stop = refusals.observe(verdict, number)
        released += settled
        if stop:
            return released, stop.reason
    return released, None


@pytest.mark.parametrize("refusal", [NO_ACCESS, BAD_SCOPE, HTML_404])
def test_three_alike_in_a_row_stop_the_run(refusal: Verdict) -> None:
    assert observe_all([ENROLLED, refusal, refusal, refusal]) == ([1], StopReason.REFUSED)


def test_an_answer_between_refusals_settles_them_one_by_one() -> None:
    assert observe_all([NO_ACCESS, NO_ACCESS, INVALID, NO_ACCESS, ENROLLED]) == ([1, 2, 3, 4, 5], None)


@pytest.mark.parametrize("late", [[ENROLLED], [NO_ACCESS, ENROLLED], [HTML_404, INVALID], [INVALID, NO_ACCESS]])
def test_what_is_answered_after_the_stop_settles_none_of_the_refusals(late: list[Verdict]) -> None:
    refusals: RunRefusals[int] = RunRefusals()
    answers = [NO_ACCESS, BAD_SCOPE, NO_ACCESS, *late]
    settled = [number for no, verdict in enumerate(answers) for number in refusals.observe(verdict, no)[0]]
    assert settled == [number for number, verdict in enumerate(answers) if verdict in {ENROLLED, INVALID}]
    assert refusals.at_end(stopped=True) == ([number for number in range(len(answers)) if number not in settled], None)


def test_unknown_answers_that_differ_do_not_speak_for_the_run() -> None:
    other = replace(HTML_404, http_status=302)
    assert observe_all([HTML_404, HTML_404, other, HTML_404, HTML_404]) == ([1, 2, 3], None)


def test_refusals_of_access_and_of_scope_count_together() -> None:
    assert observe_all([NO_ACCESS, BAD_SCOPE, NO_ACCESS])[1] is StopReason.REFUSED


def test_a_share_is_judged_only_over_the_last_minimum_requests() -> None:
    thresholds = Thresholds({"invalid_user": 0.5, "failed": 0.2}, minimum=10)
    for outcome in [Outcome.INVALID_USER] * 5 + [Outcome.ENROLLED] * 5 + [Outcome.SERVER_ERROR] * 2:
        assert thresholds.observe(outcome) is None
    stop = thresholds.observe(Outcome.UNREACHABLE)
    assert stop is not None
    assert stop.text == "3 of the last 10 requests ended as failed; guard.stop_when allows 20%"
    assert stop.facts == {"ended_as": "failed", "requests": 3, "of_requests": 10, "allowed_share": 0.2}


def test_already_enrolled_never_counts_as_failed() -> None:
    thresholds = Thresholds({"failed": 0}, minimum=1)
    assert thresholds.observe(Outcome.ALREADY_ENROLLED) is None


def test_an_api_that_never_answered_is_given_the_attempts_and_no_more() -> None:
    reachability = Reachability(3, 3600 * SECOND, 10)
    assert reachability.probing
    assert [reachability.observe(REFUSED_PORT, now) for now in range(2)] == [None, None]
    stop = reachability.observe(REFUSED_PORT, 2)
    assert stop is not None
    assert (stop.reason, stop.facts) == (StopReason.SILENT, {"attempts": 3})


def test_an_api_that_answered_before_is_waited_for_as_long_as_an_outage_may_last() -> None:
    reachability = Reachability(3, 60 * SECOND, 2)
    assert reachability.observe(BUSY, 0) is None
    assert not reachability.probing
    assert reachability.observe(LOST, 1 * SECOND) is None
    assert reachability.observe(LOST, 2 * SECOND) is None
    assert reachability.probing
    assert reachability.observe(LOST, 60 * SECOND) is None
    stop = reachability.observe(LOST, 61 * SECOND)
    assert stop is not None
    assert stop.text == "the API has accepted nothing for 1 minutes: no answer"
    assert stop.facts == {"failing_s": 60.0, "http_status": None}


def test_an_answer_ends_the_outage() -> None:
    reachability = Reachability(3, 60 * SECOND, 2)
    for verdict in (ENROLLED, LOST, LOST):
        reachability.observe(verdict, 0)
    assert reachability.probing
    reachability.observe(INVALID, SECOND)
    assert not reachability.probing
    assert reachability.failures == 0


def test_endless_429_ends_the_run_after_the_longest_outage() -> None:
    reachability = Reachability(3, 60 * SECOND, 2)
    assert reachability.observe(too_many(1), 0) is None
    stop = reachability.observe(too_many(1), 60 * SECOND)
    assert stop is not None
    assert stop.text.endswith("HTTP 429")


@pytest.mark.parametrize("status", [502, 504, 520, 521])
def test_a_gateways_own_error_is_a_transport_failure_and_the_apis_is_not(status: int) -> None:
    gateway = Verdict(Outcome.IN_DOUBT, settled=False, tells=Tells.MAY_BE_APPLIED, http_status=status)
    assert is_transport_failure(gateway)
    assert not is_transport_failure(replace(gateway, http_status=500))
    assert not is_transport_failure(replace(gateway, error_code=521))


def test_a_429_is_pushback_and_no_transport_failure() -> None:
    assert is_pushback(too_many(None))
    assert not is_transport_failure(too_many(None))
    assert not is_pushback(BUSY)


def test_an_answered_look_proves_access_but_not_that_anything_is_accepted() -> None:
    refusals: RunRefusals[int] = RunRefusals()
    refusals.heard()
    assert not refusals.unproven
    assert refusals.observe(NO_ACCESS, 1) == ([], None)
    assert (refusals.release(), refusals.has_pending) == ([], True)
    pending, stop = refusals.at_end(stopped=False)
    assert pending == [1]
    assert stop is not None


def test_what_waits_is_settled_where_no_answer_comes_and_the_run_is_accepted() -> None:
    refusals: RunRefusals[int] = RunRefusals()
    refusals.observe(ENROLLED, 1)
    refusals.observe(NO_ACCESS, 2)
    assert refusals.release() == [2]
    assert not refusals.has_pending
    for number in (3, 4, 5):
        refusals.observe(NO_ACCESS, number)
    assert refusals.release() == [], "refused as a whole"
