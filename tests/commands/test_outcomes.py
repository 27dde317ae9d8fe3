"""Every outcome, over a socket, with the report compared to what the API knows."""

from __future__ import annotations

import pytest

from tests.commands.conftest import Desk, Factory, check_against_the_truth, customers

BASIC = {"kind": "basic", "till": "store.server", "password": "${PASSWORD}"}
ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}


def test_enrolled_already_enrolled_and_invalid_user(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    said = desk.run(api, customers([345651201, 345651207, 345651299]))
    assert said.code == 4
    assert desk.outcomes() == {"enrolled": 2, "already_enrolled": 2, "invalid_user": 2}
    assert api.enrolled() == {(345651201, "PERIOD_G_29463_1"), (345651201, "PERIOD_G_29463_2")}
    assert {row["error_code"] for row in desk.rows("invalid_user.csv")} == {"310011"}
    check_against_the_truth(desk, api)


def test_nothing_but_successes_and_already_enrolled_exits_with_0(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    assert desk.run(api, customers([1, 7])).code == 0
    check_against_the_truth(desk, api)


@pytest.mark.parametrize("status", ["200", "400", "404", "409"])
def test_the_status_of_a_refusal_changes_nothing(desk: Desk, sandbox: Factory, status: str) -> None:
    api = sandbox(status=f"310119:{status} 310011:{status} 310019:{status}", success_status=201)
    upload = "customer_id,period_name\n1,PERIOD_G_29463_1\n7,PERIOD_G_29463_1\n99,PERIOD_G_29463_1\n2,nonsense\n"
    desk.run(api, upload)
    assert desk.outcomes() == {"enrolled": 1, "already_enrolled": 1, "invalid_user": 1, "period_not_found": 1}
    check_against_the_truth(desk, api)


@pytest.mark.parametrize("prefix", ["", "/api_gateway/intouch-api-v3"])
@pytest.mark.parametrize("version", ["v3", "v3.1"])
def test_both_versions_and_both_forms_of_the_url(desk: Desk, sandbox: Factory, version: str, prefix: str) -> None:
    api = sandbox()
    desk.run(api, customers([1]), api={"base_url": api.url, "version": version, "path_prefix": prefix})
    assert desk.outcomes() == {"enrolled": 2}
    check_against_the_truth(desk, api)


def test_unenrolled_is_one_request_a_customer(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    desk.run(api, customers([7]), campaign={"action": "unenroll"})
    assert desk.outcomes() == {"unenrolled": 1}
    assert api.calls["unenroll"] == 1
    check_against_the_truth(desk, api)


def test_an_undocumented_answer_to_an_unenroll_is_unrecognised(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(unenroll_of_non_member=310149)
    said = desk.run(api, customers([7, 8]), campaign={"action": "unenroll"})
    assert said.code == 4
    assert desk.outcomes() == {"unenrolled": 1, "unrecognised": 1}
    check_against_the_truth(desk, api)


def test_a_streak_takes_one_request_without_a_period(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(period_on_streak="refuse")
    campaign = {"kind": "streak", "target_group_id": 29501, "target_id": 5601, "cycles": None}
    desk.run(api, "customer_id,reset_streak_status\n1,yes\n2,\n", campaign=campaign)
    assert desk.outcomes() == {"enrolled": 2}
    assert api.enrolled() == {(1, ""), (2, "")}
    check_against_the_truth(desk, api)


def test_zero_is_a_balance_and_blank_is_none(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    upload = (
        "customer_id,period_name,initial_balance\n11,PERIOD_G_29463_1,0\n61,PERIOD_G_29463_1,\n1,PERIOD_G_29463_1,30\n"
    )
    desk.run(api, upload)
    balances = {place.customer: enrolment.balance for place, enrolment in api.truth().items()}
    assert balances == {11: 0, 61: 120, 1: 30}
    check_against_the_truth(desk, api)


def test_a_balance_for_somebody_enrolled_already_is_value_not_applied(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    said = desk.run(api, "customer_id,initial_balance\n7,50\n1,50\n", campaign=ONE_CYCLE)
    assert said.code == 4
    assert desk.outcomes() == {"enrolled": 1, "value_not_applied": 1}
    assert [row["customer_id"] for row in desk.rows("failed.csv")] == ["7"]
    check_against_the_truth(desk, api)


def test_a_refused_record_is_invalid_input(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(ended_cycle=300004)
    upload = "customer_id,period_name\n1,PERIOD_G_29464_1\n2,PERIOD_G_29464_2\n"
    assert desk.run(api, upload, campaign={"target_group_id": 29464, "target_id": 5513}).code == 4
    assert desk.outcomes() == {"enrolled": 1, "invalid_input": 1}
    check_against_the_truth(desk, api)


def test_a_wrong_target_and_a_stopped_group_are_target_not_found(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    upload = "customer_id,target_group_id,target_id\n1,29463,5512\n2,29463,1\n3,1,5512\n4,29466,5515\n"
    desk.run(api, upload, campaign=ONE_CYCLE | {"target_group_id": None, "target_id": None})
    assert desk.outcomes() == {"enrolled": 1, "target_not_found": 3}
    assert {row["error_code"] for row in desk.rows("failed.csv")} == {"310017", "310018"}
    check_against_the_truth(desk, api)


def test_an_org_column_means_other_and_a_foreign_org_is_scope_refused(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    said = desk.run(api, "customer_id,org_id\n1,50672\n2,99999\n3,50673\n", campaign=ONE_CYCLE)
    assert said.code == 4
    assert desk.outcomes() == {"enrolled": 2, "scope_refused": 1}
    assert {(place.org, place.customer) for place in api.truth()} == {(50672, 1), (50673, 3)}
    check_against_the_truth(desk, api)


def test_a_scope_refused_every_time_stops_the_run(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    said = desk.run(api, customers(range(1, 51)), scope={"data_scope": "OTHER", "org": 99999})
    assert said.code == 10
    assert api.calls["enroll"] == 3
    assert desk.outcomes() == {"scope_refused": 3, "not_sent": 97}
    assert "310144" in said.out
    check_against_the_truth(desk, api)


def test_denied_access_stops_the_run_and_a_resume_sends_everything(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(error_403_4000="first 3", preload=False)
    assert desk.run(api, customers(range(1, 41)), campaign=ONE_CYCLE).code == 10
    assert api.calls["enroll"] == 3
    assert desk.summary()["state"] == "stopped"
    assert desk.outcomes() == {"access_refused": 3, "not_sent": 37}
    assert desk("resume", "run", "--yes").code == 0
    assert desk.outcomes() == {"enrolled": 40}
    check_against_the_truth(desk, api)


def test_one_refusal_of_access_among_successes_is_that_requests_outcome(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    api.inject(5, ["error_403_4000", "error_403_4000"])
    desk.run(api, customers(range(1, 7)), campaign=ONE_CYCLE)
    assert desk.outcomes() == {"enrolled": 5, "access_refused": 1}
    check_against_the_truth(desk, api)


@pytest.mark.parametrize("fault", ["error_461", "error_503_4001", "error_521_http", "error_521_body"])
def test_what_is_known_not_to_be_applied_is_a_server_error(desk: Desk, sandbox: Factory, fault: str) -> None:
    api = sandbox()
    api.inject(2, [fault] * 3)
    said = desk.run(api, customers([1, 2, 3]), campaign=ONE_CYCLE)
    assert said.code == 4
    assert desk.outcomes() == {"enrolled": 2, "server_error": 1}
    assert desk.summary()["retries"] == 2
    check_against_the_truth(desk, api)


@pytest.mark.parametrize(
    "fault", ["reset_after", "close_after", "truncate", "wrong_customer", "unreadable_200", "error_502_after"]
)
def test_an_answer_lost_after_the_effect_is_confirmed_by_the_retry(desk: Desk, sandbox: Factory, fault: str) -> None:
    api = sandbox()
    api.inject(2, [fault])
    assert desk.run(api, customers([1, 2, 3]), campaign=ONE_CYCLE).code == 0
    assert desk.outcomes() == {"enrolled": 3}
    reasons = {row["customer_id"]: row["reason"] for row in desk.rows("succeeded.csv")}
    assert reasons == {"1": "", "2": "confirmed_by_retry", "3": ""}
    check_against_the_truth(desk, api)


@pytest.mark.parametrize("fault", ["reset_before", "error_500", "close_before"])
def test_a_request_lost_before_the_effect_is_enrolled_by_the_retry(desk: Desk, sandbox: Factory, fault: str) -> None:
    api = sandbox()
    api.inject(2, [fault])
    assert desk.run(api, customers([1, 2, 3]), campaign=ONE_CYCLE).code == 0
    assert desk.outcomes() == {"enrolled": 3}
    check_against_the_truth(desk, api)


def test_a_balance_in_doubt_is_verified_and_never_resent_blindly(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    api.inject(2, ["reset_after"])
    api.inject(3, ["reset_before"])
    assert desk.run(api, "customer_id,initial_balance\n1,10\n2,20\n3,30\n", campaign=ONE_CYCLE).code == 0
    reasons = {row["customer_id"]: row["reason"] for row in desk.rows("succeeded.csv")}
    assert reasons == {"1": "", "2": "confirmed_by_api", "3": ""}
    assert api.calls["enroll"] == 4
    check_against_the_truth(desk, api)


def test_a_balance_in_doubt_is_left_where_the_api_cannot_be_asked(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    api.inject(2, ["reset_after"])
    api.inject(2, ["error_400"] * 3, struck="read")
    said = desk.run(api, "customer_id,initial_balance\n1,10\n2,20\n", campaign=ONE_CYCLE)
    assert said.code == 5
    assert desk.outcomes() == {"enrolled": 1, "in_doubt": 1}
    assert api.calls["enroll"] == 2
    check_against_the_truth(desk, api)


def test_doubt_that_no_attempt_resolves_stays(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    api.inject(2, ["error_500"] * 3)
    assert desk.run(api, customers([1, 2, 3]), campaign=ONE_CYCLE).code == 5
    assert desk.outcomes() == {"enrolled": 2, "in_doubt": 1}
    check_against_the_truth(desk, api)


@pytest.mark.parametrize("fault", ["error_400", "undocumented_code", "redirect"])
def test_an_answer_that_nobody_has_documented_is_unrecognised_and_not_resent(
    desk: Desk, sandbox: Factory, fault: str
) -> None:
    api = sandbox()
    api.inject(2, [fault])
    assert desk.run(api, customers([1, 2, 3]), campaign=ONE_CYCLE).code == 4
    assert desk.outcomes() == {"enrolled": 2, "unrecognised": 1}
    assert api.calls["enroll"] == 3
    check_against_the_truth(desk, api)


def test_warnings_beside_a_success_are_reported(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    api.inject(1, ["warnings"])
    assert desk.run(api, customers([1]), campaign=ONE_CYCLE).code == 0
    (row,) = desk.rows("succeeded.csv")
    assert row["outcome"] == "enrolled"
    assert row["error_message"]
    check_against_the_truth(desk, api)


def test_an_unreachable_api_ends_with_7_and_sends_nothing(desk: Desk) -> None:
    said = desk.run("http://127.0.0.1:9", customers([1, 2]))
    assert said.code == 7
    assert desk.outcomes() == {"unreachable": 1, "not_sent": 3}
    assert desk.summary()["attempts"] == 3
    assert "has not answered once" in said.out
    assert "resume" in said.out


def test_a_token_that_is_revoked_is_renewed_once_and_costs_no_request_an_attempt(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(revoke_tokens_at=20)
    assert desk.run(api, customers(range(101, 151)), retry={"attempts": 1}, campaign=ONE_CYCLE).code == 0
    assert desk.outcomes() == {"enrolled": 49, "already_enrolled": 1}
    assert api.calls["token"] == 2
    check_against_the_truth(desk, api)


def test_wrong_oauth_credentials_stop_before_anything_is_sent(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    desk.monkeypatch.setenv("SECRET", "hunter2")
    said = desk.run(api, customers(range(1, 51)))
    assert said.code == 10
    assert api.calls["enroll"] == 0
    assert set(desk.outcomes()) == {"not_sent"}
    assert "hunter2" not in said.out + said.err
    check_against_the_truth(desk, api)


def test_a_wrong_basic_password_shows_with_the_first_calls(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    desk.monkeypatch.setenv("PASSWORD", "not-it")
    said = desk.run(api, customers(range(1, 51)), auth=BASIC)
    assert said.code == 10
    assert api.calls["enroll"] == 3
    assert api.truth() == {}
    assert set(desk.outcomes()) == {"access_refused", "not_sent"}
    check_against_the_truth(desk, api)


def test_basic_authentication_by_password_or_by_its_md5(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    assert desk.run(api, customers([1]), auth=BASIC).code == 0
    desk.monkeypatch.setenv("HASH", "8a16a6b70505eb1f1ff7cdc0cd5559a7")
    auth = {"kind": "basic", "till": "store.server", "password_md5": "${HASH}"}
    config = desk.config(api, auth=auth)
    assert desk("run", desk.upload(customers([2])), "-c", config, "--yes", "--run-dir", "second").code == 0
    assert {customer for customer, _ in api.enrolled()} == {1, 2}
