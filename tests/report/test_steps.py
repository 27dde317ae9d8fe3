from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from batch.capillary.advice import ADVICE
from batch.model import Outcome, State, StopReason, Subtotal
from batch.report.steps import next_steps
from batch.report.tables import advice_in, advise_all
from batch.report.terminal import closing_table
from tests.report.test_reconcile import MILESTONE, tallies_of
from tests.report.test_words import ALL_DONE, FOLDER, MIXED, accounts_of

if TYPE_CHECKING:
    from batch.report.reconcile import Accounts

CONFIG = "-c 'configs/may plan.yaml'"


def commands_of(accounts: Accounts) -> list[str | None]:
    return [step.command for step in next_steps(accounts, FOLDER)]


def test_a_run_that_is_all_done_leaves_nothing_to_do() -> None:
    assert next_steps(accounts_of(ALL_DONE), FOLDER) == ()


def test_the_next_commands_are_exact_and_can_be_pasted() -> None:
    assert commands_of(accounts_of(MIXED, problems=1)) == [
        f"enroll-batch run {FOLDER}/invalid_user.csv {CONFIG}",
        f"enroll-batch verify {FOLDER}",
        f"enroll-batch rerun {FOLDER}",
        f"enroll-batch run {FOLDER}/rejected_rows.csv {CONFIG}",
    ]


def test_wrong_cycles_are_not_hidden_by_what_is_in_doubt() -> None:
    wrong = tallies_of({Outcome.PERIOD_NOT_FOUND: 3, Outcome.NOT_SENT: 40, Outcome.IN_DOUBT: 5})
    accounts = accounts_of(wrong)
    assert commands_of(accounts) == [f"enroll-batch verify {FOLDER}", f"enroll-batch rerun {FOLDER} {CONFIG}"]
    assert "48 requests (3 period not found, 5 in doubt, 40 not sent)" in next_steps(accounts, FOLDER)[1].text


def test_wrong_cycles_of_a_column_are_corrected_in_the_file_and_left_out_of_the_rerun() -> None:
    wrong = tallies_of({Outcome.PERIOD_NOT_FOUND: 3, Outcome.NOT_SENT: 40, Outcome.IN_DOUBT: 5})
    accounts = accounts_of(wrong, roles={"customer_id": 0, "period_name": 1})
    assert commands_of(accounts) == [
        f"enroll-batch verify {FOLDER}",
        f"enroll-batch rerun {FOLDER} --only server_error --only in_doubt",
        f"enroll-batch run {FOLDER}/failed.csv {CONFIG}",
    ]
    assert "43 requests (3 period not found, 40 not sent)" in next_steps(accounts, FOLDER)[2].text
    assert "remove the other rows" in next_steps(accounts, FOLDER)[2].text
    alone = accounts_of(tallies_of({Outcome.PERIOD_NOT_FOUND: 3}), roles=accounts.inputs[0].roles)
    assert "remove the other rows" not in next_steps(alone, FOLDER)[0].text


def test_what_only_a_person_can_judge_gets_no_command() -> None:
    judged = tallies_of({Outcome.VALUE_NOT_APPLIED: 2, Outcome.UNRECOGNISED: 1, Outcome.INVALID_INPUT: 4})
    assert commands_of(accounts_of(judged)) == [f"enroll-batch run {FOLDER}/failed.csv {CONFIG}", None]


@pytest.mark.parametrize("state", [State.PLANNING, State.PLANNED, State.SENDING, State.STOPPED])
def test_a_run_that_is_not_finished_is_resumed(state: State) -> None:
    steps = next_steps(accounts_of(MIXED, state), Path("my runs/one"))
    assert steps[0].command == "enroll-batch resume 'my runs/one'"
    assert len(steps) == 2


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (StopReason.SILENT, "When the API answers again"),
        (StopReason.CANARY, "If the sample went well"),
        (StopReason.GUARD, "where its config is wrong"),
        (StopReason.LIMIT, "Go on with this run:"),
    ],
)
def test_going_on_says_under_which_condition(reason: StopReason, words: str) -> None:
    assert words in next_steps(accounts_of(MIXED, State.STOPPED, reason), FOLDER)[0].text


def test_an_upload_that_cannot_be_sent_is_mended_not_resumed() -> None:
    steps = next_steps(accounts_of(tallies_of({}), State.STOPPED, "input", problems=9), FOLDER)
    assert [step.command for step in steps] == [f"enroll-batch run {FOLDER}/rejected_rows.csv {CONFIG}"]
    assert steps[0].text.startswith("Mend the rows")


def test_an_upload_with_too_many_problems_is_run_whole_because_its_good_rows_were_not_sent() -> None:
    (step,) = next_steps(accounts_of(MIXED, State.STOPPED, "input", problems=9), FOLDER)
    assert step.command == f"enroll-batch run may.csv {CONFIG}"
    assert "annotated.xlsx" in step.text
    assert "input.max_problems" in step.text


def test_a_file_that_was_processed_before_names_the_run_that_did() -> None:
    again = tallies_of({Outcome.ALREADY_ENROLLED: 99, Outcome.ENROLLED: 1})
    assert "by the run april: this" in next_steps(accounts_of(again, earlier_run="april"), FOLDER)[0].text
    assert "enrolled already: this" in next_steps(accounts_of(again), FOLDER)[0].text


