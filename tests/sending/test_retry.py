from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batch.sending.retry import InDoubt, RetryRules
from tests.sending.fakes import BUSY, LOST, open_requests, too_many

RULES = RetryRules(attempts=3, base_s=0.5, max_s=60, in_doubt=InDoubt.RESEND)
REQUEST = open_requests(1)[0].request


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_waiting_doubles_up_to_the_maximum_and_half_of_it_is_kept(failures: int, random: float) -> None:
    full_s = min(60, 0.5 * 2 ** min(failures - 1, 60))
    assert full_s / 2 * 1e9 - 1 <= RULES.backoff_ns(failures, random) <= full_s * 1e9


def test_the_last_attempt_is_not_followed_by_another() -> None:
    assert RULES.may_try_again(REQUEST, BUSY, 2, in_doubt=False)
    assert not RULES.may_try_again(REQUEST, BUSY, 3, in_doubt=False)


def test_what_uses_up_no_attempt_may_always_come_again() -> None:
    assert RULES.may_try_again(REQUEST, too_many(None), 3, in_doubt=False)


def test_a_plain_enroll_in_doubt_is_resent_unless_it_is_to_be_left() -> None:
    assert RULES.may_try_again(REQUEST, LOST, 1, in_doubt=True)
    leave = RetryRules(3, 0.5, 60, InDoubt.LEAVE)
    assert not leave.may_try_again(REQUEST, LOST, 1, in_doubt=True)
