"""Step 1 of 5: row x cycles -> requests, or the problems that a person has to mend.

Owns the rules of what a row asks for: which of column and config decides, and that a row gives either requests or
problems. Pure; knows no file format, no ledger (which finds the duplicates) and no HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from batch.errors import FileRefused, InputRefused
from batch.intake import cells as read
from batch.intake.cells import Fault
from batch.intake.column import Column
from batch.intake.headers import is_own_report, match_columns
from batch.intake.identifiers import Customers
from batch.intake.left_out import LeftOut
from batch.intake.own_report import OwnReport
from batch.intake.raw_cells import BLANKS, cell_text, counted, is_blank_cell, quoted
from batch.model import Action, Cell, EnrollmentRequest, Kind, Problem, RowProblem, Scope, SourceRow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["PlanRules", "Planner", "RowPlan", "is_blank", "match_columns"]


@dataclass(frozen=True, slots=True)
class PlanRules:
    """What the config says, for columns that the file does not have.

    `cycles` None means that only a column may name them. `expand` is "each" or "first" and applies to `cycles` only.
    """

    action: Action
    kind: Kind
    target_group_id: int | None
    target_id: int | None
    org_id: int | None
    cycles: tuple[str, ...] | None
    expand: str
    initial_balance: int | None
    reset_streak_status: bool
    period_separator: str | None
    country_code: str | None = None
    """Of mobile numbers without one."""
    cycles_of: int | None = None
    """The only target group, of our own organisation, that has `cycles`; None where a person wrote them."""

    @property
    def configured(self) -> frozenset[str]:
        """The columns instead of which the config gives a row a value."""
        given = {
            "initial_balance": self.initial_balance is not None,
            "reset_streak_status": self.reset_streak_status,
            "period_name": bool(self.cycles),
        }
        return frozenset(name for name, is_given in given.items() if is_given)


class RowPlan(NamedTuple):
    """What becomes of one row: requests or problems, never both, never neither.

    `requests` are in the order of the cycles. `notes` are constant sentences about what was left out. A tuple,
    because one is made for every row and a frozen dataclass takes twice as long.
    """

    requests: tuple[EnrollmentRequest, ...]
    problems: tuple[RowProblem, ...]
    notes: tuple[str, ...]


def is_blank(row: SourceRow) -> bool:
    """Tell whether a row of a table is blank: `Table.rows` yields those without cells."""
    return not row.cells


_UNENROLL = Action.UNENROLL  # the look-up of a member of an enum costs as much as a whole cell


class Planner:
    """Turns the rows of one table into requests or problems.

    Raises:
        InputRefused: neither a column nor the config gives what every row needs.

    """

    def __init__(self, rules: PlanRules, columns: Sequence[str], roles: Mapping[str, int]) -> None:
        self._rules = rules
        self._columns = tuple(columns)
        self._width = len(columns)
        self._roles = dict(roles)
        self._own_report = OwnReport(columns) if is_own_report(columns) else None
        self._is_streak = rules.kind is Kind.STREAK
        self._refuse_what_is_missing()
        self._customers = Customers(columns, roles, rules.country_code)
        self._action = self._column("action", read.read_action)
        self._org = self._column("org_id", self._read_org)
        self._target_group = self._column("target_group_id", read.read_id)
        self._target = self._column("target_id", read.read_id)
        self._period = self._column("period_name", self._read_periods)
        self._balance = self._column("initial_balance", read.read_balance)
        self._reset = self._column("reset_streak_status", read.read_yes_no)
        self._cycles = (rules.cycles or ())[: 1 if rules.expand == "first" else None]
        self._left_out = [
            LeftOut(each, rules.kind, roles, rules.configured) for each in (Action.ENROLL, Action.UNENROLL)
        ]
        self._scopes: dict[tuple[Action, int | None, int, int], Scope] = {}
        self._only_scope = None
        if not {"action", "org_id", "target_group_id", "target_id"} & roles.keys():
            self._only_scope = self._scope((), [])

    def plan_row(self, row: SourceRow) -> RowPlan:
        """Return what `row` asks for. Blank rows (`is_blank`) are the caller's business.

        Raises: InputRefused where the cycles of one target group would be used for another.
        """
        cells = row.cells
        if len(cells) != self._width:
            if problem := self._shape_problem(cells):
                return RowPlan((), (problem,), ())
            cells = (*cells, *(None,) * (self._width - len(cells)))
        problems: list[RowProblem] = []
        customer = self._customers.take(cells, problems)
        scope = self._only_scope or self._scope(cells, problems)
        requests = self._requests(cells, customer, scope, problems) if scope else ()
        if self._own_report and not problems:
            requests = self._own_report.compared(cells, requests, problems)
        if problems or scope is None:
            return RowPlan((), tuple(problems), ())
        return RowPlan(requests, (), self._left_out[scope.action is _UNENROLL].notes(cells))

    def _requests(
        self, cells: Sequence[Cell], customer: int | str, scope: Scope, problems: list[RowProblem]
    ) -> tuple[EnrollmentRequest, ...]:
        """Read the columns that apply to this action and kind, and expand the row over its cycles."""
        if scope.action is _UNENROLL:
            return (EnrollmentRequest(scope, customer),)
        if self._is_streak:
            reset = self._reset.take(cells, problems) if self._reset else self._rules.reset_streak_status
            return (EnrollmentRequest(scope, customer, None, None, reset),)
        periods = self._period.take(cells, problems) if self._period else self._cycles
        balance = self._balance.take(cells, problems) if self._balance else self._rules.initial_balance
        if not periods:
            problems.append(RowProblem("period_name", "", Problem.MISSING, _NO_CYCLE))
        if problems:
            return ()
        if len(periods) == 1:
            return (EnrollmentRequest(scope, customer, periods[0], balance),)
        return tuple([EnrollmentRequest(scope, customer, period, balance) for period in periods])

    def _scope(self, cells: Sequence[Cell], problems: list[RowProblem]) -> Scope | None:
        """Return where the row's requests go, or None where the row does not say which columns apply to it."""
        rules, before = self._rules, len(problems)
        group: Any
        target: Any
        action = self._action.take(cells, problems) if self._action else rules.action
        org = self._org.take(cells, problems) if self._org else rules.org_id
        group = self._target_group.take(cells, problems) if self._target_group else rules.target_group_id
        target = self._target.take(cells, problems) if self._target else rules.target_id
        if len(problems) > before:  # such a row is never sent; its other columns are still looked at
            return None if isinstance(action, Fault) else Scope(action, rules.kind, None, 0, 0)
        key = (action, org, group, target)
        scope = self._scopes.get(key)
        if scope is None:
            scope = self._scopes[key] = Scope(action, rules.kind, org, group, target)
            if not self._period and action is not _UNENROLL:
                self._refuse_cycles_of_another(scope)
        return scope

    def _refuse_cycles_of_another(self, scope: Scope) -> None:
        """Refuse a scope whose cycles may be others: a wrong cycle cannot be taken back."""
        group, own = scope.target_group_id, self._rules.cycles_of
        if own is None or self._is_streak or (group == own and scope.org_id is None):
            return
        other = f"target group {group}" + (f" of organisation {scope.org_id}" if scope.org_id is not None else "")
        means = (
            f"campaign.cycles: api means the cycles of target group {own} of our own organisation, and this row names"
        )
        remedy = (
            "give each group a file and a config of its own, or write campaign.cycles out, or add a column period_name"
        )
        raise InputRefused(f"{means} {other}; {remedy}", told=f"{means} another; {remedy}")

    def _shape_problem(self, cells: Sequence[Cell]) -> RowProblem | None:
        """Find out whether a row with more or fewer cells than the header can still be read.

        Blank extra cells are delimiters typed too many. A missing cell matters in a column with a role: the row
        may have been cut, or its cells moved.
        """
        width = self._width
        extra = [cell_text(cell) for cell in cells[width:] if not is_blank_cell(cell)]
        if extra:
            found = f"the row has {counted(len(cells), 'cell')}, the header {width}"
            hint = f"{found}; put a cell that holds the delimiter in quotes"
            return RowProblem("", ", ".join(extra), Problem.ROW_SHAPE, hint)
        missing = [name for name, index in self._roles.items() if index >= len(cells)]
        if not missing:
            return None
        hint = f"the row ends after {len(cells)} of {counted(width, 'cell')}, before {missing[0]}; complete it"
        return RowProblem(self._columns[self._roles[missing[0]]], "", Problem.ROW_SHAPE, hint)

    def _read_org(self, cell: Cell) -> int | Fault | None:
        """Read an org id. In our own reports, and only there, blank means that no other org was meant."""
        if self._own_report and is_blank_cell(cell):
            return None
        return read.read_id(cell)

    def _read_periods(self, cell: Cell) -> tuple[str, ...] | Fault:
        """Read one period name, or several where a separator is set (a report of ours has one in each row)."""
        name = read.read_name(cell)
        separator = self._rules.period_separator
        if isinstance(name, Fault):
            return name
        if not separator or self._own_report or separator not in name:
            return (name,)
        names = tuple(part.strip(BLANKS) for part in name.split(separator))
        if not all(names):
            hint = f'{quoted(name)} has a blank name beside a "{separator}"; remove the separator or write the name'
            return Fault(Problem.MISSING, hint)
        return names

    def _column(self, name: str, reader: Callable[[Cell], Any]) -> Column | None:
        index = self._roles.get(name)
        return None if index is None else Column(index, self._columns[index], reader)

    def _refuse_what_is_missing(self) -> None:
        rules, roles = self._rules, self._roles
        for name, value in (("target_group_id", rules.target_group_id), ("target_id", rules.target_id)):
            if value is None and name not in roles:
                raise FileRefused(f"neither a column {name} nor campaign.{name} says where to enroll; give one of them")
        every_row_enrolls = "action" not in roles and rules.action is Action.ENROLL
        if rules.kind is Kind.MILESTONE and every_row_enrolls and "period_name" not in roles and not rules.cycles:
            raise FileRefused(_NO_CYCLE)


_NO_CYCLE = "neither a column period_name nor campaign.cycles names a cycle; give one of them"
