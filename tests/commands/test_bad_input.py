"""What people get wrong: one clear line, the right exit code, nothing applied, nothing overwritten."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import trustme

from tests.commands.conftest import Desk, Factory, Said, customers


def one_line(said: Said) -> str:
    (line,) = said.err.strip().splitlines()
    assert line.startswith("Error: ")
    return line


def test_a_missing_upload(desk: Desk, sandbox: Factory) -> None:
    said = desk("run", "nowhere.csv", "-c", desk.config(sandbox()), "--yes")
    assert said.code == 3
    assert "nowhere.csv" in one_line(said)
    assert not Path("reports").exists() or not list(Path("reports").iterdir())


def test_a_missing_config(desk: Desk) -> None:
    said = desk("run", desk.upload(customers([1])), "-c", "nowhere.yaml", "--yes")
    assert said.code == 2
    assert "nowhere.yaml" in one_line(said)


def test_a_header_that_the_config_names_and_the_file_has_not(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    said = desk.run(api, customers([1]), input={"columns": {"customer_id": "Member ID"}})
    assert said.code == 3
    assert "Member ID" in one_line(said)
    assert not (desk.folder / "run").exists()


def test_a_milestone_without_cycles(desk: Desk, sandbox: Factory) -> None:
    said = desk.run(sandbox(), customers([1]), campaign={"cycles": None})
    assert said.code == 3
    assert "cycles" in one_line(said)


@pytest.mark.parametrize(
    ("groups", "said_of_it"),
    [
        ({"campaign": {"cycles": ["A", "B", "A"]}}, "A"),
        ({"campaign": {"cycels": ["A"]}}, "did you mean"),
        ({"campaign": {"target_id": "many"}}, "target_id"),
        ({"auth": {"kind": "oauth", "key": "${UNSET_KEY}", "secret": "${SECRET}"}}, "UNSET_KEY"),
        ({"auth": {"kind": "oauth", "key": "${KEY}", "secret": "written-out"}}, "secret"),
        ({"scope": {"data_scope": "ALL"}}, "ALL"),
        ({"scope": {"data_scope": "OTHER"}}, "org"),
        ({"pacing": {"rate": "fast"}}, "fast"),
    ],
)
def test_a_wrong_config_names_the_line(
    desk: Desk, sandbox: Factory, groups: dict[str, object], said_of_it: str
) -> None:
    api = sandbox()
    said = desk.run(api, customers([1]), **groups)
    assert said.code == 2
    assert said_of_it in one_line(said)
    assert "config.yaml" in said.err
    assert "written-out" not in said.err
    assert not (desk.folder / "run").exists()
    assert api.calls["enroll"] == 0


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("switches", "said_of_it"), [({"latency": "5"}, 'did you mean "latency_ms"'), ({"seed": "x"}, "seed")]
)
def test_a_wrong_switch_of_the_embedded_api_makes_no_run(
    desk: Desk, command: str, switches: dict[str, str], said_of_it: str
) -> None:
    config = desk.config("sandbox", sandbox=switches)
    said = desk(command, desk.upload(customers([1])), "-c", config, "--run-dir", "run")
    assert said.code == 2
    assert said_of_it in one_line(said)
    assert not Path("run").exists()


def test_a_ca_bundle_without_a_certificate_makes_no_run(desk: Desk, sandbox: Factory) -> None:
    Path("roots.pem").write_text("no certificate")
    said = desk.run(sandbox(), customers([1]), api={"ca_bundle": "roots.pem"})
    assert said.code == 2
    assert "ca_bundle" in one_line(said)
    assert not Path("run").exists()


def test_a_ca_bundle_that_is_gone_later_is_told_and_the_report_is_written(desk: Desk, sandbox: Factory) -> None:
    api, roots = sandbox(), Path("roots.pem")
    roots.write_text(trustme.CA().cert_pem.bytes().decode())
    assert desk.run(api, customers([1, 2]), "--limit", "1", api={"ca_bundle": "roots.pem"}).code == 7
    roots.write_text("no certificate")
    said = desk("resume", "run", "--yes")
    assert said.code == 2
    assert "ca_bundle" in one_line(said)
    assert desk.outcomes()["enrolled"] == 1


def test_a_folder_that_holds_a_run_is_left_alone(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    assert desk.run(api, customers([1])).code == 0
    before = {path: path.read_bytes() for path in (desk.folder / "run").iterdir()}
    said = desk.run(api, customers([2]))
    assert said.code == 2
    assert "holds a run already" in one_line(said)
    assert {path: path.read_bytes() for path in (desk.folder / "run").iterdir()} == before
    assert {customer for customer, _ in api.enrolled()} == {1}


def test_a_folder_that_cannot_be_written(desk: Desk, sandbox: Factory) -> None:
    desk.upload("", "run")
    said = desk.run(sandbox(), customers([1]))
    assert said.code == 2
    assert "cannot be written" in one_line(said)


def test_a_real_target_needs_a_yes_where_nobody_can_be_asked(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    said = desk("run", desk.upload(customers([1])), "-c", desk.config(api))
    assert said.code == 2
    assert "--yes" in one_line(said)
    assert api.calls["enroll"] == 0


def test_a_rate_that_is_none(desk: Desk, sandbox: Factory) -> None:
    said = desk.run(sandbox(), customers([1]), "--rate", "quick")
    assert said.code == 2
    assert "--rate" in one_line(said)


def test_no_usable_row_leaves_a_report_of_the_problems(desk: Desk, sandbox: Factory) -> None:
    said = desk.run(sandbox(), "customer_id\nabc\nxyz\n")
    assert said.code == 3
    assert desk.summary()["exit_code"] == 3
    assert len(desk.rows("rejected_rows.csv")) == 2
    assert desk("resume", "run", "--yes").code == 3


def test_more_problems_than_allowed_send_nothing(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    said = desk.run(api, "customer_id\n1\n2\nabc\n", input={"max_problems": "5%"})
    assert said.code == 3
    assert "max_problems" in said.err
    assert api.calls["enroll"] == 0
    assert desk.summary()["exit_code"] == 3


def test_unknown_runs_and_options(desk: Desk) -> None:
    assert desk("resume", "nothing").code == 2
    assert desk("report", "nothing").code == 2
    assert desk("run").code == 2
    assert desk("nonsense").code == 2


def test_plan_needs_no_secrets_and_sends_nothing(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    desk.monkeypatch.delenv("KEY")
    said = desk("plan", desk.upload(customers([1, 2])), "-c", desk.config(api, pacing={"rate": "100/min"}))
    assert said.code == 0
    assert "4  requests to send" in said.out
    assert "2 seconds" in said.out
    assert api.calls.total() == 0


def test_a_plan_is_sent_by_resume(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    desk("plan", desk.upload(customers([1])), "-c", desk.config(api), "--run-dir", "run")
    assert desk.summary()["state"] == "planned"
    assert desk("resume", "run", "--yes").code == 0
    assert desk.outcomes() == {"enrolled": 2}


def test_a_finished_run_says_so_when_it_is_resumed(desk: Desk, sandbox: Factory) -> None:
    desk.run(sandbox(), customers([1]))
    said = desk("resume", "run", "--yes")
    assert said.code == 2
    assert "finished" in one_line(said)


def test_an_interrupted_machine_leaves_no_secret_behind(desk: Desk, sandbox: Factory) -> None:
    desk.monkeypatch.setenv("SECRET", "sandbox-secret")
    said = desk.run(sandbox(), customers([1]), "-v")
    assert "sandbox-secret" not in said.out + said.err
    for path in (desk.folder / "run").iterdir():
        assert b"sandbox-secret" not in path.read_bytes(), path
    assert os.environ["SECRET"] == "sandbox-secret"


def test_a_refused_upload_removes_nothing_that_a_person_had_in_the_folder(desk: Desk, sandbox: Factory) -> None:
    (desk.folder / "run").mkdir()
    desk.upload("mine", "run/photo.txt")
    assert desk.run(sandbox(), "nothing,of,ours\n1,2,3\n").code == 3
    assert [path.name for path in (desk.folder / "run").iterdir()] == ["photo.txt"]


def test_rows_above_a_second_header_do_not_vanish(desk: Desk, sandbox: Factory) -> None:
    said = desk.run(sandbox(), "customer_id,tier\n1,Gold\n\ncustomer_id,period_name\n3,PERIOD_G_29463_1\n")
    assert said.code == 3
    assert "rows 1 and 4 both look like a header" in one_line(said)


def test_ids_above_the_header_do_not_vanish_and_titles_may_stand_there(desk: Desk, sandbox: Factory) -> None:
    said = desk.run(sandbox(), "345651201\n345651202\ncustomer_id\n345651203\n")
    assert said.code == 3
    assert "row 1, above the header in row 3, has a number" in one_line(said)
    assert desk.run(sandbox(), "Enrolments of May 2026\n\ncustomer_id\n345651203\n").code == 0


def test_an_organisation_with_v3_is_refused_before_anything_is_sent(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    said = desk.run(api, "customer_id,org_id\n1,50672\n", api={"base_url": api.url, "version": "v3"})
    assert said.code == 3
    assert "v3.1" in one_line(said)
    assert api.calls.total() == 0


def test_a_cycle_repeated_in_a_contradicted_row_keeps_the_accounts_balanced(desk: Desk, sandbox: Factory) -> None:
    said = desk.run(
        sandbox(), "customer_id,period_name,initial_balance\n1,P1|P1,5\n1,P1,6\n", input={"period_separator": "|"}
    )
    assert said.code == 3
    assert desk.summary()["requests"] == {"expanded": 3, "duplicates": 0, "contradicted": 3, "unique": 0}


@pytest.mark.parametrize(
    ("arguments", "said_of_it"),
    [
        (["run"], "enroll-batch run: Missing argument 'INPUT...'; `enroll-batch run --help`"),
        (["run", "x.csv"], "Missing option '-c'"),
        (["resum", "x"], 'did you mean "resume"?'),
        (["frobnicate"], "No such command 'frobnicate'; `enroll-batch --help`"),
        (["run", "x.csv", "-c", "x", "--limit", "many"], "'many' is not a valid integer"),
    ],
)
def test_a_wrong_command_line_is_one_line(desk: Desk, arguments: list[str], said_of_it: str) -> None:
    said = desk(*arguments)
    assert said.code == 2
    assert said_of_it in one_line(said)


def test_a_pipe_is_refused_and_not_waited_for(desk: Desk, sandbox: Factory) -> None:
    os.mkfifo(desk.folder / "pipe.csv")
    said = desk("plan", str(desk.folder / "pipe.csv"), "-c", desk.config(sandbox()))
    assert said.code == 3
    assert "not a file; name the spreadsheet itself" in one_line(said)


def test_an_upload_whose_name_is_no_utf8_is_refused_before_anything_is_kept(desk: Desk, sandbox: Factory) -> None:
    upload = desk.folder / os.fsdecode(b"up\xff.csv")
    upload.write_text(customers([1]), "utf-8")
    said = desk("plan", str(upload), "-c", desk.config(sandbox()))
    assert said.code == 3
    assert "up\\xff.csv: the name of the file or of its folder is not UTF-8; rename it" in one_line(said)


def test_an_upload_with_nothing_below_its_header_says_so(desk: Desk, sandbox: Factory) -> None:
    said = desk.run(sandbox(), "customer_id\n\n")
    assert said.code == 3
    assert "nothing stands below the header" in one_line(said)


def test_a_report_that_a_spreadsheet_program_has_rewritten_goes_back_in(desk: Desk, sandbox: Factory) -> None:
    """Its times are no times of ours any more, and a row with a problem still gets its line in the workbook."""
    columns = "customer_id;period_name;initial_balance;reset_streak_status;action;org_id;target_group_id;target_id"
    header = f"{columns};outcome;request_id;settled_at"
    row = "3.4565E+08;PERIOD_G_29463_1;;;enroll;;29463;5512;not_sent;;22.11.2026 10:00"
    said = desk("plan", desk.upload(f"{header}\n{row}\n"), "-c", desk.config(sandbox()), "--run-dir", "run")
    assert said.code == 3
    assert "the only row cannot be used" in one_line(said)
    assert (desk.folder / "run" / "reconciliation.xlsx").exists()


def test_a_column_that_sounds_like_one_of_ours_is_pointed_out(desk: Desk, sandbox: Factory) -> None:
    said = desk.run(sandbox(), "customer_id,Cycle,Opening Balance,Region\n1,May,5,North\n")
    told = " ".join(said.out.split())
    assert 'the column "Cycle" is not read; if it is period_name, say so in input.columns' in told
    assert 'the column "Opening Balance" is not read; if it is initial_balance, say so in input.columns' in told
    assert "Region" not in told


def test_json_is_printed_where_an_upload_is_refused_for_its_problems(desk: Desk, sandbox: Factory) -> None:
    said = desk.run(sandbox(), "customer_id\n1\nnobody\n", "--json", input={"max_problems": "5%"})
    assert said.code == 3
    assert json.loads(said.out) == desk.summary()
    assert desk.summary()["exit_code"] == 3


def test_a_plan_above_the_allowed_problems_says_so_in_its_summary(desk: Desk, sandbox: Factory) -> None:
    config = desk.config(sandbox(), input={"max_problems": "5%"})
    said = desk("plan", desk.upload("customer_id\n1\nnobody\n"), "-c", config, "--run-dir", "run")
    assert said.code == 3
    assert (desk.summary()["exit_code"], desk.summary()["stop_reason"]) == (3, "input")


def test_an_empty_customer_is_one_line(desk: Desk, sandbox: Factory) -> None:
    desk.run(sandbox(), customers([1]))
    said = desk("why", "run", "")
    assert said.code == 2
    assert "the customer is empty" in one_line(said)
