"""What an answer's headers say about the limit of the key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.capillary.codes import judge
from batch.capillary.limits import LONGEST_RESET_S, is_used_up, reset_seconds
from batch.model import Action, EnrollmentRequest, Kind, Outcome, Reply, Scope, Verdict

NOW = 1_700_000_000.0
REQUEST = EnrollmentRequest(Scope(Action.ENROLL, Kind.MILESTONE, None, 1, 2), 7, "c1")
SUCCESS = b'{"data": 7, "errors": null}'


def verdict_on(status: int, body: bytes, **headers: str) -> Verdict:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return judge(REQUEST, Reply(status, body, named), maybe_applied=False, can_renew=False, now_s=NOW)


@pytest.mark.parametrize(
    ("headers", "used_up", "reset_s"),
    [
        ({}, False, None),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "12"}, True, 12.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "0.5"}, True, 0.5),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1700000030"}, True, 30.0),
        ({"x-ratelimit-reset": "1699999990"}, False, 0.0),
        ({"x-ratelimit-reset": "1700000030000"}, False, LONGEST_RESET_S),
        ({"ratelimit": "limit=100, remaining=0, reset=7"}, True, 7.0),
        ({"ratelimit": '"default";r=0;t=7'}, True, 7.0),
        ({"ratelimit": '"default";r=50;t=30'}, False, 30.0),
        ({"ratelimit-remaining": "3", "ratelimit-reset": "3600"}, False, LONGEST_RESET_S),
        ({"ratelimit-remaining": "-1", "ratelimit-reset": "soon"}, False, None),
        ({"ratelimit-remaining": "none", "ratelimit-reset": ""}, False, None),
    ],
)
def test_what_is_left_is_read_in_every_form(headers: dict[str, str], used_up: bool, reset_s: float | None) -> None:
    assert is_used_up(headers) is used_up
    assert reset_seconds(headers, NOW) == reset_s


@given(st.dictionaries(st.sampled_from(["ratelimit", "ratelimit-remaining", "x-ratelimit-reset"]), st.text()))
def test_whatever_the_headers_say_they_are_read_within_bounds(headers: dict[str, str]) -> None:
    is_used_up(headers)
    seconds = reset_seconds(headers, NOW)
    assert seconds is None or 0 <= seconds <= LONGEST_RESET_S


def test_a_429_without_a_retry_after_holds_until_its_limit_resets() -> None:
    assert verdict_on(429, b"", ratelimit_reset="9").hold_s == 9
    assert verdict_on(429, b"", ratelimit_reset="9", retry_after="2").hold_s == 2
    assert verdict_on(429, b"", ratelimit_reset="soon").hold_s is None


def test_the_last_allowed_request_is_a_success_that_tells_so_and_holds_nobody() -> None:
    verdict = verdict_on(200, SUCCESS, ratelimit_remaining="0", ratelimit_reset="30")
    assert (verdict.outcome, verdict.at_limit, verdict.hold_s) == (Outcome.ENROLLED, True, None)
    assert not verdict_on(200, SUCCESS, ratelimit_remaining="1").at_limit
