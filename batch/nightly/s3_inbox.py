"""Beside the steps: an inbox in S3: a claim is an object that can be created only while it is absent.

S3 cannot rename. So a claimed file stays where it is, and the object `claimed/<name>` says who works on it; every step
asks on condition (`If-None-Match`, `If-Match`), so that of two machines one succeeds. When its run is over, the file is
copied to where it ends, then removed, then the claim. Who dies on the way leaves the claim, at worst a copy too many.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batch.nightly.choice import Ending, Upload, names_for
from batch.nightly.claims import let_go, new_holder, read_holder
from batch.nightly.inbox import CLAIMED, REASON, REPORT, Claim, Held, report_files
from batch.storage import s3
from batch.storage.failures import AlreadyThere, NotThere
from batch.storage.fetching import save

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from batch.nightly.claims import Holder
    from batch.storage.paths import RemotePath


@dataclass(frozen=True, slots=True)
class _Mark:
    """A claim as it lies in the bucket."""

    name: str
    key: str
    tag: str
    holder: Holder


class S3Inbox:
    """An inbox whose files are taken by an object beside them."""

    is_remote = True

    def __init__(self, root: RemotePath, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self.shown = str(root).rstrip("/")
        self._root = root
        self._bucket = root.host
        self._prefix = f"{root.path.strip('/')}/" if root.path.strip("/") else ""
        self._wall_ns = wall_ns

    def look(self) -> list[Upload]:
        """Return the files that lie in the inbox and have no claim."""
        with s3.s3_client() as client, s3.translated():
            claimed = {upload.name for upload in self._list(client, f"{CLAIMED}/")}
            return [upload for upload in self._list(client, "") if upload.name not in claimed]

    def _list(self, client: Any, folder: str) -> Iterator[Upload]:
        prefix = f"{self._prefix}{folder}"
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix, Delimiter="/")
        for page in pages:
            for found in page.get("Contents", ()):
                name = found["Key"].removeprefix(prefix)
                if name:  # a folder made in the console is an object without a name
                    at_ns = int(found["LastModified"].timestamp()) * 10**9
                    yield Upload(name, found["Size"], at_ns, found["ETag"])

    def claim(self, upload: Upload) -> Claim | None:
        """Take a file by creating its claim, which works once."""
        holder = new_holder(self._wall_ns())
        claim = Claim(upload, holder, f"{self._prefix}{CLAIMED}/{upload.name}")
        try:
            with s3.s3_client() as client:
                if not self._create(client, claim):
                    let_go(holder)
                    return None
                if self._tag(client, f"{self._prefix}{upload.name}") == upload.tag:
                    return claim
        except BaseException:
            let_go(holder)  # whether we have it is not known; `recover` will see
            raise
        self.give_back(claim)
        return None

    def _create(self, client: Any, claim: Claim) -> bool:
        try:
            with s3.translated():
                client.put_object(Bucket=self._bucket, Key=claim.key, Body=str(claim.holder).encode(), IfNoneMatch="*")
        except AlreadyThere:
            # A put that was sent again because its answer got lost finds the object that it has made itself.
            mark = self._mark(client, claim.upload.name)
            return mark is not None and mark.holder == claim.holder
        return True

    def _tag(self, client: Any, key: str) -> str | None:
        try:
            with s3.translated():
                return str(client.head_object(Bucket=self._bucket, Key=key)["ETag"])
        except NotThere:
            return None

    def _mark(self, client: Any, name: str) -> _Mark | None:
        """Return the claim of a file; None where there is none, or something that is none."""
        key = f"{self._prefix}{CLAIMED}/{name}"
        try:
            with s3.translated():
                found = client.get_object(Bucket=self._bucket, Key=key)
                text = found["Body"].read(1000).decode("utf-8", "replace")
        except NotThere:
            return None
        holder = read_holder(text)
        return None if holder is None else _Mark(name, key, str(found["ETag"]), holder)

    def fetch(self, claim: Claim, target: Path) -> None:
        """Copy a claimed file, in the version that was claimed."""
        source = self._root.child(claim.upload.name)
        save(target, lambda write: s3.copy(source, write, claim.upload.tag))

    def give_back(self, claim: Claim) -> None:
        """Let others take the file."""
        try:
            with s3.s3_client() as client:
                mark = self._mark(client, claim.upload.name)
                if mark is not None and mark.holder == claim.holder:
                    self._remove(client, mark.key, mark.tag)
        finally:
            let_go(claim.holder)

    def _remove(self, client: Any, key: str, tag: str) -> None:
        """Remove an object in this version; another one stays."""
        try:
            if self._tag(client, key) == tag:  # asked first, because not everything that speaks S3 minds IfMatch here
                with s3.translated():
                    client.delete_object(Bucket=self._bucket, Key=key, IfMatch=tag)
        except (AlreadyThere, NotThere):
            return

    def finish(self, claim: Claim, ending: Ending, *, reason: str | None = None, report: Path | None = None) -> str:
        """Copy the file to where it ends, with its reason and its report, and remove it from the inbox.

        A file that was replaced in the inbox meanwhile stays there as a new upload. What was worked on is gone then,
        but for the copy in the run's folder.
        """
        with s3.s3_client() as client:
            mark = self._mark(client, claim.upload.name)
            if mark is None or mark.holder != claim.holder:
                let_go(claim.holder)
                raise NotThere("the claim was taken from us; somebody else works on the file")
            place = self._put_away(client, claim.upload.name, claim.upload.tag, ending, reason, report)
            self._remove(client, mark.key, mark.tag)
        let_go(claim.holder)
        return place

    def move_on(self, place: str, ending: Ending, report: Path | None = None) -> str | None:
        """Move a file that had ended in one folder to another."""
        with s3.s3_client() as client:
            tag = self._tag(client, f"{self._prefix}{place}")
            return None if tag is None else self._put_away(client, place, tag, ending, None, report)

    def _put_away(
        self, client: Any, old: str, tag: str, ending: Ending, reason: str | None, report: Path | None
    ) -> str:
        with s3.translated():
            taken = {upload.name for upload in self._list(client, f"{ending}/")}
        for name in names_for(old.rpartition("/")[2]):
            if name not in taken:
                self._put_beside(client, f"{ending}/{name}", reason, report)
                if self._copied(client, old, tag, f"{ending}/{name}"):
                    break
        self._remove(client, f"{self._prefix}{old}", tag)
        return f"{ending}/{name}"

    def _copied(self, client: Any, old: str, tag: str, name: str) -> bool:
        """Copy a file to a name that is free; return False where it is not free any more."""
        source = {"Bucket": self._bucket, "Key": f"{self._prefix}{old}"}
        try:
            with s3.translated():
                client.copy_object(
                    Bucket=self._bucket, Key=f"{self._prefix}{name}", CopySource=source,
                    CopySourceIfMatch=tag, IfNoneMatch="*",
                )  # fmt: skip
        except (AlreadyThere, NotThere):
            return self._tag(client, source["Key"]) != tag  # replaced meanwhile: there is nothing to copy
        return True

    def _put_beside(self, client: Any, place: str, reason: str | None, report: Path | None) -> None:
        with s3.translated():
            if reason is not None:
                key = f"{self._prefix}{place}{REASON}"
                client.put_object(Bucket=self._bucket, Key=key, Body=f"{reason}\n".encode())
            for path in report_files(report) if report is not None else ():
                with path.open("rb") as file:
                    client.put_object(Bucket=self._bucket, Key=f"{self._prefix}{place}{REPORT}/{path.name}", Body=file)

    def recover(self) -> list[str]:
        """Bring back the files of dead claims. Each claim is first made ours, so that of two machines one does it."""
        back = []
        with s3.s3_client() as client:
            for dead in self._marks(client):
                if not dead.holder.is_dead(self._wall_ns()):
                    continue
                ours = new_holder(self._wall_ns())
                try:
                    with s3.translated():
                        written = client.put_object(
                            Bucket=self._bucket, Key=dead.key, Body=str(ours).encode(), IfMatch=dead.tag
                        )
                    self._remove(client, dead.key, str(written["ETag"]))
                    if self._tag(client, f"{self._prefix}{dead.name}") is not None:
                        back.append(dead.name)
                except (AlreadyThere, NotThere):
                    continue
                finally:
                    let_go(ours)
        return back

    def held(self) -> list[Held]:
        """Return the claims of others that are not known to be dead."""
        with s3.s3_client() as client:
            return [
                Held(mark.name, mark.holder)
                for mark in self._marks(client)
                if not mark.holder.is_ours and not mark.holder.is_dead(self._wall_ns())
            ]

    def _marks(self, client: Any) -> list[_Mark]:
        with s3.translated():
            names = [upload.name for upload in self._list(client, f"{CLAIMED}/")]
        return [mark for name in names if (mark := self._mark(client, name)) is not None]
