"""Who may call the simulated API: Basic, OAuth tokens, and the scopes of connected organisations.

Owns the tokens (in memory: after a restart a client needs a new one). Time comes from outside.
Source: docs.capillarytech.com/reference/oauth, .../basic-authentication, .../connected-orgs-data-scopes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batch.sandbox.answers import Refused
from batch.sandbox.switches import Lenience
from batch.sandbox.world import CHILD_ORGS, PARENT_ORG

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batch.sandbox.switches import Switches

ENVIRONMENT = {
    "till": "ENROLL_BATCH_SANDBOX_TILL",
    "password_md5": "ENROLL_BATCH_SANDBOX_PASSWORD_MD5",
    "key": "ENROLL_BATCH_SANDBOX_KEY",
    "secret": "ENROLL_BATCH_SANDBOX_SECRET",
}

_TOKENS_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the API accepts, for the parent organisation; its repr shows no secret.

    A till or key with `.50672` behind it (same password or secret) belongs to that child organisation.
    """

    till: str = "store.server"
    password_md5: str = field(default=hashlib.md5(b"server123").hexdigest(), repr=False)  # noqa: S324 - the vendor's rule
    key: str = "sandbox-key"
    secret: str = field(default="sandbox-secret", repr=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Credentials:
        """Return what the ENROLL_BATCH_SANDBOX_... variables set; the documented defaults for the rest."""
        return cls(**{name: environ[variable] for name, variable in ENVIRONMENT.items() if environ.get(variable)})


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose key a call came with, and the organisation that the key belongs to."""

    key: str
    org: int


class Access:
    """Check credentials and hand out tokens."""

    def __init__(self, credentials: Credentials, switches: Switches, now: Callable[[], float]) -> None:
        self._credentials = credentials
        self._switches = switches
        self._now = now
        self._basic: dict[str, Caller] = {}
        self._keys: dict[str, Caller] = {}
        self._tokens: dict[str, tuple[Caller, float]] = {}
        for suffix, org in (("", PARENT_ORG), *((f".{child}", child) for child in CHILD_ORGS)):
            pair = f"{credentials.till}{suffix}:{credentials.password_md5}"
            caller = Caller(credentials.till + suffix, org)
            self._basic[base64.b64encode(pair.encode()).decode()] = caller
            self._keys[credentials.key + suffix] = Caller(credentials.key + suffix, org)

    def admit(self, headers: Mapping[str, str]) -> Caller | Refused:
        """Return who calls, or the 401, 498 or 403 that the call gets."""
        token = headers.get("X-CAP-API-OAUTH-TOKEN")
        if token is not None:
            known = self._tokens.get(token)
            if known is None:
                return Refused(401, 401)
            caller, expires_at = known
            if self._now() >= expires_at:
                return Refused(498, 498, f"Token expired at {expires_at:.0f}")
        else:
            kind, _, pair = headers.get("Authorization", "").partition(" ")
            basic = self._basic.get(pair.strip()) if kind.lower() == "basic" and self._switches.basic_auth else None
            if basic is None:
                return Refused(401, 401)
            caller = basic
        return caller if self._switches.access else Refused(4000)

    def issue(self, body: bytes) -> dict[str, object] | Refused:
        """Return accessToken and ttlSeconds for a body with key and secret, or the refusal 320001 or 300004."""
        try:
            asked = json.loads(body)
            key, secret = asked["key"], asked["secret"]
        except (ValueError, TypeError, KeyError):
            return Refused(300004)
        caller = self._keys.get(key) if isinstance(key, str) else None
        if caller is None or secret != self._credentials.secret:
            return Refused(320001)
        issued_at, ttl_s = self._now(), self._switches.token_ttl_s
        token = self._signed(caller, issued_at, ttl_s)
        while len(self._tokens) >= _TOKENS_KEPT:
            del self._tokens[next(iter(self._tokens))]
        self._tokens[token] = (caller, issued_at + ttl_s)
        return {"accessToken": token, "ttlSeconds": int(ttl_s) if ttl_s == int(ttl_s) else ttl_s}

    def _signed(self, caller: Caller, issued_at: float, ttl_s: float) -> str:
        claims = {
            "iss": "Capillary",
            "iat": int(issued_at),
            "exp": int(issued_at + ttl_s),
            "jti": secrets.token_hex(16),
            "client_id": caller.key,
            "org_id": caller.org,
            "token_use": "token_access",
        }
        parts = ".".join(_base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        return f"{parts}.{_base64url(hmac.digest(self._credentials.secret.encode(), parts.encode(), 'sha256'))}"

    def revoke_all(self) -> None:
        """Make every token that was handed out invalid."""
        self._tokens.clear()


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def scope_of(
    caller: Caller, headers: Mapping[str, str], switches: Switches, *, reading: bool
) -> tuple[int, ...] | Refused:
    """Return the organisations that a v3.1 call is about: one for a write, up to three for a read."""
    scope = headers.get("DATA-SCOPE", "SELF").strip().upper()
    if scope == "SELF":
        return (caller.org,)
    is_parent = caller.org == PARENT_ORG
    if scope == "ALL":
        if not reading:
            return Refused(310141)
        return (PARENT_ORG, *CHILD_ORGS) if is_parent else Refused(310144)
    names = [name.strip() for name in headers.get("DATA-SCOPE-ORG", "").split(",") if name.strip()]
    if scope != "OTHER" or not names or not all(name.isascii() and name.isdigit() for name in names):
        return Refused(switches.bad_scope_code)
    orgs = tuple(int(name) for name in names)
    if not reading and len(orgs) > 1:
        if switches.several_orgs is Lenience.REFUSE:
            return Refused(switches.bad_scope_code)
        orgs = orgs[:1]
    return orgs if is_parent and all(org in CHILD_ORGS for org in orgs) else Refused(310144)
