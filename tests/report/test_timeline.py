from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.model import Activity, Event, Group, Outcome, RunFacts, State
from batch.report.timeline import MOST_STRETCHES, SECOND_NS, Session, Timeline, draw_timeline, find_sessions
from batch.report.words import over_time_text
from tests.report.ledgers import START
from tests.report.test_words import ALL_DONE, accounts_of

RUN = RunFacts(
    "r", "0", State.FINISHED, None, None, "u", "h", "run", "c.yaml", "sandbox", START, START, START, 1
)  # fmt: skip


def at(seconds: float) -> int:
    return START + round(seconds * SECOND_NS)


def event(seconds: float, kind: str, text: str = "", **facts: str | float | None) -> Event:
    return Event(at(seconds), kind, text, facts)


def hold(seconds: float, held_s: float) -> Event:
    return event(seconds, "hold", "as long as its facts say", held_s=held_s, reason="HTTP 429")


def rate(seconds: float, per_s: float) -> Event:
    return event(seconds, "rate", "as fast as its facts say", per_s=per_s, reason="lowered after HTTP 429")


def timeline_of(
    *events: Event, activity: tuple[Activity, ...] = (), set_per_s: float | None = 10.0, last: float = 0,
    attempts: int = 100_000,
) -> Timeline:  # fmt: skip
    """A timeline; `activity` is given at any width, `last` is when something last happened."""
    return draw_timeline(RUN, events, set_per_s, attempts, lambda origin, width_ns: activity, lambda before: at(last))


def sent(seconds: float, outcome: Outcome | None, attempts: int, pushed_back: int = 0) -> Activity:
    return Activity(at(seconds), outcome, attempts, pushed_back, attempts if outcome else 0)


def test_an_invocation_lasts_from_its_start_to_its_end() -> None:
    events = [event(0, "started"), event(5, "stopped"), event(60, "resumed"), event(70, "finished")]
    assert find_sessions(RUN, events, lambda before: None) == (Session(at(0), at(5)), Session(at(60), at(70)))


def test_an_invocation_that_died_ends_with_the_last_thing_that_it_recorded() -> None:
    asked = []

    def last_activity(before: int | None) -> int:
        asked.append(before)
        return at(7) if before else at(99)

    events = [event(0, "started"), event(60, "resumed")]
    assert find_sessions(RUN, events, last_activity) == (Session(at(0), at(7)), Session(at(60), at(99)))
    assert asked == [at(60), None]


def test_a_run_that_never_sent_has_no_timeline() -> None:
    run = replace(RUN, started_at=None)
    drawn = draw_timeline(run, [], 10.0, 0, lambda origin, width: (), lambda before: None)
    assert drawn.stretches == ()
    assert drawn.pauses == ()


def test_what_attempts_brought_is_counted_where_they_started() -> None:
    activity = (
        sent(0, Outcome.ENROLLED, 7), sent(0, None, 2, pushed_back=1), sent(3, Outcome.INVALID_USER, 1),
        Activity(at(3), Outcome.COVERED_BY_CASCADE, 0, 0, 4), Activity(None, None, 5, 0, 0),
    )  # fmt: skip
    drawn = timeline_of(event(0, "started"), event(9, "finished"), activity=activity)
    first, *_ = drawn.stretches
    assert (first.attempts, first.tried_again, first.pushed_back) == (9, 2, 1)
    assert first.brought == {Group.DONE: 7}
    fourth = next(stretch for stretch in drawn.stretches if stretch.begin == at(3))
    assert fourth.brought == {Group.FIX_DATA: 1, Group.DONE: 0}
    assert fourth.settled == {Outcome.INVALID_USER: 1, Outcome.COVERED_BY_CASCADE: 4}
    assert drawn.timeless == 5
    assert drawn.pushed_back == 1


def test_pauses_are_left_out_and_told() -> None:
    events = [event(0, "started"), event(10, "stopped"), event(3610, "resumed"), event(3620, "finished")]
    drawn = timeline_of(*events)
    assert len(drawn.stretches) <= MOST_STRETCHES
    ((index, pause),) = drawn.pauses
    assert drawn.stretches[index].begin == at(3610)
    assert pause == pytest.approx(3600 * SECOND_NS, abs=drawn.width_ns)


def test_a_hold_counts_once_where_holds_overlap_and_only_inside_stretches() -> None:
    holds = [hold(1, 4), hold(2, 1), hold(8, 9)]
    drawn = timeline_of(event(0, "started"), *holds, event(10, "finished"))
    assert drawn.hold_count == 3
    assert drawn.held_ns == pytest.approx((4 + 2) * SECOND_NS, abs=drawn.width_ns)
    assert all(stretch.held_ns <= drawn.width_ns for stretch in drawn.stretches)


