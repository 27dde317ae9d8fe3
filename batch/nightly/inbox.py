"""Beside the steps: an inbox: a folder here, on an SFTP server or in S3 that people put uploads into.

Owns what all three kinds have in common: what can be asked of an inbox, and the way of a file through it. A file is
claimed by one process on one machine, and ends in one of the folders `done`, `failed` and `unfinished` inside the
inbox, under its own name; where that is taken, with a number. Whatever dies on the way leaves a claim that names its
holder; `recover` brings the file back when the holder is dead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from batch.storage.failures import StorageFailed

if TYPE_CHECKING:
    from pathlib import Path

    from batch.nightly.choice import Ending, Upload
    from batch.nightly.claims import Holder

CLAIMED = "claimed"
"""The folder inside an inbox that holds claims."""
REASON = ".reason.txt"
REPORT = ".report"
"""What is appended to a file's name for what lies beside it where it ended."""


def no_folder(name: str) -> StorageFailed:
    """Return what is wrong where a file lies in the place of one of the inbox's own folders; `name` begins with it."""
    return StorageFailed(
        f"`{name.partition('/')[0]}` is a file where the inbox has a folder; rename it or take it away"
    )


class Changed(StorageFailed):
    """A file is no longer what it was when it was claimed: whoever puts it there was not at the end."""

    def __init__(self) -> None:
        super().__init__("it was written to after it was taken")


@dataclass(frozen=True, slots=True)
class Claim:
    """A file that this process has taken and nobody else can take."""

    upload: Upload
    holder: Holder
    key: str
    """Where the inbox keeps the claim."""


@dataclass(frozen=True, slots=True)
class Held:
    """A file that somebody else works on, or that a machine left behind when it died."""

    name: str
    holder: Holder
    age_ns: int
    """For how long it has been held at least."""


class Inbox(Protocol):
    """One of the three kinds. Where the inbox cannot be used, every method raises StorageFailed of batch.storage."""

    shown: str
    """The inbox as people know it; `<shown>/<name>` is how a file in it is named."""
    is_remote: bool

    def look(self) -> list[Upload]:
        """Return the files that lie in the inbox and that nobody has claimed, in any order; no folder is followed."""
        ...

    def claim(self, upload: Upload) -> Claim | None:
        """Take a file; None where somebody else was faster, or it is gone or no longer what it was.

        Where it cannot be taken, others may be: so the caller names it, goes on, and looks first.
        """
        ...

    def fetch(self, claim: Claim, target: Path) -> None:
        """Copy a claimed file to a path on this machine, whole or not at all.

        Raises: Changed where it is no longer what was claimed.
        """
        ...

    def give_back(self, claim: Claim) -> None:
        """Let others take the file."""
        ...

    def finish(self, claim: Claim, ending: Ending, *, reason: str | None = None, report: Path | None = None) -> str:
        """Move the file to where it ends; return its name there, such as `done/may-2.csv`.

        `reason` is written beside it, `report` (a run's folder) is uploaded beside it where the inbox is remote.
        Raises: NotThere where the claim was taken from us, being thought dead; Changed where it is still written to,
        so that more may stand in it than was sent: it is to be given back. Nothing is moved then.
        """
        ...

    def move_on(
        self, place: str, ending: Ending, report: Path | None = None, *, reason: str | None = None
    ) -> str | None:
        """Move a file that had ended in one folder, such as `unfinished/may.csv`, to another; return its name there.

        What lay beside it is removed. Where it ends as before, it stays where it is, and what lies beside it is
        renewed. None where it does not lie there any more. Only for the machine that has the file's run.
        """
        ...

    def recover(self) -> dict[str, str]:
        """Bring back the files of dead claims; return by their names now the claims that they had."""
        ...

    def held(self) -> list[Held]:
        """Return the claims of others that are not known to be dead."""
        ...

    def check(self) -> None:
        """Let a file of our own go the way of an upload through all folders, and remove it.

        Raises: StorageFailed, which says what cannot be done with a file.
        """
        ...
