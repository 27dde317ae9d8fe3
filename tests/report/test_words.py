from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import openpyxl
import pytest

from batch.model import Event, Outcome, RunFacts, State, StopReason, Tallies
from batch.report.chat import summary_markdown
from batch.report.reconcile import Accounts, reconcile
from batch.report.terminal import WIDTH, closing_table
from batch.report.words import STOPS, command_line, duration_text, event_words, share_text, verdict
from tests.report.ledgers import START, PlainAdvice
from tests.report.test_reconcile import input_of, tallies_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Reported = Callable[..., tuple[Path, Accounts]]

FOLDER = Path("reports/20251122T100000Z-may")


def accounts_of(
    tallies: Tallies, state: State = State.FINISHED, stop_reason: str | None = None, problems: int = 0,
    roles: dict[str, int] | None = None, earlier_run: str | None = None,
) -> Accounts:  # fmt: skip
    run = RunFacts(
        "20251122T100000Z-may", "0.1.0", state, stop_reason, None, "mia", "crm7", "run",
        "configs/may plan.yaml", "sandbox", START, START, START, 30 * 10**9,
    )  # fmt: skip
    file = replace(input_of(0, problems, 10), roles=roles or {})
    return reconcile(run, (file,), tallies, earlier_run=earlier_run)


ALL_DONE = tallies_of({Outcome.ENROLLED: 1_200, Outcome.ALREADY_ENROLLED: 50})
MIXED = tallies_of({Outcome.ENROLLED: 970, Outcome.INVALID_USER: 29, Outcome.IN_DOUBT: 1}, contradicted=2)

MIXED_WORDS = "Finished: 970 of 1,000 requests done, 29 need work and 1 is in doubt."


@pytest.mark.parametrize(
    ("accounts", "words"),
    [
        (accounts_of(ALL_DONE), "Finished: 1,250 requests, all done."),
        (accounts_of(ALL_DONE, problems=3), "Finished: 1,250 requests, all done. Not sent: 3 rows with problems."),
        (accounts_of(MIXED), f"{MIXED_WORDS} Not sent: 2 requests that contradict each other."),
        (accounts_of(tallies_of({}), problems=2), "Finished with nothing to send. Not sent: 2 rows with problems."),
        (accounts_of(ALL_DONE, State.PLANNED), "Planned: 1,250 requests, none sent yet."),
        (accounts_of(ALL_DONE, State.PLANNING), "Planning did not come to its end; nothing was sent."),
        (
            accounts_of(ALL_DONE, State.SENDING),
            "Not finished: 1,250 of 1,250 requests settled. The sender is still at work, or it has died.",
        ),
        (accounts_of(ALL_DONE, State.STOPPED, "guard"), "Stopped by a guard: 1,250 of 1,250 requests settled."),
        (accounts_of(ALL_DONE, State.STOPPED, "?"), "Stopped: 1,250 of 1,250 requests settled."),
    ],
)  # fmt: skip
def test_the_verdict_is_one_plain_sentence(accounts: Accounts, words: str) -> None:
    assert verdict(accounts) == words


def test_the_command_line_is_that_which_began_the_run() -> None:
    accounts = accounts_of(ALL_DONE)
    assert command_line(accounts) == "enroll-batch run may.csv -c 'configs/may plan.yaml'"
    run = replace(accounts.run, overrides='{"rate": "60/min", "canary": 5, "until": null, "asked_at": 1}')
    assert command_line(replace(accounts, run=run)).endswith("plan.yaml' --rate 60/min --canary 5")
    assert "may.csv" not in command_line(replace(accounts, run=replace(run, command="nightly")))


def test_every_reason_to_stop_has_words() -> None:
    assert set(STOPS) == set(StopReason)


@pytest.mark.parametrize(
    ("count", "total", "text"),
    [
        (0, 0, "0 %"), (0, 9, "0 %"), (9, 9, "100 %"), (1, 3, "33.3 %"), (1, 1_000_000, "< 0.1 %"),
        (999_999, 1_000_000, "> 99.9 %"), (999, 1_000, "99.9 %"),
    ],
)  # fmt: skip
def test_a_share_never_rounds_something_away(count: int, total: int, text: str) -> None:
    assert share_text(count, total) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (4.24, "4.2 s"), (185, "3 min 5 s"), (30_000, "8 h 20 min")]
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_the_chat_summary_is_about_ten_lines() -> None:
    text = summary_markdown(accounts_of(MIXED, problems=1), FOLDER)
    assert len([line for line in text.splitlines() if line]) <= 10
    assert "**enroll-batch 20251122T100000Z-may: finished, exit code 5**" in text
    assert "- outcomes: 970 enrolled, 29 invalid user, 1 in doubt" in text
    assert "- sent: 1,000 attempts, 0 of them retries, in 30.0 s (33.33 per second)" in text


