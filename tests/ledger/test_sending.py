from __future__ import annotations

from pathlib import Path

import pytest

from batch.errors import LedgerFailed
from batch.ledger.sending import SendingLedger
from batch.ledger.sqlite import open_ledger
from batch.model import Chunk, Entries, Event, Intent, OpenRequest, Outcome, Result, Tells, Verdict
from tests.ledger.ledgers import enroll, planned

ENROLLED = Verdict(Outcome.ENROLLED, settled=True, http_status=200)
BUSY = Verdict(Outcome.SERVER_ERROR, settled=False, tells=Tells.REFUSED)
LOST = Verdict(Outcome.IN_DOUBT, settled=False, tells=Tells.MAY_BE_APPLIED)
WITHDRAWN = Verdict(Outcome.NOT_SENT, settled=False, tells=Tells.WITHDRAWN, counts=False)


def result(item: OpenRequest, verdict: Verdict) -> Result:
    return Result(item.request_no, item.chunk.fence, item.attempts + 1, verdict, verdict.settled, 5, 6)


def begin(sender: SendingLedger) -> tuple[Chunk, list[OpenRequest]]:
    chunk = sender.claim_chunk()
    assert chunk is not None
    items = sender.open_requests(chunk)
    sender.write(Entries(intents=[Intent(chunk, tuple((i.request_no, i.attempts + 1) for i in items))]), 1)
    return chunk, items


def resumed(folder: Path) -> tuple[int, dict[int, OpenRequest]]:
    """What a new sender finds after the old one died."""
    with open_ledger(folder) as ledger:
        sender = SendingLedger(ledger, "new")
        doubtful = sender.take_over(99)
        chunk = sender.claim_chunk()
        assert chunk is not None
        return doubtful, {item.request_no: item for item in sender.open_requests(chunk)}


def test_open_requests_come_lane_by_lane_with_all_they_carry(tmp_path: Path) -> None:
    with planned(tmp_path, [[enroll(9, "c1", 0), enroll(9, "c2")], [enroll(5, None)], [enroll(9, "c0")]]) as ledger:
        sender = SendingLedger(ledger, "me")
        _, items = begin(sender)
    asked = [(i.request.customer, i.request.period, i.request.initial_balance) for i in items]
    assert asked == [(9, "c1", 0), (9, "c2", None), (9, "c0", None), (5, None, None)]


def test_a_chunk_is_claimed_once(tmp_path: Path) -> None:
    with planned(tmp_path, [[enroll(1)]]) as ledger:
        sender = SendingLedger(ledger, "me")
        assert sender.claim_chunk() == Chunk(1, 1)
        assert sender.claim_chunk() is None


def test_whoever_lost_a_chunk_can_write_no_intent_for_it(tmp_path: Path) -> None:
    with planned(tmp_path, [[enroll(1)]]) as ledger:
        old = SendingLedger(ledger, "old")
        chunk, items = begin(old)
        new = SendingLedger(ledger, "new")
        new.take_over(2)
        assert new.claim_chunk() == Chunk(1, 2)
        with pytest.raises(LedgerFailed, match="taken by another sender"):
            old.write(Entries(intents=[Intent(chunk, ((1, 2),))], results=[result(items[0], ENROLLED)]), 3)
        assert ledger.read("SELECT count(*) FROM outcome") == [(0,)]


def test_a_late_true_answer_is_kept_beside_the_new_one(tmp_path: Path) -> None:
    with planned(tmp_path, [[enroll(1)]]) as ledger:
        old = SendingLedger(ledger, "old")
        _, items = begin(old)
        new = SendingLedger(ledger, "new")
        new.take_over(2)
        _, again = begin(new)
        new.write(Entries(results=[result(again[0], ENROLLED)]), 4)
        old.write(Entries(results=[result(items[0], ENROLLED)]), 5)
        assert ledger.read("SELECT fence FROM outcome ORDER BY 1") == [(1,), (2,)]
        assert new.open_count() == 0


def test_what_left_without_a_recorded_answer_is_in_doubt_after_a_death_and_nothing_else(tmp_path: Path) -> None:
    with planned(tmp_path, [[enroll(customer)] for customer in range(1, 7)]) as ledger:
        sender = SendingLedger(ledger, "old")
        chunk = sender.claim_chunk()
        assert chunk is not None
        items = sender.open_requests(chunk)
        sender.write(Entries(intents=[Intent(chunk, tuple((i.request_no, 1) for i in items[:5]))]), 1)
        answered = [
            result(items[0], ENROLLED),
            result(items[1], BUSY),
            result(items[2], LOST),
            result(items[3], WITHDRAWN),
        ]
        sender.write(Entries(results=answered), 2)
    doubtful, found = resumed(tmp_path)
    assert doubtful == 1
    assert {no: item.maybe_applied for no, item in found.items()} == {2: False, 3: True, 4: False, 5: True, 6: False}
    assert {no: item.attempts for no, item in found.items()} == {2: 1, 3: 1, 4: 0, 5: 1, 6: 0}


def test_an_intent_withdrawn_before_and_cut_off_now_is_in_doubt(tmp_path: Path) -> None:
    with planned(tmp_path, [[enroll(1)]]) as ledger:
        sender = SendingLedger(ledger, "old")
        _, items = begin(sender)
        sender.write(Entries(results=[result(items[0], WITHDRAWN)]), 2)
        sender.take_over(3)
        begin(sender)
    doubtful, found = resumed(tmp_path)
    assert doubtful == 1
    assert found[1].maybe_applied


def test_a_finished_chunk_is_not_claimed_again(tmp_path: Path) -> None:
    with planned(tmp_path, [[enroll(1)]]) as ledger:
        sender = SendingLedger(ledger, "me")
        chunk, items = begin(sender)
        sender.write(Entries(results=[result(items[0], ENROLLED)], finished_chunks=[chunk]), 2)
        sender.take_over(3)
        assert sender.claim_chunk() is None


def test_a_write_is_all_or_nothing(tmp_path: Path) -> None:
    with planned(tmp_path, [[enroll(1)]]) as ledger:
        sender = SendingLedger(ledger, "me")
        _, items = begin(sender)
        twice = [result(items[0], ENROLLED)] * 2
        with pytest.raises(LedgerFailed):
            sender.write(Entries(results=twice, events=[Event(1, "hold", "x")]), 2)
        assert ledger.read("SELECT count(*) FROM outcome") == [(0,)]
        assert ledger.read("SELECT count(*) FROM event") == [(0,)]


def test_a_full_disk_is_one_clear_line_and_writes_nothing(tmp_path: Path) -> None:
    with planned(tmp_path, [[enroll(1)]]) as ledger:
        sender = SendingLedger(ledger, "me")
        _, items = begin(sender)
        (pages,) = ledger.read("PRAGMA page_count")[0]
        ledger.connection.execute(f"PRAGMA max_page_count = {pages}")
        events = [Event(1, "hold", "x" * 10_000)]
        with pytest.raises(LedgerFailed, match=r"full; nothing more is sent"):
            sender.write(Entries(results=[result(items[0], ENROLLED)], events=events), 2)
        assert sender.open_count() == 1
