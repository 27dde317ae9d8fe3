"""Where files end, and what lies beside them then, in every kind of inbox: exactly that, and nothing is left over."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from batch.nightly import endings
from batch.nightly.choice import Ending
from batch.nightly.local_files import LocalFiles
from batch.nightly.s3_files import S3Files
from batch.nightly.sftp_files import SftpFiles
from batch.storage.failures import StorageFailed
from tests.nightly.inbox.conftest import Died, Site
from tests.nightly.inbox.test_contract import die, mortal, refuse, taken

FILES = {"folder": LocalFiles, "sftp": SftpFiles, "s3": S3Files}
INNER = ("ledger.sqlite", "ledger.sqlite-wal", "lock", ".report.lock", ".inbox", "input/may.csv")
REPORT = ("report.html", "run.log", "summary.json")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run."""
    return make_run(tmp_path / "run", "")


def make_run(folder: Path, told: str) -> Path:
    (folder / "input").mkdir(parents=True)
    for name in (*INNER, *REPORT):
        (folder / name).write_text(f"{told}{name}")
    return folder


def beside(site: Site, place: str, told: str = "") -> dict[str, bytes]:
    """What the report of a run is, beside its file; in S3 a folder is an object."""
    if site.kind == "folder":
        return {}
    folder = {f"{place}.report/": b""} if site.kind == "s3" else {}
    return folder | {f"{place}.report/{name}": f"{told}{name}".encode() for name in REPORT}


def folders(site: Site) -> list[str]:
    """All folders below the inbox that hold nothing, where a folder can."""
    if site.kind == "s3":
        return []
    root = site.root
    return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir() and not list(path.iterdir())]


def test_a_report_is_put_beside_the_file_where_people_cannot_see_ours(site: Site, run: Path) -> None:
    site.put("may.csv", b"rows")
    inbox = site.open()
    inbox.finish(taken(inbox, "may.csv"), Ending.DONE, report=run)
    assert site.everything() == {"done/may.csv": b"rows"} | beside(site, "done/may.csv")


def test_a_file_that_was_put_aside_follows_its_run_and_replaces_nothing(site: Site) -> None:
    inbox = site.open()
    site.put("unfinished/may.csv", b"rows")
    site.put("done/may.csv", b"earlier rows")
    assert inbox.move_on("unfinished/may.csv", Ending.DONE) == "done/may-2.csv"
    assert inbox.move_on("unfinished/may.csv", Ending.DONE) is None
    assert site.everything() == {"done/may.csv": b"earlier rows", "done/may-2.csv": b"rows"}


def test_what_lay_beside_a_file_does_not_stay_when_it_moves_on(site: Site, run: Path, tmp_path: Path) -> None:
    site.put("may.csv", b"rows")
    inbox = site.open()
    place = inbox.finish(taken(inbox, "may.csv"), Ending.FAILED, reason="no disk", report=make_run(tmp_path / "1", "1"))
    assert place == "failed/may.csv"
    assert inbox.move_on(place, Ending.UNFINISHED, make_run(tmp_path / "2", "2")) == "unfinished/may.csv"
    unfinished = {"unfinished/may.csv": b"rows"} | beside(site, "unfinished/may.csv", "2")
    assert site.everything() == unfinished
    assert inbox.move_on("unfinished/may.csv", Ending.DONE, run) == "done/may.csv"
    assert site.everything() == {"done/may.csv": b"rows"} | beside(site, "done/may.csv")
    assert set(folders(site)) <= {"claimed", "failed", "unfinished"}


def test_a_file_that_moves_on_to_failed_gets_its_reason(site: Site) -> None:
    site.put("unfinished/may.csv", b"rows")
    assert site.open().move_on("unfinished/may.csv", Ending.FAILED, reason="refused") == "failed/may.csv"
    assert site.everything() == {"failed/may.csv": b"rows", "failed/may.csv.reason.txt": b"refused\n"}


