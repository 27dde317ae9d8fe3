"""Step 4 of 5: decide what becomes of a request whose turn it is: it leaves, or is seen to without a call.

Owns the order of the questions: whether its scope is closed, whether it stays in doubt, whether it is needless, and
whether it is for this invocation to send. Knows no time and no task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch.model import OpenRequest
    from batch.sending.conclusions import Conclusions
    from batch.sending.lanes import Lanes
    from batch.sending.needless import Needless
    from batch.sending.quarantine import Quarantines
    from batch.sending.selection import Selection


class Turns:
    """Whose turn it is, and what comes of it."""

    def __init__(
        self,
        lanes: Lanes,
        quarantines: Quarantines,
        conclusions: Conclusions,
        needless: Needless,
        selection: Selection,
    ) -> None:
        self._lanes = lanes
        self._quarantines = quarantines
        self._conclusions = conclusions
        self._needless = needless
        self._selection = selection

    def next(self) -> OpenRequest | None:
        """Take the next request; return it when it is to leave, None when it is seen to."""
        item = self._lanes.take()
        if item.asks_about:
            return item if self._needless.is_worth_asking(item) else None
        if closed := self._quarantines.closed_for(item.request):
            self._conclusions.leave_out(item, closed)
        elif self._conclusions.is_to_be_left(item):
            self._conclusions.leave_in_doubt(item)
        elif self._needless.stands_back(item):
            return None
        elif self._selection.takes(item):
            return item
        else:
            self._lanes.give_back(item)
        return None
