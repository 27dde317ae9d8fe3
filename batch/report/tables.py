"""Step 5 of 5: the columns of the outcome files and of rejected_rows, and the record of one line.

Pure: CSV files and workbook sheets show the same records. Knows the order and the names of columns and where each
value comes from; does not know how a value is written.
"""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from batch.model import Action, Kind, Outcome, State, request_id
from batch.report.reconcile import FILE_OF

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import Self

    from batch.model import InputFacts, RejectedRow, ReportRow
    from batch.report.reconcile import Accounts

Value = str | int | float | bool | None

OUTCOME_COLUMNS = (
    "customer_id", "period_name", "initial_balance", "reset_streak_status", "action", "org_id", "target_group_id",
    "target_id", "outcome", "reason", "http_status", "error_code", "error_message", "advice", "attempts", "request_id",
    "api_request_id", "settled_at", "source_file", "source_sheet", "source_row", "provenance", "earlier_run",
)  # fmt: skip
REJECTED_COLUMNS = (
    "source_file", "source_sheet", "source_row", "column", "value", "problem", "hint", "duplicate_of_row",
)  # fmt: skip

PREFIX = "input_"


class Explained(Protocol):
    """What one kind of end means."""

    @property
    def meaning(self) -> str:
        """In a sentence."""
        ...

    @property
    def whose(self) -> str:
        """For whom it speaks: this request, the cycle, the target, the whole run."""
        ...

    @property
    def what_to_do(self) -> str:
        """In one or two sentences."""
        ...

    @property
    def is_retried(self) -> bool:
        """Whether the run tries again by itself."""
        ...

    @property
    def source(self) -> str:
        """Who says so; may be empty."""
        ...


class Advice(Protocol):
    """What is known about outcomes and codes, and about what can be done in a run."""

    def advise(self, outcome: Outcome, error_code: int | None, reason: str, /) -> str:
        """Say in one or two sentences what to do next; an empty reason and no code ask for the general advice."""
        ...

    def knowing(self, *, is_finished: bool, is_balanced: bool, columns: Collection[str]) -> Self:
        """Return the advice for a run; `columns` are the names of ours that are columns of its upload."""
        ...

    def explain(self, outcome: Outcome, http_status: int | None, error_code: int | None, reason: str, /) -> Explained:
        """Explain how requests ended, or attempts came back."""
        ...


def advice_in(accounts: Accounts, advice: Advice) -> Advice:
    """Return the advice for the run of these accounts."""
    is_finished = accounts.run.state is State.FINISHED
    return advice.knowing(is_finished=is_finished, is_balanced=accounts.balanced, columns=accounts.columns)


def advise_all(accounts: Accounts, told: Advice, outcome: Outcome) -> str:
    """Return what to do about all requests with this outcome; `told` is the advice for the run of these accounts."""
    if outcome is Outcome.VALUE_NOT_APPLIED:
        return _advise_unset(accounts, told)
    uncovered = accounts.tallies.not_covered if outcome is Outcome.NOT_SENT else 0
    if not uncovered or not accounts.balanced:
        return told.advise(outcome, None, "")
    if uncovered == accounts.tallies.outcomes[outcome]:
        return told.advise(outcome, None, "not_covered")
    return f"Of these, {uncovered:,} were left out as covered: {FILE_OF[outcome]} says what to do about each."


def _advise_unset(accounts: Accounts, told: Advice) -> str:
    """Say what to do where a value was not set, and that attempts of ours may have set some of them after all."""
    outcome, perhaps = Outcome.VALUE_NOT_APPLIED, accounts.perhaps_set
    if not perhaps or not accounts.balanced:
        return told.advise(outcome, None, "")
    if perhaps == accounts.tallies.outcomes[outcome]:
        return (
            "Look the balance or reset up first: an attempt of ours whose answer was lost may have set it. "
            f"{FILE_OF[outcome]} says what to do about each."
        )
    first = f"Look {perhaps:,} of them up first ({FILE_OF[outcome]} says which)"
    return f"{told.advise(outcome, None, '')} {first}: an attempt of ours whose answer was lost may have set the value."


def advise_kind(accounts: Accounts, told: Advice, outcome: Outcome, what_to_do: str) -> str:
    """Return what to do about requests that ended in one way; `what_to_do` is the advice for it in any run."""
    return advise_all(accounts, told, outcome) if outcome is Outcome.VALUE_NOT_APPLIED else what_to_do


def same_name(header: str) -> str:
    """Return what two headers have in common that mean the same: case, blanks, `_` and `-` do not count."""
    return re.sub(r"[\s_-]+", "", header).casefold()


