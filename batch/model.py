"""The nouns that more than one room uses.

Owns the closed lists (actions, outcomes, problems) and the frozen records that travel from one step to the
next. Knows no file, no database, no socket and no clock. Everything here imports nothing of ours.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

Cell = str | int | float | bool | dt.datetime | dt.date | dt.time | dt.timedelta | None
"""One spreadsheet cell as the reader found it: text stays text, a number stays a number, blank is None or ""."""


class Action(StrEnum):
    """What is asked of the API. Source: the enroll and unEnroll pages."""

    ENROLL = "enroll"
    UNENROLL = "unenroll"


class Kind(StrEnum):
    """What the customers are enrolled into: a milestone has cycles, a streak has none."""

    MILESTONE = "milestone"
    STREAK = "streak"


class Group(StrEnum):
    """Who has to do something about an outcome."""

    DONE = "done"
    FIX_DATA = "fix data"
    FIX_SETUP = "fix setup"
    RETRY = "retry"
    LOOK = "look"


class Outcome(StrEnum):
    """How a request ended: a closed list, each in exactly one group."""

    ENROLLED = "enrolled"
    UNENROLLED = "unenrolled"
    ALREADY_ENROLLED = "already_enrolled"
    COVERED_BY_CASCADE = "covered_by_cascade"
    VALUE_NOT_APPLIED = "value_not_applied"
    INVALID_USER = "invalid_user"
    INVALID_INPUT = "invalid_input"
    PERIOD_NOT_FOUND = "period_not_found"
    TARGET_NOT_FOUND = "target_not_found"
    SCOPE_REFUSED = "scope_refused"
    ACCESS_REFUSED = "access_refused"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    UNREACHABLE = "unreachable"
    IN_DOUBT = "in_doubt"
    UNRECOGNISED = "unrecognised"
    NOT_SENT = "not_sent"


GROUP_OF: dict[Outcome, Group] = {
    Outcome.ENROLLED: Group.DONE,
    Outcome.UNENROLLED: Group.DONE,
    Outcome.ALREADY_ENROLLED: Group.DONE,
    Outcome.COVERED_BY_CASCADE: Group.DONE,
    Outcome.VALUE_NOT_APPLIED: Group.FIX_DATA,
    Outcome.INVALID_USER: Group.FIX_DATA,
    Outcome.INVALID_INPUT: Group.FIX_DATA,
    Outcome.PERIOD_NOT_FOUND: Group.FIX_SETUP,
    Outcome.TARGET_NOT_FOUND: Group.FIX_SETUP,
    Outcome.SCOPE_REFUSED: Group.FIX_SETUP,
    Outcome.ACCESS_REFUSED: Group.FIX_SETUP,
    Outcome.RATE_LIMITED: Group.RETRY,
    Outcome.SERVER_ERROR: Group.RETRY,
    Outcome.UNREACHABLE: Group.RETRY,
    Outcome.IN_DOUBT: Group.RETRY,
    Outcome.NOT_SENT: Group.RETRY,
    Outcome.UNRECOGNISED: Group.LOOK,
}


class Problem(StrEnum):
    """Why a cell cannot be used, or why a request of a row is not sent: the codes in rejected_rows.csv."""

    MISSING = "missing"
    NOT_A_WHOLE_NUMBER = "not_a_whole_number"
    OUT_OF_RANGE = "out_of_range"
    DIGITS_LOST = "digits_lost"
    NOT_TEXT = "not_text"
    NOT_YES_OR_NO = "not_yes_or_no"
    NOT_AN_ACTION = "not_an_action"
    AMBIGUOUS = "ambiguous"
    ERROR_CELL = "error_cell"
    ROW_SHAPE = "row_shape"
    DUPLICATE = "duplicate"
    CONTRADICTION = "contradiction"


class Tells(StrEnum):
    """What an attempt without success tells about the state at the API."""

    REFUSED = "refused"
    """The API answered and did not apply it."""
    NEVER_REACHED = "never_reached"
    """The request provably never reached the API."""
    MAY_BE_APPLIED = "may_be_applied"
    """The request may have left, and no readable answer says what became of it."""
    WITHDRAWN = "withdrawn"
    """An intent was written and no byte left: not an attempt at all, and never counted as one."""


class Speaks(StrEnum):
    """For whom a refusal speaks."""

    REQUEST = "request"
    PERIOD = "period"
    TARGET = "target"
    RUN = "run"


class State(StrEnum):
    """The state of a run, as `status` and summary.json show it."""

    PLANNING = "planning"
    PLANNED = "planned"
    SENDING = "sending"
    STOPPED = "stopped"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row of an upload, uninterpreted.

    `row` is the row number that a person sees in the spreadsheet program (1 is the first row of the sheet or
    file, header included); `line` is the physical line in a text file where the row begins (None in workbooks).
    `cells` are in the order of the header, as many as the row really has.
    """

    row: int
    cells: tuple[Cell, ...]
    line: int | None = None


