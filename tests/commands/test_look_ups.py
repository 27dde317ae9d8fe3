"""Customers without an id, looked up over a socket: how often each is asked about, and what is sent and reported.

Believed after breaks made them fail: answers that are written only at the end, identifiers that are asked about again
by a resume, a customer with two identifiers planned twice, one who was not found sent under the identifier.
"""

from __future__ import annotations

import csv
import json
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from batch.sandbox import reads
from batch.sandbox.answers import Refused
from tests.commands.conftest import Desk, Factory, check_against_the_truth
from tests.commands.test_drain import wait_until

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox
    from tests.crash.forks import Fork, Forks

ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the API was asked about each identifier."""
    found: Counter[str] = Counter()
    look_up = reads.customer_lookup

    def counting(query: Mapping[str, str]) -> object:
        found[f"{query['identifierName']}:{query['identifierValue']}"] += 1
        return look_up(query)

    monkeypatch.setattr(reads, "customer_lookup", counting)
    return found


def mobiles(ids: Iterable[int]) -> str:
    """An upload of mobile numbers and nothing else."""
    return "Mobile\n" + "".join(f"{number_of(each)}\n" for each in ids)


def number_of(customer: int) -> str:
    return f"91{customer:010d}"


def by_mobile(desk: Desk, name: str, folder: str = "run") -> dict[str, dict[str, str]]:
    """The rows of a CSV of the run by the mobile number."""
    with (desk.folder / folder / name).open(encoding="utf-8-sig", newline="") as file:
        return {row["mobile"]: row for row in csv.DictReader(file)}


def from_ledger(desk: Desk, question: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(desk.folder / "run" / "ledger.sqlite")) as ledger:
        return ledger.execute(question).fetchall()


@pytest.fixture
def gateway_that_drops_the_query(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is asked about, the answer names one customer; but for those whose number ends in 5."""
    look_up = reads.customer_lookup
    monkeypatch.setattr(
        reads,
        "customer_lookup",
        lambda query: look_up(query) if query["identifierValue"].endswith("5") else 120,
    )


# What is sent and reported -----------------------------------------------------------------------------------------


def test_who_is_found_is_enrolled_and_who_is_not_is_reported_with_the_words_of_the_api(
    desk: Desk, sandbox: Factory, asked: Counter[str]
) -> None:
    api = sandbox(preload=False)
    said = desk.run(api, mobiles([120, 121, 199, 122]), campaign=ONE_CYCLE)
    assert said.code == 4
    assert "4 customers to look up" in said.out
    assert "1  requests of customers whom the look-up did not find, not sent" in said.out
    assert "3  requests to send" in said.out
    assert desk.outcomes() == {"enrolled": 3, "invalid_user": 1}
    assert desk.summary()["look_ups"] == 4
    assert desk.summary()["attempts"] == 3
    assert {number: row["customer_id"] for number, row in by_mobile(desk, "succeeded.csv").items()} == {
        number_of(each): str(each) for each in (120, 121, 122)
    }
    ((number, row),) = by_mobile(desk, "invalid_user.csv").items()
    assert (number, row["customer_id"], row["attempts"]) == (number_of(199), "", "0")
    assert (row["reason"], row["error_code"], row["error_message"]) == ("look_up", "8015", "Customer not found")
    assert "empty the request_id" in row["advice"]
    assert set(asked.values()) == {1}
    assert api.calls["enroll"] == 3
    check_against_the_truth(desk, api)


def test_two_identifiers_of_one_customer_are_one_lane_and_repeats_are_duplicates(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False, latency_ms="1-20")
    upload = "mobile,email,external_id\n910000000120,,\n,bob120@example.com,\n,,EXT-120\n910000000120,x@y.z,\n"
    assert desk.run(api, upload).code == 0
    assert desk.summary()["requests"] == {"expanded": 8, "duplicates": 6, "contradicted": 0, "unique": 2}
    assert desk.outcomes() == {"enrolled": 2}
    assert api.overlaps == 0
    assert from_ledger(desk, "SELECT customer FROM lane") == [(120,)]


def test_two_identifiers_of_one_customer_with_different_balances_contradict_each_other(
    desk: Desk, sandbox: Factory
) -> None:
    api = sandbox(preload=False)
    upload = "mobile,email,initial_balance\n910000000120,,5\n,bob120@example.com,6\n910000000121,,7\n"
    assert desk.run(api, upload, campaign=ONE_CYCLE).code == 4
    assert desk.summary()["requests"]["contradicted"] == 2
    assert desk.outcomes() == {"enrolled": 1}


