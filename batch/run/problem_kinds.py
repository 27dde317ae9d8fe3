"""What is wrong with the rows of a plan, by kind: how often, and where first, for a person who looks at the plan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch.ledger.sqlite import SqliteLedger


@dataclass(frozen=True, slots=True)
class PlanProblem:
    """A kind of row problem, with how many rows or requests have it, and the first of them."""

    kind: str
    count: int
    where: str
    """Such as `row 17`, with the file where there are several."""
    column: str
    hint: str


_PROBLEMS = """
SELECT p.problem, count(*), min(p.problem_no), i.path, s.row, p.column, p.hint
FROM row_problem p JOIN source_row s USING (row_no) JOIN input i USING (input_no) GROUP BY p.problem ORDER BY 2 DESC, 1
"""


def problem_kinds(ledger: SqliteLedger) -> tuple[PlanProblem, ...]:
    """Return the kinds of row problems of a plan, the most frequent first."""
    ((files,),) = ledger.read("SELECT count(DISTINCT path) FROM input")
    return tuple(
        PlanProblem(kind, count, f"{Path(path).name}, row {row}" if files > 1 else f"row {row}", column, hint)
        for kind, count, _, path, row, column, hint in ledger.read(_PROBLEMS)
    )
