"""Beside the steps: an inbox in a folder, here or on an SFTP server: a claim is a rename, of which one can succeed.

Owns where a claimed file lies: `claimed/<holder>/<name>`. A crash before the rename leaves an empty folder, one after
it a claim with its file; nothing lies in between. It does not know which machine the folder is on.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from batch.nightly.choice import Ending, Upload, names_for
from batch.nightly.claims import let_go, new_holder, read_holder
from batch.nightly.inbox import CLAIMED, REASON, REPORT, Claim, Held, report_files
from batch.storage.failures import AlreadyThere, NotThere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from batch.nightly.claims import Holder


class Files(Protocol):
    """A folder of files; paths are relative to it, with `/` between their parts."""

    def files(self, folder: str) -> list[tuple[str, int, int]]:
        """Return name, size and time of change (ns since 1970) of each plain file in a folder, if it is there."""
        ...

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder; [] where there is none."""
        ...

    def take(self, old: str, new: str) -> None:
        """Rename a file or folder in one step to a name that nobody else uses; of all who do so one succeeds.

        Folders above `new` are made. Raises: NotThere for no `old`.
        """
        ...

    def move(self, old: str, new: str) -> None:
        """Rename a file that nobody else renames, and never replace another; folders above `new` are made.

        Raises: NotThere for no `old`, AlreadyThere for a `new`.
        """
        ...

    def remove_folder(self, folder: str) -> None:
        """Remove a folder if it is there and empty."""
        ...

    def fetch(self, name: str, target: Path) -> None:
        """Copy a file to this machine, whole or not at all. Raises: NotThere."""
        ...

    def put(self, files: Sequence[tuple[Path | bytes, str]]) -> None:
        """Copy files, or contents, to names in this folder; folders are made, files of these names replaced."""
        ...


class MovingInbox:
    """An inbox whose files are taken by renaming them."""

    def __init__(self, shown: str, files: Files, *, is_remote: bool, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self.shown = shown
        self.is_remote = is_remote
        self._files = files
        self._wall_ns = wall_ns

    def look(self) -> list[Upload]:
        """Return the files that lie in the inbox."""
        return [Upload(*found) for found in self._files.files("")]

    def claim(self, upload: Upload) -> Claim | None:
        """Take a file by moving it into a folder that is named after us."""
        holder = new_holder(self._wall_ns())
        folder = f"{CLAIMED}/{holder}"
        claim = Claim(upload, holder, f"{folder}/{upload.name}")
        try:
            self._files.take(upload.name, claim.key)
        except NotThere:
            self._files.remove_folder(folder)
            let_go(holder)
            return None
        except BaseException:
            let_go(holder)  # whether it was moved is not known; `recover` will see
            raise
        if [Upload(*found) for found in self._files.files(folder)] != [upload]:
            self.give_back(claim)
            return None
        return claim

    def fetch(self, claim: Claim, target: Path) -> None:
        """Copy a claimed file to a path on this machine."""
        self._files.fetch(claim.key, target)

    def give_back(self, claim: Claim) -> None:
        """Let others take the file."""
        try:
            self._bring_back(claim.upload.name, claim.holder)
        except NotThere:
            return  # taken from us, being thought dead
        finally:
            let_go(claim.holder)

    def finish(self, claim: Claim, ending: Ending, *, reason: str | None = None, report: Path | None = None) -> str:
        """Move the file to where it ends, with its reason and its report."""
        place = self._put_away(claim.key, ending, reason, report)
        self._files.remove_folder(claim.key.rpartition("/")[0])
        let_go(claim.holder)
        return place

    def move_on(self, place: str, ending: Ending, report: Path | None = None) -> str | None:
        """Move a file that had ended in one folder to another."""
        try:
            return self._put_away(place, ending, None, report)
        except NotThere:
            return None

    def _put_away(self, old: str, ending: Ending, reason: str | None, report: Path | None) -> str:
        taken = {name for name, _, _ in self._files.files(ending)}
        for name in names_for(old.rpartition("/")[2]):
            if name in taken:
                continue
            self._files.put(list(self._beside(f"{ending}/{name}", reason, report)))
            try:
                self._files.move(old, f"{ending}/{name}")
            except AlreadyThere:
                continue  # another machine has just finished a file of this name
            break
        return f"{ending}/{name}"

    def _beside(self, place: str, reason: str | None, report: Path | None) -> Iterator[tuple[Path | bytes, str]]:
        if reason is not None:
            yield f"{reason}\n".encode(), f"{place}{REASON}"
        if report is not None and self.is_remote:
            for path in report_files(report):
                yield path, f"{place}{REPORT}/{path.name}"

    def recover(self) -> list[str]:
        """Bring back the files of dead claims. Each claim is first made ours, so that of two machines one does it."""
        back = []
        for dead in [holder for holder in self._holders() if holder.is_dead(self._wall_ns())]:
            ours = new_holder(self._wall_ns())
            try:
                self._files.take(f"{CLAIMED}/{dead}", f"{CLAIMED}/{ours}")
                for name, _, _ in self._files.files(f"{CLAIMED}/{ours}"):
                    self._bring_back(name, ours)
                    back.append(name)
                self._files.remove_folder(f"{CLAIMED}/{ours}")
            except NotThere:
                continue
            finally:
                let_go(ours)
        return back

    def held(self) -> list[Held]:
        """Return the claims of others that are not known to be dead."""
        others = (holder for holder in self._holders() if not holder.is_ours)
        return [
            Held(name, holder)
            for holder in others
            if not holder.is_dead(self._wall_ns())
            for name, _, _ in self._files.files(f"{CLAIMED}/{holder}")
        ]

    def _holders(self) -> list[Holder]:
        found = [read_holder(folder) for folder in self._files.folders(CLAIMED)]
        return [holder for holder in found if holder is not None]

    def _bring_back(self, name: str, holder: Holder) -> None:
        """Move a claimed file back, under its name where that is free.

        Raises: NotThere where it is not ours any more.
        """
        for candidate in names_for(name):
            try:
                self._files.move(f"{CLAIMED}/{holder}/{name}", candidate)
            except AlreadyThere:
                continue
            break
        self._files.remove_folder(f"{CLAIMED}/{holder}")
