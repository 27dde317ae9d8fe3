"""The pool by the clock on the wall, on a virtual loop."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter
from zoneinfo import ZoneInfo

import pytest

from batch.model import Outcome, StopReason, Tells, Verdict
from batch.sending.guards import Stop
from batch.sending.timetable import Timetable
from batch.sending.window import SECOND_NS, Hours, Window
from tests.sending.fakes import BUSY, ENROLLED, FakeRecorder, FakeSender, make_pool, open_requests
from tests.sending.virtual_loop import run_virtually

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE, HOUR = 60, 3600


class Wall:
    """A clock on the wall that shows `begins` when the loop begins, and what each start of a sender was by it."""

    def __init__(self, begins: str) -> None:
        self.began = round(dt.datetime.fromisoformat(begins).replace(tzinfo=BERLIN).timestamp()) * SECOND_NS

    def __call__(self) -> int:
        return self.began + round(asyncio.get_running_loop().time() * 1e9)

    def shown(self, sender: FakeSender) -> list[dt.datetime]:
        return [dt.datetime.fromtimestamp((self.began + start) / 1e9, BERLIN) for start, *_ in sender.starts]

    def timetable(self, hours: Hours, unknown_s: int = 30) -> Timetable:
        return Timetable(hours, BERLIN, over="the time was up", unknown_ns=unknown_s * SECOND_NS, wall_clock=self)

    def until(self, text: str) -> int:
        return round(dt.datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()) * SECOND_NS


ONE_MINUTE = Window(22 * HOUR, 22 * HOUR + MINUTE, BERLIN)
NIGHT = Window(22 * HOUR, 6 * HOUR, BERLIN)


@pytest.mark.parametrize("latency_s", [0.1, 4])
def test_a_window_of_a_minute_is_used_night_by_night_and_nothing_starts_or_ends_outside(latency_s: float) -> None:
    """Six nights, one of them that of a change of the clock. Found by it: a check at the intent, not at the start."""
    wall = Wall("2026-10-23T12:00:00")
    sender = FakeSender(lambda *_: ENROLLED, latency_s=latency_s)
    recorder = FakeRecorder([open_requests(110)])
    pool = make_pool(sender, recorder, rate=(20, 60 * SECOND_NS), timetable=wall.timetable(Hours(ONE_MINUTE)))
    assert run_virtually(pool.run()) is None
    assert set(recorder.outcomes().values()) == {Outcome.ENROLLED}
    starts = wall.shown(sender)
    assert {(start.hour, start.minute) for start in starts} == {(22, 0)}
    assert all(
        start + dt.timedelta(seconds=latency_s) <= start.replace(second=0, microsecond=0) + dt.timedelta(minutes=1)
        for start in starts
    )
    nights = Counter(start.date() for start in starts)
    assert len(nights) == 6
    assert recorder.events.count("hold") == 6


def test_before_the_first_answer_a_request_may_take_as_long_as_the_api_is_waited_for() -> None:
    wall = Wall("2026-05-04T22:00:40")
    sender = FakeSender(lambda *_: ENROLLED)
    pool = make_pool(sender, FakeRecorder([open_requests(3)]), timetable=wall.timetable(Hours(ONE_MINUTE)))
    run_virtually(pool.run())
    assert wall.shown(sender)[0].isoformat() == "2026-05-05T22:00:00+02:00"


def test_when_the_time_is_up_what_is_out_ends_and_the_rest_stays_open() -> None:
    wall = Wall("2026-05-05T05:00:00")
    sender = FakeSender(lambda *_: ENROLLED, latency_s=5)
    recorder = FakeRecorder([open_requests(200)])
    until = wall.until("2026-05-05T05:10:00")
    timetable = wall.timetable(Hours(None, until))
    pool = make_pool(sender, recorder, rate=(10, 60 * SECOND_NS), timetable=timetable)
    assert run_virtually(pool.run()) == Stop(StopReason.DEADLINE, "the time was up")
    starts = wall.shown(sender)
    assert starts[-1] <= dt.datetime.fromtimestamp(until / 1e9 - 5, BERLIN)
    assert 98 <= len(starts) <= 100
    assert len(recorder.outcomes()) == len(starts)
    assert len(recorder.intended) == len(starts) + len(recorder.open_attempts(Tells.WITHDRAWN))


def test_a_run_that_is_done_in_time_is_not_stopped() -> None:
    wall = Wall("2026-05-05T05:59:00")
    recorder = FakeRecorder([open_requests(4)])
    timetable = wall.timetable(Hours(None, wall.until("2026-05-05T06:00:00")))
    pool = make_pool(FakeSender(lambda *_: ENROLLED, latency_s=25), recorder, timetable=timetable)
    assert run_virtually(pool.run()) is None
    assert len(recorder.outcomes()) == 4


def test_a_retry_that_would_come_too_late_is_left_to_a_resume() -> None:
    wall = Wall("2026-05-05T05:59:00")
    sender = FakeSender(lambda customer, *_: BUSY if customer == 2 else ENROLLED, latency_s=1)
    recorder = FakeRecorder([open_requests(3)])
    timetable = wall.timetable(Hours(None, wall.until("2026-05-05T06:00:00")))
    pool = make_pool(sender, recorder, attempts=100, timetable=timetable)
    stop = run_virtually(pool.run())
    assert stop is not None
    assert stop.reason is StopReason.DEADLINE
    assert recorder.outcomes() == {1: Outcome.ENROLLED, 3: Outcome.ENROLLED}
    assert wall.shown(sender)[-1].minute == 59


def test_a_signal_ends_the_waiting_for_a_window_at_once() -> None:
    wall = Wall("2026-05-04T12:00:00")
    sender = FakeSender(lambda *_: ENROLLED)
    recorder = FakeRecorder([open_requests(3)])
    pool = make_pool(sender, recorder, timetable=wall.timetable(Hours(NIGHT)))
    held: list[float] = []

    async def interrupted() -> Stop | None:
        running = asyncio.create_task(pool.run())
        await asyncio.sleep(3600)
        held.append(pool.held_s)
        pool.stop(Stop(StopReason.SIGNAL, "SIGTERM"))
        return await running

    assert run_virtually(interrupted()) == Stop(StopReason.SIGNAL, "SIGTERM")
    assert sender.starts == []
    assert recorder.intended == set()
    assert held == [pytest.approx(9 * HOUR)]


def test_a_clock_that_is_set_forward_while_the_run_waits_is_seen() -> None:
    wall = Wall("2026-05-04T12:00:00")
    sender = FakeSender(lambda *_: ENROLLED)
    pool = make_pool(sender, FakeRecorder([open_requests(3)]), timetable=wall.timetable(Hours(NIGHT)))

    async def setting() -> None:
        running = asyncio.create_task(pool.run())
        await asyncio.sleep(600)
        wall.began += 9 * HOUR * SECOND_NS + 50 * MINUTE * SECOND_NS  # it is 22:00 now
        await running

    run_virtually(setting())
    assert all(600 * SECOND_NS <= start <= 660 * SECOND_NS + SECOND_NS for start, *_ in sender.starts)


def test_a_hold_that_ends_after_the_window_waits_for_the_next_one() -> None:
    def script(customer: int, period: str | None, attempt: int) -> Verdict:
        held = Verdict(
            Outcome.RATE_LIMITED, settled=False, tells=Tells.REFUSED, http_status=429, counts=False, hold_s=50
        )
        return held if (customer, attempt) == (5, 1) else ENROLLED

    wall = Wall("2026-05-04T21:59:00")
    sender = FakeSender(script)
    pool = make_pool(
        sender,
        FakeRecorder([open_requests(30)]),
        rate=(30, 60 * SECOND_NS),
        timetable=wall.timetable(Hours(ONE_MINUTE)),
    )
    run_virtually(pool.run())
    starts = wall.shown(sender)
    assert {(start.hour, start.minute) for start in starts} == {(22, 0)}
    assert {start.day for start in starts} == {4, 5}


def test_who_does_not_wait_for_a_window_ends_with_it() -> None:
    wall = Wall("2026-05-05T05:59:00")
    sender = FakeSender(lambda *_: ENROLLED)
    timetable = wall.timetable(Hours(NIGHT, waits=False))
    pool = make_pool(sender, FakeRecorder([open_requests(200)]), rate=(60, 60 * SECOND_NS), timetable=timetable)
    stop = run_virtually(pool.run())
    assert stop is not None
    assert stop.reason is StopReason.DEADLINE
    assert 55 <= len(sender.starts) <= 60


def test_what_is_waited_for_is_said_with_the_time_and_the_zone() -> None:
    async def shown(seconds: int) -> str:
        wall = Wall("2026-05-04T21:00:00")
        return wall.timetable(Hours(NIGHT)).shown(seconds * SECOND_NS, 0)

    assert run_virtually(shown(HOUR)) == "22:00 Europe/Berlin"
    assert run_virtually(shown(25 * HOUR)) == "Tue 22:00 Europe/Berlin"
