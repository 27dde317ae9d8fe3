"""Beside the steps: one POST to somebody who wants to be told, in bounded time, with TLS verified.

Owns the connection and what is said of a failure. Neither an address nor what a server answers is ever quoted: both
may hold a token.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from batch import __version__
from batch.nightly.messages import Undelivered

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TIMEOUT_S = 10.0
"""For each of connecting, sending and waiting. Source: our choice, because a receiver that takes longer is not well."""
_NOT_TRUSTED = "the certificate is not trusted; if it is a private one, name its root in ca_bundle"


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where a POST goes. The URL may hold a token, and the proxy a password, so neither is shown."""

    url: str = field(repr=False)
    ca_bundle: Path | None = None
    proxy: str | None = field(default=None, repr=False)
    timeout_s: float = TIMEOUT_S

    def post(self, body: bytes, headers: Mapping[str, str], suffix: str = "") -> None:
        """Send one POST; `suffix` is put behind the URL's path. A 2xx is success; a redirect is not followed.

        Raises:
            Undelivered: anything else; again where the server may think better of it.
        """
        url = httpx.URL(self.url)
        if suffix:
            path, question_mark, query = url.raw_path.partition(b"?")  # as it was written: a %2F is no slash
            url = url.copy_with(raw_path=path.rstrip(b"/") + suffix.encode() + question_mark + query)
        try:
            with (
                httpx.Client(
                    verify=tls_context(self.ca_bundle), proxy=self.proxy, trust_env=False, timeout=self.timeout_s
                ) as client,
                client.stream("POST", url, content=body, headers=_HEADERS | dict(headers)) as response,
            ):
                status = response.status_code
        except (httpx.TransportError, ssl.SSLError) as error:
            raise _undelivered(error) from None
        if not 200 <= status < 300:
            raise Undelivered(f"the receiver answers HTTP {status}", again=status in {408, 425, 429} or status >= 500)

    def check(self) -> str:
        """Open a connection, with TLS where there is any, and close it again; nothing is sent.

        Raises:
            Undelivered: nobody can be reached there, or the certificate is not trusted.
        """
        url = httpx.URL(self.proxy or self.url)
        is_tls = url.scheme == "https"
        try:
            with contextlib.ExitStack() as stack:
                port = url.port or (443 if is_tls else 80)
                plain = stack.enter_context(socket.create_connection((url.host, port), self.timeout_s))
                if is_tls:
                    context = tls_context(self.ca_bundle)
                    stack.enter_context(context.wrap_socket(plain, server_hostname=url.host))
        except OSError as error:  # SSLError and gaierror are among them
            raise _undelivered(error) from None
        peer = "its proxy" if self.proxy else "the host"
        return f"{peer} answers{' and its certificate is trusted' if is_tls else ''}; nothing was sent"


_HEADERS = {"User-Agent": f"enroll-batch/{__version__}"}


def tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    """Return a TLS context that verifies, by the public roots or by `ca_bundle` in their stead.

    Raises:
        Undelivered: `ca_bundle` cannot be used.
    """
    if ca_bundle is None:
        return httpx.create_ssl_context(trust_env=False)
    try:
        return ssl.create_default_context(cafile=ca_bundle)
    except OSError:
        raise Undelivered(f'ca_bundle "{ca_bundle}" holds no certificate in PEM form', again=False) from None


def _undelivered(error: Exception) -> Undelivered:
    """Translate what went wrong on the way; what the exception says itself may quote the address."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return Undelivered(_NOT_TRUSTED, again=False)
        if isinstance(seen, socket.gaierror | ConnectionRefusedError):
            return Undelivered(f"no connection: {unreached(seen)}; check the url", again=True)
        seen = seen.__cause__ or seen.__context__
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return Undelivered("no answer in time", again=True)
    if isinstance(error, ssl.SSLError):
        return Undelivered("no TLS connection; check the port", again=True)
    return Undelivered(f"no connection ({type(error).__name__}); check the url", again=True)


def unreached(error: OSError) -> str:
    """Say why there is no connection to a host."""
    if isinstance(error, socket.gaierror):
        return "the host's name is not known"
    if isinstance(error, ConnectionRefusedError):
        return "the connection is refused"
    return error.strerror or type(error).__name__
