"""How fast a run was allowed to go, as its events tell it."""

from __future__ import annotations

import math

from batch.model import Event
from batch.report.allowed_rate import Step, allowed_steps, average_per_s, set_rates

LIMITED = {"requests_open": 9, "max_starts": 100, "window_s": 50.0}
FREE = {"requests_open": 9, "max_starts": None, "window_s": None}


def test_an_invocation_tells_the_rate_that_it_was_begun_with() -> None:
    events = [Event(0, "started", "", LIMITED), Event(5, "resumed", "", LIMITED), Event(9, "resumed", "", FREE)]
    assert set_rates(events, 7.0) == (2.0, math.inf)
    assert [(step.since, step.per_s) for step in allowed_steps(events, 7.0)][1:] == [(0, 2.0), (5, 2.0), (9, math.inf)]


def test_the_rate_of_the_config_holds_where_an_invocation_tells_none() -> None:
    assert set_rates([Event(0, "started", "at most 1 per 1 s")], 7.0) == (7.0,)
    assert set_rates([Event(0, "started", "no limit")], None) == ()


def test_the_words_of_a_rate_change_nothing() -> None:
    """Fails when a number is read out of a sentence."""
    events = [Event(0, "started", "", LIMITED), Event(5, "rate", "4.00/s: grown back", {"per_s": 1.5})]
    assert allowed_steps(events, None)[-1] == Step(5, 1.5, 1.5)
    assert average_per_s(allowed_steps(events, None), 0, 10) == 1.75
    assert allowed_steps([events[0], Event(5, "rate", "4.00/s")], None)[-1].per_s == 2.0
