"""Bad days of the API, over a socket: what is reported must be what is true."""

from __future__ import annotations

import pytest

from tests.commands.conftest import Desk, Factory, customers

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
        api, customers(range(1001, 1201)), campaign={"cycles": [f"PERIOD_G_29463_{n}" for n in (1, 2, 3)]}, retry=retry,
        pacing={"concurrency": 4},
    )
    told = {
        (int(row["customer_id"]), row["period_name"]): row["outcome"]
        for name in ("succeeded.csv", "already_enrolled.csv", "invalid_user.csv", "failed.csv")
        for row in desk.rows(name)
    }
    applied = api.enrolled()
    assert len(told) == 600
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
