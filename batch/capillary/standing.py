"""Step 3 of 5: read out of a customer's target groups whether a request in doubt was applied.

Owns which rows of `users/{id}/targetGroups` count as proof. Only a row that speaks about the request proves anything:
that something is not listed proves nothing, because the vendor is phasing this read out. Pure: no clock, no socket,
and never an exception, whatever the API sent. Keeps nothing of the customer but the finding.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from enum import StrEnum, auto
from typing import TYPE_CHECKING, Any, Final, assert_never

from batch.capillary.codes import Reason, judge
from batch.capillary.envelope import clean, is_customer, read_envelope
from batch.capillary.limits import is_used_up
from batch.model import Action, EnrollmentRequest, Kind, NoAnswer, Outcome, Reply, Speaks, Tells, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batch.model import Scope

    Row = dict[str, Any]
    _Value = float | None

_UNKNOWN_CUSTOMER: Final = 310011
_NO_RECORD: Final = 310149
"""Source: docs.capillarytech.com/reference/target-milestones: no record of this user and target, in read APIs."""
_DAY: Final = dt.timedelta(days=1)


class Membership(StrEnum):
    """Whether a customer is enrolled where a request points at, as far as the API says."""

    ENROLLED = "enrolled"
    NOT_ENROLLED = "not_enrolled"
    UNKNOWN = "unknown"


class Found(StrEnum):
    """Why a verdict that came from a look at the API is what it is."""

    CONFIRMED_BY_API = "confirmed_by_api"
    REFUTED_BY_API = "refuted_by_api"
    """The API shows that the request was not applied."""
    VALUE_UNKNOWN = Reason.ENROLLED_VALUE_UNKNOWN
    """Enrolled, but with another balance than was asked for, which purchases may have moved; or with a reset, which
    leaves no trace."""
    NOT_LISTED = "not_listed"
    """The API lists no row about this request."""
    UNCLEAR_ROW = "unclear_row"
    """The row about this request does not say what it would have to."""
    UNCLEAR_ORGANISATION = "unclear_organisation"
    """Not enrolled, but perhaps in another organisation: the vendor documents the scope header of reads in two
    spellings."""
    ANOTHER_CUSTOMER = Reason.ANOTHER_CUSTOMER
    UNREADABLE_ANSWER = Reason.UNREADABLE_ANSWER


@dataclass(frozen=True, slots=True)
class Standing:
    """What an answer says about one request. `value` is the achieved value, None where it is not known.

    `reason` is empty but for UNKNOWN.
    """

    membership: Membership
    value: float | None = None
    reason: str = ""


class _State(StrEnum):
    """What one row says."""

    LIVE = auto()
    LEFT = auto()
    NEVER = auto()
    UNCLEAR = auto()


def standing(request: EnrollmentRequest, reply: Reply, today: dt.date) -> Standing:
    """Return how the customer of `request` stands by the answer to `users/{id}/targetGroups`. Never raises.

    `today` is the date in UTC; an unenroll is judged by the current cycle and all later ones.

    Source: docs.capillarytech.com/reference/connectedorgs-get-associated-target-groups-of-a-user for the shape. That
    `targetRuleId` is the `targetId` of the enroll path, and that rows with `targetId` null are no enrolments, is
    inferred from the page's samples.
    """
    envelope = read_envelope(reply.body) if reply.complete and 200 <= reply.status < 300 else None
    data = envelope.data if envelope and not envelope.errors else None
    if not isinstance(data, dict) or not isinstance(data.get("targetGroups"), list):
        return Standing(Membership.UNKNOWN, reason=Found.UNREADABLE_ANSWER)
    if not is_customer(data.get("userId"), request.customer):
        return Standing(Membership.UNKNOWN, reason=Found.ANOTHER_CUSTOMER)
    told = list(_told_about(request, data["targetGroups"], today))
    states = {state for state, _ in told}
    if not states:
        return Standing(Membership.UNKNOWN, reason=Found.NOT_LISTED)
    if _State.LIVE in states:
        values = {value for state, value in told if state is _State.LIVE}
        return Standing(Membership.ENROLLED, value=values.pop() if len(values) == 1 else None)
    if _State.UNCLEAR in states:
        return Standing(Membership.UNKNOWN, reason=Found.UNCLEAR_ROW)
    if request.scope.org_id is not None:
        return Standing(Membership.UNKNOWN, reason=Found.UNCLEAR_ORGANISATION)
    return Standing(Membership.NOT_ENROLLED)


def verdict_of(request: EnrollmentRequest, found: Standing) -> Verdict:
    """Return what a standing means for a request in doubt.

    What is known not to be applied is `server_error`, the outcome of the group retry for exactly that, not settled:
    it may be sent again. What is UNKNOWN stays in doubt, not settled either: a later look may tell more.
    """
    enrolls = request.scope.action is Action.ENROLL
    match found.membership:
        case Membership.UNKNOWN:
            return Verdict(Outcome.IN_DOUBT, settled=False, reason=found.reason)
        case Membership.ENROLLED if enrolls and not _shows_value(request, found.value):
            return Verdict(Outcome.IN_DOUBT, settled=True, reason=Found.VALUE_UNKNOWN)
        case Membership.ENROLLED if enrolls:
            return Verdict(Outcome.ENROLLED, settled=True, reason=Found.CONFIRMED_BY_API)
        case Membership.NOT_ENROLLED if not enrolls:
            return Verdict(Outcome.UNENROLLED, settled=True, reason=Found.CONFIRMED_BY_API)
        case Membership.ENROLLED | Membership.NOT_ENROLLED:
            return Verdict(Outcome.SERVER_ERROR, settled=False, reason=Found.REFUTED_BY_API, tells=Tells.REFUSED)
        case _ as unreachable:
            assert_never(unreachable)


def finding(request: EnrollmentRequest, answer: Reply | NoAnswer, now_s: float) -> Verdict | None:
    """Return what `answer` to a look says about `request`; None when it is no answer to the question.

    `now_s` is seconds since 1970. A verdict `in_doubt` that is not settled says why nothing is proven.
    """
    if isinstance(answer, NoAnswer):
        return None
    envelope = read_envelope(answer.body) if answer.complete else None
    code = envelope.errors[0].code if envelope and envelope.errors else None
    if code == _UNKNOWN_CUSTOMER and request.scope.org_id is None:
        verdict = Verdict(Outcome.INVALID_USER, settled=True, reason=Found.REFUTED_BY_API)
    elif code in {_UNKNOWN_CUSTOMER, _NO_RECORD}:
        verdict = Verdict(Outcome.IN_DOUBT, settled=False, reason=Found.NOT_LISTED)
    else:
        found = standing(request, answer, dt.datetime.fromtimestamp(now_s, dt.UTC).date())
        if found.reason in {Found.UNREADABLE_ANSWER, Found.ANOTHER_CUSTOMER}:
            return None
        verdict = verdict_of(request, found)
    api_request_id = clean(answer.headers.get("x-cap-requestid", ""))
    return replace(verdict, http_status=answer.status, error_code=code, api_request_id=api_request_id)


def judge_look(
    request: EnrollmentRequest, answer: Reply | NoAnswer, *, maybe_applied: bool, can_renew: bool, now_s: float
) -> Verdict:
    """Return what `answer` means for the look itself: settled when looking again would tell no more.

    Arguments as for `codes.judge`; `maybe_applied` changes nothing, because a read leaves nothing behind. Without a
    finding the verdict is that of the refusal, and its message is left out: it may quote the customer's data.
    """
    del maybe_applied
    found = finding(request, answer, now_s)
    if found is not None and isinstance(answer, Reply):
        return replace(found, settled=True, tells=None, at_limit=is_used_up(answer.headers))
    plain = EnrollmentRequest(replace(request.scope, action=Action.ENROLL), request.customer)
    verdict = judge(plain, answer, maybe_applied=False, can_renew=can_renew, now_s=now_s)
    if verdict.settled and verdict.speaks is not Speaks.RUN:
        verdict = replace(verdict, outcome=Outcome.UNRECOGNISED, speaks=Speaks.REQUEST)
    tells = Tells.NEVER_REACHED if isinstance(answer, NoAnswer) else Tells.REFUSED  # a read is never half done
    return replace(verdict, tells=tells, error_message="")


def _told_about(request: EnrollmentRequest, groups: list[object], today: dt.date) -> Iterable[tuple[_State, _Value]]:
    """Yield state and achieved value of each row about this request.

    A row that may be about it is one that proves nothing, unless it says that the customer is not enrolled anyway.
    """
    for row in _rows_of(request.scope, groups):
        state, is_about = _state(row, request.scope.action), _is_about(request, row, today)
        if is_about:
            yield state, _number(row.get("targetAchievedValue"))
        elif is_about is None and state in {_State.LIVE, _State.UNCLEAR}:
            yield _State.UNCLEAR, None


def _is_about(request: EnrollmentRequest, row: Row, today: dt.date) -> bool | None:
    """Whether a row of the target is about this request: its cycle, or one of those that an unenroll ends."""
    if request.scope.kind is Kind.STREAK:
        return True
    if request.scope.action is Action.ENROLL:
        return _name(row.get("periodRefCode")) == request.period
    return _is_open(row, today)


def _rows_of(scope: Scope, groups: list[object]) -> Iterable[Row]:
    """Yield the rows of a target.

    A streak's rows decide where the customer has one of his own among them; else `streaks` does, which does not say
    whether he has left.
    """
    for group in _dicts(groups):
        if not _is_id(group.get("id"), scope.target_group_id):
            continue
        rows = [row for row in _dicts(group.get("targets")) if _is_id(row.get("targetRuleId"), scope.target_id)]
        if scope.kind is Kind.STREAK and all(row.get("targetId") is None for row in rows):
            streaks = (row for row in _dicts(group.get("streaks")) if _is_id(row.get("streakId"), scope.target_id))
            rows = [row | {"targetId": row.get("userStreakId")} for row in streaks] or rows
        yield from rows


def _state(row: Row, action: Action) -> _State:
    """Return what one row says; where it does not say `unEnrolled` it proves nothing about an unenroll."""
    if row.get("targetId") is None:
        return _State.NEVER
    left = row.get("unEnrolled")
    if left is True:
        return _State.LEFT
    if left is False or (left is None and action is Action.ENROLL):
        return _State.LIVE
    return _State.UNCLEAR


def _is_open(row: Row, today: dt.date) -> bool | None:
    """Return whether a row's cycle is current or to come; None where its dates, in a zone of the vendor's, leave it."""
    if row.get("currentPeriod") is True:
        return True
    text = row.get("periodEndDate")
    try:
        end = dt.date.fromisoformat(text[:10]) if isinstance(text, str) else None
    except ValueError:
        end = None
    if end is None or abs(end - today) <= _DAY:
        return None
    return end > today


def _shows_value(request: EnrollmentRequest, value: float | None) -> bool:
    """Whether the enrolment has what was asked for. A reset cannot be seen."""
    if request.reset_streak_status:
        return False
    return request.initial_balance is None or value == request.initial_balance


def _dicts(value: object) -> list[Row]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _is_id(value: object, wanted: int) -> bool:
    return is_customer(value, wanted)  # the same rule: a whole number, or one in digits


def _name(value: object) -> str | None:
    """Return a cycle's name as text; a sample of the vendor's has one that is a number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _number(value: object) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
