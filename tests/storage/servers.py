"""Servers on this machine that files are fetched from: S3, SFTP and https, real ones with real faults on request."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import httpx
import trustme
from aiohttp import web
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from batch.storage import s3

SECRET = "AKIA-very-secret-signature"


@contextlib.contextmanager
def served(start: Callable[[], contextlib.AbstractAsyncContextManager[Any]]) -> Iterator[Any]:
    """Serve on a thread with an event loop of its own; give what `start` gives."""
    started, found, failed = threading.Event(), [], []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with start() as server:
            found.append(server)
            started.set()
            await stop.wait()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(serve())
        except BaseException as error:  # shown by the thread that waits
            failed.append(error)
            started.set()

    thread = threading.Thread(target=run, name="server")
    thread.start()
    started.wait()
    try:
        if not failed:
            yield found[0]
    finally:
        if not failed:
            loop.call_soon_threadsafe(stop.set)
        thread.join()
        if failed:
            raise failed[0]


# -- https ------------------------------------------------------------------------------------------------------------


@dataclass
class HttpsServer:
    """Serves `files` by name under /file/, and its faults under their names, as an S3 of that kind too."""

    authority: trustme.CA
    folder: Path
    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    connections: set[asyncio.Transport] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def ca_file(self) -> Path:
        path = self.folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(path))
        return path

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        assert request.transport is not None
        self.connections.add(request.transport)
        kind, _, name = request.path.strip("/").partition("/")
        name = name.rpartition("/")[2]
        if kind == "presigned" and SECRET not in request.query_string:
            return web.Response(status=403)
        faults: dict[str, Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]] = {
            "short": self._short, "chunked": self._chunked, "torn": self._torn, "endless": self._endless,
            "packed": self._packed, "silent": self._silent,
        }  # fmt: skip
        if kind in faults:
            return await faults[kind](request, self.files[name])
        if kind == "moved":
            raise web.HTTPFound(f"/file/{name}")
        if kind == "away":
            raise web.HTTPFound(f"http://localhost:{self.port}/file/{name}?signature={SECRET}")
        if kind == "round":
            raise web.HTTPFound(f"/round/{name}")
        if kind.isdigit():
            return web.Response(status=int(kind))
        if name not in self.files:
            return web.Response(status=404)
        return web.Response(body=self.files[name])

    async def _short(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Promise the whole file, send half of it, and hang up."""
        assert request.transport is not None
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        request.transport.write(head + body[: len(body) // 2])
        request.transport.abort()
        return web.Response()

    async def _torn(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Send a chunk, and hang up before the last one."""
        assert request.transport is not None
        half = body[: len(body) // 2]
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        request.transport.write(head + f"{len(half):x}\r\n".encode() + half + b"\r\n")
        request.transport.abort()
        return web.Response()

    async def _endless(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Send the file without its length, so that only hanging up ends it."""
        assert request.transport is not None
        request.transport.write(b"HTTP/1.0 200 OK\r\n\r\n" + body)
        request.transport.close()
        return web.Response()

    async def _chunked(self, request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(body)
        await response.write_eof()
        return response

    async def _silent(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Send the first half, then nothing until the caller is gone."""
        response = web.StreamResponse(headers={"Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[:1000])
        await asyncio.Event().wait()  # ended by the caller, who hangs up
        return response

    async def _packed(self, request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.Response(body=body)
        response.enable_compression(web.ContentCoding.gzip)
        return response


@contextlib.contextmanager
def https_server(folder: Path) -> Iterator[HttpsServer]:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(tls)
    server = HttpsServer(authority, folder)

    @contextlib.asynccontextmanager
    async def start() -> AsyncIterator[HttpsServer]:
        app = web.Application()
        app.router.add_get("/{tail:.*}", server.answer)
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        server.port = runner.addresses[0][1]
        yield server
        for transport in server.connections:  # whoever was hung up on may not have noticed
            transport.abort()
        for _ in range(10):  # each layer of a transport closes in a turn of its own
            await asyncio.sleep(0)
        await runner.cleanup()

    with served(start) as running:
        yield running


# -- SFTP -------------------------------------------------------------------------------------------------------------


class _Sessions(asyncssh.SFTPServer):
    """A server whose root is a folder. Reading `cut…` breaks the connection half-way, reading `silent…` never ends."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], root: Path) -> None:
        self._connection = channel.get_connection()
        self._names: dict[int, str] = {}
        self._gone = asyncio.Event()
        super().__init__(channel, chroot=str(root).encode())

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        file = super().open(path, pflags, attrs)
        self._names[id(file)] = path.rpartition(b"/")[2].decode()
        return file

    async def _nothing(self, file_obj: object) -> bytes:
        try:
            await self._gone.wait()
        finally:
            self.close(file_obj)
        return b""

    def exit(self) -> None:
        self._gone.set()

    def read(self, file_obj: object, offset: int, size: int) -> Any:
        name = self._names.get(id(file_obj), "")
        if name.startswith("silent"):
            return self._nothing(file_obj)
        if name.startswith("cut") and offset + size > 1000:
            self._connection.abort()
        return super().read(file_obj, offset, min(size, 500) if name.startswith("cut") else size)


@dataclass
class SftpServer:
    """Serves a folder to the user `clerk`, who has a key."""

    root: Path
    home: Path
    port: int

    @property
    def url(self) -> str:
        return f"sftp://clerk@127.0.0.1:{self.port}"


class _Login(asyncssh.SSHServer):
    """Lets keys in, and nothing else. Remembers its connections."""

    def __init__(self, connections: list[asyncssh.SSHServerConnection]) -> None:
        self._connections = connections

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connections.append(conn)

    def begin_auth(self, username: str) -> bool:
        return True


@contextlib.contextmanager
def sftp_server(folder: Path) -> Iterator[SftpServer]:
    root, home = folder / "root", folder / "home"
    connections: list[asyncssh.SSHServerConnection] = []
    root.mkdir()
    (home / ".ssh").mkdir(parents=True)
    host_key, user_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    user_key.write_private_key(str(home / ".ssh" / "id_ed25519"))
    (home / ".ssh" / "id_ed25519").chmod(0o600)
    (folder / "authorized").write_bytes(user_key.export_public_key())

    @contextlib.asynccontextmanager
    async def start() -> AsyncIterator[SftpServer]:
        listening = await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[host_key], authorized_client_keys=str(folder / "authorized"),
            sftp_factory=lambda channel: _Sessions(channel, root), server_factory=lambda: _Login(connections),
        )  # fmt: skip
        async with listening:
            port = listening.get_port()
            known = f"[127.0.0.1]:{port} ".encode() + host_key.export_public_key()
            (home / ".ssh" / "known_hosts").write_bytes(known)
            yield SftpServer(root, home, port)
            for connection in connections:
                connection.abort()
                await connection.wait_closed()

    with served(start) as running:
        yield running


# -- S3 ---------------------------------------------------------------------------------------------------------------

S3_SETTINGS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1"}
NO_SETTINGS = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")


@dataclass
class S3Server:
    """An S3 with one bucket, `uploads`."""

    url: str

    def client(self) -> Any:
        import botocore.session  # noqa: PLC0415 - as heavy as in the program

        keys = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
        session = botocore.session.get_session()
        session.register_component("data_loader", s3._descriptions())
        return session.create_client("s3", endpoint_url=self.url, **keys)

    def put(self, key: str, body: bytes) -> None:
        with contextlib.closing(self.client()) as client:
            client.put_object(Bucket="uploads", Key=key, Body=body)

    def check_keys(self, *, after: int) -> None:
        """Refuse unknown keys from the n-th call on, as the real one does from the first."""
        httpx.post(f"{self.url}/moto-api/reset-auth", content=str(after)).raise_for_status()


@contextlib.contextmanager
def s3_server() -> Iterator[S3Server]:
    app = DomainDispatcherApplication(create_backend_app)
    one_at_a_time = threading.Lock()  # moto looks, then writes; the real one does both in one step

    def answer(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        with one_at_a_time:
            return list(app(environ, start_response))

    listening = make_server("127.0.0.1", 0, answer, threaded=True)
    thread = threading.Thread(target=listening.serve_forever, name="s3")
    thread.start()
    try:
        server = S3Server(f"http://127.0.0.1:{listening.server_port}")
        with contextlib.closing(server.client()) as client:
            client.create_bucket(Bucket="uploads")
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
