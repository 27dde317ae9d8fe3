"""Each fault over the socket: what the client sees, and whether the call took effect all the same."""

from __future__ import annotations

import json
import logging
import socket

import httpx
import pytest

from batch.sandbox.faults import FAULTS, Dose, Fault, FaultPlan

P1 = "PERIOD_G_29463_1"

ANSWERED = {
    Fault.OK: (200, None),
    Fault.ERROR_400: (400, "html"),
    Fault.ERROR_401: (401, 401),
    Fault.ERROR_403_4000: (403, 4000),
    Fault.ERROR_429: (429, 429),
    Fault.ERROR_461: (461, 461),
    Fault.ERROR_498: (498, 498),
    Fault.ERROR_500: (500, 500),
    Fault.ERROR_502: (502, "html"),
    Fault.ERROR_503: (503, "html"),
    Fault.ERROR_503_4001: (503, 4001),
    Fault.ERROR_504: (504, "html"),
    Fault.ERROR_520: (520, "html"),
    Fault.ERROR_521_HTTP: (521, "html"),
    Fault.ERROR_521_BODY: (400, 521),
    Fault.UNDOCUMENTED_CODE: (400, 999999),
    Fault.REDIRECT: (307, ""),
    Fault.ERROR_500_AFTER: (500, 500),
    Fault.ERROR_502_AFTER: (502, "html"),
    Fault.ERROR_504_AFTER: (504, "html"),
    Fault.DRIP: (200, None),
    Fault.UNREADABLE_200: (200, "garbage"),
    Fault.EMPTY_200: (200, ""),
    Fault.WRONG_CUSTOMER: (200, None),
    Fault.WARNINGS: (200, None),
    Fault.SET_COOKIE: (200, None),
    Fault.LAST_ON_CONNECTION: (200, None),
}
BROKEN = {
    Fault.RESET_BEFORE: httpx.ReadError,
    Fault.RESET_AFTER: httpx.ReadError,
    Fault.CLOSE_BEFORE: httpx.RemoteProtocolError,
    Fault.CLOSE_AFTER: httpx.RemoteProtocolError,
    Fault.HANG_BEFORE: httpx.ReadTimeout,
    Fault.HANG_AFTER: httpx.ReadTimeout,
    Fault.CUT_HEADERS: httpx.RemoteProtocolError,
    Fault.TRUNCATE: httpx.RemoteProtocolError,
    Fault.CUT_CHUNK: httpx.RemoteProtocolError,
    Fault.NOT_HTTP: httpx.RemoteProtocolError,
    Fault.ENDLESS_HEADERS: httpx.RemoteProtocolError,
}


def shown_in(answer):
    if "html" in answer.headers["Content-Type"]:
        return "html"
    if not answer.content:
        return ""
    try:
        body = answer.json()
    except ValueError:
        return "garbage"
    return body["errors"][0]["code"] if body["errors"] else None


def test_every_fault_is_shown_here():
    assert set(ANSWERED) | set(BROKEN) | {Fault.HUGE_BODY} == set(Fault) == set(FAULTS)


@pytest.mark.parametrize("fault", sorted(ANSWERED))
def test_a_fault_with_an_answer_is_answered_and_applied_as_its_rule_says(sandbox, call, fault):
    api = sandbox(drip_ms=0.01)
    api.inject(1, [fault])
    answer = call(api).enroll(1)
    assert (answer.status_code, shown_in(answer)) == ANSWERED[fault]
    assert len(answer.headers.get("X-Cap-Requestid", "")) == 32
    assert (api.enrolled() == {(1, P1)}) is FAULTS[fault].takes_effect


@pytest.mark.parametrize("fault", sorted(BROKEN))
def test_a_fault_without_an_answer_breaks_the_connection_and_is_applied_as_its_rule_says(sandbox, call, fault):
    api = sandbox(huge_mb=4)
    api.inject(1, [fault])
    client = call(api)
    client.http.timeout = httpx.Timeout(30, read=0.2 if "hang" in fault else 30)
    with pytest.raises(BROKEN[fault]):
        client.enroll(1)
    assert (api.enrolled() == {(1, P1)}) is FAULTS[fault].takes_effect
    again = client.enroll(1)
    assert (again.status_code == 400) is FAULTS[fault].takes_effect
    assert api.truth().popitem()[1].enrolls == 1


@pytest.mark.parametrize("fault", [Fault.RESET_AFTER, Fault.CLOSE_AFTER, Fault.TRUNCATE])
def test_a_connection_that_was_used_before_breaks_the_same_way(sandbox, call, fault):
    api = sandbox()
    api.inject(2, [fault])
    client = call(api)
    client.enroll(1)
    with pytest.raises(BROKEN[fault]):
        client.enroll(2)
    assert api.enrolled() == {(1, P1), (2, P1)}


def test_a_huge_body_keeps_coming_until_the_client_leaves(sandbox, call):
    api = sandbox(huge_mb=4096)
    api.inject(1, [Fault.HUGE_BODY])
    client = call(api)
    with client.http.stream(
        "POST", "/v3/targetGroups/29463/targets/5512/enroll", json=[{"customerId": 1, "periodName": P1}]
    ) as answer:
        assert answer.headers["Content-Length"] == str(4096 * 1024 * 1024)
        taken = 0
        for block in answer.iter_bytes():
            taken += len(block)
            if taken > 2_000_000:
                break
    assert client.enroll(2).status_code == 200