def test_the_allowed_rate_is_averaged_where_it_changes_and_set_anew_by_a_resume() -> None:
    events = [
        event(0, "started"), rate(50, 4), event(100, "stopped"),
        event(200, "resumed"), event(300, "finished"),
    ]  # fmt: skip
    drawn = timeline_of(*events)
    by_begin = {stretch.begin: stretch.allowed_per_s for stretch in drawn.stretches}
    assert drawn.width_s == 2
    assert by_begin[at(0)] == by_begin[at(48)] == by_begin[at(200)] == 10
    assert by_begin[at(50)] == by_begin[at(98)] == 4
    assert by_begin[at(100)] == pytest.approx(4)
    assert (drawn.set_per_s, drawn.least_allowed_per_s, drawn.rate_changes) == (10, 4, 1)


def test_a_change_inside_a_stretch_is_averaged() -> None:
    drawn = timeline_of(event(0, "started"), rate(1, 5), event(150, "finished"))
    assert drawn.width_s == 2
    assert drawn.stretches[0].allowed_per_s == pytest.approx(7.5)


@pytest.mark.parametrize(("set_per_s", "shown"), [(None, None), (math.inf, math.inf)])
def test_no_limit_is_not_the_same_as_not_known(set_per_s: float | None, shown: float | None) -> None:
    drawn = timeline_of(event(0, "started"), event(9, "finished"), set_per_s=set_per_s)
    assert {stretch.allowed_per_s for stretch in drawn.stretches} == {shown}


@pytest.mark.parametrize(("attempts", "width_s"), [(100_000, 2), (2_000, 2), (1_000, 5), (100, 60), (3, 300), (0, 300)])
def test_a_stretch_has_enough_attempts_to_show_a_rate(attempts: int, width_s: float) -> None:
    drawn = timeline_of(event(0, "started"), event(200, "finished"), attempts=attempts)
    assert drawn.width_s == width_s


def test_a_rate_that_grows_back_is_on_its_way_between_what_was_told() -> None:
    events = [
        event(0, "started"), rate(40, 4), rate(80, 8), rate(120, 2), event(200, "finished"),
    ]  # fmt: skip
    by_begin = {stretch.begin: stretch.allowed_per_s for stretch in timeline_of(*events).stretches}
    assert by_begin[at(38)] == 10
    assert by_begin[at(40)] == pytest.approx(4.1)
    assert by_begin[at(60)] == pytest.approx(6.1)
    assert by_begin[at(118)] == 8
    assert by_begin[at(120)] == by_begin[at(198)] == 2


def test_other_events_are_marked_where_they_happened() -> None:
    quarantine = event(5, "quarantine", "the cycle is closed")
    drawn = timeline_of(event(0, "started"), quarantine, event(9, "finished"))
    (marked,) = (stretch for stretch in drawn.stretches if quarantine in stretch.marks)
    assert marked.begin <= quarantine.at < marked.begin + drawn.width_ns


def test_how_it_went_is_told_in_sentences() -> None:
    events = [
        event(0, "started"), hold(2, 3), rate(2, 1), event(9, "finished"),
    ]  # fmt: skip
    drawn = timeline_of(*events, activity=(sent(1, None, 1, pushed_back=1),), set_per_s=100 / 60)
    assert over_time_text(accounts_of(ALL_DONE), drawn) == (
        "1,250 attempts in 30.0 s of sending, 1 in the busiest 0.1 s. Allowed: 100 per minute, lowered to 60 per "
        "minute for a while. The API refused 1 attempt by 429 or 503. Nothing might start for 3.0 s in all (1 hold). "
        "The allowed rate changed 1 time."
    )


MOMENTS = st.integers(0, 400_000)


@settings(deadline=None)
@given(
    st.lists(st.tuples(MOMENTS, st.sampled_from(["started", "resumed", "stopped", "finished", "rate", "hold"]))),
    st.lists(st.tuples(MOMENTS, st.integers(0, 9))),
)
def test_whatever_happened_no_attempt_is_lost_and_the_stretches_are_few(
    happened: list[tuple[int, str]], attempts: list[tuple[int, int]]
) -> None:
    """Fails when, for instance, activity in a pause is left out, or each session may have a hundred stretches."""
    facts = {"rate": {"per_s": 2.5}, "hold": {"held_s": 7.0}}
    events = [event(0, "started"), *(event(when, kind, **facts.get(kind, {})) for when, kind in sorted(happened))]
    activity = tuple(sent(when, Outcome.ENROLLED, count) for when, count in attempts)
    drawn = timeline_of(*events, activity=activity, last=400_000)
    assert sum(stretch.attempts for stretch in drawn.stretches) == sum(count for _, count in attempts)
    assert len(drawn.stretches) <= MOST_STRETCHES
    begins = [stretch.begin for stretch in drawn.stretches]
    assert begins == sorted(set(begins))
    assert all(0 <= stretch.held_ns <= drawn.width_ns for stretch in drawn.stretches)
