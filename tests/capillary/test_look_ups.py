"""What the look-up asks, and what an answer to it means."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from batch.capillary.auth import OAuth
from batch.capillary.client import Address, CapillaryClient, body_of
from batch.capillary.look_ups import LookUps, found_customer, judge_look_up, look_up_query
from batch.model import Action, EnrollmentRequest, Kind, NoAnswer, Outcome, Reply, Scope, Speaks, Tells, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import RunningSandbox

    Start = Callable[..., RunningSandbox]

SCOPE = Scope(Action.ENROLL, Kind.MILESTONE, None, 0, 0)


def found(entity: object, status: int = 200, **more: object) -> Reply:
    return Reply(status, json.dumps({"entity": entity, "warnings": []} | more).encode())


def refused(code: int, status: int = 400) -> Reply:
    return found(None, status, errors=[{"status": False, "code": code, "message": "Customer not found"}])


def judged(answer: Reply | NoAnswer, *, can_renew: bool = True) -> Verdict:
    request = EnrollmentRequest(SCOPE, "mobile:919111111111")
    return judge_look_up(request, answer, maybe_applied=False, can_renew=can_renew, now_s=0.0)


def ask(api: RunningSandbox, *identifiers: str) -> list[int | None]:
    async def asked() -> list[int | None]:
        client = CapillaryClient(Address(api.url, "/prefix", "v3.1", 5, 5), OAuth("sandbox-key", "sandbox-secret"), 1)
        sender = LookUps(client, "INSTORE")
        try:
            return [found_customer(await sender.send(0, EnrollmentRequest(SCOPE, each))) for each in identifiers]
        finally:
            await client.aclose()

    return asyncio.run(asked())


def test_each_kind_of_identifier_is_looked_up_outside_the_path_prefix(sandbox: Start) -> None:
    api = sandbox()
    assert ask(api, "mobile:910000000120", "email:ann+121@example.com", "external_id:EXT-122") == [120, 121, 122]
    assert api.calls["lookup"] == 3


def test_a_question_names_the_source_and_the_identifier_to_the_letter() -> None:
    assert look_up_query("external_id:a:b &c", "ECOMMERCE") == {
        "source": "ECOMMERCE", "identifierName": "externalId", "identifierValue": "a:b &c",
    }  # fmt: skip


@pytest.mark.parametrize(("entity", "customer"), [(306, 306), ("306", 306), (2**63 - 1, 2**63 - 1)])
def test_the_entity_is_the_customer(entity: object, customer: int) -> None:
    assert found_customer(found(entity)) == customer
    assert judged(found(entity)).outcome is Outcome.ENROLLED
    assert judged(found(entity)).settled


@pytest.mark.parametrize(
    "answer",
    [
        *(found(entity) for entity in (None, 0, -1, True, 1.5, 2**63, "x", [306], {"id": 306})),
        found(306, 400),
        found(306, 200, errors=[{"code": 8015, "message": "Customer not found"}]),
        Reply(200, b'{"entity": 306, "warnings": []}', complete=False),
        Reply(200, b'{"entity": 305, "entity": 306, "warnings": []}'),
        Reply(200, b'{"entity": 306, "\\u0065ntity": 306}'),
        Reply(200, b'{"entity": 306, "errors": [{"code": 8015}], "errors": []}'),
        Reply(200, b'{"entity": 306, "warnings": [NaN]}'),
        Reply(200, b"306"),
        Reply(200, b"{"),
        Reply(200, b""),
        Reply(200, b"[" * 100_000),
        NoAnswer(Tells.MAY_BE_APPLIED, "no answer within 30 s"),
    ],
)
def test_what_does_not_name_one_customer_for_certain_is_not_taken_for_one(answer: Reply | NoAnswer) -> None:
    assert found_customer(answer) is None
    assert judged(answer).outcome is not Outcome.ENROLLED


@pytest.mark.parametrize("code", [8013, 8015, 8065, 8069])
@pytest.mark.parametrize("status", [200, 400, 404])
def test_nobody_found_is_an_invalid_user_with_the_words_of_the_api(code: int, status: int) -> None:
    verdict = judged(refused(code, status))
    assert (verdict.outcome, verdict.settled, verdict.speaks) == (Outcome.INVALID_USER, True, Speaks.REQUEST)
    assert (verdict.error_code, verdict.error_message, verdict.http_status) == (code, "Customer not found", status)


@pytest.mark.parametrize("status", [200, 201])
def test_an_answer_that_names_null_is_settled_at_once_as_nobody(status: int) -> None:
    verdict = judged(found(None, status))
    assert (verdict.outcome, verdict.settled, verdict.speaks) == (Outcome.INVALID_USER, True, Speaks.REQUEST)
    assert verdict.error_message == '{"entity": null, "warnings": []}'
    assert judged(Reply(200, b'{"warnings": []}')).outcome is Outcome.SERVER_ERROR


@pytest.mark.parametrize("code", [8011, 8012, 8045])
def test_a_source_that_is_refused_speaks_for_the_run(code: int) -> None:
    assert (judged(refused(code)).outcome, judged(refused(code)).speaks) == (Outcome.SCOPE_REFUSED, Speaks.RUN)


@pytest.mark.parametrize(
    ("answer", "outcome", "counts"),
    [
        (Reply(429, b""), Outcome.RATE_LIMITED, False),
        (Reply(503, b""), Outcome.RATE_LIMITED, False),
        (refused(461, 461), Outcome.SERVER_ERROR, True),
        (refused(4001, 503), Outcome.SERVER_ERROR, True),
        (Reply(500, b"x"), Outcome.SERVER_ERROR, True),
        (Reply(502, b"x"), Outcome.SERVER_ERROR, True),
        (found("x"), Outcome.SERVER_ERROR, True),
        (Reply(200, b""), Outcome.SERVER_ERROR, True),
        (Reply(200, b'{"entity": null, "entity": null}'), Outcome.SERVER_ERROR, True),
        (NoAnswer(Tells.MAY_BE_APPLIED, "reset"), Outcome.SERVER_ERROR, True),
        (NoAnswer(Tells.NEVER_REACHED, "refused"), Outcome.UNREACHABLE, True),
    ],
)
def test_trouble_of_the_api_is_asked_again_and_never_in_doubt(
    answer: Reply | NoAnswer, outcome: Outcome, counts: bool
) -> None:
    verdict = judged(answer)
    assert (verdict.outcome, verdict.settled, verdict.counts) == (outcome, False, counts)
    assert verdict.tells in {Tells.REFUSED, Tells.NEVER_REACHED}


@pytest.mark.parametrize("answer", [Reply(404, b""), Reply(400, b"{}"), refused(310119), refused(310011), refused(7)])
def test_an_answer_that_is_not_documented_for_a_look_up_is_unrecognised(answer: Reply) -> None:
    verdict = judged(answer)
    assert (verdict.outcome, verdict.settled, verdict.speaks) == (Outcome.UNRECOGNISED, True, Speaks.REQUEST)


def test_a_token_is_renewed_once_and_access_that_is_refused_speaks_for_the_run() -> None:
    assert judged(refused(498, 498)).renew_token
    verdict = judged(refused(498, 498), can_renew=False)
    assert (verdict.outcome, verdict.speaks, verdict.settled) == (Outcome.ACCESS_REFUSED, Speaks.RUN, True)


def test_a_customer_whose_id_is_not_known_never_leaves() -> None:
    with pytest.raises(TypeError, match="never sent"):
        body_of(EnrollmentRequest(SCOPE, "mobile:919111111111", "C1"))
