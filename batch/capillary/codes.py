"""Step 3 of 5: decide what an answer, or its absence, means for one request.

Owns the order of proof: the body decides, then the status; and once an attempt may have been applied, only success,
"already enrolled" or a refusal of the record itself settles the request. The meaning of each code stands in
`registry`. Pure: no clock, no socket, and never an exception, whatever the server sent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from batch.capillary.envelope import ApiError, Envelope, clean, is_customer, raw_text, read_envelope
from batch.capillary.limits import hold_seconds, is_used_up, reset_seconds, told_time
from batch.capillary.registry import CODES, SERVER_FAULT, STATUSES, UNDOCUMENTED, Code
from batch.model import Action, EnrollmentRequest, NoAnswer, Outcome, Reply, Speaks, Tells, Verdict

ALREADY_ENROLLED: Final = 310119
_WIDTH: Final = {Speaks.REQUEST: 0, Speaks.PERIOD: 1, Speaks.TARGET: 2, Speaks.GROUP: 3, Speaks.RUN: 4}


class Reason(StrEnum):
    """Why an outcome is what it is, where the outcome alone does not say it.

    After an attempt without an answer the reason is the client's line about it instead.
    """

    WITH_WARNINGS = "with_warnings"
    CONFIRMED_BY_RETRY = "confirmed_by_retry"
    ENROLLED_VALUE_UNKNOWN = "enrolled_value_unknown"
    SERVER_FAULT = "server_fault"
    UNREADABLE_ANSWER = "unreadable_answer"
    ANOTHER_CUSTOMER = "another_customer"
    EARLIER_ATTEMPT_UNKNOWN = "earlier_attempt_unknown"


@dataclass(frozen=True, slots=True)
class _Finding:
    """What one answer says by itself, before earlier attempts are considered."""

    entry: Code
    error: ApiError
    reason: str = ""


def judge(
    request: EnrollmentRequest, answer: Reply | NoAnswer, *, maybe_applied: bool, can_renew: bool, now_s: float
) -> Verdict:
    """Return what `answer` means for `request`. Never raises.

    `maybe_applied`: an earlier attempt of ours may have been applied. `can_renew`: a token renewal is still possible
    for this request. `now_s`: seconds since 1970, for a Retry-After that is a date.

    A verdict that is not settled is worth another attempt; its outcome says how the request stands without one. An
    attempt that may have been applied settles an unenroll, a balance or a reset as in doubt, because a second
    accepted call might do more than the first. `speaks` is about refusals that would be repeated; that the server
    asks everybody to wait is `counts=False` and `hold_s`.
    """
    if isinstance(answer, NoAnswer):
        return _judge_silence(request, answer, maybe_applied=maybe_applied)
    verdict = _judge_reply(request, answer, maybe_applied=maybe_applied, can_renew=can_renew, now_s=now_s)
    return replace(verdict, at_limit=True) if is_used_up(answer.headers) else verdict


def _judge_reply(
    request: EnrollmentRequest, answer: Reply, *, maybe_applied: bool, can_renew: bool, now_s: float
) -> Verdict:
    envelope = read_envelope(answer.body) if answer.complete else None
    api_request_id = clean(answer.headers.get("x-cap-requestid", ""))
    if _is_success(request, answer.status, envelope):
        return Verdict(
            Outcome.ENROLLED if request.scope.action is Action.ENROLL else Outcome.UNENROLLED,
            settled=True,
            reason=Reason.WITH_WARNINGS if envelope and envelope.warnings else "",
            http_status=answer.status,
            error_message=envelope.warnings if envelope else "",
            api_request_id=api_request_id,
        )
    finding = _find(request, answer, envelope)
    entry = finding.entry
    renew = entry.renews and can_renew
    outcome, reason = _outcome(request, finding, maybe_applied=maybe_applied)
    retry_after = answer.headers.get("retry-after")
    return Verdict(
        outcome,
        settled=not (renew or _is_worth_resending(request, entry)),
        reason=reason,
        tells=entry.tells,
        speaks=entry.speaks,
        http_status=answer.status,
        error_code=finding.error.code,
        error_message=finding.error.message,
        api_request_id=api_request_id,
        counts=not (renew or _waits(entry, answer.status, envelope, retry_after)),
        hold_s=_hold_s(answer, now_s) if entry.retry else None,
        renew_token=renew,
    )


def _hold_s(answer: Reply, now_s: float) -> float | None:
    """Return how long the answer asks everybody to wait; without a Retry-After a 429 may tell when its limit resets."""
    now_s = told_time(answer.headers, now_s)
    asked = hold_seconds(answer.headers.get("retry-after"), now_s)
    return reset_seconds(answer.headers, now_s) if asked is None and answer.status == 429 else asked


def _judge_silence(request: EnrollmentRequest, answer: NoAnswer, *, maybe_applied: bool) -> Verdict:
    never_reached = answer.tells is Tells.NEVER_REACHED
    return Verdict(
        Outcome.UNREACHABLE if never_reached and not maybe_applied else Outcome.IN_DOUBT,
        settled=not (never_reached or _may_be_repeated(request)),
        reason=clean(answer.error),
        tells=Tells.NEVER_REACHED if never_reached else Tells.MAY_BE_APPLIED,
    )


def _is_success(request: EnrollmentRequest, status: int, envelope: Envelope | None) -> bool:
    """Any 2xx without an error whose `data` is the customer. Source: target group pages (200, 201), enroll page."""
    return (
        200 <= status < 300
        and envelope is not None
        and not envelope.errors
        and is_customer(envelope.data, request.customer)
    )


def _find(request: EnrollmentRequest, reply: Reply, envelope: Envelope | None) -> _Finding:
    """Return what a reply without success says: its documented code, else its status, else what it lacks."""
    errors = envelope.errors if envelope else ()
    known = [(entry, error) for error in errors if (entry := _documented(error, request.scope.action))]
    if known:
        entry, error = max(known, key=lambda pair: (pair[0] is not UNDOCUMENTED, _WIDTH[pair[0].speaks]))
        return _Finding(entry, error, Reason.SERVER_FAULT if entry is SERVER_FAULT else "")
    error = errors[0] if errors else ApiError(None, raw_text(reply.body))
    if reply.status in STATUSES:
        return _Finding(STATUSES[reply.status], error)
    if 500 <= reply.status < 600:
        return _Finding(SERVER_FAULT, error, Reason.SERVER_FAULT)
    if 200 <= reply.status < 300 and not errors:
        names_another = envelope is not None and envelope.data is not None
        return _Finding(SERVER_FAULT, error, Reason.ANOTHER_CUSTOMER if names_another else Reason.UNREADABLE_ANSWER)
    return _Finding(UNDOCUMENTED, error)


def _documented(error: ApiError, action: Action) -> Code | None:
    """Return the entry of a code that is documented; for the other action than its own it is an unknown answer."""
    entry = CODES.get(error.code) if error.code is not None else None
    return UNDOCUMENTED if entry and entry.only not in {None, action} else entry


def _outcome(request: EnrollmentRequest, finding: _Finding, *, maybe_applied: bool) -> tuple[Outcome, str]:
    """Return how the request ends by this finding if nothing more is tried, and the reason."""
    entry = finding.entry
    if entry.code == ALREADY_ENROLLED:
        if request.asks_for_value:
            if maybe_applied:
                return Outcome.IN_DOUBT, Reason.ENROLLED_VALUE_UNKNOWN
            return Outcome.VALUE_NOT_APPLIED, ""
        return (Outcome.ENROLLED, Reason.CONFIRMED_BY_RETRY) if maybe_applied else (entry.outcome, "")
    if maybe_applied and not entry.settles_anyway:
        return Outcome.IN_DOUBT, finding.reason or Reason.EARLIER_ATTEMPT_UNKNOWN
    return entry.outcome, finding.reason


def _is_worth_resending(request: EnrollmentRequest, entry: Code) -> bool:
    return entry.retry and (entry.tells is not Tells.MAY_BE_APPLIED or _may_be_repeated(request))


def _may_be_repeated(request: EnrollmentRequest) -> bool:
    """Whether a second accepted call could not do more than the first.

    Source: our choice, because the effect of a second accepted unenroll, balance or reset is documented nowhere.
    """
    return request.scope.action is Action.ENROLL and not request.asks_for_value


def _waits(entry: Code, status: int, envelope: Envelope | None, retry_after: str | None) -> bool:
    """Whether the server asks everybody to wait: a 429, or a 503 that no code explains or that names a time."""
    if not entry.retry or entry.tells is not Tells.REFUSED:
        return False
    return status == 429 or (status == 503 and (envelope is None or retry_after is not None))
