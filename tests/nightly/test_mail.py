"""Mail leaves only over TLS, to a server that proved who it is; every fault of the server is one line."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from batch.model import Occasion
from batch.nightly.mail import Mail
from batch.nightly.messages import Message, Undelivered
from batch.nightly.notify import deliver
from tests.nightly.receivers import PASSWORD, MailServer, Trust, mail_server, make_trust

MESSAGE = Message(Occasion.DONE, "monday", 0, "all done: ü", "host:/reports/monday", 1_764_540_000)
TO = ("one@example.com", "two@example.com")


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return make_trust(tmp_path_factory.mktemp("trust"))


def mail(
    server: MailServer | int, root: Path | None, *, implicit: bool = False, password: str = PASSWORD,
    timeout_s: float = 10,
) -> Mail:  # fmt: skip
    port = server if isinstance(server, int) else server.port
    return Mail(
        "mail", TO, "batch@example.com", "127.0.0.1", port, implicit, "me", password, root, timeout_s
    )  # fmt: skip


def undelivered(way: Mail) -> Undelivered:
    with pytest.raises(Undelivered) as caught:
        way.send(MESSAGE)
    assert PASSWORD not in caught.value.text
    assert caught.value.__cause__ is None
    return caught.value


@pytest.mark.parametrize("implicit", [False, True])
def test_a_letter_arrives_over_tls(trust: Trust, *, implicit: bool) -> None:
    with mail_server(trust.context, implicit=implicit) as server:
        mail(server, trust.root, implicit=implicit).send(MESSAGE)
    (letter,) = server.letters
    assert server.recipients == [list(TO)]
    assert (server.logins, server.plain_logins) == ([("me", PASSWORD)], 0)
    assert letter["Subject"] == "enroll-batch monday: done"
    assert (letter["From"], letter["To"]) == ("batch@example.com", ", ".join(TO))
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["Message-ID"] == f"<{MESSAGE.message_id}@example.com>"
    assert letter["Date"] == "Sun, 30 Nov 2025 22:00:00 +0000"
    assert letter.get_content().splitlines() == ["all done: ü", "", "Report: host:/reports/monday"]


@pytest.mark.parametrize("implicit", [False, True])
def test_a_certificate_that_is_not_trusted_hears_no_password(trust: Trust, *, implicit: bool) -> None:
    with mail_server(trust.context, implicit=implicit) as server:
        fault = undelivered(mail(server, None, implicit=implicit))
    assert (fault.text[:45], fault.again) == ("the mail server's certificate is not trusted;", False)
    assert (server.logins, server.letters) == ([], [])


def test_a_certificate_of_another_name_hears_no_password(tmp_path: Path) -> None:
    other = make_trust(tmp_path, "mail.example")
    with mail_server(other.context) as server:
        assert "is not trusted" in undelivered(mail(server, other.root)).text
    assert server.logins == []


def test_a_server_without_tls_hears_no_password() -> None:
    with mail_server() as server:
        fault = undelivered(mail(server, None))
    assert fault.text == "the mail server offers no STARTTLS, or no login; try tls: implicit"
    assert (server.logins, server.letters) == ([], [])


@pytest.mark.parametrize(
    ("step", "answer", "said", "again"),
    [
        ("auth", "535 5.7.8 wrong", "the mail server refuses user and password (535); check them", False),
        ("auth", "454 4.7.0 later", "the mail server refuses user and password (454); check them", True),
        ("mail", "451 later", "the mail server answers 451", True),
        ("mail", "550 no", "the mail server refuses the sender (550); check from, user and password", False),
        ("data", "554 spam", "the mail server answers 554", False),
        ("data", "451 busy", "the mail server answers 451", True),
    ],
)
def test_what_a_server_refuses_is_said_in_our_words(
    trust: Trust, step: str, answer: str, said: str, *, again: bool
) -> None:
    with mail_server(trust.context, **{step: [f"{answer} {PASSWORD}"] * 3}) as server:
        fault = undelivered(mail(server, trust.root))
    assert (fault.text, fault.again) == (said, again)


def test_one_address_that_is_refused_does_not_cost_the_others_their_letter(trust: Trust) -> None:
    with mail_server(trust.context, rcpt=["550 who?"]) as server:
        fault = undelivered(mail(server, trust.root))
    assert fault.text == "the mail server refuses 1 of 2 addresses (550); check them"
    assert (fault.again, fault.reached, fault.rest) == (False, True, None)
    assert server.recipients == [["two@example.com"]]


def test_all_addresses_refused_is_said(trust: Trust) -> None:
    with mail_server(trust.context, rcpt=["550 who?", "450 later"]) as server:
        fault = undelivered(mail(server, trust.root))
    assert fault.text == "the mail server refuses every address (450, 550); check them"
    assert (fault.again, fault.reached) == (True, False)


@pytest.mark.parametrize(
    ("answers", "sent_to", "said"),
    [
        (["450 later"], [["two"], ["one"]], "told (2 attempts)"),
        (["", "450 later"], [["one"], ["two"]], "told (2 attempts)"),
        (["450 later", "450 later"], [["one", "two"]], "told (2 attempts)"),
        (["421 away"], [["one", "two"]], "told (2 attempts)"),
        (["", "421 away"], [["one", "two"]], "told (2 attempts)"),
        (["450 later", "", "451 busy"], [["two"], ["one"]], "told (3 attempts)"),
        (["550 who?", "450 later"], [["two"]], "not told: the mail server refuses 1 of 2 addresses (550); check them"),
        (["450 later", "", "550 who?"], [["two"]], "not told: the mail server refuses 1 of 2 addresses (550);"),
        (["450 a", "", "450 a", "450 a"], [["two"]], "not told: the mail server refuses 1 of 2 addresses (450);"),
    ],
)
def test_who_is_refused_for_a_while_gets_it_later_and_nobody_gets_it_twice(
    trust: Trust, answers: list[str], sent_to: list[list[str]], said: str
) -> None:
    with mail_server(trust.context, rcpt=[*answers]) as server:  # an empty one is none
        (delivery,) = deliver([(mail(server, trust.root), MESSAGE)], waits_s=(0, 0))
    assert delivery.text.startswith(f"mail: {said}")
    assert delivery.reached
    assert server.recipients == [[f"{who}@example.com" for who in each] for each in sent_to]
    assert {(letter["To"], letter["Message-ID"]) for letter in server.letters} == {
        (", ".join(TO), f"<{MESSAGE.message_id}@example.com>")
    }


def test_a_letter_that_is_not_taken_goes_to_all_again(trust: Trust) -> None:
    with mail_server(trust.context, data=["451 busy"]) as server:
        (delivery,) = deliver([(mail(server, trust.root), MESSAGE)], waits_s=(0, 0))
    assert (delivery.attempts, delivery.fault) == (2, None)
    assert server.recipients == [list(TO)]


def test_a_wrong_password_is_refused(trust: Trust) -> None:
    with mail_server(trust.context) as server:
        assert "user and password (535)" in undelivered(mail(server, trust.root, password="wrong")).text


def test_a_password_that_the_login_cannot_carry_is_said_and_not_shown(trust: Trust) -> None:
    with mail_server(trust.context) as server:
        fault = undelivered(mail(server, trust.root, password="geheim-ü"))
    assert fault.text == "user or password holds letters that this login cannot carry; use ASCII"


def test_nobody_there_a_silent_server_and_a_wrong_port_are_said(trust: Trust) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert "does not answer in time" in undelivered(mail(port, None, timeout_s=0.2)).text
    assert undelivered(mail(port, None)).text.endswith("the connection is refused; check host and port")
    with mail_server(trust.context) as server:
        assert "speaks no TLS there" in undelivered(mail(server, trust.root, implicit=True)).text


def test_a_check_logs_in_and_sends_nothing(trust: Trust) -> None:
    with mail_server(trust.context) as server:
        said = mail(server, trust.root).check()
    assert said == "the mail server answers and takes the login; nothing was sent"
    assert (server.logins, server.letters, server.recipients) == ([("me", PASSWORD)], [], [])


def test_the_password_is_not_shown() -> None:
    assert PASSWORD not in repr(mail(1, None))
