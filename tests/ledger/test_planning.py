from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.errors import LedgerFailed, UsageError
from batch.ledger import planning
from batch.ledger.planning import plan_totals
from batch.ledger.sqlite import create_ledger, open_ledger
from batch.model import EnrollmentRequest, Problem, RowProblem, State
from tests.ledger.ledgers import NEW_RUN, enroll, planned

BAD_CELL = RowProblem("customer_id", "x", Problem.NOT_A_WHOLE_NUMBER, "write digits")


def kinds(folder: Path, rows: list[list[EnrollmentRequest]]) -> list[tuple[int, str, int | None]]:
    with planned(folder, rows) as ledger:
        return ledger.read("SELECT row_no, problem, request_no FROM row_problem ORDER BY row_no, problem_no")


def test_an_exact_repeat_is_a_duplicate_of_the_first(tmp_path: Path) -> None:
    assert kinds(tmp_path, [[enroll(1, "c1", 5)], [enroll(2)], [enroll(1, "c1", 5)]]) == [(3, "duplicate", 1)]


def test_another_balance_contradicts_every_occurrence(tmp_path: Path) -> None:
    rows = [[enroll(1, "c1", 5)], [enroll(1, "c1", 5)], [enroll(1, "c1", None)], [enroll(1, "c2")]]
    with planned(tmp_path, rows) as ledger:
        problems = ledger.read("SELECT row_no, problem FROM row_problem ORDER BY row_no")
        assert problems == [(1, "contradiction"), (2, "contradiction"), (3, "contradiction")]
        totals = plan_totals(ledger)
        assert (totals.expanded, totals.unique, totals.duplicates, totals.contradicted) == (4, 1, 0, 3)
        assert totals.rows_planned == 4
        assert ledger.read("SELECT sum(request_count) FROM chunk") == [(1,)]


def test_none_and_zero_are_different_balances(tmp_path: Path) -> None:
    assert [kind for _, kind, _ in kinds(tmp_path, [[enroll(1, "c1", 0)], [enroll(1, "c1")]])] == ["contradiction"] * 2


def test_a_repeat_is_found_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "BATCH_ROWS", 2)
    rows = [[enroll(customer)] for customer in (1, 2, 3, 4, 1, 3)]
    assert kinds(tmp_path, rows) == [(5, "duplicate", 1), (6, "duplicate", 3)]


def test_a_row_with_a_problem_is_counted_once_and_expands_into_nothing(tmp_path: Path) -> None:
    with planned(tmp_path, [[enroll(1)], []], [BAD_CELL, BAD_CELL]) as ledger:
        totals = plan_totals(ledger)
    assert (totals.rows_read, totals.rows_with_problems, totals.rows_planned) == (2, 1, 1)


def test_a_customers_requests_stay_in_one_chunk_in_the_order_of_the_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "CHUNK_REQUESTS", 4)
    rows = [[enroll(9, "c2"), enroll(9, "c1")], [enroll(5)], [enroll(7)], [enroll(9, "c3")], [enroll(1)]]
    with planned(tmp_path, rows) as ledger:
        assert ledger.read("SELECT chunk_no, customer FROM lane ORDER BY lane_no") == [(1, 9), (1, 5), (2, 7), (2, 1)]
        assert ledger.read("SELECT chunk_no, request_count FROM chunk ORDER BY 1") == [(1, 4), (2, 2)]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["c1", "c2"]), st.sampled_from([None, 0, 1])), max_size=30)
)
def test_expanded_requests_always_balance(asked: list[tuple[int, str, int | None]]) -> None:
    """Fails when the first occurrence of a contradiction is not counted, or a duplicate of it stays a duplicate."""
    with tempfile.TemporaryDirectory() as name, planned(Path(name), [[enroll(*each)] for each in asked]) as ledger:
        totals = plan_totals(ledger)
    by_key: dict[tuple[int, str], set[int | None]] = {}
    for customer, period, balance in asked:
        by_key.setdefault((customer, period), set()).add(balance)
    contradicted = {key for key, balances in by_key.items() if len(balances) > 1}
    assert totals.expanded == len(asked)
    assert totals.unique == len(by_key) - len(contradicted)
    assert totals.contradicted == sum((customer, period) in contradicted for customer, period, _ in asked)


def test_a_folder_that_holds_a_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    planned(tmp_path, [[enroll(1)]]).close()
    before = (tmp_path / "ledger.sqlite").read_bytes()
    with pytest.raises(UsageError, match="holds a run already"):
        create_ledger(tmp_path, NEW_RUN)
    assert (tmp_path / "ledger.sqlite").read_bytes() == before


def test_a_ledger_appears_only_with_its_run_row(tmp_path: Path) -> None:
    with create_ledger(tmp_path, NEW_RUN) as ledger:
        assert ledger.state is State.PLANNING
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.sqlite"]


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        create_ledger(tmp_path / "file" / "run", NEW_RUN)


def test_a_ledger_of_another_version_is_refused_by_name(tmp_path: Path) -> None:
    with create_ledger(tmp_path, NEW_RUN) as ledger:
        ledger.update_run(schema_version=99)
    with pytest.raises(UsageError, match="ledger version 99"):
        open_ledger(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough to be read as one" * 50])
def test_a_damaged_ledger_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(content)
    with pytest.raises(LedgerFailed, match=r"ledger\.sqlite"):
        open_ledger(tmp_path)


def test_a_plan_that_was_begun_before_is_made_anew(tmp_path: Path) -> None:
    with planned(tmp_path, [[enroll(1)], [enroll(2)]]) as ledger:
        writer = planning.PlanWriter(ledger)
        writer.begin_input("in.csv", "00", sheet=None, columns=["customer_id"], roles={}, remarks=[])
        writer.end_input(0, 0)
        assert writer.finish().unique == 0
