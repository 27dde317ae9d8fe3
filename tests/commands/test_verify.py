"""What `verify` settles, over a socket, with the report compared to what the API knows.

Believed after breaks made them fail: verdicts that are not written until the end, a failed look taken for a verdict,
one look for each cycle instead of each customer, looks that do not pay the rate.
"""

from __future__ import annotations

import json
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from batch.sandbox.records import Record
from batch.sending.conclusions import LOOKS
from tests.commands.conftest import Desk, Factory, Said, customers
from tests.commands.test_drain import wait_until

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox
    from tests.crash.forks import Fork, Forks

P1, P2 = "PERIOD_G_29463_1", "PERIOD_G_29463_2"
ONE_CYCLE = {"cycles": [P1]}
STREAK = {"kind": "streak", "target_group_id": 29501, "target_id": 5601, "cycles": None}
MILESTONE_PLACE = (50671, 29463, 5512)


def with_balance(ids: Iterable[int]) -> str:
    """An upload in which each customer gets his own id as balance."""
    return "customer_id,initial_balance\n" + "".join(f"{number},{number}\n" for number in ids)


LEFT = {"in_doubt": "leave"}
"""A run that asks neither again nor about what it is in doubt of, where it may."""


def lose(api: RunningSandbox, customer: int, *faults: str) -> None:
    """Lose the answers to a customer's calls, and those to each look that the run takes because of it."""
    api.inject(customer, faults)
    api.inject(customer, ["error_500"] * LOOKS * sum(fault != "ok" for fault in faults), "read")


def table(desk: Desk) -> dict[int, tuple[str, str]]:
    """Outcome and reason by customer, over all outcome files."""
    names = ("succeeded.csv", "already_enrolled.csv", "invalid_user.csv", "failed.csv")
    rows = [row for name in names for row in desk.rows(name)]
    return {int(row["customer_id"]): (row["outcome"], row["reason"]) for row in rows}


def verdict_count(desk: Desk) -> int:
    with closing(sqlite3.connect(desk.folder / "run" / "ledger.sqlite")) as ledger:
        ((count,),) = ledger.execute("SELECT count(*) FROM verdict")
    return int(count)


def settled_truly(desk: Desk, api: RunningSandbox) -> None:
    """Compare each verdict with the truth of the API."""
    truth = {(place.customer, place.period): enrolment for place, enrolment in api.truth().items()}
    rows = [*desk.rows("succeeded.csv"), *desk.rows("failed.csv")]
    for row in rows:
        enrolment = truth.get((int(row["customer_id"]), row["period_name"]))
        if row["outcome"] == "enrolled":
            assert enrolment is not None
            assert enrolment.enrolled
            assert row["initial_balance"] in {"", str(enrolment.balance)}
        if row["outcome"] == "server_error":
            assert enrolment is None


# What is settled -------------------------------------------------------------------------------------------------


def test_balances_whose_answers_were_lost_are_settled_as_they_are(desk: Desk, sandbox: Factory) -> None:
    api, applied, not_applied = sandbox(preload=False), range(110, 117), range(120, 124)
    for customer in applied:
        lose(api, customer, "reset_after")
    for customer in not_applied:
        lose(api, customer, "reset_before")
    assert desk.run(api, with_balance(range(100, 130)), campaign=ONE_CYCLE).code == 5
    assert desk.outcomes() == {"enrolled": 19, "in_doubt": 11}
    looked_before = api.calls["target_groups"]
    said = desk("verify", "run")
    assert said.code == 4
    assert desk.outcomes() == {"enrolled": 26, "server_error": 4}
    found = table(desk)
    assert {found[customer] for customer in applied} == {("enrolled", "confirmed_by_api")}
    assert {found[customer] for customer in not_applied} == {("server_error", "refuted_by_api")}
    assert "11 in doubt to ask about: 11 calls." in said.out
    assert "7  enrolled, as the API confirms" in said.out
    assert "4  not applied, as the API shows" in said.out
    settled_truly(desk, api)
    assert (api.calls["target_groups"] - looked_before, api.calls["enroll"]) == (11, 30)


