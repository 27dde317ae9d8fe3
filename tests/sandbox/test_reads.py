"""What the API tells about cycles, targets and customers, over the socket."""

from __future__ import annotations

import datetime as dt

import pytest

P1, P2 = "PERIOD_G_29463_1", "PERIOD_G_29463_2"
MAY = dt.datetime(2026, 5, 10, tzinfo=dt.UTC).timestamp()


def groups_of(answer):
    return {group["id"]: group for group in answer.json()["data"]["targetGroups"]}


def rows_of(client, customer, group=29463, path="/v3", headers=None, **query):
    answer = client.http.get(f"{path}/users/{customer}/targetGroups", params=query, headers=headers)
    return {row.get("periodRefCode", ""): row for row in groups_of(answer)[group]["targets"]}


@pytest.mark.parametrize("prefix", ["", "/api_gateway/intouch-api-v3"])
def test_target_periods_tell_names_dates_and_status_in_no_order_to_rely_on(sandbox, call, prefix):
    clock = [MAY]
    client = call(sandbox(now=lambda: clock[0]))
    periods = client.http.get(f"{prefix}/v3/targetGroups/29463/targetPeriods").json()["data"]
    assert len(periods) == 10
    assert periods != sorted(periods, key=lambda p: p["startDate"])
    first = next(p for p in periods if p["refCode"] == P1)
    assert (first["startDate"], first["endDate"], first["periodStatus"]) == ("2026-05-01", "2026-05-31", "RUNNING")
    clock[0] += 30 * 86400
    periods = client.http.get(f"{prefix}/v3/targetGroups/29463/targetPeriods").json()["data"]
    status = {p["refCode"]: p["periodStatus"] for p in periods}
    assert (status[P1], status[P2], status["PERIOD_G_29463_3"]) == ("ENDED", "RUNNING", "NOT_STARTED")


def test_targets_tell_the_target_id_of_the_enroll_path(sandbox, call, code):
    client = call(sandbox())
    for group, target in ((29463, 5512), (29464, 5513), (29501, 5601)):
        (told,) = client.http.get(f"/v3/targetGroups/{group}/targets").json()["data"]
        assert (told["id"], told["targetGroupId"]) == (target, group)
    for path in ("targets", "targetPeriods"):
        assert code(client.http.get(f"/v3/targetGroups/29466/{path}")) == 310017
        assert code(client.http.get(f"/v3/targetGroups/abc/{path}")) == 310017
        assert client.http.get(f"/v3.1/targetGroups/29463/{path}").status_code == 404


def test_an_enrolment_is_a_row_with_a_target_id_and_not_unenrolled(sandbox, call):
    client = call(sandbox(now=lambda: MAY))
    client.enroll(1, P1, balance=40)
    client.enroll(1, P2)
    rows = rows_of(client, 1, includeInactive="true")
    assert len(rows) == 10
    assert rows[P1]["targetId"] != rows[P2]["targetId"]
    assert (rows[P1]["targetRuleId"], rows[P1]["targetAchievedValue"], rows[P1]["unEnrolled"]) == (5512, 40, False)
    assert rows["PERIOD_G_29463_3"]["targetId"] is None
    client.unenroll(1)
    rows = rows_of(client, 1, includeInactive="true")
    assert [rows[p]["unEnrolled"] for p in (P1, P2)] == [True, True]


def test_virtual_rows_can_be_left_out_and_only_the_current_cycle_is_told_unless_asked(sandbox, call):
    client = call(sandbox(virtual_rows=False, now=lambda: MAY))
    client.enroll(1, P1)
    client.enroll(1, P2)
    assert list(rows_of(client, 1)) == [P1]
    assert list(rows_of(client, 1, includeInactive="true")) == [P1, P2]


def test_the_target_rule_id_filters(sandbox, call):
    client = call(sandbox())
    ask = "/v3/users/1/targetGroups"
    assert set(groups_of(client.http.get(ask))) == {29463, 29464}
    assert set(groups_of(client.http.get(ask, params={"targetRuleId": "5513"}))) == {29464}
    assert groups_of(client.http.get(ask, params={"targetRuleId": "29463"})) == {}
    everything = {"includeInactiveTargets": "true", "includeInactive": "true"}
    assert 29466 in groups_of(client.http.get(ask, params=everything))


def test_a_streak_tells_its_count(sandbox, call):
    client = call(sandbox())
    rows = rows_of(client, 111, group=29501)
    assert rows[""]["unEnrolled"] is True
    client.enroll(111, None, group=29501, target=5601)
    group = groups_of(client.http.get("/v3/users/111/targetGroups"))[29501]
    assert group["targets"][0]["unEnrolled"] is False
    assert (group["streaks"][0]["currentCount"], group["streaks"][0]["status"]) == (3, "IN_PROGRESS")


def test_preloaded_members_are_told_as_members(sandbox, call):
    rows = rows_of(call(sandbox()), 107, includeInactive="true")
    assert all(row["targetId"] is not None and not row["unEnrolled"] for row in rows.values())


def test_an_unknown_customer_is_310011(sandbox, call, code):
    client = call(sandbox())
    assert [code(client.http.get(f"/v3/users/{who}/targetGroups")) for who in (99, 0, "abc")] == [310011] * 3


def test_a_read_may_look_at_all_organisations_and_a_child_only_at_itself(sandbox, call, code):
    api = sandbox(virtual_rows=False)
    client = call(api)
    client.enroll(1, DATA_SCOPE="OTHER", DATA_SCOPE_ORG="50672")
    path = "/v3.1/users/1/targetGroups"
    assert groups_of(client.http.get(path)) == {}
    assert set(groups_of(client.http.get(path, headers={"DATA-SCOPE": "ALL"}))) == {29463}
    two = {"DATA-SCOPE": "OTHER", "DATA-SCOPE-ORG": "50672,50673"}
    assert set(groups_of(client.http.get(path, headers=two))) == {29463}
    child = call(api, auth=("store.server.50672", api.credentials.password_md5))
    assert code(child.http.get(path, headers={"DATA-SCOPE": "ALL"})) == 310144
    assert set(groups_of(child.http.get(path))) == {29463}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("mobile", "910345651201", 345651201),
        ("email", "zoe.345651201@example.com", 345651201),
        ("externalId", "EXT-345651201", 345651201),
        ("mobile", "910345651299", 8015),
        ("mobile", "345651201", 8013),
        ("email", "nobody", 8013),
        ("cardnumber", "1", 8013),
    ],
)
def test_a_lookup_finds_the_customer_by_rule(sandbox, call, name, value, expected):
    query = {"source": "INSTORE", "identifierName": name, "identifierValue": value}
    answer = call(sandbox()).http.get("/v2/customers/lookup", params=query)
    body = answer.json()
    found = body["errors"][0]["code"] if "errors" in body else body["entity"]
    assert found == expected
    assert answer.status_code == (400 if expected == 8013 else 200)


def test_a_lookup_needs_a_source(sandbox, call):
    answer = call(sandbox()).http.get("/v2/customers/lookup", params={"identifierName": "mobile"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, 8011)
