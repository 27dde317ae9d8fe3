"""What is said about looks, how much a sample proves, and the file of what was not confirmed."""

from __future__ import annotations

import csv
import math
from collections import Counter
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.capillary.standing import Found, Membership, Standing, verdict_of
from batch.model import Action, EnrollmentRequest, Kind, Outcome, Scope
from batch.report.audit import (
    AUDIT_COLUMNS,
    WORDS,
    NotConfirmed,
    Sampled,
    Told,
    audit_lines,
    doubt_lines,
    lower_bound,
    write_audit,
)

CONFIRMED = (Outcome.ENROLLED, "confirmed_by_api")
REFUTED = (Outcome.SERVER_ERROR, "refuted_by_api")
OTHER_VALUE = (Outcome.IN_DOUBT, "enrolled_value_unknown")
NOT_LISTED = (Outcome.IN_DOUBT, "not_listed")


NOBODY = Sampled(Counter(), 0)
"""Of what was left out, where nothing was."""


def told(*verdicts: tuple[tuple[Outcome, str], int]) -> Told:
    return Counter(dict(verdicts))


@pytest.mark.parametrize(
    ("confirmed", "asked", "bound"),
    [  # computed with scipy.stats.beta.ppf(0.05, confirmed, asked - confirmed + 1)
        (10, 10, 0.7411344),
        (200, 200, 0.9851330),
        (198, 200, 0.9688574),
        (59, 60, 0.9233600),
        (1, 2, 0.0253206),
        (1, 1, 0.05),
        (0, 5, 0.0),
        (5000, 10000, 0.4917265),
    ],
)
def test_the_bound_is_the_exact_one_of_clopper_and_pearson(confirmed: int, asked: int, bound: float) -> None:
    assert lower_bound(confirmed, asked) == pytest.approx(bound, abs=2e-7)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_under_the_bound_so_many_confirmed_are_as_rare_as_one_in_twenty(drawn: tuple[int, int]) -> None:
    """Fails when the tail does not include `confirmed` itself, or the bound is two-sided."""
    confirmed, asked = drawn
    bound = lower_bound(confirmed, asked)
    assert 0 <= bound <= confirmed / asked
    tail = sum(math.comb(asked, k) * bound**k * (1 - bound) ** (asked - k) for k in range(confirmed, asked + 1))
    assert not confirmed or tail == pytest.approx(0.05, abs=1e-9)


def test_a_sample_says_its_share_its_bound_and_what_was_not_confirmed() -> None:
    found = told((CONFIRMED, 190), (OTHER_VALUE, 8), (REFUTED, 1), (NOT_LISTED, 1))
    lines = audit_lines(Sampled(found, 48211), NOBODY, 3)
    text = " ".join(" ".join(lines).split())
    assert "198 of 200 asked about are enrolled, as the API confirms: 99.0 %." in text
    assert "With 95 % confidence that holds for at least 96.8 % of the 48,211" in text
    assert "8 of them with another balance" in text
    assert "1 not enrolled now: unenrolled since, or never applied" in text
    assert "1 not listed by the API, which proves nothing" in text
    assert "3 could not be asked about" in text
    assert "audit.csv" in text
    assert all(len(line) <= 80 for line in lines)


def test_a_sample_of_all_needs_no_bound_and_one_of_none_proves_nothing() -> None:
    assert " ".join(audit_lines(Sampled(told((CONFIRMED, 20)), 20), NOBODY, 0)).endswith("100 %. These are all.")
    assert "nothing is known" in audit_lines(Sampled(told(), 20), NOBODY, 5)[0]


def test_a_nearly_perfect_sample_is_not_rounded_to_a_perfect_one() -> None:
    text = " ".join(audit_lines(Sampled(told((CONFIRMED, 9999), (REFUTED, 1)), 10**6), NOBODY, 0))
    assert "> 99.9 %" in text


def test_what_was_left_out_is_told_apart_with_its_own_share_and_bound() -> None:
    left_out = Sampled(told((CONFIRMED, 45), (REFUTED, 2), (NOT_LISTED, 1)), 1_800)
    lines = audit_lines(Sampled(told((CONFIRMED, 48), (REFUTED, 3)), 51), left_out, 0)
    text = " ".join(" ".join(lines).split())
    assert "48 of 51 enrolled by this run are so, as the API confirms: 94.1 %. These are all." in text
    assert "45 of 48 left out by the cascade are enrolled, as the API confirms: 93.8 %." in text
    assert "With 95 % confidence that holds for at least 84.6 % of the 1,800" in text
    assert "3 not enrolled now: unenrolled since, or never applied" in text
    assert "2 left out, and not enrolled 1 left out, and not listed" not in text, "in the order of the outcomes"
    assert "1 left out, and not listed by the API 2 left out, and not enrolled" in text
    assert "Whoever was left out and is not enrolled was unenrolled since, or never covered." in text
    assert "`enroll-batch rerun RUN --only covered_by_cascade` sends all that was left out." in text
    assert all(len(line) <= 80 for line in lines)


def test_where_all_that_was_left_out_is_confirmed_nothing_is_to_be_done() -> None:
    lines = audit_lines(Sampled(told(), 0), Sampled(told((CONFIRMED, 48)), 48), 0)
    assert " ".join(lines) == (
        "48 of 48 left out by the cascade are enrolled, as the API confirms: 100 %. These are all."
    )


def test_every_verdict_has_its_words() -> None:
    scopes = [Scope(action, kind, None, 1, 2) for action, kind in product(Action, Kind)]
    requests = [
        EnrollmentRequest(scope, 1, "C", reset_streak_status=reset) for scope in scopes for reset in (True, False)
    ]
    standings = [Standing(Membership.ENROLLED), Standing(Membership.NOT_ENROLLED)]
    verdicts = [verdict_of(request, standing) for request in requests for standing in standings]
    given_out = {(verdict.outcome, verdict.reason) for verdict in verdicts}
    unproven = set(Found) - {reason for _, reason in given_out} - {Found.ANOTHER_CUSTOMER, Found.UNREADABLE_ANSWER}
    given_out |= {(Outcome.IN_DOUBT, reason) for reason in unproven} | {(Outcome.INVALID_USER, Found.REFUTED_BY_API)}
    assert given_out == set(WORDS)
    lines = doubt_lines(Counter(dict.fromkeys(WORDS, 1234567)), 2)
    assert all(len(line) <= 80 for line in lines)
    assert sum(line.startswith(" 1,234,567  ") for line in lines) == len(WORDS)
    assert lines[-1].split() == ["2", "in", "doubt:", "the", "API", "could", "not", "be", "asked"]
    each = Sampled(Counter(WORDS.keys()), 99)
    assert "left out" in "".join(audit_lines(NOBODY, each, 0))
    assert "left out" not in "".join(audit_lines(each, NOBODY, 0))


def test_the_file_lists_requests_by_id_and_is_written_also_when_it_lists_none(tmp_path: Path) -> None:
    assert write_audit(tmp_path, []) == 0
    assert (tmp_path / "audit.csv").read_bytes() == b"\xef\xbb\xbf" + ",".join(AUDIT_COLUMNS).encode() + b"\r\n"
    assert (
        write_audit(
            tmp_path, [NotConfirmed("0a1b", Outcome.ENROLLED, "refuted_by_api", 200, None, 1_763_805_600 * 10**9)]
        )
        == 1
    )
    with (tmp_path / "audit.csv").open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row == {
        "request_id": "0a1b",
        "outcome": "enrolled",
        "reason": "refuted_by_api",
        "http_status": "200",
        "error_code": "",
        "asked_at": "2025-11-22T10:00:00.000Z",
    }
