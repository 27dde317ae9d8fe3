"""Files that are not what they were when a night claimed them, and claims whose age a wrong clock would lie about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from batch.nightly import claims
from batch.nightly.places import open_inbox
from batch.run import nightly
from batch.run.putting_away import PuttingAway
from tests.commands.conftest import Desk, Factory, customers
from tests.nightly.inbox.test_contract import write_on
from tests.nightly.nights.conftest import (
    a_night,
    access_refused,
    dying,
    lying_at,
    lying_in,
    put,
    runs,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.conftest import RunningSandbox
    from tests.nightly.inbox.conftest import Site

FINISHING = "batch.run.putting_away.PuttingAway._finish"


def sent(api: RunningSandbox) -> list[int]:
    """Return the customers who were called, in order, once each."""
    return list(dict.fromkeys(call.customer for call in api.journal()))


def meanwhile(monkeypatch: pytest.MonkeyPatch, where: str, happens: Callable[[], object]) -> None:
    """Let something happen once, just before a night does a step."""
    of = PuttingAway if hasattr(PuttingAway, where) else nightly.Night
    real, left = getattr(of, where), [happens]

    def step(*args: object) -> object:
        if left:
            left.pop()()
        return real(*args)

    monkeypatch.setattr(of, where, step)


# -- other content under the name of a dead claim ----------------------------------------------------------------------


def test_a_new_upload_under_the_name_of_a_dead_claim_is_sent(desk: Desk, sandbox: Factory, site: Site) -> None:
    """Broken once: in S3 it was taken for what the dead night had sent, and nobody in it was ever called."""
    api = sandbox(preload=False)
    site.put("may.csv", customers([1, 2]).encode())
    with dying(FINISHING):
        a_night(desk, api, site.address)
    site.put("may.csv", customers([11, 12]).encode())
    said = a_night(desk, api, site.address)
    assert said.code == 0, said
    assert sent(api) == [1, 2, 11, 12]
    assert api.calls["enroll"] == 4
    bodies = {customers([11, 12]).encode()} | ({customers([1, 2]).encode()} if site.kind != "s3" else set())
    assert {site.everything()[name] for name in lying_at(site)} == bodies
    assert a_night(desk, api, site.address).err == "nothing to do\n"


def test_a_new_upload_under_the_name_of_a_dead_claim_does_not_wait_for_the_run_of_the_old_one(
    desk: Desk, sandbox: Factory, site: Site
) -> None:
    api = sandbox(preload=False)
    site.put("may.csv", customers([1, 2, 3]).encode())
    with dying(FINISHING):
        a_night(desk, api, site.address, guard={"canary": 1})
    site.put("may.csv", customers([11, 12]).encode())
    said = a_night(desk, api, site.address)
    assert said.code == 9, said  # the old one waits for a person, as before
    assert sent(api) == [1, 11, 12]
    (old,) = (run for run in runs() if customers([1, 2, 3]) in {path.read_text() for path in run.glob("input/*")})
    assert desk("resume", old, "--yes").code == 0
    assert sent(api) == [1, 11, 12, 2, 3]
    assert a_night(desk, api, site.address).code == 0
    assert {name.partition("/")[0] for name in lying_at(site)} == {"done"}


def test_what_replaces_a_file_of_which_nothing_was_sent_replaces_it(desk: Desk, sandbox: Factory, site: Site) -> None:
    api = sandbox(preload=False)
    site.put("may.csv", customers([1, 2]).encode())
    with dying("batch.run.planning._plan"):
        a_night(desk, api, site.address)
    site.put("may.csv", customers([11, 12]).encode())
    assert a_night(desk, api, site.address).code == 0
    assert set(sent(api)) == ({11, 12} if site.kind == "s3" else {1, 2, 11, 12})
    assert len(runs()) == (1 if site.kind == "s3" else 2)


def test_the_file_of_a_dead_claim_that_nobody_has_touched_is_that_of_its_run(
    desk: Desk, sandbox: Factory, site: Site
) -> None:
    api = sandbox(preload=False)
    site.put("may.csv", customers([1, 2]).encode())
    with dying(FINISHING):
        a_night(desk, api, site.address)
    said = a_night(desk, api, site.address)
    assert (said.code, lying_at(site)) == (0, {"done/may.csv"}), said
    assert "Finished: 2 requests, all done." in said.err
    assert api.calls["enroll"] == 2
    assert len(runs()) == 1


# -- files that go on being written ------------------------------------------------------------------------------------


def test_what_is_written_to_a_file_while_it_is_sent_is_told_and_sent_by_the_next_night(
    desk: Desk, sandbox: Factory, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken once: a stalled upload went on after its file was claimed; its tail was put away with it, and not sent."""
    api = sandbox(preload=False)
    site.put("may.csv", customers([1, 2]).encode())
    with monkeypatch.context() as patched:
        meanwhile(patched, "_finish", lambda: write_on(site, "may.csv", b"3\n4\n"))
        said = a_night(desk, api, site.address)
    assert "may.csv: Finished: 2 requests, all done." in said.err
    if site.kind == "s3":  # where it is another upload
        assert said.code == 0
    else:
        assert said.code == 7
        assert (
            "may.csv: it was written to after it was taken, so there may be more in it than was read; it stays in the "
            "inbox for the next night\n"
        ) in said.err
        assert lying_at(site) == {"may.csv"}
    said = a_night(desk, api, site.address)
    assert said.code == 0, said
    assert sent(api) == [1, 2, 3, 4]
    assert site.everything()[max(name for name in lying_at(site))] == customers([1, 2, 3, 4]).encode()
    assert "may.csv" not in lying_at(site)


