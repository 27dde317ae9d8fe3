"""What a person is asked and told: the right numbers, in words that fit them, nothing wider than a terminal."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from batch.commands.words import WIDTH, nothing_to_rerun, plan_lines, question, rate_text
from batch.config import Rate
from batch.ledger.planning import PlanTotals
from batch.model import Outcome
from batch.run.planning import Preview
from batch.run.problem_kinds import PlanProblem

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


def test_a_sample_is_asked_about_as_what_it_is() -> None:
    """Fails when the whole plan is asked about, of which the sample alone goes out."""
    text = question(found(39_730, 39_730), URL, PER_MINUTE, None, 22)
    assert f"\nA sample of 22 requests of 39,730 open ones will be sent to {URL} first; then the run waits for" in text
    assert "about 13 seconds" in text
    assert text.endswith("Send the sample?")


@pytest.mark.parametrize(("limit", "sample"), [(20, 22), (22, 22), (None, None)])
def test_no_sample_is_asked_about_where_a_limit_comes_first_or_there_is_none(
    limit: int | None, sample: int | None
) -> None:
    text = question(found(5_000, 5_000), URL, PER_MINUTE, limit, sample)
    assert "sample" not in text
    assert text.endswith("Send them?")


def test_problems_are_shown_by_kind_with_the_first_of_each() -> None:
    """Fails when the counts, which add up to more than the rows, are called rows."""
    hint = '"0012" has leading zeros, as other kinds of numbers do; write 12'
    problem = PlanProblem("ambiguous", 612, "row 17", "customer_id", hint)
    lines = plan_lines(replace(found(1, 1), problems=(problem,)), None)
    text = " ".join(" ".join(lines).split())
    assert "Problems by kind (a row can have several; all of them: rejected_rows.csv): 612 ambiguous" in text
    assert '612 ambiguous the first: row 17, customer_id: "0012" has leading zeros' in text
    assert all(len(line) <= WIDTH for line in lines)


@pytest.mark.parametrize("nothing", [replace(found(9, 9), is_refused=True), found(9, 0)])
def test_a_plan_of_which_nothing_is_sent_names_no_rate_and_no_way_to_save_calls(nothing: Preview) -> None:
    text = "\n".join(plan_lines(replace(nothing, later_cycle_count=5), PER_MINUTE))
    assert "Rate" not in text
    assert "needless" not in text
    assert "requests to send" not in text or "0  requests to send" in text


def test_a_rerun_with_nothing_to_send_says_what_the_rest_needs() -> None:
    """Fails when it lists the outcomes that it looked for, and not those that are there."""
    counts = Counter({Outcome.ENROLLED: 5, Outcome.INVALID_USER: 400, Outcome.VALUE_NOT_APPLIED: 530})
    asked = {Outcome.IN_DOUBT, Outcome.NOT_SENT}
    lines = nothing_to_rerun(counts, asked, Path("reports/may/summary.md"))
    assert " ".join(lines) == (
        "Nothing to send again. 930 requests need a correction first (400 invalid user, 530 value not applied): "
        'see "next" in reports/may/summary.md'
    )
    counts = Counter({Outcome.ENROLLED: 5, Outcome.RATE_LIMITED: 1})
    assert "1 request was not asked for (1 rate limited)" in " ".join(nothing_to_rerun(counts, asked, Path("s")))
    assert nothing_to_rerun(Counter({Outcome.ENROLLED: 5}), asked, Path("s")) == ["Nothing to send again."]
    counts = Counter({Outcome.NOT_SENT: 3})
    assert "no row asks for the 3 open requests" in " ".join(nothing_to_rerun(counts, asked, Path("s")))


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
