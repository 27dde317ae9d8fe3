"""Step 1 of 5: a row of a report of ours that comes back in, compared with the `request_id` beside it.

Owns what such a row says besides what any row says: that nobody has changed it, and that it may have been applied.
Pure; which table is a report of ours is said by `headers`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from batch.intake.raw_cells import BLANKS, cell_text
from batch.model import Outcome, Problem, RowProblem, request_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.model import Cell, EnrollmentRequest

_CHANGED_ROW = (
    "request_id does not fit the row any more; empty the request_id to send the row as it now stands, "
    "or undo the change"
)


class OwnReport:
    """The two columns by which a report of ours is known."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._request_id = columns.index("request_id")
        self._outcome = columns.index("outcome")

    def compared(
        self, cells: Sequence[Cell], requests: tuple[EnrollmentRequest, ...], problems: list[RowProblem]
    ) -> tuple[EnrollmentRequest, ...]:
        """Return a row's requests as it was reported; add to `problems` that somebody has changed row or digest.

        A row that the earlier run left in doubt starts as one that may have been applied; without its digest it is a
        new request.
        """
        written = cell_text(cells[self._request_id]).strip(BLANKS)
        if not written:
            return requests
        if written not in map(request_id, requests):
            requests = _unguarded(requests)  # a row of a CSV file that was copied into our workbook
        if written not in map(request_id, requests):
            problems.append(RowProblem("request_id", written, Problem.AMBIGUOUS, _CHANGED_ROW))
        if cell_text(cells[self._outcome]).strip(BLANKS) == Outcome.IN_DOUBT:
            return tuple(replace(request, doubtful=True) for request in requests)
        return requests


def _unguarded(requests: Sequence[EnrollmentRequest]) -> tuple[EnrollmentRequest, ...]:
    """Return the requests without the apostrophe that our CSV writer puts before dangerous names."""
    return tuple(replace(each, period=each.period.removeprefix("'")) if each.period else each for each in requests)
