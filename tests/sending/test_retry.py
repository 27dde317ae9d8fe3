from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.model import Action
from batch.sending.retry import InDoubt, RetryRules
from tests.sending.fakes import BUSY, open_requests, too_many

RULES = RetryRules(attempts=3, base_s=0.5, max_s=60, in_doubt=InDoubt.RESEND)
REQUEST = open_requests(1)[0].request


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_waiting_doubles_up_to_the_maximum_and_half_of_it_is_kept(failures: int, random: float) -> None:
    full_s = min(60, 0.5 * 2 ** min(failures - 1, 60))
    assert full_s / 2 * 1e9 - 1 <= RULES.backoff_ns(failures, random) <= full_s * 1e9


def test_the_last_attempt_is_not_followed_by_another() -> None:
    assert not RULES.is_used_up(BUSY, 2)
    assert RULES.is_used_up(BUSY, 3)


def test_what_uses_up_no_attempt_may_always_come_again() -> None:
    assert not RULES.is_used_up(too_many(None), 3)


@pytest.mark.parametrize("setting", list(InDoubt))
def test_a_plain_enroll_in_doubt_goes_by_the_setting_and_nothing_else_is_ever_resent_blindly(setting: InDoubt) -> None:
    rules = RetryRules(3, 0.5, 60, setting)
    assert rules.about_doubt(REQUEST) is setting
    assert rules.about_doubt(replace(REQUEST, initial_balance=0)) is InDoubt.VERIFY
    assert rules.about_doubt(replace(REQUEST, reset_streak_status=True)) is InDoubt.VERIFY
    unenroll = replace(REQUEST, scope=replace(REQUEST.scope, action=Action.UNENROLL))
    assert rules.about_doubt(unenroll) is InDoubt.VERIFY
