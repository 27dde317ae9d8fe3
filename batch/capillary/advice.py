"""Step 3 of 5: say what an outcome means and what a person does about it.

Owns the words per outcome and per reason; the words per code stand in `registry`, beside their meaning. Feeds the
terminal, the files, the page and the README, so that all of them say the same. Pure; of a run it knows no more than
decides what can be done: whether it is finished, whether its accounts balance, and which values came from columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from batch.capillary.codes import Reason
from batch.capillary.registry import CODES, LOOK_UP_CODES, SERVER_FAULT, STATUSES, UNDOCUMENTED, Code
from batch.capillary.standing import Found
from batch.model import GROUP_OF, Group, Outcome, Speaks, StopReason

if TYPE_CHECKING:
    from collections.abc import Collection

_KNOWN: Final = CODES | LOOK_UP_CODES
"""No code means one thing to a request and another to a look-up."""

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


_NOT_SET: Final = "the balance or reset of your row was not set."
_UNENROLL: Final = (
    "Leave it, or unenroll the customer and send the row again, which loses the rewards due in the current cycle."
)

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
        _UNENROLL,
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
        "Check the cycle's name, to the letter, against the target group; then {mend}.",
    ),
    Outcome.TARGET_NOT_FOUND: (
        "The target or target group does not exist, or is not active.",
        "Check target_group_id and target_id, and that the target is active; then {mend}.",
    ),
    Outcome.SCOPE_REFUSED: (
        "The API refuses this organisation for this key.",
        "Check scope.data_scope and the org id against the connected organisations of this API key; then {mend}.",
    ),
    Outcome.ACCESS_REFUSED: (
        "The API does not accept the credentials, or they may not enroll.",
        "Check the credentials, and that their access group allows Target Loyalty for this organisation; then {again}.",
    ),
    Outcome.RATE_LIMITED: (
        "The API asked to wait, and the run could not wait longer. Nothing was applied.",
        "Later, or with a lower rate: {again}.",
    ),
    Outcome.SERVER_ERROR: (
        "The API could not take the request, to the last attempt. Nothing was applied.",
        "Later: {again}.",
    ),
    Outcome.UNREACHABLE: (
        "No connection to the API could be opened, to the last attempt. Nothing was applied.",
        "Check network, proxy and api.base_url; then {again}.",
    ),
    Outcome.IN_DOUBT: (
        "The request may have been applied: no readable answer came after it may have left.",
        "{settle}.",
    ),
    Outcome.UNRECOGNISED: (
        "The API gave an answer that nobody has documented for this action.",
        "Read the error message; check api.base_url, path_prefix and version; then ask Capillary support.",
    ),
    Outcome.NOT_SENT: (
        (
            "Nothing was sent: the run stopped before, its cycle or target is refused, or no earlier cycle covers it "
            "after all."
        ),
        "{open}.",
    ),
}

_REASONS: Final = {
    (Outcome.ENROLLED, Reason.WITH_WARNINGS): "Enrolled; read the warning beside it.",
    (Outcome.ENROLLED, Reason.CONFIRMED_BY_RETRY): (
        "Nothing to do: an answer of the API was lost, and a second try found the customer enrolled."
    ),
    (Outcome.ENROLLED, Found.CONFIRMED_BY_API): (
        "Nothing to do: an answer of the API was lost, and the API shows the customer as enrolled."
    ),
    (Outcome.UNENROLLED, Reason.WITH_WARNINGS): "Unenrolled; read the warning beside it.",
    (Outcome.VALUE_NOT_APPLIED, "before_us"): f"The customer was enrolled before; {_NOT_SET} {_UNENROLL}",
    (Outcome.VALUE_NOT_APPLIED, "earlier_run"): f"An earlier run enrolled the customer; {_NOT_SET} {_UNENROLL}",
    (Outcome.VALUE_NOT_APPLIED, "before_us_or_cascade"): (
        f"The customer was enrolled before, or by this run with an earlier cycle; {_NOT_SET} {_UNENROLL}"
    ),
    (Outcome.VALUE_NOT_APPLIED, "unknown"): (
        "Not all earlier runs could be looked at, and one of them may have set the balance or reset: look it up, and "
        "leave it where it is set. Do not unenroll before."
    ),
    (Outcome.VALUE_NOT_APPLIED, "own_attempt"): (
        "An attempt of ours whose answer was lost has probably enrolled the customer with the value: look it up, and "
        "leave it where it is set. Do not unenroll before."
    ),
    (Outcome.IN_DOUBT, Reason.ENROLLED_VALUE_UNKNOWN): (
        "The customer is enrolled; look up whether the balance or reset is set. If not, leave it; or unenroll and send "
        "it again, which loses the rewards due in the current cycle."
    ),
    (Outcome.NOT_SENT, "not_covered"): "It was left out, and no earlier cycle covers it after all: {left_out}.",
    (Outcome.NOT_SENT, "quarantined_period"): "This cycle was refused several times in a row: {mend}.",
    (Outcome.NOT_SENT, "quarantined_target"): "This target was refused several times in a row: {mend}.",
    (Outcome.NOT_SENT, "quarantined_group"): ("This target group was refused several times in a row: {mend}."),
    (Outcome.NOT_SENT, StopReason.CANARY): "The sample is done. Look at how it went; if well, {again}.",
    (Outcome.NOT_SENT, StopReason.DEADLINE): "The time was up: {again}.",
    (Outcome.NOT_SENT, StopReason.SIGNAL): "The run was interrupted: {again}.",
    (Outcome.NOT_SENT, StopReason.LIMIT): "The limit of this invocation was reached: {again}.",
    (Outcome.NOT_SENT, StopReason.GUARD): "Too many requests failed, so the run stopped. Find out why; then {again}.",
    (Outcome.NOT_SENT, StopReason.REFUSED): "The API refuses access or scope. Correct that; then {again}.",
    (Outcome.NOT_SENT, StopReason.SILENT): "The API did not answer. When it does, {again}.",
    (Outcome.NOT_SENT, StopReason.INPUT): (
        "Too many rows have problems, so nothing was sent. Mend the upload (rejected_rows.csv says where) "
        "or raise input.max_problems; then run it whole."
    ),
}
"""Where the reason, or who enrolled the customer, says better what to do: (outcome, reason) -> advice."""

_NOT_COVERED: Final = (
    "Nothing was sent, because an earlier cycle of this run was found to cover this one. That was taken back later."
)

_COLUMNS: Final = {
    (Outcome.PERIOD_NOT_FOUND, ""): ("period_name",),
    (Outcome.TARGET_NOT_FOUND, ""): ("target_group_id", "target_id"),
    (Outcome.SCOPE_REFUSED, ""): ("org_id",),
    (Outcome.NOT_SENT, "quarantined_period"): ("period_name",),
    (Outcome.NOT_SENT, "quarantined_target"): ("target_group_id", "target_id"),
    (Outcome.NOT_SENT, "quarantined_group"): ("target_group_id",),
    (Outcome.NOT_SENT, ""): ("period_name", "target_group_id", "target_id"),
}
"""Which columns of the upload can hold what is refused: (outcome, reason) -> names of ours."""

_UNBALANCED: Final = "The accounts do not balance: send nothing again before that is understood."


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


@dataclass(frozen=True, slots=True)
class Advisor:
    """Says what to do about the requests of one run, or of any run where nothing is known of it.

    `is_finished`: whether the run can be rerun (True) or resumed (False); None: not known. `is_balanced` False:
    nothing may be sent again. `columns`: the names of ours that are columns of the upload; None: not known.
    """

    is_finished: bool | None = None
    is_balanced: bool = True
    columns: frozenset[str] | None = None

    def knowing(self, *, is_finished: bool, is_balanced: bool, columns: Collection[str]) -> Advisor:
        """Return the advisor of a run of which this is known."""
        return Advisor(is_finished, is_balanced, frozenset(columns))

    def advise(self, outcome: Outcome, error_code: int | None, reason: str) -> str:
        """Return one or two sentences: what to do next about a request that ended so.

        The reason is asked first, then the API's code where it stands for this outcome, then the outcome. An empty
        reason and no code ask for the general advice.
        """
        if not self.is_balanced and GROUP_OF[outcome] is not Group.DONE:
            return _UNBALANCED
        entry = _KNOWN.get(error_code) if error_code is not None else None
        if entry is None and (outcome, reason) == (Outcome.INVALID_USER, "look_up"):  # named null, which has no code
            entry = LOOK_UP_CODES[8015]
        if (outcome, reason) in _REASONS:
            return self.filled(_REASONS[outcome, reason], outcome, reason)
        if entry is not None and entry.outcome is outcome:
            return self.filled(entry.advice, outcome, "")
        return self.filled(_NOTES[outcome][1], outcome, "")

    def explain(self, outcome: Outcome, http_status: int | None, error_code: int | None, reason: str) -> Explanation:
        """Return what it means that a request ended, or an attempt came back, so."""
        entry = _entry(outcome, http_status, error_code)
        what_to_do = self.advise(outcome, error_code, reason)
        if entry is not None:
            meaning = f"{entry.meaning[0].upper()}{entry.meaning[1:]}."
            return Explanation(meaning, WHOSE[entry.speaks], what_to_do, entry.retry, entry.source)
        is_retried = outcome in {Outcome.RATE_LIMITED, Outcome.SERVER_ERROR, Outcome.UNREACHABLE, Outcome.IN_DOUBT}
        whose = WHOSE[_speaks(outcome, reason)]
        is_closed = outcome is Outcome.NOT_SENT and reason.startswith(_CLOSED)
        meaning = f"Nothing was sent, because {whose} is refused as such." if is_closed else OUTCOMES[outcome].meaning
        if (outcome, reason) == (Outcome.NOT_SENT, "not_covered"):
            meaning = _NOT_COVERED
        return Explanation(meaning, whose, what_to_do, is_retried, "")

    def filled(self, text: str, outcome: Outcome, reason: str) -> str:
        """Return a text with what can be done in this run, as a sentence."""
        if "{" not in text:
            return text
        again, mend = self._again(outcome), self._mend(outcome, reason)
        still_open = mend if self.is_finished else again  # what a finished run has not sent is refused as such
        filled = text.format(again=again, mend=mend, settle=self._settle(), open=still_open, left_out=self._left_out())
        return filled[0].upper() + filled[1:]

    def _again(self, outcome: Outcome) -> str:
        if self.is_finished is None:
            return "resume the run if it is unfinished, else rerun it"
        return "rerun the run" if self.is_finished else f"resume the run{_and_rerun(outcome)}"

    def _mend(self, outcome: Outcome, reason: str) -> str:
        """Say how a mended setup is sent; what stood in a column is not mended by a config."""
        if self.is_finished is False and outcome is Outcome.SCOPE_REFUSED:
            anew = "run the upload anew with the corrected config and --again"
            return f"resume the run if it is mended at Capillary{_and_rerun(outcome)}, else {anew}"
        names = _COLUMNS.get((outcome, reason), ())
        stand_in = [name for name in names if self.columns is None or name in self.columns]
        in_file = f"correct {' and '.join(stand_in)} in failed.csv, empty the request_id, and run these rows alone"
        by_config = "rerun with the corrected config"
        way = in_file if stand_in else by_config
        if self.columns is None and stand_in:
            way = f"{by_config}, or {in_file}"
        return f"resume the run, and when it is finished, {way}" if self.is_finished is False else way

    def _left_out(self) -> str:
        """Say how a request that was settled without a call is sent after all: no resume takes it up."""
        first = {True: "", False: "resume the run, and when it is finished, ", None: "when the run is finished, "}
        return f"{first[self.is_finished]}rerun {'the run' if self.is_finished else 'it'}"

    def _settle(self) -> str:
        if self.is_finished is False:
            return "resume the run, and verify it when it is finished: that asks the API what became of this"
        return "verify the run: that asks the API what became of this. A rerun then sends what is still open"


ADVICE: Final = Advisor()
"""For a run of which nothing is known."""

OUTCOMES: Final[dict[Outcome, OutcomeNote]] = {
    outcome: OutcomeNote(outcome, GROUP_OF[outcome], meaning, ADVICE.advise(outcome, None, ""))
    for outcome, (meaning, _) in _NOTES.items()
}
"""What each outcome means: every outcome, in the order of the design."""


def documented_codes() -> tuple[Code, ...]:
    """Return every documented code, in ascending order: code, meaning, what to do, retry, source."""
    return tuple(_told(_KNOWN[code]) for code in sorted(_KNOWN))


def documented_statuses() -> tuple[Code, ...]:
    """Return every HTTP status that speaks for itself where the body holds no documented code, ascending."""
    return tuple(_told(STATUSES[status]) for status in sorted(STATUSES))


def _told(entry: Code) -> Code:
    return replace(entry, advice=ADVICE.filled(entry.advice, entry.outcome, ""))


_CLOSED = "quarantined_"
"""How a reason begins that says which scope was closed."""


def _and_rerun(outcome: Outcome) -> str:
    """Say what else an unfinished run needs: a resume leaves alone what was settled before the run stopped."""
    return "" if outcome is Outcome.NOT_SENT else ", then rerun it if this stays so"


def _entry(outcome: Outcome, http_status: int | None, error_code: int | None) -> Code | None:
    """Return the entry that stands for this outcome: the code's, else the status's."""
    known = _KNOWN.get(error_code or 0), STATUSES.get(http_status or 0), SERVER_FAULT, UNDOCUMENTED
    is_server_fault = http_status is not None and 500 <= http_status < 600
    fits = True, True, is_server_fault, http_status is not None
    return next(
        (entry for entry, may_be in zip(known, fits, strict=True) if may_be and entry and entry.outcome is outcome),
        None,
    )


def _speaks(outcome: Outcome, reason: str) -> Speaks:
    if outcome is not Outcome.NOT_SENT or reason == "not_covered":
        return Speaks.REQUEST
    scope = reason.removeprefix(_CLOSED)
    return Speaks(scope) if reason.startswith(_CLOSED) and scope in set(Speaks) else Speaks.RUN
