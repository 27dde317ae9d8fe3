"""Beside the steps: the objects below an inbox in S3, as if they were files in folders.

Owns what a folder is where there are none: an empty object whose name ends with a slash, as consoles and tools make
it. It can be made once, so it tells who has won a name. S3 cannot rename either: what is moved is copied, then removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batch.nightly.choice import Upload
from batch.storage import s3
from batch.storage.failures import AlreadyThere, NotThere

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class S3Files:
    """The objects of a bucket below a prefix."""

    client: Any
    bucket: str
    prefix: str
    """Empty, or ends with a slash."""
    version: str | None = None
    """The tag that a file must have to be moved; None for any."""

    def list(self, folder: str) -> Iterator[Upload]:
        """Yield the files in a folder, without those in folders therein."""
        for page in self._pages(folder):
            for found in page.get("Contents", ()):
                name = found["Key"].removeprefix(f"{self.prefix}{folder}")
                if name:  # a folder is an object without a name
                    at_ns = int(found["LastModified"].timestamp()) * 10**9
                    yield Upload(name, found["Size"], at_ns, found["ETag"])

    def names(self, folder: str) -> set[str]:
        """Return the names of all that lies in a folder."""
        inside = f"{folder}/" if folder else ""
        start = f"{self.prefix}{inside}"
        with s3.translated():
            pages = list(self._pages(inside))
        files = {found["Key"] for page in pages for found in page.get("Contents", ())}
        folders = {found["Prefix"].rstrip("/") for page in pages for found in page.get("CommonPrefixes", ())}
        return {name for key in files | folders if (name := key.removeprefix(start))}

    def _pages(self, folder: str) -> Any:
        pages = self.client.get_paginator("list_objects_v2")
        return pages.paginate(Bucket=self.bucket, Prefix=f"{self.prefix}{folder}", Delimiter="/")

    def tag(self, name: str) -> str | None:
        """Return the tag of an object, None where there is none."""
        try:
            with s3.translated():
                return str(self.client.head_object(Bucket=self.bucket, Key=f"{self.prefix}{name}")["ETag"])
        except NotThere:
            return None

    def make_file(self, name: str, content: bytes) -> None:
        """Make an object that is not there yet."""
        with s3.translated():
            self.client.put_object(Bucket=self.bucket, Key=f"{self.prefix}{name}", Body=content, IfNoneMatch="*")

    def make_folder(self, name: str) -> None:
        """Make the empty object that stands for a folder and is not there yet."""
        self.make_file(f"{name}/", b"")

    def put(self, files: Sequence[tuple[Path | bytes, str]]) -> None:
        """Copy files, or contents, to names."""
        for content, name in files:
            with s3.translated():
                if isinstance(content, bytes):
                    self.client.put_object(Bucket=self.bucket, Key=f"{self.prefix}{name}", Body=content)
                    continue
                with content.open("rb") as file:
                    self.client.put_object(Bucket=self.bucket, Key=f"{self.prefix}{name}", Body=file)

    def move(self, old: str, new: str) -> None:
        """Copy a file in its version to a name that is free, then remove it.

        One that was replaced meanwhile is a new upload and stays.
        """
        tag = self.tag(old) if self.version is None else self.version
        if tag is None:
            raise NotThere("the file is gone")
        try:
            with s3.translated():
                self.client.copy_object(
                    Bucket=self.bucket, Key=f"{self.prefix}{new}", IfNoneMatch="*", CopySourceIfMatch=tag,
                    CopySource={"Bucket": self.bucket, "Key": f"{self.prefix}{old}"},
                )  # fmt: skip
        except (AlreadyThere, NotThere):
            if self.tag(old) == tag:
                raise AlreadyThere("there is a file of that name already") from None
            return  # replaced: there is nothing to copy
        self.remove(old, tag)

    def remove(self, name: str, tag: str) -> None:
        """Remove an object in this version; another one stays."""
        try:
            if self.tag(name) == tag:  # asked first, because not everything that speaks S3 minds IfMatch here
                with s3.translated():
                    self.client.delete_object(Bucket=self.bucket, Key=f"{self.prefix}{name}", IfMatch=tag)
        except (AlreadyThere, NotThere):
            return

    def remove_files(self, names: Collection[str]) -> None:
        """Remove objects; S3 does not mind those that are not there."""
        for name in names:
            with s3.translated():
                self.client.delete_object(Bucket=self.bucket, Key=f"{self.prefix}{name}")

    def remove_folder(self, folder: str) -> None:
        """Remove the object that stands for a folder, where nothing else is in it."""
        if not self.names(folder):
            self.remove_files([f"{folder}/"])
