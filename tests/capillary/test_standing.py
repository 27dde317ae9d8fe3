"""Which rows of a customer's target groups prove something about a request in doubt.

Believed after breaks made them fail: a row with `targetId` null counted as an enrolment, `unEnrolled` ignored, an
empty list taken for "not enrolled", a cycle that is over counted against an unenroll, any balance taken for ours.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.capillary.standing import Found, Membership, Standing, finding, judge_look, standing, verdict_of
from batch.model import Action, EnrollmentRequest, Kind, NoAnswer, Outcome, Reply, Scope, Speaks, Tells, Verdict

CUSTOMER, GROUP, TARGET = 345651201, 29463, 5512
CYCLE = "PERIOD_G_29463_1"
ENROLL = EnrollmentRequest(Scope(Action.ENROLL, Kind.MILESTONE, None, GROUP, TARGET), CUSTOMER, CYCLE)
WITH_BALANCE = replace(ENROLL, initial_balance=150)
STREAK = EnrollmentRequest(replace(ENROLL.scope, kind=Kind.STREAK), CUSTOMER)
WITH_RESET = replace(STREAK, reset_streak_status=True)
UNENROLL = EnrollmentRequest(replace(ENROLL.scope, action=Action.UNENROLL), CUSTOMER)
UNENROLL_STREAK = replace(UNENROLL, scope=replace(UNENROLL.scope, kind=Kind.STREAK))
TODAY = dt.date(2026, 5, 10)
NOW_S = dt.datetime(2026, 5, 10, 12, tzinfo=dt.UTC).timestamp()
ENROLLED, NOT_ENROLLED, UNKNOWN = Membership.ENROLLED, Membership.NOT_ENROLLED, Membership.UNKNOWN

Row = dict[str, Any]


def row(period: str | None = CYCLE, **changed: object) -> Row:
    """A row of a customer who is enrolled in the current cycle, as the vendor's newest page shows it."""
    return {
        "targetId": 71,
        "targetRuleId": TARGET,
        "periodRefCode": period,
        "periodEndDate": "2026-05-31",
        "currentPeriod": True,
        "targetAchievedValue": 150,
        "unEnrolled": False,
    } | changed


def body(*rows: object, **changed: object) -> dict[str, Any]:
    group = {"id": GROUP, "name": "Festive spend", "targets": list(rows)}
    return {"userId": CUSTOMER, "customer": {"firstname": "Zoe"}, "targetGroups": [group]} | changed


def told(data: object, status: int = 200, **more: object) -> Reply:
    envelope = {"data": data, "errors": None, "warnings": None} | more
    return Reply(status, json.dumps(envelope).encode(), {"x-cap-requestid": "0123abcd"})


def stands(request: EnrollmentRequest, *rows: object) -> Standing:
    return standing(request, told(body(*rows)), TODAY)


def refused(code: int, status: int = 200) -> Reply:
    return told(None, status, errors=[{"code": code, "message": "Zoe Example, 91345651201, is unknown"}])


# Rows ------------------------------------------------------------------------------------------------------------


def test_a_row_of_the_cycle_with_a_target_id_is_an_enrolment() -> None:
    assert stands(ENROLL, row()) == Standing(ENROLLED, value=150)
    assert stands(ENROLL, row(targetRuleId=str(TARGET), targetId="71")).membership is ENROLLED
    assert stands(ENROLL, {name: value for name, value in row().items() if name != "unEnrolled"}).membership is ENROLLED


def test_a_cycle_whose_name_is_a_number_on_the_wire_is_found() -> None:
    assert stands(replace(ENROLL, period="1720782952"), row(period=1720782952)).membership is ENROLLED


def test_a_row_without_a_target_id_or_with_an_end_says_not_enrolled() -> None:
    assert stands(ENROLL, row(targetId=None)).membership is NOT_ENROLLED
    assert stands(ENROLL, row(unEnrolled=True)).membership is NOT_ENROLLED
    assert stands(ENROLL, row(unEnrolled=True), row()).membership is ENROLLED


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row("PERIOD_G_29463_2")],
        [row("period_g_29463_1")],
        [row(f"{CYCLE} ")],
        [row(targetRuleId=1)],
        [row(targetRuleId=None)],
        [row(None)],
        ["odd", None, 7, []],
    ],
)
def test_what_is_not_listed_proves_nothing(rows: list[object]) -> None:
    assert stands(ENROLL, *rows) == Standing(UNKNOWN, reason=Found.NOT_LISTED)


