from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.ledger.reading import LedgerReader
from batch.model import GROUP_OF, Action, Group, InputFacts, Kind, Outcome, Scope, State, StopReason, Subtotal, Tallies
from batch.report.reconcile import (
    FILE_OF,
    OUTCOME_FILES,
    STOP_EXIT_CODES,
    Accounts,
    check,
    exit_code,
    lines_by_file,
    reconcile,
)
from tests.report.ledgers import full_ledger

if TYPE_CHECKING:
    from pathlib import Path

MILESTONE = Scope(Action.ENROLL, Kind.MILESTONE, None, 29463, 5512)
COUNTS = st.integers(min_value=0, max_value=10**7)


def tallies_of(outcomes: dict[Outcome, int], duplicates: int = 0, contradicted: int = 0, retries: int = 0) -> Tallies:
    """Tallies that balance."""
    unique = sum(outcomes.values())
    return Tallies(
        expanded=unique + duplicates + contradicted,
        duplicates=duplicates,
        contradicted=contradicted,
        unique=unique,
        unsettled=0,
        outcomes={outcome: outcomes.get(outcome, 0) for outcome in Outcome},
        attempts=unique + retries,
        first_attempts=unique,
        retries=retries,
        calls_saved=0,
        subtotals=tuple(Subtotal(MILESTONE, "C1", outcome, count) for outcome, count in outcomes.items() if count),
    )


def input_of(blank: int, with_problems: int, planned: int, number: int = 1) -> InputFacts:
    """An input whose rows add up."""
    read = blank + with_problems + planned
    return InputFacts(number, "may.csv", "0" * 64, None, (), {}, (), read, blank, with_problems, planned)


balanced_tallies = st.builds(
    tallies_of,
    st.dictionaries(st.sampled_from(Outcome), COUNTS),
    duplicates=COUNTS,
    contradicted=COUNTS,
    retries=COUNTS,
)
balanced_inputs = st.lists(st.builds(input_of, COUNTS, COUNTS, COUNTS), max_size=3).map(tuple)


@settings(deadline=None)
@given(balanced_inputs, balanced_tallies)
def test_accounts_that_add_up_satisfy_every_identity(inputs: tuple[InputFacts, ...], tallies: Tallies) -> None:
    """Fails when a term is left out of any identity."""
    identities = check(State.FINISHED, inputs, tallies, lines_by_file(tallies))
    assert all(identity.holds for identity in identities), identities
    assert {identity.name for identity in identities} >= {
        "requests", "outcomes", "attempts", "subtotals", "settled", "files",
    }  # fmt: skip


FIGURES = [
    "expanded", "duplicates", "contradicted", "unique", "unsettled", "attempts", "first_attempts", "retries",
    "missing_attempts", "nameless",
]  # fmt: skip


@settings(deadline=None)
@given(balanced_inputs, balanced_tallies, st.sampled_from(FIGURES), st.sampled_from([-1, 1, 1000]))
def test_one_wrong_figure_is_always_found(
    inputs: tuple[InputFacts, ...], tallies: Tallies, figure: str, error: int
) -> None:
    """Fails when a figure is derived from another one, or stands in no identity."""
    wrong = replace(tallies, **{figure: getattr(tallies, figure) + error})
    identities = check(State.FINISHED, inputs, wrong, lines_by_file(tallies))
    assert not all(identity.holds for identity in identities)


@settings(deadline=None)
@given(balanced_tallies, st.sampled_from(Outcome), st.sampled_from(Outcome), st.integers(1, 1000))
def test_an_outcome_counted_as_another_is_found_although_the_sums_agree(
    tallies: Tallies, one: Outcome, other: Outcome, count: int
) -> None:
    """Fails when subtotals are compared by their sum alone."""
    shifted = dict(tallies.outcomes)
    shifted[one] += count
    shifted[other] -= count
    identities = check(State.FINISHED, (), replace(tallies, outcomes=shifted))
    assert all(identity.holds for identity in identities) == (one is other)


@settings(deadline=None)
@given(st.sampled_from(OUTCOME_FILES), st.sampled_from(OUTCOME_FILES), balanced_tallies)
def test_a_line_in_the_wrong_file_is_found(one: str, other: str, tallies: Tallies) -> None:
    """Fails when the lines of the files are compared by their sum alone."""
    lines = lines_by_file(tallies)
    lines[one] += 1
    lines[other] -= 1
    identities = check(State.FINISHED, (), tallies, lines)
    assert all(identity.holds for identity in identities) == (one == other)


def test_each_input_has_its_own_identity_because_two_errors_may_cancel_out() -> None:
    one, other = input_of(1, 2, 3), input_of(4, 5, 6, number=2)
    inputs = (replace(one, rows_planned=2), replace(other, rows_planned=7))
    rows = [identity for identity in check(State.FINISHED, inputs, tallies_of({})) if identity.name == "rows"]
    assert [(identity.left, identity.right, identity.holds) for identity in rows] == [(6, 5, False), (15, 16, False)]
    assert rows[0].formula == "input 1: rows read = blank + with problems + planned"
    assert rows[0].figures == "6 is not 1 + 2 + 2"


def test_an_identity_shows_its_figures() -> None:
    identity = check(State.FINISHED, (input_of(0, 3, 1_200),), tallies_of({}))[0]
    assert (identity.formula, identity.figures) == (
        "rows read = blank + with problems + planned", "1,203 = 0 + 3 + 1,200",
    )  # fmt: skip


