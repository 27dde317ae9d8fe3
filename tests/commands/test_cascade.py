"""What happens where enrolling into a cycle enrolls into the later ones, and where it does not, over a socket."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import openpyxl
import pytest

from batch.sandbox.records import Record
from tests.commands.conftest import Desk, Factory, check_against_the_truth, customers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.conftest import RunningSandbox

pytestmark = pytest.mark.usefixtures("lean_report")
CYCLES = [f"PERIOD_G_29463_{n}" for n in range(1, 11)]
PEOPLE = [n for n in range(1, 203) if n % 100 != 99]
"""200 customers who exist."""


def campaign(on_cascade: str, cycles: int = 10) -> dict[str, object]:
    return {"cycles": CYCLES[:cycles], "on_cascade": on_cascade}


def events(desk: Desk) -> list[str]:
    lines = (desk.folder / "run" / "run.log").read_text().splitlines()
    return [json.loads(line)["event"] for line in lines]


def take_back(desk: Desk) -> None:
    """Let the ledger say that the API's word refuted the finding."""
    with closing(sqlite3.connect(desk.folder / "run" / "ledger.sqlite")) as ledger, ledger:
        ledger.execute(
            "INSERT INTO event (at, kind, text, facts) SELECT at, 'no_cascade', 'taken back', facts FROM event"
            " WHERE kind = 'cascade'"
        )


def enroll_before(api: RunningSandbox, desk: Desk, ids: Iterable[int], *periods: str) -> None:
    """Let somebody else enroll these customers into these cycles."""
    rows = "".join(f"{n},{period}\n" for n in ids for period in periods)
    upload = desk.upload("customer_id,period_name\n" + rows, "others.csv")
    assert desk("run", upload, "-c", desk.config(api), "--yes", "--run-dir", desk.folder / "others").code == 0


def check_that_all_are_enrolled(desk: Desk, api: RunningSandbox, ids: Iterable[int], cycles: int = 10) -> None:
    """Each customer is in each cycle, and each request stands as done."""
    assert api.enrolled() == {(n, cycle) for n in ids for cycle in CYCLES[:cycles]}
    assert set(desk.outcomes()) <= {"enrolled", "already_enrolled", "covered_by_cascade"}
    assert api.overlaps == 0


