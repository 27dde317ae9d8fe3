"""Before the nights: whether configs that are given together keep out of each other's way.

Two configs with one inbox would each take the other's files, for its own campaign; two with one metrics file would
write over each other's figures.
"""

from __future__ import annotations

import posixpath
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from batch.storage.failures import StorageFailed
from batch.storage.paths import RemotePath, Scheme, read_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batch.config import Settings

Given = tuple[Path, "Settings"]
_SFTP_PORT = 22


def in_each_others_way(given: Sequence[Given]) -> dict[int, str]:
    """Return, for each config that cannot be run beside another one, one line that says why, by its position."""
    found: dict[int, str] = {}
    for (first, one), (second, other) in combinations(enumerate(given), 2):
        for line in _conflicts(one, other):
            for position in (first, second):
                found.setdefault(position, line)
    return found


def _conflicts(one: Given, other: Given) -> Iterator[str]:
    names = f"{one[0]} and {other[0]}"
    inbox, others_inbox = (_parts(each.inbox) for _, each in (one, other))
    if inbox and others_inbox:
        shorter = min(len(inbox), len(others_inbox))
        if inbox == others_inbox:
            yield f"{names} have the same inbox; give each an inbox of its own, or name one of them alone"
        elif inbox[:shorter] == others_inbox[:shorter]:
            yield f"{names} have inboxes of which one lies inside the other; give each one that is apart"
    file, others_file = (each.metrics.textfile for _, each in (one, other))
    if file and others_file and _resolved(file) == _resolved(others_file):
        yield f"{names} have the same metrics.textfile; give each a file of its own"


def _parts(inbox: str | None) -> tuple[str, ...]:
    """Return what tells an inbox from others: its folders, from the outermost; empty where it can be none."""
    if inbox is None:
        return ()
    try:
        place = read_path(inbox)
    except StorageFailed:  # its own night says so
        return ()
    if isinstance(place, Path):
        return ("", *_resolved(place).parts)
    return _remote_parts(place)


def _remote_parts(place: RemotePath) -> tuple[str, ...]:
    """Return the folders of an address. Users of one SFTP server may each see another folder under the same path."""
    if place.scheme is Scheme.SFTP:
        server = f"{place.user or ''}@{place.host.lower()}:{place.port or _SFTP_PORT}"
        return (place.scheme, server, *PurePosixPath(posixpath.normpath(place.path)).parts)
    return (place.scheme, place.host, *filter(None, place.path.strip("/").split("/")))


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle, or no path at all: its own night says so
        return path.absolute()