def test_a_file_that_ends_as_before_stays_where_it_is_and_its_report_is_renewed(
    site: Site, run: Path, tmp_path: Path
) -> None:
    site.put("may.csv", b"rows")
    inbox = site.open()
    old = make_run(tmp_path / "old", "old ")
    (old / "still-open.csv").write_text("rows that are not open any more")
    place = inbox.finish(taken(inbox, "may.csv"), Ending.UNFINISHED, report=old)
    assert inbox.move_on(place, Ending.UNFINISHED, run) == place == "unfinished/may.csv"
    assert site.everything() == {place: b"rows"} | beside(site, place)
    assert inbox.move_on("unfinished/june.csv", Ending.UNFINISHED, run) is None
    assert site.everything() == {place: b"rows"} | beside(site, place)


def test_a_file_that_ended_without_a_report_gets_one_where_it_stays(site: Site, run: Path) -> None:
    site.put("failed/may.csv", b"rows")
    site.put("failed/may.csv.reason.txt", b"before")
    assert site.open().move_on("failed/may.csv", Ending.FAILED, run, reason="now") == "failed/may.csv"
    now = {"failed/may.csv": b"rows", "failed/may.csv.reason.txt": b"now\n"}
    assert site.everything() == now | beside(site, "failed/may.csv")


def test_what_a_dead_move_has_left_beside_is_removed_by_the_next(site: Site, run: Path) -> None:
    site.put("may.csv", b"rows")
    inbox = site.open()
    place = inbox.finish(taken(inbox, "may.csv"), Ending.UNFINISHED, report=run)
    with pytest.MonkeyPatch.context() as dying:

        def removed(*_: object) -> None:
            raise Died

        dying.setattr(endings, "_remove", removed)
        with pytest.raises(Died):
            inbox.move_on(place, Ending.DONE, run)
    assert inbox.move_on(place, Ending.DONE, run) is None
    assert site.everything() == {"done/may.csv": b"rows"} | beside(site, "done/may.csv")


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [f"{'x' * 246}.csv", f"{'ä' * 120}12345.xlsx", "x" * 255])
def test_a_long_name_can_end_in_every_way(site: Site, run: Path, name: str) -> None:
    bodies = {}
    for number, ending in enumerate([*Ending, *Ending]):
        site.put(name, b"rows %d" % number)
        inbox = site.open()
        place = inbox.finish(taken(inbox, name), ending, reason="bad", report=run)
        bodies[place] = b"rows %d" % number
        bodies[f"{place}.reason.txt"] = b"bad\n"
        bodies |= beside(site, place)
    assert site.everything() == bodies
    assert inbox.move_on(place, Ending.DONE, run)
    assert max(len(part.encode()) for path in site.everything() for part in path.split("/")) <= 255


def test_a_long_name_comes_back_as_it_was(site: Site) -> None:
    name = f"{'x' * 251}.csv"
    site.put(name, b"rows")
    inbox = site.open()
    inbox.give_back(taken(inbox, name))
    taken(inbox, name)
    die()
    assert list(site.open().recover()) == [name]
    assert site.everything() == {name: b"rows"}


@pytest.mark.parametrize("taken_name", ["may.csv", "may.csv.reason.txt", "may.csv.report/notes.txt"])
def test_a_name_is_free_when_nothing_that_would_belong_to_it_lies_there(site: Site, run: Path, taken_name: str) -> None:
    site.put(f"failed/{taken_name}", b"of somebody")
    site.put("may.csv", b"rows")
    inbox = site.open()
    assert inbox.finish(taken(inbox, "may.csv"), Ending.FAILED, reason="bad", report=run) == "failed/may-2.csv"
    ours = {"failed/may-2.csv": b"rows", "failed/may-2.csv.reason.txt": b"bad\n"} | beside(site, "failed/may-2.csv")
    assert site.everything() == {f"failed/{taken_name}": b"of somebody"} | ours


@pytest.mark.parametrize("end", [".reason.txt", ".report"])
def test_an_upload_is_not_put_where_it_would_be_taken_for_what_belongs_to_another(site: Site, end: str) -> None:
    """Broken once: such an upload was removed when the other one moved on."""
    inbox = site.open()
    for name in ("may.csv", f"may.csv{end}"):
        site.put(name, name.encode())
        place = inbox.finish(taken(inbox, name), Ending.UNFINISHED)
    stem, _, suffix = end.rpartition(".")
    assert place == f"unfinished/may.csv{stem}-2.{suffix}"
    assert inbox.move_on("unfinished/may.csv", Ending.DONE) == "done/may.csv"
    assert site.everything() == {"done/may.csv": b"may.csv", place: f"may.csv{end}".encode()}
    assert inbox.move_on(place, Ending.DONE) == place.replace("unfinished", "done")


