"""Step 3 of 5: ask the API which customer a mobile number, an e-mail address or an external id names.

Owns the shape of the look-up and what an answer to it means. A look-up changes nothing, so nothing is in doubt after
it: whoever looks up pays the rate like for a request, and asks again where asking again may help. Does not know who
asks, or when.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from batch.capillary.codes import judge
from batch.capillary.envelope import clean, raw_text, read_envelope, read_json
from batch.capillary.limits import is_used_up
from batch.capillary.registry import LOOK_UP_CODES
from batch.model import (
    Action,
    EnrollmentRequest,
    Kind,
    Looked,
    NoAnswer,
    Outcome,
    Reply,
    Scope,
    Seen,
    Speaks,
    Tells,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.capillary.client import CapillaryClient

PATH: Final = "v2/customers/lookup"
IDENTIFIERS: Final = {"mobile": "mobile", "email": "email", "external_id": "externalId"}
"""What the API calls our columns. Source: docs.capillarytech.com/reference/get-customer-id (identifierName)."""
_LARGEST: Final = 2**63 - 1
_NONE: Final = object()


def look_up_of(identifier: str) -> EnrollmentRequest:
    """Return the request as which a look-up stands in the pool: it goes nowhere."""
    return EnrollmentRequest(Scope(Action.ENROLL, Kind.MILESTONE, None, 0, 0), identifier)


def look_up_query(identifier: str, source: str) -> dict[str, str]:
    """Return the question about an identifier such as `mobile:919111111111`; `source` is one of the vendor's words.

    Source: docs.capillarytech.com/reference/get-customer-id.
    """
    name, _, value = identifier.partition(":")
    return {"source": source, "identifierName": IDENTIFIERS[name], "identifierValue": value}


def found_customer(answer: Reply | NoAnswer) -> int | None:
    """Return the customer's id; None where the answer names none.

    Source: docs.capillarytech.com/reference/get-customer-id: `{"entity": 306, "warnings": []}`.
    """
    found = _entity(answer)
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 20:
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int):
        return None
    return found if 1 <= found <= _LARGEST else None


def _entity(answer: Reply | NoAnswer) -> object:
    """Return what a whole answer without an error names; `_NONE` where there is no such answer."""
    if isinstance(answer, NoAnswer) or not answer.complete or not 200 <= answer.status < 300:
        return _NONE
    envelope = read_envelope(answer.body)
    if envelope is not None and envelope.errors:
        return _NONE
    try:
        parsed = read_json(answer.body)
    except ValueError:
        return _NONE
    return parsed.get("entity", _NONE) if isinstance(parsed, dict) else _NONE


def judge_look_up(
    request: EnrollmentRequest, answer: Reply | NoAnswer, *, maybe_applied: bool, can_renew: bool, now_s: float
) -> Verdict:
    """Return what `answer` means: `enrolled` stands for found, `invalid_user` for nobody; not settled: ask again.

    Arguments as for `codes.judge`; `maybe_applied` changes nothing. Whatever else ends a look-up is an outcome that a
    request of this customer can have: a refusal of the whole run, trouble of the API, or an unknown answer.

    A whole answer whose `entity` is null names nobody, and asking again would not change that. Source: our choice,
    because the page documents code 8015 for it; who is not found is reported with these words, and never sent.
    """
    del maybe_applied
    if isinstance(answer, Reply) and found_customer(answer) is not None:
        return _settled(Outcome.ENROLLED, Speaks.REQUEST, answer)
    if isinstance(answer, Reply) and (refused := _documented(answer)):
        return refused
    if isinstance(answer, Reply) and _entity(answer) is None:
        nobody = _settled(Outcome.INVALID_USER, Speaks.REQUEST, answer)
        return replace(nobody, tells=Tells.REFUSED, error_message=raw_text(answer.body))
    verdict = judge(request, answer, maybe_applied=False, can_renew=can_renew, now_s=now_s)
    if verdict.settled and verdict.speaks is not Speaks.RUN:
        verdict = replace(verdict, outcome=Outcome.UNRECOGNISED, speaks=Speaks.REQUEST)
    elif verdict.outcome is Outcome.IN_DOUBT:
        verdict = replace(verdict, outcome=Outcome.SERVER_ERROR)
    tells = Tells.NEVER_REACHED if isinstance(answer, NoAnswer) else Tells.REFUSED  # a look-up is never half done
    return replace(verdict, tells=tells)


def _documented(answer: Reply) -> Verdict | None:
    """Return what a code means that is documented for look-ups, whatever the HTTP status."""
    envelope = read_envelope(answer.body) if answer.complete else None
    for error in envelope.errors if envelope else ():
        entry = LOOK_UP_CODES.get(error.code or 0)
        if entry is not None:
            verdict = _settled(entry.outcome, entry.speaks, answer)
            return replace(verdict, tells=Tells.REFUSED, error_code=error.code, error_message=error.message)
    return None


def _settled(outcome: Outcome, speaks: Speaks, answer: Reply) -> Verdict:
    return Verdict(
        outcome,
        settled=True,
        speaks=speaks,
        http_status=answer.status,
        api_request_id=clean(answer.headers.get("x-cap-requestid", "")),
        at_limit=is_used_up(answer.headers),
    )


class LookUps:
    """The API as a pool's sender: each request stands for a look-up of whom it names."""

    def __init__(self, client: CapillaryClient, source: str) -> None:
        """`source` is where the customers were registered, in the vendor's words."""
        self._client = client
        self._source = source

    async def send(self, worker: int, request: EnrollmentRequest) -> Reply | NoAnswer:
        """Ask once. Source: docs.capillarytech.com/reference/get-customer-id: not below the path prefix.

        Raises: AccessRefused when the token endpoint refuses the key.
        """
        query = look_up_query(str(request.customer), self._source)
        return await self._client.read(worker, PATH, query, prefixed=False)

    async def renew_token(self, worker: int) -> bool:
        """Replace the token that `worker` last asked with; False when there is none to replace.

        Raises: AccessRefused when the token endpoint refuses the key.
        """
        return await self._client.renew_token(worker)

    async def look_at(self, worker: int, requests: Sequence[EnrollmentRequest]) -> Seen:
        """Tell nothing: a look-up enrolls nobody."""
        del worker, requests
        return Seen(Verdict(Outcome.UNRECOGNISED, settled=True))

    async def verify(self, worker: int, request: EnrollmentRequest) -> Looked:
        """Ask once more. A look-up leaves nothing in doubt, so what it finds is all there is to know."""
        answer = await self.send(worker, request)
        return Looked(judge_look_up(request, answer, maybe_applied=False, can_renew=False, now_s=time.time()))
