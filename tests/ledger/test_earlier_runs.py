from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from batch.ledger import earlier_runs
from batch.ledger.earlier_runs import EarlierLedgers
from batch.ledger.reading import LedgerReader
from batch.model import EarlierRequest
from tests.report.ledgers import SECOND, START, LedgerOfTests

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

URL = "https://eu.api.capillarytech.com"
DAY = 86_400 * SECOND
CUSTOMER = 345651201
TARGET = {"org_id": None, "target_group_id": 29463, "target_id": 5512}


def run_of(
    folder: Path, name: str, outcome: str | None, *, days_ago: int = 1, action: str = "enroll", org: int | None = None,
    period: str = "C1", customer: int = CUSTOMER, attempt: str | None = None, told: tuple[str, str] | None = None,
    **run: object,
) -> Path:  # fmt: skip
    """The ledger of a run with one request, which ended so many days before START."""
    path = folder / f"{name}.sqlite"
    at = START - days_ago * DAY
    ledger = LedgerOfTests(path, **{"run_id": name, "created_at": at, "base_url": URL} | run)
    ledger.scope(action=action, org=org)
    ledger.period(period)
    ledger.input()
    ledger.request(ledger.row(customer), customer, period_no=0 if action == "unenroll" else 1)
    if attempt:
        ledger.attempt(1, 1, attempt, "in_doubt")
        ledger.execute(f"UPDATE attempt SET ended_at = {at}")
    if outcome:
        ledger.outcome(1, outcome, settled_at=at)
    if told:
        ledger.verdict(1, *told, at=at + 1)
    ledger.close()
    return path


def looked_up(folder: Path, paths: Sequence[Path], **options: int) -> EarlierRequest | None:
    """What earlier runs have of CUSTOMER in cycle C1, who is enrolled already by this run's answer."""
    path = folder / "this.sqlite"
    if not path.exists():
        run_of(folder, "this", "already_enrolled", days_ago=0)
    with LedgerReader(path) as reader:
        rows = list(reader.report_rows())
    with EarlierLedgers(paths, URL, options.get("before")) as earlier:
        earlier.expect(1)
        assert earlier.is_complete
        (found,) = earlier.find(rows)
    return found


def test_the_run_whose_ledger_has_the_yes_is_named(tmp_path: Path) -> None:
    paths = [run_of(tmp_path, "april", "enrolled", days_ago=30), run_of(tmp_path, "may", "already_enrolled")]
    assert looked_up(tmp_path, paths) == EarlierRequest("april", is_in_doubt=False)


@pytest.mark.parametrize(("finding", "is_known"), [("cascade", True), ("no_cascade", False), (None, False)])
def test_a_run_that_covered_the_cycle_by_an_earlier_one_is_named(
    tmp_path: Path, finding: str | None, *, is_known: bool
) -> None:
    ledger = LedgerOfTests(tmp_path / "may.sqlite", run_id="may", created_at=START - DAY, base_url=URL)
    ledger.scope()
    ledger.period("C0")
    ledger.period("C1")
    ledger.input()
    row = ledger.row(CUSTOMER)
    ledger.request(row, CUSTOMER, period_no=1)
    ledger.request(row, CUSTOMER, period_no=2)
    ledger.outcome(1, "enrolled", settled_at=START - DAY)
    ledger.outcome(2, "already_enrolled", settled_at=START - DAY + 1)
    for kind in ("cascade", finding) if finding else ():
        ledger.event(kind, "", **TARGET)
    ledger.close()
    found = EarlierRequest("may", is_in_doubt=False) if is_known else None
    assert looked_up(tmp_path, [tmp_path / "may.sqlite"]) == found


@pytest.mark.parametrize(
    ("finding", "audited", "is_known"),
    [("cascade", None, True), ("no_cascade", None, False), ("cascade", "enrolled", True),
     ("cascade", "server_error", True)],
)  # fmt: skip
def test_a_run_that_left_the_cycle_out_is_named_unless_it_turned_out_not_to_be_covered(
    tmp_path: Path, finding: str, audited: str | None, *, is_known: bool
) -> None:
    ledger = LedgerOfTests(tmp_path / "may.sqlite", run_id="may", created_at=START - DAY, base_url=URL)
    ledger.scope()
    ledger.period("C1")
    ledger.input()
    ledger.request(ledger.row(CUSTOMER), CUSTOMER)
    ledger.outcome(1, "covered_by_cascade", attempt=0, settled_at=START - DAY)
    for kind in ("cascade", finding):
        ledger.event(kind, "", **TARGET)
    if audited:
        ledger.verdict(1, audited, "", sample="s")
    ledger.close()
    found = EarlierRequest("may", is_in_doubt=False) if is_known else None
    assert looked_up(tmp_path, [tmp_path / "may.sqlite"]) == found


def test_the_newest_of_several_runs_is_named(tmp_path: Path) -> None:
    paths = [run_of(tmp_path, name, "enrolled", days_ago=days) for name, days in (("a", 9), ("b", 2), ("c", 5))]
    assert looked_up(tmp_path, paths) == EarlierRequest("b", is_in_doubt=False)


@pytest.mark.parametrize("outcome", ["already_enrolled", "invalid_user", "not_sent", "server_error", None])
def test_other_outcomes_prove_nothing(tmp_path: Path, outcome: str | None) -> None:
    assert looked_up(tmp_path, [run_of(tmp_path, "may", outcome)]) is None


