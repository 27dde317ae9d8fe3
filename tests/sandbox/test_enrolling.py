"""What enroll and unEnroll do, seen from outside: over the socket, and in the truth that the API keeps."""

from __future__ import annotations

import datetime as dt
import re

import pytest

from batch.sandbox.state import Place
from batch.sandbox.world import PARENT_ORG

P1, P2, P3, P10 = (f"PERIOD_G_29463_{n}" for n in (1, 2, 3, 10))


def place(customer, period, org=PARENT_ORG, group=29463, target=5512):
    return Place(org, group, target, customer, period)


def at(year, month, day):
    return dt.datetime(year, month, day, 12, tzinfo=dt.UTC).timestamp()


@pytest.mark.parametrize("prefix", ["", "/api_gateway/intouch-api-v3"])
@pytest.mark.parametrize("version", ["v3", "v3.1"])
def test_an_enroll_is_answered_with_the_customer_under_each_form_of_the_path(sandbox, call, prefix, version):
    api = sandbox()
    response = call(api).enroll(345651201, prefix=prefix, version=version)
    assert response.status_code == 200
    assert response.json() == {"data": 345651201, "errors": None, "warnings": None}
    assert api.truth()[place(345651201, P1)].enrolls == 1


def test_every_answer_names_its_call_with_32_hex_digits(sandbox, call):
    client = call(sandbox())
    answers = [
        client.enroll(1),
        client.enroll(99),
        client.http.get("/nowhere"),
        client.http.post("/v3/oauth/token/generate"),
    ]
    ids = [answer.headers["X-Cap-Requestid"] for answer in answers]
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)
    assert len(set(ids)) == len(ids)


def test_success_status_can_be_201(sandbox, call):
    assert call(sandbox(success_status=201)).enroll(1).status_code == 201


def test_a_second_enroll_into_the_same_cycle_is_310119_and_changes_nothing(sandbox, call, code):
    api = sandbox()
    client = call(api)
    client.enroll(1, balance=5)
    again = client.enroll(1, balance=70)
    assert (again.status_code, code(again)) == (400, 310119)
    assert api.truth()[place(1, P1)][:3] == (True, 5, 1)


def test_a_numeric_string_is_a_customer(sandbox, call):
    api = sandbox()
    assert call(api).enroll("1").json()["data"] == 1
    assert api.enrolled() == {(1, P1)}


def test_cycles_are_enrolled_one_by_one_without_cascade(sandbox, call):
    api = sandbox()
    client = call(api)
    assert [client.enroll(1, p).status_code for p in (P1, P2)] == [200, 200]
    assert api.enrolled() == {(1, P1), (1, P2)}


def test_with_cascade_an_enroll_takes_all_later_cycles_and_the_balance_only_its_own(sandbox, call, code):
    api = sandbox(cascade=True)
    client = call(api)
    client.enroll(1, P2, balance=30)
    assert api.enrolled() == {(1, f"PERIOD_G_29463_{n}") for n in range(2, 11)}
    assert api.truth()[place(1, P2)][:3] == (True, 30, 1)
    assert api.truth()[place(1, P3)][:3] == (True, 0, 0)
    assert code(client.enroll(1, P3, balance=50)) == 310119
    assert code(client.enroll(1, P1)) is None


@pytest.mark.parametrize(("balance", "then"), [(None, 300), (0, 0), (150, 150)])
def test_a_reenroll_resumes_wipes_or_replaces_the_balance(sandbox, call, balance, then):
    api = sandbox()
    client = call(api)
    client.enroll(1, balance=300)
    client.unenroll(1)
    assert api.enrolled() == set()
    assert client.enroll(1, balance=balance).status_code == 200
    assert api.truth()[place(1, P1)][:4] == (True, then, 2, 1)


def test_a_reenroll_without_the_field_resumes_the_balance(sandbox, call):
    api = sandbox()
    client = call(api)
    client.enroll(1, balance=300)
    client.unenroll(1)
    client.enroll(1)
    assert api.truth()[place(1, P1)].balance == 300


def test_unenroll_takes_the_current_and_later_cycles_and_leaves_earlier_ones(sandbox, call):
    clock = [at(2026, 5, 10)]
    api = sandbox(now=lambda: clock[0])
    client = call(api)
    for period in (P1, P2, P3):
        client.enroll(1, period)
    clock[0] = at(2026, 6, 30)
    assert client.unenroll(1).json()["data"] == 1
    assert api.enrolled() == {(1, P1)}