def test_another_group_with_the_same_rule_proves_nothing() -> None:
    groups = [{"id": 1, "targets": [row()]}, {"targets": [row()]}, "odd"]
    assert standing(ENROLL, told(body(targetGroups=groups)), TODAY).reason == Found.NOT_LISTED


@pytest.mark.parametrize("left", ["true", "yes", 1, 0, {}])
def test_a_row_that_says_neither_yes_nor_no_proves_nothing(left: object) -> None:
    assert stands(ENROLL, row(unEnrolled=left)) == Standing(UNKNOWN, reason=Found.UNCLEAR_ROW)


def test_another_organisation_may_be_enrolled_for_sure_but_never_surely_not() -> None:
    other = replace(ENROLL, scope=replace(ENROLL.scope, org_id=50672))
    assert stands(other, row()).membership is ENROLLED
    assert stands(other, row(targetId=None)) == Standing(UNKNOWN, reason=Found.UNCLEAR_ORGANISATION)


def test_the_value_is_known_only_where_the_rows_agree() -> None:
    assert stands(WITH_BALANCE, row(), row()).value == 150
    assert stands(WITH_BALANCE, row(), row(targetAchievedValue=1)).value is None
    assert stands(WITH_BALANCE, row(), row(targetAchievedValue=1, unEnrolled=True)).value == 150
    assert stands(WITH_BALANCE, row(targetAchievedValue="150")).value is None
    assert stands(WITH_BALANCE, row(targetAchievedValue=True)).value is None


# Streaks ---------------------------------------------------------------------------------------------------------


def streak_group(*rows: object, **streak: object) -> Reply:
    entry = {"userStreakId": 9, "streakId": TARGET, "status": "NOT_STARTED", "currentCount": 0} | streak
    return told(body(targetGroups=[{"id": GROUP, "trackingType": "STREAKS", "targets": rows, "streaks": [entry]}]))


@pytest.mark.parametrize(
    ("answer", "membership"),
    [
        (streak_group(), ENROLLED),
        (streak_group(row(None, targetId=None)), ENROLLED),
        (streak_group(row(None)), ENROLLED),
        (streak_group(row(None, unEnrolled=True)), NOT_ENROLLED),
        (streak_group(userStreakId=None), NOT_ENROLLED),
        (streak_group(unEnrolled=True), NOT_ENROLLED),
        (streak_group(streakId=1), UNKNOWN),
        (streak_group(row(None, targetRuleId=1), userStreakId=None), NOT_ENROLLED),
    ],
)
def test_a_streak_stands_by_its_own_row_else_by_its_list_of_streaks(answer: Reply, membership: Membership) -> None:
    assert standing(STREAK, answer, TODAY).membership is membership


def test_a_list_of_streaks_that_does_not_say_who_left_proves_nothing_about_an_unenroll() -> None:
    assert standing(UNENROLL_STREAK, streak_group(), TODAY).reason == Found.UNCLEAR_ROW
    assert standing(UNENROLL_STREAK, streak_group(unEnrolled=False), TODAY).membership is ENROLLED
    assert standing(UNENROLL_STREAK, streak_group(row(None, unEnrolled=True)), TODAY).membership is NOT_ENROLLED


# Unenrolls -------------------------------------------------------------------------------------------------------

OVER = row("C0", periodEndDate="2026-04-30", currentPeriod=False)
LATER = row("C2", periodEndDate="2026-06-30T23:59:59Z", currentPeriod=False)
UNDATED = row("C3", periodEndDate=None, currentPeriod=None)
GONE = {"unEnrolled": True}


