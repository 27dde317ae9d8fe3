"""Inputs and inboxes on a server of OpenSSH itself, whose answers differ from those of a library that serves SFTP.

A rename that would replace, a folder that is there and a full disk are one and the same failure, without a reason;
times are whole seconds, and folders come in any order.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch.run import nightly
from tests.commands.conftest import Desk, Factory, customers, desk
from tests.machine.openssh import OpenSshServer, make_home, new_key, openssh_server
from tests.nightly.inbox.conftest import Site, own_claims
from tests.nightly.inbox.test_contract import *  # noqa: F403 - what holds for every inbox holds here
from tests.nightly.inbox.test_endings import (
    run,
    test_a_report_is_put_beside_the_file_where_people_cannot_see_ours,
    test_of_many_that_finish_one_name_each_keeps_its_own_reason_and_report,
    test_what_lay_beside_a_file_does_not_stay_when_it_moves_on,
)
from tests.nightly.inbox.test_probing import test_an_inbox_in_which_everything_is_allowed_is_as_it_was

__all__ = [
    "desk",
    "own_claims",
    "run",
    "test_a_report_is_put_beside_the_file_where_people_cannot_see_ours",
    "test_an_inbox_in_which_everything_is_allowed_is_as_it_was",
    "test_of_many_that_finish_one_name_each_keeps_its_own_reason_and_report",
    "test_what_lay_beside_a_file_does_not_stay_when_it_moves_on",
]

# Left out is what is the same on any server, for here each step is a login; two processes are two nights below.
del test_a_death_between_any_two_steps_loses_nothing  # noqa: F821
del test_a_holder_that_wakes_up_too_late_moves_nothing  # noqa: F821
del test_of_two_processes_each_file_is_taken_by_one  # noqa: F821
del test_the_claim_of_another_machine_is_left_alone_for_a_week  # noqa: F821

pytestmark = pytest.mark.machine
ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[OpenSshServer]:
    with openssh_server() as running:
        yield running


@pytest.fixture(autouse=True)
def at_home(server: OpenSshServer, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a user run the tests who knows the server and has a key for it, and who puts only whole files there."""
    home = make_home(tmp_path_factory.mktemp("home"), key=server.key, known=server.known_as(*server.host_keys))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setattr(nightly, "SETTLE_S", 0)


def folder_of(site: Site) -> Path:
    """Return where the inbox lies on this machine."""
    return Path("/" + site.address.split("/", 3)[3])


@pytest.fixture
def site(server: OpenSshServer) -> Site:
    """An empty inbox, in which the server may change everything whoever has put it there."""
    name = f"inbox{next(_numbers)}"
    root = server.root / name

    def put(file: str, body: bytes) -> None:
        for folder in (root / file).relative_to(root).parents:
            (root / folder).mkdir(exist_ok=True, parents=True)
            (root / folder).chmod(0o777)
        (root / file).write_bytes(body)
        (root / file).chmod(0o666)

    def everything() -> dict[str, bytes]:
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    root.mkdir()
    root.chmod(0o777)
    return Site("sftp", f"{server.url}/{name}", put, everything, root)


def without_reports(site: Site) -> list[str]:
    return sorted(name for name in site.everything() if ".report/" not in name)


# -- inputs -----------------------------------------------------------------------------------------------------------


