"""Those who are told: a mail server and a web server on this machine, with TLS, that remember what they got."""

from __future__ import annotations

import asyncio
import base64
import hmac
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import trustme
from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Trust:
    """A private certificate authority: its root for clients, and a server's context."""

    root: Path
    context: ssl.SSLContext


def make_trust(folder: Path, *names: str) -> Trust:
    """Return the authority of a server called `names`, or 127.0.0.1."""
    authority = trustme.CA()
    root = folder / f"root-{'-'.join(names) or 'here'}.pem"
    authority.cert_pem.write_to_path(root)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(names or ("127.0.0.1", "localhost"))).configure_cert(context)
    return Trust(root, context)


@contextmanager
def serving(open_it: Callable[[], Awaitable[tuple[int, Callable[[], Awaitable[None]]]]]) -> Iterator[int]:
    """Serve on a thread of its own and give the port; `open_it` returns it, and how to close."""
    started = threading.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        found["port"], close = await open_it()
        found["loop"], found["stop"] = asyncio.get_running_loop(), asyncio.Event()
        started.set()
        await found["stop"].wait()
        await settle()
        await close()
        await settle()

    async def settle() -> None:
        """Let connections that are just being accepted get as far as to be closed: else they would be left open."""
        for _ in range(5):
            await asyncio.sleep(0)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(30)
    try:
        yield found["port"]
    finally:
        found["loop"].call_soon_threadsafe(found["stop"].set)
        thread.join()


@dataclass
class MailServer:
    """Takes letters and logins; `refuses` maps a step (auth, mail, rcpt, data) to the answers that it gets first."""

    port: int = 0
    letters: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    plain_logins: int = 0
    refuses: dict[str, list[str]] = field(default_factory=dict)

    def _answer(self, step: str) -> str | None:
        answers = self.refuses.get(step, [])
        return answers.pop(0) if answers else None

    async def handle_MAIL(self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _o: Any) -> str:  # noqa: N802
        if answer := self._answer("mail"):
            return answer
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _o: Any) -> str:  # noqa: N802
        if answer := self._answer("rcpt"):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if answer := self._answer("data"):
            return answer
        assert isinstance(envelope.content, bytes)
        letter = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 taken"

    def authenticate(self, server: SMTP, session: Session, _e: Envelope, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login.decode(), data.password.decode()))
        if not (session.ssl or server.transport.get_extra_info("sslcontext")):
            self.plain_logins += 1
        if answer := self._answer("auth"):
            return AuthResult(success=False, handled=False, message=answer)
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)


@contextmanager
def mail_server(
    context: ssl.SSLContext | None = None, *, implicit: bool = False, **refuses: list[str]
) -> Iterator[MailServer]:
    """A mail server with STARTTLS, with TLS from the start, or, without a context, with none."""
    kept = MailServer(refuses=refuses)

    def protocol() -> SMTP:
        return SMTP(
            kept,
            hostname="mail.test",
            tls_context=None if implicit else context,
            require_starttls=context is not None and not implicit,
            authenticator=kept.authenticate,
            auth_require_tls=not implicit,
            loop=asyncio.get_running_loop(),
        )

    async def open_it() -> tuple[int, Callable[[], Awaitable[None]]]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=context if implicit else None)

        async def close() -> None:
            server.close()
            await asyncio.sleep(0)

        return server.sockets[0].getsockname()[1], close

    with serving(open_it) as kept.port:
        yield kept


@dataclass(frozen=True)
class Post:
    """A POST that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    def is_signed_with(self, key: bytes) -> bool:
        """Tell whether the signature fits, as the Standard Webhooks specification has it."""
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        digest = base64.b64encode(hmac.new(key, signed, "sha256").digest()).decode()
        return self.headers["webhook-signature"] == f"v1,{digest}"


@dataclass
class WebServer:
    """Takes every POST; `answers` are the statuses that it gives first, 0 for hanging up; then 204."""

    port: int = 0
    posts: list[Post] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    def url(self, path: str = "/hook", scheme: str = "http") -> str:
        """Return an address of this server."""
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.posts.append(Post(request.raw_path, headers, await request.read()))
        status = self.answers.pop(0) if self.answers else 204
        if not status:
            assert request.transport is not None
            request.transport.abort()
        elsewhere = {"Location": "/elsewhere"} if 300 <= status < 400 else {}
        return web.Response(status=status or 204, headers=elsewhere)


@contextmanager
def web_server(context: ssl.SSLContext | None = None, *answers: int) -> Iterator[WebServer]:
    """A web server, with TLS where there is a context."""
    kept = WebServer(answers=list(answers))

    async def open_it() -> tuple[int, Callable[[], Awaitable[None]]]:
        app = web.Application()
        app.router.add_post("/{path:.*}", kept.take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        return runner.addresses[0][1], runner.cleanup

    with serving(open_it) as kept.port:
        yield kept
