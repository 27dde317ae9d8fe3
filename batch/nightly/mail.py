"""Beside the steps: mail, by a server that proves who it is before it hears the password.

Owns the session and the letter. What a server says is not quoted: it may repeat what it was told.
"""

from __future__ import annotations

import datetime as dt
import smtplib
import ssl
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING

from batch.nightly.messages import Undelivered
from batch.nightly.web import TIMEOUT_S, tls_context, unreached

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from batch.nightly.messages import Message

STARTTLS_PORT = 587
IMPLICIT_PORT = 465
"""Source: RFC 8314, 3.3 and 7.3."""
_GOING_AWAY = 421
"""Source: RFC 5321, 4.2.1 and 3.8: the server ends the session; 4xx is worth another attempt, 5xx is not."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail server and those who get mail by it. With `implicit_tls` TLS is there from the first byte."""

    name: str
    to: tuple[str, ...]
    sender: str
    host: str
    port: int
    implicit_tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_bundle: Path | None = None
    timeout_s: float = TIMEOUT_S
    left: tuple[str, ...] = ()
    """Those to whom a retry goes; empty for all."""
    refused: tuple[int, ...] = ()
    """What was answered to the addresses that an earlier attempt found to be refused for good."""

    def send(self, message: Message) -> None:
        """Send once, to all at a time.

        Raises:
            Undelivered: nobody has got it, or not everybody; its `rest` goes to those who may get it later.
        """
        letter, to = self._letter(message), self.left or tuple(dict.fromkeys(self.to))
        with self._session() as server:
            try:
                answers = {who: code for who, (code, _) in server.send_message(letter, self.sender, to).items()}
            except smtplib.SMTPRecipientsRefused as error:  # where the server ends it all, some have not been asked
                codes = {who: code for who, (code, _) in error.recipients.items()}
                answers = {who: codes.get(who, _GOING_AWAY) for who in to}
        if answers or self.refused:
            raise self._not_everybody(answers, reached=len(answers) < len(to))

    def _not_everybody(self, answers: Mapping[str, int], *, reached: bool) -> Undelivered:
        later = tuple(who for who, code in answers.items() if 400 <= code < 500)
        refused = (*self.refused, *(code for who, code in answers.items() if who not in later))
        count, of = len(refused) + len(later), len(set(self.to))
        whom = "every address" if count == of else f"{count} of {of} addresses"
        said = ", ".join(map(str, sorted({*self.refused, *answers.values()})))
        text = f"the mail server refuses {whom} ({said}); check them"
        rest = replace(self, left=later, refused=refused) if later else None
        return Undelivered(text, again=bool(later), reached=reached, rest=rest)

    def check(self) -> str:
        """Say hello and log in; no letter is begun.

        Raises:
            Undelivered: a letter would not arrive.
        """
        with self._session() as server:
            server.noop()
        return f"the mail server answers{' and takes the login' if self.user else ''}; nothing was sent"

    def _letter(self, message: Message) -> EmailMessage:
        letter = EmailMessage()
        letter["From"] = self.sender
        letter["To"] = ", ".join(self.to)
        letter["Subject"] = message.title
        letter["Message-ID"] = f"<{message.message_id}@{self.sender.rpartition('@')[2]}>"
        letter["Date"] = format_datetime(dt.datetime.fromtimestamp(message.at_s, dt.UTC))
        letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday note answers it
        letter.set_content(message.body)
        return letter

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        """Give a session with TLS, logged in; translate what goes wrong in it."""
        server: smtplib.SMTP | None = None
        try:
            server = self._connected()
            if self.user is not None and self.password is not None:
                server.login(self.user, self.password)
            yield server
            with suppress(smtplib.SMTPException, OSError):  # what was taken is taken, whatever the server says now
                server.quit()
        except (smtplib.SMTPException, OSError, UnicodeError) as error:
            raise _undelivered(error) from None
        finally:
            if server is not None:
                server.close()

    def _connected(self) -> smtplib.SMTP:
        context = tls_context(self.ca_bundle)
        if self.implicit_tls:
            return smtplib.SMTP_SSL(self.host, self.port, timeout=self.timeout_s, context=context)
        server = smtplib.SMTP(self.host, self.port, timeout=self.timeout_s)
        try:
            server.starttls(context=context)
        except BaseException:
            server.close()
            raise
        return server


def _undelivered(error: Exception) -> Undelivered:
    match error:
        case smtplib.SMTPAuthenticationError(smtp_code=code):
            return Undelivered(f"the mail server refuses user and password ({code}); check them", again=code < 500)
        case smtplib.SMTPNotSupportedError():
            return Undelivered("the mail server offers no STARTTLS, or no login; try tls: implicit", again=False)
        case smtplib.SMTPSenderRefused(smtp_code=code) if code >= 500:
            text = f"the mail server refuses the sender ({code}); check from, user and password"
            return Undelivered(text, again=False)
        case smtplib.SMTPResponseException(smtp_code=code):
            return Undelivered(f"the mail server answers {code}", again=400 <= code < 500)
        case smtplib.SMTPServerDisconnected(__context__=TimeoutError()) | TimeoutError():
            return Undelivered("the mail server does not answer in time; check host, port and tls", again=True)
        case smtplib.SMTPServerDisconnected():
            return Undelivered("the mail server hangs up; check port and tls", again=True)
        case ssl.SSLCertVerificationError():
            text = "the mail server's certificate is not trusted; if it is a private one, name its root in ca_bundle"
            return Undelivered(text, again=False)
        case ssl.SSLError():
            return Undelivered("the mail server speaks no TLS there; check port and tls", again=False)
        case UnicodeError():
            return Undelivered("user or password holds letters that this login cannot carry; use ASCII", again=False)
        case OSError():
            return Undelivered(f"no connection to the mail server: {unreached(error)}; check host and port", again=True)
    return Undelivered(f"the mail server does not play along ({type(error).__name__})", again=True)
