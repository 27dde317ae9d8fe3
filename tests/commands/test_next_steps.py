"""What a report tells a person to do next: each command that is printed is carried out as it stands."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest

from batch.ledger.reading import LedgerReader
from tests.commands.conftest import Desk, Factory, Said, customers

if TYPE_CHECKING:
    from pathlib import Path

ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}
BY_COLUMN = "customer_id,period_name\n"


def printed(said: Said) -> list[list[str]]:
    """The commands below "Next"."""
    lines = (said.out + said.err).partition("\nNext\n")[2].splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("    enroll-batch ")]


def carried_out(desk: Desk, command: list[str]) -> Said:
    """Carry a printed command out; what sends asks nobody."""
    said = desk(*command, *(["--yes"] if command[0] != "verify" else []))
    assert said.code not in {1, 2, 8, 11}, (command, said)
    return said


def test_what_a_finished_run_left_open_is_settled_by_the_printed_commands(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    api.inject(2, ["reset_after"])
    api.inject(3, ["error_461"])
    said = desk.run(api, customers([1, 2, 3, 99]) + "x\n", campaign=ONE_CYCLE, retry={"attempts": 1})
    commands = printed(said)
    assert [command[0] for command in commands] == ["run", "verify", "rerun", "run"]
    for command in commands:
        carried_out(desk, command)
    assert api.enrolled() == {(number, "PERIOD_G_29463_1") for number in (1, 2, 3)}


def test_cycles_of_a_column_are_corrected_in_the_file_that_is_named(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    api.inject(9, ["error_461"])
    upload = BY_COLUMN + "".join(f"{number},wrong\n" for number in range(1, 6)) + "9,PERIOD_G_29463_1\n"
    said = desk.run(api, upload, retry={"attempts": 1})
    rerun, run = printed(said)
    assert rerun[0] == "rerun"
    calls = api.calls["enroll"]
    carried_out(desk, rerun)
    assert api.calls["enroll"] == calls + 1  # only what can succeed as it is
    failed = desk.folder / "run" / "failed.csv"
    assert run[:2] == ["run", str(failed)]
    correct(desk, failed)
    carried_out(desk, run)
    assert api.enrolled() == {(number, "PERIOD_G_29463_1") for number in (1, 2, 3, 4, 5, 9)}


def correct(desk: Desk, failed: Path) -> None:
    """Correct the cycle, empty the request_id, and remove the other rows, as the printed step says."""
    rows = [row for row in desk.rows("failed.csv") if row["outcome"] in {"period_not_found", "not_sent"}]
    assert all("correct period_name in failed.csv" in row["advice"].lower() for row in rows)
    ids = {row["request_id"]: "" for row in rows} | {"wrong": "PERIOD_G_29463_1"}
    lines = failed.read_text("utf-8-sig").splitlines(keepends=True)
    text = "".join(line for line in lines if "server_error" not in line)
    for old, new in ids.items():
        text = text.replace(old, new)
    failed.write_text(text, "utf-8")


def test_a_cycle_of_the_config_is_corrected_there(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    said = desk.run(api, customers([1, 2]), campaign={"cycles": ["wrong"]})
    (rerun,) = printed(said)
    assert all("with the corrected config" in row["advice"] for row in desk.rows("failed.csv"))
    desk.config(api, campaign=ONE_CYCLE)
    carried_out(desk, rerun)
    assert api.enrolled() == {(1, "PERIOD_G_29463_1"), (2, "PERIOD_G_29463_1")}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--limit", "1"), "Go on with this run:"),
        (("--canary", "1"), "If the sample went well, send the rest:"),
    ],
)
def test_a_run_that_stopped_goes_on_by_the_printed_command(
    desk: Desk, sandbox: Factory, options: tuple[str, ...], words: str
) -> None:
    api = sandbox(preload=False)
    said = desk.run(api, customers([1, 2, 3]), *options, campaign=ONE_CYCLE)
    assert words in said.out + said.err
    (resume,) = printed(said)
    assert carried_out(desk, resume).code == 0
    assert desk.outcomes() == {"enrolled": 3}


def test_refusals_settled_before_a_run_was_refused_are_rerun_after_the_resume(desk: Desk, sandbox: Factory) -> None:
    """Fails when a resume is all that is advised: it leaves alone the one refusal that a success had followed."""
    api = sandbox(preload=False)
    for number in (2, 4, 5, 6):
        api.inject(number, ["error_403_4000"])
    said = desk.run(api, customers(range(1, 8)), "--concurrency", 1, campaign=ONE_CYCLE)
    assert said.code == 10
    refused = [row for row in desk.rows("failed.csv") if row["outcome"] == "access_refused"]
    assert len(refused) == 4
    assert all("resume the run, then rerun it if this stays so" in row["advice"] for row in refused)
    (resume,) = printed(said)
    resumed = carried_out(desk, resume)
    assert desk.outcomes()["access_refused"] == 1
    (rerun,) = printed(resumed)
    carried_out(desk, rerun)
    assert api.enrolled() == {(number, "PERIOD_G_29463_1") for number in range(1, 8)}


def test_an_upload_with_too_many_problems_is_sent_whole_once_it_is_mended(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    upload = "customer_id\n1\n2\nx\n"
    said = desk.run(api, upload, campaign=ONE_CYCLE, input={"max_problems": "5%"})
    assert said.code == 3
    summary = (desk.folder / "run" / "summary.md").read_text("utf-8")
    assert "resume" not in summary.lower()
    line = next(line for line in summary.splitlines() if "`enroll-batch run " in line)
    command = shlex.split(line.split("`")[1])
    assert all("run it whole" in row["advice"] for row in desk.rows("failed.csv"))
    events = [json.loads(line)["event"] for line in (desk.folder / "run" / "run.log").read_text("utf-8").splitlines()]
    assert events == ["planned", "stopped"]
    desk.upload(upload.replace("x", "3"))
    assert carried_out(desk, command[1:]).code == 0
    assert api.enrolled() == {(number, "PERIOD_G_29463_1") for number in (1, 2, 3)}


def test_the_good_rows_of_a_refused_upload_may_be_run_from_its_report(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    desk.run(api, "customer_id\n1\n2\nx\n", campaign=ONE_CYCLE, input={"max_problems": "5%"})
    again = desk("rerun", "run", "--yes")
    assert (again.code, "mend and run the upload" in again.err) == (2, True)
    said = desk("run", "run/failed.csv", "-c", "config.yaml", "--yes", "--run-dir", "good")
    assert said.code == 0, said
    assert api.enrolled() == {(number, "PERIOD_G_29463_1") for number in (1, 2)}


def test_a_plan_has_a_log(desk: Desk, sandbox: Factory) -> None:
    config = desk.config(sandbox(), campaign=ONE_CYCLE)
    assert desk("plan", desk.upload("customer_id\n1\n"), "-c", config, "--run-dir", "run").code == 0
    (line,) = (desk.folder / "run" / "run.log").read_text("utf-8").splitlines()
    assert json.loads(line)["text"] == "1 rows read, 0 with problems, 1 requests"


def test_mended_rows_go_back_in_as_they_were_written(desk: Desk, sandbox: Factory) -> None:
    """Fails when the apostrophe that guards a cell in our CSV is taken for a part of it."""
    upload = "customer_id,period_name,initial_balance,note\n1,-PERIOD,5x,=note\n2,PERIOD_G_29463_1,,\n"
    said = desk.run(sandbox(), upload)
    (run,) = printed(said)
    rejected = desk.folder / "run" / "rejected_rows.csv"
    assert run[:2] == ["run", str(rejected)]
    assert "'-PERIOD" in rejected.read_text("utf-8-sig")
    rejected.write_text(rejected.read_text("utf-8-sig").replace("5x", "5"), "utf-8")
    desk(*run, "--yes", "--run-dir", desk.folder / "mended")
    with LedgerReader(desk.folder / "mended" / "ledger.sqlite") as reader:
        (row,) = reader.report_rows()
    assert (row.request.customer, row.request.period, row.request.initial_balance) == (1, "-PERIOD", 5)
    assert row.cells[-1] == "=note"


def test_a_column_of_the_upload_that_bears_a_name_of_ours_is_found_again_in_the_mended_rows(
    desk: Desk, sandbox: Factory
) -> None:
    """Fails when the config's `Value` is taken for our column `value`, which holds the cell that was refused."""
    said = desk.run(
        sandbox(), "customer_id,Value\n1x,30\n2,40\n", campaign=ONE_CYCLE,
        input={"columns": {"initial_balance": "Value"}},
    )  # fmt: skip
    (run,) = printed(said)
    rejected = desk.folder / "run" / "rejected_rows.csv"
    rejected.write_text(rejected.read_text("utf-8-sig").replace(",1x,30", ",1,30"), "utf-8")
    desk(*run, "--yes", "--run-dir", desk.folder / "mended")
    with LedgerReader(desk.folder / "mended" / "ledger.sqlite") as reader:
        (row,) = reader.report_rows()
    assert (row.request.customer, row.request.initial_balance) == (1, 30)
