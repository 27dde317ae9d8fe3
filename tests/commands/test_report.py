"""`report`, and what a report says beyond its own ledger: masks, and who enrolled a customer."""

from __future__ import annotations

import filelock
import openpyxl

from tests.commands.conftest import Desk, Factory, customers

ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}


def run_again(desk: Desk, name: str, *ids: int) -> None:
    """Run more customers with the config of the folder, into a folder of that name."""
    upload = desk.upload(customers(ids), f"{name}.csv")
    desk("run", upload, "-c", desk.folder / "config.yaml", "--yes", "--again", "--run-dir", desk.folder / name)


def test_who_enrolled_is_found_in_the_ledgers_of_earlier_runs(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    desk.run(api, customers([1, 2]), campaign=ONE_CYCLE)
    desk("report", "run")
    run_again(desk, "second", 1, 7)
    (desk.folder / "run").rename(desk.folder / "first")
    (desk.folder / "second").rename(desk.folder / "run")
    desk("report", "run")
    found = {row["customer_id"]: (row["provenance"], row["earlier_run"]) for row in desk.rows("already_enrolled.csv")}
    assert found == {"1": ("earlier_run", "run"), "7": ("before_us", "")}


def test_a_damaged_ledger_beside_a_run_leaves_it_open_who_enrolled(desk: Desk, sandbox: Factory) -> None:
    desk.run(sandbox(), customers([7]), campaign=ONE_CYCLE)
    (desk.folder / "broken").mkdir()
    (desk.folder / "broken" / "ledger.sqlite").write_bytes(b"no ledger" * 100)
    desk("report", "run")
    assert [row["provenance"] for row in desk.rows("already_enrolled.csv")] == ["unknown"]


def test_who_was_enrolled_with_an_earlier_cycle_of_this_run_was_not_simply_enrolled_before(
    desk: Desk, sandbox: Factory
) -> None:
    desk.run(sandbox(cascade=True, preload=False), customers([1, 2, 3]))
    rows = desk.rows("already_enrolled.csv")
    assert len(rows) == 3
    assert {row["provenance"] for row in rows} <= {"cascade", "before_us_or_cascade"}


def test_a_file_that_was_processed_before_is_told_with_the_run_that_did_it(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    desk.run(api, customers([1, 2, 3]), campaign=ONE_CYCLE)
    run_again(desk, "second", 1, 2, 3)
    text = (desk.folder / "second" / "summary.md").read_text()
    assert f"most of them by the run {desk.summary()['run_id']}: this file may have been processed before" in text


def test_one_report_is_written_at_a_time(desk: Desk, sandbox: Factory) -> None:
    desk.run(sandbox(), customers([1]), campaign=ONE_CYCLE)
    desk.monkeypatch.setattr("batch.run.reporting._PATIENCE_S", 0)
    before = (desk.folder / "run" / "succeeded.csv").stat().st_mtime_ns
    with filelock.FileLock(desk.folder / "run" / ".report.lock"):
        said = desk("report", "run")
    assert said.code == 8
    assert "another process is writing this report" in said.err
    assert (desk.folder / "run" / "succeeded.csv").stat().st_mtime_ns == before
    assert desk("report", "run").code == 0


def test_an_answer_lost_by_this_run_is_its_own(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    api.inject(2, ["reset_after"])
    desk.run(api, customers([1, 2]), campaign=ONE_CYCLE)
    found = {row["customer_id"]: row["provenance"] for row in desk.rows("succeeded.csv")}
    assert found == {"1": "", "2": "own_attempt"}


def test_masked_reports_show_no_customer_and_the_same_one_alike(desk: Desk, sandbox: Factory) -> None:
    desk.monkeypatch.setenv("ENROLL_BATCH_STATE", str(desk.folder / "state"))
    api = sandbox()
    desk.run(api, customers([345651299]), campaign=ONE_CYCLE, report={"mask_customers": True})
    assert [row["customer_id"] for row in desk.rows("invalid_user.csv")] == ["345651299"]
    first = masks(desk, "run")
    assert len(first) == 1
    run_again(desk, "second", 345651299, 345651399)
    assert len(masks(desk, "second")) == 2
    assert first < masks(desk, "second")
    for name in ("report.html", "summary.md", "run.log"):
        assert "345651299" not in (desk.folder / "run" / name).read_text()
    assert (desk.folder / "state" / "mask.key").stat().st_mode & 0o777 == 0o600


def masks(desk: Desk, name: str) -> set[object]:
    """The customers of a run's workbook who are unknown to the API."""
    book = openpyxl.load_workbook(desk.folder / name / "reconciliation.xlsx")
    return {row[0] for row in book["Invalid users"].iter_rows(min_row=2, values_only=True)}


def test_a_key_that_cannot_be_read_is_one_clear_line(desk: Desk, sandbox: Factory) -> None:
    desk.monkeypatch.setenv("ENROLL_BATCH_STATE", str(desk.folder / "state"))
    desk.run(sandbox(), customers([1]), campaign=ONE_CYCLE, report={"mask_customers": True})
    (desk.folder / "state" / "mask.key").write_text("no key")
    said = desk("report", "run")
    assert said.code == 1
    assert "mask.key" in said.err


def test_where_the_config_cannot_be_understood_any_more_customers_are_masked(desk: Desk, sandbox: Factory) -> None:
    desk.monkeypatch.setenv("ENROLL_BATCH_STATE", str(desk.folder / "state"))
    desk.monkeypatch.setenv("GROUP", "29463")
    campaign = ONE_CYCLE | {"target_group_id": "${GROUP}"}
    desk.run(sandbox(), customers([345651299]), campaign=campaign)
    assert masks(desk, "run") == {345651299}
    desk.monkeypatch.delenv("GROUP")
    assert desk("report", "run").code == 4
    (mask,) = masks(desk, "run")
    assert str(mask).startswith("masked-")


def test_the_page_knows_the_rate_that_was_set(desk: Desk, sandbox: Factory) -> None:
    desk.run(sandbox(), customers([1, 2, 3]), campaign=ONE_CYCLE, pacing={"rate": "600/min"})
    assert "Allowed: 10 per second." in (desk.folder / "run" / "report.html").read_text()