class OtherColumns:
    """The columns of the uploads that travel along, united over all inputs in the order of appearance.

    A column that we fill ourselves is not repeated; another one that bears a name of ours gets a prefix. In an
    upload that is one of our reports our own columns are replaced. A column that names the customers in another way
    than by id gets our name for it, so that it does so again when the file goes back in.
    """

    def __init__(self, ours: Sequence[str], inputs: Sequence[InputFacts], *, ours_replace_roles: bool) -> None:
        """`ours_replace_roles`: whether a column that was read as, say, customer_id stands among `ours` already."""
        names = {same_name(name) for name in ours}
        renamed = [
            {index: role for role, index in file.roles.items() if ours_replace_roles and role not in ours}
            for file in inputs
        ]
        taken = names | {same_name(role) for roles in renamed for role in roles.values()}
        places: dict[tuple[str, int], int] = {}
        self._indexes: dict[int, dict[int, int]] = {}
        for file, roles in zip(inputs, renamed, strict=True):
            filled = {index for role, index in file.roles.items() if role in ours} if ours_replace_roles else set()
            own_report = {"request_id", "outcome"} <= set(file.columns)
            indexes = self._indexes[file.input_no] = {}
            seen: dict[str, int] = {}
            for index, header in enumerate(file.columns):
                if index in filled or (own_report and same_name(header) in names):
                    continue
                name = roles.get(index) or (PREFIX + header if same_name(header) in taken else header)
                seen[name] = nth = seen.get(name, 0) + 1
                indexes[index] = places.setdefault((name, nth), len(places))
        self.headers = tuple(name for name, _ in places)

    def values(self, input_no: int, cells: Sequence[Value]) -> list[Value]:
        """Return the cells of a row of one input in the places of `headers`; what a row lacks is None."""
        values: list[Value] = [None] * len(self.headers)
        for index, place in self._indexes[input_no].items():
            if index < len(cells):
                values[place] = cells[index]
        return values


class OutcomeTable:
    """The layout of the four outcome files: `columns`, and the record of each request."""

    def __init__(self, inputs: Sequence[InputFacts], advice: Advice) -> None:
        self._others = OtherColumns(OUTCOME_COLUMNS, inputs, ours_replace_roles=True)
        self._files = {file.input_no: (file.path, file.sheet) for file in inputs}
        self._advise = lru_cache(maxsize=1024)(advice.advise)
        self.columns = OUTCOME_COLUMNS + self._others.headers

    def record(self, row: ReportRow, provenance: str | None = None, earlier_run: str | None = None) -> list[Value]:
        """Return the values of one line, in the order of `columns`."""
        asked, scope = row.request, row.request.scope
        resets = scope.kind is Kind.STREAK and scope.action is Action.ENROLL
        path, sheet = self._files[row.input_no]
        # Who enrolled the customer matters more than that the API said so, where a value was asked for.
        why = provenance if provenance and row.outcome is Outcome.VALUE_NOT_APPLIED else row.reason
        return [
            asked.customer if isinstance(asked.customer, int) else None,
            asked.period,
            asked.initial_balance,
            asked.reset_streak_status if resets else None,
            scope.action.value,
            scope.org_id,
            scope.target_group_id,
            scope.target_id,
            row.outcome.value,
            row.reason,
            row.http_status,
            row.error_code,
            row.error_message,
            self._advise(row.outcome, row.error_code, why),
            row.attempts,
            request_id(asked),
            row.api_request_id,
            utc_text(row.settled_at),
            path,
            sheet,
            row.row,
            provenance,
            earlier_run,
            *self._others.values(row.input_no, row.cells),
        ]


class RejectedTable:
    """The layout of rejected_rows: `columns`, and the record of each problem, duplicate or contradiction."""

    def __init__(self, inputs: Sequence[InputFacts]) -> None:
        self._others = OtherColumns(REJECTED_COLUMNS, inputs, ours_replace_roles=False)
        self._files = {file.input_no: (file.path, file.sheet) for file in inputs}
        self.columns = REJECTED_COLUMNS + self._others.headers

    def record(self, row: RejectedRow) -> list[Value]:
        """Return the values of one line, in the order of `columns`."""
        found = row.problem
        return [
            *self._files[row.input_no],
            row.row,
            found.column,
            found.value,
            found.problem.value,
            found.hint + self._other_place(row),
            row.duplicate_of_row,
            *self._others.values(row.input_no, row.cells),
        ]

    def _other_place(self, row: RejectedRow) -> str:
        """Say where the other row stands, unless it stands in the same file and sheet."""
        if row.duplicate_of_row is None or row.duplicate_of_input in {None, row.input_no}:
            return ""
        path, sheet = self._files[row.duplicate_of_input]
        where = f'{path}, sheet "{sheet}"' if sheet else path
        return f"; row {row.duplicate_of_row} stands in {where}"


def utc_text(at: int | None) -> str | None:
    """Return nanoseconds since 1970 as ISO 8601 in UTC, to the millisecond."""
    if at is None:
        return None
    seconds, nanoseconds = divmod(at, 1_000_000_000)
    return f"{_utc_second(seconds)}.{nanoseconds // 1_000_000:03d}Z"


@lru_cache(maxsize=16)
def _utc_second(seconds: int) -> str:
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%S}"
