"""Before step 1: bring one file from elsewhere onto this machine, whole or not at all.

Owns the copy: streamed in blocks, under a name of its own until it is complete and on disk, its size compared with
what the server says. It does not know who asks, and looks at no cell.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import IO, TYPE_CHECKING, assert_never

from batch.storage import https, s3, sftp
from batch.storage.failures import StorageFailed
from batch.storage.paths import Scheme

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batch.storage.paths import RemotePath

PARTIAL = ".part"
LONGEST_S = 3600
"""How long one file may take. Source: our choice, because a server that sends a byte a minute is never silent."""


def fetch(source: RemotePath, target: Path) -> None:
    """Copy a file from elsewhere to `target`, replacing it; what is there under this name is always whole.

    Raises:
        StorageFailed: it cannot be fetched; nothing is left behind.
    """
    save(target, lambda write: _copy(source, write))


def save(target: Path, copy: Callable[[Callable[[bytes], None]], int | None]) -> None:
    """Write what `copy` hands over, in blocks, to `target`; `copy` returns how many bytes there are, if that is known.

    Raises:
        StorageFailed: as `copy` does, or the disk refuses it, or the size is wrong; nothing is left behind.
    """
    partial = target.with_name(target.name + PARTIAL)
    try:
        with partial.open("wb") as file:
            sink = _Sink(file)
            size = copy(sink.write)
            if size is not None and size != sink.size:
                raise StorageFailed(f"{sink.size} bytes came, the server said {size}; run it again")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        raise _local(error) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _local(error: OSError) -> StorageFailed:
    return StorageFailed(f"the copy cannot be written ({error.strerror}); check the disk of the run's folder")


def _copy(source: RemotePath, write: Callable[[bytes], None]) -> int | None:
    match source.scheme:
        case Scheme.S3:
            return s3.copy(source, write)
        case Scheme.SFTP:
            return sftp.copy(source, write)
        case Scheme.HTTPS:
            return https.copy(source, write)
        case _:
            assert_never(source.scheme)


class _Sink:
    """Writes blocks and counts them. Its own faults must not be taken for those of the network."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._until = time.monotonic() + LONGEST_S
        self.size = 0

    def write(self, block: bytes) -> None:
        """Append a block.

        Raises:
            StorageFailed: the disk refuses it, or it comes too late.
        """
        if time.monotonic() > self._until:
            raise StorageFailed(f"it takes more than {LONGEST_S // 60} minutes; fetch it yourself and give the path")
        try:
            self._file.write(block)
        except OSError as error:
            raise _local(error) from error
        self.size += len(block)