def test_with_skip_few_calls_are_made_and_each_request_ends_as_what_is_true(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(cascade=True, preload=False)
    said = desk.run(api, customers(PEOPLE), campaign=campaign("skip"))
    assert said.code == 0
    assert api.calls["enroll"] + api.calls["target_groups"] <= 300
    assert api.calls["target_groups"] == 48
    assert desk.outcomes() == {"enrolled": 200, "covered_by_cascade": 1_800}
    assert desk.summary()["calls_saved"] == 2_000 - api.calls["enroll"]
    assert desk.summary()["attempts"] == api.calls["enroll"]
    assert events(desk).count("cascade") == 1
    check_that_all_are_enrolled(desk, api, PEOPLE)
    check_against_the_truth(desk, api)


def test_some_are_enrolled_before_and_some_do_not_exist_and_still_few_calls_are_made(
    desk: Desk, sandbox: Factory
) -> None:
    api = sandbox(cascade=True)
    assert desk.run(api, customers(range(1, 201)), campaign=campaign("skip")).code == 4
    assert api.calls["enroll"] <= 300
    outcomes = desk.outcomes()
    assert (outcomes["invalid_user"], outcomes["already_enrolled"]) == (20, 40), "all cycles of such customers are sent"
    assert outcomes["covered_by_cascade"] == 9 * outcomes["enrolled"]
    check_against_the_truth(desk, api)


@pytest.mark.parametrize("cycles", [2, 4])
@pytest.mark.parametrize("chosen", ["nobody", "the first", "each third"])
def test_where_an_organisation_does_not_cascade_nobody_is_skipped(
    desk: Desk, sandbox: Factory, cycles: int, chosen: str
) -> None:
    api = sandbox(preload=False)
    others = {"nobody": [], "the first": PEOPLE[:60], "each third": PEOPLE[::3][:60]}[chosen]
    if others:
        enroll_before(api, desk, others, CYCLES[1])
    before = api.calls["enroll"]
    assert desk.run(api, customers(PEOPLE), campaign=campaign("skip", cycles)).code == 0
    assert api.calls["enroll"] - before == 200 * cycles
    already = {"already_enrolled": len(others)} if others else {}
    assert desk.outcomes() == {"enrolled": 200 * cycles - len(others)} | already
    assert events(desk).count("cascade") == events(desk).count("no_cascade")
    check_that_all_are_enrolled(desk, api, PEOPLE, cycles)


def test_report_says_it_of_those_who_were_answered_before_the_finding_too(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(cascade=True, preload=False)
    said = desk.run(api, customers(PEOPLE[:40]), campaign=campaign("report", 3))
    assert said.code == 0
    assert api.calls["enroll"] == 120
    assert desk.outcomes() == {"enrolled": 40, "covered_by_cascade": 80}
    assert desk.summary()["calls_saved"] == 0
    assert "80 calls needless" in " ".join(said.out.split())
    assert "expand: first" in said.out
    assert {row["provenance"] for row in desk.rows("already_enrolled.csv")} == {"cascade"}


def test_with_stop_the_finding_ends_the_run_with_6_and_a_resume_goes_on(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(cascade=True, preload=False)
    said = desk.run(api, customers(PEOPLE), campaign=campaign("stop"))
    assert said.code == 6
    assert "target 5512 of group 29463: enrolling into a cycle enrolls into the later ones" in " ".join(
        said.out.split()
    )
    assert api.calls["enroll"] < 100
    assert desk("resume", "run", "--yes").code == 0
    assert events(desk).count("cascade") == 1
    assert desk.outcomes() == {"enrolled": 200, "covered_by_cascade": 1_800}


def test_a_balance_for_a_later_cycle_is_sent_and_the_row_says_that_it_is_not_set(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(cascade=True, preload=False)
    rows = [
        f"{n},{cycle}," + ("50" if n % 10 == 0 and k == 2 else "") for n in PEOPLE for k, cycle in enumerate(CYCLES)
    ]
    said = desk.run(
        api, "customer_id,period_name,initial_balance\n" + "\n".join(rows) + "\n", campaign=campaign("skip")
    )
    assert said.code == 4
    asking = sum(n % 10 == 0 for n in PEOPLE)
    assert desk.outcomes() == {"enrolled": 200, "covered_by_cascade": 1_800 - asking, "value_not_applied": asking}
    assert {row["period_name"] for row in desk.rows("failed.csv")} == {CYCLES[2]}
    check_against_the_truth(desk, api)


def test_a_limit_a_canary_and_resumes_end_where_one_run_would(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(cascade=True, preload=False)
    assert desk.run(api, customers(PEOPLE), "--canary", 30, campaign=campaign("skip")).code == 9
    assert desk("resume", "run", "--yes", "--limit", 60).code == 7
    assert desk("resume", "run", "--yes", "--limit", 60).code == 7
    assert desk("resume", "run", "--yes").code == 0
    assert api.calls["enroll"] <= 300
    assert desk.outcomes() == {"enrolled": 200, "covered_by_cascade": 1_800}
    assert events(desk).count("cascade") == 1
    check_against_the_truth(desk, api)


def test_a_canary_settles_nothing_unsent(desk: Desk, sandbox: Factory) -> None:
    """Fails when what is left out is decided at the end of the canary, of which all were enrolled by somebody else."""
    api = sandbox(preload=False)
    enroll_before(api, desk, PEOPLE[:30], *CYCLES[1:3])
    config = campaign("skip", 3)
    assert desk.run(api, customers(PEOPLE), "--canary", 45, campaign=config).code == 9
    assert desk.summary()["calls_saved"] == 0
    assert desk.outcomes()["not_sent"] > 550
    assert api.calls["target_groups"] == 0
    assert desk("resume", "run", "--yes").code == 0
    check_that_all_are_enrolled(desk, api, PEOPLE, 3)
    assert desk.outcomes() == {"enrolled": 540, "already_enrolled": 60}


def test_a_canary_of_everybody_is_a_run(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(cascade=True, preload=False)
    assert desk.run(api, customers(PEOPLE[:20]), "--canary", 500, campaign=campaign("skip", 3)).code == 0
    check_that_all_are_enrolled(desk, api, PEOPLE[:20])


@pytest.mark.parametrize("cycles", [2, 5])
def test_where_others_enrolled_most_customers_into_the_later_cycles_the_rest_is_found(
    desk: Desk, sandbox: Factory, cycles: int
) -> None:
    """Fails when nobody is asked about: the sample misses one in ten."""
    api = sandbox(preload=False)
    rest = PEOPLE[7::10]
    enroll_before(api, desk, set(PEOPLE) - set(rest), *CYCLES[1:cycles])
    assert desk.run(api, customers(PEOPLE), campaign=campaign("skip", cycles)).code == 0
    check_that_all_are_enrolled(desk, api, PEOPLE, cycles)
    assert desk.outcomes()["enrolled"] == 200 + len(rest) * (cycles - 1)
    assert "covered_by_cascade" not in desk.outcomes()
    assert {row["provenance"] for row in desk.rows("already_enrolled.csv")} == {"earlier_run"}


@pytest.mark.parametrize("virtual_rows", [True, False])
@pytest.mark.parametrize("cycles", [2, 4])
def test_whoever_the_api_does_not_list_is_sent(
    desk: Desk, sandbox: Factory, cycles: int, *, virtual_rows: bool
) -> None:
    """For another organisation it lists nobody who is not enrolled, as nobody knows which header its reads take."""
    api = sandbox(preload=False, virtual_rows=virtual_rows)
    scope = {"data_scope": "OTHER", "org": 50672}
    rows = "".join(f"{n},{cycle}\n" for n in PEOPLE[:150] for cycle in CYCLES[1:cycles])
    others = desk.upload("customer_id,period_name\n" + rows, "others.csv")
    config = desk.config(api, scope=scope)
    assert desk("run", others, "-c", config, "--yes", "--run-dir", desk.folder / "others").code == 0
    assert desk.run(api, customers(PEOPLE), campaign=campaign("skip", cycles), scope=scope).code == 0
    later = cycles - 1
    assert desk.outcomes() == {"enrolled": 200 + 50 * later, "already_enrolled": 150 * later}


def test_where_only_the_read_is_in_trouble_the_run_ends_with_a_sample_of_each_pair_of_cycles(
    desk: Desk, sandbox: Factory
) -> None:
    api = sandbox(cascade=True, preload=False)
    for n in PEOPLE:
        api.inject(n, ["error_503"] * 10, struck="read")
    retry = {"outage_s": 3, "base_s": 0.1, "max_s": 0.5}
    assert desk.run(api, customers(PEOPLE), campaign=campaign("skip", 4), retry=retry).code == 0
    assert desk.outcomes() == {"enrolled": 200, "covered_by_cascade": 600}
    assert (events(desk).count("asked"), events(desk).count("sampled")) == (1, 1)
    assert api.calls["enroll"] < 350
    assert api.enrolled() >= {(n, cycle) for n in PEOPLE for cycle in CYCLES[:4]}


def test_a_refutation_by_the_apis_word_alone_is_known_to_a_resume(desk: Desk, sandbox: Factory) -> None:
    """Fails when a resume rebuilds the finding from the answers, of which none refutes it."""
    api = sandbox(cascade=True, preload=False)
    assert desk.run(api, customers(PEOPLE), "--limit", 120, campaign=campaign("skip", 4)).code == 7
    assert events(desk).count("cascade") == 1
    take_back(desk)
    assert desk("resume", "run", "--yes").code == 0
    assert api.calls["enroll"] == 4 * len(PEOPLE)
    assert api.calls["target_groups"] == 0


def test_what_was_left_out_before_the_finding_was_taken_back_is_work_and_a_rerun_sends_it(
    desk: Desk, sandbox: Factory
) -> None:
    """As when a run dies while it settles what it left out, and the questions of the resume refute the finding."""
    api = sandbox(cascade=True, preload=False)
    assert desk.run(api, customers(PEOPLE), campaign=campaign("skip", 4)).code == 0
    left_out = desk.summary()["calls_saved"]
    assert desk.outcomes() == {"enrolled": 200, "covered_by_cascade": 600}
    take_back(desk)
    said = desk("report", "run")
    assert said.code == 4
    assert desk.outcomes() == {"enrolled": 200, "already_enrolled": 600 - left_out, "not_sent": left_out}
    assert (desk.summary()["calls_saved"], desk.summary()["exit_code"]) == (0, 4)
    assert {(row["outcome"], row["reason"]) for row in desk.rows("failed.csv")} == {("not_sent", "not_covered")}
    assert {row["advice"] for row in desk.rows("failed.csv")} == {
        "It was left out, and no earlier cycle covers it after all: rerun the run."
    }
    told = desk("why", "run", desk.rows("failed.csv")[0]["customer_id"]).out
    assert "not sent, covered by cascade, not_covered" in told
    before = api.calls["enroll"]
    assert desk("rerun", "run", "--yes", "--run-dir", "again").code == 0
    assert api.calls["enroll"] - before == left_out


def test_a_page_and_a_workbook_tell_what_was_left_out_too(
    desk: Desk, sandbox: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = sandbox(cascade=True, preload=False)
    assert desk.run(api, customers(PEOPLE), campaign=campaign("skip", 4)).code == 0
    take_back(desk)
    monkeypatch.undo()  # writes page and workbook again
    monkeypatch.chdir(desk.folder)
    assert desk("report", "run").code == 4
    page = (desk.folder / "run" / "report.html").read_text()
    assert "It was left out, and no earlier cycle covers it after all: rerun the run." in page
    assert "That was taken back later" in page
    sheet = openpyxl.load_workbook(desk.folder / "run" / "reconciliation.xlsx")["Summary"]
    assert any("rerun the run" in str(cell.value) for row in sheet for cell in row)


def test_a_sample_asks_about_what_was_left_out_too_and_changes_nothing(desk: Desk, sandbox: Factory) -> None:
    """Fails when only what was sent is drawn, when nobody hears of what is found, or when it changes an account.

    Whoever was unenrolled on purpose since must not be enrolled again by following the report.
    """
    api = sandbox(cascade=True, preload=False)
    assert desk.run(api, customers(PEOPLE), campaign=campaign("skip", 4)).code == 0
    left_out = desk.summary()["calls_saved"]
    said = desk("verify", "run", "--sample", 5_000)
    assert said.code == 0
    told = " ".join(said.out.split())
    assert f"Audit of 200 enrolled requests and {left_out} left out by the cascade: of each a sample" in told
    assert "; 200 calls." in told, "one call tells about all cycles of a customer"
    assert "200 of 200 enrolled by this run are so, as the API confirms: 100 %. These are all." in told
    assert f"{left_out} of {left_out} left out by the cascade are enrolled, as the API confirms: 100 %." in told

    covered = [row for row in desk.rows("already_enrolled.csv") if not row["http_status"]]
    unsent = [(int(row["customer_id"]), row["period_name"]) for row in covered]
    gone = list(dict.fromkeys(who for who, _ in unsent))[:5]
    missing = sum(who in gone for who, _ in unsent)
    api._ask(lambda a: [a.organisation.unenroll(50671, 29463, 5512, Record(who)) for who in gone])
    said = desk("verify", "run", "--sample", 5_000, "--seed", "again")
    assert said.code == 0
    assert "5 not enrolled now" in " ".join(said.out.split())
    assert f"{missing} left out, and not enrolled" in " ".join(said.out.split())
    assert "rerun RUN --only covered_by_cascade` sends all" in " ".join(said.out.split())
    assert desk.outcomes() == {"enrolled": 200, "covered_by_cascade": 600}
    assert desk.summary()["calls_saved"] == left_out
    assert desk.rows("failed.csv") == []
    listed = [row["outcome"] for row in desk.rows("audit.csv")]
    assert (listed.count("enrolled"), listed.count("covered_by_cascade")) == (5, missing)
    assert desk("rerun", "run", "--yes", "--run-dir", "again").code == 0
    assert not {who for who, _ in api.enrolled()} & set(gone)
    assert desk("rerun", "run", "--only", "covered_by_cascade", "--yes", "--run-dir", "all").code == 0
    assert api.enrolled() >= set(unsent)


def test_what_an_earlier_run_enrolled_is_not_called_a_cascade(desk: Desk, sandbox: Factory) -> None:
    """Two cycles, and all customers in the second one by an earlier run: nobody can tell, but our own ledger can."""
    api = sandbox(preload=False)
    enroll_before(api, desk, PEOPLE[:60], CYCLES[1])
    said = desk.run(api, customers(PEOPLE[:60]), campaign=campaign("report", 2))
    assert said.code == 0
    assert "looks as if" in " ".join(said.out.split())
    assert {row["provenance"] for row in desk.rows("already_enrolled.csv")} == {"earlier_run"}


def test_a_finding_is_taken_back_although_the_first_customer_has_his_cycles_backwards(
    desk: Desk, sandbox: Factory
) -> None:
    """Fails when the first row that names a cycle gives it its place."""
    api = sandbox(preload=False)
    enroll_before(api, desk, PEOPLE[1:21], CYCLES[1])
    rows = [f"{n},{cycle}" for n in PEOPLE for cycle in (CYCLES[1::-1] if n == PEOPLE[0] else CYCLES[:2])]
    upload = "customer_id,period_name\n" + "\n".join(rows) + "\n"
    assert desk.run(api, upload, campaign=campaign("skip")).code == 0
    assert events(desk).count("cascade") == events(desk).count("no_cascade")
    check_that_all_are_enrolled(desk, api, PEOPLE, 2)
    assert desk.outcomes() == {"enrolled": 380, "already_enrolled": 20}


def test_expand_first_is_advised_only_where_it_applies(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(cascade=True, preload=False)
    rows = "".join(f"{n},{cycle}\n" for n in PEOPLE[:40] for cycle in CYCLES[:3])
    for name, upload, change in (
        ("column", "customer_id,period_name\n" + rows, {}),
        ("balance", customers(PEOPLE[:40]), {"initial_balance": 5}),
    ):
        config = desk.config(api, campaign=campaign("report", 3) | change)
        said = desk("plan", desk.upload(upload), "-c", config, "--run-dir", desk.folder / name)
        assert said.code == 0
        assert "expand: first" not in said.out
    said = desk("resume", desk.folder / "column", "--yes")
    assert "80 calls needless" in " ".join(said.out.split())
    assert "expand: first" not in said.out


def test_a_cycle_that_does_not_exist_is_not_covered(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(cascade=True, preload=False)
    cycles = [*CYCLES[:3], "no such cycle"]
    assert desk.run(api, customers(PEOPLE), campaign={"cycles": cycles, "on_cascade": "skip"}).code == 4
    outcomes = desk.outcomes()
    assert outcomes["covered_by_cascade"] == 400
    assert outcomes["period_not_found"] + outcomes["not_sent"] == 200


def test_answers_that_are_lost_change_nothing_of_what_is_true(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(cascade=True, preload=False, reset_after="5%", error_502="5%", close_before="3%", seed=7)
    said = desk.run(api, customers(PEOPLE), campaign=campaign("skip"), retry={"attempts": 8})
    assert said.code == 0
    check_that_all_are_enrolled(desk, api, PEOPLE)
    check_against_the_truth(desk, api)


def test_the_order_of_the_upload_need_not_be_that_of_the_cycles(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(cascade=True, preload=False)
    mixed = [CYCLES[2], CYCLES[0], CYCLES[1]]
    assert desk.run(api, customers(PEOPLE), campaign={"cycles": mixed, "on_cascade": "skip"}).code == 0
    assert {(n, c) for n, c in api.enrolled() if c in mixed} == {(n, cycle) for n in PEOPLE for cycle in mixed}
    assert desk.outcomes()["enrolled"] == 400, "the third cycle and then the first are both accepted"


def test_customers_with_their_cycles_in_another_order_are_sent(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(cascade=True, preload=False)
    rows = [f"{n},{cycle}" for n in PEOPLE for cycle in (reversed(CYCLES[:3]) if n % 10 == 0 else CYCLES[:3])]
    upload = "customer_id,period_name\n" + "\n".join(rows) + "\n"
    assert desk.run(api, upload, campaign=campaign("skip")).code == 0
    assert desk.outcomes() == {"enrolled": 200 + 2 * 20, "covered_by_cascade": 2 * 180}
    assert api.calls["enroll"] < 400


def test_two_organisations_are_found_out_each_for_itself(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(cascade=True, preload=False)
    rows = [f"{n},{org}" for n in PEOPLE[:100] for org in (50672, 50673)]
    assert desk.run(api, "customer_id,org_id\n" + "\n".join(rows) + "\n", campaign=campaign("skip", 5)).code == 0
    assert desk.outcomes() == {"enrolled": 200, "covered_by_cascade": 800}
    assert events(desk).count("cascade") == 2
    assert api.calls["enroll"] < 400


def test_plan_says_what_the_first_cycles_alone_would_save(desk: Desk, sandbox: Factory) -> None:
    said = desk("plan", desk.upload(customers(PEOPLE)), "-c", desk.config(sandbox(), campaign=campaign("report")))
    assert said.code == 0
    told = " ".join(said.out.split())
    assert "1,800 of these calls are needless" in told
    assert "campaign.expand: first sends one cycle alone (the first of the list, which must be the earliest)" in told
    said = desk("plan", desk.upload(customers(PEOPLE)), "-c", desk.config(sandbox(), campaign=campaign("report", 1)))
    assert "needless" not in said.out