def test_a_stopped_run_goes_on_also_where_its_file_went_on_being_written(
    desk: Desk, sandbox: Factory, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1, 2)
    with monkeypatch.context() as patched, access_refused():
        meanwhile(patched, "_finish", lambda: write_on_here(inbox, "3\n"))
        assert a_night(desk, api, inbox).code == 10
    assert lying_in(inbox) == ["may.csv"]
    said = a_night(desk, api, inbox)
    assert (said.code, lying_in(inbox)) == (0, ["done/may.csv"]), said
    assert sent(api) == [1, 2, 3]
    assert a_night(desk, api, inbox).err == "nothing to do\n"


def write_on_here(inbox: Path, more: str) -> None:
    """Write to the end of the one file of an inbox, wherever it is by now."""
    (path,) = (path for path in inbox.rglob("*.csv"))
    with path.open("a") as file:
        file.write(more)


def test_the_half_of_a_file_is_not_refused(
    desk: Desk, sandbox: Factory, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = sandbox(preload=False)
    (inbox / "may.csv").write_text("custo")
    with monkeypatch.context() as patched:
        meanwhile(patched, "_finish", lambda: write_on_here(inbox, "mer_id\n1\n"))
        said = a_night(desk, api, inbox)
    assert (said.code, lying_in(inbox)) == (7, ["may.csv"]), said
    assert "custo" not in said.err
    assert (a_night(desk, api, inbox).code, lying_in(inbox), sent(api)) == (0, ["done/may.csv"], [1])


def test_a_file_that_is_written_to_before_it_is_read_waits(
    desk: Desk, sandbox: Factory, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = sandbox(preload=False)
    site.put("may.csv", customers([1, 2]).encode())
    site.put("zz-june.csv", customers([5]).encode())
    with monkeypatch.context() as patched:
        meanwhile(patched, "_run", lambda: write_on(site, "may.csv", b"3\n"))
        said = a_night(desk, api, site.address)
    assert said.code == 0, said
    assert "may.csv: it was written to after it was taken; stays in the inbox for the next night\n" in said.err
    assert (lying_at(site), sent(api), len(runs())) == ({"may.csv", "done/zz-june.csv"}, [5], 1)
    assert a_night(desk, api, site.address).code == 0
    assert sent(api) == [5, 1, 2, 3]


def test_what_was_written_to_the_file_of_a_dead_night_is_sent(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1, 2)
    with dying(FINISHING):
        a_night(desk, api, inbox)
    write_on_here(inbox, "3\n")
    assert (a_night(desk, api, inbox).code, lying_in(inbox), sent(api)) == (0, ["done/may.csv"], [1, 2, 3])


# -- files that cannot be had ------------------------------------------------------------------------------------------


def test_a_file_that_is_replaced_before_its_turn_is_told(
    desk: Desk, sandbox: Factory, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken once: the night did not say a word of it."""
    api = sandbox(preload=False)
    site.put("1-may.csv", customers([1]).encode())
    site.put("2-june.csv", customers([2]).encode())
    with monkeypatch.context() as patched:
        meanwhile(patched, "_finish", lambda: site.put("2-june.csv", customers([2, 3]).encode()))
        said = a_night(desk, api, site.address)
    assert said.code == 0, said
    assert "2-june.csv: has changed since it was looked at; stays in the inbox for the next night\n" in said.err
    assert a_night(desk, api, site.address).code == 0
    assert sent(api) == [1, 2, 3]


def test_a_file_that_is_gone_before_its_turn_is_told(
    desk: Desk, sandbox: Factory, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(inbox, "1-may.csv", 1)
    put(inbox, "2-june.csv", 2)
    meanwhile(monkeypatch, "_finish", (inbox / "2-june.csv").unlink)
    said = a_night(desk, sandbox(preload=False), inbox)
    assert said.code == 0
    assert "2-june.csv: another night has taken it, or it was taken away; it is not begun here\n" in said.err


def test_an_inbox_that_is_a_file_is_told(desk: Desk) -> None:
    """Broken once: it was said of a folder in it that this is a file."""
    (desk.folder / "inbox").write_text("no folder")
    said = a_night(desk, "sandbox", desk.folder / "inbox")
    assert said.code == 1
    assert "the inbox: it is a file; give a folder\n" in said.err


# -- clocks ------------------------------------------------------------------------------------------------------------


def test_what_a_machine_holds_whose_clock_is_years_behind_is_not_taken_from_it(
    desk: Desk, sandbox: Factory, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken once: what it was sending was sent by another machine in the same moment."""
    api = sandbox(preload=False)
    site.put("may.csv", customers([1]).encode())
    with monkeypatch.context() as there:
        there.setattr(claims, "this_host", lambda: "other.4026531836")
        theirs = open_inbox(site.address, lambda: 946_684_800 * 10**9)
        (upload,) = theirs.look()
        assert theirs.claim(upload)
    claims.OURS.clear()
    said = a_night(desk, api, site.address)
    assert (said.code, sent(api)) == (0, [])
    assert " on other.4026531836 since 2000-01-01 00:00 UTC\n" in said.err
    site.grow_older(2 * 86_400 * 10**9)
    assert a_night(desk, api, site.address).code == 8
    site.grow_older(claims.DEAD_AFTER_NS)
    assert (a_night(desk, api, site.address).code, sent(api)) == (0, [1])
