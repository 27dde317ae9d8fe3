"""Beside the steps: where a file of an inbox ends: it wins a name there, with its reason and its report beside it.

Owns the order. What lies beside a file is put first, under a name that is won by making the first of it: of two who
make the same, one can. Then the file is moved. Who dies in between leaves a reason or a report without a file, and the
file where its claim keeps it; the next night recognises its run and puts the file under the next name, again with all
that belongs to it. The other order would be worse: a file that is moved first and whose report never comes, while
nobody has a reason to come back to it. It does not know where the inbox is.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

from batch.nightly.choice import LONGEST_NAME, names_for
from batch.nightly.inbox import REASON, REPORT
from batch.storage.failures import AlreadyThere, StorageFailed

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from batch.nightly.choice import Ending

NOT_FOR_OTHERS = (".", "ledger.sqlite", "sandbox.sqlite", "lock", "input")
"""What of a run's folder stays at home: names, or the beginnings of names."""
_LONGEST = LONGEST_NAME - len(REASON)


class Folder(Protocol):
    """The folder of an inbox; paths are relative to it, with `/` between their parts."""

    def names(self, folder: str) -> set[str]:
        """Return the names of all that lies in a folder, if it is there."""
        ...

    def make_file(self, name: str, content: bytes) -> None:
        """Make a file that is not there yet; folders above it are made. Raises: AlreadyThere."""
        ...

    def make_folder(self, name: str) -> None:
        """Make a folder that is not there yet; folders above it are made. Raises: AlreadyThere."""
        ...

    def put(self, files: Sequence[tuple[Path | bytes, str]]) -> None:
        """Copy files, or contents, to names in this folder; folders are made, files of these names replaced."""
        ...

    def move(self, old: str, new: str) -> None:
        """Rename a file that nobody else renames, and never replace another; folders above `new` are made.

        Raises: NotThere for no `old`, AlreadyThere for a `new`.
        """
        ...

    def remove_files(self, names: Collection[str]) -> None:
        """Remove files that are there."""
        ...

    def remove_folder(self, folder: str) -> None:
        """Remove a folder if it is there and empty."""
        ...


def put_away(files: Folder, old: str, ending: Ending, reason: str | None, report: Path | None) -> str:
    """Move a file to where it ends, under its own name or the next that is free; return where it is now.

    `report`: the folder of a run whose report is put beside it. Raises: NotThere for no `old`; nothing is left then.
    """
    taken = files.names(ending)
    for name in names_for(old.rpartition("/")[2], _LONGEST):
        place = f"{ending}/{name}"
        if taken & {name, f"{name}{REASON}", f"{name}{REPORT}"} or _is_beside(name, taken):
            continue
        made: list[str] = []
        try:
            _put_beside(files, place, reason, report, made)
            files.move(old, place)
        except AlreadyThere:
            _remove(files, made)
            continue  # another machine has just finished a file of this name
        except Exception:
            with contextlib.suppress(StorageFailed):
                _remove(files, made)
            raise
        break
    return place


def _is_beside(name: str, there: Collection[str]) -> bool:
    """Return whether a name is that of a reason or a report of a file that lies there, and would be taken for it."""
    return any(name.endswith(end) and name.removesuffix(end) in there for end in (REASON, REPORT))


def move_on(files: Folder, place: str, ending: Ending, reason: str | None, report: Path | None) -> str | None:
    """Move a file that had ended to where it ends now; return its place, None where it does not lie there any more.

    What lay beside it is removed, or, where it has to stay where it is, renewed.
    """
    folder, _, name = place.rpartition("/")
    there = files.names(folder)
    if name in there and folder == ending:
        _renew(files, place, reason, report)
        return place
    now = put_away(files, place, ending, reason, report) if name in there else None
    _remove(files, [f"{place}{end}" for end in (REASON, REPORT) if f"{name}{end}" in there])
    return now


def _put_beside(files: Folder, place: str, reason: str | None, report: Path | None, made: list[str]) -> None:
    """Put a reason and a report where none is; `made` becomes what has been made."""
    if reason is not None:
        files.make_file(f"{place}{REASON}", _lines(reason))
        made.append(f"{place}{REASON}")
    if report is not None:
        files.make_folder(f"{place}{REPORT}")
        made.append(f"{place}{REPORT}")
        files.put([(path, f"{place}{REPORT}/{path.name}") for path in report_files(report)])


def _renew(files: Folder, place: str, reason: str | None, report: Path | None) -> None:
    if reason is not None:
        files.put([(_lines(reason), f"{place}{REASON}")])
    if report is None:
        return
    with contextlib.suppress(AlreadyThere):
        files.make_folder(f"{place}{REPORT}")
    new = report_files(report)
    files.put([(path, f"{place}{REPORT}/{path.name}") for path in new])
    old = files.names(f"{place}{REPORT}") - {path.name for path in new}
    files.remove_files([f"{place}{REPORT}/{name}" for name in old])


def _remove(files: Folder, made: Collection[str]) -> None:
    for name in made:
        if name.endswith(REPORT):
            files.remove_files([f"{name}/{inner}" for inner in files.names(name)])
            files.remove_folder(name)
        else:
            files.remove_files([name])


def _lines(text: str) -> bytes:
    return f"{text}\n".encode(errors="replace")


def report_files(folder: Path) -> Sequence[Path]:
    """Return the files of a run's folder that belong to its report, in order."""
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(NOT_FOR_OTHERS))