COVERED = Outcome.COVERED_BY_CASCADE


def cascaded(*subtotals: tuple[str, Outcome, int], saved: int = 0, roles: dict[str, int] | None = None) -> list[str]:
    """What is said of a run with these counts of cycles and outcomes."""
    counts: dict[Outcome, int] = {}
    for _, outcome, count in subtotals:
        counts[outcome] = counts.get(outcome, 0) + count
    tallies = replace(
        tallies_of(counts),
        subtotals=tuple(Subtotal(MILESTONE, *each) for each in subtotals),
        calls_saved=saved,
    )
    steps = next_steps(accounts_of(tallies, roles=roles), FOLDER)
    return [f"{step.text} {step.command or ''}".strip() for step in steps if "enrolls into" in step.text]


FIRST = ("C1", Outcome.ENROLLED, 10)
LATER = (("C2", COVERED, 10), ("C3", COVERED, 10))


def test_a_cascade_is_told_with_the_calls_that_were_or_could_be_saved() -> None:
    found = "Enrolling into a cycle enrolls into the later ones here"
    skip = "campaign.on_cascade: skip saves most of them"
    assert cascaded(FIRST, *LATER) == [f"{found}: 20 calls needless; campaign.expand: first saves them, and {skip}."]
    assert cascaded(FIRST, *LATER, saved=15) == [
        f"{found}: 15 calls saved, 5 calls made to find that out and as a sample."
    ]
    assert cascaded(FIRST) == []


def test_the_first_cycle_alone_is_not_advised_where_that_cannot_be_or_does_harm() -> None:
    for told in (
        cascaded(FIRST, *LATER, roles={"customer_id": 0, "period_name": 1}),
        cascaded(FIRST, *LATER, ("C2", Outcome.VALUE_NOT_APPLIED, 1)),
        cascaded(FIRST, *LATER, ("C2", Outcome.ENROLLED, 1)),
    ):
        assert "needless" in told[0]
        assert "expand" not in told[0]


def test_of_two_cycles_no_more_is_claimed_than_is_known() -> None:
    assert cascaded(FIRST, LATER[0])[0].startswith("It looks as if enrolling into the one cycle enrolls into the other")


def left_out(outcomes: dict[Outcome, int], uncovered: int, **more: Any) -> Accounts:
    """A run in which so many of the requests that are not sent had been left out as covered."""
    return accounts_of(replace(tallies_of(outcomes), not_covered=uncovered), **more)


def test_what_was_left_out_and_is_not_covered_is_sent_by_a_rerun() -> None:
    accounts = left_out({Outcome.ENROLLED: 10, Outcome.NOT_SENT: 20}, 20)
    assert accounts.exit_code == 4
    rerun, why = next_steps(accounts, FOLDER)
    assert (rerun.text, rerun.command) == ("Send again 20 requests (not sent):", f"enroll-batch rerun {FOLDER}")
    assert "20 requests had been left out as covered by an earlier cycle, which is not so: the rerun" in why.text
    assert why.command is None


def test_what_stands_behind_a_refusal_still_asks_for_another_config() -> None:
    """Fails when every request that a finished run has not sent is taken for one that was left out."""
    outcomes = {Outcome.PERIOD_NOT_FOUND: 3, Outcome.NOT_SENT: 25}
    assert commands_of(left_out(outcomes, 20)) == [f"enroll-batch rerun {FOLDER} {CONFIG}", None]
    by_column = left_out(outcomes, 20, roles={"customer_id": 0, "period_name": 1})
    assert commands_of(by_column) == [
        f"enroll-batch rerun {FOLDER} --only not_sent",
        f"enroll-batch run {FOLDER}/failed.csv {CONFIG}",
        None,
    ]


def test_a_run_that_is_not_finished_sends_what_was_left_out_afterwards() -> None:
    resume, why = next_steps(left_out({Outcome.NOT_SENT: 20}, 20, state=State.STOPPED), FOLDER)
    assert resume.command == f"enroll-batch resume {FOLDER}"
    assert "when the run is finished, a rerun sends what was left out" in why.text
    assert why.command is None


@pytest.mark.parametrize(
    ("unsent", "uncovered", "said"),
    [
        (20, 20, "It was left out, and no earlier cycle covers it after all: rerun the run."),
        (25, 20, "Of these, 20 were left out as covered: failed.csv says what to do about each."),
        (25, 0, "Rerun with the corrected config."),
    ],
)
def test_the_advice_for_all_that_was_not_sent_says_what_was_left_out(unsent: int, uncovered: int, said: str) -> None:
    accounts = left_out({Outcome.ENROLLED: 10, Outcome.NOT_SENT: unsent}, uncovered, roles={"customer_id": 0})
    told = advice_in(accounts, ADVICE)
    assert advise_all(accounts, told, Outcome.NOT_SENT) == said
    assert advise_all(accounts, told, Outcome.ENROLLED) == "Nothing to do."
    assert said.partition(":")[0] in " ".join(" ".join(closing_table(accounts, FOLDER, ADVICE)).split())
