"""`pacing.window` and `--until`, over a real socket, by a clock on the wall that each test sets."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from batch.commands.progress import Pool, Progress
from batch.config import load_settings
from batch.model import StopReason
from batch.run import nightly
from batch.run.hours import far_start, look_up_lines
from batch.run.opening import Overrides
from batch.sending.guards import Stop
from tests.commands.conftest import Desk, Factory, check_against_the_truth, customers

if TYPE_CHECKING:
    from batch.config import Settings
    from tests.conftest import RunningSandbox

SECOND_NS = 1_000_000_000
ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}
NIGHT = {"window": "22:00-06:00", "time_zone": "Europe/Berlin"}
REAL_NS = time.time_ns


def set_clock(desk: Desk, text: str, zone: str = "Europe/Berlin") -> None:
    """Let the clock on the wall show this now, and go on from there."""
    shown = dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()
    ahead = round(shown * SECOND_NS) - REAL_NS()
    desk.monkeypatch.setattr(time, "time_ns", lambda: REAL_NS() + ahead)


def said_by_plan(desk: Desk, rows: int, *options: str, **pacing: str) -> str:
    config = desk.config("sandbox", campaign=ONE_CYCLE, pacing={"rate": "100/min"} | pacing)
    upload = desk.upload(customers(range(1, rows + 1)))
    said = desk("plan", upload, "-c", config, "--run-dir", f"plan-{time.monotonic_ns()}", *options)
    assert said.code == 0
    return " ".join(said.out.partition("Rate:")[2].partition("Nothing was sent")[0].split())


def test_until_ends_the_run_in_time_and_a_resume_sends_the_rest(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    set_clock(desk, "2026-05-05T05:59:53")
    pacing = {"time_zone": "Europe/Berlin"}
    said = desk.run(
        api, customers(range(100, 190)), "--until", "06:00", "--rate", "10/s", campaign=ONE_CYCLE, pacing=pacing
    )
    assert said.code == 7
    assert "Stopped because the time was up" in said.out
    assert "--until 06:00" in said.out
    sent = api.calls["enroll"]
    assert 0 < sent <= 70
    assert desk.outcomes() == {"enrolled": sent, "not_sent": 90 - sent}
    assert {row["reason"] for row in desk.rows("failed.csv")} == {"deadline"}
    assert desk("resume", "run", "--yes", "--rate", "none").code == 0
    assert desk.outcomes() == {"enrolled": 90}
    check_against_the_truth(desk, api)


def test_outside_the_window_the_run_waits_and_says_for_what(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    set_clock(desk, "2026-05-04T21:59:56")
    began = time.monotonic_ns()
    said = desk.run(api, customers(range(100, 120)), "-v", campaign=ONE_CYCLE, pacing=NIGHT)
    assert said.code == 0
    assert "waiting for 22:00 Europe/Berlin" in " ".join(said.err.split())
    assert len(api.arrivals()) == 20
    assert time.time_ns() - (time.monotonic_ns() - api.arrivals()[0]) >= round(
        dt.datetime(2026, 5, 4, 22, tzinfo=ZoneInfo("Europe/Berlin")).timestamp() * SECOND_NS
    )
    assert api.arrivals()[0] > began


def test_a_time_that_is_over_before_the_window_opens_sends_nothing(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    set_clock(desk, "2026-05-04T12:00:00")
    said = desk.run(api, customers(range(100, 120)), "--until", "21:00", campaign=ONE_CYCLE, pacing=NIGHT)
    assert said.code == 7
    assert api.calls["enroll"] == 0
    assert desk.outcomes() == {"not_sent": 20}


@pytest.mark.parametrize("until", ["25:00", "6", "06:00:00", "noon", "12:60", ""])
def test_a_time_that_is_none_is_refused(desk: Desk, sandbox: Factory, until: str) -> None:
    api = sandbox()
    said = desk.run(api, customers([1]), "--until", until)
    assert said.code == 2
    assert "--until" in said.err
    assert "write HH:MM" in said.err
    assert not (desk.folder / "run").exists()


def test_a_plan_says_whether_the_work_fits_and_in_which_night_it_ends(desk: Desk) -> None:
    set_clock(desk, "2026-05-04T12:00:00")
    assert said_by_plan(desk, 200) == "100/min, so sending takes about 2 minutes."
    assert said_by_plan(desk, 200, **NIGHT).endswith(
        "It starts Mon 04 May 22:00. It fits in 22:00-06:00 (Europe/Berlin) and ends about Mon 04 May 22:02."
    )
    short = {"window": "22:00-22:01", "time_zone": "Europe/Berlin"}
    assert said_by_plan(desk, 250, **short).endswith(
        "It starts Mon 04 May 22:00. Only in 22:00-22:01 (Europe/Berlin) it takes 3 windows and ends about "
        "Wed 06 May 22:00."
    )


def test_a_plan_says_how_much_is_sent_until_a_time(desk: Desk) -> None:
    set_clock(desk, "2026-05-04T12:00:00", "UTC")
    assert said_by_plan(desk, 250, "--until", "13:00").endswith(
        "It fits before 13:00 (UTC) and ends about Mon 04 May 12:02."
    )
    said = said_by_plan(desk, 250, "--until", "12:01")
    assert "It does not fit: about" in said
    assert "until 12:01; `resume` sends the rest." in said


def test_a_plan_names_the_day_of_a_time_that_is_not_today(desk: Desk) -> None:
    set_clock(desk, "2026-05-04T17:20:30", "UTC")
    said = said_by_plan(desk, 250, "--until", "17:20")
    assert said.endswith("It fits before tomorrow 17:20 (UTC) and ends about Mon 04 May 17:23.")
    said = said_by_plan(desk, 250, "--until", "17:21")
    assert "are sent until 17:21; `resume`" in said
    assert "before 17:25 (UTC)" in said_by_plan(desk, 250, "--until", "17:25")


def test_a_plan_says_both_the_window_and_the_time(desk: Desk) -> None:
    set_clock(desk, "2026-05-04T23:00:00")
    said = said_by_plan(desk, 200, "--until", "05:00", **NIGHT)
    assert said.endswith(
        "It fits in 22:00-06:00 and before tomorrow 05:00 (Europe/Berlin) and ends about Mon 04 May 23:02."
    )
    said = said_by_plan(desk, 200, "--until", "22:30", window="22:00-23:00", time_zone="Europe/Berlin")
    assert "It starts Tue 05 May 22:00." in said


@pytest.mark.parametrize(
    ("until", "warned"),
    [("17:19", "--until 17:19 is tomorrow 17:19, 23 h 58 min from now."), ("05:20", ""), ("17:21", "")],
)
@pytest.mark.parametrize("quiet", [False, True])
def test_a_time_that_is_more_than_half_a_day_away_is_pointed_out(
    desk: Desk, sandbox: Factory, until: str, warned: str, quiet: bool
) -> None:
    api = sandbox(preload=False)
    set_clock(desk, "2026-05-04T17:20:30", "UTC")
    said = desk.run(api, customers([1]), "--until", until, *(["-q"] if quiet else []), campaign=ONE_CYCLE)
    assert quiet or warned in said.err
    assert ("from now" in said.err) is (bool(warned) and not quiet)


def test_a_run_that_stops_for_a_time_of_another_day_names_the_day(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    set_clock(desk, "2026-05-04T23:00:00")
    pacing = {"window": "10:00-12:00", "time_zone": "Europe/Berlin"}
    said = desk.run(api, customers([1]), "--until", "06:00", campaign=ONE_CYCLE, pacing=pacing)
    assert said.code == 7
    assert "--until 06:00 on Tue 05 May (Europe/Berlin): nothing more could end in time" in " ".join(said.out.split())


def test_a_plan_and_a_resume_point_it_out_too(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    set_clock(desk, "2026-05-04T17:20:30", "UTC")
    config = desk.config(api, campaign=ONE_CYCLE)
    said = desk("plan", desk.upload(customers([1])), "-c", config, "--run-dir", "run", "--until", "17:20")
    assert "--until 17:20 is tomorrow 17:20, 23 h 59 min from now." in said.err
    said = desk("resume", "run", "--yes", "--until", "17:20")
    assert said.code == 0
    assert "--until 17:20 is tomorrow 17:20" in said.err


def test_without_a_rate_a_plan_says_when_it_starts_and_not_when_it_ends(desk: Desk) -> None:
    set_clock(desk, "2026-05-04T12:00:00", "UTC")
    config = desk.config("sandbox", campaign=ONE_CYCLE, pacing={"rate": None, "window": "22:00-06:00"})
    said = desk("plan", desk.upload(customers([1])), "-c", config, "--run-dir", "run")
    assert "Rate: no limit. It starts Mon 04 May 22:00.\n" in said.out
    said = desk("plan", desk.upload(customers([1])), "-c", config, "--run-dir", "again", "--until", "21:00")
    told = " ".join(said.out.split())
    assert "It does not fit: no request could end in 22:00-06:00 and before 21:00 (UTC); `resume` sends them." in told
    said = desk("plan", desk.upload(customers([1])), "-c", desk.config("sandbox"), "--run-dir", "r", "--until", "13:00")
    assert "Rate: no limit.\n" in said.out


def test_the_last_moments_in_which_nothing_could_end_in_time_are_not_counted(desk: Desk) -> None:
    set_clock(desk, "2026-05-04T12:00:00", "UTC")
    said = said_by_plan(desk, 2_000, "--until", "12:10")
    assert "It does not fit: about 99" in said  # 595 of 600 seconds; read_timeout_s is 5
    window = {"window": "22:00-22:10", "time_zone": "UTC"}
    assert "It fits in 22:00-22:10 (UTC)" in said_by_plan(desk, 990, **window)
    assert "Only in 22:00-22:10 (UTC) it takes 2 windows" in said_by_plan(desk, 1_000, **window)
    set_clock(desk, "2026-05-04T22:09:57", "UTC")
    assert "It starts Tue 05 May 22:00. It fits in" in said_by_plan(desk, 10, **window)


@pytest.mark.parametrize("sample", [(), ("--sample", "20")])
def test_a_verification_outside_of_the_window_says_when_it_begins_and_waits(
    desk: Desk, sandbox: Factory, sample: tuple[str, ...]
) -> None:
    api = sandbox(preload=False)
    set_clock(desk, "2026-05-04T23:00:00")
    for customer in range(101, 120, 2):
        api.inject(customer, ["reset_after"])
    retry = {"in_doubt": "leave"}
    assert desk.run(api, customers(range(100, 120)), campaign=ONE_CYCLE, pacing=NIGHT, retry=retry).code == 5
    asked = []
    reads = api.calls["target_groups"]

    async def wait(pool: Pool, *_: object) -> None:
        """Look at the pool while it waits, then let it be night."""
        while not pool.held_s:  # noqa: ASYNC110 - nothing wakes us when the pool begins to wait
            await asyncio.sleep(0.01)
        asked.append((round(pool.held_s, -3), api.calls["target_groups"] - reads))
        pool.stop(Stop(StopReason.SIGNAL, "seen"))

    set_clock(desk, "2026-05-05T12:00:00")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Progress, "watch", staticmethod(wait))
        said = desk("verify", "run", *sample)
    assert said.code == 7
    assert "It starts Tue 05 May 22:00." in said.out
    assert asked == [(36_000, 0)]
    assert api.calls["target_groups"] == reads
    set_clock(desk, "2026-05-05T21:59:58")
    said = desk("verify", "run", *sample, "-v")
    assert "waiting for 22:00 Europe/Berlin" in " ".join(said.err.split())
    assert api.calls["target_groups"] - reads == 10
    assert "10 of 10 asked about are enrolled" in said.out if sample else said.code == 0


def test_a_night_ends_with_its_window_and_the_next_one_goes_on(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    desk.monkeypatch.setattr(nightly, "SETTLE_S", 0)
    (desk.folder / "inbox").mkdir()
    desk.upload(customers(range(100, 190)), "inbox/may.csv")
    pacing = NIGHT | {"rate": "10/s"}
    config = desk.config(api, campaign=ONE_CYCLE, pacing=pacing, inbox=str(desk.folder / "inbox"))
    set_clock(desk, "2026-05-05T05:59:53")
    assert desk("nightly", "-c", config).code == 7
    sent = api.calls["enroll"]
    assert 0 < sent <= 70
    set_clock(desk, "2026-05-05T12:00:00")
    assert desk("nightly", "-c", config).code == 7
    assert api.calls["enroll"] == sent
    set_clock(desk, "2026-05-05T22:00:00")
    assert desk("nightly", "-c", config).code == 0
    assert len(api.enrolled()) == api.calls["enroll"] == 90


# Look-ups -----------------------------------------------------------------------------------------------------------


def said_of_look_ups(desk: Desk, api: RunningSandbox, rows: int, *options: object, **pacing: str) -> str:
    """What is said before the first look-up, whose hours are over when it would start."""
    config = desk.config(api, campaign=ONE_CYCLE, pacing={"rate": "100/min", "time_zone": "Europe/Berlin"} | pacing)
    upload = desk.upload("mobile\n" + "".join(f"91{number:010d}\n" for number in range(200, 200 + rows)))
    said = desk("run", upload, "-c", config, "--yes", "--run-dir", f"run-{time.monotonic_ns()}", *options)
    assert said.code == 7
    assert api.calls["lookup"] == 0
    return " ".join(said.out.split())


def test_look_ups_say_first_whether_they_fit(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    set_clock(desk, "2026-05-04T12:00:00")
    said = said_of_look_ups(desk, api, 90, "--until", "21:00", **NIGHT)
    assert "90 customers to look up" in said
    assert said.endswith(
        "It does not fit: no look-up could end in 22:00-06:00 and before 21:00 (Europe/Berlin); `resume` goes on."
    )


def settings_of(desk: Desk, **pacing: str | None) -> Settings:
    config = desk.config("https://example.com", pacing={"rate": "100/min"} | pacing, api={"read_timeout_s": 30})
    return load_settings(config, with_secrets=False, working_dir=desk.folder, environ={})


def lines_of(
    desk: Desk, look_ups: int, requests: int, at: str, until: str | None = None, **pacing: str | None
) -> list[str]:
    now = round(dt.datetime.fromisoformat(at).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp()) * SECOND_NS
    settings = settings_of(desk, **{"time_zone": "Europe/Berlin"} | pacing)
    return look_up_lines(look_ups, requests, settings, Overrides(until=until, asked_at=now), now)


def test_look_ups_say_when_they_begin_and_in_which_night_they_and_sending_end(desk: Desk) -> None:
    assert lines_of(desk, 200, 200, "2026-05-04T12:00:00") == []
    assert lines_of(desk, 200, 100, "2026-05-04T12:00:00", **NIGHT) == [
        "It starts Mon 04 May 22:00. It fits in 22:00-06:00 (Europe/Berlin) and ends about Mon 04 May 22:02.",
        "With sending, at most 100 requests: it fits in 22:00-06:00 (Europe/Berlin) and ends about Mon 04 May 22:03.",
    ]
    look_ups, with_sending = lines_of(desk, 40_000, 40_000, "2026-05-04T22:30:00", **NIGHT)
    assert look_ups == "It fits in 22:00-06:00 (Europe/Berlin) and ends about Tue 05 May 05:10."
    assert with_sending.endswith(
        "only in 22:00-06:00 (Europe/Berlin) it takes 2 windows and ends about Wed 06 May 03:50."
    )
    assert lines_of(desk, 9, 9, "2026-05-04T12:00:00", rate=None, window="22:00-06:00") == [
        "It starts Mon 04 May 22:00."
    ]


def test_look_ups_say_how_far_they_and_sending_come_until_a_time(desk: Desk) -> None:
    assert lines_of(desk, 100, 300, "2026-05-04T12:00:00", "12:03") == [
        "It fits before 12:03 (Europe/Berlin) and ends about Mon 04 May 12:01.",
        "With sending, at most 300 requests: it does not fit: about 150 are sent until 12:03; `resume` sends the rest.",
    ]
    assert lines_of(desk, 300, 300, "2026-05-04T12:00:00", "12:02") == [
        "It does not fit: about 150 are looked up until 12:02; `resume` goes on."
    ]


@pytest.mark.parametrize(
    ("at", "warned"),
    [
        (
            "21:00:00",
            "pacing.window 22:00-06:00 (Europe/Berlin): nothing starts before Mon 04 May 22:00, 1 h 0 min from",
        ),
        ("21:55:00", ""),
        ("23:00:00", ""),
    ],
)
def test_whoever_is_told_nothing_else_is_told_of_a_window_that_opens_late(desk: Desk, at: str, warned: str) -> None:
    now = round(dt.datetime.fromisoformat(f"2026-05-04T{at}+02:00").timestamp()) * SECOND_NS
    settings = settings_of(desk, **NIGHT)
    assert (far_start(settings, Overrides(), now) or "").startswith(warned or "")
    assert bool(far_start(settings, Overrides(), now)) is bool(warned)


@pytest.mark.parametrize("quiet", [False, True])
def test_a_quiet_run_says_for_how_long_it_says_nothing(desk: Desk, sandbox: Factory, quiet: bool) -> None:
    api = sandbox()
    set_clock(desk, "2026-05-04T12:00:00")
    config = desk.config(api, campaign=ONE_CYCLE, pacing=NIGHT)
    options = ["-q"] if quiet else []
    said = desk("run", desk.upload("customer_id\n1,2\n"), "-c", config, "--yes", "--run-dir", "run", *options)
    assert said.code == 3  # so that nothing has to wait
    assert said.err.startswith("pacing.window 22:00-06:00 (Europe/Berlin): nothing starts before") is quiet
