"""Beside the steps: JSON to a URL, signed so that the receiver knows who it is from.

Owns the payload and the signature. Source: the Standard Webhooks specification
(github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md): its headers and its way of signing, so
that receivers can verify with a library of theirs.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.nightly.messages import Message
    from batch.nightly.web import Receiver

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"


@dataclass(frozen=True, slots=True)
class Webhook:
    """One URL and the key that it shares with us. `clock` gives seconds since 1970."""

    name: str
    receiver: Receiver
    hmac_key: str = field(repr=False)
    clock: Callable[[], float] = time.time

    def send(self, message: Message) -> None:
        """Send once; every attempt has the message's id, and a timestamp and a signature of its own.

        Raises:
            Undelivered: it did not arrive.
        """
        body = payload(message)
        timestamp = str(int(self.clock()))
        headers = {
            "Content-Type": "application/json",
            ID_HEADER: message.message_id,
            TIMESTAMP_HEADER: timestamp,
            SIGNATURE_HEADER: signature(self.hmac_key, message.message_id, timestamp, body),
        }
        self.receiver.post(body, headers)

    def check(self) -> str:
        """Open a connection and close it again.

        Raises:
            Undelivered: a message would not arrive.
        """
        return self.receiver.check()


def payload(message: Message) -> bytes:
    """Return the JSON of a message: `type`, `timestamp`, `about`, `exit_code`, `text`, `report`."""
    at = dt.datetime.fromtimestamp(int(message.at_s), dt.UTC)
    content = {
        "type": f"enroll_batch.{message.occasion}",
        "timestamp": at.isoformat().replace("+00:00", "Z"),
        "about": message.about,
        "exit_code": message.exit_code,
        "text": message.text,
        "report": message.report,
    }
    return json.dumps(content).encode()


def signature(hmac_key: str, message_id: str, timestamp: str, body: bytes) -> str:
    """Return `v1,` and the base64 of the HMAC-SHA256 over id, timestamp and body, joined by dots.

    A key that begins with `whsec_` is base64 behind that, as the specification has it; any other is taken as it is.
    """
    key = hmac_key.encode()
    if hmac_key.startswith("whsec_"):
        try:
            key = base64.b64decode(hmac_key.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            key = hmac_key.encode()
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}"