def test_a_file_is_read_sent_and_named_by_its_address(desk: Desk, sandbox: Factory, site: Site) -> None:
    site.put("mai größer.csv", customers([1, 2, 99]).encode())
    address = f"{site.address}/mai%20größer.csv"
    config = desk.config(sandbox(preload=False), campaign=ONE_CYCLE)
    said = desk("run", address, "-c", config, "--yes", "--run-dir", "run")
    assert said.code == 4, said.err
    assert desk.outcomes() == {"enrolled": 2, "invalid_user": 1}
    assert desk.summary()["input"][0]["path"] == address
    assert Path("run/input/mai größer.csv").read_text() == customers([1, 2, 99])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("june.csv", "there is no such file or folder; check the address"),
        ("may.csv/may.csv", "there is no such file or folder; check the address"),
        ("folder", "it is a folder; give a file in it"),
        ("secret.csv", "access to the file is refused; check the rights of the user"),
        ("x" * 300, "its server refuses it (SFTPBadMessage); check the address, and rights and disk there"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_a_line(desk: Desk, site: Site, name: str, says: str) -> None:
    for file in ("may.csv", "secret.csv", "folder/may.csv"):
        site.put(file, b"customer_id\n1\n")
    (folder_of(site) / "secret.csv").chmod(0)
    said = desk("plan", f"{site.address}/{name}", "-c", desk.config("sandbox", auth=None), "--run-dir", "run")
    assert (said.code, said.err) == (3, f"Error: {site.address}/{name}: {says}\n")
    assert not Path("run").exists()


# -- nights -----------------------------------------------------------------------------------------------------------


def test_a_night_puts_each_file_where_it_belongs_with_its_report(desk: Desk, sandbox: Factory, site: Site) -> None:
    api = sandbox(preload=False)
    site.put("done/1-good.csv", b"of an earlier night")
    site.put("1-good.csv", customers([1]).encode())
    site.put("2-bad.csv", b"customer_id\nx\ny\n")
    site.put("3-large.csv", customers(range(10, 50)).encode())
    (folder_of(site) / "link.csv").symlink_to("2-bad.csv")
    config = desk.config(api, campaign=ONE_CYCLE, inbox=site.address, guard={"canary": 5}, input={"max_problems": "5%"})
    said = desk("nightly", "-c", config)
    assert said.code == 9, said
    found = site.everything()
    assert found["done/1-good.csv"] == b"of an earlier night"
    assert found["done/1-good-2.csv"] == customers([1]).encode()
    assert json.loads(found["done/1-good-2.csv.report/summary.json"])["outcomes"]["enrolled"] == 1
    assert found["failed/2-bad.csv.reason.txt"].decode().strip() in said.out + said.err
    assert json.loads(found["unfinished/3-large.csv.report/summary.json"])["outcomes"]["enrolled"] == 5
    kept = ["done/1-good-2.csv", "done/1-good.csv", "failed/2-bad.csv", "failed/2-bad.csv.reason.txt"]
    assert without_reports(site) == [*kept, "unfinished/3-large.csv"]
    (large,) = Path("reports").glob("*-3-large")
    assert desk("resume", large, "--yes").code == 0
    said = desk("nightly", "-c", config)
    assert said.code == 0, said
    assert without_reports(site) == sorted([*kept, "done/3-large.csv"])
    assert json.loads(site.everything()["done/3-large.csv.report/summary.json"])["outcomes"]["enrolled"] == 40
    assert len(api.truth()) == api.calls["enroll"] == 41
    assert (folder_of(site) / "link.csv").is_symlink()


def test_two_nights_at_once_send_everything_once(desk: Desk, sandbox: Factory, site: Site) -> None:
    api = sandbox(preload=False)
    names = [f"{number}-may.csv" for number in range(2)]
    for number, name in enumerate(names):
        site.put(name, customers([10 * number + 1, 10 * number + 2]).encode())
        os.utime(folder_of(site) / name, (10**9, 10**9))
    config = desk.config(api, campaign=ONE_CYCLE, inbox=site.address)
    line = [sys.executable, "-m", "batch", "nightly", "-c", str(config)]
    nights = [subprocess.Popen(line, cwd=desk.folder, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [night.communicate()[0] for night in nights]
    assert [night.returncode for night in nights] == [0, 0], said
    assert without_reports(site) == [f"done/{name}" for name in names]
    assert len(api.truth()) == api.calls["enroll"] == 4


@pytest.mark.parametrize("harm", ["rights", "place"])
def test_an_inbox_in_which_nothing_can_be_made_is_told_and_not_taken_for_empty(
    desk: Desk, site: Site, harm: str
) -> None:
    """Broken once: a folder that could not be made was taken for a file that somebody else had taken."""
    site.put("may.csv", customers([1]).encode())
    if harm == "rights":
        folder_of(site).chmod(0o555)
        says = "may.csv: it cannot be taken: access to the file is refused; check the rights of the user"
    else:
        site.put("claimed", b"a file where a folder belongs")  # as a full disk: a failure without a reason
        says = f"{site.address}: the inbox: `claimed` is a file where the inbox has a folder; rename it or take it away"
    said = desk("nightly", "-c", desk.config("sandbox", auth=None, inbox=site.address))
    assert (said.code, said.out + said.err) == (1, f"{says}\n")
    assert without_reports(site) == sorted({"may.csv"} | ({"claimed"} if harm == "place" else set()))


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("", "ok       inbox: files can go their way in {address}; uploads in it: 1"),
        (".", "wrong    inbox: {address}: a file cannot be put into it: {refused}"),
        ("claimed", "wrong    inbox: {address}: a file cannot be claimed: {refused}"),
        ("unfinished", "wrong    inbox: {address}: a file cannot be moved into `unfinished`: {refused}"),
    ],
)
def test_doctor_says_which_right_is_missing_and_leaves_nothing(desk: Desk, site: Site, harm: str, says: str) -> None:
    for name in ("may.csv", ".hidden.csv", "claimed/x", "done/x", "unfinished/x"):
        site.put(name, b"customer_id\n1\n")
    before = sorted(site.root.rglob("*"))
    if harm:
        (site.root / harm).chmod(0o555)
    said = desk("doctor", "-c", desk.config("sandbox", auth=None, inbox=site.address))
    refused = "access to the file is refused; check the rights of the user"
    assert says.format(address=site.address, refused=refused) in said.out.splitlines()
    assert said.code == (2 if harm else 0)
    assert sorted(site.root.rglob("*")) == before


# -- who may come in --------------------------------------------------------------------------------------------------

UNKNOWN = (
    "the server's host key is not in ~/.ssh/known_hosts, or is another one; make sure that it is the right server,"
    " then connect once with `sftp`"
)
REFUSED = "the login is refused; check the user, and its key in ~/.ssh or the agent"


@pytest.mark.parametrize(
    ("known", "key", "says"),
    [
        ("nobody", "own", UNKNOWN),
        ("another", "own", UNKNOWN),
        ("right", "none", REFUSED),
        ("right", "another", REFUSED),
        ("right", "locked", REFUSED),
    ],
)
def test_a_night_at_a_server_that_is_not_known_or_lets_nobody_in_is_told_in_a_line(
    desk: Desk, server: OpenSshServer, site: Site, known: str, key: str, says: str
) -> None:
    site.put("may.csv", customers([1]).encode())
    hosts = {"nobody": "", "another": server.known_as(new_key()), "right": server.known_as(*server.host_keys)}
    keys = {"own": server.key, "none": None, "another": new_key(), "locked": server.key}
    home = make_home(desk.folder / "home", key=keys[key], known=hosts[known], is_locked=key == "locked")
    desk.monkeypatch.setenv("HOME", str(home))
    config = desk.config("sandbox", auth=None, inbox=site.address)
    said = desk("nightly", "-c", config)
    assert (said.code, said.out + said.err) == (1, f"{site.address}: the inbox: {says}\n")
    said = desk("plan", f"{site.address}/may.csv", "-c", config, "--run-dir", "run")
    assert (said.code, said.err) == (3, f"Error: {site.address}/may.csv: {says}\n")
    assert without_reports(site) == ["may.csv"]


def test_after_one_connection_with_sftp_the_server_is_known(desk: Desk, server: OpenSshServer, site: Site) -> None:
    """What the refusal advises; Debian's own client writes the names of hosts as digests."""
    site.put("may.csv", customers([1]).encode())
    home = make_home(desk.folder / "home", key=server.key)
    options = {
        "UserKnownHostsFile": home / ".ssh/known_hosts",
        "IdentityFile": home / ".ssh/id_ed25519",
        "HashKnownHosts": "yes",
        "StrictHostKeyChecking": "accept-new",
        "BatchMode": "yes",
    }
    told = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    line = ["sftp", "-F", "none", *told, "-b", "-", "-P", str(server.port), f"{server.user}@127.0.0.1"]
    subprocess.run(line, check=True, input=b"pwd\n", capture_output=True)
    assert "127.0.0.1" not in (home / ".ssh/known_hosts").read_text()
    desk.monkeypatch.setenv("HOME", str(home))
    said = desk("plan", f"{site.address}/may.csv", "-c", desk.config("sandbox", auth=None), "--run-dir", "run")
    assert said.code == 0, said.err
