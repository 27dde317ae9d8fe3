"""Apprise is an extra; what it is given is a secret, and what it logs is not shown."""

from __future__ import annotations

import json
import sys

import pytest

from batch.model import Occasion
from batch.nightly.chats import Chat
from batch.nightly.messages import Message, Undelivered
from tests.nightly.receivers import web_server

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise imports it

MESSAGE = Message(Occasion.DONE, "monday", 0, "all done", "", 0)


def undelivered(way: Chat, caplog: pytest.LogCaptureFixture) -> Undelivered:
    with pytest.raises(Undelivered) as caught:
        way.send(MESSAGE)
    assert "hidden" not in caught.value.text + caplog.text
    return caught.value


def test_a_message_goes_where_the_url_says() -> None:
    with web_server() as server:
        Chat("chat", server.url("/room").replace("http", "json")).send(MESSAGE)
    (post,) = server.posts
    assert post.path == "/room"
    sent = json.loads(post.body)
    assert (sent["title"], sent["message"].strip()) == ("enroll-batch monday: done", "all done")


def test_a_service_that_does_not_take_it_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    with web_server(None, 500) as server:
        fault = undelivered(Chat("chat", server.url("/hidden").replace("http", "json")), caplog)
    assert (fault.text, fault.again) == ("the service did not take it", True)


@pytest.mark.parametrize("url", ["hidden://x", "hidden", "slack://hidden"])
def test_a_url_that_apprise_does_not_understand_is_said(url: str, caplog: pytest.LogCaptureFixture) -> None:
    assert undelivered(Chat("chat", url), caplog).text.startswith("apprise does not understand its URL")


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert "pip install 'enroll-batch[apprise]'" in undelivered(Chat("chat", "json://x"), caplog).text


def test_a_check_sends_nothing() -> None:
    with web_server() as server:
        Chat("chat", server.url().replace("http", "json")).check()
    assert server.posts == []


def test_the_url_is_not_shown() -> None:
    assert "hidden" not in repr(Chat("chat", "hidden"))
