"""Bad days of the API, over a socket: what is reported must be what is true."""

from __future__ import annotations

import pytest

from tests.commands.conftest import Desk, Factory, check_against_the_truth, customers

SECOND = 1_000_000_000
ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_storm_of_every_kind_leaves_the_report_true(desk: Desk, sandbox: Factory, seed: int) -> None:
    api = sandbox(
        preload=False, seed=seed, token_ttl_s=2, latency_ms="20-40",  # 600 calls by four workers outlive the token
        reset_after="3%", error_503="5%", error_502="3%", truncate="2%",
    )  # fmt: skip
    retry = {"attempts": 6, "base_s": 0.01, "max_s": 0.05}
    desk.run(
        api,
        customers(range(1001, 1201)),
        campaign={"cycles": [f"PERIOD_G_29463_{n}" for n in (1, 2, 3)]},
        retry=retry,
        pacing={"concurrency": 4},
    )
    told = {
        (int(row["customer_id"]), row["period_name"]): row["outcome"]
        for name in ("succeeded.csv", "already_enrolled.csv", "invalid_user.csv", "failed.csv")
        for row in desk.rows(name)
    }
    applied = api.enrolled()
    assert len(told) == 600 == desk.summary()["requests"]["unique"]
    for key, outcome in told.items():
        if outcome == "enrolled":
            assert key in applied, key
        else:
            assert outcome in {"in_doubt", "invalid_user"} or key not in applied, (key, outcome)
    assert {key for key, outcome in told.items() if outcome == "invalid_user"} == {
        k for k in told if k[0] == 1099 or k[0] == 1199
    }
    assert api.overlaps == 0
    assert api.calls["token"] >= 2


@pytest.mark.parametrize(
    ("setting", "code", "outcomes", "reason", "calls", "looks"),
    [
        ("resend", 0, {"enrolled": 3}, "confirmed_by_retry", 4, 0),
        ("verify", 0, {"enrolled": 3}, "confirmed_by_api", 3, 1),
        ("leave", 5, {"enrolled": 2, "in_doubt": 1}, None, 3, 0),
    ],
)
@pytest.mark.parametrize("fault", ["reset_after", "error_502_after", "truncate", "unreadable_200"])
def test_a_plain_enroll_in_doubt_goes_by_the_setting(
    desk: Desk, sandbox: Factory, fault: str, setting: str, code: int, outcomes: dict[str, int], reason: str | None,
    calls: int, looks: int,
) -> None:  # fmt: skip
    api = sandbox(preload=False)
    api.inject(2, [fault])
    retry = {"attempts": 3, "base_s": 0.01, "in_doubt": setting}
    assert desk.run(api, customers([1, 2, 3]), campaign=ONE_CYCLE, retry=retry).code == code
    assert desk.outcomes() == outcomes
    assert (api.calls["enroll"], api.calls["target_groups"]) == (calls, looks)
    reasons = {row["customer_id"]: row["reason"] for row in desk.rows("succeeded.csv")}
    assert reasons.get("2") == reason
    check_against_the_truth(desk, api)
