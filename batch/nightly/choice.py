"""Beside the steps: which files of an inbox are uploads, which of them have settled, and which goes first (pure).

Owns what a temporary name is, when a file counts as complete, and the order. It never asks the time and sees no file:
both are arguments.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

OLD_ENOUGH_NS = 86_400 * 10**9
"""A file that has not changed for so long is complete, also at the first look. Source: our choice, because clocks that
are an hour or two apart (one was set, or a server keeps another time) must not make a file old that still grows."""

LONGEST_NAME = 255
"""Bytes. Source: what the usual file systems allow, such as ext4, XFS and APFS."""
_LONGEST_SUFFIX = 20

_TEMPORARY_START = (".", "~")
_TEMPORARY_END = (".part", ".partial", ".filepart", ".tmp", ".temp", ".crdownload", ".download", ".swp", ".lock", "~")
_PRIORITY = re.compile(r"(\d{1,3})-")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Ending(StrEnum):
    """Where a file goes when its run is over: the names of folders in the inbox."""

    DONE = "done"
    FAILED = "failed"
    UNFINISHED = "unfinished"


def ending_of(exit_code: int) -> Ending:
    """Return where the file of a run with this exit code goes."""
    if exit_code in {0, 4, 5}:
        return Ending.DONE
    return Ending.FAILED if exit_code in {1, 2, 3} else Ending.UNFINISHED


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it lies in an inbox. Whatever changes when its content does: size, time, and the store's own tag."""

    name: str
    size: int
    modified_ns: int
    """ns since 1970, by the clock of the machine it lies on."""
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a look at an inbox found: files to take, in order, and names of those that may not be complete yet."""

    ready: tuple[Upload, ...]
    unsettled: tuple[str, ...]
    unusable: tuple[str, ...] = ()
    """Names that hold what cannot be shown, written so that it can."""


def choose(found: Collection[Upload], before: Mapping[str, Upload], now_ns: int) -> Choice:
    """Choose among the files of an inbox.

    `before`: what an earlier look found, by name; empty at the first. A file is ready when it is as it was then, or
    when it has not changed for `OLD_ENOUGH_NS`. The order: names that begin with a number and a hyphen (`10-may.csv`)
    by that number, then all others; among equals the oldest first.
    """
    uploads = sorted((upload for upload in found if is_upload(upload.name)), key=_order)
    ready = [upload for upload in uploads if _has_settled(upload, before.get(upload.name), now_ns)]
    unsettled = tuple(upload.name for upload in uploads if upload not in ready)
    odd = (upload.name for upload in found if not is_upload(upload.name) and is_upload(_CONTROL.sub("x", upload.name)))
    return Choice(tuple(ready), unsettled, tuple(sorted(ascii(name)[1:-1] for name in odd)))


def is_upload(name: str) -> bool:
    """Return whether a name is that of an upload: not hidden, not temporary, and such that it can be shown."""
    plain = name.casefold()
    return bool(plain) and not (
        plain.startswith(_TEMPORARY_START) or plain.endswith(_TEMPORARY_END) or _CONTROL.search(plain)
    )


def _has_settled(upload: Upload, before: Upload | None, now_ns: int) -> bool:
    return upload == before or now_ns - upload.modified_ns >= OLD_ENOUGH_NS


def _order(upload: Upload) -> tuple[int, int, str]:
    found = _PRIORITY.match(upload.name)
    return int(found[1]) if found else 1000, upload.modified_ns, upload.name


def names_for(name: str, longest: int = LONGEST_NAME) -> Iterator[str]:
    """Yield the names that a file may take where others lie: its own, then may-2.csv and so on.

    What is longer than so many bytes loses the end of its stem.
    """
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(_bytes(suffix)) > _LONGEST_SUFFIX:
        stem, dot, suffix = name, "", ""
    for number in count(1):
        end = f"{f'-{number}' if number > 1 else ''}{dot}{suffix}"
        yield _cut(stem, longest - len(_bytes(end))) + end


def _cut(text: str, longest: int) -> str:
    return text if len(_bytes(text)) <= longest else _bytes(text)[:longest].decode(errors="ignore")


def _bytes(name: str) -> bytes:
    return name.encode(errors="surrogateescape")