def test_a_redirect_leads_to_a_place_that_counts_who_follows(sandbox, call):
    api = sandbox(redirect="first 1")
    client = call(api)
    client.http.follow_redirects = True
    assert client.enroll(1).status_code == 404
    assert api.calls == {"enroll": 1, "unknown": 1}


def test_a_refused_call_is_no_success_under_any_fault(sandbox, call, code):
    api = sandbox()
    client = call(api)
    for fault in (Fault.WARNINGS, Fault.WRONG_CUSTOMER, Fault.SET_COOKIE, Fault.LAST_ON_CONNECTION):
        api.inject(99, [fault])
        assert code(client.enroll(99)) == 310011


def test_what_the_altering_faults_change(sandbox, call):
    api = sandbox()
    client = call(api)
    api.inject(1, ["warnings", "ok"])
    api.inject(2, ["wrong_customer"])
    api.inject(3, ["set_cookie"])
    api.inject(4, ["last_on_connection"])
    assert client.enroll(1).json()["warnings"][0]["code"] == 310201
    assert client.enroll(2).json() == {"data": 3, "errors": None, "warnings": None}
    assert "_cfuvid" in client.enroll(3).headers["Set-Cookie"]
    assert client.enroll(4).headers["Connection"] == "close"


def test_injected_faults_come_one_a_call_in_order_and_for_their_customer_only(sandbox, call):
    api = sandbox()
    api.inject(1, ["error_500", "ok", "error_502"])
    client = call(api)
    assert client.enroll(2).status_code == 200
    assert [client.enroll(1).status_code for _ in range(4)] == [500, 200, 502, 400]
    with pytest.raises(ValueError, match="no_such_fault"):
        api.inject(1, ["no_such_fault"])


def test_reads_and_tokens_can_be_struck_too(sandbox, call):
    api = sandbox()
    api.inject(1, ["error_500"], "read")
    api.inject(0, ["error_502"], "token")
    client = call(api)
    key = {"key": api.credentials.key, "secret": api.credentials.secret}
    assert [client.http.get("/v3/users/1/targetGroups").status_code for _ in range(2)] == [500, 200]
    assert [client.http.post("/v3/oauth/token/generate", json=key).status_code for _ in range(2)] == [502, 200]


def test_the_first_calls_meet_a_fault_and_later_ones_do_not(sandbox, call):
    client = call(sandbox(error_503="first 3"))
    assert [client.enroll(c).status_code for c in range(1, 6)] == [503, 503, 503, 200, 200]


def test_the_draw_keeps_to_the_shares_and_repeats_with_its_seed():
    doses = [Dose(Fault.ERROR_500, 0.1), Dose(Fault.RESET_AFTER, 0.05, first=2000)]

    def draw(seed):
        plan = FaultPlan(doses, seed)
        return [plan.next_fault(customer) for customer in range(10_000)]

    drawn = draw(7)
    assert drawn == draw(7) != draw(8)
    assert 900 < drawn.count(Fault.ERROR_500) < 1100
    assert 70 < drawn[:2000].count(Fault.RESET_AFTER) < 130
    assert Fault.RESET_AFTER not in drawn[2000:]


def test_two_calls_for_one_customer_at_once_are_521_and_counted(sandbox, call):
    api = sandbox(latency_ms=300)
    with socket.create_connection(api.url.removeprefix("http://").split(":")) as first:
        body = json.dumps([{"customerId": 1, "periodName": P1}])
        request = call(api).http.build_request("POST", "/v3/targetGroups/29463/targets/5512/enroll", content=body)
        auth = httpx.BasicAuth(api.credentials.till, api.credentials.password_md5)
        request = next(auth.auth_flow(request))
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        head += "Content-Type: application/json\r\n"
        first.sendall(f"POST {request.url.path} HTTP/1.1\r\n{head}\r\n{body}".encode())
        while not api.journal():
            pass
        second = call(api).enroll(1, "PERIOD_G_29463_2")
        other = call(api).enroll(2)
        assert first.recv(15) == b"HTTP/1.1 200 OK"
    assert (second.status_code, shown_in(second), other.status_code) == (400, 521, 200)
    assert api.overlaps == 1
    assert api.enrolled() == {(1, P1), (2, P1)}


def test_a_client_that_leaves_in_mid_request_does_not_disturb_the_others(sandbox, call, caplog):
    api = sandbox()
    address = api.url.removeprefix("http://").split(":")
    token = b"POST /v3/oauth/token/generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with caplog.at_level(logging.WARNING):
        for begun in (b"POST /v3/targetGr", token + b"Content-Length: 100\r\n\r\n{"):
            with socket.create_connection(address) as connection:
                connection.sendall(begun)
        assert call(api).enroll(1).status_code == 200
        api.close()
    assert caplog.records == []


def test_latency_is_waited_for(sandbox, call):
    api = sandbox(latency_ms="20-40")
    answer = call(api).enroll(1)
    assert answer.elapsed.total_seconds() >= 0.02