def test_unenroll_after_the_last_cycle_finds_nobody(sandbox, call, code):
    clock = [at(2026, 5, 10)]
    client = call(sandbox(now=lambda: clock[0]))
    client.enroll(1)
    clock[0] = at(2027, 3, 1)
    assert code(client.unenroll(1)) == 310149


def test_unenroll_of_a_non_member_is_a_code_or_a_success(sandbox, call, code):
    assert code(call(sandbox()).unenroll(1)) == 310149
    assert code(call(sandbox(unenroll_of_non_member=310119)).unenroll(1)) == 310119
    api = sandbox(unenroll_of_non_member="success")
    assert call(api).unenroll(1).json()["data"] == 1
    assert api.truth() == {}


@pytest.mark.parametrize(
    ("customer", "period", "group", "target", "expected"),
    [
        (199, P1, 29463, 5512, 310011),
        (999, P1, 29463, 5512, 310011),
        (0, P1, 29463, 5512, 310011),
        (2**63 - 2, P1, 29463, 5512, None),
        (1, "PERIOD_G_29463_11", 29463, 5512, 310019),
        (1, "period_g_29463_1", 29463, 5512, 310019),
        (1, P1 + " ", 29463, 5512, 310019),
        (1, P1, 29463, 5601, 310018),
        (1, P1, 1, 5512, 310017),
        (1, "PERIOD_G_29466_3", 29466, 5515, 310017),
    ],
)
def test_what_is_not_found_has_its_code_under_200(sandbox, call, code, customer, period, group, target, expected):
    answer = call(sandbox()).enroll(customer, period, group=group, target=target)
    assert (answer.status_code, code(answer)) == (200, expected)


def test_the_status_of_a_refusal_can_be_set_by_code(sandbox, call, code):
    client = call(sandbox(status="310011:404, 310119:409"))
    client.enroll(1)
    assert [(a.status_code, code(a)) for a in (client.enroll(1), client.enroll(99))] == [(409, 310119), (404, 310011)]


def test_period_names_can_compare_without_case(sandbox, call):
    api = sandbox(period_ignores_case=True)
    call(api).enroll(1, "period_G_29463_1")
    assert api.enrolled() == {(1, P1)}


@pytest.mark.parametrize(("switch", "expected"), [("300004", 300004), ("310019", 310019), ("current", None)])
def test_a_milestone_without_a_period_name_is_answered_as_set(sandbox, call, code, switch, expected):
    clock = [at(2026, 5, 10)]
    api = sandbox(missing_period=switch, now=lambda: clock[0])
    clock[0] = at(2026, 6, 10)
    assert code(call(api).enroll(1, None)) == expected
    assert api.enrolled() == ({(1, P2)} if expected is None else set())


def test_an_ended_cycle_is_accepted_or_refused_as_set(sandbox, call, code):
    old = {"period": "PERIOD_G_29464_1", "group": 29464, "target": 5513}
    assert code(call(sandbox()).enroll(1, **old)) is None
    assert code(call(sandbox(ended_cycle=310019)).enroll(1, **old)) == 310019


def test_no_cycle_of_the_samples_has_ended_when_the_world_is_born(sandbox, call, code):
    for day in (at(2026, 1, 31), at(2028, 2, 29), at(2026, 12, 1)):
        client = call(sandbox(ended_cycle=310019, now=lambda day=day: day))
        assert [code(client.enroll(1, f"PERIOD_G_29463_{n}")) for n in range(1, 11)] == [None] * 10


def test_a_streak_needs_no_period_and_is_reset_only_on_request(sandbox, call):
    api = sandbox()
    client = call(api)
    streak = {"group": 29501, "target": 5601}
    for reset in (False, True):  # 111 and 211 were in the streak before, with a count of 3
        client.enroll(211 if reset else 111, None, reset=reset, **streak)
    truth = api.truth()
    assert truth[place(111, "", group=29501, target=5601)]._asdict() | {"enrolled_at": 0, "updated_at": 0} == {
        "enrolled": True, "balance": 3, "enrolls": 1, "unenrolls": 0, "resets": 0, "enrolled_at": 0, "updated_at": 0,
    }  # fmt: skip
    assert truth[place(211, "", group=29501, target=5601)][:5] == (True, 0, 1, 0, 1)
    client.unenroll(211, **streak)
    assert api.enrolled() == {(111, "")}