@pytest.mark.parametrize(
    ("rows", "membership"),
    [
        ([row()], ENROLLED),
        ([row() | GONE], NOT_ENROLLED),
        ([row(targetId=None)], NOT_ENROLLED),
        ([OVER, row() | GONE, LATER | GONE], NOT_ENROLLED),
        ([OVER, row() | GONE, LATER], ENROLLED),
        ([row(targetId=None), LATER], ENROLLED),
        ([OVER], UNKNOWN),
        ([OVER | GONE], UNKNOWN),
        ([], UNKNOWN),
        ([UNDATED], UNKNOWN),
        ([UNDATED | GONE], UNKNOWN),
        ([row() | GONE, UNDATED], UNKNOWN),
        ([row() | GONE, UNDATED | GONE], NOT_ENROLLED),
        ([row(), UNDATED], ENROLLED),
        ([row() | GONE, row("C4", periodEndDate="2026-05-09", currentPeriod=False)], UNKNOWN),
        ([row() | GONE, row("C4", periodEndDate="nonsense", currentPeriod=False)], UNKNOWN),
        ([row(unEnrolled=None)], UNKNOWN),
    ],
)
def test_an_unenroll_stands_by_the_current_and_all_later_cycles(rows: list[Row], membership: Membership) -> None:
    assert stands(UNENROLL, *rows).membership is membership


# Verdicts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "found", "outcome", "settled", "reason"),
    [
        (ENROLL, Standing(ENROLLED, 3), Outcome.ENROLLED, True, Found.CONFIRMED_BY_API),
        (ENROLL, Standing(NOT_ENROLLED), Outcome.SERVER_ERROR, False, Found.REFUTED_BY_API),
        (ENROLL, Standing(UNKNOWN, reason=Found.NOT_LISTED), Outcome.IN_DOUBT, False, Found.NOT_LISTED),
        (WITH_BALANCE, Standing(ENROLLED, 150), Outcome.ENROLLED, True, Found.CONFIRMED_BY_API),
        (WITH_BALANCE, Standing(ENROLLED, 150.0), Outcome.ENROLLED, True, Found.CONFIRMED_BY_API),
        (WITH_BALANCE, Standing(ENROLLED, 151), Outcome.IN_DOUBT, True, Found.VALUE_UNKNOWN),
        (WITH_BALANCE, Standing(ENROLLED), Outcome.IN_DOUBT, True, Found.VALUE_UNKNOWN),
        (replace(ENROLL, initial_balance=0), Standing(ENROLLED, 0), Outcome.ENROLLED, True, Found.CONFIRMED_BY_API),
        (replace(ENROLL, initial_balance=0), Standing(ENROLLED), Outcome.IN_DOUBT, True, Found.VALUE_UNKNOWN),
        (WITH_BALANCE, Standing(NOT_ENROLLED), Outcome.SERVER_ERROR, False, Found.REFUTED_BY_API),
        (WITH_RESET, Standing(ENROLLED, 0), Outcome.IN_DOUBT, True, Found.VALUE_UNKNOWN),
        (WITH_RESET, Standing(NOT_ENROLLED), Outcome.SERVER_ERROR, False, Found.REFUTED_BY_API),
        (UNENROLL, Standing(NOT_ENROLLED), Outcome.UNENROLLED, True, Found.CONFIRMED_BY_API),
        (UNENROLL, Standing(ENROLLED, 3), Outcome.SERVER_ERROR, False, Found.REFUTED_BY_API),
        (UNENROLL, Standing(UNKNOWN, reason=Found.NOT_LISTED), Outcome.IN_DOUBT, False, Found.NOT_LISTED),
    ],
)
def test_a_standing_settles_what_it_proves_and_no_more(
    request_: EnrollmentRequest, found: Standing, outcome: Outcome, settled: bool, reason: str
) -> None:
    verdict = verdict_of(request_, found)
    assert (verdict.outcome, verdict.settled, verdict.reason) == (outcome, settled, reason)
    assert (verdict.tells is Tells.REFUSED) is (reason == Found.REFUTED_BY_API)


def test_a_finding_carries_status_and_request_id_and_nothing_of_the_customer() -> None:
    verdict = finding(ENROLL, told(body(row())), NOW_S)
    assert verdict == Verdict(
        Outcome.ENROLLED, True, Found.CONFIRMED_BY_API, http_status=200, api_request_id="0123abcd"
    )


