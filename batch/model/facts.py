"""The frozen records that a report is made of: what a ledger says of a run, its inputs, requests and rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch.model.lists import Outcome, State
    from batch.model.records import EnrollmentRequest, RowProblem, Scope


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
    duplicate_of_input: int | None = None
    """The input of that row: several files and sheets may be planned together."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the ledger says of a run as a whole. Times are nanoseconds since 1970 UTC."""

    run_id: str
    program_version: str
    state: State
    stop_reason: str | None
    stop_text: str | None
    user: str
    host: str
    command: str
    config_path: str
    base_url: str
    created_at: int
    started_at: int | None
    finished_at: int | None
    sending_ns: int
    """Time spent sending, over all invocations; pauses between them are not in it."""
    overrides: str = "{}"
    """What the command line said instead of the config: a JSON object of options."""


@dataclass(frozen=True, slots=True)
class InputFacts:
    """One file of the upload: what it is, and what became of its rows. `roles` maps our names to column numbers."""

    input_no: int
    path: str
    sha256: str
    sheet: str | None
    columns: tuple[str, ...]
    roles: dict[str, int]
    remarks: tuple[str, ...]
    rows_read: int
    rows_blank: int
    rows_with_problems: int
    rows_planned: int


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was left out of requests without being a problem, and the first row where it was."""

    text: str
    row_count: int
    input_no: int
    first_row: int


@dataclass(frozen=True, slots=True)
class Subtotal:
    """How many unique requests of one scope and period have one outcome."""

    scope: Scope
    period: str | None
    outcome: Outcome
    count: int


@dataclass(frozen=True, slots=True)
class Tallies:
    """Everything counted in a ledger, each figure from the tables that record it, none derived from another."""

    expanded: int
    duplicates: int
    contradicted: int
    unique: int
    unsettled: int
    """Unique requests that have no stored outcome; they are counted in `outcomes` as they stand."""
    outcomes: dict[Outcome, int]
    """Every outcome, also those that never happened."""
    attempts: int
    first_attempts: int
    retries: int
    calls_saved: int
    subtotals: tuple[Subtotal, ...]
    look_ups: int = 0
    """Calls that looked customers up; they are not among the attempts."""
    missing_attempts: int = 0
    """Attempts that are not recorded although later ones of their requests are."""
    nameless: int = 0
    """Requests whose cycle or target is not recorded."""
    not_covered: int = 0
    """Requests that were left out as covered by an earlier cycle, and are not after all: they stand as not sent."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What happened in one stretch of time: attempts that started in it, and the requests that they settled.

    Requests that were settled without an attempt count where they were settled.
    """

    begin: int | None
    """Nanoseconds since 1970 UTC; None: a sender died, and nobody knows when these attempts started."""
    outcome: Outcome | None
    """How these requests stand; None: the attempts settled nothing."""
    attempts: int
    pushed_back: int
    """Attempts among them that the API refused by 429 or 503."""
    requests: int


@dataclass(frozen=True, slots=True)
class UnsettlingAttempts:
    """Attempts that settled nothing, counted by what they brought."""

    outcome: Outcome
    http_status: int | None
    error_code: int | None
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class EarlierRequest:
    """The same request in an earlier run: enrolled there, or left in doubt."""

    run_id: str
    is_in_doubt: bool
