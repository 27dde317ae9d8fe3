"""The simulated API's answers: envelopes, refusals and the pages of the edge in front of it.

Pure: bytes and statuses, nothing of aiohttp. Source: docs.capillarytech.com/reference (enroll, errors-and-warnings).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batch.sandbox.faults import Fault

if TYPE_CHECKING:
    from batch.sandbox.switches import Switches

JSON = "application/json"
HTML = "text/html"

MESSAGES = {
    401: "Unauthorized",
    461: "Search engine is busy. Please try again",
    498: "Token expired",
    500: "Something went wrong, please try after sometime.",
    521: "Multiple actions are running for the same customer. Please try later",
    4000: "Not authorized. Access is denied!",
    4001: "Authorization status unavailable!",
    8011: "Invalid source",
    8013: "Customer identifier is invalid",
    8015: "Customer not found",
    300004: "Invalid input. Check all values",
    310011: "Invalid userId",
    310017: "Target group not found or deactivated",
    310018: "Target rule not found",
    310019: "Target period not found",
    310119: "User already enrolled for the target",
    310141: "Datascope 'ALL' is not supported for this API",
    310144: "Connected Orgs not set properly in Headers",
    310149: "No record found in user target for the user and target",
    320001: "Invalid client key and secret",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer before it goes on the wire. `data` is what a success carries, for those who alter it."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal by code. `status` and `message` None: as the switches and the table of messages say."""

    code: int
    status: int | None = None
    message: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


def success(data: object, status: int = 200, warnings: object = None) -> Answer:
    """Return the v3 envelope of a success."""
    return Answer(status, json.dumps({"data": data, "errors": None, "warnings": warnings}).encode())


def refusal(refused: Refused, switches: Switches) -> Answer:
    """Return the v3 envelope of a refusal, under the status that the switches set for its code."""
    message = MESSAGES.get(refused.code, "") if refused.message is None else refused.message
    status = switches.status_of(refused.code) if refused.status is None else refused.status
    body = {"data": None, "errors": [{"code": refused.code, "message": message}], "warnings": None}
    return Answer(status, json.dumps(body).encode(), headers=refused.headers)


def v2_answer(entity: object, refused: Refused | None, switches: Switches) -> Answer:
    """Return the v2 envelope. Source: docs.capillarytech.com/reference/get-customer-id."""
    if refused is None:
        return Answer(200, json.dumps({"entity": entity, "warnings": []}).encode())
    error = {"status": False, "code": refused.code, "message": MESSAGES.get(refused.code, "")}
    return Answer(switches.status_of(refused.code), json.dumps({"warnings": [], "errors": [error]}).encode())


def page(status: int, title: str) -> Answer:
    """Return an HTML page as the edge in front of the API shows it."""
    name = f"{status} {title}"
    body = f"<html><head><title>{name}</title></head><body><center><h1>{name}</h1></center></body></html>"
    return Answer(status, body.encode(), HTML)


def replaced(fault: Fault, switches: Switches) -> Answer | None:
    """Return the answer that stands in for the true one under this fault; None when none does."""
    match fault:
        case Fault.ERROR_400:
            return page(400, "Bad Request")
        case Fault.ERROR_502 | Fault.ERROR_502_AFTER:
            return page(502, "Bad Gateway")
        case Fault.ERROR_503:
            return page(503, "Service Temporarily Unavailable")
        case Fault.ERROR_504 | Fault.ERROR_504_AFTER:
            return page(504, "Gateway Time-out")
        case Fault.ERROR_520:
            return page(520, "Web server is returning an unknown error")
        case Fault.ERROR_521_HTTP:
            return page(521, "Web server is down")
        case Fault.REDIRECT:
            return Answer(307, b"", headers=(("Location", "/elsewhere"),))
        case Fault.UNREADABLE_200:
            return Answer(200, b"{'data': 'Datascope 'ALL' is not")
        case Fault.EMPTY_200:
            return Answer(200, b"")
    refused = _REFUSED.get(fault)
    return refusal(refused, switches) if refused else None


_REFUSED = {
    Fault.ERROR_401: Refused(401, 401),
    Fault.ERROR_403_4000: Refused(4000, 403),
    Fault.ERROR_461: Refused(461, 461),
    Fault.ERROR_498: Refused(498, 498),
    Fault.ERROR_500: Refused(500, 500),
    Fault.ERROR_500_AFTER: Refused(500, 500),
    Fault.ERROR_503_4001: Refused(4001, 503),
    Fault.ERROR_521_BODY: Refused(521),
    Fault.UNDOCUMENTED_CODE: Refused(999999, message="TARGET.USER_TARGET_LOCKED"),
}


def altered(fault: Fault, answer: Answer, customer: int) -> Answer | None:
    """Return the true answer to an enroll or unEnroll as this fault changes it; None when it changes none."""
    match fault:
        case Fault.OK:
            return answer
        case Fault.SET_COOKIE:
            return replace(answer, headers=(*answer.headers, ("Set-Cookie", "_cfuvid=sandbox; Path=/; HttpOnly")))
        case Fault.LAST_ON_CONNECTION:
            return replace(answer, headers=(*answer.headers, ("Connection", "close")))
        case Fault.WARNINGS:
            warning = {"code": 310201, "message": "Enrolment event could not be published"}
            return answer if _refuses(answer) else success(customer, answer.status, [warning])
        case Fault.WRONG_CUSTOMER:
            return answer if _refuses(answer) else success(customer + 1, answer.status)
    return None


def _refuses(answer: Answer) -> bool:
    return bool(json.loads(answer.body)["errors"])
