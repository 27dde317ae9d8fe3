"""Beside the steps: whatever apprise speaks: chats, telephones and a hundred services more.

Owns the use of that library, which is an extra. Its URL is a secret as a whole, and its log is kept quiet, because it
may quote the URL.
"""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batch.nightly.messages import Undelivered

if TYPE_CHECKING:
    from batch.nightly.messages import Message


@dataclass(frozen=True, slots=True)
class Chat:
    """One service, by apprise's URL for it."""

    name: str
    url: str = field(repr=False)

    def send(self, message: Message) -> None:
        """Send once.

        Raises:
            Undelivered: the extra is missing, the URL is not understood, or the service did not take it.
        """
        if not self._service().notify(title=message.title, body=message.body, body_format="text"):
            raise Undelivered("the service did not take it", again=True)

    def check(self) -> str:
        """Look whether apprise understands the URL; it offers no way to ask the service.

        Raises:
            Undelivered: it does not, or is not installed.
        """
        self._service()
        return "apprise understands its URL; whether the service takes it shows only when something is sent"

    def _service(self) -> Any:
        try:
            apprise = importlib.import_module("apprise")
        except ImportError:
            text = "apprise is not installed: pip install 'enroll-batch[apprise]'"
            raise Undelivered(text, again=False) from None
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        service = apprise.Apprise()
        if not service.add(self.url):
            raise Undelivered("apprise does not understand its URL; see github.com/caronc/apprise", again=False)
        return service
