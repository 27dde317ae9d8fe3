"""Before the nights: whether configs that are given together keep out of each other's way, and a config out of its own.

Two configs with one inbox would each take the other's files, for its own campaign; two with one metrics file would
write over each other's figures, and two of one name would write the same series. A config whose report.dir or metrics
file is in its inbox would take its own files as uploads.
"""

from __future__ import annotations

import os
import posixpath
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from batch.errors import ConfigError
from batch.nightly.choice import Ending
from batch.nightly.inbox import CLAIMED
from batch.run.opening import spelled
from batch.storage.failures import StorageFailed
from batch.storage.paths import RemotePath, Scheme, read_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from batch.config import Settings

Given = tuple[Path, "Settings"]
_SFTP_PORT = 22
_OWN_FOLDERS = frozenset({CLAIMED, *Ending})


def names_of(configs: Iterable[Path]) -> Mapping[Path, str]:
    """Return what each config is called among those that are given together: its stem, where that is its own.

    Where it is not: its folder and stem, or else its whole path.
    """
    different = {spelled(config): config for config in configs}
    spellings = [
        {config: config.stem for config in different},
        {config: f"{config.parent.name}/{config.stem}" for config in different},
        {config: str(config) for config in different},
    ]
    names: dict[Path, str] = {}
    for spelling in spellings:
        said = list(spelling.values())
        names = {config: name for config, name in spelling.items() if said.count(name) == 1} | names
    return {config: names[spelled(config)] for config in configs}


def misplaced(settings: Settings) -> dict[str, str]:
    """Return, for each key that names a place that cannot be right beside the others, one line that says why."""
    found = {}
    inbox, reports, metrics = _parts(settings.inbox), settings.report.dir, settings.metrics.textfile
    if inbox and _is_of_inbox(inbox, _resolved(reports)):
        found["report.dir"] = f"{reports} belongs to the inbox, whose files are uploads; choose another folder"
    if metrics and os.path.isdir(_resolved(metrics)):  # noqa: PTH112 - a folder that may not be entered is none
        found["metrics.textfile"] = f"{metrics} is a folder; name a file in it, such as {metrics / 'enroll_batch.prom'}"
    elif metrics and inbox and _is_of_inbox(inbox, _resolved(metrics).parent):
        found["metrics.textfile"] = f"{metrics} lies in the inbox, whose files are uploads; choose another folder"
    return found


def refuse_misplaced(config: Path, settings: Settings) -> None:
    """Let no config pass that names a place which cannot be right beside the others.

    Raises:
        ConfigError: a line for each.
    """
    if found := misplaced(settings):
        raise ConfigError("\n".join(f"{config}: {key}: {why}" for key, why in found.items()))


def _is_of_inbox(inbox: tuple[str, ...], folder: Path) -> bool:
    """Return whether a folder is an inbox, or one in which the inbox keeps files."""
    parts, count = ("", *folder.parts), len(inbox)
    return parts[:count] == inbox and (len(parts) == count or parts[count] in _OWN_FOLDERS)


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
    elif file and others_file and one[0].stem == other[0].stem:
        yield f"{names} have the same name, by which their metrics are known; rename one of them"


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
