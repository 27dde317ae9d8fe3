"""Step 3 of 5: say what an outcome means and what a person does about it.

Owns the words per outcome and per reason; the words per code stand in `registry`, beside their meaning. Feeds the
terminal, the files, the page and the README, so that all of them say the same. Pure; does not know any run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from batch.capillary.codes import Reason
from batch.capillary.registry import CODES, SERVER_FAULT, STATUSES, UNDOCUMENTED, Code
from batch.capillary.standing import Found
from batch.model import GROUP_OF, Group, Outcome, Speaks, StopReason

WHOSE: Final = {
    Speaks.REQUEST: "this request",
    Speaks.PERIOD: "the cycle",
    Speaks.TARGET: "the target",
    Speaks.GROUP: "the target group",
    Speaks.RUN: "the whole run",
}
"""For whom a code speaks, in words for people."""


@dataclass(frozen=True, slots=True)
class OutcomeNote:
    """What an outcome means and what to do about it, each one or two sentences; `group` says who has to act."""

    outcome: Outcome
    group: Group
    meaning: str
    advice: str


_AGAIN: Final = "`resume` the run if it is unfinished, else `rerun` it"

_NOTES: Final = {
    Outcome.ENROLLED: ("The customer is enrolled by this run.", "Nothing to do."),
    Outcome.UNENROLLED: ("The customer is unenrolled by this run.", "Nothing to do."),
    Outcome.ALREADY_ENROLLED: ("The customer was enrolled before.", "Nothing to do."),
    Outcome.COVERED_BY_CASCADE: (
        "The customer is enrolled: an earlier cycle of this run covers this one.",
        "Nothing to do.",
    ),
    Outcome.VALUE_NOT_APPLIED: (
        "The customer was enrolled before, so the balance or reset that the row asks for is not set.",
        "Leave it; or unenroll the customer and send the row again, which loses the rewards due in the current cycle.",
    ),
    Outcome.INVALID_USER: (
        "The API knows no such customer.",
        "Correct the customer id (it may be mistyped, of another organisation, or merged) and send the row again.",
    ),
    Outcome.INVALID_INPUT: (
        "The API does not accept a value of this row.",
        "Read the error message, correct the row and send it again.",
    ),
    Outcome.PERIOD_NOT_FOUND: (
        "The target has no such cycle.",
        "Check the cycle's name, to the letter, against the target group; then rerun with the corrected config.",
    ),
    Outcome.TARGET_NOT_FOUND: (
        "The target or target group does not exist, or is not active.",
        "Check target_group_id and target_id, and that the target is active; then rerun with the corrected config.",
    ),
    Outcome.SCOPE_REFUSED: (
        "The API refuses this organisation for this key.",
        "Check scope.data_scope and the org id against the connected organisations of this API key; then rerun.",
    ),
    Outcome.ACCESS_REFUSED: (
        "The API does not accept the credentials, or they may not enroll.",
        "Check the credentials, and that their access group allows Target Loyalty for this organisation; then resume.",
    ),
    Outcome.RATE_LIMITED: (
        "The API asked to wait, and the run could not wait longer. Nothing was applied.",
        f"Later, or with a lower rate: {_AGAIN}.",
    ),
    Outcome.SERVER_ERROR: (
        "The API could not take the request, to the last attempt. Nothing was applied.",
        f"Later: {_AGAIN}.",
    ),
    Outcome.UNREACHABLE: (
        "No connection to the API could be opened, to the last attempt. Nothing was applied.",
        f"Check network, proxy and api.base_url; then {_AGAIN}.",
    ),
    Outcome.IN_DOUBT: (
        "The request may have been applied: no readable answer came after it may have left.",
        "`verify` the run: that asks the API what became of it. A `rerun` then sends what is still open.",
    ),
    Outcome.UNRECOGNISED: (
        "The API gave an answer that nobody has documented for this action.",
        "Read the error message; check api.base_url, path_prefix and version; then ask Capillary support.",
    ),
    Outcome.NOT_SENT: ("Nothing was sent, because the run stopped before.", f"{_AGAIN[0].upper()}{_AGAIN[1:]}."),
}

OUTCOMES: Final[dict[Outcome, OutcomeNote]] = {
    outcome: OutcomeNote(outcome, GROUP_OF[outcome], meaning, advice) for outcome, (meaning, advice) in _NOTES.items()
}
"""What each outcome means: every outcome, in the order of the design."""

REASONS: Final[dict[tuple[Outcome, str], str]] = {
    (Outcome.ENROLLED, Reason.WITH_WARNINGS): "Enrolled; read the warning beside it.",
    (Outcome.ENROLLED, Reason.CONFIRMED_BY_RETRY): (
        "Nothing to do: an answer of the API was lost, and a second try found the customer enrolled."
    ),
    (Outcome.ENROLLED, Found.CONFIRMED_BY_API): (
        "Nothing to do: an answer of the API was lost, and the API shows the customer as enrolled."
    ),
    (Outcome.UNENROLLED, Reason.WITH_WARNINGS): "Unenrolled; read the warning beside it.",
    (Outcome.IN_DOUBT, Reason.ENROLLED_VALUE_UNKNOWN): (
        "The customer is enrolled; look up whether the balance or reset is set. If not, leave it; or unenroll and send "
        "it again, which loses the rewards due in the current cycle."
    ),
    (Outcome.NOT_SENT, "quarantined_period"): (
        "This cycle was refused several times in a row. Correct its name, in the config and `rerun` with it, or in "
        "failed.csv and run that."
    ),
    (Outcome.NOT_SENT, "quarantined_target"): (
        "This target was refused several times in a row. Correct it, in the config and `rerun` with it, or in "
        "failed.csv and run that."
    ),
    (Outcome.NOT_SENT, "quarantined_group"): (
        "This target group was refused several times in a row. Correct it, in the config and `rerun` with it, or in "
        "failed.csv and run that."
    ),
    (Outcome.NOT_SENT, StopReason.CANARY): "The canary is done. Look at how it went, then resume the run.",
    (Outcome.NOT_SENT, "deadline"): "The time was up. Resume the run.",
    (Outcome.NOT_SENT, StopReason.SIGNAL): "The run was interrupted. Resume it.",
    (Outcome.NOT_SENT, StopReason.LIMIT): "The limit of this invocation was reached. Resume the run.",
    (Outcome.NOT_SENT, StopReason.GUARD): "Too many requests failed, so the run stopped. Find out why, then resume.",
    (Outcome.NOT_SENT, StopReason.REFUSED): "The API refuses access or scope. Correct that, then resume.",
    (Outcome.NOT_SENT, StopReason.SILENT): "The API did not answer. Resume the run when it does.",
}
"""Where the reason says better what to do than the outcome: (outcome, reason) -> advice."""


def documented_codes() -> tuple[Code, ...]:
    """Return every documented code, in ascending order: code, meaning, what to do, retry, source."""
    return tuple(CODES[code] for code in sorted(CODES))


def documented_statuses() -> tuple[Code, ...]:
    """Return every HTTP status that speaks for itself where the body holds no documented code, ascending."""
    return tuple(STATUSES[status] for status in sorted(STATUSES))


def advise(outcome: Outcome, error_code: int | None, reason: str) -> str:
    """Return one or two sentences: what to do next about a request that ended so.

    The reason is asked first, then the API's code where it stands for this outcome, then the outcome.
    """
    by_reason = REASONS.get((outcome, reason))
    if by_reason is not None:
        return by_reason
    entry = CODES.get(error_code) if error_code is not None else None
    if entry is not None and entry.outcome is outcome:
        return entry.advice
    return OUTCOMES[outcome].advice


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one kind of end means: in words, for whom it speaks, what to do, whether the run tries again, and says who.

    `source` is the vendor's page or our reason, empty where the outcome alone says it.
    """

    meaning: str
    whose: str
    what_to_do: str
    is_retried: bool
    source: str


