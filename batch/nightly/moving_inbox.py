"""Beside the steps: an inbox in a folder, here or on an SFTP server: a claim is a rename, of which one can succeed.

Owns where a claimed file lies: `claimed/<holder>/<name>`. A crash before the rename leaves an empty folder, one after
it a claim with its file; nothing lies in between. A rename does not end the writing of a file, so each is compared with
what was claimed when it has been copied and before it ends. It does not know which machine the folder is on.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING, Protocol

from batch.nightly import endings
from batch.nightly.choice import Ending, Upload, names_for
from batch.nightly.claims import let_go, read_holder
from batch.nightly.inbox import CLAIMED, Changed, Claim, Held, no_folder
from batch.nightly.probing import go_the_way
from batch.storage.failures import AlreadyThere, NotThere, StorageFailed

if TYPE_CHECKING:
    from pathlib import Path

    from batch.nightly.claims import Claims, Holder


class Files(endings.Folder, Protocol):
    """A folder of files; paths are relative to it, with `/` between their parts."""

    def files(self, folder: str) -> list[tuple[str, int, int]]:
        """Return name, size and time of change (ns since 1970) of each plain file in a folder, if it is there."""
        ...

    def folders(self, folder: str) -> list[tuple[str, int]]:
        """Return name and time of change (ns since 1970) of each folder in a folder; [] where there is none."""
        ...

    def take(self, old: str, new: str) -> None:
        """Rename a file or folder in one step to a name that nobody else uses; of all who do so one succeeds.

        Folders above `new` are made. Raises: NotThere for no `old`.
        """
        ...

    def fetch(self, name: str, target: Path) -> None:
        """Copy a file to this machine, whole or not at all. Raises: NotThere."""
        ...


_NOW = ".now-"


class MovingInbox:
    """An inbox whose files are taken by renaming them."""

    def __init__(self, shown: str, files: Files, claims: Claims, *, is_remote: bool) -> None:
        self.shown = shown
        self.is_remote = is_remote
        self._files = files
        self._claims = claims

    def look(self) -> list[Upload]:
        """Return the files that lie in the inbox. Raises: StorageFailed where one has the name of our own folders."""
        found = [Upload(*found) for found in self._files.files("")]
        for upload in found:
            if upload.name in {CLAIMED, *Ending}:  # told before anything is sent that could not be put away then
                raise no_folder(upload.name)
        return found

    def claim(self, upload: Upload) -> Claim | None:
        """Take a file by moving it into a folder that is named after us."""
        holder = self._claims.new()  # kept where moving fails: whether it was moved is not known, the next night sees
        folder = f"{CLAIMED}/{holder}"
        claim = Claim(upload, holder, f"{folder}/{upload.name}")
        try:
            self._files.take(upload.name, claim.key)
            is_as_found = self._files_of(claim) == [upload]
        except NotThere:
            self._files.remove_folder(folder)
            let_go(holder)
            return None
        except StorageFailed:
            with contextlib.suppress(StorageFailed):
                self._files.remove_folder(folder)
            raise
        if is_as_found:
            return claim
        self.give_back(claim)
        return None

    def _files_of(self, claim: Claim) -> list[Upload]:
        return [Upload(*found) for found in self._files.files(claim.key.rpartition("/")[0])]

    def _check(self, claim: Claim) -> None:
        """Look whether a claimed file is still what was looked at.

        Raises: Changed where it is not; NotThere where the claim was taken from us.
        """
        found = self._files_of(claim)
        if not found:
            raise NotThere("the claim was taken from us; somebody else works on the file")
        if found != [claim.upload]:
            raise Changed

    def fetch(self, claim: Claim, target: Path) -> None:
        """Copy a claimed file to a path on this machine."""
        try:
            self._files.fetch(claim.key, target)
        except StorageFailed:  # maybe because it grows
            self._check(claim)
            raise
        self._check(claim)

    def give_back(self, claim: Claim) -> None:
        """Let others take the file."""
        with contextlib.suppress(NotThere):  # taken from us, being thought dead
            self._bring_back(claim.upload.name, claim.holder)
        let_go(claim.holder)

    def finish(self, claim: Claim, ending: Ending, *, reason: str | None = None, report: Path | None = None) -> str:
        """Move the file to where it ends, with its reason and its report."""
        self._check(claim)
        place = endings.put_away(self._files, claim.key, ending, reason, report if self.is_remote else None)
        self._files.remove_folder(claim.key.rpartition("/")[0])
        let_go(claim.holder)
        return place

    def move_on(
        self, place: str, ending: Ending, report: Path | None = None, *, reason: str | None = None
    ) -> str | None:
        """Move a file that had ended in one folder to another."""
        try:
            return endings.move_on(self._files, place, ending, reason, report if self.is_remote else None)
        except NotThere:
            return None

    def recover(self) -> dict[str, str]:
        """Bring back the files of dead claims. Each claim is first made ours, so that of two machines one does it."""
        back = {}
        with self._claims.recovering(self.shown):
            for dead in [holder for holder, age_ns in self._holders() if self._claims.is_dead(holder, age_ns)]:
                ours = self._claims.new()
                with contextlib.suppress(NotThere):
                    self._files.take(f"{CLAIMED}/{dead}", f"{CLAIMED}/{ours}")
                    for name, _, _ in self._files.files(f"{CLAIMED}/{ours}"):
                        back[self._bring_back(name, ours)] = str(dead)
                    self._files.remove_folder(f"{CLAIMED}/{ours}")
                let_go(ours)
        return back

    def held(self) -> list[Held]:
        """Return the claims of others that are not known to be dead."""
        return [
            Held(name, holder, self._claims.age_ns(holder, age_ns))
            for holder, age_ns in self._holders()
            if not holder.is_ours and not self._claims.is_dead(holder, age_ns)
            for name, _, _ in self._files.files(f"{CLAIMED}/{holder}")
        ]

    def _holders(self) -> list[tuple[Holder, int]]:
        """Return who holds claims, and their ages by the clock of where they lie: beside a folder that is made now."""
        if not any(read_holder(folder) for folder, _ in self._files.folders(CLAIMED)):
            return []
        new = f"{_NOW}{secrets.token_hex(4)}"
        self._files.make_folder(f"{CLAIMED}/{new}")
        changed = dict(self._files.folders(CLAIMED))
        for folder in changed:
            if folder.startswith(_NOW):  # also those that a death has left; another's own is made anew
                self._files.remove_folder(f"{CLAIMED}/{folder}")
        now_ns = changed.get(new, 0)  # where a listing comes late, none of them is old
        found = [(read_holder(folder), now_ns - at_ns) for folder, at_ns in changed.items()]
        return [(holder, age_ns) for holder, age_ns in found if holder is not None]

    def _bring_back(self, name: str, holder: Holder) -> str:
        """Move a claimed file back, under its name where that is free; return its name now.

        Raises: NotThere where it is not ours any more.
        """
        for candidate in names_for(name):
            try:
                self._files.move(f"{CLAIMED}/{holder}/{name}", candidate)
            except AlreadyThere:
                continue
            break
        self._files.remove_folder(f"{CLAIMED}/{holder}")
        return candidate

    def check(self) -> None:
        """Let a file go the way of an upload, and remove it with the folders that were made for it."""
        self.look()
        folder, before = f"{CLAIMED}/.doctor-{secrets.token_hex(4)}", self._files.names("")

        def claim(name: str) -> str:
            self._files.take(name, f"{folder}/{name}")
            return f"{folder}/{name}"

        try:
            go_the_way(self._files, self._files.fetch, claim)
        finally:
            with contextlib.suppress(StorageFailed):
                for made in (folder, *({CLAIMED, *Ending} - before)):
                    self._files.remove_folder(made)