@pytest.mark.parametrize("status", [200, 400, 404])
def test_a_customer_whom_the_api_does_not_know_cannot_have_been_enrolled(status: int) -> None:
    verdict = finding(ENROLL, refused(310011, status), NOW_S)
    assert verdict is not None
    assert (verdict.outcome, verdict.settled, verdict.error_code) == (Outcome.INVALID_USER, True, 310011)
    assert verdict.error_message == ""
    in_a_child = replace(ENROLL, scope=replace(ENROLL.scope, org_id=50672))
    verdict = finding(in_a_child, refused(310011, status), NOW_S)
    assert verdict is not None
    assert (verdict.outcome, verdict.reason) == (Outcome.IN_DOUBT, Found.NOT_LISTED)


def test_no_record_of_this_customer_is_said_and_proves_nothing() -> None:
    verdict = finding(ENROLL, refused(310149), NOW_S)
    assert verdict is not None
    assert (verdict.outcome, verdict.settled, verdict.reason) == (Outcome.IN_DOUBT, False, Found.NOT_LISTED)


@pytest.mark.parametrize(
    "answer",
    [
        NoAnswer(Tells.MAY_BE_APPLIED, "no answer within 5 s"),
        Reply(404, b"<html>"),
        Reply(200, b"{'data': 1}"),
        Reply(200, json.dumps({"data": body(row()), "errors": None}).encode(), complete=False),
        told(body(row()), 404),
        told(body(row(), userId=1)),
        told(body(row(), userId=True)),
        told(body(row(), userId=None)),
        told(body(targetGroups=None)),
        told(CUSTOMER),
        told(None),
        told(body(row()), errors=[{"code": 1, "message": ""}]),
        refused(4000, 403),
    ],
)
def test_what_is_no_answer_to_the_question_finds_nothing(answer: Reply | NoAnswer) -> None:
    assert finding(ENROLL, answer, NOW_S) is None


# The look itself -------------------------------------------------------------------------------------------------


def look(answer: Reply | NoAnswer, request: EnrollmentRequest = WITH_BALANCE, *, can_renew: bool = False) -> Verdict:
    return judge_look(request, answer, maybe_applied=True, can_renew=can_renew, now_s=NOW_S)


@pytest.mark.parametrize("answer", [told(body(row())), told(body()), told(body(row(targetId=None))), refused(310011)])
def test_a_look_that_found_something_or_could_not_is_over(answer: Reply) -> None:
    verdict = look(answer)
    assert (verdict.settled, verdict.counts, verdict.speaks, verdict.tells) == (True, True, Speaks.REQUEST, None)


@pytest.mark.parametrize("request_", [ENROLL, WITH_BALANCE, WITH_RESET, UNENROLL])
@pytest.mark.parametrize(
    "answer",
    [
        Reply(502, b"<html>"),
        Reply(500, b""),
        Reply(461, b""),
        Reply(200, b""),
        told(body(row(), userId=1)),
        refused(4001, 503),
        refused(521),
        refused(500, 500),
        NoAnswer(Tells.MAY_BE_APPLIED, "no answer within 5 s"),
        NoAnswer(Tells.NEVER_REACHED, "no connection"),
    ],
)
def test_a_look_that_failed_is_worth_another_whatever_was_asked(
    answer: Reply | NoAnswer, request_: EnrollmentRequest
) -> None:
    verdict = look(answer, request_)
    assert not verdict.settled
    assert verdict.tells in {Tells.REFUSED, Tells.NEVER_REACHED}
    assert (verdict.counts, verdict.speaks) == (True, Speaks.REQUEST)


def test_a_look_holds_like_a_request_when_the_api_asks_for_it() -> None:
    for status in (429, 503):
        verdict = look(Reply(status, b"", {"retry-after": "7"}))
        assert (verdict.settled, verdict.counts, verdict.hold_s, verdict.tells) == (False, False, 7, Tells.REFUSED)


@pytest.mark.parametrize("status", [401, 403, 498])
def test_a_refused_token_is_renewed_once_and_then_speaks_for_the_run(status: int) -> None:
    assert look(Reply(status, b""), can_renew=True).renew_token
    verdict = look(Reply(status, b""))
    assert (verdict.outcome, verdict.settled, verdict.speaks) == (Outcome.ACCESS_REFUSED, True, Speaks.RUN)


