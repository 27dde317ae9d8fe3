"""Step 4 of 5: decide which of the open requests are for this invocation to send: `--limit` and the canary.

Pure: no clock, no tasks, no ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.model import StopReason
from batch.sending.guards import Stop

if TYPE_CHECKING:
    from batch.model import OpenRequest


class Selection:
    """What one invocation may send. A request that it has begun may always be tried again."""

    def __init__(self, limit: int | None, canary: frozenset[int] | None) -> None:
        """`limit`: at most so many requests, None for all. `canary`: only these customers, None for all."""
        self._limit = limit
        self._canary = canary
        self._begun: set[int] = set()
        self.is_used_up = False
        """Whether something was left out for the limit: then no further chunk is wanted."""

    def takes(self, item: OpenRequest) -> bool:
        """Return whether a request is to be sent now, and count it; what is not taken stays open for a resume."""
        if self._canary is not None and item.request.customer not in self._canary:
            return False
        if self._limit is None or item.request_no in self._begun:
            return True
        if len(self._begun) >= self._limit:
            self.is_used_up = True
            return False
        self._begun.add(item.request_no)
        return True

    @property
    def leaves_out(self) -> bool:
        """Whether requests are left to a resume, so that not all answers will be in."""
        return self._canary is not None or self.is_used_up

    @property
    def stop(self) -> Stop | None:
        """Why the run stops when nothing more may be sent; None when nothing was left out for the limit."""
        if not self.is_used_up:
            return None
        return Stop(StopReason.LIMIT, f"--limit: {self._limit} requests were sent", {"limit": self._limit})
