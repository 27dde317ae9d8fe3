"""Step 1 of 5: values that do not apply to a row's action and kind are left out, with a note for the report.

Owns what applies to what. Pure; whether a value that applies can be used is said elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.intake.cells import read_balance, read_yes_no
from batch.intake.raw_cells import is_blank_cell
from batch.model import Action, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from batch.model import Cell

_HOLDS_VALUE: dict[str, Callable[[Cell], bool]] = {
    "initial_balance": lambda cell: read_balance(cell) is not None,
    "reset_streak_status": lambda cell: read_yes_no(cell) is not False,
    "period_name": lambda cell: not is_blank_cell(cell),
}
_WORDS = {Kind.MILESTONE: "a milestone", Kind.STREAK: "a streak"}


class LeftOut:
    """What does not apply to the rows of one action and kind: columns of the file, and values of the config."""

    def __init__(self, action: Action, kind: Kind, roles: Mapping[str, int], configured: Collection[str]) -> None:
        """`roles` is what `match_columns` has found, `configured` names what the config has a value for."""
        what = "an unenroll" if action is Action.UNENROLL else _WORDS[kind]
        names = _does_not_apply(action, kind)
        self._columns = tuple(
            (roles[name], _HOLDS_VALUE[name], f"{name} does not apply to {what}: left out")
            for name in names
            if name in roles
        )
        self._of_config = tuple(
            f"campaign.{'cycles' if name == 'period_name' else name} does not apply to {what}: left out"
            for name in names
            if name not in roles and name in configured
        )

    def notes(self, cells: Sequence[Cell]) -> tuple[str, ...]:
        """Return a constant sentence for each value that is left out of a row with these cells."""
        if not self._columns:
            return self._of_config
        return tuple(note for index, holds_value, note in self._columns if holds_value(cells[index])) + self._of_config


def _does_not_apply(action: Action, kind: Kind) -> Sequence[str]:
    if action is Action.UNENROLL:
        return ("initial_balance", "reset_streak_status", "period_name")
    return ("reset_streak_status",) if kind is Kind.MILESTONE else ("initial_balance", "period_name")
