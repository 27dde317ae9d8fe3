"""Beside the steps: what is said about a run or a night, and what a way of saying it must be able to do.

Owns the words around the summary. Does not know how a message travels, nor where its text comes from; no customer is
in it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Protocol

from batch.model import Occasion

_OCCASIONS = {0: Occasion.DONE, 4: Occasion.PARTIAL, 5: Occasion.PARTIAL} | dict.fromkeys((2, 3, 10), Occasion.REFUSED)

FINISHED = frozenset({0, 4, 5})
"""Exit codes of what came to its end, whatever of it needs work."""


def occasion_of(exit_code: int) -> Occasion:
    """Return what an exit code is told as. Source: DESIGN "Exit codes"; our choice: what needs a person now stopped."""
    return _OCCASIONS.get(exit_code, Occasion.STOPPED)


@dataclass(frozen=True, slots=True)
class Message:
    """One message, the same for everybody who gets it.

    `about` names the run or the night; `exit_code` is None at the start; `report` is a path or a link, "" for none;
    `at_s` is seconds since 1970. `headline` says in a few words how it went, where the occasion says too little.
    `message_id` lets a receiver know a message that is sent again.
    """

    occasion: Occasion
    about: str
    exit_code: int | None
    text: str
    report: str
    at_s: float
    headline: str = ""
    message_id: str = field(default_factory=lambda: f"msg_{secrets.token_hex(16)}")

    @property
    def title(self) -> str:
        """One line for a subject."""
        is_said = self.headline and self.occasion is not Occasion.RECOVERED
        said = [*([] if is_said else [self.occasion.value]), *([self.headline] if self.headline else [])]
        return ": ".join([f"enroll-batch {self.about}", *said])

    @property
    def body(self) -> str:
        """The text, and where the report is; whatever a path holds, it can be encoded."""
        body = f"{self.text.rstrip()}\n" + (f"\nReport: {self.report}\n" if self.report else "")
        return body.encode(errors="backslashreplace").decode()


class Undelivered(Exception):
    """A message did not arrive, or would not. `text` says why, without address and secrets; `again`: worth a retry.

    Where a way goes to several people, `reached` says that some have got it, and `rest` is the way to the others that
    a retry takes, so that nobody gets it twice.
    """

    def __init__(self, text: str, *, again: bool, reached: bool = False, rest: Way | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.again = again
        self.reached = reached
        self.rest = rest


class Way(Protocol):
    """A way on which messages travel to one receiver."""

    @property
    def name(self) -> str:
        """What the config calls it, without its address."""
        ...

    def send(self, message: Message) -> None:
        """Send once, in bounded time.

        Raises:
            Undelivered: it did not arrive.
        """
        ...

    def check(self) -> str:
        """Go as far as is possible without sending anything; return what was found to be in order.

        Raises:
            Undelivered: a message would not arrive.
        """
        ...
