from __future__ import annotations

import csv
import json
import re
from collections import Counter
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import openpyxl
import pytest

from batch.errors import EnrollBatchError
from batch.ledger.reading import LedgerReader
from batch.model import GROUP_OF, Group, Outcome
from batch.report.folder import write_report
from batch.report.reconcile import FILE_OF, OUTCOME_FILES
from batch.report.tables import OUTCOME_COLUMNS, REJECTED_COLUMNS
from batch.report.terminal import closing_table
from tests.report.conftest import write_again
from tests.report.ledgers import SECOND, START, LedgerOfTests, PlainAdvice

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batch.report.reconcile import Accounts

    Reported = Callable[..., tuple[Path, Accounts]]

FILES = {
    "ledger.sqlite", "succeeded.csv", "already_enrolled.csv", "invalid_user.csv", "failed.csv", "rejected_rows.csv",
    "summary.json", "summary.md", "reconciliation.xlsx", "report.html", "annotated.xlsx",
}  # fmt: skip


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


class Texts(HTMLParser):
    """The cells of a page's tables, row by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._open = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
            self._open = True

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag not in {"td", "th"}

    def handle_data(self, data: str) -> None:
        if self._open:
            self.rows[-1][-1] += data


def test_every_file_is_written_and_every_request_stands_in_exactly_one(reported: Reported) -> None:
    folder, accounts = reported()
    assert {file.name for file in folder.iterdir()} == FILES
    assert accounts.balanced
    standing = {
        line["customer_id"]: (name, line["outcome"]) for name in OUTCOME_FILES for line in lines_of(folder / name)
    }
    assert standing == {
        str(345651200 + number): (FILE_OF[outcome], outcome.value) for number, outcome in enumerate(Outcome, start=1)
    }


def test_the_csv_files_have_the_columns_of_the_contract(reported: Reported) -> None:
    folder, _ = reported()
    for name in OUTCOME_FILES:
        with (folder / name).open(encoding="utf-8-sig", newline="") as stream:
            header = next(csv.reader(stream))
        assert header == [*OUTCOME_COLUMNS, "Region", "input_Outcome", "Note"]
    with (folder / "rejected_rows.csv").open(encoding="utf-8-sig", newline="") as stream:
        header = next(csv.reader(stream))
    assert header == [*REJECTED_COLUMNS, "Customer ID", "Cycle", "Region", "Outcome", "customer_id", "Note"]


def test_a_line_of_a_file_reads_as_the_ledger_has_it(reported: Reported) -> None:
    folder, _ = reported()
    failed = {line["outcome"]: line for line in lines_of(folder / "failed.csv")}
    line = failed["invalid_input"]
    assert line["error_message"] == '\'=Invalid, "input"\r\n'
    assert (line["period_name"], line["initial_balance"], line["http_status"]) == ("'=Cycle 2", "", "400")
    assert (line["source_file"], line["source_sheet"], line["source_row"]) == ("may.csv", "", "10")
    assert (line["Region"], line["Note"]) == ("Nörd", "")
    assert failed["value_not_applied"]["initial_balance"] == "0"
    assert failed["unrecognised"]["reset_streak_status"] == "true"
    assert failed["unrecognised"]["org_id"] == "50672"
    assert failed["in_doubt"]["Region"] == "'=SUM(A1)"
    assert failed["in_doubt"]["Note"] == "''15"
    assert failed["not_sent"]["attempts"] == "0"


def test_rejected_rows_hold_a_line_per_problem_duplicate_and_contradiction(reported: Reported) -> None:
    folder, _ = reported()
    lines = lines_of(folder / "rejected_rows.csv")
    assert [(line["source_row"], line["problem"], line["duplicate_of_row"]) for line in lines] == [
        ("11", "digits_lost", ""), ("11", "not_text", ""), ("12", "duplicate", "4"), ("13", "contradiction", ""),
        ("14", "contradiction", "13"),
    ]  # fmt: skip
    assert (lines[1]["column"], lines[1]["value"], lines[1]["hint"]) == ("Note", "'+1", "hint for not_text")


def test_summary_json_has_the_keys_and_figures_of_the_contract(reported: Reported) -> None:
    folder, _ = reported()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["input"][1] == {
        "path": "june.xlsx", "sha256": "0" * 64, "rows_read": 13, "rows_blank": 0, "rows_with_problems": 1,
        "rows_planned": 12,
    }  # fmt: skip
    assert summary["requests"] == {"expanded": 20, "duplicates": 1, "contradicted": 2, "unique": 17}
    assert summary["outcomes"] == {outcome.value: 1 for outcome in Outcome}
    del summary["input"], summary["requests"], summary["outcomes"], summary["identities"]
    assert summary == {
        "run_id": "20251122T100000Z-may", "state": "finished", "started_by": "mia@crm7", "attempts": 19, "retries": 4,
        "calls_saved": 1, "look_ups": 0,
        "started_at": "2025-11-22T10:00:01.000Z", "finished_at": "2025-11-22T10:01:01.000Z", "duration_s": 40.0,
        "rate_per_s": 0.475, "balanced": True, "exit_code": 5, "stop_reason": None,
    }  # fmt: skip


def test_a_run_without_requests_has_files_with_headers_only(tmp_path: Path) -> None:
    ledger = LedgerOfTests(tmp_path / "ledger.sqlite", started_at=None, finished_at=None, sending_ns=0)
    ledger.input(blank=3)
    ledger.close()
    accounts = write_again(tmp_path)
    assert accounts.balanced
    assert accounts.exit_code == 3
    for name in (*OUTCOME_FILES, "rejected_rows.csv"):
        assert (tmp_path / name).read_bytes().count(b"\r\n") == 1
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["started_at"], summary["duration_s"], summary["rate_per_s"]) == (None, 0.0, 0.0)
    assert {file.name for file in tmp_path.iterdir()} == FILES - {"annotated.xlsx"}


def test_the_same_ledger_gives_the_same_bytes(reported: Reported) -> None:
    folder, _ = reported()
    first = {file.name: file.read_bytes() for file in folder.iterdir()}
    write_again(folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == first


def test_what_is_drawn_over_time_by_target_and_by_code_adds_up_to_the_accounts(reported: Reported) -> None:
    def one_more(ledger: LedgerOfTests) -> None:
        for number in range(1, 400):
            request_no = ledger.request(ledger.row(number, "x", ""), number, 1, 2)
            outcome = list(Outcome)[number % len(Outcome)]
            ledger.outcome(request_no, outcome.value, attempt=2, settled_at=START + number * SECOND)
            ledger.attempt(request_no, 1, "refused", "server_error", status=503)

    folder, accounts = reported(one_more, {"set_per_s": 1.0})
    summary = json.loads((folder / "summary.json").read_text())
    book = openpyxl.load_workbook(folder / "reconciliation.xlsx", read_only=True)

    def column(sheet: str, name: str) -> list[object]:
        header, *rows = book[sheet].iter_rows(values_only=True)
        return [row[header.index(name)] for row in rows]

    def total(sheet: str, name: str) -> int:
        return sum(int(str(value)) for value in column(sheet, name) if value is not None)

    assert total("Over time", "attempts") == summary["attempts"]
    assert column("Over time", "requests settled so far")[-1] == summary["requests"]["unique"]
    by_target = {outcome: total("By target and cycle", outcome) for outcome in summary["outcomes"]}
    assert by_target == summary["outcomes"]
    done = sum(count for outcome, count in accounts.tallies.outcomes.items() if GROUP_OF[outcome] is Group.DONE)
    kinds = zip(column("By code", "what"), column("By code", "count"), strict=True)
    by_code = Counter[object]()
    for what, count in kinds:
        by_code[what] += int(str(count))
    assert by_code["requests that ended so"] == summary["requests"]["unique"] - done
    settled_by_attempt = sum(total("Over time", group.value) for group in Group)
    assert by_code["attempts tried again"] == summary["attempts"] - settled_by_attempt == 403
    book.close()

    page = (folder / "report.html").read_text()
    cards = re.findall(r"<span>([\d,]+) requests?</span>", page)
    assert sum(int(count.replace(",", "")) for count in cards) == by_code["requests that ended so"]
    rows = [row for row in Texts(page).rows if row and row[0].startswith("2025-11-22 10:")]
    assert sum(int(row[1].replace(",", "")) for row in rows) == summary["attempts"]


def test_broken_accounts_give_exit_code_11_and_are_shown_everywhere(reported: Reported) -> None:
    folder, accounts = reported(lambda ledger: ledger.execute("DELETE FROM request WHERE request_no = 5"))
    assert accounts.exit_code == 11
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["balanced"], summary["exit_code"]) == (False, 11)
    assert {identity["name"] for identity in summary["identities"] if not identity["holds"]} >= {"outcomes"}
    page = (folder / "report.html").read_text()
    assert 'class="verdict bad"' in page
    assert "The accounts do not balance" in page
    lines = "\n".join(closing_table(accounts, folder, PlainAdvice()))
    assert "NOT BALANCED" in lines
    assert "enroll-batch run" not in lines
    book = openpyxl.load_workbook(folder / "reconciliation.xlsx", read_only=True)
    assert str(book["Summary"]["A2"].value).startswith("The accounts do not balance")
    book.close()


def test_a_run_that_stopped_shows_its_open_requests_and_how_to_go_on(reported: Reported) -> None:
    def leave_open(ledger: LedgerOfTests) -> None:
        ledger.execute("DELETE FROM outcome WHERE request_no IN (1, 15, 17)")
        ledger.intent((1, 1))

    folder, accounts = reported(leave_open, state="stopped", stop_reason="limit", stop_text="--limit: 14 were sent")
    assert accounts.balanced
    assert accounts.exit_code == 7
    standing = {line["customer_id"]: (line["outcome"], line["reason"]) for line in lines_of(folder / "failed.csv")}
    assert standing["345651201"] == ("in_doubt", "interrupted")
    assert standing["345651217"] == ("not_sent", "limit")
    lines = "\n".join(closing_table(accounts, folder, PlainAdvice()))
    assert "Stopped by --limit: 14 of 17 requests settled." in lines
    assert f"enroll-batch resume {folder}" in lines


def test_an_old_annotated_workbook_does_not_outlive_its_reason(reported: Reported) -> None:
    folder, _ = reported()
    ledger_path = folder / "ledger.sqlite"
    ledger_path.unlink()
    LedgerOfTests(ledger_path).close()
    write_again(folder)
    assert not (folder / "annotated.xlsx").exists()


def test_a_folder_that_cannot_be_written_leaves_the_old_files_as_they_are(reported: Reported) -> None:
    folder, _ = reported()
    before = (folder / "failed.csv").read_bytes()
    (folder / "summary.json").unlink()
    (folder / "summary.json").mkdir()
    with LedgerReader(folder / "ledger.sqlite") as reader, pytest.raises(EnrollBatchError, match="cannot be written"):
        write_report(folder, reader, PlainAdvice())
    assert (folder / "failed.csv").read_bytes() == before
    assert not [file for file in folder.iterdir() if file.name.endswith(".partial")]
