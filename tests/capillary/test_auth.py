"""Credentials and the life of a token, without a socket and without waiting."""

from __future__ import annotations

import asyncio
import json

import pytest

from batch.capillary.auth import BasicAuth, OAuth, TokenKeeper, margin_s
from batch.errors import AccessRefused
from batch.model import NoAnswer, Reply, Tells


class Endpoint:
    """A token endpoint: gives the answers in order, each after `gate` is opened, and counts the questions."""

    def __init__(self, *answers: Reply | NoAnswer) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> Reply | NoAnswer:
        self.asked += 1
        answer = self.answers.pop(0)
        await self.gate.wait()
        return answer


def token(text: object = "abc", ttl: object = 300, status: int = 200) -> Reply:
    return Reply(status, json.dumps({"data": {"accessToken": text, "ttlSeconds": ttl}, "errors": None}).encode())


def refusal(code: object, status: int) -> Reply:
    return Reply(status, json.dumps({"data": None, "errors": [{"code": code, "message": "no"}]}).encode())


def first_token(answer: Reply | NoAnswer) -> str | NoAnswer:
    async def asking() -> str | NoAnswer:
        return await TokenKeeper(Endpoint(answer), lambda: 0.0).token()

    return asyncio.run(asking())


def test_basic_is_the_documented_vector() -> None:
    header = {"Authorization": "Basic c3RvcmUuc2VydmVyOjhhMTZhNmI3MDUwNWViMWYxZmY3Y2RjMGNkNTU1OWE3"}
    assert BasicAuth("store.server", "8a16a6b70505eb1f1ff7cdc0cd5559a7").header == header
    assert BasicAuth("store.server", "8A16A6B70505EB1F1FF7CDC0CD5559A7").header == header


def test_credentials_do_not_show_their_secrets() -> None:
    assert repr(OAuth("the-key", "the-secret")) == "OAuth()"
    assert repr(BasicAuth("store.server", "8a16")) == "BasicAuth(till='store.server')"


@pytest.mark.parametrize(("ttl_s", "expected_s"), [(3600, 30), (300, 30), (100, 10), (2, 0.2)])
def test_a_token_is_renewed_a_tenth_of_its_life_early_but_at_most_30_seconds(ttl_s: float, expected_s: float) -> None:
    assert margin_s(ttl_s) == pytest.approx(expected_s)


@pytest.mark.parametrize(
    ("ttl", "good_at_s", "over_at_s"),
    [(2, 1.7, 1.8), ("100", 89.9, 90), (None, 269, 270), (0, 269, 270), (-1, 269, 270), ("soon", 269, 270)],
)
def test_a_life_that_cannot_be_read_counts_as_the_documented_one(
    ttl: object, good_at_s: float, over_at_s: float
) -> None:
    async def living() -> list[str | NoAnswer]:
        now_s = [0.0]
        keeper = TokenKeeper(Endpoint(token("one", ttl), token("two")), lambda: now_s[0])
        seen = []
        for now_s[0] in (0.0, good_at_s, over_at_s):
            seen.append(await keeper.token())
        return seen

    assert asyncio.run(living()) == ["one", "one", "two"]


def test_the_life_of_a_token_begins_when_it_was_asked_for() -> None:
    async def living() -> list[str | NoAnswer]:
        now_s = [0.0]

        async def slow() -> Reply:
            now_s[0] += 250
            return token(f"at {now_s[0]:g}".replace(" ", "-"))

        keeper = TokenKeeper(slow, lambda: now_s[0])
        seen = [await keeper.token()]
        now_s[0] = 275
        return [*seen, await keeper.token()]

    assert asyncio.run(living()) == ["at-250", "at-525"]


def test_whoever_needs_a_token_while_it_is_fetched_waits_for_the_same_one() -> None:
    async def living() -> tuple[list[str | NoAnswer], int]:
        endpoint = Endpoint(token())
        endpoint.gate.clear()
        keeper = TokenKeeper(endpoint, lambda: 0.0)
        waiting = [asyncio.create_task(keeper.token()) for _ in range(16)]
        await asyncio.sleep(0)
        endpoint.gate.set()
        return await asyncio.gather(*waiting), endpoint.asked

    assert asyncio.run(living()) == (["abc"] * 16, 1)


def test_a_failed_fetch_is_shared_and_the_next_need_asks_again() -> None:
    async def living() -> None:
        endpoint = Endpoint(NoAnswer(Tells.MAY_BE_APPLIED, "no answer within 30 s"), token())
        endpoint.gate.clear()
        keeper = TokenKeeper(endpoint, lambda: 0.0)
        waiting = [asyncio.create_task(keeper.token()) for _ in range(16)]
        await asyncio.sleep(0)
        endpoint.gate.set()
        expected = NoAnswer(Tells.NEVER_REACHED, "no token, so nothing was sent: no answer within 30 s")
        assert await asyncio.gather(*waiting) == [expected] * 16
        assert await keeper.token() == "abc"
        assert endpoint.asked == 2

    asyncio.run(living())