def explain(outcome: Outcome, http_status: int | None, error_code: int | None, reason: str) -> Explanation:
    """Return what it means that a request ended, or an attempt came back, so."""
    entry = _entry(outcome, http_status, error_code)
    what_to_do = advise(outcome, error_code, reason)
    if entry is not None:
        meaning = f"{entry.meaning[0].upper()}{entry.meaning[1:]}."
        return Explanation(meaning, WHOSE[entry.speaks], what_to_do, entry.retry, entry.source)
    is_retried = outcome in {Outcome.RATE_LIMITED, Outcome.SERVER_ERROR, Outcome.UNREACHABLE, Outcome.IN_DOUBT}
    whose = WHOSE[_speaks(outcome, reason)]
    is_closed = outcome is Outcome.NOT_SENT and reason.startswith(_CLOSED)
    meaning = f"Nothing was sent, because {whose} is refused as such." if is_closed else OUTCOMES[outcome].meaning
    return Explanation(meaning, whose, what_to_do, is_retried, "")


_CLOSED = "quarantined_"
"""How a reason begins that says which scope was closed."""


def _entry(outcome: Outcome, http_status: int | None, error_code: int | None) -> Code | None:
    """Return the entry that stands for this outcome: the code's, else the status's."""
    known = CODES.get(error_code or 0), STATUSES.get(http_status or 0), SERVER_FAULT, UNDOCUMENTED
    is_server_fault = http_status is not None and 500 <= http_status < 600
    fits = True, True, is_server_fault, http_status is not None
    return next(
        (entry for entry, may_be in zip(known, fits, strict=True) if may_be and entry and entry.outcome is outcome),
        None,
    )


def _speaks(outcome: Outcome, reason: str) -> Speaks:
    if outcome is not Outcome.NOT_SENT:
        return Speaks.REQUEST
    scope = reason.removeprefix(_CLOSED)
    return Speaks(scope) if reason.startswith(_CLOSED) and scope in set(Speaks) else Speaks.RUN
