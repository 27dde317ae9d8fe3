"""A look at the API, over a real socket: what leaves, and what is known of a request afterwards."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from batch.capillary.auth import BasicAuth, OAuth
from batch.capillary.client import Address, CapillaryClient
from batch.capillary.enrolments import Enrolments
from batch.capillary.standing import Found
from batch.errors import AccessRefused, ConfigError
from batch.model import Action, EnrollmentRequest, Kind, NoAnswer, Outcome, Reply, Scope, Seen, Tells, Verdict
from tests.capillary import faults

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox

T = TypeVar("T")
BASIC = BasicAuth("store.server", "8a16a6b70505eb1f1ff7cdc0cd5559a7")
OAUTH = OAuth("sandbox-key", "sandbox-secret")
MILESTONE = Scope(Action.ENROLL, Kind.MILESTONE, None, 29463, 5512)
STREAK = Scope(Action.ENROLL, Kind.STREAK, None, 29501, 5601)
P1, P2 = "PERIOD_G_29463_1", "PERIOD_G_29463_2"
ENROLL = EnrollmentRequest(MILESTONE, 1, P1)
UNENROLL = EnrollmentRequest(replace(MILESTONE, action=Action.UNENROLL), 1)
MAY = dt.datetime(2026, 5, 10, 12, tzinfo=dt.UTC).timestamp()

Factory = Callable[..., "RunningSandbox"]
Work = Callable[[CapillaryClient, Enrolments], Awaitable[T]]


def run(url: str, work: Work[T], credentials: BasicAuth | OAuth = BASIC, **where: Any) -> T:
    address = Address(url, **{"path_prefix": "", "version": "v3.1"} | where, connect_timeout_s=10, read_timeout_s=10)

    async def working() -> T:
        client = CapillaryClient(address, credentials, 4)
        try:
            return await work(client, Enrolments(client, wall_clock=lambda: MAY))
        finally:
            await client.aclose()

    return asyncio.run(working())


def verify(
    api: RunningSandbox, request: EnrollmentRequest, *before: EnrollmentRequest, credentials: BasicAuth | OAuth = BASIC
) -> Verdict | None:
    """Send what came before, then ask what became of `request`."""

    async def work(client: CapillaryClient, enrolments: Enrolments) -> Verdict | None:
        for each in before:
            assert isinstance(await client.send(0, each), Reply)
        return (await enrolments.verify(0, request)).found

    return run(api.url, work, credentials)


def seen(api: RunningSandbox, *requests: EnrollmentRequest, before: Sequence[EnrollmentRequest] = ()) -> Seen:
    """Send what came before, then look at the requests by one call."""

    async def work(client: CapillaryClient, enrolments: Enrolments) -> Seen:
        for each in before:
            assert isinstance(await client.send(0, each), Reply)
        return await enrolments.look_at(0, requests)

    return run(api.url, work)


async def found_by(looks: Enrolments) -> Verdict | None:
    return (await looks.verify(0, ENROLL)).found


def said(verdict: Verdict | None) -> tuple[Outcome, str, bool] | None:
    return None if verdict is None else (verdict.outcome, verdict.reason, verdict.settled)


CONFIRMED = (Outcome.ENROLLED, Found.CONFIRMED_BY_API, True)
GONE = (Outcome.UNENROLLED, Found.CONFIRMED_BY_API, True)
REFUTED = (Outcome.SERVER_ERROR, Found.REFUTED_BY_API, False)
VALUE_UNKNOWN = (Outcome.IN_DOUBT, Found.VALUE_UNKNOWN, True)


# What leaves -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/api_gateway/intouch-api-v3"])
@pytest.mark.parametrize("version", ["v3", "v3.1"])
@pytest.mark.parametrize("org_id", [None, 50672])
def test_a_look_asks_for_all_cycles_of_the_target_in_the_scope_of_the_request(
    prefix: str, version: str, org_id: int | None
) -> None:
    request = replace(ENROLL, scope=replace(MILESTONE, org_id=org_id))
    if version == "v3" and org_id:
        with pytest.raises(ConfigError, match=r"api\.version v3\.1"):
            run("http://127.0.0.1:1", lambda _, looks: looks.send(0, request), path_prefix=prefix, version=version)
        return
    with faults.FaultServer((faults.answers(faults.http(200)),)) as server:
        run(server.url, lambda _, looks: looks.send(0, request), path_prefix=prefix, version=version)
    (seen,) = server.received
    query = "includeInactive=true&includeInactiveTargets=true&targetRuleId=5512"
    assert (seen.method, seen.target, seen.body) == ("GET", f"{prefix}/{version}/users/1/targetGroups?{query}", b"")
    scope = {name: value for name, value in seen.headers.items() if name.startswith("data-scope")}
    other = {"data-scope": "OTHER", "data-scope-org": "50672"}
    assert scope == ({} if version == "v3" else other if org_id else {"data-scope": "SELF"})
    assert seen.headers["authorization"].startswith("Basic ")
    assert seen.headers["accept"] == "application/json"
    assert "content-type" not in seen.headers


def test_a_look_goes_over_the_connection_of_its_worker() -> None:
    async def work(client: CapillaryClient, looks: Enrolments) -> None:
        await client.send(0, ENROLL)
        await looks.send(0, ENROLL)
        await client.send(0, ENROLL)

    answers = faults.answers(faults.success(1), faults.http(200), faults.success(1))
    with faults.FaultServer((answers,)) as server:
        run(server.url, work)
    assert (len(server.received), server.connections) == (3, 1)


def test_an_answer_with_thousands_of_cycles_is_read_and_an_endless_one_is_not() -> None:
    rows = [
        {"targetId": None, "targetRuleId": 5512, "periodRefCode": f"C{n}", "filler": "x" * 400} for n in range(5000)
    ]
    mine = {"targetId": 7, "targetRuleId": 5512, "periodRefCode": P1, "unEnrolled": False}
    data = {"userId": 1, "targetGroups": [{"id": 29463, "targets": [*rows, mine]}]}
    big = faults.http(200, {"data": data, "errors": None})
    assert len(big) > 2_000_000
    with faults.FaultServer((faults.answers(big),)) as server:
        assert said(run(server.url, lambda _, looks: found_by(looks))) == CONFIRMED
    with faults.FaultServer((faults.floods(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),)) as server:
        answer = run(server.url, lambda _, looks: looks.send(0, ENROLL))
    assert isinstance(answer, Reply)
    assert (answer.complete, len(answer.body)) == (False, 4 * 1024 * 1024)


# What is known afterwards ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("virtual_rows", [True, False])
def test_an_enrolment_is_confirmed_cycle_by_cycle(sandbox: Factory, virtual_rows: bool) -> None:
    api = sandbox(now=lambda: MAY, virtual_rows=virtual_rows)
    assert said(verify(api, ENROLL, ENROLL)) == CONFIRMED
    other_cycle = verify(api, replace(ENROLL, period=P2))
    assert said(other_cycle) == (REFUTED if virtual_rows else None)


def test_what_was_applied_is_known_although_its_answer_was_lost(sandbox: Factory) -> None:
    api = sandbox(now=lambda: MAY)
    api.inject(1, ["reset_after"])
    api.inject(2, ["reset_before"])

    async def work(client: CapillaryClient, looks: Enrolments) -> list[Verdict | None]:
        requests = [replace(ENROLL, customer=customer, initial_balance=40) for customer in (1, 2)]
        lost = [await client.send(0, request) for request in requests]
        assert [answer.tells for answer in lost if isinstance(answer, NoAnswer)] == [Tells.MAY_BE_APPLIED] * 2
        return [(await looks.verify(0, request)).found for request in requests]

    assert [said(verdict) for verdict in run(api.url, work)] == [CONFIRMED, REFUTED]


def test_a_member_who_was_unenrolled_is_not_enrolled(sandbox: Factory) -> None:
    api = sandbox(now=lambda: MAY)
    assert said(verify(api, ENROLL, ENROLL, UNENROLL)) == REFUTED
    assert said(verify(api, UNENROLL)) == GONE
    assert said(verify(api, UNENROLL, ENROLL)) == REFUTED


@pytest.mark.parametrize(("months", "expected"), [(0, GONE), (1, GONE), (11, None)])
def test_an_unenroll_is_told_by_the_cycles_that_are_not_over(
    sandbox: Factory, months: int, expected: tuple[Outcome, str, bool] | None
) -> None:
    clock = [MAY]
    api = sandbox(now=lambda: clock[0], virtual_rows=False)

    async def work(client: CapillaryClient, looks: Enrolments) -> Verdict | None:
        for request in (ENROLL, replace(ENROLL, period=P2), UNENROLL):
            await client.send(0, request)
        clock[0] += months * 30.5 * 86400
        return (await Enrolments(client, wall_clock=lambda: clock[0]).verify(0, UNENROLL)).found

    assert said(run(api.url, work)) == expected


def test_a_balance_is_confirmed_only_where_the_value_is_that_balance(sandbox: Factory) -> None:
    api = sandbox(now=lambda: MAY)
    with_40 = replace(ENROLL, initial_balance=40)
    assert said(verify(api, with_40, with_40)) == CONFIRMED
    assert said(verify(api, replace(ENROLL, initial_balance=41))) == VALUE_UNKNOWN
    assert said(verify(api, replace(ENROLL, initial_balance=0, customer=7))) == CONFIRMED
    assert said(verify(api, replace(with_40, period=P2))) == REFUTED


def test_a_streak_is_told_but_not_its_reset(sandbox: Factory) -> None:
    api = sandbox(now=lambda: MAY)
    streak = EnrollmentRequest(STREAK, 11)
    reset = replace(streak, reset_streak_status=True)
    leave = EnrollmentRequest(replace(STREAK, action=Action.UNENROLL), 11)
    assert said(verify(api, reset)) == REFUTED
    assert said(verify(api, leave)) == GONE
    assert said(verify(api, reset, reset)) == VALUE_UNKNOWN
    assert said(verify(api, streak)) == CONFIRMED
    assert said(verify(api, leave)) == REFUTED
    assert said(verify(api, replace(streak, customer=12))) is None


def test_in_a_connected_organisation_enrolled_is_known_and_not_enrolled_is_not(sandbox: Factory) -> None:
    api = sandbox(now=lambda: MAY)
    child = replace(ENROLL, scope=replace(MILESTONE, org_id=50672))
    assert verify(api, child) is None
    assert said(verify(api, child, child)) == CONFIRMED
    assert said(verify(api, ENROLL)) == REFUTED
    assert verify(api, replace(child, customer=99)) is None


def test_a_customer_who_does_not_exist_is_invalid(sandbox: Factory) -> None:
    verdict = verify(sandbox(), replace(ENROLL, customer=99))
    assert said(verdict) == (Outcome.INVALID_USER, Found.REFUTED_BY_API, True)


def test_a_stopped_target_is_told_too(sandbox: Factory) -> None:
    stopped = EnrollmentRequest(replace(MILESTONE, target_group_id=29466, target_id=5515), 7, "PERIOD_G_29466_3")
    assert said(verify(sandbox(now=lambda: MAY), stopped)) == CONFIRMED


# When the API does not say ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        "error_400", "error_403_4000", "error_429", "error_461", "error_500", "error_502", "error_503",
        "error_521_body", "undocumented_code", "redirect", "reset_before", "close_after", "cut_headers", "truncate",
        "cut_chunk", "not_http", "unreadable_200", "empty_200", "wrong_customer", "huge_body",
    ],
)  # fmt: skip
def test_a_look_that_fails_says_nothing_and_the_next_one_does(sandbox: Factory, fault: str) -> None:
    api = sandbox(now=lambda: MAY, huge_mb=8)
    api.inject(1, [fault], "read")
    assert verify(api, ENROLL, ENROLL) is None
    assert said(verify(api, ENROLL)) == CONFIRMED
    assert api.calls["target_groups"] == 2


@pytest.mark.parametrize("fault", ["set_cookie", "last_on_connection"])
def test_a_true_answer_in_odd_clothes_is_a_true_answer(sandbox: Factory, fault: str) -> None:
    api = sandbox(now=lambda: MAY)
    api.inject(1, [fault], "read")
    assert said(verify(api, ENROLL, ENROLL)) == CONFIRMED


@pytest.mark.parametrize("fault", ["error_401", "error_498"])
def test_a_refused_token_costs_one_call_and_is_renewed_for_the_next(sandbox: Factory, fault: str) -> None:
    api = sandbox(now=lambda: MAY)
    api.inject(1, [fault], "read")

    async def work(client: CapillaryClient, looks: Enrolments) -> list[Verdict | None]:
        await client.send(0, ENROLL)
        return [await found_by(looks) for _ in range(2)]

    assert [said(verdict) for verdict in run(api.url, work, OAUTH)] == [None, CONFIRMED]
    assert (api.calls["target_groups"], api.calls["token"]) == (2, 2)


def test_a_key_that_is_refused_says_so_and_nothing_about_the_request() -> None:
    refusal = faults.http(200, {"data": None, "errors": [{"code": 320001, "message": "Invalid"}]})
    with faults.FaultServer((faults.answers(refusal),)) as server, pytest.raises(AccessRefused):
        run(server.url, lambda _, looks: found_by(looks), OAUTH)


@pytest.mark.parametrize("answer", [faults.http(404), faults.http(404, {"errors": None}), faults.http(410, "<html>")])
def test_a_read_that_was_phased_out_says_nothing(answer: bytes) -> None:
    with faults.FaultServer((faults.answers(answer),)) as server:
        assert run(server.url, lambda _, looks: found_by(looks)) is None


def test_nothing_of_the_customer_is_in_what_is_found(sandbox: Factory) -> None:
    api = sandbox(now=lambda: MAY)
    found = repr(verify(api, ENROLL, ENROLL))
    raw = run(api.url, lambda _, looks: looks.send(0, ENROLL))
    assert isinstance(raw, Reply)
    person = json.loads(raw.body)["data"]["customer"]
    assert len(person) == 4
    assert not any(value in found for value in person.values())


# What was left out -----------------------------------------------------------------------------------------------


def cycles(scope: Scope, *numbers: int) -> list[EnrollmentRequest]:
    return [EnrollmentRequest(scope, 1, f"PERIOD_G_29463_{n}") for n in numbers]


def test_one_look_tells_of_all_cycles_of_a_customer_who_is_in_them(sandbox: Factory) -> None:
    api = sandbox(preload=False)
    found = seen(api, *cycles(MILESTONE, 2, 3, 4), before=cycles(MILESTONE, 1, 2, 4))
    assert found.enrolled == (True, False, True)
    assert found.answer.settled
    assert api.calls["target_groups"] == 1


def test_what_is_not_listed_is_not_known(sandbox: Factory) -> None:
    found = seen(sandbox(preload=False, virtual_rows=False), *cycles(MILESTONE, 2, 3), before=cycles(MILESTONE, 1, 2))
    assert found.enrolled == (True, None)


def test_in_a_connected_organisation_who_is_missing_is_not_known(sandbox: Factory) -> None:
    other = replace(MILESTONE, org_id=50672)
    assert seen(sandbox(preload=False), *cycles(other, 2, 3), before=cycles(other, 1, 2)).enrolled == (True, None)


@pytest.mark.parametrize("fault", ["error_500", "error_429", "close_before"])
def test_a_look_at_what_was_left_out_that_fails_tells_nothing_and_may_be_made_again(
    sandbox: Factory, fault: str
) -> None:
    api = sandbox(preload=False)
    api.inject(1, [fault], struck="read")
    found = seen(api, *cycles(MILESTONE, 2))
    assert found.enrolled == ()
    assert not found.answer.settled
