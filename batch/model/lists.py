"""The closed lists: actions, outcomes and their groups, problems, states, reasons.

Texts in the ledger, the reports and summary.json are exactly these values. Imports nothing of ours.
"""

from __future__ import annotations

from enum import StrEnum


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
    """Why a cell cannot be used, or why a request of a row is not sent: the codes in rejected_rows.csv.

    What stands below each is its meaning and its remedy, and becomes a line of the README's table.
    """

    MISSING = "missing"
    """A cell that must hold something is blank, or the result of its formula is not stored. Write the value."""
    NOT_A_WHOLE_NUMBER = "not_a_whole_number"
    """Letters, decimals, a date, or signs between the digits. Write a whole number in the digits 0 to 9."""
    OUT_OF_RANGE = "out_of_range"
    """A negative number, an id of 0, or one that no id can be. Check the value."""
    DIGITS_LOST = "digits_lost"
    """The spreadsheet program has rounded a long number (3.45E+08). Format the column as text and write it again."""
    NOT_TEXT = "not_text"
    """The name of a cycle is stored as a number or a date. Format the column as text and write the name again."""
    NOT_YES_OR_NO = "not_yes_or_no"
    """A reset that is neither yes nor no. Write true or false; blank is false."""
    NOT_AN_ACTION = "not_an_action"
    """An action that is neither enroll nor unenroll. Write one of them."""
    NOT_AN_IDENTIFIER = "not_an_identifier"
    """No mobile number, e-mail address or external id of a customer. Write it as Capillary has it."""
    AMBIGUOUS = "ambiguous"
    """It can be read in two ways: leading zeros, 1,000, a merged cell, an edited row of a report. The hint says how."""
    ERROR_CELL = "error_cell"
    """The cell shows the error of a formula, such as #N/A. Mend the formula or write the value."""
    ROW_SHAPE = "row_shape"
    """The row has more cells than the header, or ends too early. Put a cell that holds the delimiter in quotes."""
    DUPLICATE = "duplicate"
    """An earlier row asks for the same request; it is sent once. Nothing to do."""
    CONTRADICTION = "contradiction"
    """Rows ask for the same request with different values; none of them is sent. Keep the right one."""


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
    GROUP = "group"
    """The whole target group."""
    RUN = "run"


class State(StrEnum):
    """The state of a run, as `status` and summary.json show it."""

    PLANNING = "planning"
    PLANNED = "planned"
    SENDING = "sending"
    STOPPED = "stopped"
    FINISHED = "finished"


class Occasion(StrEnum):
    """What somebody is told about: the beginning of a run or a night, or how it ended."""

    START = "start"
    DONE = "done"
    """All done: exit code 0."""
    PARTIAL = "partial"
    """Finished, and some rows or requests need work or are in doubt: exit codes 4 and 5."""
    STOPPED = "stopped"
    """Not finished, or finished with a fault: exit codes 1, 6, 7, 8, 9 and 11."""
    REFUSED = "refused"
    """Refused by us or by the API before it came to anything: exit codes 2, 3 and 10."""
    RECOVERED = "recovered"
    """Done or partial, after something that was not."""


class StopReason(StrEnum):
    """Why a run stopped before its end; the word in the ledger, and in `reason` of what was not sent."""

    INPUT = "input"
    """Nothing usable in the upload, or more problems than allowed: nothing was sent."""
    DECLINED = "declined"
    """A person was asked and said no."""
    SIGNAL = "signal"
    LIMIT = "limit"
    DEADLINE = "deadline"
    """The time was up: `--until`, or the end of `pacing.window` for who does not wait for the next one."""
    GUARD = "guard"
    CANARY = "canary"
    """The sample is done, and a person has to say whether the rest follows."""
    REFUSED = "refused"
    """The API refuses access or scope for the whole run."""
    SILENT = "silent"
    """The API does not answer."""
    FAULT = "fault"
    """Our own fault."""
