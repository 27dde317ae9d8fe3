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
    assert "refused several times" in advice.advise(Outcome.NOT_SENT, None, "quarantined_target")


def test_every_documented_code_and_status_tells_meaning_advice_and_source() -> None:
    assert [entry.code for entry in advice.documented_codes()] == sorted(CODES)
    assert [entry.code for entry in advice.documented_statuses()] == sorted(STATUSES)
    for entry in (*advice.documented_codes(), *advice.documented_statuses()):
        assert entry.meaning
        assert entry.advice.endswith(".")
        assert "capillarytech.com" in entry.source or "our choice, because" in entry.source
    assert set(advice.WHOSE) == set(Speaks)


def test_everything_that_can_be_told_of_an_end_is_explained() -> None:
    for outcome, status, code, reason in itertools.product(
        Outcome, [None, 200, 400, 429, 500, 503, 521], [None, 0, -1, 999999, *CODES], REASONS
    ):
        found = advice.explain(outcome, status, code, reason)
        assert found.meaning.endswith(".")
        assert found.meaning[0].isupper()
        assert found.what_to_do == advice.advise(outcome, code, reason)
        assert found.whose in advice.WHOSE.values()


def test_an_explanation_names_the_code_the_status_or_the_outcome_whichever_stands_for_it() -> None:
    by_code = advice.explain(Outcome.TARGET_NOT_FOUND, 400, 310017, "")
    assert (by_code.whose, by_code.is_retried) == ("the target group", False)
    assert "capillarytech.com" in by_code.source
    by_status = advice.explain(Outcome.RATE_LIMITED, 429, None, "")
    assert (by_status.meaning, by_status.is_retried) == ("Too many calls for this API key.", True)
    assert advice.explain(Outcome.IN_DOUBT, 502, None, "server_fault").meaning.startswith("The API failed")
    by_outcome = advice.explain(Outcome.IN_DOUBT, None, None, "no answer within 30 s")
    assert (by_outcome.meaning, by_outcome.source) == (advice.OUTCOMES[Outcome.IN_DOUBT].meaning, "")
    assert advice.explain(Outcome.VALUE_NOT_APPLIED, 400, 310119, "").meaning.startswith("The customer was enrolled")


def test_an_explanation_says_for_whom_what_was_not_sent_speaks() -> None:
    assert advice.explain(Outcome.NOT_SENT, None, None, "quarantined_target").whose == "the target"
    assert advice.explain(Outcome.NOT_SENT, None, None, StopReason.GUARD).whose == "the whole run"
