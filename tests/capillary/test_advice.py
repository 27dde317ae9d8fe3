"""The words beside every outcome and code."""

from __future__ import annotations

import itertools

from batch.capillary import advice
from batch.capillary.advice import ADVICE, Advisor
from batch.capillary.codes import Reason
from batch.capillary.registry import CODES, LOOK_UP_CODES, STATUSES
from batch.model import GROUP_OF, Group, Outcome, Speaks, StopReason

REASONS = [
    "", *Reason, "confirmed_by_api", *StopReason, "quarantined_period", "quarantined_target", "quarantined_group",
    "own_attempt", "no answer within 30 s", "not_covered",
]  # fmt: skip


NAMES = frozenset({"period_name", "target_id", "org_id"})
FINISHED, STOPPED = ADVICE.knowing(is_finished=True, is_balanced=True, columns=()), Advisor(is_finished=False)
ADVISORS = [
    ADVICE,
    *(
        ADVICE.knowing(is_finished=is_finished, is_balanced=is_balanced, columns=columns)
        for is_finished, is_balanced, columns in itertools.product([True, False], [True, False], [NAMES, ()])
    ),
]


def test_every_outcome_has_a_meaning_an_advice_and_its_group() -> None:
    assert list(advice.OUTCOMES) == list(Outcome)
    for outcome, note in advice.OUTCOMES.items():
        assert note.group is GROUP_OF[outcome]
        assert note.meaning.endswith(".")
        assert note.advice.endswith(".")


def test_every_outcome_code_and_reason_gets_one_or_two_sentences() -> None:
    for outcome, code, reason in itertools.product(Outcome, [None, 0, -1, 999999, *CODES, *LOOK_UP_CODES], REASONS):
        for advisor in ADVISORS:
            text = advisor.advise(outcome, code, reason)
            assert text.endswith(".")
            assert text.isprintable()
            assert not set(text) & set("{}`")
            assert "own_attempt" not in text
            assert "provenance" not in text
            assert len(text) < 240


def test_what_is_done_needs_nothing() -> None:
    for outcome in Outcome:
        if GROUP_OF[outcome] is Group.DONE:
            assert ADVICE.advise(outcome, None, "") == "Nothing to do."


def test_the_code_says_more_than_the_outcome_only_where_it_stands_for_it() -> None:
    assert "auth.key" in ADVICE.advise(Outcome.ACCESS_REFUSED, 320001, "")
    assert ADVICE.advise(Outcome.IN_DOUBT, 320001, "") == advice.OUTCOMES[Outcome.IN_DOUBT].advice


def test_the_reason_says_more_than_both() -> None:
    assert "balance or reset" in ADVICE.advise(Outcome.IN_DOUBT, 310119, Reason.ENROLLED_VALUE_UNKNOWN)
    assert "refused several times" in ADVICE.advise(Outcome.NOT_SENT, None, "quarantined_target")


def test_every_documented_code_and_status_tells_meaning_advice_and_source() -> None:
    assert [entry.code for entry in advice.documented_codes()] == sorted({*CODES, *LOOK_UP_CODES})
    assert [entry.code for entry in advice.documented_statuses()] == sorted(STATUSES)
    for entry in (*advice.documented_codes(), *advice.documented_statuses()):
        assert entry.meaning
        assert entry.advice.endswith(".")
        assert "capillarytech.com" in entry.source or "our choice, because" in entry.source
    assert set(advice.WHOSE) == set(Speaks)
    assert not CODES.keys() & LOOK_UP_CODES.keys()


def test_everything_that_can_be_told_of_an_end_is_explained() -> None:
    for outcome, status, code, reason in itertools.product(
        Outcome, [None, 200, 400, 429, 500, 503, 521], [None, 0, -1, 999999, *CODES, *LOOK_UP_CODES], REASONS
    ):
        found = ADVICE.explain(outcome, status, code, reason)
        assert found.meaning.endswith(".")
        assert found.meaning[0].isupper()
        assert found.what_to_do == ADVICE.advise(outcome, code, reason)
        assert found.whose in advice.WHOSE.values()


def test_an_explanation_names_the_code_the_status_or_the_outcome_whichever_stands_for_it() -> None:
    by_code = ADVICE.explain(Outcome.TARGET_NOT_FOUND, 400, 310017, "")
    assert (by_code.whose, by_code.is_retried) == ("the target group", False)
    assert "capillarytech.com" in by_code.source
    by_status = ADVICE.explain(Outcome.RATE_LIMITED, 429, None, "")
    assert (by_status.meaning, by_status.is_retried) == ("Too many calls for this API key.", True)
    assert ADVICE.explain(Outcome.IN_DOUBT, 502, None, "server_fault").meaning.startswith("The API failed")
    by_outcome = ADVICE.explain(Outcome.IN_DOUBT, None, None, "no answer within 30 s")
    assert (by_outcome.meaning, by_outcome.source) == (advice.OUTCOMES[Outcome.IN_DOUBT].meaning, "")
    assert ADVICE.explain(Outcome.VALUE_NOT_APPLIED, 400, 310119, "").meaning.startswith("The customer was enrolled")


