"""Before step 1: read a file over SFTP.

Owns the way asyncssh is asked and what its exceptions mean here. Keys, agent, user and known hosts are those of
~/.ssh, as for every SSH client. A host whose key is not known is refused, never accepted on sight.
"""

from __future__ import annotations

import asyncio
import contextlib
import stat
from typing import TYPE_CHECKING

from batch.storage.failures import CUT, EXTRA, SILENT, UNREACHABLE, NotThere, StorageFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import asyncssh

    from batch.storage.paths import RemotePath

CONNECT_S, LOGIN_S, SILENCE_S = 15, 30, 60
BLOCK = 1 << 20


def copy(source: RemotePath, write: Callable[[bytes], None]) -> int:
    """Hand the file's content to `write`, block by block; return its size in bytes when it was opened.

    Raises:
        StorageFailed: it cannot be read, or broke off.
    """
    return asyncio.run(_copy(source, write))


async def _copy(source: RemotePath, write: Callable[[bytes], None]) -> int:
    async with sftp_session(source) as sftp:
        async with asyncio.timeout(SILENCE_S):
            attributes = await sftp.stat(source.path)
            if stat.S_ISDIR(attributes.permissions or 0):
                raise StorageFailed("it is a folder; give a file in it")
            file = await sftp.open(source.path, "rb")
        while True:
            async with asyncio.timeout(SILENCE_S):
                block = await file.read(BLOCK)
            if not isinstance(block, bytes) or not block:  # opened for bytes, it gives no text
                break
            write(block)
        async with asyncio.timeout(SILENCE_S):
            size = (await file.stat()).size
            await file.close()
    if size is None:
        raise StorageFailed("its server does not say how long the file is; fetch it yourself and give the path")
    return size


@contextlib.asynccontextmanager
async def sftp_session(source: RemotePath) -> AsyncIterator[asyncssh.SFTPClient]:
    """Give a session with the server of an address, closed at the end."""
    try:
        import asyncssh  # noqa: PLC0415 - an extra
    except ImportError:
        raise StorageFailed(f"sftp:// {EXTRA}") from None
    connection = None
    try:
        connection = await asyncssh.connect(
            source.host.strip("[]"),
            port=source.port or (),
            username=source.user or (),
            connect_timeout=CONNECT_S,
            login_timeout=LOGIN_S,
            keepalive_interval=SILENCE_S // 4,
        )
        async with asyncio.timeout(SILENCE_S):
            session = await connection.start_sftp_client(path_errors="surrogateescape")
        yield session
    except (asyncssh.Error, OSError, ValueError) as error:  # ValueError: a key or a config file of ~/.ssh
        raise _failure(error, connected=connection is not None) from None
    finally:
        if connection is not None:
            connection.abort()


def _failure(error: Exception, *, connected: bool) -> StorageFailed:
    import asyncssh  # noqa: PLC0415

    match error:
        case asyncssh.SFTPNoSuchFile() | asyncssh.SFTPNoSuchPath():
            return NotThere("there is no such file or folder; check the address")
        case asyncssh.SFTPPermissionDenied():
            return StorageFailed("access to the file is refused; check the rights of the user")
        case asyncssh.SFTPConnectionLost() | asyncssh.SFTPNoConnection():
            return StorageFailed(CUT)
        case asyncssh.SFTPError():
            return StorageFailed(
                f"its server refuses it ({type(error).__name__}); check the address, and rights and disk there"
            )
        case asyncssh.HostKeyNotVerifiable():
            return StorageFailed(
                "the server's host key is not in ~/.ssh/known_hosts, or is another one; make sure that it is the right"
                " server, then connect once with `sftp`"
            )
        case asyncssh.PermissionDenied():
            return StorageFailed("the login is refused; check the user, and its key in ~/.ssh or the agent")
        case TimeoutError():
            return StorageFailed(SILENT if connected else UNREACHABLE)
        case asyncssh.Error() | OSError() if connected:
            return StorageFailed(CUT)
        case asyncssh.ConnectionLost() | OSError():
            return StorageFailed(UNREACHABLE)
        case _:
            return StorageFailed(f"SSH cannot be used ({type(error).__name__}); check ~/.ssh and the server")