@dataclass(frozen=True, slots=True)
class RowProblem:
    """A cell that cannot be used, with what a person needs to mend it.

    `column` is the header as it stands in the file, `value` the cell as text, `hint` one sentence with the remedy.
    """

    column: str
    value: str
    problem: Problem
    hint: str


@dataclass(frozen=True, slots=True)
class Scope:
    """Where requests go: one URL and one set of scope headers. `org_id` None means DATA-SCOPE SELF."""

    action: Action
    kind: Kind
    org_id: int | None
    target_group_id: int
    target_id: int


@dataclass(frozen=True, slots=True)
class EnrollmentRequest:
    """One record to send. Its identity is (scope, customer, period); a balance or a reset is not part of it.

    `period` is None for streaks and unenrolls. `initial_balance` None is "none", which is not 0.
    """

    scope: Scope
    customer: int
    period: str | None = None
    initial_balance: int | None = None
    reset_streak_status: bool = False

    @property
    def asks_for_value(self) -> bool:
        """Whether a balance or a reset is asked for, which 310119 would silently leave unset."""
        return self.initial_balance is not None or self.reset_streak_status


def request_id(request: EnrollmentRequest) -> str:
    """Return the 24 hex digits that name a request in every report: a digest of its identity.

    Source: our choice, because reports of different runs are joined by key, never by position.
    """
    scope = request.scope
    key = (scope.action.value, scope.org_id, scope.target_group_id, scope.target_id, request.customer, request.period)
    return hashlib.blake2b(repr(key).encode(), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class Reply:
    """What the API answered. `body` is at most the client's limit long; `complete` is False when it was cut there."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    """Lower-case names; only those that the sender needs (retry-after, ratelimit-*, x-cap-requestid, ...)."""
    complete: bool = True


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """An attempt that brought no readable answer, and what is provably known of it.

    `tells` is NEVER_REACHED or MAY_BE_APPLIED; `error` is one line for people, without secrets or customer data.
    """

    tells: Tells
    error: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer, or its absence, means for one request.

    `outcome` is how the request ends if nothing more is tried. `settled` False means: worth another attempt.
    `counts` False means that this attempt uses none up (429, and 503 to everybody).
    `hold_s` is how long the server asks everybody to wait, None when it does not say.
    """

    outcome: Outcome
    settled: bool
    reason: str = ""
    tells: Tells | None = None
    speaks: Speaks = Speaks.REQUEST
    http_status: int | None = None
    error_code: int | None = None
    error_message: str = ""
    api_request_id: str = ""
    counts: bool = True
    hold_s: float | None = None
    renew_token: bool = False


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One unique request as the report shows it: what was asked, how it ended or stands, and where it came from.

    `cells` are the cells of its source row as they came, in the order of that input's `columns`.
    """

    request_no: int
    request: EnrollmentRequest
    outcome: Outcome
    reason: str
    http_status: int | None
    error_code: int | None
    error_message: str
    attempts: int
    api_request_id: str
    settled_at: int | None
    input_no: int
    row: int
    cells: tuple[str | int | float | bool | None, ...]


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """One row problem, or one duplicate or contradicted request, as rejected_rows.csv shows it."""

    input_no: int
    row: int
    problem: RowProblem
    duplicate_of_row: int | None
    cells: tuple[str | int | float | bool | None, ...]
