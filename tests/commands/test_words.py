"""What a person is asked and told: the right numbers, in words that fit them, nothing wider than a terminal."""

from __future__ import annotations

import pytest

from batch.commands.words import WIDTH, plan_lines, question, rate_text
from batch.config import Rate
from batch.ledger.planning import PlanTotals
from batch.run.planning import Preview

URL = "https://eu.api.capillarytech.com"
PER_MINUTE = Rate(100, 60_000_000_000)


def found(unique: int, open_count: int, open_unenrolls: int = 0) -> Preview:
    totals = PlanTotals(
        rows_read=unique, rows_blank=0, rows_with_problems=0, rows_planned=unique, duplicates=0, contradicted=0,
        unique=unique,
    )  # fmt: skip
    return Preview(totals, open_count, open_unenrolls, (), (), (), (), ())


def test_a_plan_is_asked_about_as_a_whole() -> None:
    text = question(found(5_000, 5_000), URL, PER_MINUTE)
    assert f"5,000 requests will be sent to {URL}." in text
    assert "50 minutes" in text
    assert text.endswith("Send them?")


def test_a_run_that_goes_on_is_asked_about_what_is_open() -> None:
    assert f"\n700 requests will be sent to {URL}." in question(found(5_000, 700), URL, PER_MINUTE)
    assert "7 minutes" in question(found(5_000, 700), URL, PER_MINUTE)


def test_a_limit_is_asked_about_as_what_it_is() -> None:
    assert f"\n20 requests of 5,000 open ones will be sent to {URL}." in question(found(5_000, 5_000), URL, None, 20)
    assert f"\n3 requests will be sent to {URL}." in question(found(9, 3), URL, None, 20)
    assert "\n1 request of 2 open ones will" in question(found(2, 2), URL, None, 1)


def test_unenrolls_are_counted_and_explained() -> None:
    text = question(found(10, 10, 4), URL, None)
    assert "4 of them UNENROLL a customer" in text
    assert "Rewards due at the end of the current cycle are lost" in " ".join(text.split())
    assert "4 of the open ones UNENROLL" in question(found(10, 10, 4), URL, None, 5)
    assert all(len(line) <= WIDTH for line in text.splitlines())


def test_one_of_a_thing_is_not_many() -> None:
    assert "         1  planned, expanded into 1 request" in plan_lines(found(1, 1), None)


@pytest.mark.parametrize(
    ("rate", "text"),
    [((100, 60), "100/min"), ((20, 1), "20/s"), ((5_000, 3_600), "5,000/h"), ((7, 10), "7/10s"), ((7, 1.5), "7/1.5s")],
)
def test_a_rate_is_said_as_it_is_written(rate: tuple[int, float], text: str) -> None:
    assert rate_text(rate[0], int(rate[1] * 1e9)) == text
