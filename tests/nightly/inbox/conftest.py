"""The three kinds of inbox, each with a way to put files into it and to see all that lies in it."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from moto.core import DEFAULT_ACCOUNT_ID as MOTO_ACCOUNT
from moto.s3.models import s3_backends

from batch.nightly import claims
from batch.nightly.places import open_inbox
from tests.storage.conftest import https, keys, s3, sftp

if TYPE_CHECKING:
    from batch.nightly.claims import Nights
    from batch.nightly.inbox import Inbox
    from tests.storage.servers import S3Server, SftpServer

__all__ = ["https", "keys", "s3", "sftp"]

KINDS = ("folder", "sftp", "s3")
_numbers = itertools.count()


class Died(BaseException):
    """Stands for the death of the process."""


@dataclass
class Site:
    """A place with an inbox."""

    kind: str
    address: str
    put: Callable[[str, bytes], None]
    everything: Callable[[], dict[str, bytes]]
    """All files below the inbox, by their paths in it."""
    root: Path = Path()
    """The inbox on this machine; of S3 there is none."""
    now_ns: int = 1_800_000_000 * 10**9
    """By the clock of the machine that looks at it."""

    def open(self, nights: Nights | None = None) -> Inbox:
        return open_inbox(self.address, lambda: self.now_ns, nights)

    def grow_older(self, by_ns: int) -> None:
        """Let time pass where the claims lie: they were made so much earlier."""
        if self.kind == "s3":
            bucket, folder = self.address.removeprefix("s3://").split("/")
            for key, found in s3_backends[MOTO_ACCOUNT]["global"].buckets[bucket].keys.items():
                if key.startswith(f"{folder}/claimed/"):
                    found.last_modified -= dt.timedelta(microseconds=by_ns // 1000)
            return
        for path in (self.root / "claimed").iterdir():
            at_ns = path.stat().st_mtime_ns - by_ns
            os.utime(path, ns=(at_ns, at_ns))

    def uploads(self) -> dict[str, bytes]:
        """All files but claims."""
        return {name: body for name, body in self.everything().items() if not name.startswith("claimed/")}


def folder_site(kind: str, address: str, root: Path) -> Site:
    def put(name: str, body: bytes) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(body)

    def everything() -> dict[str, bytes]:
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    root.mkdir()
    return Site(kind, address, put, everything, root)


@contextlib.contextmanager
def s3_site(server: S3Server, folder: str) -> Iterator[Site]:
    bodies: dict[str, bytes] = {}  # by ETag, which is a digest of the content: so that each is fetched once

    def put(name: str, body: bytes) -> None:
        client.put_object(Bucket="uploads", Key=f"{folder}/{name}", Body=body)

    def everything() -> dict[str, bytes]:
        found = client.list_objects_v2(Bucket="uploads", Prefix=f"{folder}/").get("Contents", ())
        for item in found:
            if item["ETag"] not in bodies:
                bodies[item["ETag"]] = client.get_object(Bucket="uploads", Key=item["Key"])["Body"].read()
        return {item["Key"].removeprefix(f"{folder}/"): bodies[item["ETag"]] for item in found}

    with contextlib.closing(server.client()) as client:  # one for all: making it takes longer than a call
        yield Site("s3", f"s3://uploads/{folder}", put, everything)


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path: Path, sftp: SftpServer, s3: S3Server, keys: None) -> Iterator[Site]:
    """An empty inbox of each kind."""
    name = f"inbox{next(_numbers)}"
    match request.param:
        case "folder":
            yield folder_site("folder", str(tmp_path / name), tmp_path / name)
        case "sftp":
            yield folder_site("sftp", f"{sftp.url}/{name}", sftp.root / name)
        case _:
            with s3_site(s3, name) as found:
                yield found


@pytest.fixture(autouse=True)
def own_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin each test as a process that holds nothing."""
    monkeypatch.setattr(claims, "OURS", set())
