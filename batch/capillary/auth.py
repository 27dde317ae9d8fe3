"""Step 3 of 5: prove to the API who we are.

Owns the two ways in, Basic and OAuth, and the life of a token: fetched when needed, renewed before it runs out, by
one renewal at a time. Secrets are never shown, neither in a repr nor in a message. Knows no socket: the question to
the token endpoint and the clock are given to it.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from batch.capillary.envelope import Envelope, read_envelope
from batch.capillary.registry import CODES, STATUSES
from batch.errors import AccessRefused
from batch.model import NoAnswer, Reply, Tells

TOKEN_PATH: Final = "/v3/oauth/token/generate"  # noqa: S105 - a path
TOKEN_HEADER: Final = "X-CAP-API-OAUTH-TOKEN"  # noqa: S105 - a header's name
"""Source: docs.capillarytech.com/reference/oauth: no "Bearer" before the token and no Authorization header."""

NO_TOKEN: Final = "no token, so nothing was sent: "  # noqa: S105 - words
"""How the words for it begin; what kept us from getting one follows."""

_DEFAULT_TTL_S: Final = 300.0
_LONGEST_TOKEN: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """A till and the lower-case hex MD5 of its password.

    Source: docs.capillarytech.com/reference/basic-authentication.
    """

    till: str
    password_md5: str = field(repr=False)

    @property
    def identity(self) -> str:
        """Whom the API's limit belongs to."""
        return self.till

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return (self.password_md5,)

    @property
    def header(self) -> dict[str, str]:
        """The header of every request: name -> value."""
        pair = f"{self.till}:{self.password_md5.lower()}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


@dataclass(frozen=True, slots=True)
class OAuth:
    """The key and secret of an API client. Source: docs.capillarytech.com/reference/oauth."""

    key: str = field(repr=False)
    secret: str = field(repr=False)

    @property
    def identity(self) -> str:
        """Whom the API's limit belongs to; a secret of sorts, so only ever shown as a hash."""
        return self.key

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return (self.key, self.secret)

    @property
    def body(self) -> bytes:
        """The body of the question for a token."""
        return json.dumps({"key": self.key, "secret": self.secret}).encode()


class TokenKeeper:
    """Keeps one token for all workers.

    `ask` puts the question to the token endpoint; `clock` gives seconds, monotonic. Whoever needs a token while it
    is fetched waits for the same answer, also when that answer is a failure.
    """

    def __init__(self, ask: Callable[[], Awaitable[Reply | NoAnswer]], clock: Callable[[], float]) -> None:
        self._ask = ask
        self._clock = clock
        self._token: str | None = None
        self._renew_at_s = 0.0
        self._renewal: asyncio.Task[str | NoAnswer] | None = None

    async def token(self) -> str | NoAnswer:
        """Return a token that is good now, or NEVER_REACHED when none is to be had at the moment.

        Raises: AccessRefused when the endpoint refuses the key.
        """
        if self._token is not None and self._clock() < self._renew_at_s:
            return self._token
        return await self._renewed()

    async def renew(self, refused: str) -> None:
        """Replace the token `refused`, unless that has been done already.

        When the endpoint cannot be reached the refused token is still forgotten, and the next `token` asks again.

        Raises: AccessRefused when the endpoint refuses the key.
        """
        if self._token == refused:
            self._token = None
        if self._token is None:
            await self._renewed()

    async def aclose(self) -> None:
        """End a renewal that is under way."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])

    async def _renewed(self) -> str | NoAnswer:
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._fetch())
            self._renewal.add_done_callback(self._forget_renewal)
        return await asyncio.shield(self._renewal)  # one worker that is cancelled does not cost the others their token

    def _forget_renewal(self, renewal: asyncio.Task[str | NoAnswer]) -> None:
        self._renewal = None
        if not renewal.cancelled():
            renewal.exception()  # read, so that a failure without anybody waiting is not reported as forgotten

    async def _fetch(self) -> str | NoAnswer:
        asked_at_s = self._clock()
        reply = await self._ask()
        if isinstance(reply, NoAnswer):
            return _no_token(reply.error)
        envelope = read_envelope(reply.body) if reply.complete else None
        if reply.status == 404 and not (envelope and envelope.errors):
            raise AccessRefused(f"the token endpoint {TOKEN_PATH} is not there (HTTP 404): check api.base_url")
        refusal = _refusal(reply.status, envelope)
        if refusal is not None:
            raise AccessRefused(
                f"the token endpoint {TOKEN_PATH} refuses the API key ({refusal}): check the variables behind auth.key "
                "and auth.secret, and api.base_url"
            )
        data = envelope.data if envelope and not envelope.errors and 200 <= reply.status < 300 else None
        if not isinstance(data, dict) or not _is_token(data.get("accessToken")):
            return _no_token(f"HTTP {reply.status} without a readable token")
        ttl_s = _ttl_s(data.get("ttlSeconds"))
        self._renew_at_s = asked_at_s + ttl_s - margin_s(ttl_s)
        self._token = str(data["accessToken"])
        return self._token


def margin_s(ttl_s: float) -> float:
    """Return how many seconds before its end a token is renewed: a tenth of its life, at most 30 s.

    Source: our choice, because a request must not meet the end on its way, and a short life must not be spent renewing.
    """
    return min(30.0, ttl_s / 10)


def _refusal(status: int, envelope: Envelope | None) -> str | None:
    """Return what the endpoint refuses with, None where there is nothing of it or asking again makes sense.

    The body decides, then the status, as everywhere. The message is left out: it might quote what was sent.
    """
    errors = envelope.errors if envelope else ()
    entries = [CODES[error.code] for error in errors if error.code in CODES]
    if not entries and status in STATUSES:
        entries = [STATUSES[status]]
    if entries:
        final = next((entry for entry in entries if not entry.retry), None)
        return f"{final.code}: {final.meaning}" if final else None
    if 300 <= status < 500:
        return f"HTTP {status}"
    return f"code {errors[0].code}" if errors and status < 300 else None


def _no_token(error: str) -> NoAnswer:
    return NoAnswer(Tells.NEVER_REACHED, f"{NO_TOKEN}{error}")


def _is_token(value: object) -> bool:
    """Whether this can stand in a header: anything else would end up, readable, in the HTTP library's complaint."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= _LONGEST_TOKEN
        and value.isascii()
        and value.isprintable()
        and " " not in value
    )


def _ttl_s(value: object) -> float:
    """Return the life of a token in seconds; the documented sample's where the answer does not say it."""
    try:
        ttl_s = float(value) if isinstance(value, (int, float, str)) else _DEFAULT_TTL_S
    except (ValueError, OverflowError):
        return _DEFAULT_TTL_S
    return ttl_s if ttl_s > 0 else _DEFAULT_TTL_S