@pytest.mark.parametrize(
    ("stored", "shown"), [("stopped by SIGINT", "Ctrl-C"), ("stopped by SIGTERM", "a signal (SIGTERM)")]
)
def test_a_signal_is_told_as_people_know_it(reported: Reported, stored: str, shown: str) -> None:
    """Fails when the ledger's own words are shown; nights read those, so they stay as they are."""
    folder, accounts = reported(stop_text=stored, state="stopped", stop_reason="signal")
    assert verdict(accounts).startswith(f"Stopped by {shown}: ")
    assert stored not in (folder / "report.html").read_text()
    assert event_words(Event(0, "stopped", stored)) == shown
    facts = {row[0]: row[1] for row in openpyxl.load_workbook(folder / "reconciliation.xlsx")["Summary"].values}
    assert facts["Stopped"] == f"by {shown}"


def test_the_chat_summary_stays_short_when_there_is_much_to_do() -> None:
    everything = tallies_of(dict.fromkeys(Outcome, 1), duplicates=1, contradicted=1)
    text = summary_markdown(accounts_of(everything, problems=1), FOLDER)
    assert len([line for line in text.splitlines() if line]) <= 10
    assert text.endswith("more steps, in report.html\n")
    assert "17 unique, 1 duplicate, 1 contradicted" in text


def test_nothing_but_commands_and_paths_is_wider_than_a_terminal(reported: Reported) -> None:
    folder, accounts = reported(stop_text="a long reason " * 20, state="stopped", stop_reason="fault")
    lines = closing_table(accounts, folder, PlainAdvice())
    wide = [line for line in lines if len(line) > WIDTH]
    assert all(str(folder) in line for line in wide)
    assert not [line for line in lines if line != line.rstrip()]


def test_the_closing_table_reads_well() -> None:
    tallies = tallies_of({Outcome.ENROLLED: 970, Outcome.INVALID_USER: 30}, duplicates=1)
    assert closing_table(accounts_of(tallies, problems=1), FOLDER, PlainAdvice()) == [
        "Run 20251122T100000Z-may",
        "  Finished: 970 of 1,000 requests done, 30 need work. Not sent: 1 row with",
        "  problems.",
        "",
        "Accounts",
        "  rows read = blank + with problems + planned     11 = 0 + 1 + 10",
        "  expanded = unique + duplicates + contradicted   1,001 = 1,000 + 1 + 0",
        "  unique = sum over outcomes                      1,000 = 1,000",
        "  attempts = first attempts + retries             1,000 = 1,000 + 0",
        "  attempts missing before a later one = none      0 = 0",
        "  requests without their cycle or target = none   0 = 0",
        "  sum over outcomes = sum by target and cycle     1,000 = 1,000",
        "  open requests of a finished run = none          0 = 0",
        "",
        "Outcome                 requests     share  what to do",
        "enrolled                     970    97.0 %  advice for enrolled None",
        "invalid user                  30     3.0 %  advice for invalid_user None",
        "",
        f"Files in {FOLDER}",
        "  succeeded.csv         970 requests",
        "  already_enrolled.csv  0 requests",
        "  invalid_user.csv      30 requests",
        "  failed.csv            0 requests",
        "  rejected_rows.csv     1 row with problems, 1 duplicate, 0 contradicted",
        "                        requests",
        "  annotated.xlsx, report.html, reconciliation.xlsx, summary.json, summary.md",
        "",
        "Next",
        "  Correct the customers in invalid_user.csv, empty the request_id of their rows,",
        "  then send them:",
        f"    enroll-batch run {FOLDER}/invalid_user.csv -c 'configs/may plan.yaml'",
        "  Mend the rows in rejected_rows.csv, as their hint says; remove the duplicates",
        "  (annotated.xlsx shows the cells in your upload, but sends the good rows again",
        "  too); then run it:",
        f"    enroll-batch run {FOLDER}/rejected_rows.csv -c 'configs/may plan.yaml'",
    ]
