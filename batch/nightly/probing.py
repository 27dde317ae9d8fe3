"""Beside the steps: may files go their way through an inbox? A file of our own goes it, and is removed.

Owns which right is missing, in words. Its name is hidden, so nobody takes it for an upload.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from batch.nightly.choice import Ending
from batch.storage.failures import AlreadyThere, StorageFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batch.nightly.endings import Folder

_CONTENT = b"enroll-batch doctor\n"


def go_the_way(files: Folder, fetch: Callable[[str, Path], None], claim: Callable[[str], str]) -> None:
    """Let a file go the way of an upload, and remove it.

    `fetch` copies a file to this machine; `claim` takes one, and returns its name then.

    Raises:
        StorageFailed: which says what cannot be done with a file.
    """
    name = f".enroll-batch-{secrets.token_hex(4)}"
    lies = [name]
    try:
        with _may("put into it"):
            files.make_file(name, _CONTENT)
        with _may("read"), tempfile.TemporaryDirectory() as folder:
            fetch(name, Path(folder) / name)
        with _may("claimed"):
            lies.append(claim(name))
        for ending in Ending:
            lies.append(f"{ending}/{name}")
            with _may(f"moved into `{ending}`"):
                files.move(lies[-2], lies[-1])
        with _may("removed"):
            files.remove_files(lies[-1:])
    except StorageFailed as failure:
        left = [place for place in lies if not _is_removed(files, place)]
        if left:
            raise StorageFailed(f"{failure.text}; and remove {name}, which is still there") from failure
        raise


def _is_removed(files: Folder, place: str) -> bool:
    """Remove a file, wherever it is. Where that is not allowed, it may still not be there."""
    with contextlib.suppress(StorageFailed):
        files.remove_files([place])
        return True
    with contextlib.suppress(StorageFailed):
        folder, _, name = place.rpartition("/")
        return name not in files.names(folder)
    return False


@contextlib.contextmanager
def _may(doing: str) -> Iterator[None]:
    try:
        yield
    except StorageFailed as failure:
        raise StorageFailed(f"a file cannot be {doing}: {failure.text}") from failure


def check_once(files: Folder, name: str) -> None:
    """Make a file twice, and remove it.

    Raises:
        StorageFailed: it could be made twice, so that two machines would take the same file; or not at all.
    """
    files.make_file(name, _CONTENT)
    try:
        files.make_file(name, _CONTENT)
    except AlreadyThere:
        return
    else:
        raise StorageFailed(
            "two machines could take the same one, for `If-None-Match` is not minded; use another store"
        )
    finally:
        files.remove_files([name])
