"""Beside the steps: the files of an inbox on an SFTP server. Each call is a connection of its own: a night is long."""

from __future__ import annotations

import asyncio
import contextlib
import posixpath
import stat
from typing import TYPE_CHECKING, TypeVar

from batch.nightly.inbox import no_folder
from batch.storage import sftp
from batch.storage.failures import AlreadyThere, NotThere
from batch.storage.fetching import save

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence
    from pathlib import Path

    import asyncssh

    from batch.storage.paths import RemotePath

T = TypeVar("T")

PATIENCE_S = 120
"""For one question. Source: our choice; a folder of some thousand files is listed in seconds."""
UPLOAD_S = 3600
"""For a report. Source: our choice, as for a download."""


class SftpFiles:
    """A folder on an SFTP server."""

    def __init__(self, root: RemotePath) -> None:
        self._root = root

    def files(self, folder: str) -> list[tuple[str, int, int]]:
        """Return name, size and time of change of each plain file in a folder; links are none."""
        return [
            (name, attributes.size or 0, (attributes.mtime or 0) * 10**9)
            for name, attributes in self._entries(folder)
            if stat.S_ISREG(attributes.permissions or 0)
        ]

    def folders(self, folder: str) -> list[tuple[str, int]]:
        """Return name and time of change of each folder in a folder."""
        return [
            (name, (attributes.mtime or 0) * 10**9)
            for name, attributes in self._entries(folder)
            if stat.S_ISDIR(attributes.permissions or 0)
        ]

    def _entries(self, folder: str) -> list[tuple[str, asyncssh.SFTPAttrs]]:
        async def ask(session: asyncssh.SFTPClient) -> list[tuple[str, asyncssh.SFTPAttrs]]:
            entries = await session.readdir(self._path(folder))
            return [(str(entry.filename), entry.attrs) for entry in entries if entry.filename not in {".", ".."}]

        try:
            return self._ask(ask)
        except NotThere:
            if folder:
                return []
            raise

    def names(self, folder: str) -> set[str]:
        """Return the names of all that lies in a folder."""
        return {name for name, _ in self._entries(folder)}

    def make_file(self, name: str, content: bytes) -> None:
        """Make a file that is not there yet."""

        async def ask(session: asyncssh.SFTPClient) -> None:
            async with session.open(self._path(name), "xb") as file:
                await file.write(content)

        self._make(name, ask)

    def make_folder(self, name: str) -> None:
        """Make a folder that is not there yet."""
        self._make(name, lambda session: session.mkdir(self._path(name)))

    def _make(self, name: str, make: Callable[[asyncssh.SFTPClient], Awaitable[None]]) -> None:
        """Make what is not there yet. That it is there is a failure like any other, so it is asked for then."""
        import asyncssh  # noqa: PLC0415

        async def ask(session: asyncssh.SFTPClient) -> None:
            await self._make_folder_of(session, name)
            try:
                await make(session)
            except (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):
                if await session.lexists(self._path(name)):
                    raise AlreadyThere("there is a file of that name already") from None
                raise

        self._ask(ask)

    def take(self, old: str, new: str) -> None:
        """Rename a file or folder that others may rename too: one of all wins."""
        import asyncssh  # noqa: PLC0415 - an extra

        async def ask(session: asyncssh.SFTPClient) -> None:
            await self._make_folder_of(session, new)
            try:
                await session.posix_rename(self._path(old), self._path(new))
            except asyncssh.SFTPOpUnsupported:  # a server without OpenSSH's extension
                await session.rename(self._path(old), self._path(new))

        self._ask(ask)

    def move(self, old: str, new: str) -> None:
        """Rename a file that only we may rename, and never replace another: the protocol's own rename does not."""
        import asyncssh  # noqa: PLC0415

        async def ask(session: asyncssh.SFTPClient) -> None:
            await self._make_folder_of(session, new)
            try:
                await session.rename(self._path(old), self._path(new))
            except (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):
                if await session.lexists(self._path(new)):
                    raise AlreadyThere("there is a file of that name already") from None
                raise

        self._ask(ask)

    def remove_files(self, names: Collection[str]) -> None:
        """Remove files that are there."""
        import asyncssh  # noqa: PLC0415

        async def ask(session: asyncssh.SFTPClient) -> None:
            for name in names:
                with contextlib.suppress(asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
                    await session.remove(self._path(name))

        if names:
            self._ask(ask)

    def remove_folder(self, folder: str) -> None:
        """Remove a folder if it is there and empty."""
        import asyncssh  # noqa: PLC0415

        async def ask(session: asyncssh.SFTPClient) -> None:
            with contextlib.suppress(asyncssh.SFTPError):
                await session.rmdir(self._path(folder))

        self._ask(ask)

    def fetch(self, name: str, target: Path) -> None:
        """Copy a file, whole or not at all."""
        save(target, lambda write: sftp.copy(self._root.child(name), write))

    def put(self, files: Sequence[tuple[Path | bytes, str]]) -> None:
        """Copy files, or contents, to names in this folder."""

        async def ask(session: asyncssh.SFTPClient) -> None:
            for content, name in files:
                await self._make_folder_of(session, name)
                if isinstance(content, bytes):
                    async with session.open(self._path(name), "wb") as file:
                        await file.write(content)
                else:
                    await session.put(str(content), self._path(name))

        if files:
            self._ask(ask, UPLOAD_S)

    def _path(self, name: str) -> str:
        return posixpath.join(self._root.path, name) if name else self._root.path

    async def _make_folder_of(self, session: asyncssh.SFTPClient, name: str) -> None:
        """Make the folders above a name. A full disk is told apart from a folder that is there: both are failures."""
        import asyncssh  # noqa: PLC0415

        folder = ""
        for part in name.split("/")[:-1]:
            folder = posixpath.join(folder, part)
            if await session.isdir(self._path(folder)):
                continue
            try:
                await session.mkdir(self._path(folder))
            except (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):
                if await session.isdir(self._path(folder)):  # somebody else has made it just now
                    continue
                if await session.lexists(self._path(folder)):
                    raise no_folder(folder) from None
                raise

    def _ask(self, question: Callable[[asyncssh.SFTPClient], Awaitable[T]], patience_s: float = PATIENCE_S) -> T:
        async def ask() -> T:
            async with sftp.sftp_session(self._root) as session, asyncio.timeout(patience_s):
                return await question(session)

        return asyncio.run(ask())
