"""The limit per key: the window by arithmetic, the refusals over the socket."""

from __future__ import annotations

import datetime as dt
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.sandbox.limits import Limit
from batch.sandbox.switches import Switches

SECOND = 1_000_000_000


@given(
    st.lists(st.sampled_from([0, SECOND // 10, SECOND * 3 // 10, SECOND]), min_size=10, max_size=60), st.integers(1, 4)
)
def test_no_window_holds_more_admitted_calls_than_the_limit(gaps, calls):
    """Fails when the window is cut into fixed seconds instead of sliding (tried by rounding now_ns down)."""
    limit = Limit(Switches(limit_per_min=60 * calls, limit_window_s=1))
    now, admitted = 0, []
    for gap in gaps:
        now += gap
        wait_s = limit.wait_s("key", now)
        if wait_s is None:
            admitted.append(now)
        else:
            assert 0 < wait_s <= 1
    for start in admitted:
        assert sum(start <= at < start + SECOND for at in admitted) <= calls


def test_a_short_window_keeps_the_rate():
    limit = Limit(Switches(limit_per_min=3600, limit_window_s=1))
    assert [limit.wait_s("key", 5 * SECOND) for _ in range(60)] == [None] * 60
    assert limit.wait_s("key", 5 * SECOND) == 1.0
    assert limit.wait_s("key", 6 * SECOND) is None


def test_without_a_limit_nothing_is_refused(sandbox, call):
    client = call(sandbox())
    assert {client.enroll(c).status_code for c in range(100, 150)} == {200, 400}


def test_a_key_over_its_limit_gets_429_and_nothing_is_applied(sandbox, call, code):
    api = sandbox(limit_per_min=3)
    client = call(api)
    answers = [client.enroll(c) for c in (1, 2)]
    answers += [client.http.get("/v3/targetGroups/29463/targets"), client.enroll(3)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429]
    assert code(answers[3]) == 429
    assert "Retry-After" not in answers[3].headers
    assert {customer for customer, _ in api.enrolled()} == {1, 2}
    assert len(api.arrivals()) == 3
    assert api.statuses == {200: 3, 429: 1}


def test_each_key_has_its_own_limit(sandbox, call):
    api = sandbox(limit_per_min=1)
    child = call(api, auth=("store.server.50672", api.credentials.password_md5))
    assert [call(api).enroll(1).status_code, child.enroll(1).status_code] == [200, 200]


@pytest.mark.parametrize("form", ["seconds", "http-date", "float", "past", "garbage"])
def test_retry_after_has_the_form_that_is_set(sandbox, call, form):
    now = dt.datetime(2026, 5, 10, 12, tzinfo=dt.UTC)
    client = call(sandbox(limit_per_min=1, retry_after=form, now=now.timestamp))
    client.enroll(1)
    value = client.enroll(2).headers["Retry-After"]
    if form == "seconds":
        assert 0 < int(value) <= 60
    elif form == "float":
        assert "." in value
        assert 0 < float(value) <= 60
    elif form == "garbage":
        assert value == "soon"
    else:
        assert (parsedate_to_datetime(value) > now) is (form == "http-date")


def test_a_503_carries_retry_after_too(sandbox, call):
    client = call(sandbox(error_503="first 1", retry_after="seconds"))
    assert client.enroll(1).headers["Retry-After"] == "1"


@pytest.mark.parametrize(("form", "content"), [("html", "text/html"), ("empty", "application/json")])
def test_the_body_of_a_429_can_be_something_else(sandbox, call, form, content):
    client = call(sandbox(limit_per_min=1, limit_body=form))
    client.enroll(1)
    refused = client.enroll(2)
    assert (refused.status_code, refused.headers["Content-Type"]) == (429, content)
    assert (refused.content == b"") is (form == "empty")


@pytest.mark.parametrize(("form", "prefix"), [("ratelimit", "RateLimit"), ("x-ratelimit", "X-RateLimit")])
def test_what_is_left_can_be_told_in_headers(sandbox, call, form, prefix):
    client = call(sandbox(limit_per_min=2, limit_headers=form))
    told = [client.enroll(c).headers for c in (1, 2, 3)]
    assert [(h[f"{prefix}-Limit"], h[f"{prefix}-Remaining"]) for h in told] == [("2", "1"), ("2", "0"), ("2", "0")]
    assert all(0 < int(h[f"{prefix}-Reset"]) <= 60 for h in told)