def test_whatever_is_lost_of_a_large_run_is_settled_truly(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False, reset_after="12%", reset_before="8%", error_502="4%", truncate="4%", error_500="4%")
    desk.run(api, customers(range(100, 299)), retry=LEFT)
    doubts = desk.outcomes()["in_doubt"]
    assert doubts > 40
    desk("verify", "run")
    assert "in_doubt" not in desk.outcomes()
    names = ("succeeded.csv", "invalid_user.csv", "failed.csv")  # 199 is unknown, which a look tells, too
    reasons = Counter(row["reason"] for name in names for row in desk.rows(name))
    assert reasons["confirmed_by_api"] + reasons["refuted_by_api"] == doubts
    settled_truly(desk, api)


def test_one_call_tells_about_all_cycles_of_a_customer(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    lose(api, 101, "reset_after", "reset_before")
    lose(api, 102, "ok", "reset_after")
    desk.run(api, with_balance([100, 101, 102]))
    assert desk.outcomes() == {"enrolled": 3, "in_doubt": 3}
    looked_before = api.calls["target_groups"]
    assert "3 in doubt to ask about: 2 calls." in desk("verify", "run").out
    assert desk.outcomes() == {"enrolled": 5, "server_error": 1}
    assert api.calls["target_groups"] == looked_before + 2
    settled_truly(desk, api)


def test_an_unenroll_is_settled_both_ways(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    lose(api, 107, "reset_after")
    lose(api, 157, "reset_before")
    desk.run(api, customers([7, 57, 107, 157]), campaign={"action": "unenroll"})
    assert desk.outcomes() == {"unenrolled": 2, "in_doubt": 2}
    desk("verify", "run")
    assert desk.outcomes() == {"unenrolled": 3, "server_error": 1}
    assert table(desk)[157] == ("server_error", "refuted_by_api")
    assert not any(customer == 107 for customer, _ in api.enrolled())


def test_a_reset_cannot_be_seen_but_that_there_was_none_can(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    lose(api, 11, "reset_after")
    lose(api, 61, "reset_before")
    desk.run(api, "customer_id,reset_streak_status\n11,yes\n61,yes\n111,yes\n", campaign=STREAK)
    assert desk.outcomes() == {"enrolled": 1, "in_doubt": 2}
    said = desk("verify", "run")
    assert said.code == 5
    assert table(desk)[11] == ("in_doubt", "enrolled_value_unknown")
    assert table(desk)[61] == ("server_error", "refuted_by_api")
    assert "leaves no trace" in " ".join(said.out.split())


def test_a_balance_that_has_moved_since_stays_in_doubt(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    lose(api, 1, "reset_after")
    desk.run(api, with_balance([1, 2]), campaign=ONE_CYCLE)
    api._ask(lambda a: a.organisation.unenroll(*MILESTONE_PLACE, Record(1)))
    api._ask(lambda a: a.organisation.enroll(*MILESTONE_PLACE, Record(1, P1, 260)))
    assert desk("verify", "run").code == 5
    assert table(desk)[1] == ("in_doubt", "enrolled_value_unknown")
    (row,) = desk.rows("failed.csv")
    assert "look up whether the balance" in row["advice"]


def test_what_a_later_row_has_changed_again_is_not_guessed_at(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    lose(api, 1, "reset_after", "ok")
    upload = "customer_id,action,initial_balance\n1,enroll,5\n1,unenroll,\n2,enroll,5\n"
    desk.run(api, upload, campaign=ONE_CYCLE)
    said = desk("verify", "run")
    assert said.code == 5
    assert "1 in doubt that a later request of this run has changed again" in said.out
    assert desk.outcomes() == {"enrolled": 1, "unenrolled": 1, "in_doubt": 1}
    assert api.calls["target_groups"] == LOOKS


def test_a_connected_organisation_is_asked_in_its_scope(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    lose(api, 1, "reset_after")
    lose(api, 2, "reset_before")
    desk.run(api, "customer_id,org_id,initial_balance\n1,50672,5\n2,50672,5\n3,50673,5\n", campaign=ONE_CYCLE)
    assert desk("verify", "run").code == 5
    assert table(desk) == {
        1: ("enrolled", "confirmed_by_api"),
        2: ("in_doubt", "unclear_organisation"),
        3: ("enrolled", ""),
    }


def test_where_nothing_is_in_doubt_nothing_is_asked(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    desk.run(api, customers([1, 2]))
    said = desk("verify", "run")
    assert said.code == 0
    assert "0 in doubt to ask about: 0 calls." in said.out
    assert (api.calls["target_groups"], api.calls["token"]) == (0, 1)


def test_what_has_no_outcome_yet_is_left_to_resume(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    lose(api, 1, "reset_after")
    desk.run(api, with_balance([1, 2, 3]), "--limit", "2", campaign=ONE_CYCLE)
    assert desk.outcomes() == {"enrolled": 1, "in_doubt": 1, "not_sent": 1}
    said = desk("verify", "run")
    assert said.code == 7
    assert "1 without an outcome yet: `resume` goes on with them." in said.out
    assert desk("resume", "run", "--yes").code == 0
    assert desk.outcomes() == {"enrolled": 3}
    assert api.calls["enroll"] == 3


# When the API does not say ---------------------------------------------------------------------------------------


def doubtful_run(desk: Desk, api: RunningSandbox, ids: range, **groups: object) -> None:
    """A run in which each second customer is in doubt, and every fourth was enrolled although he is."""
    for number in ids:
        if number % 2:
            api.inject(number, ["reset_after" if number % 4 == 1 else "reset_before"])
    desk.run(api, customers(ids), campaign=ONE_CYCLE, retry=LEFT, **groups)
    assert desk.outcomes()["in_doubt"] == len(ids) // 2


def test_a_rerun_sends_what_is_known_not_to_be_applied_and_nothing_else(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    doubtful_run(desk, api, range(100, 116))
    desk("verify", "run")
    assert desk("rerun", "run", "--yes", "--run-dir", "again").code == 0
    summary = json.loads((desk.folder / "again" / "summary.json").read_text())
    assert (summary["requests"]["unique"], summary["outcomes"]["enrolled"]) == (4, 4)
    assert api.calls["enroll"] == 16 + 4
    assert all(enrolment.enrolls == 1 for enrolment in api.truth().values())


@pytest.mark.parametrize("fault", ["error_429", "error_461", "error_502", "error_503", "reset_before", "truncate"])
def test_a_look_that_fails_is_tried_again(desk: Desk, sandbox: Factory, fault: str) -> None:
    api = sandbox(preload=False)
    doubtful_run(desk, api, range(100, 116))
    api.inject(105, [fault, fault], "read")
    assert desk("verify", "run").code == 4
    assert desk.outcomes() == {"enrolled": 12, "server_error": 4}
    assert api.calls["target_groups"] == 10
    settled_truly(desk, api)


def test_a_look_that_fails_to_the_last_stays_in_doubt_and_is_asked_about_next_time(
    desk: Desk, sandbox: Factory
) -> None:
    api = sandbox(preload=False)
    doubtful_run(desk, api, range(100, 116))
    api.inject(105, ["error_500"] * 3, "read")
    said = desk("verify", "run")
    assert said.code == 5
    assert "1  in doubt: the API could not be asked" in said.out
    assert desk.outcomes() == {"enrolled": 11, "in_doubt": 1, "server_error": 4}
    assert "no answer" in table(desk)[105][1] or "reset" in table(desk)[105][1]
    assert desk("verify", "run").code == 4
    assert table(desk)[105] == ("enrolled", "confirmed_by_api")
    assert api.calls["target_groups"] == 8 + 2 + 1


@pytest.mark.parametrize(
    ("fault", "words"), [("error_403_4000", "refuses access"), ("error_400", "the same unknown answer")]
)
def test_reads_that_are_refused_each_time_stop_after_three_and_settle_nothing(
    desk: Desk, sandbox: Factory, fault: str, words: str
) -> None:
    api = sandbox(preload=False)
    doubtful_run(desk, api, range(100, 116))
    for customer in range(100, 116):
        api.inject(customer, [fault] * 2, "read")
    said = desk("verify", "run")
    assert said.code == 10
    assert said.err.count("Error: ") == 1
    assert words in said.err
    assert desk.outcomes() == {"enrolled": 8, "in_doubt": 8}
    assert verdict_count(desk) == 0
    assert api.calls["target_groups"] <= 4


def test_a_server_that_is_gone_is_one_clear_line(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    doubtful_run(desk, api, range(100, 116))
    api.close()
    said = desk("verify", "run")
    assert said.code == 7
    assert said.err.count("Error: ") == 1
    assert "has not answered once" in said.err
    assert verdict_count(desk) == 0
    assert desk.outcomes() == {"enrolled": 8, "in_doubt": 8}


def test_a_token_that_is_revoked_is_renewed(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    doubtful_run(desk, api, range(100, 140))
    api.inject(101, ["error_498"], "read")
    api.inject(115, ["error_401"], "read")
    desk("verify", "run", "--concurrency", "4")
    assert "in_doubt" not in desk.outcomes()
    assert api.calls["token"] == 1 + 1 + 2
    settled_truly(desk, api)


def test_looks_keep_the_rate(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False, limit_per_min=1500, limit_window_s=1)  # 25 in a second, refused beyond
    doubtful_run(desk, api, range(100, 160), pacing={"rate": "20/s"})
    assert desk("verify", "run").code == 4
    assert api.calls["target_groups"] == 30
    assert api.statuses[429] == 0


# Privacy and manners ---------------------------------------------------------------------------------------------


def test_nothing_of_the_customers_is_kept_but_the_verdict(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    doubtful_run(desk, api, range(100, 116))
    desk("verify", "run", "-v")
    desk("verify", "run", "--sample", "5", "-v")
    for path in (desk.folder / "run").iterdir():
        content = path.read_bytes()
        assert b"Sandbox" not in content
        assert b"@example.com" not in content


def test_json_prints_the_summary_alone_and_quiet_nothing(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    doubtful_run(desk, api, range(100, 116))
    said = desk("verify", "run", "--json")
    assert json.loads(said.out) == desk.summary()
    assert "as the API confirms" in said.err
    assert desk("verify", "run", "--quiet") == Said(code=4, out="", err="")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["elsewhere"], 'no run "elsewhere"'),
        (["run", "--seed", "x"], "--seed goes with --sample"),
        (["run", "--sample", "0"], "0 is not in the range"),
        (["run", "--rate", "fast"], "--rate"),
    ],
)
def test_a_wrong_command_line_is_one_clear_line(desk: Desk, sandbox: Factory, options: list[str], words: str) -> None:
    api = sandbox(preload=False)
    desk.run(api, customers([1]))
    said = desk("verify", *options)
    assert said.code == 2
    assert words in said.err
    assert api.calls["target_groups"] == 0


def test_a_secret_that_is_gone_is_one_clear_line(
    desk: Desk, sandbox: Factory, forks: Forks, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.run(sandbox(preload=False), customers([1]))
    monkeypatch.delenv("SECRET")
    said = desk("verify", "run")
    assert said.code == 2
    assert "SECRET" in said.err


# Stopped and killed ----------------------------------------------------------------------------------------------


@contextmanager
def verifying(forks: Forks, desk: Desk, *options: object) -> Iterator[Fork]:
    """Run `verify run` in a process of its own that does not outlive the block."""
    with forks.command(desk.folder, ["verify", "run", "--concurrency", "2", *options]) as process:
        yield process


@pytest.mark.parametrize("reads", [1, 12, 24])
def test_a_verification_that_is_killed_asks_again_only_about_what_it_had_not_written(
    desk: Desk, sandbox: Factory, forks: Forks, reads: int
) -> None:
    api = sandbox(preload=False, latency_ms="20-60")
    doubtful_run(desk, api, range(100, 160))
    with verifying(forks, desk) as process:
        wait_until(lambda: api.calls["target_groups"] >= reads, process)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    asked, written = api.calls["target_groups"], verdict_count(desk)
    assert written < 30
    assert asked - written <= 2 + 2 * 5  # in flight, and answered in the 100 ms before they are written
    assert desk("verify", "run").code == 4
    assert api.calls["target_groups"] == asked + 30 - written
    assert verdict_count(desk) == 30
    assert desk.outcomes() == {"enrolled": 45, "server_error": 15}
    settled_truly(desk, api)


def test_a_signal_ends_the_asking_and_the_next_verify_goes_on(desk: Desk, sandbox: Factory, forks: Forks) -> None:
    api = sandbox(preload=False, latency_ms=50)
    doubtful_run(desk, api, range(100, 160))
    with verifying(forks, desk) as process:
        wait_until(lambda: api.calls["target_groups"] >= 8, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 7
    asked = api.calls["target_groups"]
    assert asked == verdict_count(desk) < 30
    assert desk.outcomes()["in_doubt"] == 30 - asked
    assert desk("verify", "run").code == 4
    assert api.calls["target_groups"] == verdict_count(desk) == 30
    settled_truly(desk, api)


def test_a_run_that_is_being_sent_or_verified_is_left_alone(desk: Desk, sandbox: Factory, forks: Forks) -> None:
    api = sandbox(preload=False, hang_s=30)
    doubtful_run(desk, api, range(100, 104))
    api.inject(101, ["hang_before"], "read")
    with verifying(forks, desk) as process:
        wait_until(lambda: api.calls["target_groups"] >= 1, process)
        said = desk("verify", "run")
        assert said.code == 8
        assert "another process" in said.err
        assert desk("report", "run").code in {4, 5}


# The embedded API ------------------------------------------------------------------------------------------------


def test_a_run_against_the_embedded_api_meets_it_again(desk: Desk) -> None:
    switches = {"reset_after": "20%", "reset_before": "20%", "preload": "false"}
    desk.run("sandbox", customers(range(100, 140)), campaign=ONE_CYCLE, sandbox=switches, auth=None, retry=LEFT)
    doubts = desk.outcomes()["in_doubt"]
    assert doubts > 5
    assert desk("verify", "run").code == 4
    with closing(sqlite3.connect(desk.folder / "run" / "sandbox.sqlite")) as state:
        enrolled = {customer for (customer,) in state.execute("SELECT customer FROM enrolment WHERE enrolled")}
    assert {int(row["customer_id"]) for row in desk.rows("succeeded.csv")} == enrolled
    assert len(desk.rows("failed.csv")) == 40 - len(enrolled)


# Audits ----------------------------------------------------------------------------------------------------------


def test_a_sample_states_its_share_and_lists_what_is_not_confirmed(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    desk.run(api, with_balance(range(100, 150)), campaign=ONE_CYCLE)
    for customer in range(100, 150):
        if customer % 5 == 0:
            api._ask(lambda a, who=customer: a.organisation.unenroll(*MILESTONE_PLACE, Record(who)))
    said = desk("verify", "run", "--sample", "50")
    assert said.code == 0
    assert desk.outcomes() == {"enrolled": 50}
    assert "40 of 50 asked about are enrolled, as the API confirms: 80.0 %. These are all." in " ".join(
        said.out.split()
    )
    gone = {row["request_id"] for row in desk.rows("succeeded.csv") if int(row["customer_id"]) % 5 == 0}
    listed = desk.rows("audit.csv")
    assert {row["request_id"] for row in listed} == gone
    assert {row["reason"] for row in listed} == {"refuted_by_api"}
    assert "customer_id" not in listed[0]


def test_a_sample_is_the_same_each_time_and_another_by_another_seed(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    desk.run(api, with_balance(range(100, 150)), campaign=ONE_CYCLE)
    api._ask(lambda a: [a.organisation.unenroll(*MILESTONE_PLACE, Record(who)) for who in range(100, 150)])

    def drawn(*options: object) -> set[str]:
        said = desk("verify", "run", "--sample", "20", *options)
        assert "0 of 20 asked about are enrolled, as the API confirms: 0 %." in said.out
        return {row["request_id"] for row in desk.rows("audit.csv")}

    first = drawn()
    assert len(first) == 20
    assert drawn() == drawn("--seed", "run") == first
    assert drawn("--seed", "another") != first
    assert api.calls["target_groups"] == 80


def test_a_sample_that_is_killed_goes_on(desk: Desk, sandbox: Factory, forks: Forks) -> None:
    api = sandbox(preload=False, latency_ms="20-60")
    desk.run(api, with_balance(range(100, 160)), campaign=ONE_CYCLE)
    with verifying(forks, desk, "--sample", "40") as process:
        wait_until(lambda: api.calls["target_groups"] >= 15, process)
        process.kill()
        process.wait()
    asked, written = api.calls["target_groups"], verdict_count(desk)
    said = desk("verify", "run", "--sample", "40")
    assert "40 of 40 asked about are enrolled" in said.out
    assert "at least 92.7 % of the 60" in " ".join(said.out.split())
    assert api.calls["target_groups"] == asked + 40 - written


def test_a_sample_leaves_doubts_alone_and_a_balance_that_moved_is_still_enrolled(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    lose(api, 1, "reset_after")
    desk.run(api, with_balance([1, 2, 3]), campaign=ONE_CYCLE)
    api._ask(lambda a: a.organisation.unenroll(*MILESTONE_PLACE, Record(2)))
    api._ask(lambda a: a.organisation.enroll(*MILESTONE_PLACE, Record(2, P1, 260)))
    said = desk("verify", "run", "--sample", "10")
    assert said.code == 5
    assert "2 of 2 asked about are enrolled" in said.out
    assert "1 of them with another balance than was asked for" in " ".join(said.out.split())
    assert desk.rows("audit.csv") == []
    assert desk.outcomes() == {"enrolled": 2, "in_doubt": 1}
