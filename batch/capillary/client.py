"""Step 3 of 5: send one request and bring back one Reply, or what is known of the attempt without one.

Owns the vendor's paths, scope headers and bodies, and one client with a single connection for each worker. Does not
know what an answer means, when to send, or whether to send again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Final

import httpx

from batch import __version__
from batch.capillary.auth import TOKEN_HEADER, TOKEN_PATH, BasicAuth, OAuth, TokenKeeper
from batch.capillary.transport import BODY_LIMIT, Address, exchange, open_client, tls_context
from batch.errors import ConfigError
from batch.model import Action, EnrollmentRequest, Kind, NoAnswer, Reply, Scope

__all__ = ["Address", "CapillaryClient", "body_of"]

_HEADERS: Final = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # a small compressed answer must not become a big one
    "User-Agent": f"enroll-batch/{__version__}",
}
_VERBS: Final = {Action.ENROLL: "enroll", Action.UNENROLL: "unEnroll"}
_READ_HEADERS: Final = {name: value for name, value in _HEADERS.items() if name != "Content-Type"}
_STANDING_LIMIT: Final = 4 * 1024 * 1024
"""Bytes. Source: our choice, because 50 targets with 100 cycles each, the vendor's maximum, are about 3 MB."""


class CapillaryClient:
    """The API, for `concurrency` workers. Each worker sends one request at a time, over a connection of its own.

    `clock` gives seconds, monotonic; the life of a token is counted on it.

    Raises: ConfigError when `ca_bundle` or the proxy cannot be used.
    """

    def __init__(
        self,
        address: Address,
        credentials: BasicAuth | OAuth,
        concurrency: int,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._credentials = credentials
        self._tls = tls_context(address)
        self._clients: list[httpx.AsyncClient | None] = [None] * concurrency  # each made when it is first needed,
        self._clients[0] = open_client(address, self._tls)  # one now, so that an unusable proxy is said at once
        self._sent_with: list[str | None] = [None] * concurrency
        self._base = address.base_url.rstrip("/")
        self._routes: dict[Scope, tuple[httpx.URL, dict[str, str]]] = {}
        if isinstance(credentials, OAuth):
            self._keeper: TokenKeeper | None = TokenKeeper(self._ask_for_token, clock)
            self._access: dict[str, str] = {}
        else:
            self._keeper = None
            self._access = credentials.header

    async def send(self, worker: int, request: EnrollmentRequest) -> Reply | NoAnswer:
        """Send one record over this worker's connection; `worker` is in range(concurrency).

        After anything but a complete answer the connection is closed and the next request opens a new one.

        Raises: AccessRefused when the token endpoint refuses the key, ConfigError for an organisation with v3; then
        the request has not left.
        """
        access = await self._access_of(worker)
        if isinstance(access, NoAnswer):
            return access
        url, headers = self._route(request.scope)
        return await self._exchange(
            worker, httpx.Request("POST", url, headers=headers | access, content=body_of(request))
        )

    def without_secrets(self, text: str) -> str:
        """Strike our credentials from what the API said: a gateway may echo the request into its answer.

        For texts that go into reports, not for answers that are judged: a key may look like a customer id.
        """
        tokens = [token for token in self._sent_with if token]
        headers = [value.rpartition(" ")[2] for value in self._access.values()]
        for secret in (*self._credentials.secrets, *tokens, *headers):
            text = text.replace(secret, "***")
        return text

    async def read_standing(self, worker: int, request: EnrollmentRequest) -> Reply | NoAnswer:
        """Read the target groups of the customer of `request`: all cycles of its target, also when it is inactive.

        One answer tells all cycles. It holds the customer's name, mobile and e-mail: read it, and let it go. Over the
        same connection, and with the same exceptions, as `send`.

        Source: docs.capillarytech.com/reference/connectedorgs-get-associated-target-groups-of-a-user; its
        `targetRuleId` is the `targetId` of the enroll path.
        """
        access = await self._access_of(worker)
        if isinstance(access, NoAnswer):
            return access
        scope, version = request.scope, self._address.version
        url = self._url(f"{version}/users/{request.customer}/targetGroups").copy_merge_params(
            {"includeInactive": "true", "includeInactiveTargets": "true", "targetRuleId": str(scope.target_id)}
        )
        headers = _READ_HEADERS | _scope_headers(version, scope.org_id) | access
        return await self._exchange(worker, httpx.Request("GET", url, headers=headers), _STANDING_LIMIT)

    async def read(
        self, worker: int, path: str, query: Mapping[str, str], *, prefixed: bool = True
    ) -> Reply | NoAnswer:
        """Read what belongs to no request, in our own organisation; no page documents these reads for another one.

        `prefixed` False: not below `path_prefix`, as for look-ups. Over the same connection, and with the same
        exceptions, as `send`.
        """
        access = await self._access_of(worker)
        if isinstance(access, NoAnswer):
            return access
        url = self._url(path) if prefixed else httpx.URL(f"{self._base}/{path}")
        request = httpx.Request("GET", url.copy_merge_params(dict(query)), headers=_READ_HEADERS | access)
        return await self._exchange(worker, request, _STANDING_LIMIT)

    async def renew_token(self, worker: int) -> bool:
        """Replace the token that `worker` last sent with; False when there is none to replace (Basic).

        Several workers with the same refused token cause one renewal. True also when the endpoint cannot be reached:
        then the next `send` asks it again.

        Raises: AccessRefused when the token endpoint refuses the key.
        """
        refused = self._sent_with[worker]
        if self._keeper is None or refused is None:
            return False
        await self._keeper.renew(refused)
        return True

    async def aclose(self) -> None:
        """Close all connections."""
        if self._keeper is not None:
            await self._keeper.aclose()
        for worker in range(len(self._clients)):
            await self._close(worker)

    async def _access_of(self, worker: int) -> dict[str, str] | NoAnswer:
        if self._keeper is None:
            return self._access
        token = await self._keeper.token()
        if isinstance(token, NoAnswer):
            return token
        self._sent_with[worker] = token
        return {TOKEN_HEADER: token}

    async def _exchange(self, worker: int, request: httpx.Request, body_limit: int = BODY_LIMIT) -> Reply | NoAnswer:
        """Exchange over the worker's own client, which is kept only after a complete answer.

        A client whose exchange was cancelled may have lost its only connection for good: httpcore 1.0.9 leaves it
        in its list, neither idle nor closed.
        """
        client = self._clients[worker]
        if client is None:
            client = self._clients[worker] = open_client(self._address, self._tls)
        is_clean = False
        try:
            answer = await exchange(client, request, self._address, body_limit)
            is_clean = isinstance(answer, Reply) and answer.complete
        finally:
            if not is_clean:
                await self._close(worker)
        return answer

    async def _close(self, worker: int) -> None:
        client, self._clients[worker] = self._clients[worker], None
        if client is not None:
            await client.aclose()

    async def _ask_for_token(self) -> Reply | NoAnswer:
        """Ask once, over a connection of its own. Source: docs.capillarytech.com/reference/oauth: no path prefix."""
        body = self._credentials.body if isinstance(self._credentials, OAuth) else b""
        request = httpx.Request("POST", self._base + TOKEN_PATH, headers=_HEADERS, content=body)
        async with open_client(self._address, self._tls) as client:
            return await exchange(client, request, self._address)

    def _route(self, scope: Scope) -> tuple[httpx.URL, dict[str, str]]:
        """Return the URL and headers of a scope, made once: parsing an URL costs as much as a tenth of a request."""
        route = self._routes.get(scope)
        if route is None:
            version = self._address.version
            path = f"{version}/targetGroups/{scope.target_group_id}/targets/{scope.target_id}/{_VERBS[scope.action]}"
            url = self._url(path)
            route = self._routes[scope] = url, _HEADERS | _scope_headers(version, scope.org_id)
        return route

    def _url(self, path: str) -> httpx.URL:
        prefix = self._address.path_prefix.strip("/")
        return httpx.URL("/".join(part for part in (self._base, prefix, path) if part))


def body_of(request: EnrollmentRequest) -> bytes:
    """Return the body of a request: a JSON array of exactly one object.

    Source: docs.capillarytech.com/reference/connectedorgs-enroll-customer-milestone-or-streak and
    .../connectedorgs-unenroll-customer-milestone-or-streak. A milestone enroll always carries `initialBalance`,
    because null (go on with the old value) and 0 (start anew) differ.
    """
    if isinstance(request.customer, str):  # whoever lets such a request leave would enroll nobody, or somebody else
        raise TypeError("a customer whose id was not found is never sent")
    record: dict[str, object] = {"customerId": request.customer}
    if request.scope.action is Action.ENROLL:
        if request.scope.kind is Kind.MILESTONE:
            record |= {"periodName": request.period, "initialBalance": request.initial_balance}
        else:
            record["resetStreakStatus"] = request.reset_streak_status
    return json.dumps([record], separators=(",", ":")).encode()


def _scope_headers(version: str, org_id: int | None) -> dict[str, str]:
    """Return the scope headers. Source: docs.capillarytech.com/reference/connected-orgs-data-scopes (v3.1 only).

    Raises: ConfigError for an organisation with v3, which would write to the parent instead.
    """
    if version == "v3":
        if org_id is not None:
            raise ConfigError("an organisation (scope.org or the column org_id) needs api.version v3.1")
        return {}
    if org_id is None:
        return {"DATA-SCOPE": "SELF"}
    return {"DATA-SCOPE": "OTHER", "DATA-SCOPE-ORG": str(org_id)}
