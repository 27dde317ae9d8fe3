"""Before the first pass: every input becomes a file on this machine, and the digest of what will be read.

A file on this machine is read where it lies. One from elsewhere is copied into the run's folder first, and only the
copy is looked at. Ledger and report name the input as it was given, without the query of its address.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from batch.errors import FileRefused
from batch.storage.failures import StorageFailed
from batch.storage.fetching import fetch
from batch.storage.paths import RemotePath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

COPIES = "input"
"""The folder in a run's folder that holds the copies of inputs from elsewhere."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """An input that can be read: the file, how it is named to people, and what its bytes were."""

    path: Path
    shown: str
    modified_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class HandedOver:
    """An input that somebody brings, such as a file of an inbox.

    `copy` writes it to a path, or raises StorageFailed; `name` is one that any file system takes.
    """

    shown: str
    name: str
    copy: Callable[[Path], None]

    def __str__(self) -> str:
        return self.shown


Source: TypeAlias = Path | RemotePath | HandedOver


def shown(source: Source) -> str:
    """Return how ledger and report name an input: its absolute path, or its address without its query."""
    return str(source.absolute() if isinstance(source, Path) else source)


def gather(run_folder: Path, inputs: Sequence[Source], kept: Sequence[str | None] = ()) -> list[InputFile]:
    """Return the inputs as files, in the same order; those from elsewhere are fetched into the run's folder.

    `kept`: the digests by which an earlier attempt at this run knew them, None where it did not get that far. A copy
    that still has its digest is not fetched again.

    Raises:
        InputRefused: an input cannot be read or fetched. Copies that were made stay; `remove_copies` is for them.
    """
    digests = kept or [None] * len(inputs)
    found = []
    for source, target, sha256 in zip(inputs, _copies(run_folder, inputs), digests, strict=True):
        if not isinstance(source, Path) and not _is_whole(target, sha256):
            _fetch(source, target)
        found.append(InputFile(target, shown(source), *fingerprint(target)))
    return found


def remove_copies(run_folder: Path, inputs: Sequence[Source]) -> None:
    """Remove the copies that `gather` made, and their folder; nothing else that lies there."""
    for source, target in zip(inputs, _copies(run_folder, inputs), strict=True):
        if not isinstance(source, Path):
            target.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (run_folder / COPIES).rmdir()


def fingerprint(path: Path) -> tuple[int, str]:
    """Return when a file was last changed (ns since 1970) and its SHA-256.

    Raises:
        InputRefused: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        if path.exists() and not path.is_file():  # a pipe or a device may have no end
            raise FileRefused(f"{path}: not a file; name the spreadsheet itself")
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
            return os.fstat(file.fileno()).st_mtime_ns, digest.hexdigest()
    except OSError as error:
        raise FileRefused(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _copies(run_folder: Path, inputs: Iterable[Source]) -> list[Path]:
    """Return where each input is read: its own path, or its copy, under its own name, numbered where names clash."""
    taken: set[str] = set()
    paths = []
    for source in inputs:
        if not isinstance(source, Path):
            plain = Path(source.name)
            name, number = plain.name, 1
            while name.casefold() in taken:
                number += 1
                name = f"{plain.stem}-{number}{plain.suffix}"
            taken.add(name.casefold())
            paths.append(run_folder / COPIES / name)
        else:
            paths.append(source)
    return paths


def _is_whole(copy: Path, sha256: str | None) -> bool:
    return sha256 is not None and copy.is_file() and fingerprint(copy)[1] == sha256


def _fetch(source: RemotePath | HandedOver, target: Path) -> None:
    if not source.name:
        raise FileRefused(f"{source}: this is a folder; give a file in it")
    try:
        target.parent.mkdir(exist_ok=True)
        if isinstance(source, HandedOver):
            source.copy(target)
        else:
            fetch(source, target)
    except StorageFailed as failure:
        raise FileRefused(f"{source}: {failure.text}") from failure
    except OSError as error:
        raise FileRefused(f"{target.parent}: cannot be written ({error.strerror}); choose another --run-dir") from error
