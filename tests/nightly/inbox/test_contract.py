"""What holds for every inbox, be it a folder, on an SFTP server or in S3."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batch.nightly import claims
from batch.nightly.choice import Ending, choose
from batch.nightly.claims import DEAD_AFTER_NS
from batch.nightly.inbox import Changed, Inbox
from batch.nightly.s3_files import S3Files
from batch.nightly.s3_inbox import S3Inbox
from batch.run.night_locks import NightLocks
from batch.storage.failures import NotThere, StorageFailed
from tests.nightly.inbox.conftest import Died, Site

if TYPE_CHECKING:
    from batch.nightly.inbox import Claim


def taken(inbox: Inbox, name: str) -> Claim:
    """Claim a file that is there to be claimed."""
    (upload,) = [upload for upload in inbox.look() if upload.name == name]
    claim = inbox.claim(upload)
    assert claim is not None
    return claim


def refuse(monkeypatch: pytest.MonkeyPatch, inbox: Inbox, call: str) -> None:
    """Let one call on the files of an inbox be refused."""

    def refused(*_: object, **__: object) -> None:
        raise StorageFailed("access is refused")

    monkeypatch.setattr(S3Files if isinstance(inbox, S3Inbox) else inbox._files, call, refused)  # type: ignore[attr-defined]


def die() -> None:
    """Forget what a process that died has held."""
    claims.OURS.clear()


def test_a_file_goes_its_way_and_ends_under_its_own_name(site: Site, tmp_path: Path) -> None:
    site.put("may.csv", b"rows")
    inbox = site.open()
    claim = taken(inbox, "may.csv")
    assert inbox.look() == []
    inbox.fetch(claim, tmp_path / "copy.csv")
    assert (tmp_path / "copy.csv").read_bytes() == b"rows"
    assert inbox.finish(claim, Ending.DONE) == "done/may.csv"
    assert site.everything() == {"done/may.csv": b"rows"}
    assert inbox.look() == []
    assert inbox.held() == []


def test_only_plain_files_in_the_inbox_itself_are_seen(site: Site) -> None:
    for name in (
        "may.csv",
        "done/old.csv",
        "failed/bad.csv",
        "failed/bad.csv.reason.txt",
        "archive/x.csv",
        "a b ä.csv",
    ):
        site.put(name, b"rows")
    assert sorted(upload.name for upload in site.open().look()) == ["a b ä.csv", "may.csv"]


def test_a_name_that_cannot_be_shown_disturbs_no_other(site: Site) -> None:
    site.put("may.csv", b"rows")
    if site.kind != "s3":  # whose names are text
        site.put("\udcff.csv", b"rows")
    choice = choose(site.open().look(), {}, 2**62)
    assert [upload.name for upload in choice.ready] == ["may.csv"]


def test_what_was_claimed_by_one_is_not_given_to_another(site: Site) -> None:
    site.put("may.csv", b"rows")
    first, second = site.open(), site.open()
    (upload,) = second.look()
    claim = taken(first, "may.csv")
    assert second.look() == []
    assert second.claim(upload) is None
    assert second.recover() == {}
    first.give_back(claim)
    assert second.claim(upload) is not None


def test_a_file_that_cannot_be_claimed_stays_and_leaves_no_claim(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.put("may.csv", b"rows")
    site.put("june.csv", b"rows")
    inbox = site.open()
    may = next(upload for upload in inbox.look() if upload.name == "may.csv")
    with monkeypatch.context() as refused:
        refuse(refused, inbox, "take" if site.kind != "s3" else "make_file")
        with pytest.raises(StorageFailed, match="access is refused"):
            inbox.claim(may)
    assert taken(inbox, "june.csv")
    die()
    assert list(site.open().recover()) == ["june.csv"]
    assert site.everything() == {"may.csv": b"rows", "june.csv": b"rows"}


@pytest.mark.parametrize("name", ["claimed", "done", "failed", "unfinished"])
def test_a_file_with_the_name_of_a_folder_of_ours_is_told_before_anything_is_sent(site: Site, name: str) -> None:
    site.put("may.csv", b"rows")
    site.put(name, b"not a folder")
    inbox = site.open()
    if site.kind == "s3":  # where a name may be both
        for upload in inbox.look():
            claim = inbox.claim(upload)
            assert claim is not None
            inbox.finish(claim, Ending.DONE)
        assert site.everything() == {"done/may.csv": b"rows", f"done/{name}": b"not a folder"}
        return
    told = f"^`{name}` is a file where the inbox has a folder; rename it or take it away$"
    with pytest.raises(StorageFailed, match=told):
        inbox.look()
    with pytest.raises(StorageFailed, match=told):
        inbox.check()
    assert site.everything() == {"may.csv": b"rows", name: b"not a folder"}


def test_a_file_with_the_name_of_a_folder_of_ours_that_comes_late_is_told_too(site: Site) -> None:
    site.put("may.csv", b"rows")
    inbox = site.open()
    (upload,) = inbox.look()
    claim = inbox.claim(upload)
    assert claim is not None
    site.put("done", b"not a folder")
    if site.kind == "s3":
        assert inbox.finish(claim, Ending.DONE) == "done/may.csv"
        return
    with pytest.raises(StorageFailed, match="`done` is a file where the inbox has a folder"):
        inbox.finish(claim, Ending.DONE, reason="none")
    assert site.uploads() == {"done": b"not a folder"}


def test_a_file_that_changed_after_the_look_is_not_taken(site: Site) -> None:
    site.put("may.csv", b"rows")
    inbox = site.open()
    (upload,) = inbox.look()
    site.put("may.csv", b"other rows")
    assert inbox.claim(upload) is None
    assert site.everything() == {"may.csv": b"other rows"}
    assert taken(inbox, "may.csv")


def test_a_file_that_is_gone_is_not_taken(site: Site) -> None:
    site.put("may.csv", b"rows")
    inbox = site.open()
    (upload,) = inbox.look()
    inbox.finish(taken(inbox, "may.csv"), Ending.DONE)
    assert inbox.claim(upload) is None
    assert site.everything() == {"done/may.csv": b"rows"}


def write_on(site: Site, name: str, more: bytes) -> None:
    """Write to the end of a file as whoever had opened it before it was claimed; in S3 it is put there again."""
    if site.kind == "s3":
        site.put(name, site.everything()[name] + more)
        return
    (path,) = (path for path in site.root.rglob(name) if path.is_file())
    with path.open("ab") as file:
        file.write(more)


def test_a_file_that_is_written_to_before_it_is_copied_is_not_read(site: Site, tmp_path: Path) -> None:
    site.put("may.csv", b"rows")
    inbox = site.open()
    claim = taken(inbox, "may.csv")
    write_on(site, "may.csv", b", more rows")
    with pytest.raises(Changed):
        inbox.fetch(claim, tmp_path / "copy.csv")
    inbox.give_back(claim)
    inbox.fetch(taken(inbox, "may.csv"), tmp_path / "copy.csv")
    assert (tmp_path / "copy.csv").read_bytes() == b"rows, more rows"


def test_a_file_that_is_written_to_after_it_was_copied_does_not_end(site: Site, tmp_path: Path) -> None:
    """Broken once: what came after a pause that was longer than the night waits was put away, and never sent."""
    site.put("may.csv", b"rows")
    inbox = site.open()
    claim = taken(inbox, "may.csv")
    inbox.fetch(claim, tmp_path / "copy.csv")
    write_on(site, "may.csv", b", more rows")
    if site.kind == "s3":  # where it was put there whole, so it is a new one, and was never claimed
        inbox.finish(claim, Ending.DONE)
    else:
        with pytest.raises(Changed):
            inbox.finish(claim, Ending.FAILED, reason="none")
        assert [name for name in site.everything() if name.startswith("failed")] == []
        inbox.give_back(claim)
    assert site.uploads()["may.csv"] == b"rows, more rows"
    assert taken(inbox, "may.csv")


def test_nothing_is_ever_overwritten_where_files_end(site: Site) -> None:
    for number in range(3):
        site.put("may.csv", b"rows %d" % number)
        inbox = site.open()
        inbox.finish(taken(inbox, "may.csv"), Ending.FAILED, reason=f"bad {number}")
    assert site.everything() == {
        "failed/may.csv": b"rows 0",
        "failed/may.csv.reason.txt": b"bad 0\n",
        "failed/may-2.csv": b"rows 1",
        "failed/may-2.csv.reason.txt": b"bad 1\n",
        "failed/may-3.csv": b"rows 2",
        "failed/may-3.csv.reason.txt": b"bad 2\n",
    }


def test_a_new_upload_of_the_same_name_does_not_disturb_and_is_not_lost(site: Site) -> None:
    site.put("may.csv", b"rows")
    inbox = site.open()
    claim = taken(inbox, "may.csv")
    site.put("may.csv", b"new rows")
    inbox.finish(claim, Ending.DONE)
    assert site.uploads()["may.csv"] == b"new rows"
    inbox.finish(taken(inbox, "may.csv"), Ending.DONE)
    assert b"new rows" in site.everything().values()
    assert not [name for name in site.everything() if name.startswith("claimed/")]


def test_a_file_that_is_given_back_beside_a_new_one_replaces_nothing(site: Site) -> None:
    site.put("may.csv", b"rows")
    inbox = site.open()
    claim = taken(inbox, "may.csv")
    site.put("may.csv", b"new rows")
    inbox.give_back(claim)
    assert site.everything()["may.csv"] == b"new rows"
    if site.kind != "s3":  # where a claimed file stays in its place, the new one has replaced it
        assert site.everything()["may-2.csv"] == b"rows"


# -- claims of the dead -----------------------------------------------------------------------------------------------


def test_the_claim_of_a_process_that_died_here_is_brought_back_at_once(site: Site) -> None:
    site.put("may.csv", b"rows")
    taken(site.open(), "may.csv")
    die()
    inbox = site.open()
    assert inbox.look() == []
    assert list(inbox.recover()) == ["may.csv"]
    assert site.everything() == {"may.csv": b"rows"}
    assert taken(inbox, "may.csv")


def test_the_claim_of_another_machine_is_left_alone_for_a_week(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.put("may.csv", b"rows")
    with monkeypatch.context() as there:
        there.setattr(claims, "this_host", lambda: "other.4026531836")
        claim = taken(site.open(), "may.csv")
    die()
    inbox = site.open()
    site.now_ns += DEAD_AFTER_NS - 10**9
    site.grow_older(2 * DEAD_AFTER_NS)
    assert inbox.recover() == {}
    (held,) = inbox.held()
    assert (held.name, held.holder.host) == ("may.csv", "other.4026531836")
    assert held.holder == claim.holder
    assert held.holder.told.startswith("process ")
    assert held.holder.told.endswith(" on other.4026531836 since 2027-01-15 08:00 UTC")
    site.now_ns += 10**9
    assert inbox.held() == []
    assert list(inbox.recover()) == ["may.csv"]


def test_a_holder_that_wakes_up_too_late_moves_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site.put("may.csv", b"rows")
    sleeper, other = site.open(), site.open()
    with monkeypatch.context() as there:
        there.setattr(claims, "this_host", lambda: "sleeper.1")
        claim = taken(sleeper, "may.csv")
    site.now_ns += DEAD_AFTER_NS
    site.grow_older(DEAD_AFTER_NS)
    other.recover()
    theirs = taken(other, "may.csv")
    with pytest.raises(NotThere):
        sleeper.finish(claim, Ending.DONE)
    sleeper.give_back(claim)
    assert other.look() == []
    other.finish(theirs, Ending.DONE)
    assert site.everything() == {"done/may.csv": b"rows"}


@pytest.mark.parametrize("host", ["other.4026531836", claims.this_host()])
def test_the_claim_of_a_night_whose_lock_is_free_is_brought_back_at_once(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str
) -> None:
    site.put("may.csv", b"rows")
    theirs, ours = NightLocks(tmp_path / "reports"), NightLocks(tmp_path / "reports")
    with monkeypatch.context() as there:
        there.setattr(claims, "this_host", lambda: host)
        there.setattr(os, "getpid", os.getppid)  # a process that lives
        with theirs.held(site.open().shown):
            claim = taken(site.open(theirs), "may.csv")
            inbox = site.open(ours)
            site.now_ns += 10 * DEAD_AFTER_NS
            assert inbox.recover() == {}
            there.setattr(claims, "OURS", set())
            (held,) = inbox.held()
            assert held.holder == claim.holder
            claims.OURS.add(claim.holder.nonce)  # what it leaves behind
    assert len(list((tmp_path / "reports").iterdir())) == 1
    assert inbox.held() == []
    assert list(inbox.recover()) == ["may.csv"]
    assert site.everything() == {"may.csv": b"rows"}
    assert list((tmp_path / "reports").iterdir()) == []


def test_a_claim_that_could_not_be_given_back_is_not_forgotten(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site.put("may.csv", b"rows")
    night = NightLocks(tmp_path / "reports")
    with night.held(site.open().shown):
        inbox = site.open(night)
        claim = taken(inbox, "may.csv")
        with monkeypatch.context() as refused:
            refuse(refused, inbox, "move" if site.kind != "s3" else "remove")
            with pytest.raises(StorageFailed):
                inbox.give_back(claim)
    monkeypatch.setattr(claims, "this_host", lambda: "next-pod.1")
    assert list(site.open(NightLocks(tmp_path / "reports")).recover()) == ["may.csv"]
    assert list((tmp_path / "reports").iterdir()) == []


@pytest.mark.parametrize(
    ("theirs_s", "ours_s"),
    [(946_684_800, 1_800_000_000), (1_800_000_000, 1_800_700_000)],
    ids=["theirs begins in 2000", "ours is eight days ahead"],
)
def test_a_clock_that_is_wrong_makes_no_claim_old(
    site: Site, monkeypatch: pytest.MonkeyPatch, theirs_s: int, ours_s: int
) -> None:
    site.put("may.csv", b"rows")
    with monkeypatch.context() as there:
        there.setattr(claims, "this_host", lambda: "other.4026531836")
        site.now_ns = theirs_s * 10**9
        taken(site.open(), "may.csv")
    die()
    site.now_ns = ours_s * 10**9
    inbox = site.open()
    assert inbox.recover() == {}
    (held,) = inbox.held()
    assert held.age_ns < 3600 * 10**9
    site.grow_older(3 * 86_400 * 10**9)
    (held,) = inbox.held()
    assert held.age_ns >= 3 * 86_400 * 10**9
    site.grow_older(DEAD_AFTER_NS)
    assert list(inbox.recover()) == ["may.csv"]
    assert [name for name in site.everything() if name.startswith("claimed/")] == []


def test_an_inbox_that_is_a_file_is_told_whatever_is_done_first(site: Site) -> None:
    """Broken once: it was said of a folder in it that this is a file."""
    site.put("may.csv", b"rows")
    lost = Site(site.kind, f"{site.address}/may.csv", site.put, site.everything)
    if site.kind == "s3":  # where a name may be both
        assert lost.open().look() == []
        return
    for asked in (Inbox.look, Inbox.recover) if site.kind == "folder" else (Inbox.look,):
        with pytest.raises(StorageFailed, match="^it is a file; give a folder$" if site.kind == "folder" else "folder"):
            getattr(lost.open(), asked.__name__)()


def test_an_inbox_that_is_not_there_is_told(site: Site) -> None:
    lost = Site(site.kind, f"{site.address}-gone", site.put, site.everything)
    if site.kind == "s3":  # a folder without files does not exist in S3
        lost.address = "s3://nobodys-bucket/inbox"
    with pytest.raises(StorageFailed):
        lost.open().look()


# -- races ------------------------------------------------------------------------------------------------------------

NAMES = [f"{number}-may.csv" for number in range(5)]


def test_of_many_threads_each_file_is_taken_by_one(site: Site) -> None:
    for name in NAMES:
        site.put(name, name.encode())
    found: list[Claim] = []
    uploads = site.open().look()
    together = threading.Barrier(4)

    def take_all() -> None:
        inbox = site.open()
        together.wait()
        found.extend(claim for upload in uploads if (claim := inbox.claim(upload)))

    threads = [threading.Thread(target=take_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claim.upload.name for claim in found) == NAMES
    assert len(site.everything()) == len(NAMES) * (2 if site.kind == "s3" else 1)


def test_of_two_that_recover_at_once_one_brings_each_file_back(site: Site) -> None:
    for name in NAMES:
        site.put(name, name.encode())
        taken(site.open(), name)
    die()
    found: list[str] = []
    together = threading.Barrier(2)

    def recover() -> None:
        inbox = site.open()
        together.wait()
        found.extend(inbox.recover())

    threads = [threading.Thread(target=recover) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == NAMES
    assert site.everything() == {name: name.encode() for name in NAMES}


NIGHTLY = """
import sys
from batch.nightly.choice import Ending
from batch.nightly.places import open_inbox
inbox = open_inbox(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
inbox.recover()
for upload in sorted(inbox.look(), key=lambda upload: upload.name):
    claim = inbox.claim(upload)
    if claim:
        print(inbox.finish(claim, Ending.DONE), flush=True)
"""


def test_of_two_processes_each_file_is_taken_by_one(site: Site) -> None:
    for name in NAMES:
        site.put(name, name.encode())
    line = [sys.executable, "-c", NIGHTLY, site.address]
    nights = [subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for night in nights:
        assert night.stdout is not None
        assert night.stdout.readline() == "ready\n"
    for night in nights:
        assert night.stdin is not None
        night.stdin.write("\n")
        night.stdin.flush()
    said = [night.communicate()[0].split() for night in nights]
    assert [night.returncode for night in nights] == [0, 0]
    assert sorted(said[0] + said[1]) == [f"done/{name}" for name in NAMES]
    assert site.everything() == {f"done/{name}": name.encode() for name in NAMES}


# -- death between any two steps --------------------------------------------------------------------------------------


class Mortal:
    """Passes calls on, and dies before or after the n-th that may change something."""

    def __init__(self, real: object, changing: frozenset[str], left: list[int], *, after: bool) -> None:
        self._real, self._changing, self._left, self._after = real, changing, left, after

    def __getattr__(self, name: str) -> object:
        found = getattr(self._real, name)
        if name not in self._changing:
            return found

        def call(*arguments: object, **named: object) -> object:
            self._left[0] -= 1
            if self._left[0] == 0 and not self._after:
                raise Died
            result = found(*arguments, **named)
            if self._left[0] == 0:
                raise Died
            return result

        return call


MOVING = frozenset({"take", "move", "remove_folder", "remove_files", "put", "make_file", "make_folder"})
S3 = frozenset({"put_object", "copy_object", "delete_object"})


def mortal(site: Site, monkeypatch: pytest.MonkeyPatch, left: list[int], *, after: bool) -> Inbox:
    """Open an inbox whose process dies at its n-th change; a fresh list of none left lives for ever."""
    inbox = site.open()
    if site.kind != "s3":
        monkeypatch.setattr(inbox, "_files", Mortal(inbox._files, MOVING, left, after=after))  # type: ignore[attr-defined]
        return inbox
    from batch.storage import s3  # noqa: PLC0415 - patched below

    real = s3.s3_client

    @contextlib.contextmanager
    def client() -> Iterator[object]:
        with real() as found:
            yield Mortal(found, S3, left, after=after)

    monkeypatch.setattr(s3, "s3_client", client)
    return inbox


def night(inbox: Inbox) -> None:
    """What a night does with its files."""
    inbox.recover()
    for upload in inbox.look():
        claim = inbox.claim(upload)
        if claim:
            inbox.finish(claim, Ending.FAILED, reason="bad")


@pytest.mark.parametrize("after", [False, True])
def test_a_death_between_any_two_steps_loses_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    left = [0]
    site.put("may.csv", b"rows")
    with monkeypatch.context() as counted:
        night(mortal(site, counted, left, after=after))
    steps = -left[0]
    assert steps >= 4
    for step in range(1, steps + 1):
        for name in site.everything():
            assert name.startswith("failed/may"), name
        site.put("may.csv", b"rows %d" % step)
        with monkeypatch.context() as dying, pytest.raises(Died):
            night(mortal(site, dying, [step], after=after))
        die()
        assert b"rows %d" % step in site.everything().values()
        with monkeypatch.context() as dying, contextlib.suppress(Died):  # and once more, while it is mended
            night(mortal(site, dying, [1], after=after))
        die()
        night(site.open())
        assert b"rows %d" % step in site.everything().values()
        assert not [name for name in site.everything() if not name.startswith("failed/")]
