"""Who holds a claim, and when that holder is dead."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.errors import ConfigError
from batch.nightly import claims
from batch.nightly.claims import DEAD_AFTER_NS, Claims, Holder, let_go, read_holder, this_host
from batch.nightly.places import open_inbox
from batch.storage.failures import NotThere

if TYPE_CHECKING:
    from collections.abc import Collection

NOW = 1_800_000_000 * 10**9


@given(
    st.from_regex(r"[A-Za-z0-9.-]{1,64}", fullmatch=True),
    st.integers(1, 2**22),
    st.from_regex(r"[0-9a-f]{8}(-[1-9][0-9]{0,5})?", fullmatch=True),
    st.integers(0, 4_000_000_000),
)
def test_a_holder_is_read_back_from_its_text(host: str, process: int, nonce: str, since_s: int) -> None:
    holder = Holder(host, process, nonce, since_s * 10**9)
    assert read_holder(str(holder)) == holder
    assert len(str(holder)) < 120
    assert "/" not in str(holder)


def test_a_claim_of_an_older_version_is_read_too() -> None:
    holder = read_holder("20261122T213000Z_17_0a1b2c3d_server.4026531836")
    assert holder == Holder("server.4026531836", 17, "0a1b2c3d", 1_795_383_000 * 10**9)
    assert holder.token == ""


@pytest.mark.parametrize("text", ["", "may.csv", "20261399T000000Z_1_00000000_host", "20261122T000000Z_1_xyz_host"])
def test_what_names_no_holder_is_none(text: str) -> None:
    assert read_holder(text) is None


def test_our_own_claim_lives_until_it_is_let_go() -> None:
    holder = Claims(lambda: NOW).new()
    assert not holder.is_dead(10 * DEAD_AFTER_NS)
    let_go(holder)
    assert holder.is_dead(0)


def test_a_claim_of_this_machine_lives_as_long_as_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "up_ns", lambda _: 20 * DEAD_AFTER_NS)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        holder = Holder(this_host(), process.pid, "00000000", NOW)
        assert not holder.is_dead(10 * DEAD_AFTER_NS)
        process.communicate(b"\n")
    assert holder.is_dead(0)


def test_a_claim_that_is_older_than_the_boot_is_dead_whoever_has_its_number_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claims, "up_ns", lambda _: 3600 * 10**9)
    living = os.getppid()
    assert Holder(this_host(), living, "00000000", NOW).is_dead(3601 * 10**9)
    assert not Holder(this_host(), living, "00000000", NOW).is_dead(3600 * 10**9)
    assert not Holder("elsewhere", living, "00000000", NOW).is_dead(3601 * 10**9)


def test_where_a_machine_does_not_say_when_it_was_started_only_the_process_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not Holder(this_host(), os.getppid(), "00000000", 0).is_dead(10 * DEAD_AFTER_NS)


def test_this_machine_was_started_in_the_past() -> None:
    assert 0 < claims.up_ns(NOW) < time.time_ns()


class Known:
    """Nights of which this is known."""

    token = "0123abcd"

    def __init__(self, **over: bool) -> None:
        self._over = over
        self.forgotten: list[str] = []

    def is_over(self, token: str) -> bool | None:
        return self._over.get(token)

    def ended(self, inbox: str) -> list[str]:
        return [token for token, over in self._over.items() if over]

    def forget(self, tokens: Collection[str]) -> None:
        self.forgotten += tokens


@pytest.mark.parametrize("host", ["elsewhere", this_host()], ids=["elsewhere", "here"])
@pytest.mark.parametrize("process", [os.getpid(), os.getppid(), 2**22], ids=["ours", "our parent", "nobody"])
def test_a_lock_that_can_be_asked_decides_whatever_host_and_process_are(host: str, process: int) -> None:
    ours = Claims(lambda: NOW + 10 * DEAD_AFTER_NS, Known(aaaaaaaa=True, bbbbbbbb=False))
    assert ours.is_dead(Holder(host, process, "aaaaaaaa-1", NOW + 10 * DEAD_AFTER_NS), 0)
    assert not ours.is_dead(Holder(host, process, "bbbbbbbb-1", NOW), 10 * DEAD_AFTER_NS)


@pytest.mark.parametrize("nonce", ["cccccccc-1", "aaaaaaaa"])
def test_where_no_lock_tells_host_and_process_decide(nonce: str) -> None:
    ours = Claims(lambda: NOW, Known(aaaaaaaa=True))
    assert not ours.is_dead(Holder("elsewhere", 1, nonce, NOW), 0)
    assert ours.is_dead(Holder("elsewhere", 1, nonce, NOW - DEAD_AFTER_NS), DEAD_AFTER_NS)
    assert ours.is_dead(Holder(this_host(), os.getpid(), nonce, NOW), 0)


def test_every_claim_of_a_night_bears_its_token_and_a_number_of_its_own() -> None:
    first, second = (Claims(lambda: NOW, Known()).new() for _ in range(2))
    assert first.token == second.token == Known.token
    assert first.nonce != second.nonce
    assert claims.let_go_of_night(Known.token)
    assert not first.is_ours
    assert not claims.let_go_of_night(Known.token)


def test_nights_are_forgotten_when_their_claims_are_back_and_not_before() -> None:
    known = Known(aaaaaaaa=True, bbbbbbbb=False)
    ours = Claims(lambda: NOW, known)
    with pytest.raises(NotThere), ours.recovering("inbox"):
        raise NotThere("the inbox is gone")
    assert known.forgotten == []
    with ours.recovering("inbox"):
        known._over["cccccccc"] = True  # ended while the claims were looked at
    assert known.forgotten == ["aaaaaaaa"]


def test_a_process_of_our_own_number_that_was_not_we_is_dead() -> None:
    assert Holder(this_host(), os.getpid(), "00000000", NOW).is_dead(0)


def test_of_another_machine_a_claim_dies_of_age() -> None:
    holder = Holder("elsewhere", os.getpid(), "00000000", NOW)
    assert not holder.is_dead(DEAD_AFTER_NS - 1)
    assert holder.is_dead(DEAD_AFTER_NS)
    assert not holder.is_dead(-(10**18))


def test_a_claim_is_only_as_old_as_it_is_by_every_clock() -> None:
    """Broken once: a machine whose clock began in 2000 lost what it was sending to the next one that looked."""
    holder, ours = Holder("elsewhere", 1, "00000000", NOW), Claims(lambda: NOW + 20 * DEAD_AFTER_NS)
    assert not ours.is_dead(holder, DEAD_AFTER_NS - 1)
    assert ours.is_dead(holder, DEAD_AFTER_NS)
    assert ours.age_ns(holder, 3) == 3
    assert ours.age_ns(holder, 30 * DEAD_AFTER_NS) == 20 * DEAD_AFTER_NS


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("https://host/inbox", "inbox: nothing can be moved over https://"),
        ("ftp://host/inbox", "inbox: ftp:// is not encrypted"),
        ("sftp://user:secret@host/inbox", "inbox: the sftp:// address holds a password"),
    ],
)
def test_an_inbox_that_cannot_be_one_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        open_inbox(text)
    assert refused.value.text.startswith(says)
    assert "secret" not in refused.value.text
