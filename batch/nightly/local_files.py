"""Beside the steps: the files of an inbox in a folder of this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from batch.nightly.inbox import no_folder
from batch.storage.failures import AlreadyThere, NotThere, StorageFailed
from batch.storage.fetching import save

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence


class LocalFiles:
    """A folder of this machine, or one that is mounted here."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def files(self, folder: str) -> list[tuple[str, int, int]]:
        """Return name, size and time of change of each plain file in a folder; links are none."""
        found = []
        for entry in self._entries(folder):
            with contextlib.suppress(FileNotFoundError):  # taken by somebody else this moment
                if entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    found.append((entry.name, status.st_size, status.st_mtime_ns))
        return found

    def folders(self, folder: str) -> list[tuple[str, int]]:
        """Return name and time of change of each folder in a folder."""
        found = []
        for entry in self._entries(folder):
            with contextlib.suppress(FileNotFoundError):
                if entry.is_dir(follow_symlinks=False):
                    found.append((entry.name, entry.stat(follow_symlinks=False).st_mtime_ns))
        return found

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._root / folder) as entries:
                return list(entries)
        except FileNotFoundError:
            if folder:
                return []
            raise NotThere("there is no such folder; make it") from None
        except NotADirectoryError:
            is_within = folder and self._root.is_dir()
            raise no_folder(folder) if is_within else NotThere("it is a file; give a folder") from None
        except OSError as error:
            raise _failure(error) from error

    def take(self, old: str, new: str) -> None:
        """Rename a file or folder that others may rename too: one of all wins."""
        with _translated(), self._made_for(new) as target:
            (self._root / old).rename(target)

    def move(self, old: str, new: str) -> None:
        """Rename a file that only we may rename, and never replace another.

        A rename would replace; a second link to the same file does not, and is then made the only one.
        """
        source = self._root / old
        with _translated(), self._made_for(new) as target:
            try:
                os.link(source, target, follow_symlinks=False)
            except (FileExistsError, FileNotFoundError):
                raise
            except OSError:  # a file system without links: ask first
                if os.path.lexists(target):
                    raise FileExistsError from None
                source.rename(target)
                return
            try:
                source.unlink()
            except FileNotFoundError:  # it was not ours any more
                target.unlink(missing_ok=True)
                raise

    @contextlib.contextmanager
    def _made_for(self, name: str) -> Iterator[Path]:
        target = self._root / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise no_folder(name) from None
        yield target

    def names(self, folder: str) -> set[str]:
        """Return the names of all that lies in a folder."""
        return {entry.name for entry in self._entries(folder)}

    def make_file(self, name: str, content: bytes) -> None:
        """Make a file that is not there yet."""
        with _translated(), self._made_for(name) as target, target.open("xb") as file:
            file.write(content)

    def make_folder(self, name: str) -> None:
        """Make a folder that is not there yet."""
        with _translated(), self._made_for(name) as target:
            target.mkdir()

    def remove_files(self, names: Collection[str]) -> None:
        """Remove files that are there."""
        with _translated():
            for name in names:
                (self._root / name).unlink(missing_ok=True)

    def remove_folder(self, folder: str) -> None:
        """Remove a folder if it is there and empty."""
        with contextlib.suppress(OSError):
            (self._root / folder).rmdir()

    def fetch(self, name: str, target: Path) -> None:
        """Copy a file, whole or not at all."""

        def copy(write: Callable[[bytes], None]) -> int:
            with _translated(), (self._root / name).open("rb") as file:
                while block := file.read(1 << 20):
                    write(block)
                return os.fstat(file.fileno()).st_size

        save(target, copy)

    def put(self, files: Sequence[tuple[Path | bytes, str]]) -> None:
        """Copy files, or contents, to names in this folder."""
        with _translated():
            for content, name in files:
                with self._made_for(name) as target:
                    if isinstance(content, bytes):
                        target.write_bytes(content)
                    else:
                        shutil.copyfile(content, target)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise AlreadyThere("there is a file of that name already") from None
    except FileNotFoundError:
        raise NotThere("the file is gone") from None
    except OSError as error:
        raise _failure(error) from error


def _failure(error: OSError) -> StorageFailed:
    return StorageFailed(f"it cannot be used ({error.strerror}); check its rights and the disk")
