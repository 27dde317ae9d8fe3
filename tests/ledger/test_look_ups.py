"""Whom identifiers name, as the ledger keeps it."""

from __future__ import annotations

from pathlib import Path

from batch.ledger.events import read_events
from batch.ledger.look_ups import LookedUp, LookUpCounts, LookUpLedger
from batch.ledger.planning import first_requests, plan_totals
from batch.ledger.reading import LedgerReader
from batch.ledger.sending import SendingLedger
from batch.ledger.sqlite import LEDGER_NAME
from batch.model import EnrollmentRequest, Event, Outcome, Verdict
from tests.ledger.ledgers import SCOPE, enroll, planned, write

NOBODY = Verdict(
    Outcome.INVALID_USER, settled=True, http_status=400, error_code=8015, error_message="Customer not found",
    api_request_id="a1",
)  # fmt: skip
FOUND = Verdict(Outcome.ENROLLED, settled=True, http_status=200)


def named(identifier: str, period: str = "c1", balance: int | None = None) -> EnrollmentRequest:
    return EnrollmentRequest(SCOPE, identifier, period, balance)


def test_each_identifier_is_collected_once_in_the_order_of_the_upload(tmp_path: Path) -> None:
    rows = [[named("mobile:2")], [enroll(5)], [named("mobile:1"), named("mobile:1", "c2")], [named("mobile:2")]]
    with planned(tmp_path, rows) as ledger:
        look_ups = LookUpLedger(ledger)
        assert look_ups.collect() == 2
        assert look_ups.collect() == 2
        assert look_ups.next_open(0, 10) == [(1, "mobile:2"), (2, "mobile:1")]
        assert look_ups.next_open(1, 10) == [(2, "mobile:1")]


def test_what_was_answered_is_not_open_any_more_and_calls_are_counted(tmp_path: Path) -> None:
    rows = [[named(f"mobile:{number}")] for number in (1, 2, 3)]
    with planned(tmp_path, rows) as ledger:
        look_ups = LookUpLedger(ledger)
        look_ups.collect()
        look_ups.write([LookedUp(1, 7, FOUND), LookedUp(2, None, None)], [Event(1, "hold", "1 s", {"held_s": 1.0})], 9)
        look_ups.write([LookedUp(2, None, NOBODY)], [], 10)
        assert look_ups.counts() == LookUpCounts(identifiers=3, found=1, open=1)
        assert [look_ups.customer_of(f"mobile:{number}") for number in (1, 2, 3, 4)] == [7, None, None, None]
        assert ledger.read("SELECT calls FROM lookup ORDER BY lookup_no") == [(1,), (2,), (0,)]
        assert read_events(ledger.read) == (Event(1, "hold", "1 s", {"held_s": 1.0}),)


def test_what_an_earlier_run_has_found_is_not_asked_again(tmp_path: Path) -> None:
    with planned(tmp_path, [[named("mobile:1")], [named("mobile:2")]]) as ledger:
        look_ups = LookUpLedger(ledger)
        look_ups.take_over([("mobile:1", 7), ("mobile:9", 8)])
        assert look_ups.collect() == 1
        assert [identifier for _, identifier in look_ups.next_open(0, 10)] == ["mobile:2"]


def test_who_was_not_found_is_settled_by_the_plan_and_never_claimed(tmp_path: Path) -> None:
    rows = [
        [named("mobile:1"), named("mobile:1", "c2")],
        [enroll(5)],
        [named("mobile:2")],
        [named("mobile:2", "c1", 5)],
    ]
    with planned(tmp_path / "first", rows) as ledger:
        look_ups = LookUpLedger(ledger)
        look_ups.collect()
        answers = [LookedUp(number, None, NOBODY) for number in (1, 2)]
        look_ups.write(answers, [], 9)
        kept = ledger.read("SELECT * FROM lookup")
    with planned(tmp_path / "empty", []) as second:
        with second.transaction() as connection:
            connection.executemany(f"INSERT INTO lookup VALUES ({', '.join('?' * len(kept[0]))})", kept)
        write(second, rows)
        assert plan_totals(second).unique == 3
        assert [request.customer for request in first_requests(second, 5)] == [5]
        sending = SendingLedger(second, "me")
        chunk = sending.claim_chunk()
        assert chunk is not None
        assert [item.request.customer for item in sending.open_requests(chunk)] == [5]
        assert sending.claim_chunk() is None
        assert sending.open_count() == 1
        assert sending.canary(1) == (frozenset({5}), 1)
    with LedgerReader(tmp_path / "empty" / LEDGER_NAME) as reader:
        tallies = reader.tallies()
        rows_of = list(reader.report_rows(frozenset({Outcome.INVALID_USER})))
    assert (tallies.outcomes[Outcome.INVALID_USER], tallies.attempts, tallies.unsettled, tallies.look_ups) == (
        2,
        0,
        1,
        2,
    )
    assert {(row.request.customer, row.attempts, row.error_code, row.reason) for row in rows_of} == {
        ("mobile:1", 0, 8015, "look_up")
    }