# -- two machines, and failures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [Ending.DONE, Ending.FAILED])
def test_of_two_that_finish_one_name_neither_gets_the_reports_of_the_other(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: Ending
) -> None:
    """Broken once: who lost a name had put his report into the winner's by then."""
    reason = "bad" if ending is Ending.FAILED or site.kind == "folder" else None
    for number, place in ((1, f"{ending}/may.csv"), (2, f"{ending}/may-2.csv")):
        site.put("may.csv", b"rows %d" % number)
        inbox = site.open()
        claim = taken(inbox, "may.csv")
        with monkeypatch.context() as stale:  # both have looked before one of them began
            stale.setattr(FILES[site.kind], "names", lambda *_: set())
            assert inbox.finish(claim, ending, reason=reason, report=make_run(tmp_path / f"{number}", f"{number}")) == (
                place
            )
    expected = {}
    for number, place in ((1, f"{ending}/may.csv"), (2, f"{ending}/may-2.csv")):
        expected |= {place: b"rows %d" % number} | beside(site, place, f"{number}")
        expected |= {f"{place}.reason.txt": b"bad\n"} if reason else {}
    assert site.everything() == expected


def test_of_many_that_finish_one_name_each_keeps_its_own_reason_and_report(site: Site, tmp_path: Path) -> None:
    claims = []
    for number in range(4):
        name = f"{number}.csv" if site.kind == "s3" else "may.csv"  # where one name can be claimed only once
        site.put(name, b"%d" % number)
        inbox = site.open()
        claims.append((inbox, taken(inbox, name), make_run(tmp_path / f"{number}", f"{number}")))
    together = threading.Barrier(4)

    def finish(number: int) -> None:
        inbox, claim, report = claims[number]
        together.wait()
        inbox.finish(claim, Ending.FAILED, reason=f"{number}", report=report)

    threads = [threading.Thread(target=finish, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = site.everything()
    places = [name for name in found if name.endswith(".csv")]
    assert len(places) == 4
    expected = {}
    for place in places:
        number = found[place].decode()
        expected |= {place: found[place], f"{place}.reason.txt": f"{number}\n".encode()} | beside(site, place, number)
    assert found == expected


@pytest.mark.parametrize("call", ["put", "make_folder", "move"])
def test_what_cannot_be_put_away_leaves_nothing_beside(
    site: Site, run: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    site.put("may.csv", b"rows")
    inbox = site.open()
    claim = taken(inbox, "may.csv")
    with monkeypatch.context() as refused:
        refuse(refused, inbox, call if site.kind != "folder" else "move")
        with pytest.raises(StorageFailed):
            inbox.finish(claim, Ending.FAILED, reason="bad", report=run)
    assert not [name for name in site.everything() if name.startswith("failed/")]
    assert inbox.finish(claim, Ending.FAILED, reason="bad") == "failed/may.csv"
    assert site.everything() == {"failed/may.csv": b"rows", "failed/may.csv.reason.txt": b"bad\n"}


@pytest.mark.parametrize("after", [False, True])
def test_who_dies_between_any_two_steps_leaves_no_file_without_its_reason_and_report(
    site: Site, run: Path, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    def night(left: list[int]) -> None:
        with monkeypatch.context() as dying:
            inbox = mortal(site, dying, left, after=after)
            inbox.recover()
            for upload in inbox.look():
                claim = inbox.claim(upload)
                assert claim is not None
                inbox.finish(claim, Ending.FAILED, reason="bad", report=run)

    def check() -> None:
        found = site.everything()
        for place in (name for name in found if name.startswith("failed/") and name.endswith(".csv")):
            expected = {f"{place}.reason.txt": b"bad\n"} | beside(site, place)
            assert {name: found.get(name) for name in expected} == expected

    left = [0]
    site.put("may.csv", b"rows")
    night(left)
    for step in range(1, 1 - left[0]):
        site.put("may.csv", b"rows %d" % step)
        with pytest.raises(Died):
            night([step])
        die()
        check()
        night([0])
        die()
        check()
        assert b"rows %d" % step in site.everything().values()
        assert not [name for name in site.everything() if not name.startswith("failed/")]
