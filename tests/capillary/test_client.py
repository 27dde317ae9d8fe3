"""What leaves for the API, byte by byte, and what is brought back, over a real socket."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
import trustme

from batch import __version__
from batch.capillary.auth import BasicAuth, OAuth
from batch.capillary.client import Address, CapillaryClient, body_of
from batch.errors import AccessRefused, ConfigError
from batch.model import Action, EnrollmentRequest, Kind, NoAnswer, Reply, Scope, Tells
from tests.capillary import faults

T = TypeVar("T")
BASIC = BasicAuth("store.server", "8a16a6b70505eb1f1ff7cdc0cd5559a7")
OAUTH = OAuth("the-key", "the-secret")
MILESTONE = Scope(Action.ENROLL, Kind.MILESTONE, None, 29463, 5512)
STREAK = Scope(Action.ENROLL, Kind.STREAK, None, 29463, 5512)
UNENROLL = Scope(Action.UNENROLL, Kind.MILESTONE, None, 29463, 5512)
REQUEST = EnrollmentRequest(MILESTONE, 345651201, "Cycle_1", 300)


def address(url: str, *, prefix: str = "", version: str = "v3.1", ca: Path | None = None) -> Address:
    return Address(url, prefix, version, connect_timeout_s=10, read_timeout_s=10, ca_bundle=ca)


def run(
    where: Address,
    work: Callable[[CapillaryClient], Awaitable[T]],
    credentials: BasicAuth | OAuth = BASIC,
    clock: Callable[[], float] = lambda: 0.0,
    concurrency: int = 4,
) -> T:
    async def working() -> T:
        client = CapillaryClient(where, credentials, concurrency, clock=clock)
        try:
            return await work(client)
        finally:
            await client.aclose()

    return asyncio.run(working())


async def send_one(client: CapillaryClient) -> Reply:
    answer = await client.send(0, REQUEST)
    assert isinstance(answer, Reply)
    return answer


# Bodies, paths, headers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (EnrollmentRequest(MILESTONE, 1, "C 1"), b'[{"customerId":1,"periodName":"C 1","initialBalance":null}]'),
        (EnrollmentRequest(MILESTONE, 1, "C", 0), b'[{"customerId":1,"periodName":"C","initialBalance":0}]'),
        (
            EnrollmentRequest(MILESTONE, 2**63 - 1, "C", 2**63 - 1),
            b'[{"customerId":9223372036854775807,"periodName":"C","initialBalance":9223372036854775807}]',
        ),
        (EnrollmentRequest(STREAK, 1), b'[{"customerId":1,"resetStreakStatus":false}]'),
        (EnrollmentRequest(STREAK, 1, reset_streak_status=True), b'[{"customerId":1,"resetStreakStatus":true}]'),
        (EnrollmentRequest(UNENROLL, 1), b'[{"customerId":1}]'),
        (EnrollmentRequest(UNENROLL, 1, "C", 5, True), b'[{"customerId":1}]'),
    ],
)
def test_a_body_is_an_array_of_exactly_one_object(request_: EnrollmentRequest, body: bytes) -> None:
    assert body_of(request_) == body


def test_a_cycle_name_survives_to_the_letter() -> None:
    name = 'Zyklus "Ä" \\ 循环\u2028'
    assert json.loads(body_of(EnrollmentRequest(MILESTONE, 1, name)))[0]["periodName"] == name


@pytest.mark.parametrize(
    ("prefix", "version", "scope", "target"),
    [
        ("", "v3.1", MILESTONE, "/v3.1/targetGroups/29463/targets/5512/enroll"),
        ("", "v3", STREAK, "/v3/targetGroups/29463/targets/5512/enroll"),
        ("", "v3.1", UNENROLL, "/v3.1/targetGroups/29463/targets/5512/unEnroll"),
        (
            "/api_gateway/intouch-api-v3",
            "v3.1",
            MILESTONE,
            "/api_gateway/intouch-api-v3/v3.1/targetGroups/29463/targets/5512/enroll",
        ),
        ("gateway/", "v3.1", MILESTONE, "/gateway/v3.1/targetGroups/29463/targets/5512/enroll"),
    ],
)
def test_the_path_has_prefix_version_and_ids(prefix: str, version: str, scope: Scope, target: str) -> None:
    with faults.FaultServer((faults.succeeds,)) as server:
        where = address(server.url + "/", prefix=prefix, version=version)
        run(where, lambda client: client.send(0, EnrollmentRequest(scope, 1)))
    assert (server.received[0].method, server.received[0].target) == ("POST", target)


@pytest.mark.parametrize(
    ("version", "org_id", "scope_headers"),
    [
        ("v3.1", None, {"data-scope": "SELF"}),
        ("v3.1", 50672, {"data-scope": "OTHER", "data-scope-org": "50672"}),
        ("v3", None, {}),
    ],
)
def test_scope_headers_name_the_organisation(version: str, org_id: int | None, scope_headers: dict[str, str]) -> None:
    scope = Scope(Action.ENROLL, Kind.MILESTONE, org_id, 1, 2)
    with faults.FaultServer((faults.succeeds,)) as server:
        run(address(server.url, version=version), lambda client: client.send(0, EnrollmentRequest(scope, 1, "C")))
    headers = server.received[0].headers
    assert {name: value for name, value in headers.items() if name.startswith("data-scope")} == scope_headers


def test_an_organisation_is_never_dropped_silently_with_v3() -> None:
    scope = Scope(Action.ENROLL, Kind.MILESTONE, 50672, 1, 2)
    with faults.FaultServer((faults.succeeds,)) as server, pytest.raises(ConfigError, match=r"api\.version v3\.1"):
        run(address(server.url, version="v3"), lambda client: client.send(0, EnrollmentRequest(scope, 1, "C")))
    assert server.received == []


def test_the_other_headers_say_who_we_are_and_ask_for_plain_json() -> None:
    with faults.FaultServer((faults.succeeds,)) as server:
        run(address(server.url), send_one)
    headers = server.received[0].headers
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == (
        b"store.server:8a16a6b70505eb1f1ff7cdc0cd5559a7"
    )
    assert headers["content-type"] == headers["accept"] == "application/json"
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"] == f"enroll-batch/{__version__}"
    assert "cookie" not in headers


# Connections -----------------------------------------------------------------------------------------------------


def test_each_worker_keeps_one_connection_of_its_own() -> None:
    async def work(client: CapillaryClient) -> None:
        for _ in range(3):
            await asyncio.gather(*(client.send(worker, REQUEST) for worker in range(4)))

    with faults.FaultServer((faults.succeeds,)) as server:
        run(address(server.url), work)
    assert (len(server.received), server.connections) == (12, 4)


def test_a_server_that_closes_every_connection_gets_a_new_one_each_time() -> None:
    async def work(client: CapillaryClient) -> None:
        for _ in range(3):
            await send_one(client)

    with faults.FaultServer((faults.closes_each_connection,)) as server:
        run(address(server.url), work)
    assert (len(server.received), server.connections) == (3, 3)


def test_after_an_attempt_without_answer_the_next_one_opens_a_new_connection() -> None:
    async def work(client: CapillaryClient) -> Reply:
        assert isinstance(await client.send(0, REQUEST), NoAnswer)
        return await send_one(client)

    with faults.FaultServer((faults.reads_all_then_resets, faults.succeeds)) as server:
        run(address(server.url), work)
    assert (len(server.received), server.connections) == (2, 2)


def test_a_cancelled_attempt_passes_the_cancellation_on_and_closes_its_connection() -> None:
    async def work(client: CapillaryClient) -> Reply:
        sending = asyncio.create_task(client.send(0, REQUEST))
        await asyncio.to_thread(server.request_arrived.wait)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.to_thread(server.closed_by_client.wait)
        return await send_one(client)

    with faults.FaultServer((faults.never_answers, faults.succeeds)) as server:
        run(address(server.url), work)
    assert server.connections == 2


def test_a_worker_goes_on_after_a_cancellation_at_any_moment() -> None:
    """Believed after a break made it fail: where the library's client is kept after a cancellation, its only
    connection is lost at many of these moments, and the worker never sends again."""

    async def work(client: CapillaryClient) -> None:
        for turns in range(60):
            await send_one(client)
            sending = asyncio.create_task(client.send(0, REQUEST))
            for _ in range(turns):
                await asyncio.sleep(0)
            sending.cancel()
            await asyncio.wait([sending])
        await send_one(client)

    with faults.FaultServer((faults.succeeds,)) as server:
        run(address(server.url), work)


def test_closing_the_client_closes_its_connections() -> None:
    with faults.FaultServer((faults.succeeds,)) as server:
        run(address(server.url), send_one)
        server.closed_by_client.wait()


# Answers ---------------------------------------------------------------------------------------------------------


def test_a_reply_carries_status_body_and_only_the_headers_that_the_sender_needs() -> None:
    answer = faults.http(
        429,
        "slow down",
        "Retry-After: 7",
        "X-RateLimit-Remaining: 0",
        "RateLimit-Reset: 9",
        "X-Cap-RequestID: 0123abcd",
        "Date: Sun, 06 Nov 1994 08:49:37 GMT",
        "Content-Type: text/plain",
        "Server: secretly/1.0",
        "Set-Cookie: _cfuvid=1",
    )
    with faults.FaultServer((faults.answers(answer),)) as server:
        reply = run(address(server.url), send_one)
    assert reply == Reply(
        429,
        b"slow down",
        {
            "retry-after": "7",
            "x-ratelimit-remaining": "0",
            "ratelimit-reset": "9",
            "x-cap-requestid": "0123abcd",
            "date": "Sun, 06 Nov 1994 08:49:37 GMT",
            "content-type": "text/plain",
        },
    )


@pytest.mark.parametrize("name", ["X-CAP-REQUEST-ID", "X-Cap-Requestid", "x-cap-requestid"])
def test_both_spellings_of_the_vendors_request_id_become_one(name: str) -> None:
    with faults.FaultServer((faults.answers(faults.http(200, "", f"{name}: abc")),)) as server:
        assert run(address(server.url), send_one).headers == {"x-cap-requestid": "abc"}


def test_a_cookie_is_never_sent_back() -> None:
    async def work(client: CapillaryClient) -> None:
        await send_one(client)
        await send_one(client)
        assert [list(inner.cookies.jar) for inner in client._clients if inner is not None] == [[]]

    cookie = faults.http(200, {"data": 345651201}, "Set-Cookie: _cfuvid=abc; Path=/; Max-Age=3600")
    with faults.FaultServer((faults.answers(cookie, cookie),)) as server:
        run(address(server.url), work)
    assert len(server.received) == 2
    assert all("cookie" not in received.headers for received in server.received)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_brought_back_and_never_followed(status: int) -> None:
    with (
        faults.FaultServer((faults.succeeds,)) as elsewhere,
        faults.FaultServer((faults.answers(faults.http(status, "", f"Location: {elsewhere.url}/")),)) as server,
    ):
        reply = run(address(server.url), send_one)
    assert reply.status == status
    assert len(server.received) == 1
    assert elsewhere.connections == 0


@pytest.mark.parametrize("location", ["http://[nonsense", "https://a b/\xff", "", "javascript:alert(1)"])
def test_a_redirect_to_nonsense_is_still_an_answer(location: str) -> None:
    with faults.FaultServer((faults.answers(faults.http(307, "", f"Location: {location}")),)) as server:
        assert run(address(server.url), send_one).status == 307


def test_a_compressed_answer_is_not_unpacked() -> None:
    with faults.FaultServer((faults.answers(faults.http(200, b"\x1f\x8b\x08", "Content-Encoding: gzip")),)) as server:
        assert run(address(server.url), send_one).body == b"\x1f\x8b\x08"


def test_a_private_root_is_trusted_where_the_bundle_names_it(tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "roots.pem"))
    with faults.FaultServer((faults.succeeds,), tls=context) as server:
        assert run(address(server.url, ca=tmp_path / "roots.pem"), send_one).status == 200


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bundle_that_cannot_be_used_is_a_config_error(tmp_path: Path, content: str | None) -> None:
    bundle = tmp_path / "roots.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(ConfigError, match=r"api\.ca_bundle: .*roots\.pem.* cannot be used"):
        CapillaryClient(address("https://api.example", ca=bundle), BASIC, 1)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "ftp://127.0.0.1", "127.0.0.1:3128"])
def test_a_proxy_that_cannot_be_used_is_a_config_error(proxy: str) -> None:
    where = Address("https://api.example", "", "v3.1", 1, 1, proxy=proxy)
    with pytest.raises(ConfigError, match=r"api\.proxy"):
        CapillaryClient(where, BASIC, 1)


def test_an_address_does_not_show_the_proxys_password() -> None:
    assert "hush" not in repr(Address("https://api.example", "", "v3.1", 1, 1, proxy="http://u:hush@p:1"))


# Tokens ----------------------------------------------------------------------------------------------------------


class TokenApi:
    """The API with OAuth, as a behaviour: counts tokens given out, and serves enrolls with the newest one only."""

    def __init__(self, ttl_s: float = 300) -> None:
        self.ttl_s = ttl_s
        self.given = 0

    def __call__(self, connection: faults.Connection) -> None:
        while (received := connection.read_request()) is not None:
            if received.target == "/v3/oauth/token/generate":
                self.given += 1
                token = {"accessToken": f"token-{self.given}", "ttlSeconds": self.ttl_s}
                connection.send(faults.http(200, {"data": token, "errors": None}))
            elif received.headers.get("x-cap-api-oauth-token") == f"token-{self.given}":
                connection.send(faults.success(REQUEST.customer))
            else:
                connection.send(faults.http(498, {"data": None, "errors": [{"code": 498, "message": "Token expired"}]}))


def test_a_token_is_fetched_once_for_all_workers_without_prefix_and_sent_in_its_header() -> None:
    async def work(client: CapillaryClient) -> None:
        await asyncio.gather(*(client.send(worker, REQUEST) for worker in range(4)))

    with faults.FaultServer((TokenApi(),)) as server:
        run(address(server.url, prefix="/api_gateway"), work, OAUTH)
    questions = [received for received in server.received if "oauth" in received.target]
    enrolls = [received for received in server.received if received.target.endswith("/enroll")]
    assert [(question.method, question.target) for question in questions] == [("POST", "/v3/oauth/token/generate")]
    assert json.loads(questions[0].body) == {"key": "the-key", "secret": "the-secret"}
    assert [enroll.headers["x-cap-api-oauth-token"] for enroll in enrolls] == ["token-1"] * 4
    assert all("authorization" not in received.headers for received in server.received)


def test_a_token_is_renewed_before_its_life_ends() -> None:
    now = [0.0]

    async def work(client: CapillaryClient) -> list[int]:
        statuses = []
        for now[0] in (0, 269, 270, 600):
            statuses.append((await send_one(client)).status)
        return statuses

    api = TokenApi(ttl_s=300)
    with faults.FaultServer((api,)) as server:
        assert run(address(server.url), work, OAUTH, clock=lambda: now[0]) == [200] * 4
    assert api.given == 3
    tokens = [seen.headers["x-cap-api-oauth-token"] for seen in server.received if seen.target.endswith("/enroll")]
    assert tokens == ["token-1", "token-1", "token-2", "token-3"]


def test_a_token_that_several_workers_saw_refused_is_renewed_once() -> None:
    api = TokenApi()

    async def work(client: CapillaryClient) -> list[int]:
        await send_one(client)
        api.given += 1  # the API gives a token to somebody else and forgets ours
        refused = await asyncio.gather(*(client.send(worker, REQUEST) for worker in range(4)))
        assert {reply.status for reply in refused if isinstance(reply, Reply)} == {498}
        assert await asyncio.gather(*(client.renew_token(worker) for worker in range(4))) == [True] * 4
        served = await asyncio.gather(*(client.send(worker, REQUEST) for worker in range(4)))
        return [reply.status for reply in served if isinstance(reply, Reply)]

    with faults.FaultServer((api,)) as server:
        assert run(address(server.url), work, OAUTH) == [200] * 4
    assert api.given == 3


def test_there_is_nothing_to_renew_with_basic() -> None:
    with faults.FaultServer((faults.succeeds,)) as server:

        async def work(client: CapillaryClient) -> bool:
            await send_one(client)
            return await client.renew_token(0)

        assert run(address(server.url), work) is False


@pytest.mark.parametrize(
    "behaviour",
    [
        faults.reads_all_then_closes,
        faults.answers(faults.http(500, {"errors": [{"code": 500, "message": "Something went wrong"}]})),
        faults.answers(faults.http(503)),
        faults.answers(faults.http(429)),
        faults.answers(faults.http(200, "<html>")),
    ],
)
def test_without_a_token_the_request_never_leaves(behaviour: faults.Behaviour) -> None:
    with faults.FaultServer((behaviour,)) as server:
        answer = run(address(server.url), lambda client: client.send(0, REQUEST), OAUTH)
    assert isinstance(answer, NoAnswer)
    assert answer.tells is Tells.NEVER_REACHED
    assert answer.error.startswith("no token, so nothing was sent: ")
    assert {received.target for received in server.received} == {"/v3/oauth/token/generate"}


def test_a_refused_key_ends_the_run_and_shows_no_secret() -> None:
    refusal = faults.http(200, {"data": None, "errors": [{"code": 320001, "message": "Invalid the-key the-secret"}]})
    with (
        faults.FaultServer((faults.answers(refusal),)) as server,
        pytest.raises(AccessRefused) as refused,
    ):
        run(address(server.url), lambda client: client.send(0, REQUEST), OAUTH)
    assert "320001" in refused.value.text
    assert "auth.key" in refused.value.text
    chain: list[BaseException | None] = [refused.value, refused.value.__cause__, refused.value.__context__]
    assert "the-key" not in repr(chain)
    assert "the-secret" not in repr(chain)


def test_no_secret_shows_when_client_and_credentials_are_printed() -> None:
    client = CapillaryClient(address("http://127.0.0.1:1"), OAUTH, 1)
    shown = repr([client, OAUTH, BASIC, BASIC.header.keys()])
    for secret in ("the-key", "the-secret", BASIC.password_md5):
        assert secret not in shown


def test_what_an_api_says_is_shown_without_our_credentials() -> None:
    address = Address("http://127.0.0.1:9", "", "v3.1", 1, 1, None, None)
    basic = BasicAuth("store.server", "8a16a6b70505eb1f1ff7cdc0cd5559a7")
    client = CapillaryClient(address, basic, 1)
    said = client.without_secrets(f"no route for {basic.header['Authorization']} {basic.password_md5} 345651201")
    assert said == "no route for Basic *** *** 345651201"
