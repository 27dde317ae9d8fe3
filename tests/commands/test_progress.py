"""What is seen while a run sends: a bar by a person, plain lines by a log, nothing by a program."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from batch.commands import progress
from batch.model import Event, Outcome
from tests.commands.conftest import Desk, Factory, customers

ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}
WIDTH = 80


def test_a_log_gets_a_line_now_and_then_and_no_bar(
    desk: Desk, sandbox: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.05)
    said = desk.run(sandbox(latency_ms=50), customers([7, *range(90, 100)]), "--concurrency", "2", campaign=ONE_CYCLE)
    assert said.code == 4
    lines = said.err.splitlines()
    assert len(lines) >= 2
    for line in lines:
        assert re.fullmatch(r"settled \d+/11, .*, ok \d+, invalid user \d+, other \d+", line), line
        assert len(line) <= WIDTH
    assert "%|" not in said.out + said.err


def test_json_prints_the_summary_alone_on_stdout(desk: Desk, sandbox: Factory) -> None:
    said = desk.run(sandbox(), customers([1, 2]), "--json")
    assert said.code == 0
    assert json.loads(said.out) == desk.summary()
    assert "2  rows read" in said.err
    report = desk("report", "run", "--json")
    assert json.loads(report.out) == json.loads(said.out)


@pytest.mark.parametrize("command", ["run", "resume"])
def test_quiet_prints_nothing(desk: Desk, sandbox: Factory, command: str) -> None:
    limit = ("--limit", "1") if command == "resume" else ()
    said = desk.run(sandbox(), customers([1, 2]), "--quiet", *limit)
    if command == "resume":
        said = desk("resume", "run", "--yes", "-q")
    assert said == type(said)(code=0, out="", err="")


def test_quiet_keeps_errors(desk: Desk, sandbox: Factory) -> None:
    said = desk.run(sandbox(), "customer_id\nnobody\n", "--quiet")
    assert said.code == 3
    assert said.out == ""
    assert said.err.startswith("Error: ")


def on_a_terminal(
    desk: Desk, command: list[str], typed: bytes = b"", *, columns: int = WIDTH, interrupted_at: bytes = b""
) -> tuple[int, str]:
    """Run a command on a terminal; return its exit code and all that the terminal showed.

    `interrupted_at`: SIGINT, as by Ctrl-C, comes when this is shown.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.write(ours, typed)
    process = subprocess.Popen(
        [sys.executable, "-m", "batch", *command], cwd=desk.folder, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 65536):
            shown += block
            if interrupted_at and interrupted_at in shown:
                interrupted_at = b""
                process.send_signal(signal.SIGINT)
    except OSError:  # how Linux says that nobody holds the other end any more
        pass
    os.close(ours)
    return process.wait(), shown.decode()


def test_a_person_sees_a_bar_that_fits_the_terminal(desk: Desk, sandbox: Factory) -> None:
    config = desk.config(sandbox(latency_ms=50), campaign=ONE_CYCLE)
    upload = desk.upload(customers(range(180, 200)))
    code, shown = on_a_terminal(desk, ["run", str(upload), "-c", str(config), "--yes", "--run-dir", "run"])
    assert code == 4
    bars = [piece for piece in re.split(r"[\r\n]+", shown) if "%|" in piece]
    assert len(bars) >= 2
    assert "20/20" in bars[-1]
    assert "ok 19, invalid user 1, other 0" in bars[-1]
    for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", shown)):
        assert len(line) <= WIDTH or str(desk.folder) in line  # a broken path is of no use to anybody


def test_a_terminal_that_tells_no_size_shows_the_bar_too(desk: Desk, sandbox: Factory) -> None:
    config = desk.config(sandbox(), campaign=ONE_CYCLE)
    upload = desk.upload(customers([1]))
    _, shown = on_a_terminal(desk, ["run", str(upload), "-c", str(config), "--yes", "--run-dir", "run"], columns=0)
    assert "%|" in shown


def test_a_person_who_interrupts_is_told_what_is_waited_for(desk: Desk, sandbox: Factory) -> None:
    config = desk.config(sandbox(latency_ms=1500), campaign=ONE_CYCLE)
    upload = desk.upload(customers(range(100, 140)))
    command = ["run", str(upload), "-c", str(config), "--yes", "--run-dir", "run", "--concurrency", "3"]
    code, shown = on_a_terminal(desk, command, interrupted_at=b"1/40")
    assert code == 7
    assert re.search(r"stopping: waiting for [1-3] requests?; Ctrl-C leaves them in doubt", shown)


