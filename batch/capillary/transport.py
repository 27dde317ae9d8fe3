"""Step 3 of 5: carry one HTTP request there and one answer back, in bounded time and memory.

Owns the stock httpx client: one connection, no redirects, no cookies, no environment, TLS always verified. An answer
is read up to a limit and no further. Knows neither the vendor's paths nor its codes.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

from batch.capillary.no_answer import FAULTS, Limits, Watch, no_answer
from batch.errors import ConfigError
from batch.model import NoAnswer, Reply

if TYPE_CHECKING:
    from email.message import Message
    from urllib.request import Request

BODY_LIMIT: Final = 64 * 1024
"""Bytes. Source: our choice, because the vendor's answers to one record are below 1 KiB."""

KEEPALIVE_S: Final = 15.0
"""Source: our choice, because gateways close idle connections after 60 s and more, and a request that meets the
closing is in doubt."""

_FAULTS: Final = tuple(FAULTS)
_HEADER_LIMIT: Final = 200


@dataclass(frozen=True, slots=True)
class Address:
    """Where the API is and how to get there. `proxy` may hold a password, so it is not shown.

    Times are seconds. `connect_timeout_s` bounds the TCP and the TLS handshake each; `read_timeout_s` bounds the
    writing and every wait for more bytes.
    """

    base_url: str
    path_prefix: str
    version: str
    connect_timeout_s: float
    read_timeout_s: float
    ca_bundle: Path | None = None
    proxy: str | None = field(default=None, repr=False)

    @property
    def total_timeout_s(self) -> float:
        """The bound on one whole exchange, so that a server that drips cannot hold a worker.

        Three times the connect timeout (TCP, tunnel, TLS) and twice the read timeout (first byte, rest).
        Source: our choice, because each part may use its own limit once.
        """
        return 3 * self.connect_timeout_s + 2 * self.read_timeout_s


class _NoCookies(CookieJar):
    """A jar that takes nothing in: neither a session nor a gateway's mark travels from one customer to the next."""

    def extract_cookies(self, response: Message, request: Request) -> None:  # type: ignore[override]
        """Take nothing."""


def tls_context(address: Address) -> ssl.SSLContext:
    """Return the one TLS context that all clients of `address` share; it verifies, always.

    `ca_bundle` stands instead of the public roots, as in curl and requests.

    Raises: ConfigError when `ca_bundle` cannot be read.
    """
    if address.ca_bundle is not None:
        try:
            return ssl.create_default_context(cafile=address.ca_bundle)
        except OSError as error:
            reason = error.strerror or "it holds no certificate in PEM form"
            raise ConfigError(f'api.ca_bundle: "{address.ca_bundle}" cannot be used: {reason}') from None
    if httpx.URL(address.base_url).scheme == "https":
        return httpx.create_ssl_context(trust_env=False)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loopback without TLS: no roots are loaded, so none is trusted


def open_client(address: Address, tls: ssl.SSLContext) -> httpx.AsyncClient:
    """Return a stock client with one connection, which is opened by the first request.

    Raises: ConfigError when the proxy cannot be used.
    """
    try:
        return httpx.AsyncClient(
            verify=tls,
            proxy=_proxy(address.proxy, tls) if address.proxy else None,
            trust_env=False,
            http2=False,
            follow_redirects=False,
            cookies=_NoCookies(),
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE_S),
            timeout=httpx.Timeout(
                connect=address.connect_timeout_s,
                read=address.read_timeout_s,
                write=address.read_timeout_s,
                pool=address.connect_timeout_s,
            ),
            event_hooks={"response": [_forget_location]},
        )
    except (ValueError, ImportError, httpx.InvalidURL):
        raise ConfigError("api.proxy: write http://host:port or https://host:port") from None


def _proxy(url: str, tls: ssl.SSLContext) -> httpx.Proxy:
    return httpx.Proxy(url, ssl_context=tls if httpx.URL(url).scheme == "https" else None)


async def exchange(
    client: httpx.AsyncClient, request: httpx.Request, address: Address, body_limit: int = BODY_LIMIT
) -> Reply | NoAnswer:
    """Send `request` and return its answer, or what is known of it without one.

    Takes at most `address.total_timeout_s` and little more than `body_limit` bytes of memory. The connection is kept
    only after a complete answer. A cancellation passes through.
    """
    watch = Watch()
    request.extensions["trace"] = watch
    try:
        async with asyncio.timeout(address.total_timeout_s):
            response = await client.send(request, stream=True)
            try:
                body, complete = await _read(response, body_limit)
            finally:
                await response.aclose()
    except _FAULTS as error:
        return no_answer(error, watch, _limits(address))
    return Reply(response.status_code, body, _headers(response), complete)


async def _read(response: httpx.Response, limit: int) -> tuple[bytes, bool]:
    """Return the body as it came over the wire, undecoded, and whether it ended within `limit` bytes."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > limit:
            return bytes(body[:limit]), False
    return bytes(body), True


async def _forget_location(response: httpx.Response) -> None:
    """Drop the target of a redirect: it is never followed, and an odd one must not cost us the answer."""
    response.headers.pop("location", None)


def _headers(response: httpx.Response) -> dict[str, str]:
    """Return what the sender needs of the headers. Both spellings of the vendor's request id become one.

    Source: docs.capillarytech.com/reference/apioverview; X-CAP-REQUEST-ID: github.com/Capillary/api-documentation.
    """
    kept = {}
    for name, value in response.headers.items():
        if name in {"x-cap-requestid", "x-cap-request-id"}:
            kept["x-cap-requestid"] = value[:_HEADER_LIMIT]
        elif name in {"retry-after", "content-type", "date"} or name.startswith(("ratelimit", "x-ratelimit")):
            kept[name] = value[:_HEADER_LIMIT]
    return kept


def _limits(address: Address) -> Limits:
    url = httpx.URL(address.proxy or address.base_url)
    port = url.port or (443 if url.scheme == "https" else 80)
    host = f"[{url.host}]" if ":" in url.host else url.host
    return Limits(
        peer=f"proxy {host}:{port}" if address.proxy else f"{host}:{port}",
        connect_s=address.connect_timeout_s,
        read_s=address.read_timeout_s,
        total_s=address.total_timeout_s,
    )
