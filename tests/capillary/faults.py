"""A server that misbehaves on purpose, over real sockets, and remembers what really reached it.

`FaultServer` runs one behaviour per connection, in order; the last one serves all further connections. A behaviour
is a function of a `Connection`; the catalogue below is named after what a client meets. Plain blocking sockets in
threads, because resets, half answers and unread bytes must happen exactly as written.
"""

from __future__ import annotations

import json
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

_NET_S = 20.0  # only a safety net: no behaviour waits that long unless the client under test hangs


@dataclass
class Received:
    """One request that reached the server completely."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


@dataclass
class Connection:
    """One accepted connection, and what may be done to it."""

    sock: socket.socket
    number: int
    server: FaultServer
    _buffer: bytes = b""

    def read_request(self) -> Received | None:
        """Read one request completely and remember it; None when the client closed instead."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                return None
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
        length = int(headers.get("content-length", "0"))
        while len(rest) < length:
            if not self._more():
                return None
            rest = self._buffer.partition(b"\r\n\r\n")[2]
        self._buffer = rest[length:]
        method, target, _ = lines[0].split(" ")
        received = Received(method, target, headers, rest[:length], self.number)
        self.server.received.append(received)
        return received

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)
        self.server.bytes_sent += len(data)

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait_for_bytes(self) -> None:
        """Wait until the client has sent something, without reading it."""
        select.select([self.sock], [], [], _NET_S)

    def is_closed_within(self, seconds: float) -> bool:
        """Wait for the client to close, at most so long."""
        if not select.select([self.sock], [], [], seconds)[0]:
            return False
        try:
            return not self.sock.recv(65536)
        except OSError:
            return True

    def wait_for_close(self) -> None:
        while not self.is_closed_within(_NET_S):
            pass
        self.server.closed_by_client.set()

    def _more(self) -> bool:
        try:
            chunk = self.sock.recv(65536)
        except OSError:
            return False
        self._buffer += chunk
        return bool(chunk)


Behaviour = Callable[[Connection], None]


@dataclass
class FaultServer:
    """A listening socket whose connections behave as told. Use as a context manager."""

    behaviours: tuple[Behaviour, ...]
    tls: ssl.SSLContext | None = None
    received: list[Received] = field(default_factory=list)
    bytes_sent: int = 0
    connections: int = 0
    closed_by_client: threading.Event = field(default_factory=threading.Event)
    request_arrived: threading.Event = field(default_factory=threading.Event)
    errors: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        for sock in self._open:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed already
        for thread in self._threads:
            thread.join()
        assert self.errors == []

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(_NET_S)
            self._open.append(sock)
            behaviour = self.behaviours[min(self.connections, len(self.behaviours) - 1)]
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock, self.connections, behaviour))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int, behaviour: Behaviour) -> None:
        try:
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
                self._open.append(sock)
            behaviour(Connection(sock, number, self))
        except OSError:
            pass  # the client closed in the middle of the behaviour: that is its right
        except BaseException as error:
            self.errors.append(error)
        finally:
            sock.close()


def http(status: int, body: bytes | str | object = b"", *headers: str) -> bytes:
    """Return a whole answer; anything but bytes and text becomes JSON."""
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(raw)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


def success(customer: int) -> bytes:
    return http(200, {"data": customer, "errors": None, "warnings": None}, "Content-Type: application/json")


# The catalogue ---------------------------------------------------------------------------------------------------


def answers(*replies: bytes) -> Behaviour:
    """Answer request after request on one connection; after the last reply leave the connection open."""

    def behave(connection: Connection) -> None:
        for reply in replies:
            if connection.read_request() is None:
                return
            connection.send(reply)
        connection.wait_for_close()

    return behave


def succeeds(connection: Connection) -> None:
    """The well-behaved API: applies each request, and names the customer that stands in it."""
    while (received := connection.read_request()) is not None:
        connection.send(success(json.loads(received.body)[0]["customerId"]))
    connection.server.closed_by_client.set()


def closes_each_connection(connection: Connection) -> None:
    received = connection.read_request()
    assert received is not None
    customer = json.loads(received.body)[0]["customerId"]
    connection.send(http(200, {"data": customer, "errors": []}, "Connection: close"))


def never_answers(connection: Connection) -> None:
    connection.read_request()
    connection.server.request_arrived.set()
    connection.wait_for_close()


def never_reads(connection: Connection) -> None:
    connection.server.closed_by_client.wait(_NET_S)


def resets_before_reading(connection: Connection) -> None:
    connection.wait_for_bytes()
    connection.reset()


def answers_without_reading(connection: Connection) -> None:
    """What a plain HTTP server does to a client that begins with TLS."""
    connection.wait_for_bytes()
    connection.send(http(400))


def reads_all_then_closes(connection: Connection) -> None:
    connection.read_request()


def reads_all_then_resets(connection: Connection) -> None:
    connection.read_request()
    connection.reset()


def answers_once_then(fault: Behaviour) -> Behaviour:
    """Answer the first request well, so that the second one meets `fault` on a connection that is used again."""

    def behave(connection: Connection) -> None:
        received = connection.read_request()
        assert received is not None
        connection.send(success(json.loads(received.body)[0]["customerId"]))
        fault(connection)

    return behave


def cuts(part: bytes, *, reset: bool = False) -> Behaviour:
    """Read the request, send only this part of an answer, and close."""

    def behave(connection: Connection) -> None:
        connection.read_request()
        connection.send(part)
        if reset:
            connection.reset()

    return behave


def stalls(part: bytes) -> Behaviour:
    """Read the request, send only this part of an answer, and fall silent."""

    def behave(connection: Connection) -> None:
        connection.read_request()
        connection.send(part)
        connection.wait_for_close()

    return behave


def floods(head: bytes, chunk: bytes, limit: int = 1 << 30) -> Behaviour:
    """Send `head` and then `chunk` again and again, up to a gigabyte, until the client has had enough."""

    def behave(connection: Connection) -> None:
        connection.read_request()
        connection.send(head)
        while connection.server.bytes_sent < limit:
            connection.send(chunk)

    return behave


def drips(data: bytes, gap_s: float = 0.02) -> Behaviour:
    """Send one byte after the other, each well within the read timeout, until the client has had enough."""

    def behave(connection: Connection) -> None:
        connection.read_request()
        for byte in data:
            if connection.is_closed_within(gap_s):
                connection.server.closed_by_client.set()
                return
            connection.send(bytes([byte]))

    return behave


def opens_no_tunnel(connection: Connection) -> None:
    """A proxy that refuses CONNECT."""
    connection.read_request()
    connection.send(http(407, b""))


def ignores_tunnel(connection: Connection) -> None:
    """A proxy that takes CONNECT and says nothing."""
    connection.read_request()
    connection.wait_for_close()


def tunnels_to(port: int) -> Behaviour:
    """A proxy that opens the tunnel that it is asked for."""

    def behave(connection: Connection) -> None:
        connection.read_request()
        with socket.create_connection(("127.0.0.1", port)) as far:
            connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
            ends = {connection.sock: far, far: connection.sock}
            while True:
                for readable in select.select(list(ends), [], [], _NET_S)[0]:
                    data = readable.recv(65536)
                    if not data:
                        return
                    ends[readable].sendall(data)

    return behave
