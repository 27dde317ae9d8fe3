"""Who holds a claim, and when that holder is dead."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.errors import ConfigError
from batch.nightly.claims import DEAD_AFTER_NS, Holder, let_go, new_holder, read_holder, this_host
from batch.nightly.places import open_inbox

NOW = 1_800_000_000 * 10**9


@given(
    st.from_regex(r"[A-Za-z0-9.-]{1,64}", fullmatch=True),
    st.integers(1, 2**22),
    st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
    st.integers(0, 4_000_000_000),
)
def test_a_holder_is_read_back_from_its_text(host: str, process: int, nonce: str, since_s: int) -> None:
    holder = Holder(host, process, nonce, since_s * 10**9)
    assert read_holder(str(holder)) == holder
    assert len(str(holder)) < 120
    assert "/" not in str(holder)


@pytest.mark.parametrize("text", ["", "may.csv", "20261399T000000Z_1_00000000_host", "20261122T000000Z_1_xyz_host"])
def test_what_names_no_holder_is_none(text: str) -> None:
    assert read_holder(text) is None


def test_our_own_claim_lives_until_it_is_let_go() -> None:
    holder = new_holder(NOW)
    assert not holder.is_dead(NOW + 10 * DEAD_AFTER_NS)
    let_go(holder)
    assert holder.is_dead(NOW)


def test_a_claim_of_this_machine_lives_as_long_as_its_process() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        holder = Holder(this_host(), process.pid, "00000000", NOW)
        assert not holder.is_dead(NOW + 10 * DEAD_AFTER_NS)
        process.communicate(b"\n")
    assert holder.is_dead(NOW)


def test_a_process_of_our_own_number_that_was_not_we_is_dead() -> None:
    assert Holder(this_host(), os.getpid(), "00000000", NOW).is_dead(NOW)


def test_of_another_machine_a_claim_dies_of_age() -> None:
    holder = Holder("elsewhere", os.getpid(), "00000000", NOW)
    assert not holder.is_dead(NOW + DEAD_AFTER_NS - 1)
    assert holder.is_dead(NOW + DEAD_AFTER_NS)
    assert not holder.is_dead(NOW - 10**18)


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
