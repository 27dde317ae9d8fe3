"""Which cycles `cycles: api` means, and what is wrong with those that a plan names."""

from __future__ import annotations

import datetime as dt

import pytest

from batch.capillary.target_groups import Cycle, Target
from batch.errors import ConfigError
from batch.run.cycles import check_cycles, check_targets, choose_cycles

TODAY = dt.date(2026, 11, 22)


def cycle(name: str, start: str, end: str, *, active: bool = True) -> Cycle:
    return Cycle(name, 1, dt.date.fromisoformat(start), dt.date.fromisoformat(end), is_active=active)


OVER = cycle("October", "2026-10-01", "2026-10-31")
RUNNING = cycle("November", "2026-11-01", "2026-11-22")
SWITCHED_OFF = cycle("Extra", "2026-11-01", "2026-12-31", active=False)
TO_COME = cycle("December", "2026-11-23", "2026-12-31")
CYCLES = (OVER, RUNNING, SWITCHED_OFF, TO_COME)
TARGETS = (Target(5512, "a", True), Target(6, "b", False))


@pytest.mark.parametrize(
    ("expand", "names"),
    [("each", ("November", "December")), ("first", ("November",)), ("current", ("November",))],
)
def test_what_is_over_or_not_active_is_left_out_and_said(expand: str, names: tuple[str, ...]) -> None:
    chosen = choose_cycles(29463, CYCLES, expand, TODAY)
    assert chosen.names == names
    assert chosen.note == "left out, because they are over or not active: October, Extra"


def test_the_first_and_the_last_day_belong_to_a_cycle() -> None:
    assert choose_cycles(29463, CYCLES, "current", RUNNING.start).names == ("November",)
    assert choose_cycles(29463, CYCLES, "current", RUNNING.end).names == ("November",)
    assert choose_cycles(29463, CYCLES, "current", TO_COME.start).names == ("December",)


@pytest.mark.parametrize(
    ("cycles", "expand", "said"),
    [
        ((OVER, SWITCHED_OFF), "each", "is running or to come"),
        ((), "first", "is running or to come"),
        ((OVER, TO_COME), "current", "December begins on 2026-11-23"),
        ((RUNNING, cycle("Q4", "2026-10-01", "2026-12-31")), "current", "November, Q4"),
    ],
)
def test_where_no_cycle_can_be_chosen_the_reason_is_said(cycles: tuple[Cycle, ...], expand: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        choose_cycles(1, cycles, expand, TODAY)


def test_each_planned_cycle_is_judged() -> None:
    found = check_cycles(CYCLES, ["Novembre", "October", "Extra", "November", "December"], TODAY)
    assert [finding.is_good for finding in found] == [False, False, False, True, True]
    assert [finding.text for finding in found] == [
        'cycle "Novembre": the target group has no such cycle; did you mean "November"?',
        'cycle "October" is over since 2026-10-31',
        'cycle "Extra" is not active',
        'cycle "November" is running, until 2026-11-22',
        'cycle "December" begins on 2026-11-23',
    ]


def test_cycles_of_one_name_are_one_and_that_is_said() -> None:
    """Fails when the name is planned twice: each customer would then be a repeat of its own."""
    later = cycle("November", "2026-11-23", "2026-12-31")
    several = (OVER, RUNNING, later, TO_COME)
    assert choose_cycles(29463, several, "each", TODAY).names == ("November", "December")
    for expand in ("each", "first", "current"):
        note = choose_cycles(29463, several, expand, TODAY).note
        assert '2 cycles of the target group are called "November": it is sent once' in note
    overlapping = cycle("November", "2026-11-02", "2026-12-31")
    assert choose_cycles(29463, (RUNNING, overlapping), "current", TODAY).names == ("November",)


def test_a_name_that_is_still_of_use_is_not_said_to_be_left_out() -> None:
    switched_off = cycle("November", "2026-10-01", "2026-12-31", active=False)
    chosen = choose_cycles(29463, (OVER, switched_off, RUNNING), "each", TODAY)
    assert (chosen.names, chosen.note) == (("November",), "left out, because they are over or not active: October")


@pytest.mark.parametrize("is_last", [False, True])
def test_of_several_cycles_of_one_name_the_useful_one_is_judged(is_last: bool) -> None:
    """Fails when the last one of a name speaks for it."""
    others = (
        cycle("November", "2026-10-01", "2026-12-31", active=False),
        cycle("November", "2026-10-01", "2026-10-02"),
    )
    cycles = (*others, RUNNING) if is_last else (RUNNING, *others)
    (finding,) = check_cycles(cycles, ["November"], TODAY)
    assert (finding.is_good, finding.text) == (True, 'cycle "November" is running, until 2026-11-22')


def test_each_planned_target_is_judged() -> None:
    assert [(finding.is_good, finding.text) for finding in check_targets(29463, TARGETS, [5512, 6, 7])] == [
        (True, "target 5512 of group 29463 is active"),
        (False, "target 6 of group 29463 is not active"),
        (False, "target 7 of group 29463 does not exist; the group has: 5512, 6"),
    ]
