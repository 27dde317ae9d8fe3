"""Step 4 of 5: carry out one attempt, or one look at the API, from its start to its conclusion.

Owns what is done about a refused token, a cancellation, and a fault of our own. Does not know when to start one, nor
which worker is free.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from batch.errors import AccessRefused
from batch.model import StopReason
from batch.sending.conclusions import now_ns
from batch.sending.guards import Stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.model import OpenRequest, Verdict
    from batch.sending.conclusions import Conclusions
    from batch.sending.needless import Needless
    from batch.sending.protocols import Judge, Sender


class Attempts:
    """The attempts of one invocation, each on a worker's own connection."""

    def __init__(
        self,
        sender: Sender,
        judge: Judge,
        conclusions: Conclusions,
        needless: Needless,
        stop: Callable[[Stop], None],
    ) -> None:
        self._sender = sender
        self._judge = judge
        self._conclusions = conclusions
        self._needless = needless
        self._stop = stop
        self._renewed: set[int] = set()
        self.count = 0
        """How many were begun; looks at the API are none."""

    async def make(self, worker: int, item: OpenRequest) -> None:
        """Send a request, or ask what became of it, and draw the conclusion. Raises nothing."""
        await (self._look(worker, item) if item.look else self._attempt(worker, item))

    async def _attempt(self, worker: int, item: OpenRequest) -> None:
        started, started_at = now_ns(), time.time_ns()
        self.count += 1
        try:
            verdict = await self._ask(worker, item)
            self._conclusions.conclude(item, verdict, started=started, started_at=started_at)
        except AccessRefused as refusal:
            self.count -= 1
            self._conclusions.withdraw(item)
            self._stop(Stop(StopReason.REFUSED, refusal.text))
        except asyncio.CancelledError:
            self._conclusions.lose(item, started_at, "stopped before the answer came")
        except Exception as fault:  # an unknown fault stops the run; its request is not tried again
            self._stop(_own_fault(fault))
            self._conclusions.lose(item, started_at, _own_fault(fault).text)

    async def _look(self, worker: int, item: OpenRequest) -> None:
        """Ask what became of a request in doubt, or left out. Whatever goes wrong here leaves it so, for a resume."""
        started = now_ns()
        try:
            if item.asks_about:
                self._needless.conclude(item, await self._sender.look_at(worker, item.asks_about), started=started)
            else:
                self._conclusions.conclude_look(item, await self._sender.verify(worker, item.request), started=started)
        except asyncio.CancelledError:
            self._conclusions.leave_look(item)
        except AccessRefused as refusal:
            self._conclusions.leave_look(item)
            self._stop(Stop(StopReason.REFUSED, refusal.text))
        except Exception as fault:
            self._conclusions.leave_look(item)
            self._stop(_own_fault(fault))

    async def _ask(self, worker: int, item: OpenRequest) -> Verdict:
        """Make one attempt and say what it means, renewing the token once if that may help."""
        answer = await self._sender.send(worker, item.request)

        def judge(can_renew: bool) -> Verdict:
            return self._judge(
                item.request, answer, maybe_applied=item.maybe_applied, can_renew=can_renew, now_s=time.time()
            )

        verdict = judge(item.request_no not in self._renewed)
        if not verdict.renew_token:
            self._renewed.discard(item.request_no)
            return verdict
        self._renewed.add(item.request_no)
        try:
            return verdict if await self._sender.renew_token(worker) else judge(False)
        except AccessRefused as refusal:
            self._stop(Stop(StopReason.REFUSED, refusal.text))
            return judge(False)


def _own_fault(fault: Exception) -> Stop:
    """Name the innermost line of a fault, without any of its values."""
    trace = fault.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace else "an unknown place"
    return Stop(StopReason.FAULT, f"a fault of enroll-batch itself: {type(fault).__name__} at {place}")
