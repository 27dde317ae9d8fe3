"""Beside the steps: tell everybody, and do not be held up or brought down by it.

Owns retries and the time that telling may take. A message that does not arrive is a line for the log, never an
error: the run has ended as it has.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.nightly.messages import Undelivered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batch.model import Occasion
    from batch.nightly.messages import Message, Way

WAITS_S = (1.0, 5.0)
"""Before the second and the third attempt. Source: our choice, because a mail server's hiccup is over by then."""
PATIENCE_S = 60.0
"""For all ways together, which are walked side by side. Source: our choice; three attempts of 10 s and their waits."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a message on one way; `fault` is None when it arrived, `reached` when somebody has got it."""

    way: str
    occasion: Occasion
    attempts: int
    fault: str | None
    reached: bool

    @property
    def text(self) -> str:
        """One line for a log."""
        tries = f"{self.attempts} attempt{'' if self.attempts == 1 else 's'}"
        return f"{self.way}: {'told' if self.fault is None else f'not told: {self.fault}'} ({tries})"


def deliver(
    errands: Sequence[tuple[Way, Message]],
    *,
    waits_s: Sequence[float] = WAITS_S,
    patience_s: float = PATIENCE_S,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Delivery]:
    """Send each message on its way, all at once, and return what became of each, in their order. Never raises.

    `waits_s`: seconds before each further attempt. Whoever is not done after `patience_s` is left alone.
    """
    walks = [_Walk(way, message, waits_s, sleep) for way, message in errands]
    for walk in walks:
        walk.start()
    until = time.monotonic() + patience_s
    return [walk.result(max(0.0, until - time.monotonic())) for walk in walks]


class _Walk:
    """One way, walked on a thread of its own that does not keep the program from ending."""

    def __init__(self, way: Way, message: Message, waits_s: Sequence[float], sleep: Callable[[float], None]) -> None:
        self._way = way
        self._message = message
        self._waits_s = waits_s
        self._sleep = sleep
        self._attempts = 0
        self._reached = False
        self._delivery: Delivery | None = None
        self._thread = threading.Thread(target=self._walk, name=f"notify {way.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def result(self, patience_s: float) -> Delivery:
        self._thread.join(patience_s)
        return self._delivery or self._now("it takes too long")

    def _now(self, fault: str | None) -> Delivery:
        return Delivery(self._way.name, self._message.occasion, self._attempts, fault, self._reached)

    def _walk(self) -> None:
        fault: str | None = None
        for wait_s in (0.0, *self._waits_s):
            if wait_s:
                self._sleep(wait_s)
            self._attempts += 1
            fault, again = self._attempt()
            if not again:
                break
        self._delivery = self._now(fault)

    def _attempt(self) -> tuple[str | None, bool]:
        """Return what went wrong, None for nothing, and whether it is worth another attempt."""
        try:
            self._way.send(self._message)
        except Undelivered as undelivered:
            self._reached |= undelivered.reached
            self._way = undelivered.rest or self._way
            return undelivered.text, undelivered.again
        except Exception as fault:  # a way's own fault must not cost the run its end, nor be quoted
            return f"a fault of enroll-batch itself ({type(fault).__name__})", False
        self._reached = True
        return None, False
