from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.sending.window import DAY_S, SECOND_NS, Hours, Window, next_time

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    ZoneInfo(name)
    for name in ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns")
]
HOUR, MINUTE = 3600, 60
instants = st.integers(1_700_000_000, 1_900_000_000).map(lambda seconds: seconds * SECOND_NS)
near_changes = st.sampled_from([1_774_746_000, 1_792_890_000, 1_793_512_800, 1_772_953_200, 1_775_314_800]).flatmap(
    lambda change: st.integers(-3 * HOUR, 3 * HOUR).map(lambda away: (change + away) * SECOND_NS)
)
windows = st.builds(
    Window, st.integers(0, 1439).map(lambda m: m * MINUTE), st.integers(0, 1439).map(lambda m: m * MINUTE),
    st.sampled_from(ZONES),
).filter(lambda window: window.opens_s != window.closes_s)  # fmt: skip


def at(text: str, zone: dt.tzinfo = BERLIN, *, fold: int = 0) -> int:
    """Nanoseconds since 1970 of a time on the wall."""
    return round(dt.datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()) * SECOND_NS


def wall(at_ns: int, zone: dt.tzinfo = BERLIN) -> str:
    return dt.datetime.fromtimestamp(at_ns // SECOND_NS, zone).strftime("%d %H:%M:%S")


def window(opens: str, closes: str, zone: dt.tzinfo = BERLIN) -> Window:
    opens_s, closes_s = (int(text[:2]) * HOUR + int(text[3:]) * MINUTE for text in (opens, closes))
    return Window(opens_s, closes_s, zone)


NIGHT = window("22:00", "06:00")


@pytest.mark.parametrize(
    ("now", "is_open", "changes"),
    [
        ("2026-05-04T21:59:59", False, "04 22:00:00"),
        ("2026-05-04T22:00:00", True, "05 06:00:00"),
        ("2026-05-05T00:00:00", True, "05 06:00:00"),
        ("2026-05-05T05:59:59", True, "05 06:00:00"),
        ("2026-05-05T06:00:00", False, "05 22:00:00"),
    ],
)
def test_a_window_goes_over_midnight_and_ends_before_its_last_second_begins(
    now: str, is_open: bool, changes: str
) -> None:
    assert NIGHT.is_open(at(now)) is is_open
    assert wall(NIGHT.change_after(at(now))) == changes


@pytest.mark.parametrize(
    ("opens", "closes", "now", "hours"),
    [
        ("22:00", "06:00", "2026-03-28T22:00:00", 7),  # the night that clocks go forward
        ("22:00", "06:00", "2026-10-24T22:00:00", 9),  # the night that they go back
        ("02:15", "02:45", "2026-03-29T01:00:00", None),  # skipped
        ("01:00", "02:30", "2026-03-29T01:00:00", 1),
        ("02:30", "04:00", "2026-03-29T03:00:00", 1),
        ("01:00", "02:30", "2026-10-25T01:00:00", 1.5),
    ],
)
def test_nights_on_which_clocks_change_are_as_long_as_they_are(
    opens: str, closes: str, now: str, hours: float | None
) -> None:
    each = window(opens, closes)
    if hours is None:
        assert wall(each.change_after(at(now))) == "30 02:15:00"
        return
    assert each.is_open(at(now))
    assert each.change_after(at(now)) - at(now) == hours * HOUR * SECOND_NS


def test_an_hour_that_comes_twice_is_open_twice() -> None:
    each = window("02:00", "02:30")
    changes, now = [], at("2026-10-25T00:00:00")
    for _ in range(4):
        now = each.change_after(now)
        changes.append(now)
    first, second = at("2026-10-25T02:00:00"), at("2026-10-25T02:00:00", fold=1)
    half = 30 * MINUTE * SECOND_NS
    assert changes == [first, first + half, second, second + half]


@given(windows, instants | near_changes, st.integers(0, 50))
def test_between_two_changes_the_clock_on_the_wall_says_the_same(each: Window, now: int, part: int) -> None:
    """Found by it: a change of the clock that is stepped over; an edge that is taken to be 24 hours away."""
    change = each.change_after(now)
    assert now < change
    assert each.is_open(change) is not each.is_open(now)
    assert each.is_open(change - 1) is each.is_open(now)
    between = now + (change - now) * part // 51
    clock = dt.datetime.fromtimestamp(between // SECOND_NS, each.zone)
    seconds = clock.hour * HOUR + clock.minute * MINUTE + clock.second
    inside = (seconds - each.opens_s) % DAY_S < (each.closes_s - each.opens_s) % DAY_S
    assert inside is each.is_open(now)


@given(windows, instants | near_changes, st.integers(0, 2 * DAY_S), st.integers(0, 2 * DAY_S) | st.none())
def test_a_start_is_in_the_window_and_ends_in_time(each: Window, now: int, lasting_s: int, until_s: int | None) -> None:
    until = None if until_s is None else now + until_s * SECOND_NS
    start = Hours(each, until).start_at(now, lasting_s * SECOND_NS)
    if start is None:
        assert until is not None
        return
    assert start >= now
    assert each.is_open(start)
    assert each.change_after(start) - start >= min(lasting_s * SECOND_NS, each.length_ns // 2)
    assert until is None or start + lasting_s * SECOND_NS <= until
    assert Hours(each, until).start_at(start, lasting_s * SECOND_NS) == start


def test_what_cannot_end_before_the_window_closes_waits_for_the_next_one() -> None:
    hours = Hours(NIGHT)
    assert hours.start_at(at("2026-05-05T05:59:29"), 30 * SECOND_NS) == at("2026-05-05T05:59:29")
    assert hours.start_at(at("2026-05-05T05:59:31"), 30 * SECOND_NS) == at("2026-05-05T22:00:00")


def test_what_cannot_end_before_until_does_not_start() -> None:
    hours = Hours(None, at("2026-05-05T06:00:00"))
    assert hours.start_at(at("2026-05-05T05:59:30"), 30 * SECOND_NS) == at("2026-05-05T05:59:30")
    assert hours.start_at(at("2026-05-05T05:59:31"), 30 * SECOND_NS) is None
    assert Hours(NIGHT, at("2026-05-05T21:00:00")).start_at(at("2026-05-05T12:00:00"), 0) is None


def test_whoever_does_not_wait_ends_with_the_window() -> None:
    hours = Hours(NIGHT, waits=False)
    assert hours.start_at(at("2026-05-05T05:59:59"), 0) == at("2026-05-05T05:59:59")
    assert hours.start_at(at("2026-05-05T06:00:00"), 0) is None


@pytest.mark.parametrize(
    ("now", "text", "expected"),
    [
        ("2026-05-04T21:00:00", "06:00", "2026-05-05T06:00:00"),
        ("2026-05-05T05:59:59", "06:00", "2026-05-05T06:00:00"),
        ("2026-05-05T06:00:00", "06:00", "2026-05-06T06:00:00"),
        ("2026-05-05T06:00:00", "00:00", "2026-05-06T00:00:00"),
        ("2026-03-28T22:00:00", "02:30", "2026-03-29T03:00:00"),  # skipped: the moment of the change
        ("2026-10-24T22:00:00", "02:30", "2026-10-25T02:30:00"),  # twice: the first time
    ],
)
def test_until_is_the_next_time_that_the_clock_shows(now: str, text: str, expected: str) -> None:
    wall_s = int(text[:2]) * HOUR + int(text[3:]) * MINUTE
    assert next_time(wall_s, BERLIN, at(now)) == at(expected)


def test_the_stretches_of_a_few_nights_follow_each_other_and_end_with_until() -> None:
    stretches = Hours(NIGHT, at("2026-05-06T23:00:00")).stretches(at("2026-05-05T03:00:00"))
    assert [(wall(begin), wall(end)) for begin, end in stretches] == [
        ("05 03:00:00", "05 06:00:00"),
        ("05 22:00:00", "06 06:00:00"),
        ("06 22:00:00", "06 23:00:00"),
    ]
    assert len(list(Hours(NIGHT, waits=False).stretches(at("2026-05-05T03:00:00")))) == 1