ALL_DONE = tallies_of({Outcome.ENROLLED: 5, Outcome.ALREADY_ENROLLED: 2}, duplicates=4)
SOME_FAILED = tallies_of({Outcome.ENROLLED: 5, Outcome.INVALID_USER: 1})
IN_DOUBT = tallies_of({Outcome.ENROLLED: 5, Outcome.INVALID_USER: 1, Outcome.IN_DOUBT: 1})
NOT_SENT = tallies_of({Outcome.NOT_SENT: 9})
NOTHING = tallies_of({})


@pytest.mark.parametrize(
    ("expected", "state", "stop_reason", "problems", "tallies"),
    [
        (0, State.FINISHED, None, 0, ALL_DONE),
        (0, State.FINISHED, "signal", 0, ALL_DONE),  # an earlier invocation was stopped
        (4, State.FINISHED, None, 1, ALL_DONE),
        (4, State.FINISHED, None, 0, tallies_of({Outcome.ENROLLED: 1}, contradicted=2)),
        (4, State.FINISHED, None, 0, SOME_FAILED),
        (5, State.FINISHED, None, 3, IN_DOUBT),
        (3, State.FINISHED, None, 3, NOTHING),
        (0, State.PLANNED, None, 0, NOT_SENT),
        (4, State.PLANNED, None, 2, NOT_SENT),
        (3, State.PLANNED, None, 2, NOTHING),
        (3, State.STOPPED, "input", 2, NOT_SENT),
        (7, State.STOPPED, "declined", 2, NOT_SENT),
        (7, State.PLANNING, None, 0, NOTHING),
        (7, State.SENDING, None, 0, IN_DOUBT),
        (7, State.STOPPED, "signal", 1, IN_DOUBT),
        (7, State.STOPPED, "limit", 0, NOT_SENT),
        (7, State.STOPPED, "silent", 0, NOT_SENT),
        (7, State.STOPPED, None, 0, NOT_SENT),
        (6, State.STOPPED, "guard", 0, IN_DOUBT),
        (10, State.STOPPED, "refused", 0, IN_DOUBT),
        (1, State.STOPPED, "fault", 0, IN_DOUBT),
        (1, State.STOPPED, "a word of another version", 0, ALL_DONE),
    ],
)  # fmt: skip
def test_the_exit_code_is_the_worst_that_holds(
    expected: int, state: State, stop_reason: str | None, problems: int, tallies: Tallies
) -> None:
    assert exit_code(state, stop_reason, problems, tallies, balanced=True) == expected
    assert exit_code(state, stop_reason, problems, tallies, balanced=False) == 11


def test_every_reason_to_stop_has_an_exit_code() -> None:
    assert set(StopReason) == set(STOP_EXIT_CODES)


@pytest.mark.parametrize("outcome", Outcome)
def test_a_finished_run_is_all_right_only_when_its_outcomes_are_done(outcome: Outcome) -> None:
    expected = 5 if outcome is Outcome.IN_DOUBT else 0 if GROUP_OF[outcome] is Group.DONE else 4
    assert exit_code(State.FINISHED, None, 0, tallies_of({outcome: 1}), balanced=True) == expected


def test_every_outcome_stands_in_the_file_that_the_design_names() -> None:
    assert Counter(FILE_OF.values()) == {
        "succeeded.csv": 2, "already_enrolled.csv": 2, "invalid_user.csv": 1, "failed.csv": len(Outcome) - 5,
    }  # fmt: skip
    assert {FILE_OF[Outcome.IN_DOUBT], FILE_OF[Outcome.NOT_SENT], FILE_OF[Outcome.INVALID_INPUT]} == {"failed.csv"}


def accounts_after(tmp_path: Path, *damage: str) -> Accounts:
    """Reconcile the full ledger after it was damaged."""
    ledger = full_ledger(tmp_path / "ledger.sqlite")
    for sql in damage:
        ledger.execute(sql)
    ledger.close()
    with LedgerReader(ledger.path) as reader:
        return reconcile(reader.run(), reader.inputs(), reader.tallies())


def test_an_undamaged_ledger_balances(tmp_path: Path) -> None:
    accounts = accounts_after(tmp_path)
    assert accounts.balanced
    assert accounts.exit_code == 5
    assert (accounts.settled, accounts.duration_s, accounts.rate_per_s) == (17, 40.0, 0.475)


@pytest.mark.parametrize(
    ("damage", "broken"),
    [
        ("DELETE FROM outcome WHERE request_no = 3", "settled"),
        ("DELETE FROM request WHERE request_no = 3", "outcomes"),
        ("INSERT INTO outcome VALUES (99, 1, 'enrolled', '', 1, 200, NULL, '', '', 0, 0)", "outcomes"),
        ("UPDATE request SET contradicted = 1 WHERE request_no = 3", "requests"),
        ("UPDATE request SET contradicted = 0", "requests"),
        ("DELETE FROM row_problem WHERE problem = 'duplicate'", "rows"),
        ("DELETE FROM row_problem WHERE request_no IS NULL", "rows"),
        ("DELETE FROM source_row WHERE row_no = 2", "rows"),
        ("UPDATE input SET rows_read = rows_read + 1", "rows"),
        ("UPDATE input SET rows_blank = 0", "rows"),
        ("DELETE FROM attempt", "numbers"),
        ("DELETE FROM period WHERE period_no = 2", "names"),
        (
            "INSERT INTO attempt VALUES (99, 1, 1, 'refused', 1, 'server_error', '', 503, NULL, '', '', 0, 0)",
            "attempts",
        ),
    ],
)
def test_a_damaged_ledger_ends_with_exit_code_11_and_names_what_does_not_hold(
    tmp_path: Path, damage: str, broken: str
) -> None:
    accounts = accounts_after(tmp_path, damage)
    assert not accounts.balanced
    assert accounts.exit_code == 11
    assert broken in {identity.name for identity in accounts.identities if not identity.holds}
