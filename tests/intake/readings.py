"""Reads a file as a run does, and says in short what came out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batch.intake.plan import Planner, PlanRules, is_blank, match_columns
from batch.intake.reader import ReadRules, open_tables
from batch.model import Action, Kind, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from batch.model import EnrollmentRequest, RowProblem, SourceRow

RULES: dict[str, Any] = {
    "action": Action.ENROLL,
    "kind": Kind.MILESTONE,
    "target_group_id": 29463,
    "target_id": 5512,
    "org_id": None,
    "cycles": None,
    "expand": "each",
    "initial_balance": None,
    "reset_streak_status": False,
    "period_separator": None,
}


@dataclass
class Reading:
    """What came out of a file, in the order of its rows."""

    requests: list[EnrollmentRequest] = field(default_factory=list)
    arrived: list[tuple[int, str | None]] = field(default_factory=list)
    """Each request's row and period."""
    problems: list[tuple[int, RowProblem]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    rows: list[SourceRow] = field(default_factory=list)
    columns: list[tuple[str, ...]] = field(default_factory=list)
    sheets: list[str | None] = field(default_factory=list)

    @property
    def sent(self) -> list[tuple[object, ...]]:
        """Each request as (customer, period), and (customer, period, balance) where it has a balance."""
        return [
            (request.customer, request.period)
            if request.initial_balance is None
            else (request.customer, request.period, request.initial_balance)
            for request in self.requests
        ]

    @property
    def reported(self) -> list[tuple[int, str, Problem]]:
        """Each problem as (row, column, problem)."""
        return [(row, problem.column, problem.problem) for row, problem in self.problems]


def plan_rules(**changed: Any) -> PlanRules:
    """Return the config of these tests: a milestone whose cycles stand in a column."""
    return PlanRules(**RULES | changed)


def read(
    path: Path, rules: ReadRules | None = None, renamed: Mapping[str, str] | None = None, **changed: Any
) -> Reading:
    """Read all tables of a file."""
    reading = Reading()
    for table in open_tables(path, rules or ReadRules()):
        with table:
            planner = Planner(plan_rules(**changed), table.columns, match_columns(table.columns, renamed or {}))
            reading.columns.append(table.columns)
            reading.remarks += table.remarks
            reading.sheets.append(table.sheet)
            for row in table.rows():
                reading.rows.append(row)
                if is_blank(row):
                    continue
                plan = planner.plan_row(row)
                assert bool(plan.requests) != bool(plan.problems)
                reading.requests += plan.requests
                reading.arrived += [(row.row, request.period) for request in plan.requests]
                reading.problems += [(row.row, problem) for problem in plan.problems]
                reading.notes += plan.notes
    return reading