@pytest.mark.parametrize(("answer", "code", "sent"), [("y", 0, 1), ("n", 7, 0), ("", 7, 0)])
def test_a_person_is_asked_before_a_real_target_is_changed(
    desk: Desk, sandbox: Factory, answer: str, code: int, sent: int
) -> None:
    api = sandbox()
    config = desk.config(api, campaign={"action": "unenroll"})
    upload = desk.upload(customers([7]))
    command = ["run", str(upload), "-c", str(config), "--run-dir", "run"]
    ended, shown = on_a_terminal(desk, command, f"{answer}\n".encode())
    assert ended == code
    assert api.calls["unenroll"] == sent
    assert "1 of them UNENROLL a customer" in " ".join(shown.split())
    assert api.url in shown


@dataclass
class Figures:
    """A pool as far as progress looks at it."""

    settled: Counter[Outcome] = field(default_factory=Counter)
    per_s: float | None = None
    held_s: float = 0.0
    attempts: int = 0
    stopping: bool = False
    in_flight: int = 0


def test_rates_and_the_time_left_are_those_of_the_last_minute() -> None:
    pool, pulse = Figures(per_s=2.0), progress.Pulse(1000)
    first = pulse.feel(pool, 0.0, "")
    assert (first.rate, first.left_s) == (None, 500)
    for second in range(1, 201):
        pool.attempts += 1 if second <= 100 else 2
        pool.settled[Outcome.ENROLLED] += 1
        moment = pulse.feel(pool, float(second), "")
    assert moment.rate == pytest.approx(2, rel=0.05)
    assert moment.left_s == pytest.approx(800)


def test_a_hold_is_part_of_the_time_left() -> None:
    pool = Figures(Counter({Outcome.ENROLLED: 10}), per_s=10.0, held_s=30.0)
    assert progress.Pulse(110).feel(pool, 0.0, "HTTP 429").left_s == pytest.approx(40)


def test_the_time_left_does_not_grow_while_nothing_may_start() -> None:
    """Fails when the rate of the time before a hold, ever slower, is taken for that of the time after it."""
    pool, pulse = Figures(per_s=2.0), progress.Pulse(1000)
    for second in range(100):
        pool.attempts += 2
        pool.settled[Outcome.ENROLLED] += 2
        pulse.feel(pool, float(second), "")
    left = []
    for quarter in range(81):
        pool.held_s = 20 - quarter / 4
        left.append(pulse.feel(pool, 99 + quarter / 4, "HTTP 429").left_s or 0)
    assert left == sorted(left, reverse=True)
    assert left[0] == pytest.approx(20 + 800 / 2)
    pool.attempts, pool.held_s = pool.attempts + 1, 0
    assert pulse.feel(pool, 120, "").left_s == pytest.approx(800 / 2, rel=0.01)


def test_attempts_that_settle_nothing_make_the_rest_take_longer() -> None:
    pool, pulse = Figures(per_s=2.0), progress.Pulse(1000)
    for second in range(101):
        pool.attempts += 2
        pool.settled[Outcome.ENROLLED] += 1
        known = pulse.feel(pool, float(second), "")
    assert known.left_s == pytest.approx(899 / 1)
    pool.held_s = 10
    assert pulse.feel(pool, 101.0, "HTTP 429").left_s == pytest.approx(10 + 899 / 1)


def moment(**changed: Any) -> progress.Moment:
    usual = progress.Moment(
        settled=4213, total=10_000, ok=4100, invalid_user=80, rate=1.6, allowed=1.67, left_s=3480, held_s=0, why_held=""
    )
    return replace(usual, **changed)


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (moment(), "4,213/10,000, 96 of 100/min, 58m00s left, ok 4,100, invalid user 80, other 33"),
        (moment(allowed=None, rate=812.3), "4,213/10,000, 812/s, 58m00s left, ok 4,100, invalid user 80, other 33"),
        (
            moment(held_s=36_000, why_held="waiting for 22:00 UTC"),
            "4,213/10,000, held 10h00m (waiting for 22:00 UTC), 58m00s left, ok 4,100, invalid user 80, other 33",
        ),
        (
            moment(held_s=11.2, why_held="HTTP 429"),
            "4,213/10,000, held 12 s (HTTP 429), 58m00s left, ok 4,100, invalid user 80, other 33",
        ),
        (
            moment(settled=10_000, ok=9_887),
            "10,000/10,000, 96 of 100/min, ok 9,887, invalid user 80, other 33",
        ),
        (moment(rate=None, left_s=None), "4,213/10,000, ok 4,100, invalid user 80, other 33"),
    ],
)
def test_the_text_says_what_is_done_how_fast_and_what_is_waited_for(now: progress.Moment, text: str) -> None:
    assert progress.progress_text(now, 100) == text


