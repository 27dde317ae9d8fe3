"""Before step 1: read a file over https. Owns the way httpx is asked and what its exceptions mean here."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from batch.storage.failures import CUT, SILENT, UNREACHABLE, NotThere, StorageFailed, chain_holds

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from batch.storage.paths import RemotePath

CONNECT_S, SILENCE_S = 15, 60
REDIRECTS = 5


def copy(source: RemotePath, write: Callable[[bytes], None]) -> int | None:
    """Hand the file's content to `write`, block by block; return its size in bytes as the server says it.

    None where the server does not say, and the protocol itself shows that the content is complete.

    Raises:
        StorageFailed: it cannot be read, or nothing would show that it broke off.
    """
    import httpx  # noqa: PLC0415 - a local file needs none of this

    timeout = httpx.Timeout(SILENCE_S, connect=CONNECT_S)
    port = f":{source.port}" if source.port else ""
    query = f"?{source.query}" if source.query else ""
    try:
        with (
            httpx.Client(timeout=timeout, follow_redirects=False) as client,
            _following(client, f"https://{source.host}{port}{source.path}{query}") as answer,
        ):
            size = _size(answer)
            for block in answer.iter_bytes():
                write(block)
            return size
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:  # OSError: a CA file of the environment
        raise StorageFailed(_meaning(error)) from None


class _following:  # noqa: N801 - a context manager, used as a word
    """An answer with its redirects followed, each of them over https; closed at the end."""

    def __init__(self, client: httpx.Client, url: str) -> None:
        self._client, self._url = client, url

    def __enter__(self) -> httpx.Response:
        # Compression would hide how many bytes are to come.
        request = self._client.build_request("GET", self._url, headers={"Accept-Encoding": "identity"})
        for _ in range(REDIRECTS + 1):
            self._answer = self._client.send(request, stream=True)
            if self._answer.next_request is None:
                return self._checked()
            self._answer.close()
            request = self._answer.next_request
            if request.url.scheme != "https":
                raise StorageFailed("its server points to an address without encryption; ask for a https:// one")
        raise StorageFailed(f"its server sends us from address to address, more than {REDIRECTS} times")

    def _checked(self) -> httpx.Response:
        status = self._answer.status_code
        if status == 200:
            return self._answer
        self._answer.close()
        if status in {404, 410}:
            raise NotThere("there is no such file; check the address")
        if status in {401, 403, 407}:
            raise StorageFailed(f"access is refused (HTTP {status}); a presigned address may have run out")
        raise StorageFailed(f"the server answers HTTP {status}; try again later, or ask who runs it")

    def __exit__(self, *_: object) -> None:
        self._answer.close()


def _size(answer: httpx.Response) -> int | None:
    """Return the number of bytes to come.

    Raises:
        StorageFailed: neither a length nor chunks: a file that broke off would look like a whole one.
    """
    if "content-encoding" in answer.headers or "chunked" in answer.headers.get("transfer-encoding", ""):
        if "content-length" in answer.headers or "chunked" in answer.headers.get("transfer-encoding", ""):
            return None  # counted by the protocol before decoding
    elif (length := answer.headers.get("content-length", "")).isascii() and length.isdigit():
        return int(length)
    raise StorageFailed("its server does not say how long the file is; fetch it yourself and give the path")


def _meaning(error: Exception) -> str:
    import httpx  # noqa: PLC0415

    if chain_holds(error, ssl.SSLCertVerificationError):
        return "the server's certificate is not trusted; check the host, or name its authority in SSL_CERT_FILE"
    if chain_holds(error, ssl.SSLError):
        return "no encrypted connection can be made; check that the host and port speak https"
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return UNREACHABLE
        case httpx.ProxyError():
            return "the proxy of HTTPS_PROXY refuses the connection; check it"
        case httpx.TimeoutException():
            return SILENT
        case httpx.NetworkError() | httpx.RemoteProtocolError():
            return CUT
        case httpx.HTTPError():
            return f"its server answers in a way that cannot be read ({type(error).__name__})"
        case _:
            return f"it cannot be asked for ({type(error).__name__}); check the address and SSL_CERT_FILE"
