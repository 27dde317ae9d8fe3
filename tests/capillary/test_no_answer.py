"""Each way an attempt can fail, over a real socket, with the very client that is shipped."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import httpx
import pytest
import trustme

from batch.capillary import no_answer as room
from batch.capillary.auth import BasicAuth
from batch.capillary.client import Address, CapillaryClient
from batch.capillary.codes import judge
from batch.capillary.transport import BODY_LIMIT
from batch.model import Action, EnrollmentRequest, Kind, NoAnswer, Outcome, Reply, Scope, Tells
from tests.capillary import faults

REQUEST = EnrollmentRequest(Scope(Action.ENROLL, Kind.MILESTONE, None, 29463, 5512), 345651201, "Cycle_1")
WELL = faults.success(REQUEST.customer)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BASIC = BasicAuth("store.server", "8a16a6b70505eb1f1ff7cdc0cd5559a7")


SHORT_S = 0.3  # for faults that end by a time-out; all others get a time that a busy machine keeps
LONG_S = 10.0


def address(url: str, timeout_s: float = LONG_S, *, ca: Path | None = None, proxy: str | None = None) -> Address:
    return Address(url, "", "v3.1", connect_timeout_s=timeout_s, read_timeout_s=timeout_s, ca_bundle=ca, proxy=proxy)


def send(where: Address, times: int = 1, request: EnrollmentRequest = REQUEST) -> list[Reply | NoAnswer]:
    async def sending() -> list[Reply | NoAnswer]:
        client = CapillaryClient(where, BASIC, concurrency=1)
        try:
            return [await client.send(0, request) for _ in range(times)]
        finally:
            await client.aclose()

    return asyncio.run(sending())


def silence(where: Address, times: int = 1, request: EnrollmentRequest = REQUEST) -> NoAnswer:
    answer = send(where, times, request)[-1]
    assert isinstance(answer, NoAnswer)
    return answer


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def ca_bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "roots.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


# Never reached ---------------------------------------------------------------------------------------------------


def test_a_refused_port_was_never_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert silence(address(f"http://127.0.0.1:{port}")) == NoAnswer(
        Tells.NEVER_REACHED, f"connection refused by 127.0.0.1:{port}"
    )


def test_an_unknown_host_was_never_reached() -> None:
    answer = silence(address("https://nobody.invalid", SHORT_S))
    assert answer.tells is Tells.NEVER_REACHED
    # a resolver without network may take longer than the connect timeout instead of saying no
    assert answer.error in {
        "host name not found: nobody.invalid",
        "no connection to nobody.invalid:443 within 0.3 s",
    }


def test_a_host_that_drops_connection_attempts_was_never_reached() -> None:
    # Linux drops further SYN packets while the queue of a listener that never accepts is full.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for caller in waiting:
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", port))
        answer = silence(address(f"http://127.0.0.1:{port}", SHORT_S))
        for caller in waiting:
            caller.close()
    assert answer == NoAnswer(Tells.NEVER_REACHED, f"no connection to 127.0.0.1:{port} within 0.3 s")


def test_a_certificate_that_nobody_vouches_for_ends_before_the_request_leaves(server_tls: ssl.SSLContext) -> None:
    with faults.FaultServer((faults.succeeds,), tls=server_tls) as server:
        answer = silence(address(server.url))
    assert answer.tells is Tells.NEVER_REACHED
    assert answer.error.startswith("certificate not trusted: ")
    assert server.received == []


def test_a_certificate_for_another_host_ends_before_the_request_leaves(authority: trustme.CA, ca_bundle: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    with faults.FaultServer((faults.succeeds,), tls=context) as server:
        answer = silence(address(server.url, ca=ca_bundle))
    assert answer.tells is Tells.NEVER_REACHED
    assert answer.error.startswith("certificate not trusted: ")
    assert server.received == []


def test_a_server_that_never_finishes_the_tls_handshake_was_never_reached() -> None:
    with faults.FaultServer((lambda connection: connection.wait_for_close(),)) as server:
        answer = silence(address(server.url.replace("http:", "https:"), SHORT_S))
    assert answer == NoAnswer(Tells.NEVER_REACHED, f"no connection to 127.0.0.1:{server.port} within 0.3 s")


def test_a_server_that_speaks_no_tls_was_never_reached() -> None:
    with faults.FaultServer((faults.answers_without_reading,)) as server:
        answer = silence(address(server.url.replace("http:", "https:")))
    assert answer.tells is Tells.NEVER_REACHED
    assert answer.error.startswith(("TLS failed with 127.0.0.1", "no connection to 127.0.0.1"))


def test_an_address_of_another_kind_was_never_reached() -> None:
    answer = silence(address("ftp://127.0.0.1"))
    assert answer == NoAnswer(Tells.NEVER_REACHED, "this kind of address cannot be used; check api.base_url")


def test_a_proxy_that_opens_no_tunnel_keeps_the_request_from_leaving() -> None:
    with faults.FaultServer((faults.opens_no_tunnel,)) as proxy:
        answer = silence(address("https://api.example", proxy=f"http://user:hush@127.0.0.1:{proxy.port}"))
    assert answer == NoAnswer(Tells.NEVER_REACHED, f"proxy 127.0.0.1:{proxy.port} opened no tunnel: HTTP 407")
    assert [seen.method for seen in proxy.received] == ["CONNECT"]
    assert "authorization" not in proxy.received[0].headers


@pytest.mark.parametrize("fault", [faults.ignores_tunnel, faults.reads_all_then_closes, faults.reads_all_then_resets])
def test_a_proxy_that_fails_before_the_tunnel_stands_keeps_the_request_from_leaving(fault: faults.Behaviour) -> None:
    with faults.FaultServer((fault,)) as proxy:
        answer = silence(address("https://api.example", SHORT_S, proxy=f"http://127.0.0.1:{proxy.port}"))
    assert answer.tells is Tells.NEVER_REACHED
    assert [seen.method for seen in proxy.received] == ["CONNECT"]


def test_a_refused_proxy_is_named_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    answer = silence(address("https://api.example", proxy=f"http://127.0.0.1:{port}"))
    assert answer == NoAnswer(Tells.NEVER_REACHED, f"connection refused by proxy 127.0.0.1:{port}")


# May have been applied -------------------------------------------------------------------------------------------

CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

READ_COMPLETELY = {
    "reads all, then FIN": (faults.reads_all_then_closes, "the server closed the connection without an answer"),
    "reads all, then RST": (faults.reads_all_then_resets, "the connection was reset without an answer"),
    "no answer in time": (faults.never_answers, "no answer within 0.3 s"),
    "cut in the status line": (faults.cuts(WELL[:6]), None),
    "cut in the headers": (faults.cuts(HEAD), None),
    "reset in the headers": (faults.cuts(HEAD, reset=True), None),
    "silent in the headers": (faults.stalls(HEAD), "no answer within 0.3 s"),
    "cut in the body": (faults.cuts(WELL[:-5]), "the connection broke in the middle of the answer"),
    "reset in the body": (faults.cuts(WELL[:-5], reset=True), None),
    "silent in the body": (faults.stalls(WELL[:-5]), "the answer stopped in the middle for 0.3 s"),
    "cut in the middle of a chunk": (faults.cuts(CHUNKED + b'30\r\n{"data":345'), None),
    "cut between chunks": (faults.cuts(CHUNKED + b'12\r\n{"data":345651201,\r\n'), None),
    "cut before the last chunk": (faults.cuts(CHUNKED + b'12\r\n{"data":345651201}\r\n'), None),
    "nonsense instead of HTTP": (faults.cuts(b"220 mail.example ESMTP ready\r\n\r\n"), "the answer is no valid HTTP"),
    "a nonsense header": (faults.cuts(b"HTTP/1.1 200 OK\r\n\x00: \x00\r\n\r\n"), "the answer is no valid HTTP"),
    "an unasked switch of protocols": (faults.cuts(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n"), None),
    "two lengths": (faults.cuts(HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nnull"), None),
    "an absurd length": (faults.cuts(HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"), None),
    "a nonsense chunk": (faults.cuts(CHUNKED + b"zz\r\n"), "the connection broke in the middle of the answer"),
    "drips its headers": (faults.drips(HEAD * 10), "the answer was not complete within 1.5 s"),
    "drips its body": (
        faults.drips(faults.http(200, b" " * 400)),
        "the answer was not complete within 1.5 s",
    ),
    "drips interim answers": (
        faults.drips(b"HTTP/1.1 102 Wait\r\n\r\n" * 20),
        "the answer was not complete within 1.5 s",
    ),
    "headers without end": (faults.floods(HEAD, b"X-More: " + b"a" * 1000 + b"\r\n"), "the answer is no valid HTTP"),
    "one header without end": (faults.floods(HEAD + b"X-More: ", b"a" * 4096), "the answer is no valid HTTP"),
}


def patience(text: str | None) -> float:
    return SHORT_S if text is not None and text.endswith(" s") else LONG_S


@pytest.mark.parametrize("name", READ_COMPLETELY)
def test_a_request_that_was_read_completely_may_have_been_applied(name: str) -> None:
    behaviour, text = READ_COMPLETELY[name]
    with faults.FaultServer((behaviour,)) as server:
        answer = silence(address(server.url, patience(text)))
    assert len(server.received) == 1
    assert answer.tells is Tells.MAY_BE_APPLIED
    assert text in {None, answer.error}
    assert server.bytes_sent < 64 << 20


@pytest.mark.parametrize("name", READ_COMPLETELY)
def test_the_same_holds_on_a_connection_that_is_used_again(name: str) -> None:
    behaviour, text = READ_COMPLETELY[name]
    with faults.FaultServer((faults.answers_once_then(behaviour),)) as server:
        first, second = send(address(server.url, patience(text)), times=2)
    assert isinstance(first, Reply)
    assert isinstance(second, NoAnswer)
    assert second.tells is Tells.MAY_BE_APPLIED
    assert text in {None, second.error}
    assert (len(server.received), server.connections) == (2, 1)


@pytest.mark.parametrize("name", ["reads all, then FIN", "reads all, then RST", "cut in the body", "no answer in time"])
def test_the_same_holds_over_tls(name: str, server_tls: ssl.SSLContext, ca_bundle: Path) -> None:
    behaviour, text = READ_COMPLETELY[name]
    with faults.FaultServer((behaviour,), tls=server_tls) as server:
        answer = silence(address(server.url, patience(text), ca=ca_bundle))
    assert len(server.received) == 1
    assert answer.tells is Tells.MAY_BE_APPLIED


def test_the_same_holds_through_a_tunnel(server_tls: ssl.SSLContext, ca_bundle: Path) -> None:
    with (
        faults.FaultServer((faults.reads_all_then_closes,), tls=server_tls) as server,
        faults.FaultServer((faults.tunnels_to(server.port),)) as proxy,
    ):
        answer = silence(address(server.url, ca=ca_bundle, proxy=proxy.url))
    assert len(server.received) == 1
    assert answer.tells is Tells.MAY_BE_APPLIED


def test_a_reset_before_the_server_reads_counts_as_maybe_applied_because_the_request_had_left() -> None:
    with faults.FaultServer((faults.resets_before_reading,)) as server:
        answer = silence(address(server.url))
    assert server.received == []
    assert answer.tells is Tells.MAY_BE_APPLIED


def test_a_request_that_cannot_be_written_to_its_end_counts_as_maybe_applied() -> None:
    # A real body is far smaller than the buffers of a socket, so writing it never waits: only a cycle's name of
    # 64 MB brings the shipped client to its write timeout.
    request = EnrollmentRequest(REQUEST.scope, 1, "x" * (64 << 20))
    with faults.FaultServer((faults.never_reads,)) as server:
        answer = silence(address(server.url, SHORT_S), request=request)
        server.closed_by_client.set()
    assert answer == NoAnswer(Tells.MAY_BE_APPLIED, "the request could not be written within 0.3 s")


def test_an_answer_that_was_there_before_the_request_is_not_taken_for_its_answer() -> None:
    with faults.FaultServer((faults.answers(WELL + WELL, WELL), faults.succeeds)) as server:
        first, second, third = send(address(server.url), times=3)
    assert isinstance(first, Reply)
    assert isinstance(second, NoAnswer)
    assert second.tells is Tells.MAY_BE_APPLIED
    assert second.error == "the server answered before it was asked, so its answer cannot be trusted"
    assert isinstance(third, Reply)
    assert server.connections == 2


def test_over_tls_an_answer_that_was_there_before_the_request_is_not_taken_for_its_answer(
    server_tls: ssl.SSLContext, ca_bundle: Path
) -> None:
    with faults.FaultServer((faults.answers(WELL + WELL, WELL), faults.succeeds), tls=server_tls) as server:
        answers = send(address(server.url, ca=ca_bundle), times=2)
    assert isinstance(answers[0], Reply)
    assert answers[1] == NoAnswer(
        Tells.MAY_BE_APPLIED, "the server answered before it was asked, so its answer cannot be trusted"
    )


# Answers that are read but prove nothing -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        faults.http(500, {"data": None, "errors": [{"code": 500, "message": "Something went wrong"}]}),
        faults.http(502, "<html>Bad gateway</html>"),
        faults.http(504, ""),
        faults.http(200, "<html>Welcome</html>"),
        faults.http(200, ""),
        faults.http(200, '{"data": 3456'),
        faults.http(200, {"data": 111, "errors": None}),
        faults.http(204),
        HEAD + b'Connection: close\r\n\r\n{"data": 3456',
    ],
)
def test_an_answer_that_proves_nothing_may_have_been_applied(reply: bytes) -> None:
    with faults.FaultServer((faults.cuts(reply),)) as server:
        (answer,) = send(address(server.url))
    verdict = judge(REQUEST, answer, maybe_applied=False, can_renew=False, now_s=0)
    assert (verdict.outcome, verdict.tells, verdict.settled) == (Outcome.IN_DOUBT, Tells.MAY_BE_APPLIED, False)
    assert len(server.received) == 1


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"Content-Length: 1073741824\r\n\r\n",
        HEAD + b"Connection: close\r\n\r\n",
    ],
)
def test_of_a_gigabyte_only_the_beginning_is_read(head: bytes) -> None:
    with faults.FaultServer((faults.floods(head, b"a" * 65536), faults.succeeds)) as server:
        first, second = send(address(server.url), times=2)
    assert isinstance(first, Reply)
    assert (len(first.body), first.complete) == (BODY_LIMIT, False)
    assert isinstance(second, Reply)
    assert second.complete
    assert server.connections == 2
    assert server.bytes_sent < 64 << 20


# The table -------------------------------------------------------------------------------------------------------


def test_every_public_exception_of_the_library_has_its_own_line_in_the_table() -> None:
    public = {
        item for name in dir(httpx) if isinstance(item := getattr(httpx, name), type) and issubclass(item, Exception)
    }
    assert public - room.FAULTS.keys() == set()


@pytest.mark.parametrize("kind", room.FAULTS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("left", [False, True])
def test_never_reached_is_said_only_of_a_connecting_fault_without_a_trace_of_our_request(
    kind: type[Exception], left: bool
) -> None:
    error = kind.__new__(kind)
    watch = room.Watch()
    watch.left = left
    answer = room.no_answer(error, watch, room.Limits("api.example:443", 5, 30, 75))
    connecting = {
        httpx.ConnectError,
        httpx.ConnectTimeout,
        httpx.PoolTimeout,
        httpx.ProxyError,
        httpx.UnsupportedProtocol,
        httpx.InvalidURL,
        TimeoutError,
    }
    assert (answer.tells is Tells.NEVER_REACHED) == (kind in connecting and not left)
    assert answer.error
    assert "{" not in answer.error


def test_our_own_bound_on_the_whole_exchange_ends_a_connection_attempt_as_never_reached() -> None:
    answer = room.no_answer(TimeoutError(), room.Watch(), room.Limits("api.example:443", 5, 30, 75))
    assert answer == NoAnswer(Tells.NEVER_REACHED, "the answer was not complete within 75 s")