def test_an_explanation_says_for_whom_what_was_not_sent_speaks() -> None:
    assert ADVICE.explain(Outcome.NOT_SENT, None, None, "quarantined_target").whose == "the target"
    assert ADVICE.explain(Outcome.NOT_SENT, None, None, StopReason.GUARD).whose == "the whole run"


def test_what_was_left_out_as_covered_is_rerun_and_no_resume_takes_it_up() -> None:
    reason = Outcome.NOT_SENT, None, "not_covered"
    assert FINISHED.advise(*reason).endswith("after all: rerun the run.")
    assert STOPPED.advise(*reason).endswith("after all: resume the run, and when it is finished, rerun it.")
    assert ADVICE.advise(*reason).endswith("after all: when the run is finished, rerun it.")
    explained = ADVICE.explain(Outcome.NOT_SENT, None, None, "not_covered")
    assert "was taken back later" in explained.meaning
    assert explained.whose == "this request"


def test_a_finished_run_is_never_resumed_and_an_unfinished_one_not_rerun_at_once() -> None:
    for outcome, code, reason in itertools.product(Outcome, [None, *CODES, *LOOK_UP_CODES], REASONS):
        assert "resume" not in FINISHED.advise(outcome, code, reason).lower()
        told = STOPPED.advise(outcome, code, reason).lower()
        assert "rerun" not in told or told.index("rerun") > told.find("resume") >= 0 or "--also" in told
        assert "verify" not in told or told.index("verify") > told.find("resume") >= 0


def test_what_was_settled_before_a_run_stopped_is_rerun_after_the_resume() -> None:
    for outcome in (Outcome.SCOPE_REFUSED, Outcome.ACCESS_REFUSED, Outcome.SERVER_ERROR):
        told = STOPPED.advise(outcome, None, "").lower()
        assert "resume the run" in told
        assert "then rerun it if this stays so" in told
    assert "rerun" not in STOPPED.advise(Outcome.NOT_SENT, None, StopReason.REFUSED)


def test_what_an_upload_with_too_many_problems_left_unsent_is_not_resumed() -> None:
    told = STOPPED.advise(Outcome.NOT_SENT, None, StopReason.INPUT)
    assert "resume" not in told.lower()
    assert "run it whole" in told


def test_what_stood_in_a_column_is_mended_in_the_file_and_not_in_the_config() -> None:
    by_column = ADVICE.knowing(is_finished=True, is_balanced=True, columns={"period_name"})
    for outcome, code, reason in [
        (Outcome.PERIOD_NOT_FOUND, None, ""),
        (Outcome.PERIOD_NOT_FOUND, 310019, ""),
        (Outcome.NOT_SENT, None, "quarantined_period"),
        (Outcome.NOT_SENT, None, ""),
    ]:
        assert "correct period_name in failed.csv" in by_column.advise(outcome, code, reason).lower()
        assert "config" not in by_column.advise(outcome, code, reason)
        assert "rerun with the corrected config" in FINISHED.advise(outcome, code, reason).lower()
    assert "config" in by_column.advise(Outcome.TARGET_NOT_FOUND, 310018, "")


def test_nothing_is_sent_again_while_the_accounts_do_not_balance() -> None:
    broken = ADVICE.knowing(is_finished=True, is_balanced=False, columns=())
    for outcome, code in itertools.product(Outcome, [None, *CODES]):
        told = broken.advise(outcome, code, "")
        assert "send nothing again" in told if GROUP_OF[outcome] is not Group.DONE else told == "Nothing to do."


def test_nobody_is_told_to_unenroll_whom_an_attempt_of_ours_has_probably_enrolled() -> None:
    assert "unenroll the customer" in ADVICE.advise(Outcome.VALUE_NOT_APPLIED, 310119, "")
    for perhaps_ours in ("own_attempt", "unknown"):
        assert "Do not unenroll" in ADVICE.advise(Outcome.VALUE_NOT_APPLIED, 310119, perhaps_ours)
    for by_others in ("before_us", "earlier_run", "before_us_or_cascade"):
        told = ADVICE.advise(Outcome.VALUE_NOT_APPLIED, 310119, by_others)
        assert "was not set. Leave it, or unenroll the customer" in told
    assert ADVICE.advise(Outcome.ALREADY_ENROLLED, 310119, "") == "Nothing to do."
