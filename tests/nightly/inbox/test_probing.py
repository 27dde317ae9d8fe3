"""Whether files can go their way through an inbox is tried with a file of our own, and nothing is left of it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batch.nightly.choice import is_upload
from batch.nightly.s3_files import S3Files
from batch.storage.failures import StorageFailed
from tests.nightly.inbox.test_contract import refuse, taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.nightly.inbox.conftest import Site


def all_that_lies_in(site: Site) -> set[str]:
    return {
        *site.everything(),
        *(str(path.relative_to(site.root)) for path in site.root.rglob("*") if site.kind != "s3"),
    }


def test_an_inbox_in_which_everything_is_allowed_is_as_it_was(site: Site) -> None:
    site.open().check()
    assert all_that_lies_in(site) == set()
    site.put("may.csv", b"rows")
    site.put("june.csv", b"rows")
    taken(site.open(), "may.csv")
    site.put("done/may.csv", b"rows")
    before = all_that_lies_in(site)
    site.open().check()
    assert all_that_lies_in(site) == before


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("make_file", "a file cannot be put into it: access is refused"),
        ("take", "a file cannot be claimed: access is refused"),
        ("move", "a file cannot be moved into `done`: access is refused"),
    ],
)
def test_what_cannot_be_done_with_a_file_is_told_and_nothing_is_left(
    site: Site, monkeypatch: pytest.MonkeyPatch, call: str, said: str
) -> None:
    inbox = site.open()
    if (site.kind, call) == ("s3", "take"):  # which is to make a claim there
        second_time_refused(monkeypatch, "make_file")
    else:
        refuse(monkeypatch, inbox, call)
    with pytest.raises(StorageFailed) as refused:
        inbox.check()
    assert refused.value.text == said
    assert all_that_lies_in(site) == set()


def second_time_refused(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    real: Callable[..., object] = getattr(S3Files, call)
    times = iter([True])

    def called(*given: object) -> None:
        if not next(times, False):
            raise StorageFailed("access is refused")
        real(*given)

    monkeypatch.setattr(S3Files, call, called)


def test_what_cannot_be_read_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise StorageFailed("access is refused")

    inbox = site.open()
    if site.kind == "s3":
        monkeypatch.setattr("batch.storage.s3.copy", refused)
    else:
        refuse(monkeypatch, inbox, "fetch")
    with pytest.raises(StorageFailed, match="a file cannot be read: access is refused"):
        inbox.check()
    assert all_that_lies_in(site) == set()


def test_a_file_that_cannot_be_removed_is_told_by_its_name(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = site.open()
    with monkeypatch.context() as refused:
        refuse(refused, inbox, "remove_files")
        with pytest.raises(StorageFailed) as told:
            inbox.check()
    (left,) = {Path(name).name for name in site.everything()}
    assert not is_upload(left)
    assert told.value.text.endswith(f"; and remove {left}, which is still there")


def test_a_store_in_which_two_could_claim_one_file_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    if site.kind != "s3":  # where a rename is all that is needed
        site.open().check()
        return

    def put(files: S3Files, name: str, content: bytes) -> None:
        files.client.put_object(Bucket=files.bucket, Key=f"{files.prefix}{name}", Body=content)

    monkeypatch.setattr(S3Files, "make_file", put)
    with pytest.raises(StorageFailed, match="two machines could take the same one, for `If-None-Match` is not minded"):
        site.open().check()
    assert site.everything() == {}


def test_a_night_at_the_same_time_does_not_see_the_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = site.open()
    with monkeypatch.context() as left, contextlib.suppress(StorageFailed):
        refuse(left, inbox, "remove_files")
        refuse(left, inbox, "move")
        inbox.check()
    assert len(site.everything()) >= 1
    night = site.open()
    assert not [upload for upload in night.look() if is_upload(upload.name)]
    assert night.recover() == {}
    assert night.held() == []
