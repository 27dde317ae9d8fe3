"""Step 3 of 5: say what is provably known of an attempt that brought no answer.

Owns the one table of the HTTP library's exceptions and the watch over its trace events. "Never reached" is said only
when the trace saw no byte of the request on its way; everything else may have been applied. The trace events are no
stable interface of the library: its version is pinned, and tests over a real socket prove each case.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import httpx

from batch.model import NoAnswer, Tells


@dataclass(frozen=True, slots=True)
class Fault:
    """One class of exception. `connects` True: it can arise before a request leaves. `text` is for people."""

    connects: bool
    text: str


@dataclass(frozen=True, slots=True)
class Limits:
    """How long an exchange may take, in seconds, and `peer`, whom we connect to, for people."""

    peer: str
    connect_s: float
    read_s: float
    total_s: float


class StaleAnswer(httpx.RemoteProtocolError):
    """The bytes of the answer were there before the request was sent: they answer something else."""


_LIBRARY = "the HTTP library failed"
_SILENT = "no answer within {read_s:g} s"

FAULTS: Final[dict[type[Exception], Fault]] = {
    httpx.ConnectError: Fault(True, "no connection to {peer}"),
    httpx.ConnectTimeout: Fault(True, "no connection to {peer} within {connect_s:g} s"),
    httpx.PoolTimeout: Fault(True, "no free connection to {peer} within {connect_s:g} s"),
    httpx.ProxyError: Fault(True, "{peer} opened no tunnel"),
    httpx.UnsupportedProtocol: Fault(True, "this kind of address cannot be used; check api.base_url"),
    httpx.InvalidURL: Fault(True, "the address is no valid URL; check api.base_url"),
    httpx.ReadTimeout: Fault(False, _SILENT),
    httpx.WriteTimeout: Fault(False, "the request could not be written within {read_s:g} s"),
    httpx.TimeoutException: Fault(False, _SILENT),
    httpx.ReadError: Fault(False, "the connection was reset without an answer"),
    httpx.WriteError: Fault(False, "the connection was reset while the request was written"),
    httpx.CloseError: Fault(False, "the connection could not be closed"),
    httpx.NetworkError: Fault(False, "the connection failed"),
    httpx.RemoteProtocolError: Fault(False, "the answer is no valid HTTP"),
    httpx.LocalProtocolError: Fault(False, "the request is no valid HTTP"),
    httpx.ProtocolError: Fault(False, "the answer is no valid HTTP"),
    httpx.TransportError: Fault(False, "the connection failed"),
    httpx.DecodingError: Fault(False, "the answer cannot be decoded"),
    httpx.TooManyRedirects: Fault(False, "the server redirects"),
    httpx.RequestError: Fault(False, _LIBRARY),
    httpx.HTTPStatusError: Fault(False, _LIBRARY),
    httpx.HTTPError: Fault(False, _LIBRARY),
    httpx.CookieConflict: Fault(False, _LIBRARY),
    httpx.StreamConsumed: Fault(False, _LIBRARY),
    httpx.StreamClosed: Fault(False, _LIBRARY),
    httpx.ResponseNotRead: Fault(False, _LIBRARY),
    httpx.RequestNotRead: Fault(False, _LIBRARY),
    httpx.StreamError: Fault(False, _LIBRARY),
    StaleAnswer: Fault(False, "the server answered before it was asked, so its answer cannot be trusted"),
    TimeoutError: Fault(True, "the answer was not complete within {total_s:g} s"),
    ssl.SSLError: Fault(False, "TLS failed in the middle of the exchange"),
    OSError: Fault(False, "the connection failed"),
}
"""Every public exception of the library, and what gets past its own translation: exception -> fault.

