"""Beside the steps: a sign of life for a watchman who raises the alarm when he hears nothing.

Owns which sign is given. Source: healthchecks.io/docs/http_api and .../measuring_script_run_time: the URL itself is
success, `/start` and `/fail` behind it are the others, and a short text may come along; other services do the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.nightly.messages import FINISHED

if TYPE_CHECKING:
    from batch.nightly.messages import Message
    from batch.nightly.web import Receiver


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One URL, which is a secret of sorts: whoever knows it can keep the watchman quiet."""

    name: str
    receiver: Receiver

    def send(self, message: Message) -> None:
        """Give a sign: begun, come to an end, or not.

        Raises:
            Undelivered: it did not arrive.
        """
        suffix = "/start" if message.exit_code is None else "" if message.exit_code in FINISHED else "/fail"
        self.receiver.post(message.body.encode(), {"Content-Type": "text/plain; charset=utf-8"}, suffix)

    def check(self) -> str:
        """Open a connection and close it again.

        Raises:
            Undelivered: a sign would not arrive.
        """
        return self.receiver.check()
