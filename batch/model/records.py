"""The frozen records that travel from one step to the next.

Knows no file, no database, no socket and no clock.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from batch.model.lists import Action, Kind, Outcome, Problem, Speaks, Tells

Cell = str | int | float | bool | dt.datetime | dt.date | dt.time | dt.timedelta | None
"""One spreadsheet cell as the reader found it: text stays text, a number stays a number, blank is None or ""."""

Facts = Mapping[str, str | int | float | None]
"""What a line for people tells, for programs: by name, with the unit at its end. No customer, no secret."""


class SourceRow(NamedTuple):
    """One row of an upload, uninterpreted. A tuple, because a frozen dataclass takes twice as long to make.

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

    @property
    def title(self) -> str:
        """The target in words for people: the same for each action."""
        org = f" of org {self.org_id}" if self.org_id is not None else ""
        return f"target {self.target_id} of group {self.target_group_id}{org}"

    @property
    def facts(self) -> Facts:
        """The target for programs: the same for each action."""
        return {"org_id": self.org_id, "target_group_id": self.target_group_id, "target_id": self.target_id}


@dataclass(frozen=True, slots=True)
class EnrollmentRequest:
    """One record to send. Its identity is (scope, customer, period); a balance or a reset is not part of it.

    `customer` is an id, or an identifier such as `mobile:919111111111` where no look-up has found the id; such a
    request is never sent. `period` is None for streaks and unenrolls. `initial_balance` None is "none", which is not 0.
    """

    scope: Scope
    customer: int | str
    period: str | None = None
    initial_balance: int | None = None
    reset_streak_status: bool = False
    doubtful: bool = False
    """An earlier run left it in doubt: it may have been applied before this run's first attempt."""

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
    at_limit: bool = False
    """The API says that no call is left for this key for the moment."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of a look at the API about a request in doubt.

    `answer` is about the look itself, like a request's: whether the API asks everybody to wait, or does not answer.
    `found` is about the request, None where nothing is proven.
    """

    answer: Verdict
    found: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at the API showed of some requests of one customer and scope.

    `answer` is about the look itself, as in Looked. `enrolled` says of each request whether its customer is enrolled
    where it points at, None where the API does not say; empty where it gave no answer to the question.
    """

    answer: Verdict
    enrolled: tuple[bool | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A claimed chunk; `fence` is the number that this claim raised it to."""

    chunk_no: int
    fence: int


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A request that has no outcome yet, with what earlier attempts left behind."""

    request_no: int
    request: EnrollmentRequest
    chunk: Chunk
    attempts: int = 0
    """Attempts made so far, whether they count or not."""
    attempts_counted: int = 0
    """Attempts used up of `retry.attempts`."""
    maybe_applied: bool = False
    """An earlier attempt of ours may have been applied."""
    look: int = 0
    """Not 0: the next call does not send, it asks the API what became of the request, for the n-th time."""
    asks_about: tuple[EnrollmentRequest, ...] = ()
    """Not empty: the look is at these requests of its customer, which were left out."""


@dataclass(frozen=True, slots=True)
class Intent:
    """Requests about to leave, each with the number of the attempt."""

    chunk: Chunk
    attempts: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one attempt: an outcome when it settled its request, else an attempt.

    Times are nanoseconds since 1970 UTC; `attempt` 0 and `started_at` None: settled without one.
    """

    request_no: int
    fence: int
    attempt: int
    verdict: Verdict
    settled: bool
    started_at: int | None
    ended_at: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the report shows over time: `text` is one line for people, `facts` what it tells."""

    at: int
    kind: str
    text: str
    facts: Facts = field(default_factory=dict, hash=False)

    def number(self, name: str) -> float | None:
        """Return the fact of this name where it is a number, else None."""
        value = self.facts.get(name)
        return value if isinstance(value, int | float) else None


@dataclass(slots=True)
class Entries:
    """Everything that is written in one commit."""

    intents: list[Intent] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    finished_chunks: list[Chunk] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.intents or self.results or self.events or self.finished_chunks)