TimeoutError is our own bound on the whole exchange, which can end it at any point; so the trace alone decides.
"""


class Watch:
    """Follows one exchange by the library's trace events. Source: encode/httpcore docs/extensions.md, "trace".

    `left`: our request was begun to be written. `tunnelled`: a proxy was asked for a tunnel, which is not our
    request. `answered`: a whole answer head was read.
    """

    __slots__ = ("_turned", "answered", "left", "tunnelled")

    def __init__(self) -> None:
        self.left = False
        self.tunnelled = False
        self.answered = False
        self._turned = False

    async def __call__(self, event: str, info: Mapping[str, object]) -> None:
        """Take one event.

        Raises: StaleAnswer when an answer's head was there without any waiting for the network. The library keeps
        what a server sent beyond an answer and would take it for the answer to the next request; whatever was read
        from the network takes at least one turn of the event loop.
        """
        if event.endswith("send_request_headers.started"):
            request = info.get("request")
            if getattr(request, "method", b"") == b"CONNECT":
                self.tunnelled = True
            else:
                self.left = True
        elif event.endswith("receive_response_headers.started"):
            self._turned = False
            asyncio.get_running_loop().call_soon(self._turn)
        elif event.endswith("receive_response_headers.complete"):
            if not self._turned:
                raise StaleAnswer("an answer before the request")
            self.answered = self.left

    def _turn(self) -> None:
        self._turned = True


def no_answer(error: Exception, watch: Watch, limits: Limits) -> NoAnswer:
    """Return what is known of an attempt that ended in `error`, one of FAULTS or its children."""
    fault = next(FAULTS[kind] for kind in type(error).__mro__ if kind in FAULTS)
    never_left = not watch.left and (fault.connects or watch.tunnelled)
    text = _mid_answer(error, limits) if watch.answered else _root_text(error, limits)
    filled = fault.text.format(
        peer=limits.peer, connect_s=limits.connect_s, read_s=limits.read_s, total_s=limits.total_s
    )
    return NoAnswer(Tells.NEVER_REACHED if never_left else Tells.MAY_BE_APPLIED, text or filled)


def _mid_answer(error: Exception, limits: Limits) -> str | None:
    if isinstance(error, httpx.TimeoutException):
        return f"the answer stopped in the middle for {limits.read_s:g} s"
    if isinstance(error, httpx.TransportError) and not isinstance(error, StaleAnswer):
        return "the connection broke in the middle of the answer"
    return None


def _root_text(error: Exception, limits: Limits) -> str | None:
    """Return a line that names the cause below the library's exception, where it says more than the class does."""
    if isinstance(error, httpx.RemoteProtocolError) and "without sending a response" in str(error):
        return "the server closed the connection without an answer"
    if isinstance(error, httpx.ProxyError) and str(error)[:3].isdigit():
        return f"{limits.peer} opened no tunnel: HTTP {str(error)[:3]}"
    if not isinstance(error, httpx.ConnectError):
        return None
    roots = list(_roots(error))
    for root in roots:
        if isinstance(root, ssl.SSLCertVerificationError):
            return f"certificate not trusted: {root.verify_message}"
        if isinstance(root, ssl.SSLError):
            return f"TLS failed with {limits.peer}: {root.reason or 'handshake broken off'}"
        if isinstance(root, socket.gaierror):
            return f"host name not found: {limits.peer.rpartition(':')[0]}"
        if isinstance(root, ConnectionRefusedError):
            return f"connection refused by {limits.peer}"
    numbered = (root for root in roots if isinstance(root, OSError) and root.strerror)
    return next((f"no connection to {limits.peer}: {root.strerror}" for root in numbered), None)


def _roots(error: BaseException) -> Iterator[BaseException]:
    """Yield what an exception was made from, breadth first: the libraries chain, wrap and group their causes."""
    seen = {id(error)}
    waiting = [error]
    while waiting:
        error = waiting.pop(0)
        yield error
        inner = [error.__cause__, error.__context__, *error.args]
        if isinstance(error, BaseExceptionGroup):
            inner.extend(error.exceptions)
        for found in inner:
            if isinstance(found, BaseException) and id(found) not in seen:
                seen.add(id(found))
                waiting.append(found)