def test_repeats_of_somebody_who_is_not_found_are_duplicates_too(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    assert desk.run(api, mobiles([199, 199, 199]), campaign=ONE_CYCLE).code == 4
    assert desk.summary()["requests"] == {"expanded": 3, "duplicates": 2, "contradicted": 0, "unique": 1}
    assert desk.outcomes() == {"invalid_user": 1}
    assert api.calls["enroll"] == 0
    assert desk.summary()["state"] == "finished"


def test_an_identifier_beside_customer_id_is_an_ordinary_column(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    assert desk.run(api, "customer_id,Mobile\n120,call me\n", campaign=ONE_CYCLE).code == 0
    assert api.calls["lookup"] == 0
    (row,) = desk.rows("succeeded.csv")
    assert (row["customer_id"], row["Mobile"]) == ("120", "call me")


def test_a_column_that_the_config_names_and_national_numbers_are_looked_up(
    desk: Desk, sandbox: Factory, asked: Counter[str]
) -> None:
    api = sandbox(preload=False)
    settings = {"columns": {"mobile": "Phone (home)"}, "country_code": "91", "max_problems": "100%"}
    upload = "Phone (home),mobile\n9111111120,x\n0 91111-11121,x\n+91 (91111) 11122,x\n12345,x\n"
    assert desk.run(api, upload, input=settings, campaign=ONE_CYCLE).code == 4
    assert set(asked) == {f"mobile:9191111111{each}" for each in (20, 21, 22)}
    (row,) = desk.rows("rejected_rows.csv")
    assert (row["problem"], row["value"]) == ("not_an_identifier", "12345")
    found = by_mobile(desk, "succeeded.csv")
    assert found.keys() == {"9111111120", "0 91111-11121", "'+91 (91111) 11122"}
    assert found["9111111120"]["customer_id"] == "9111111120"
    assert found["9111111120"]["input_mobile"] == "x"


def test_rows_with_other_problems_are_not_looked_up(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    desk.run(api, "mobile,initial_balance\n910000000120,x\n910000000121,5\n", campaign=ONE_CYCLE)
    assert api.calls["lookup"] == 1
    assert desk.outcomes() == {"enrolled": 1}


def test_an_upload_with_too_many_problems_is_refused_before_anybody_is_looked_up(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    said = desk.run(api, mobiles([120]) + "x\n" * 3, input={"max_problems": "5%"})
    assert said.code == 3
    assert "input.max_problems" in said.err
    assert (api.calls["lookup"], api.calls["enroll"]) == (0, 0)
    assert len(desk.rows("rejected_rows.csv")) == 3
    assert desk("resume", "run", "--yes").code == 3
    assert api.calls["enroll"] == 0


@pytest.mark.parametrize("command", ["run", "plan", "plan --online"])
@pytest.mark.parametrize("by_column", [False, True])
def test_customers_of_another_organisation_are_not_looked_up(
    desk: Desk, sandbox: Factory, command: str, by_column: bool
) -> None:
    api = sandbox(preload=False)
    upload = "mobile,org_id\n910000000120,50672\n" if by_column else mobiles([120])
    scope = {} if by_column else {"scope": {"data_scope": "OTHER", "org": 50672}}
    config = desk.config(api, campaign=ONE_CYCLE, **scope)
    verb, *options = [*command.split(), *(["--yes"] if command == "run" else [])]
    said = desk(verb, desk.upload(upload), "-c", config, "--run-dir", "run", *options)
    assert said.code == 3
    assert said.err.count("\n") == 1
    assert "customers of another organisation (50672) need the column customer_id" in said.err
    assert "mobile may name somebody else; nothing was sent" in said.err
    assert (api.calls["lookup"], api.calls["enroll"]) == (0, 0)
    assert not (desk.folder / "run").exists()


@pytest.mark.parametrize(("org", "column"), [(None, "Phone"), (50672, "customer_id")])
def test_a_template_asks_for_what_can_be_used(desk: Desk, org: int | None, column: str) -> None:
    scope = {"data_scope": "OTHER", "org": org} if org else {"data_scope": "SELF"}
    config = desk.config("http://127.0.0.1:9", scope=scope, input={"columns": {"mobile": "Phone"}})
    assert f"upload.xlsx: {column}" in desk("template", "-c", config, "upload.xlsx").out


def test_customers_of_another_organisation_who_have_an_id_are_sent(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    upload = "customer_id,mobile,org_id\n120,call me,50672\n"
    assert desk.run(api, upload, campaign=ONE_CYCLE).code == 0
    assert (api.calls["lookup"], api.calls["enroll"]) == (0, 1)


def test_a_rerun_for_another_organisation_is_refused_before_anybody_is_looked_up(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    desk.run(api, mobiles([199]), campaign=ONE_CYCLE)
    config = desk.config(api, campaign=ONE_CYCLE, scope={"data_scope": "OTHER", "org": 50672})
    said = desk("rerun", "run", "--also", "invalid_user", "-c", config, "--yes", "--run-dir", "again")
    assert said.code == 3
    assert "need the column customer_id" in said.err
    assert api.calls["lookup"] == 1
    assert not (desk.folder / "again").exists()


def test_ids_of_our_own_organisation_are_not_taken_over_for_another_one(desk: Desk, sandbox: Factory) -> None:
    """Fails when a rerun believes what was found, whatever the new config names: others would be enrolled."""
    api = sandbox(preload=False)
    assert desk.run(api, mobiles([120, 121]), campaign=ONE_CYCLE | {"target_id": 1}).code == 4
    assert desk.outcomes() == {"target_not_found": 2}
    config = desk.config(api, campaign=ONE_CYCLE, scope={"data_scope": "OTHER", "org": 50672})
    said = desk("rerun", "run", "-c", config, "--yes", "--run-dir", "again")
    assert said.code == 3
    assert "customers of another organisation (50672) need the column customer_id" in said.err
    assert (api.calls["lookup"], api.enrolled()) == (2, set())
    assert not (desk.folder / "again").exists()


@pytest.mark.parametrize("what", ["source", "credentials", "nothing"])
def test_a_rerun_takes_over_who_was_found_only_where_the_same_would_be_asked(
    desk: Desk, sandbox: Factory, asked: Counter[str], what: str
) -> None:
    api = sandbox(preload=False)
    assert desk.run(api, mobiles([120, 121]), campaign=ONE_CYCLE | {"target_id": 1}).code == 4
    changed: dict[str, object] = {
        "source": {"input": {"look_up_source": "ECOMMERCE"}},
        "credentials": {"auth": {"kind": "basic", "till": "store.server", "password": "${PASSWORD}"}},
        "nothing": {"input": {"look_up_source": "INSTORE"}, "scope": {"data_scope": "SELF"}},
    }[what]
    config = desk.config(api, campaign=ONE_CYCLE, **changed)
    assert desk("rerun", "run", "-c", config, "--yes", "--run-dir", "again").code == 0
    assert set(asked.values()) == {1 if what == "nothing" else 2}
    assert {customer for customer, _ in api.enrolled()} == {120, 121}


def test_a_rerun_at_another_api_looks_everybody_up_there(
    desk: Desk, sandbox: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = sandbox(preload=False), sandbox(preload=False)
    assert desk.run(first, mobiles([120, 121]), campaign=ONE_CYCLE | {"target_id": 1}).code == 4
    monkeypatch.setattr(reads, "customer_lookup", lambda query: int(query["identifierValue"][-3:]) + 200)
    config = desk.config(second, campaign=ONE_CYCLE)
    assert desk("rerun", "run", "-c", config, "--yes", "--run-dir", "again").code == 0
    assert (first.calls["lookup"], second.calls["lookup"]) == (2, 2)
    assert {customer for customer, _ in second.enrolled()} == {320, 321}


def test_a_rerun_by_other_credentials_leaves_out_what_is_settled(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    assert desk.run(api, mobiles([120, 121]), campaign={"cycles": ["PERIOD_G_29463_1", "typo"]}).code == 4
    assert desk.outcomes() == {"enrolled": 2, "period_not_found": 2}
    basic = {"kind": "basic", "till": "store.server", "password": "${PASSWORD}"}
    config = desk.config(api, auth=basic)
    assert desk("rerun", "run", "-c", config, "--yes", "--run-dir", "again").code == 0
    assert (api.calls["lookup"], api.calls["enroll"]) == (4, 4 + 2)


def test_an_answer_that_names_null_is_nobody_and_asked_for_once(
    desk: Desk, sandbox: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = reads.customer_lookup
    monkeypatch.setattr(
        reads, "customer_lookup", lambda query: look_up(query) if query["identifierValue"].endswith("20") else None
    )
    api = sandbox(preload=False)
    assert desk.run(api, mobiles([121, 122, 123, 124, 120]), campaign=ONE_CYCLE).code == 4
    assert api.calls["lookup"] == 5
    assert desk.outcomes() == {"enrolled": 1, "invalid_user": 4}
    row = by_mobile(desk, "invalid_user.csv")[number_of(121)]
    assert row["error_message"].startswith('{"entity":')
    assert row["advice"].startswith("Correct the mobile number (with its country code)")


# When the API cannot be believed ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("gateway_that_drops_the_query")
@pytest.mark.parametrize("command", ["run --yes", "plan --online"])
def test_one_customer_for_many_numbers_is_refused_before_anything_is_sent(
    desk: Desk, sandbox: Factory, command: str
) -> None:
    """Fails when one customer is enrolled for everybody, and all others count as repeats."""
    api = sandbox(preload=False)
    upload, config = desk.upload(mobiles(range(200, 215))), desk.config(api, campaign=ONE_CYCLE)
    verb, option = command.split()
    said = desk(verb, upload, "-c", config, "--run-dir", "run", option, *(["-q"] if verb == "run" else []))
    assert said.code == 3
    assert "the look-up names the same customer for 14 different mobile numbers: it cannot be right" in said.err
    assert "check api.base_url and the gateway" in said.err
    assert api.calls["enroll"] == 0
    assert not (desk.folder / "run").exists()


@pytest.mark.usefixtures("gateway_that_drops_the_query")
def test_what_cannot_be_right_is_not_believed_by_a_resume_either(desk: Desk, sandbox: Factory) -> None:
    """Fails when only those who have just asked look at what was found."""
    api = sandbox(preload=False)
    api.inject(0, ["ok"] * 2 + ["error_403_4000"] * 3, "read")
    assert desk.run(api, mobiles(range(200, 215)), campaign=ONE_CYCLE).code == 10
    for _ in range(2):
        said = desk("resume", "run", "--yes")
        assert said.code == 3
        assert "it cannot be right" in said.err
    assert "it cannot be right" in " ".join(desk("status", "run").out.split())
    assert api.calls["enroll"] == 0
    assert desk("report", "run").code == 2


@pytest.mark.usefixtures("gateway_that_drops_the_query")
@pytest.mark.parametrize("ids", [range(200, 210), [*range(200, 210), *range(215, 315, 10)]])
def test_a_few_numbers_of_one_customer_are_its_own(desk: Desk, sandbox: Factory, ids: Iterable[int]) -> None:
    """Nine of ten, and then nine of twenty: a family, a test account."""
    api = sandbox(preload=False)
    assert desk.run(api, mobiles(ids), campaign=ONE_CYCLE).code == 0
    assert desk.summary()["requests"]["duplicates"] == 8


@pytest.mark.usefixtures("gateway_that_drops_the_query")
def test_many_numbers_of_one_customer_among_more_of_others_are_believed(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    ids = [*range(200, 210), 211, *range(215, 315, 10)]  # ten of one, eleven of others
    assert desk.run(api, mobiles(ids), campaign=ONE_CYCLE).code == 0
    assert desk.summary()["requests"]["duplicates"] == 9


def test_numbers_and_addresses_of_one_customer_are_counted_apart(
    desk: Desk, sandbox: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "customer_lookup", lambda query: 120)
    rows = [f"91{each:010d}," for each in range(9)] + [f",a{each}@example.com" for each in range(9)]
    said = desk.run(sandbox(preload=False), "mobile,email\n" + "\n".join(rows), campaign=ONE_CYCLE)
    assert said.code == 0
    assert desk.summary()["requests"]["duplicates"] == 17


# Back in -----------------------------------------------------------------------------------------------------------


def test_the_report_of_who_was_not_found_goes_back_in_and_is_looked_up_again(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    desk.run(api, mobiles([120, 199, 299]), campaign=ONE_CYCLE)
    path = desk.folder / "run" / "invalid_user.csv"
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0] |= {"mobile": number_of(198), "request_id": ""}
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    said = desk("run", path, "-c", "config.yaml", "--yes", "--run-dir", "again")
    assert said.code == 4
    assert by_mobile(desk, "succeeded.csv", "again").keys() == {number_of(198)}
    assert by_mobile(desk, "invalid_user.csv", "again").keys() == {number_of(299)}
    assert api.calls["lookup"] == 3 + 2


def test_a_corrected_number_beside_its_old_request_id_is_a_problem(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    desk.run(api, mobiles([199, 120]), campaign=ONE_CYCLE)
    path = desk.folder / "run" / "invalid_user.csv"
    path.write_text(path.read_text("utf-8-sig").replace(number_of(199), number_of(198)), "utf-8")
    assert desk("run", path, "-c", "config.yaml", "--yes", "--run-dir", "again").code == 3
    assert api.calls["lookup"] == 2


def test_the_report_of_who_was_found_goes_back_in_without_a_look_up(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    api.inject(120, ["error_461"] * 3)
    desk.run(api, mobiles([120, 121]), campaign=ONE_CYCLE)
    assert desk.outcomes() == {"enrolled": 1, "server_error": 1}
    said = desk("run", "run/failed.csv", "-c", "config.yaml", "--yes", "--run-dir", "again")
    assert said.code == 0
    assert api.calls["lookup"] == 2
    assert by_mobile(desk, "succeeded.csv", "again")[number_of(120)]["customer_id"] == "120"


@pytest.mark.parametrize("anew", [False, True])
def test_a_rerun_asks_again_only_about_who_was_not_found(
    desk: Desk, sandbox: Factory, asked: Counter[str], anew: bool
) -> None:
    api = sandbox(preload=False)
    api.inject(120, ["error_461"] * 3)
    desk.run(api, mobiles([120, 121, 199]), campaign=ONE_CYCLE)
    config = ["-c", "config.yaml"] if anew else []
    said = desk("rerun", "run", "--also", "invalid_user", *config, "--yes", "--run-dir", "again")
    assert said.code == 4
    assert asked == {f"mobile:{number_of(120)}": 1, f"mobile:{number_of(121)}": 1, f"mobile:{number_of(199)}": 2}
    assert by_mobile(desk, "succeeded.csv", "again").keys() == {number_of(120)}
    assert by_mobile(desk, "invalid_user.csv", "again").keys() == {number_of(199)}
    assert api.calls["enroll"] == 3 + 1 + 1


def test_a_look_up_that_failed_to_the_last_is_open_for_a_rerun(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    api.inject(0, ["error_500"] * 6, "read")
    assert desk.run(api, mobiles([120, 121]), campaign=ONE_CYCLE).code == 4
    assert desk.outcomes() == {"server_error": 2}
    assert desk("rerun", "run", "--yes", "--run-dir", "again").code == 0
    assert api.calls["enroll"] == 2


def test_why_knows_a_customer_by_id_and_by_what_the_upload_has(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    desk.run(api, mobiles([120, 199]), campaign=ONE_CYCLE)
    for whom in ("120", number_of(120), "+91 00000 00120", f"mobile:{number_of(120)}"):
        assert "attempt 1, HTTP 200, enrolled" in desk("why", "run", whom).out
    assert "code 8015, invalid user, look_up, Customer not found" in desk("why", "run", number_of(199)).out
    assert desk("why", "run", "nobody@example.com").code == 2


def test_masked_reports_show_no_identifier(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    desk.run(api, mobiles([120, 199]), campaign=ONE_CYCLE, report={"mask_customers": True})
    for name in ("report.html", "summary.md", "summary.json", "run.log"):
        text = (desk.folder / "run" / name).read_text()
        assert number_of(120) not in text
        assert number_of(199) not in text


def test_verify_leaves_alone_who_was_not_found(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    desk.run(api, mobiles([120, 199]), campaign=ONE_CYCLE)
    assert "0 in doubt to ask about" in desk("verify", "run").out
    assert "Audit of 1 enrolled" in desk("verify", "run", "--sample", "5").out


def test_a_canary_takes_nobody_who_was_not_found(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    assert desk.run(api, mobiles([199, 120, 121, 122]), "--canary", 1, campaign=ONE_CYCLE).code == 9
    assert api.calls["enroll"] == 1
    assert desk("resume", "run", "--yes").code == 4
    assert desk.outcomes() == {"enrolled": 3, "invalid_user": 1}


# plan ---------------------------------------------------------------------------------------------------------------


def test_plan_says_that_it_needs_the_api_and_leaves_nothing_behind(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    upload, config = desk.upload(mobiles([120])), desk.config(api)
    said = desk("plan", upload, "-c", config, "--run-dir", "run")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "add --online" in said.err
    assert not (desk.folder / "run").exists()
    assert api.calls["lookup"] == 0


def test_plan_online_looks_up_and_resume_sends_without_asking_again(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    upload, config = desk.upload(mobiles([120, 199])), desk.config(api, campaign=ONE_CYCLE)
    said = desk("plan", upload, "-c", config, "--run-dir", "run", "--online")
    assert said.code == 4
    assert "1  requests to send" in said.out
    assert api.calls["enroll"] == 0
    assert desk("resume", "run", "--yes").code == 4
    assert (api.calls["lookup"], api.calls["enroll"]) == (2, 1)


# When the API does not say ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["error_429", "error_461", "error_502", "error_503", "reset_before", "truncate"])
def test_a_look_up_that_fails_is_tried_again(desk: Desk, sandbox: Factory, fault: str) -> None:
    api = sandbox(preload=False)
    api.inject(0, [fault, "ok", fault], "read")
    assert desk.run(api, mobiles([120, 121, 199]), campaign=ONE_CYCLE).code == 4
    assert desk.outcomes() == {"enrolled": 2, "invalid_user": 1}
    assert desk.summary()["look_ups"] == 5


@pytest.mark.parametrize(
    ("fault", "words"), [("error_403_4000", "refuses access"), ("error_400", "the same unknown answer")]
)
def test_look_ups_that_are_refused_each_time_stop_and_resume_goes_on(
    desk: Desk, sandbox: Factory, fault: str, words: str
) -> None:
    api = sandbox(preload=False)
    api.inject(0, [fault] * 3, "read")
    said = desk.run(api, mobiles(range(120, 140)), campaign=ONE_CYCLE)
    assert said.code == 10
    assert said.err.count("Error: ") == 1
    assert words in said.err
    assert "resume" in said.err
    assert from_ledger(desk, "SELECT state, exit_code FROM run") == [("planning", 10)]
    assert api.calls["enroll"] == 0
    assert desk("resume", "run", "--yes").code == 0
    assert desk.outcomes() == {"enrolled": 20}
    assert api.calls["lookup"] == 3 + 20


def test_a_server_that_is_gone_is_one_clear_line_and_a_summary(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    api.close()
    said = desk.run(api, mobiles([120, 121]), "--json")
    assert said.code == 7
    assert said.err.count("Error: ") == 1
    assert "has not answered once" in said.err
    assert json.loads(said.out) == desk.summary()
    assert (desk.summary()["state"], desk.summary()["exit_code"]) == ("planning", 7)
    assert [each["rows_read"] for each in desk.summary()["input"]] == [2]
    said = desk("resume", "run", "--yes", "--json")
    assert said.code == 7
    assert json.loads(said.out)["stop_reason"] == "silent"


def test_look_ups_of_a_plan_and_of_a_rerun_that_stop_are_reported_too(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    assert desk.run(api, mobiles([120, 199]), campaign=ONE_CYCLE).code == 4
    api.close()
    said = desk("rerun", "run", "--also", "invalid_user", "--yes", "--json", "--run-dir", "again")
    assert (said.code, json.loads(said.out)["state"]) == (7, "planning")
    upload = desk.upload(mobiles([120, 121]))
    assert desk("plan", upload, "-c", "config.yaml", "--online", "--run-dir", "planned").code == 7
    for folder in ("again", "planned"):
        assert json.loads((desk.folder / folder / "summary.json").read_text())["exit_code"] == 7
        assert "nothing was sent" in (desk.folder / folder / "summary.md").read_text()


def test_when_most_are_not_found_the_guard_stops_the_look_ups(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    guard = {"stop_when": {"invalid_user": "50%"}, "minimum": 10}
    said = desk.run(api, mobiles(range(199, 9_999, 100)), guard=guard)
    assert said.code == 6
    assert "country code" in said.err
    assert api.calls["lookup"] < 40
    assert api.calls["enroll"] == 0


def test_a_source_that_the_api_does_not_know_is_named(
    desk: Desk, sandbox: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "customer_lookup", lambda query: Refused(8011))
    said = desk.run(sandbox(), mobiles([120, 121, 122, 123]))
    assert said.code == 10
    assert "input.look_up_source" in said.err


def test_look_ups_keep_the_rate_and_a_token_is_renewed(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False, limit_per_min=1500, limit_window_s=1)  # 25 in a second, refused beyond
    api.inject(0, ["ok", "error_498"], "read")
    assert desk.run(api, mobiles(range(100, 130)), pacing={"rate": "20/s"}, campaign=ONE_CYCLE).code == 0
    assert (api.calls["lookup"], api.calls["token"]) == (31, 3)  # each invocation of the pool has a token of its own
    assert api.statuses[429] == 0


# Stopped and killed -------------------------------------------------------------------------------------------------


@contextmanager
def running(forks: Forks, desk: Desk, api: RunningSandbox, upload: str, *options: object) -> Iterator[Fork]:
    """Run an upload in a process of its own that does not outlive the block."""
    config = desk.config(api, campaign=ONE_CYCLE)
    arguments = ["run", desk.upload(upload), "-c", config, "--yes", "--run-dir", "run", *options]
    with forks.command(desk.folder, arguments) as process:
        yield process


def test_a_thousand_look_ups_that_are_killed_half_way_ask_once_but_for_those_in_flight(
    desk: Desk, sandbox: Factory, forks: Forks, asked: Counter[str]
) -> None:
    concurrency = 8
    api = sandbox(preload=False, latency_ms="5-20")
    ids = [each * 10 + (9 if each % 10 == 9 else 0) for each in range(1_000, 2_000)]  # every tenth ends in 99
    unknown = sum(each % 100 == 99 for each in ids)
    assert unknown == 100
    with running(forks, desk, api, mobiles(ids), "--concurrency", concurrency) as process:
        wait_until(lambda: api.calls["lookup"] >= 500, process)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    ((written,),) = from_ledger(desk, "SELECT count(*) FROM lookup WHERE customer IS NOT NULL OR outcome IS NOT NULL")
    assert isinstance(written, int)
    asked_before = asked.total()
    assert written < 1_000
    assert asked_before - written <= concurrency + concurrency * 10  # out, and answered in the 50 ms before writing
    said = desk("resume", "run", "--yes", "--quiet")
    assert said.code == 4
    assert asked.total() == asked_before + 1_000 - written
    assert len(asked) == 1_000
    assert max(asked.values()) <= 2
    assert sum(count - 1 for count in asked.values()) == asked_before - written
    assert desk.outcomes() == {"enrolled": 900, "invalid_user": 100}
    assert api.calls["enroll"] == 900
    assert {customer for customer, _ in api.enrolled()} == {each for each in ids if each % 100 != 99}


def test_a_signal_ends_the_look_ups_and_resume_goes_on_then_plans(
    desk: Desk, sandbox: Factory, forks: Forks, asked: Counter[str]
) -> None:
    api = sandbox(preload=False, latency_ms=20)
    with running(forks, desk, api, mobiles(range(100, 160)), "--concurrency", 2) as process:
        wait_until(lambda: api.calls["lookup"] >= 8, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 7
    before = asked.total()
    said = (desk.folder / "said").read_text()
    assert f"{before} of 60 customers are looked up" in said
    assert "resume" in said
    assert "Traceback" not in said
    assert "planning" in desk("status").out or from_ledger(desk, "SELECT state FROM run") == [("planning",)]
    assert (desk.summary()["state"], desk.summary()["exit_code"]) == ("planning", 7)
    assert desk.summary()["look_ups"] == before
    assert desk.outcomes() == {"not_sent": 60}
    chat = (desk.folder / "run" / "summary.md").read_text()
    assert "it stopped by a signal (SIGTERM) while customers were looked up; nothing was sent" in chat
    assert "enroll-batch resume" in chat
    assert desk("report", "run").code == 7
    assert "not sent yet" in desk("why", "run", number_of(100)).out
    assert desk("resume", "run", "--yes").code == 0
    assert set(asked.values()) == {1}
    assert desk.outcomes() == {"enrolled": 60}
    assert desk.summary()["look_ups"] == 60
    assert json.loads((desk.folder / "run" / "summary.json").read_text())["exit_code"] == 0
