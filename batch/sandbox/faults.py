"""The simulated API's faults: what can go wrong with a call, and which call it goes wrong with.

Owns the closed list of faults, whether each comes before or after the effect, and the draw. Pure: it knows no
socket and no clock; `wire` and `answers` carry a fault out.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Fault(StrEnum):
    """What goes wrong with one enroll or unEnroll call. Each name is also a switch (but for `ok`)."""

    OK = "ok"
    ERROR_400 = "error_400"
    ERROR_401 = "error_401"
    ERROR_403_4000 = "error_403_4000"
    ERROR_429 = "error_429"
    ERROR_461 = "error_461"
    ERROR_498 = "error_498"
    ERROR_500 = "error_500"
    ERROR_502 = "error_502"
    ERROR_503 = "error_503"
    ERROR_503_4001 = "error_503_4001"
    ERROR_504 = "error_504"
    ERROR_520 = "error_520"
    ERROR_521_HTTP = "error_521_http"
    ERROR_521_BODY = "error_521_body"
    UNDOCUMENTED_CODE = "undocumented_code"
    REDIRECT = "redirect"
    RESET_BEFORE = "reset_before"
    CLOSE_BEFORE = "close_before"
    HANG_BEFORE = "hang_before"
    ERROR_500_AFTER = "error_500_after"
    ERROR_502_AFTER = "error_502_after"
    ERROR_504_AFTER = "error_504_after"
    RESET_AFTER = "reset_after"
    CLOSE_AFTER = "close_after"
    HANG_AFTER = "hang_after"
    CUT_HEADERS = "cut_headers"
    TRUNCATE = "truncate"
    CUT_CHUNK = "cut_chunk"
    DRIP = "drip"
    NOT_HTTP = "not_http"
    ENDLESS_HEADERS = "endless_headers"
    HUGE_BODY = "huge_body"
    UNREADABLE_200 = "unreadable_200"
    EMPTY_200 = "empty_200"
    WRONG_CUSTOMER = "wrong_customer"
    WARNINGS = "warnings"
    SET_COOKIE = "set_cookie"
    LAST_ON_CONNECTION = "last_on_connection"


class FaultRule(NamedTuple):
    """Whether the call takes effect although its answer goes wrong, and one line for the help."""

    takes_effect: bool
    help_text: str


FAULTS: dict[Fault, FaultRule] = {
    Fault.OK: FaultRule(True, "nothing goes wrong (a place holder in injected sequences)"),
    Fault.ERROR_400: FaultRule(False, "HTTP 400 without a vendor body"),
    Fault.ERROR_401: FaultRule(False, "HTTP 401, as for a token that was revoked"),
    Fault.ERROR_403_4000: FaultRule(False, "HTTP 403 with code 4000, access denied (documented)"),
    Fault.ERROR_429: FaultRule(False, "HTTP 429, in the form that limit_body, retry_after and limit_headers set"),
    Fault.ERROR_461: FaultRule(False, "HTTP 461, search engine busy (documented)"),
    Fault.ERROR_498: FaultRule(False, "HTTP 498, token expired (documented)"),
    Fault.ERROR_500: FaultRule(False, "the generic HTTP 500, nothing applied (documented text)"),
    Fault.ERROR_502: FaultRule(False, "HTTP 502 with an HTML page, nothing applied"),
    Fault.ERROR_503: FaultRule(False, "HTTP 503 with an HTML page, and the header that retry_after sets"),
    Fault.ERROR_503_4001: FaultRule(False, "HTTP 503 with code 4001, authorisation unavailable (documented)"),
    Fault.ERROR_504: FaultRule(False, "HTTP 504 with an HTML page, nothing applied"),
    Fault.ERROR_520: FaultRule(False, "HTTP 520 with an HTML page, nothing applied"),
    Fault.ERROR_521_HTTP: FaultRule(False, "HTTP 521 with an HTML page: the edge cannot reach the API"),
    Fault.ERROR_521_BODY: FaultRule(False, "code 521, several actions for one customer (documented)"),
    Fault.UNDOCUMENTED_CODE: FaultRule(False, "code 999999 with a raw message, nothing applied"),
    Fault.REDIRECT: FaultRule(False, "HTTP 307 to another path of this server"),
    Fault.RESET_BEFORE: FaultRule(False, "connection reset, nothing applied"),
    Fault.CLOSE_BEFORE: FaultRule(False, "connection closed (FIN) without an answer, nothing applied"),
    Fault.HANG_BEFORE: FaultRule(False, "no answer for hang_s seconds, nothing applied"),
    Fault.ERROR_500_AFTER: FaultRule(True, "the generic HTTP 500, although applied"),
    Fault.ERROR_502_AFTER: FaultRule(True, "HTTP 502 with an HTML page, although applied"),
    Fault.ERROR_504_AFTER: FaultRule(True, "HTTP 504 with an HTML page, although applied"),
    Fault.RESET_AFTER: FaultRule(True, "connection reset after the effect"),
    Fault.CLOSE_AFTER: FaultRule(True, "connection closed (FIN) without an answer, after the effect"),
    Fault.HANG_AFTER: FaultRule(True, "no answer for hang_s seconds, although applied"),
    Fault.CUT_HEADERS: FaultRule(True, "answer cut within its headers, after the effect"),
    Fault.TRUNCATE: FaultRule(True, "answer cut within its body, after the effect"),
    Fault.CUT_CHUNK: FaultRule(True, "chunked answer cut within a chunk, after the effect"),
    Fault.DRIP: FaultRule(True, "a true answer, one byte every drip_ms"),
    Fault.NOT_HTTP: FaultRule(True, "an answer that is not HTTP, after the effect"),
    Fault.ENDLESS_HEADERS: FaultRule(True, "headers without end (up to huge_mb), after the effect"),
    Fault.HUGE_BODY: FaultRule(True, "HTTP 200 with a body of huge_mb, after the effect"),
    Fault.UNREADABLE_200: FaultRule(True, "HTTP 200 with a body that is not JSON, although applied"),
    Fault.EMPTY_200: FaultRule(True, "HTTP 200 with an empty body, although applied"),
    Fault.WRONG_CUSTOMER: FaultRule(True, "HTTP 200 that names another customer, although applied"),
    Fault.WARNINGS: FaultRule(True, "success with a warning (documented)"),
    Fault.SET_COOKIE: FaultRule(True, "a true answer that sets a cookie"),
    Fault.LAST_ON_CONNECTION: FaultRule(True, "a true answer with Connection: close"),
}


@dataclass(frozen=True, slots=True)
class Dose:
    """How often a fault strikes: a share of the calls (0 to 1), perhaps only among the first `first` of them."""

    fault: Fault
    share: float
    first: int | None = None


class Struck(StrEnum):
    """Which calls a fault is injected into."""

    CHANGE = "change"
    """enroll and unEnroll, by customer"""
    READ = "read"
    """users/{id}/targetGroups, by customer; other reads, such as of cycles and of identifiers: the customer is 0"""
    TOKEN = "token"  # noqa: S105 - a kind of call
    """token/generate; the customer is 0"""


class FaultPlan:
    """Say for each call what goes wrong with it: what was injected for its customer, else a seeded draw."""

    def __init__(self, doses: Iterable[Dose], seed: int) -> None:
        self._doses = tuple(doses)
        self._draw = random.Random(seed).random  # noqa: S311 - a repeatable course of faults, not a secret
        self._drawn = 0
        self._injected: dict[tuple[Struck, int], deque[Fault]] = {}

    def inject(self, customer: int, faults: Iterable[str], struck: Struck = Struck.CHANGE) -> None:
        """Let the next calls for `customer` meet these faults, one each, in this order; `ok` is none.

        Raises: ValueError for a word that is no fault.
        """
        self._injected.setdefault((struck, customer), deque()).extend(Fault(fault) for fault in faults)

    def injected(self, struck: Struck, customer: int) -> Fault | None:
        """Return, once, the next fault that was injected for this call; None when there is none left."""
        queue = self._injected.get((struck, customer))
        return queue.popleft() if queue else None

    def next_fault(self, customer: int) -> Fault:
        """Return what goes wrong with this enroll or unEnroll call for `customer`; each call asks once."""
        if (injected := self.injected(Struck.CHANGE, customer)) is not None:
            return injected
        if not self._doses:
            return Fault.OK
        self._drawn += 1
        drawn = self._draw()
        for dose in self._doses:
            if dose.first is None or self._drawn <= dose.first:
                if drawn < dose.share:
                    return dose.fault
                drawn -= dose.share
        return Fault.OK
