"""Beside the steps: an inbox in S3: a claim is an object that can be created only while it is absent.

S3 cannot rename. So a claimed file stays where it is, and the object `claimed/<name>` says who works on it; every step
asks on condition (`If-None-Match`, `If-Match`), so that of two machines one succeeds. When its run is over, the file is
copied to where it ends, then removed, then the claim. Who dies on the way leaves the claim, at worst a copy too many.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from batch.nightly import endings
from batch.nightly.claims import let_go, read_holder
from batch.nightly.inbox import CLAIMED, Changed, Claim, Held
from batch.nightly.probing import check_once, go_the_way
from batch.nightly.s3_files import S3Files
from batch.storage import s3
from batch.storage.failures import AlreadyThere, NotThere
from batch.storage.fetching import save

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch.nightly.choice import Ending, Upload
    from batch.nightly.claims import Claims, Holder
    from batch.storage.paths import RemotePath


@dataclass(frozen=True, slots=True)
class _Mark:
    """A claim as it lies in the bucket."""

    name: str
    key: str
    tag: str
    holder: Holder
    age_ns: int
    """By the clock of the store."""


class S3Inbox:
    """An inbox whose files are taken by an object beside them."""

    is_remote = True

    def __init__(self, root: RemotePath, claims: Claims) -> None:
        self.shown = str(root).rstrip("/")
        self._root = root
        self._claims = claims

    @contextlib.contextmanager
    def _opened(self) -> Iterator[S3Files]:
        prefix = f"{self._root.path.strip('/')}/" if self._root.path.strip("/") else ""
        with s3.s3_client() as client:
            yield S3Files(client, self._root.host, prefix)

    def look(self) -> list[Upload]:
        """Return the files that lie in the inbox and have no claim."""
        with self._opened() as files, s3.translated():
            claimed = {upload.name for upload in files.list(f"{CLAIMED}/")}
            return [upload for upload in files.list("") if upload.name not in claimed]

    def claim(self, upload: Upload) -> Claim | None:
        """Take a file by creating its claim, which works once."""
        holder = self._claims.new()  # kept where creating fails: whether it is there is not known, the next night sees
        claim = Claim(upload, holder, f"{CLAIMED}/{upload.name}")
        with self._opened() as files:
            if not self._create(files, claim):
                let_go(holder)
                return None
            if files.tag(upload.name) == upload.tag:
                return claim
        self.give_back(claim)
        return None

    def _create(self, files: S3Files, claim: Claim) -> bool:
        try:
            files.make_file(claim.key, str(claim.holder).encode())
        except AlreadyThere:
            # A put that was sent again because its answer got lost finds the object that it has made itself.
            mark = self._mark(files, claim.upload.name)
            return mark is not None and mark.holder == claim.holder
        return True

    def _mark(self, files: S3Files, name: str) -> _Mark | None:
        """Return the claim of a file; None where there is none, or something that is none."""
        key = f"{CLAIMED}/{name}"
        try:
            with s3.translated():
                found = files.client.get_object(Bucket=files.bucket, Key=f"{files.prefix}{key}")
                text = found["Body"].read(1000).decode("utf-8", "replace")
        except NotThere:
            return None
        holder = read_holder(text)
        return None if holder is None else _Mark(name, key, str(found["ETag"]), holder, _age_ns(found))

    def fetch(self, claim: Claim, target: Path) -> None:
        """Copy a claimed file, in the version that was claimed."""
        source = self._root.child(claim.upload.name)
        try:
            save(target, lambda write: s3.copy(source, write, claim.upload.tag))
        except AlreadyThere:
            raise Changed from None

    def give_back(self, claim: Claim) -> None:
        """Let others take the file."""
        with self._opened() as files:
            mark = self._mark(files, claim.upload.name)
            if mark is not None and mark.holder == claim.holder:
                files.remove(mark.key, mark.tag)
        let_go(claim.holder)

    def finish(self, claim: Claim, ending: Ending, *, reason: str | None = None, report: Path | None = None) -> str:
        """Copy the file to where it ends, with its reason and its report, and remove it from the inbox.

        A file that was replaced in the inbox meanwhile stays there as a new upload. What was worked on is gone then,
        but for the copy in the run's folder.
        """
        with self._opened() as files:
            mark = self._mark(files, claim.upload.name)
            if mark is None or mark.holder != claim.holder:
                let_go(claim.holder)
                raise NotThere("the claim was taken from us; somebody else works on the file")
            this_version = replace(files, version=claim.upload.tag)
            place = endings.put_away(this_version, claim.upload.name, ending, reason, report)
            files.remove(mark.key, mark.tag)
        let_go(claim.holder)
        return place

    def move_on(
        self, place: str, ending: Ending, report: Path | None = None, *, reason: str | None = None
    ) -> str | None:
        """Move a file that had ended in one folder to another."""
        with self._opened() as files:
            return endings.move_on(files, place, ending, reason, report)

    def recover(self) -> dict[str, str]:
        """Bring back the files of dead claims. Each claim is first made ours, so that of two machines one does it."""
        back = {}
        with self._claims.recovering(self.shown), self._opened() as files:
            for dead in self._marks(files):
                if not self._claims.is_dead(dead.holder, dead.age_ns):
                    continue
                ours = self._claims.new()
                with contextlib.suppress(AlreadyThere, NotThere):
                    with s3.translated():
                        written = files.client.put_object(
                            Bucket=files.bucket, Key=f"{files.prefix}{dead.key}", Body=str(ours).encode(),
                            IfMatch=dead.tag,
                        )  # fmt: skip
                    files.remove(dead.key, str(written["ETag"]))
                    if files.tag(dead.name) is not None:
                        back[dead.name] = str(dead.holder)
                let_go(ours)
        return back

    def held(self) -> list[Held]:
        """Return the claims of others that are not known to be dead."""
        with self._opened() as files:
            return [
                Held(mark.name, mark.holder, self._claims.age_ns(mark.holder, mark.age_ns))
                for mark in self._marks(files)
                if not mark.holder.is_ours and not self._claims.is_dead(mark.holder, mark.age_ns)
            ]

    def _marks(self, files: S3Files) -> list[_Mark]:
        with s3.translated():
            names = [upload.name for upload in files.list(f"{CLAIMED}/")]
        return [mark for name in names if (mark := self._mark(files, name)) is not None]

    def check(self) -> None:
        """Let a file go the way of an upload, and remove it."""

        def fetch(name: str, target: Path) -> None:
            save(target, lambda write: s3.copy(self._root.child(name), write))

        with self._opened() as files:

            def claim(name: str) -> str:
                check_once(files, f"{CLAIMED}/{name}")
                return name

            go_the_way(files, fetch, claim)


def _age_ns(answer: dict[str, Any]) -> int:
    """Return how old an object is by the store's own clock, full seconds; 0 where it does not say what time it is."""
    try:
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return int((now - answer["LastModified"]).total_seconds()) * 10**9
    except (KeyError, ValueError, TypeError):
        return 0
