"""The words beside every outcome and code."""

from __future__ import annotations

import itertools

from batch.capillary import advice
from batch.capillary.codes import Reason
from batch.capillary.registry import CODES, STATUSES
from batch.model import GROUP_OF, Group, Outcome, Speaks, StopReason

REASONS = ["", *Reason, "confirmed_by_api", *StopReason, "quarantine", "deadline", "no answer within 30 s"]


def test_every_outcome_has_a_meaning_an_advice_and_its_group() -> None:
    assert list(advice.OUTCOMES) == list(Outcome)
    for outcome, note in advice.OUTCOMES.items():
        assert note.group is GROUP_OF[outcome]
        assert note.meaning.endswith(".")
        assert note.advice.endswith(".")


def test_every_outcome_code_and_reason_gets_one_or_two_sentences() -> None:
    for outcome, code, reason in itertools.product(Outcome, [None, 0, -1, 999999, *CODES], REASONS):
        text = advice.advise(outcome, code, reason)
        assert text.endswith(".")
        assert text.isprintable()
        assert len(text) < 200


def test_what_is_done_needs_nothing() -> None:
    for outcome in Outcome:
        if GROUP_OF[outcome] is Group.DONE:
            assert advice.advise(outcome, None, "") == "Nothing to do."


def test_the_code_says_more_than_the_outcome_only_where_it_stands_for_it() -> None:
    assert "auth.key" in advice.advise(Outcome.ACCESS_REFUSED, 320001, "")
    assert advice.advise(Outcome.IN_DOUBT, 320001, "") == advice.OUTCOMES[Outcome.IN_DOUBT].advice


def test_the_reason_says_more_than_both() -> None:
    assert "balance or reset" in advice.advise(Outcome.IN_DOUBT, 310119, Reason.ENROLLED_VALUE_UNKNOWN)
    assert "refused several times" in advice.advise(Outcome.NOT_SENT, None, "quarantine")


def test_every_documented_code_and_status_tells_meaning_advice_and_source() -> None:
    assert [entry.code for entry in advice.documented_codes()] == sorted(CODES)
    assert [entry.code for entry in advice.documented_statuses()] == sorted(STATUSES)
    for entry in (*advice.documented_codes(), *advice.documented_statuses()):
        assert entry.meaning
        assert entry.advice.endswith(".")
        assert "capillarytech.com" in entry.source or "our choice, because" in entry.source
    assert set(advice.WHOSE) == set(Speaks)