@pytest.mark.parametrize("width", [66, 72, 40, 20])
def test_the_text_fits_however_large_the_run(width: int) -> None:
    large = moment(
        settled=1_234_567, total=9_999_999, ok=1_200_000, invalid_user=30_000, rate=2987.6, allowed=3000.0,
        left_s=36_000 * 24, held_s=33, why_held="HTTP 503",
    )  # fmt: skip
    text = progress.progress_text(large, width)
    assert len(text) <= width
    assert "1.23M" in text


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (moment(), "4,213/10k, 96 of 100/min, 58m00s left, ok 4,100, invalid 80, other 33"),
        (
            moment(held_s=11.2, why_held="HTTP 429"),
            "4,213/10k, held 12 s (HTTP 429), ok 4,100, invalid 80, other 33",
        ),
        (
            moment(held_s=11.2, why_held="no answer within 30 s"),
            "4,213/10k, held 12 s, 58m00s left, ok 4,100, invalid 80, other 33",
        ),
    ],
)
def test_outcomes_are_seen_beside_the_shortest_bar_of_a_narrow_terminal(now: progress.Moment, text: str) -> None:
    assert progress.progress_text(now, WIDTH - progress._BAR) == text


def test_why_nothing_starts_is_what_the_last_hold_says(capsys: pytest.CaptureFixture[str]) -> None:
    shown = progress.Progress(verbose=True)
    shown.event(Event(36_000 * 10**9, "hold", "4.0 s: HTTP 429", {"held_s": 4.0, "reason": "HTTP 429"}))
    shown.event(Event(36_001 * 10**9, "rate", "4.00/s: lowered after HTTP 429", {"reason": "lowered after HTTP 429"}))
    assert shown._why_held == "HTTP 429"
    assert capsys.readouterr().err.splitlines() == [
        "10:00:00 hold: 4.0 s: HTTP 429", "10:00:01 rate: 4.00/s: lowered after HTTP 429",
    ]  # fmt: skip


def test_events_stand_above_the_bar_and_fit_the_terminal(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(latency_ms=20, limit_per_min=600, limit_window_s=1, retry_after="seconds")
    config = desk.config(api, campaign=ONE_CYCLE, pacing={"rate": "60/s"})
    upload = desk.upload(customers(range(100, 150)))
    _, shown = on_a_terminal(desk, ["run", str(upload), "-c", str(config), "--yes", "--run-dir", "run", "-v"])
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", shown))
    assert [line for line in lines if re.match(r"\d\d:\d\d:\d\d hold: ", line)]
    assert any("held 1 s (HTTP 429)" in line for line in lines)
    assert not [line for line in lines if len(line) > WIDTH and str(desk.folder) not in line]


def test_quiet_says_in_one_line_why_a_run_stopped(desk: Desk, sandbox: Factory) -> None:
    said = desk.run(sandbox(), customers(range(100, 400)), "-q", guard={"stop_when": {"failed": "1%"}, "minimum": 10},
                    campaign={"cycles": ["nonsense"]})  # fmt: skip
    assert said.out == ""
    (line,) = said.err.strip().splitlines()
    assert line.startswith(f"Error: {desk.folder / 'run'}: ")
    assert f"enroll-batch resume {desk.folder / 'run'}" in line


def test_a_run_whose_output_nobody_takes_ends_as_it_ends(desk: Desk, sandbox: Factory) -> None:
    config, upload = desk.config(sandbox(), campaign=ONE_CYCLE), desk.upload(customers([1]))
    command = [sys.executable, "-m", "batch", "run", str(upload), "-c", str(config), "--yes", "--run-dir", "run"]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        ended = subprocess.run(
            [*command, "--json"], cwd=desk.folder, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.returncode == 0
    assert "standard output cannot be written (No space left on device)" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert desk.outcomes() == {"enrolled": 1}