def test_a_period_on_a_streak_is_ignored_or_refused_as_set(sandbox, call, code):
    streak = {"group": 29501, "target": 5601}
    assert code(call(sandbox()).enroll(1, P1, **streak)) is None
    assert code(call(sandbox(period_on_streak="refuse")).enroll(1, P1, **streak)) == 300004


def test_preloaded_customers_are_members_or_were(sandbox, call, code):
    api = sandbox()
    client = call(api)
    assert [code(client.enroll(c, P10)) for c in (107, 157, 111, 161)] == [310119, 310119, None, None]
    assert api.truth()[place(111, P10)].balance == 120
    assert client.unenroll(107).status_code == 200
    assert code(client.enroll(107, P10)) is None
    assert code(call(sandbox(preload=False)).enroll(107)) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b"null",
        b'{"customerId": 1, "periodName": "PERIOD_G_29463_1"}',
        b'[{"periodName": "PERIOD_G_29463_1"}]',
        b'[{"customerId": null, "periodName": "PERIOD_G_29463_1"}]',
        b'[{"customerId": true, "periodName": "PERIOD_G_29463_1"}]',
        b'[{"customerId": 1.0, "periodName": "PERIOD_G_29463_1"}]',
        b'[{"customerId": "1x", "periodName": "PERIOD_G_29463_1"}]',
        b'[{"customerId": 9223372036854775808, "periodName": "PERIOD_G_29463_1"}]',
        b'[{"customerId": 1, "periodName": 1}]',
        b'[{"customerId": 1, "periodName": ""}]',
        b'[{"customerId": 1, "periodName": "PERIOD_G_29463_1", "initialBalance": 1.5}]',
        b'[{"customerId": 1, "periodName": "PERIOD_G_29463_1", "initialBalance": "NULL"}]',
        b'[{"customerId": 1, "periodName": "PERIOD_G_29463_1", "initialBalance": -1}]',
        b'[{"customerId": 1, "periodName": "PERIOD_G_29463_1", "resetStreakStatus": "true"}]',
        b'[{"customerId": 1, "periodName": "PERIOD_G_29463_1"}, {"customerId": 2, "periodName": "PERIOD_G_29463_1"}]',
        b"[1]",
        b"\xff\xfe",
    ],
)
def test_a_bad_body_is_300004_and_changes_nothing(sandbox, call, code, body):
    api = sandbox()
    path = "/v3.1/targetGroups/29463/targets/5512/enroll"
    answer = call(api).http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, code(answer)) == (400, 300004)
    assert api.truth() == {}


def test_a_negative_balance_can_be_taken_as_it_is(sandbox, call):
    api = sandbox(negative_balance="ignore")
    call(api).enroll(1, balance=-5)
    assert api.truth()[place(1, P1)].balance == -5


@pytest.mark.parametrize(("switch", "enrolled"), [("first", {(1, P1)}), ("all", {(1, P1), (2, P1)})])
def test_two_records_can_be_applied_in_part_or_in_full(sandbox, call, switch, enrolled):
    api = sandbox(two_records=switch)
    answer = call(api).send("enroll", [{"customerId": c, "periodName": P1} for c in (1, 2)])
    assert answer.json()["data"] == 1
    assert api.enrolled() == enrolled


def test_only_json_is_taken(sandbox, call, code):
    api = sandbox()
    path = "/v3.1/targetGroups/29463/targets/5512/enroll"
    body = b'[{"customerId": 1, "periodName": "PERIOD_G_29463_1"}]'
    answer = call(api).http.post(path, content=body, headers={"Content-Type": "text/plain"})
    assert (answer.status_code, code(answer)) == (415, 415)
    assert (
        call(api).http.post(path, content=body, headers={"Content-Type": "application/json; charset=utf-8"}).is_success
    )


def test_a_wrong_verb_is_405_and_a_wrong_path_404(sandbox, call, code):
    api = sandbox()
    http = call(api).http
    wrong_verb = http.get("/v3.1/targetGroups/29463/targets/5512/enroll")
    wrong_path = http.post("/v3.1/targetGroups/29463/targets/5512/unenroll", json=[])
    assert (wrong_verb.status_code, code(wrong_verb), wrong_verb.headers["Allow"]) == (405, 405, "POST")
    assert (wrong_path.status_code, code(wrong_path)) == (404, 404)
    assert api.calls == {"unknown": 2}


@pytest.mark.parametrize("ids", [("29463x", 5512), (29463, "x"), ("²", 5512)])
def test_ids_in_the_path_must_be_numbers(sandbox, call, code, ids):
    assert code(call(sandbox()).enroll(1, group=ids[0], target=ids[1])) == 300004