@pytest.mark.parametrize(
    "other", [{"period": "C2"}, {"customer": 7}, {"org": 50672}, {"action": "unenroll", "period": "C1"}]
)
def test_another_identity_proves_nothing(tmp_path: Path, other: dict[str, object]) -> None:
    path = run_of(tmp_path, "may", "unenrolled" if "action" in other else "enrolled", **other)  # type: ignore[arg-type]
    assert looked_up(tmp_path, [path]) is None


def test_what_was_in_doubt_may_have_been_ours(tmp_path: Path) -> None:
    assert looked_up(tmp_path, [run_of(tmp_path, "may", "in_doubt")]) == EarlierRequest("may", is_in_doubt=True)


def test_an_attempt_of_a_run_that_died_may_have_been_ours(tmp_path: Path) -> None:
    path = run_of(tmp_path, "may", None, attempt="may_be_applied")
    assert looked_up(tmp_path, [path]) == EarlierRequest("may", is_in_doubt=True)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (("enrolled", "confirmed_by_api"), EarlierRequest("may", is_in_doubt=False)),
        (("server_error", "refuted_by_api"), None),
    ],
)
def test_what_a_later_look_said_ends_the_doubt(
    tmp_path: Path, told: tuple[str, str], expected: EarlierRequest | None
) -> None:
    path = run_of(tmp_path, "may", "in_doubt", told=told)
    assert looked_up(tmp_path, [path]) == expected


def test_an_attempt_whose_request_was_settled_later_is_no_doubt(tmp_path: Path) -> None:
    assert looked_up(tmp_path, [run_of(tmp_path, "may", "invalid_user", attempt="may_be_applied")]) is None


def test_an_unenroll_of_ours_undoes_what_came_before_it(tmp_path: Path) -> None:
    enrolled = run_of(tmp_path, "april", "enrolled", days_ago=9)
    unenrolled = run_of(tmp_path, "may", "unenrolled", days_ago=5, action="unenroll")
    assert looked_up(tmp_path, [enrolled, unenrolled]) is None
    again = run_of(tmp_path, "june", "enrolled", days_ago=2)
    assert looked_up(tmp_path, [enrolled, unenrolled, again]) == EarlierRequest("june", is_in_doubt=False)


def test_what_came_after_our_answer_was_not_earlier(tmp_path: Path) -> None:
    assert looked_up(tmp_path, [run_of(tmp_path, "later", "enrolled", days_ago=-1)]) is None
    path = run_of(tmp_path, "made-later", "enrolled", days_ago=1)
    assert looked_up(tmp_path, [path], before=START - 2 * DAY) is None


def test_ledgers_that_say_nothing_to_us_are_passed_over(tmp_path: Path) -> None:
    us = "https://us.api.capillarytech.com"
    paths = [
        run_of(tmp_path, "other-api", "enrolled", base_url=us),
        run_of(tmp_path, "other-api-and-version", "enrolled", base_url=us, schema_version=99),
        run_of(tmp_path, "only-planned", "enrolled", started_at=None),
    ]
    assert looked_up(tmp_path, paths) is None


def damaged(folder: Path) -> Path:
    (folder / "broken.sqlite").write_bytes(b"no ledger" * 100)
    return folder / "broken.sqlite"


@pytest.mark.parametrize(
    "path_of",
    [
        damaged,
        lambda folder: run_of(folder, "may", "enrolled", schema_version=99),
        lambda folder: folder / "gone.sqlite",
    ],
)
def test_a_ledger_that_cannot_be_read_may_have_had_the_answer(tmp_path: Path, path_of: Callable[[Path], Path]) -> None:
    with EarlierLedgers([path_of(tmp_path)], URL, None) as earlier:
        earlier.expect(1)
        assert not earlier.is_complete
    assert not (tmp_path / "gone.sqlite").exists()


def test_a_ledger_that_turns_out_to_be_damaged_may_have_had_the_answer(tmp_path: Path) -> None:
    path = run_of(tmp_path, "may", "enrolled")
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE verdict")
    connection.close()
    run_of(tmp_path, "this", "already_enrolled", days_ago=0)
    with LedgerReader(tmp_path / "this.sqlite") as reader, EarlierLedgers([path], URL, None) as earlier:
        earlier.expect(1)
        assert earlier.is_complete
        assert earlier.find(list(reader.report_rows())) == [None]
        assert not earlier.is_complete


def test_looking_changes_nothing(tmp_path: Path) -> None:
    path = run_of(tmp_path, "may", "enrolled")
    before = path.read_bytes()
    assert looked_up(tmp_path, [path])
    assert path.read_bytes() == before
    assert {found.name for found in tmp_path.iterdir()} == {"may.sqlite", "this.sqlite"}


def test_many_look_ups_are_made_in_the_newest_runs_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earlier_runs, "LOOK_UPS", 10)
    paths = [run_of(tmp_path, f"run-{days}", "enrolled", days_ago=days) for days in (1, 2, 3)]
    with EarlierLedgers(paths, URL, None) as earlier:
        earlier.expect(5)
        assert [run_id for run_id, _ in earlier._open] == ["run-1", "run-2"]
        assert not earlier.is_complete


def test_no_ledger_is_opened_when_nothing_is_to_be_looked_up(tmp_path: Path) -> None:
    with EarlierLedgers([run_of(tmp_path, "may", "enrolled")], URL, None) as earlier:
        earlier.expect(0)
        assert earlier.find([]) == []
        assert not earlier._open