def test_a_worker_that_is_cancelled_does_not_cost_the_others_their_token() -> None:
    async def living() -> str | NoAnswer:
        endpoint = Endpoint(token())
        endpoint.gate.clear()
        keeper = TokenKeeper(endpoint, lambda: 0.0)
        first, second = (asyncio.create_task(keeper.token()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        endpoint.gate.set()
        return await second

    assert asyncio.run(living()) == "abc"


def test_closing_ends_a_fetch_that_is_under_way() -> None:
    async def living() -> None:
        endpoint = Endpoint(token())
        endpoint.gate.clear()
        keeper = TokenKeeper(endpoint, lambda: 0.0)
        waiting = asyncio.create_task(keeper.token())
        await asyncio.sleep(0)
        await keeper.aclose()
        await asyncio.wait([waiting])
        assert waiting.cancelled()

    asyncio.run(living())


def test_a_refused_token_is_replaced_once_however_many_saw_the_refusal() -> None:
    async def living() -> tuple[str | NoAnswer, int]:
        endpoint = Endpoint(token("one"), token("two"))
        keeper = TokenKeeper(endpoint, lambda: 0.0)
        await keeper.token()
        await asyncio.gather(*(keeper.renew("one") for _ in range(8)))
        await keeper.renew("one")  # a slow worker that still saw the old one refused
        return await keeper.token(), endpoint.asked

    assert asyncio.run(living()) == ("two", 2)


def test_a_refused_token_is_forgotten_also_when_no_new_one_is_to_be_had() -> None:
    async def living() -> list[str | NoAnswer]:
        endpoint = Endpoint(token("one"), Reply(502, b""), Reply(502, b""), token("two"))
        keeper = TokenKeeper(endpoint, lambda: 0.0)
        seen = [await keeper.token()]
        await keeper.renew("one")
        return [*seen, await keeper.token(), await keeper.token()]

    unavailable = NoAnswer(Tells.NEVER_REACHED, "no token, so nothing was sent: HTTP 502 without a readable token")
    assert asyncio.run(living()) == ["one", unavailable, "two"]


@pytest.mark.parametrize(
    "answer",
    [
        refusal(320001, 200),
        refusal(320001, 401),
        refusal(320001, 500),
        refusal("320001", 400),
        refusal(4000, 403),
        refusal(999999, 200),
        refusal(7, 404),
        Reply(401, b""),
        Reply(403, b"<html>"),
        Reply(302, b""),
        Reply(200, b'{"response":{"status":{"success":"true","code":401,"message":"Unauthorized"}}}'),
    ],
)
def test_a_refusal_by_the_endpoint_ends_the_run_with_one_line(answer: Reply) -> None:
    with pytest.raises(AccessRefused) as refused:
        first_token(answer)
    assert "\n" not in refused.value.text
    assert "auth.key and auth.secret" in refused.value.text


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"message": "no Route matched with those values"}', b'{"errors": []}']
)
def test_an_endpoint_that_is_not_there_is_no_fault_of_the_key(body: bytes) -> None:
    with pytest.raises(AccessRefused) as refused:
        first_token(Reply(404, body))
    assert refused.value.text == (
        "the token endpoint /v3/oauth/token/generate is not there (HTTP 404): check api.base_url"
    )


@pytest.mark.parametrize(
    "answer",
    [
        NoAnswer(Tells.NEVER_REACHED, "connection refused"),
        NoAnswer(Tells.MAY_BE_APPLIED, "no answer within 30 s"),
        Reply(500, b""),
        Reply(502, b"<html>"),
        Reply(503, b""),
        Reply(429, b""),
        Reply(461, b""),
        refusal(500, 500),
        refusal(4001, 503),
        refusal(999999, 500),
        Reply(200, b""),
        Reply(200, b"<html>"),
        Reply(200, token().body, complete=False),
        token(None),
        token(5),
        token(""),
        token("two words"),
        token("line\r\nbreak"),
        token("über"),
        token("x" * 100_000),
    ],
)
def test_an_endpoint_that_gives_no_token_at_the_moment_leaves_the_request_unsent(answer: Reply | NoAnswer) -> None:
    got = first_token(answer)
    assert isinstance(got, NoAnswer)
    assert got.tells is Tells.NEVER_REACHED
    assert got.error.startswith("no token, so nothing was sent: ")