@pytest.mark.parametrize("answer", [Reply(404, b"<html>"), Reply(410, b""), Reply(301, b""), refused(310017)])
def test_a_read_that_is_gone_is_an_unrecognised_answer_to_this_look(answer: Reply) -> None:
    verdict = look(answer)
    assert (verdict.outcome, verdict.settled, verdict.speaks) == (Outcome.UNRECOGNISED, True, Speaks.REQUEST)


@pytest.mark.parametrize("answer", [refused(310144), refused(999999), Reply(404, b"Zoe Example"), Reply(500, b"Zoe")])
def test_what_the_api_said_is_not_kept_because_it_may_quote_the_customer(answer: Reply) -> None:
    verdict = look(answer)
    assert (verdict.error_message, verdict.reason in {"", "server_fault", "unreadable_answer"}) == ("", True)


# Properties ------------------------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    [
        "data", "errors", "code", "userId", "targetGroups", "id", "targets", "streaks", "streakId", "userStreakId",
        "targetId", "targetRuleId", "periodRefCode", "periodEndDate", "currentPeriod", "targetAchievedValue",
        "unEnrolled",
    ]
)  # fmt: skip
SCALARS = st.sampled_from(
    [None, True, False, 0, 1, CUSTOMER, GROUP, TARGET, 310011, str(TARGET), CYCLE, "", "2026-05-31"]
)
ANYTHING = st.recursive(
    SCALARS | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=25,
)
ROWS = st.fixed_dictionaries(
    {
        "targetId": st.sampled_from([None, 71]),
        "targetRuleId": st.sampled_from([TARGET, str(TARGET), 1, None]),
        "periodRefCode": st.sampled_from([CYCLE, "C2", None]),
        "unEnrolled": st.sampled_from([True, False, None, "true"]),
        "targetAchievedValue": st.sampled_from([0, 150, None]),
        "periodEndDate": st.sampled_from(["2026-05-31", "2026-04-30", "2026-05-10", None]),
        "currentPeriod": st.sampled_from([True, False, None]),
    }
)
REQUESTS = st.sampled_from([ENROLL, WITH_BALANCE, STREAK, WITH_RESET, UNENROLL, UNENROLL_STREAK])
BODIES = st.one_of(
    st.binary(max_size=60),
    ANYTHING.map(lambda value: json.dumps(value).encode()),
    ANYTHING.map(lambda value: json.dumps({"data": value}).encode()),
    ANYTHING.map(lambda value: json.dumps({"data": {"userId": CUSTOMER, "targetGroups": value}}).encode()),
    st.lists(ANYTHING | ROWS, max_size=4).map(lambda rows: told(body(*rows)).body),
)


@settings(max_examples=500)
@given(REQUESTS, BODIES, st.sampled_from([200, 201, 302, 400, 401, 404, 429, 500, 503]), st.booleans(), st.booleans())
def test_no_answer_is_too_strange_to_be_read(
    request_: EnrollmentRequest, raw: bytes, status: int, complete: bool, can_renew: bool
) -> None:
    reply = Reply(status, raw, complete=complete)
    stood = standing(request_, reply, TODAY)
    assert (stood.membership is UNKNOWN) is bool(stood.reason)
    verdict = judge_look(request_, reply, maybe_applied=True, can_renew=can_renew, now_s=NOW_S)
    found = finding(request_, reply, NOW_S)
    assert verdict.settled or found is None


@settings(max_examples=500)
@given(st.lists(ROWS, max_size=4))
def test_enrolled_is_said_only_where_a_row_says_so_and_not_enrolled_only_where_one_does(rows: list[Row]) -> None:
    """Written down once more in the plainest way."""
    ours = [r for r in rows if r["targetRuleId"] in {TARGET, str(TARGET)} and r["periodRefCode"] == CYCLE]
    live = [r for r in ours if r["targetId"] is not None and r["unEnrolled"] in {False, None}]
    stood = stands(ENROLL, *rows)
    assert (stood.membership is ENROLLED) is bool(live)
    if stood.membership is NOT_ENROLLED:
        assert ours
        assert all(r["targetId"] is None or r["unEnrolled"] is True for r in ours)
