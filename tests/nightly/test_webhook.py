"""A webhook is signed, a heartbeat says which sign of life it is; both over TLS, to a real server."""

from __future__ import annotations

import base64
import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from batch.model import Occasion
from batch.nightly.heartbeat import Heartbeat
from batch.nightly.messages import Message, Undelivered, Way
from batch.nightly.web import Receiver
from batch.nightly.webhook import Webhook, signature
from tests.nightly.receivers import Trust, make_trust, web_server

KEY = "the-key-of-the-signature"
MESSAGE = Message(Occasion.PARTIAL, "monday", 4, "25 need work", "host:/reports/monday", 1_764_540_000.5)


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return make_trust(tmp_path_factory.mktemp("trust"))


def undelivered(way: Way) -> Undelivered:
    with pytest.raises(Undelivered) as caught:
        way.send(MESSAGE)
    assert caught.value.__cause__ is None
    assert "hidden" not in caught.value.text
    return caught.value


def test_the_receiver_can_verify_who_it_is_from(trust: Trust) -> None:
    with web_server(trust.context) as server:
        way = Webhook("hook", Receiver(server.url(scheme="https"), trust.root), KEY, clock=lambda: 1_764_540_001.9)
        way.send(MESSAGE)
    (post,) = server.posts
    assert post.is_signed_with(KEY.encode())
    assert not post.is_signed_with(b"another key")
    assert post.headers["content-type"] == "application/json"
    assert post.headers["webhook-timestamp"] == "1764540001"
    assert post.headers["webhook-id"] == MESSAGE.message_id
    assert json.loads(post.body) == {
        "type": "enroll_batch.partial",
        "timestamp": "2025-11-30T22:00:00Z",
        "about": "monday",
        "exit_code": 4,
        "text": "25 need work",
        "report": "host:/reports/monday",
    }


def test_a_signature_is_that_of_the_specification() -> None:
    """Source: the example of the reference libraries of Standard Webhooks."""
    key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    made = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_key_with_the_prefix_is_base64() -> None:
    encoded = f"whsec_{base64.b64encode(KEY.encode()).decode()}"
    assert signature(encoded, "a", "1", b"{}") == signature(KEY, "a", "1", b"{}")
    assert signature("whsec_no base64!", "a", "1", b"{}").startswith("v1,")


@pytest.mark.parametrize("address", ["/a%2Fb/c?key=1%2F2", "/a%20b%3Fc%2F?key=", "/%C3%A4/", "/a"])
def test_a_sign_of_life_goes_to_the_address_as_it_was_written(address: str) -> None:
    """Broken once: only success did; begun and failed went where a %2F is a slash."""
    path, _, query = address.partition("?")
    with web_server() as server:
        way = Heartbeat("beat", Receiver(server.url(address)))
        for exit_code in (0, 1, None):
            way.send(replace(MESSAGE, exit_code=exit_code))
    rest = f"?{query}" if query else ""
    ends = [path, f"{path.rstrip('/')}/fail", f"{path.rstrip('/')}/start"]
    assert [post.path for post in server.posts] == [f"{end}{rest}" for end in ends]


@pytest.mark.parametrize(
    ("status", "again"), [(200, None), (204, None), (302, False), (400, False), (404, False), (429, True), (503, True)]
)
def test_an_answer_decides_whether_it_arrived(status: int, again: bool | None) -> None:
    with web_server(None, status) as server:
        way = Webhook("hook", Receiver(server.url("/hidden")), KEY)
        if again is None:
            way.send(MESSAGE)
        else:
            fault = undelivered(way)
            assert (fault.text, fault.again) == (f"the receiver answers HTTP {status}", again)
    assert [post.path for post in server.posts] == ["/hidden"]


def test_a_certificate_that_is_not_trusted_gets_no_message(trust: Trust) -> None:
    with web_server(trust.context) as server:
        way = Webhook("hook", Receiver(server.url("/hidden", "https")), KEY)
        fault = undelivered(way)
        with pytest.raises(Undelivered, match="the certificate is not trusted"):
            way.check()
    assert (fault.text[:30], fault.again) == ("the certificate is not trusted", False)
    assert server.posts == []


def test_a_certificate_of_another_name_gets_no_message(tmp_path: Path) -> None:
    other = make_trust(tmp_path, "elsewhere.example")
    with web_server(other.context) as server:
        fault = undelivered(Webhook("hook", Receiver(server.url(scheme="https"), other.root), KEY))
    assert fault.text.startswith("the certificate is not trusted")
    assert server.posts == []


def test_a_root_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_text("none")
    fault = undelivered(Webhook("hook", Receiver("https://127.0.0.1:1/hidden", tmp_path / "root.pem"), KEY))
    assert "root.pem" in fault.text


def test_nobody_there_a_silent_server_and_one_that_hangs_up_are_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        slow = Receiver(f"http://127.0.0.1:{port}/hidden", timeout_s=0.2)
        assert undelivered(Webhook("hook", slow, KEY)).text == "no answer in time"
    text = "no connection: the connection is refused; check the url"
    assert undelivered(Webhook("hook", slow, KEY)).text == text
    with web_server(None, 0) as server:
        fault = undelivered(Webhook("hook", Receiver(server.url("/hidden")), KEY))
    assert fault.again


def test_a_name_that_nobody_knows_is_said_without_it() -> None:
    fault = undelivered(Webhook("hook", Receiver("https://hidden.invalid/x"), KEY))
    assert fault.text == "no connection: the host's name is not known; check the url"


@pytest.mark.parametrize(
    ("exit_code", "path"),
    [(None, "/ping/id/start"), (0, "/ping/id"), (4, "/ping/id"), (5, "/ping/id"), (7, "/ping/id/fail"),
     (10, "/ping/id/fail")],
)  # fmt: skip
def test_a_heartbeat_says_which_sign_it_is(exit_code: int | None, path: str) -> None:
    message = Message(Occasion.START, "monday", exit_code, "text", "", 0)
    with web_server() as server:
        Heartbeat("beat", Receiver(server.url("/ping/id"))).send(message)
    assert [(post.path, post.body) for post in server.posts] == [(path, b"text\n")]


def test_a_heartbeat_keeps_the_query_of_its_url() -> None:
    message = Message(Occasion.STOPPED, "monday", 7, "text", "", 0)
    with web_server() as server:
        Heartbeat("beat", Receiver(server.url("/ping/?create=1"))).send(message)
    assert [post.path for post in server.posts] == ["/ping/fail?create=1"]


def test_a_check_connects_and_sends_nothing(trust: Trust) -> None:
    with web_server(trust.context) as server:
        receiver = Receiver(server.url(scheme="https"), trust.root)
        said = [Webhook("hook", receiver, KEY).check(), Heartbeat("beat", receiver).check()]
    assert said == ["the host answers and its certificate is trusted; nothing was sent"] * 2
    assert server.posts == []


def test_neither_address_nor_key_is_shown() -> None:
    receiver = Receiver("https://hidden.example/hidden", proxy="http://me:hidden@proxy")
    assert "hidden" not in repr(Webhook("hook", receiver, "hidden")) + repr(Heartbeat("beat", receiver))


def test_a_proxy_carries_it_where_there_is_one() -> None:
    with web_server() as proxy:
        Webhook("hook", Receiver("http://127.0.0.1:9/hook", proxy=proxy.url("")), KEY).send(MESSAGE)
        assert Receiver("http://127.0.0.1:9/hook", proxy=proxy.url("")).check() == "its proxy answers; nothing was sent"
    (post,) = proxy.posts
    assert post.headers["host"] == "127.0.0.1:9"
