"""Step 5 of 5: outcomes by target and cycle, by target and by cycle, as tables.

Pure. pandas does the pivoting; the counts come from the ledger's subtotals, so the table is as small as the campaign.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from batch.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batch.model import Scope, Subtotal

_OUTCOMES = frozenset(outcome.value for outcome in Outcome)
NO_CYCLE = "(none)"
"""What stands for the cycle of a streak or an unenroll."""


def by_target_and_cycle(subtotals: Iterable[Subtotal]) -> pd.DataFrame:
    """Return one line per target and cycle, in the order of the upload, and a column per outcome that occurs.

    The index has the levels `target` and `cycle`, both texts; the last column, `requests`, is the sum of the others.
    """
    cells = [
        {"target": target_text(s.scope), "cycle": s.period or NO_CYCLE, "outcome": s.outcome.value, "count": s.count}
        for s in subtotals
    ]
    frame = pd.DataFrame(cells, columns=["target", "cycle", "outcome", "count"])
    table = frame.pivot_table(
        index=["target", "cycle"], columns="outcome", values="count", aggfunc="sum", fill_value=0, sort=False
    )
    occurring = [outcome.value for outcome in Outcome if outcome.value in table.columns]
    table = table.reindex(columns=occurring)
    table["requests"] = table.sum(axis="columns")
    return table


def totals_by(level: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return the sums of a table of `by_target_and_cycle` by one level of its index, in the order of the upload."""
    return table.groupby(level=level, sort=False).sum()


def outcome_counts(columns: Iterable[str], counts: Iterable[int]) -> list[tuple[Outcome, int]]:
    """Return the outcomes of one line of such a table that occur in it, with their counts."""
    return [
        (Outcome(name), int(count)) for name, count in zip(columns, counts, strict=True) if count and name in _OUTCOMES
    ]


def target_text(scope: Scope) -> str:
    """Return a scope as people read it."""
    org = "" if scope.org_id is None else f", org {scope.org_id}"
    action = "" if scope.action == "enroll" else f", {scope.action}"
    return f"{scope.kind} {scope.target_group_id}/{scope.target_id}{org}{action}"
