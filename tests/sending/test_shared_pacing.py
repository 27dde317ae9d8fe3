from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.errors import LedgerFailed, UsageError
from batch.sending import pace_file
from batch.sending.pace_file import FILE_NAME, PaceFile, budget_key, sharers, state_folder
from batch.sending.pacing import LATE_NS
from batch.sending.processes import born, is_alive
from batch.sending.shared_pacing import ASK_AGAIN_NS, LOOK_NS, SILENT_NS, SharedPacer
from batch.sending.slots import GAP_NS, Sharer

SECOND = 1_000_000_000
START = 1_000 * SECOND
Rate = tuple[int, int]
RATES: list[Rate] = [(100, 60 * SECOND), (20, SECOND), (3_000, SECOND)]
BUDGET = budget_key("https://eu.api.example.com", "till.one")


def most_in_any_window(starts: list[int], window_ns: int) -> int:
    first = most = 0
    for last, start in enumerate(starts):
        while starts[first] <= start - window_ns:
            first += 1
        most = max(most, last - first + 1)
    return most


class Runs:
    """Several runs on one file, in one process, on one clock that jumps to whatever happens next."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = START
        self.pacers: dict[str, SharedPacer] = {}
        self.wakes: dict[str, int] = {}
        self.starts: list[tuple[int, str]] = []

    def join(self, name: str, rate: Rate | None, budget: str = BUDGET) -> SharedPacer:
        self.pacers[name] = SharedPacer(self.folder, budget, rate, run_id=name, now=self.now)
        self.wakes[name] = self.now
        return self.pacers[name]

    def leave(self, name: str) -> None:
        self.pacers.pop(name).close()
        del self.wakes[name]

    def die(self, name: str) -> SharedPacer:
        """Let a run do nothing any more; its process, which is ours, seems to live."""
        del self.wakes[name]
        return self.pacers.pop(name)

    def step(self, late_ns: int = 0) -> None:
        """Let the run that wakes next start a request, or sleep until it may; it wakes `late_ns` too late."""
        name = min(self.wakes, key=lambda name: (self.wakes[name], name))
        self.now = max(self.now, self.wakes[name])
        at = self.pacers[name].next_start_at(self.now)
        assert at >= self.now
        if at > self.now:
            self.wakes[name] = at + late_ns
        else:
            self.pacers[name].started(self.now)
            self.starts.append((self.now, name))

    def go_on(self, duration_ns: int, late_ns: int = 0) -> None:
        until = self.now + duration_ns
        while min(self.wakes.values()) < until:
            self.step(late_ns)
        self.now = until

    def times(self, since: int = 0, until: int = 1 << 62) -> list[int]:
        return [at for at, _ in self.starts if since <= at < until]

    def parts(self, since: int = 0) -> dict[str, float]:
        counts = Counter(name for at, name in self.starts if at >= since)
        return {name: count / counts.total() for name, count in counts.items()}

    def close(self) -> None:
        for pacer in self.pacers.values():
            pacer.close()


@contextlib.contextmanager
def runs_in_a_folder() -> Iterator[Runs]:
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(Runs(Path(folder))) as found:
        yield found


@pytest.fixture
def runs() -> Iterator[Runs]:
    with runs_in_a_folder() as found:
        yield found


@pytest.mark.parametrize("rate", [*RATES, (300, SECOND // 10)])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_whatever_happens_no_window_holds_more_than_the_rate_and_one_for_each_run(rate: Rate, seed: int) -> None:
    """Also that nothing starts during a hold, whichever run was told.

    Fails when a slot may be used however late it is, and when a run looks at epoch and hold only when it reserves.
    """
    chance = random.Random(seed)  # noqa: S311 - a thousand moves would be too many for hypothesis to draw
    held_until = late_ns = 0
    with runs_in_a_folder() as runs:
        names = (f"run {number}" for number in count())
        runs.join(next(names), rate)
        for _ in range(max(1_000, 4 * rate[0])):
            luck, chosen = chance.random() * rate[0], chance.choice(list(runs.pacers))  # so much a window
            if luck < 1:
                late_ns = chance.choice([0, 0, 1, 5, 9, 19, 60]) * 1_000_000
            elif luck < 1.4 and len(runs.pacers) < 3:
                runs.join(next(names), rate)
            elif luck < 1.8 and len(runs.pacers) > 1:
                runs.leave(chosen)
            elif luck < 2:
                runs.wakes[chosen] = runs.now + chance.randrange(4 * SECOND)
            elif luck < 2.2:
                held_until = max(held_until, runs.now + chance.randrange(rate[1] // 3))
                runs.pacers[chosen].hold_until(held_until)
            elif luck < 2.6:
                runs.pacers[chosen].beat(runs.now)
            elif luck < 3:
                runs.pacers[chosen].slow_to(chance.choice([0, 0, 2, 10]) * rate[1] // rate[0])
            started_count = len(runs.starts)
            runs.step(chance.choice([late_ns, late_ns, chance.randrange(late_ns + 1)]))
            assert len(runs.starts) == started_count or runs.now >= held_until
        assert most_in_any_window(runs.times(), rate[1]) <= rate[0] + 3


@pytest.mark.parametrize("late_ns", [500_000, 5_000_000, 9_900_000, LATE_NS])
def test_starts_that_were_late_and_then_no_longer_are_paid_for_in_advance(runs: Runs, late_ns: int) -> None:
    """Fails without the longer interval that pays for the tolerance."""
    for name in ("one", "other"):
        runs.join(name, (3_000, SECOND))
    runs.go_on(3 * SECOND // 2, late_ns)
    runs.go_on(3 * SECOND // 2)
    assert most_in_any_window(runs.times(), SECOND) <= 3_000 + 2


@pytest.mark.parametrize("comes_first", [True, False])
def test_late_starts_of_one_epoch_do_not_meet_those_of_the_next(runs: Runs, comes_first: bool) -> None:
    """Fails without the gap between epochs, and without a new epoch when a run leaves."""
    runs.join("one", (3_000, SECOND))
    if comes_first:
        runs.join("other", (3_000, SECOND))
    runs.go_on(3 * SECOND // 2, 9_900_000 if comes_first else LATE_NS - 1)
    if comes_first:
        runs.leave("other")
    else:
        runs.join("other", (3_000, SECOND))
    runs.go_on(3 * SECOND // 2)
    assert most_in_any_window(runs.times(), SECOND) <= 3_000 + 2


@pytest.mark.parametrize("rate", RATES)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_run_that_is_alone_never_exceeds_its_rate_in_any_window(rate: Rate, seed: int) -> None:
    """Fails without the log of real starts."""
    chance = random.Random(seed)  # noqa: S311 - a thousand moves would be too many for hypothesis to draw
    with runs_in_a_folder() as runs:
        pacer = runs.join("alone", rate)
        for _ in range(3 * rate[0]):
            if chance.random() < 0.01:
                pacer.hold_until(runs.now + chance.randrange(rate[1] // 10))
            runs.step(chance.randrange(2 * LATE_NS) if chance.random() < 0.1 else 0)
        assert most_in_any_window(runs.times(), rate[1]) <= rate[0]


@pytest.mark.parametrize("rate", RATES)
def test_a_run_that_is_alone_has_the_whole_rate_evenly_from_the_first_start_on(runs: Runs, rate: Rate) -> None:
    pacer = runs.join("alone", rate)
    while len(runs.starts) < 2 * rate[0] + 1:
        runs.step()
    times = runs.times()
    assert times[0] == START
    assert {b - a for a, b in pairwise(times)} <= {pacer.interval_ns, pacer.interval_ns - 1}


@pytest.mark.parametrize("rate", RATES)
def test_small_delays_cost_a_run_that_is_alone_almost_no_rate(runs: Runs, rate: Rate) -> None:
    runs.join("alone", rate)
    late = random.Random(1)  # noqa: S311
    while len(runs.starts) < 3 * rate[0]:
        runs.step(late.randrange(3_000_000))
    assert runs.now - START <= 3 * rate[1] * 1.01


@pytest.mark.parametrize("rate", [(100, 6 * SECOND), *RATES[1:]])
@pytest.mark.parametrize("run_count", [2, 3])
def test_runs_with_equal_demand_have_equal_parts_of_the_whole_rate(runs: Runs, rate: Rate, run_count: int) -> None:
    for number in range(run_count):
        runs.join(f"run {number}", rate)
    runs.go_on(10 * SECOND)
    assert len(runs.starts) >= 0.98 * 10 * SECOND / rate[1] * rate[0]
    assert all(0.9 <= part * run_count <= 1.1 for part in runs.parts().values())


def test_a_run_that_wants_little_leaves_the_rest_to_the_other(runs: Runs) -> None:
    """Fails when a run reserves as many slots as it may, whatever it used of the last ones."""
    runs.join("busy", (500, SECOND))
    modest = runs.join("modest", (500, SECOND))
    for _ in range(50):
        runs.go_on(100_000_000)
        runs.wakes["modest"] = runs.now + 100_000_000  # it starts one request, then waits for its answer
        at = modest.next_start_at(runs.now)
        if at == runs.now:
            modest.started(runs.now)
    assert len([name for _, name in runs.starts if name == "busy"]) >= 0.9 * 500 * 5


def test_the_lowest_rate_among_the_runs_holds_for_all_and_no_longer_than_its_run(runs: Runs) -> None:
    runs.join("fast", (3_000, SECOND))
    runs.go_on(SECOND)
    runs.join("slow", (10, SECOND))
    joined_at = runs.now
    runs.go_on(5 * SECOND)
    assert most_in_any_window(runs.times(joined_at), SECOND) <= 10 + 2
    assert all(0.45 <= part <= 0.55 for part in runs.parts(joined_at).values())
    runs.leave("slow")
    assert [sharer.run_id for sharer in sharers(runs.folder, runs.now)] == ["fast"]
    left_at = runs.now
    runs.go_on(2 * SECOND)
    assert len(runs.times(left_at + SECOND)) >= 0.98 * 3_000


def test_a_run_that_was_not_seen_for_two_seconds_no_longer_counts_and_joins_again_when_it_goes_on(runs: Runs) -> None:
    runs.join("fast", (50, SECOND))
    runs.join("slow", (1, 60 * SECOND))
    runs.go_on(SECOND)
    sleeping = runs.die("slow")
    slept_at = runs.now
    runs.go_on(4 * SECOND)
    assert len(runs.times(slept_at + 3 * SECOND)) >= 49
    runs.pacers["slow"], runs.wakes["slow"] = sleeping, runs.now
    woke_at = runs.now
    runs.go_on(120 * SECOND)
    assert most_in_any_window(runs.times(woke_at + SECOND), 60 * SECOND) <= 1 + 2


def test_a_run_that_only_waits_for_answers_counts_as_long_as_it_beats(runs: Runs) -> None:
    runs.join("fast", (50, SECOND))
    waiting = runs.join("slow", (1, SECOND))
    del runs.wakes["slow"]
    for _ in range(20):
        runs.go_on(SECOND // 2)
        waiting.beat(runs.now)
    assert most_in_any_window(runs.times(), SECOND) <= 1 + 2


def test_a_run_without_a_limit_is_only_held_and_slowed_by_others(runs: Runs) -> None:
    free = runs.join("free", None)
    other = runs.join("other", None)
    assert [free.next_start_at(runs.now) for _ in range(3)] == [runs.now] * 3
    assert free.interval_ns == 0
    other.hold_until(runs.now + SECOND // 4)
    assert free.next_start_at(runs.now) == free.held_until == runs.now + SECOND // 4
    limited = runs.join("limited", (10, SECOND))
    runs.now += SECOND // 4
    assert limited.next_start_at(runs.now) == runs.now
    assert free.next_start_at(runs.now) == runs.now + limited.interval_ns


def test_a_run_without_a_limit_sees_at_once_when_a_limited_one_takes_the_place_of_another(runs: Runs) -> None:
    free = runs.join("free", None)
    runs.join("other", None)
    assert free.next_start_at(runs.now) == runs.now
    runs.leave("other")
    limited = runs.join("limited", (10, SECOND))
    assert limited.next_start_at(runs.now) == runs.now
    assert free.next_start_at(runs.now) == runs.now + limited.interval_ns


def test_all_runs_slow_down_together_and_go_back_to_the_rate_together(runs: Runs) -> None:
    runs.join("one", (100, SECOND))
    slowed = runs.join("other", (100, SECOND))
    runs.go_on(SECOND)
    slowed.slow_to(SECOND // 10)
    runs.go_on(SECOND)
    slowed_at = runs.now
    runs.go_on(3 * SECOND)
    assert most_in_any_window(runs.times(slowed_at), SECOND) <= 10 + 2
    slowed.slow_to(1)
    runs.go_on(SECOND)
    back_at = runs.now
    runs.go_on(3 * SECOND)
    assert len(runs.times(back_at)) >= 0.98 * 300
    assert most_in_any_window(runs.times(), SECOND) <= 100 + 2


@pytest.mark.parametrize("hold_ns", [5 * SECOND, 70_000_000])
def test_a_hold_that_one_run_was_told_holds_all_also_those_that_have_reserved(runs: Runs, hold_ns: int) -> None:
    one, other = runs.join("one", (20, SECOND)), runs.join("other", (20, SECOND))
    runs.go_on(SECOND)
    held_at, until = runs.now, runs.now + hold_ns
    one.hold_until(until)
    one.hold_until(until - SECOND)
    runs.go_on(10 * SECOND)
    assert other.held_until == until
    times = runs.times(held_at)
    assert until <= times[0] <= until + SECOND // 10
    assert min(b - a for a, b in pairwise(times)) == SECOND // 20
    assert all(0.45 <= part <= 0.55 for part in runs.parts(until).values())


def test_an_answer_is_never_far_ahead_because_others_may_leave(runs: Runs) -> None:
    pacer = runs.join("one", (1, 60 * SECOND))
    runs.step()
    assert pacer.next_start_at(runs.now) == runs.now + LOOK_NS


def test_a_slot_that_was_missed_is_given_back_when_nobody_has_reserved_behind_it(runs: Runs) -> None:
    pacer = runs.join("one", (100, 60 * SECOND))
    runs.step()
    runs.step()
    runs.now += pacer.interval_ns + LATE_NS + 1
    assert pacer.next_start_at(runs.now) == runs.now
    pacer.started(runs.now)
    assert pacer.next_start_at(runs.now) == runs.now + LOOK_NS
    assert pacer.next_start_at(runs.now + LOOK_NS) == runs.now + pacer.interval_ns


def test_a_slot_far_ahead_is_void_when_the_rate_grows_back(runs: Runs) -> None:
    pacer = runs.join("one", (20, SECOND))
    pacer.slow_to(600 * SECOND)
    runs.go_on(10 * SECOND)
    assert len(runs.starts) == 1
    pacer.slow_to(0)
    runs.go_on(2 * SECOND)
    assert len(runs.starts) >= 20


def test_runs_of_other_credentials_hosts_and_ports_do_not_influence_each_other(runs: Runs) -> None:
    budgets = [
        budget_key(url, credential)
        for url in ("https://eu.api.example.com", "https://in.api.example.com", "https://eu.api.example.com:8443")
        for credential in ("till.one", "till.two")
    ]
    assert len(set(budgets)) == 6
    first = runs.join("first", (1, SECOND), budgets[0])
    first.hold_until(runs.now + 60 * SECOND)
    del runs.wakes["first"]
    for number, budget in enumerate(budgets[1:]):
        runs.join(f"run {number}", (50, SECOND), budget)
    runs.go_on(2 * SECOND)
    counts = Counter(name for _, name in runs.starts)
    assert set(counts.values()) == {100}
    assert len(counts) == 5


def test_a_budget_belongs_to_scheme_host_and_port_and_to_the_credential() -> None:
    same = ["https://EU.api.example.com", "https://eu.api.example.com:443/gateway/v3", "https://eu.api.example.com./"]
    assert {budget_key(url, "till.one") for url in same} == {BUDGET}
    assert BUDGET.startswith("https://eu.api.example.com:443 ")
    assert budget_key("http://[::1]:8080", "x").startswith("http://[::1]:8080 ")


def test_the_credential_is_nowhere_in_the_file(runs: Runs) -> None:
    pacer = runs.join("one", (10, SECOND), budget_key("https://eu.api.example.com", "very-secret"))
    pacer.next_start_at(runs.now)
    files = list(runs.folder.iterdir())
    assert files
    assert all(b"very-secret" not in path.read_bytes() for path in files)


def test_the_state_folder_is_the_one_that_is_set_else_the_users(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert state_folder({"ENROLL_BATCH_STATE": str(tmp_path)}) == tmp_path
    monkeypatch.chdir(tmp_path)
    assert state_folder({"ENROLL_BATCH_STATE": "state"}) == tmp_path / "state"
    assert state_folder({"ENROLL_BATCH_STATE": " "}) == state_folder({})
    assert state_folder({}).name == "enroll-batch"


def test_status_sees_who_shares_which_host_with_which_rate(runs: Runs) -> None:
    assert sharers(runs.folder, runs.now) == []
    runs.join("one", (100, 60 * SECOND))
    slowed = runs.join("two", None, budget_key("http://127.0.0.1:8080", "x"))
    slowed.slow_to(SECOND)
    runs.now += SECOND
    runs.go_on(SECOND)
    found = sharers(runs.folder, runs.now)
    assert [(s.host, s.run_id, s.pid) for s in found] == [
        ("http://127.0.0.1:8080", "two", os.getpid()),
        ("https://eu.api.example.com:443", "one", os.getpid()),
    ]
    assert [(s.max_starts, s.window_ns, s.interval_ns) for s in found] == [
        (None, None, SECOND),
        (100, 60 * SECOND, 600_000_000),
    ]
    assert sharers(runs.folder, runs.now + 3 * SECOND) == []


def test_after_a_reboot_the_row_starts_anew(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    pacer = runs.join("before", (100, 60 * SECOND))
    runs.go_on(SECOND)
    pacer.hold_until(runs.now + SECOND)
    monkeypatch.setattr(pace_file, "boot_id", lambda: "another boot")
    runs.now = 30 * SECOND
    after = runs.join("after", (100, 60 * SECOND))
    assert after.next_start_at(runs.now) == runs.now
    assert after.sharer_count == 1


def test_without_a_boot_id_times_far_ahead_are_leftovers(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace_file, "boot_id", lambda: "")
    runs.now = 1_000_000 * SECOND
    pacer = runs.join("before", (100, 60 * SECOND))
    runs.go_on(SECOND)
    pacer.hold_until(runs.now + 60 * SECOND)
    runs.now = 30 * SECOND
    after = runs.join("after", (100, 60 * SECOND))
    runs.now += after.interval_ns + GAP_NS
    assert after.next_start_at(runs.now) == runs.now
    assert after.sharer_count == 1


def test_a_damaged_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database, but long enough to look like one" * 100)
    with pytest.raises(UsageError) as refusal:
        SharedPacer(tmp_path, BUDGET, None, run_id="one", now=START)
    assert "is damaged" in refusal.value.text
    assert "delete it while no run is sending" in refusal.value.text
    with pytest.raises(UsageError):
        sharers(tmp_path, START)


@pytest.mark.parametrize("trap", ["a file as folder", "a folder as file", "a folder that cannot be made"])
def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path, trap: str) -> None:
    folder = Path("/proc/no-such-folder") if "cannot be made" in trap else tmp_path / "state"
    if trap == "a file as folder":
        folder.write_text("")
    elif trap == "a folder as file":
        (folder / FILE_NAME).mkdir(parents=True)
    with pytest.raises(UsageError) as refusal:
        SharedPacer(folder, BUDGET, None, run_id="one", now=START)
    assert "set ENROLL_BATCH_STATE to a folder that can be written" in refusal.value.text
    assert str(folder) in refusal.value.text
    assert "\n" not in refusal.value.text


def test_when_the_file_fails_nothing_starts_and_one_clear_line_says_so(runs: Runs) -> None:
    pacer = runs.join("one", (10, SECOND))
    with contextlib.closing(sqlite3.connect(runs.folder / FILE_NAME)) as other:
        other.executescript("DROP TABLE pace; DROP TABLE sharer")
    pacer.hold_until(runs.now + 1)
    pacer.beat(runs.now + SECOND)
    with pytest.raises(LedgerFailed, match=r"pace.sqlite: .*nothing more is sent"):
        pacer.next_start_at(runs.now + SECOND)


def test_a_busy_file_is_asked_again_and_in_the_end_it_counts_as_failing(runs: Runs) -> None:
    pacer = runs.join("one", (10, SECOND))
    other_run = runs.join("other", (10, SECOND))
    with contextlib.closing(sqlite3.connect(runs.folder / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert pacer.next_start_at(runs.now) == runs.now + ASK_AGAIN_NS
        pacer.hold_until(runs.now + SECOND)
        assert pacer.next_start_at(runs.now + SILENT_NS - 1) > runs.now + SILENT_NS - 1
        with pytest.raises(LedgerFailed, match="locked"):
            pacer.next_start_at(runs.now + SILENT_NS)
        other.execute("ROLLBACK")
    assert pacer.next_start_at(runs.now) > runs.now
    assert other_run.next_start_at(runs.now) > runs.now
    assert other_run.held_until == runs.now + SECOND


def test_a_process_with_the_number_of_a_dead_one_is_another() -> None:
    pid = os.getpid()
    assert is_alive(pid, born(pid))
    assert not is_alive(pid, born(pid) + "1")
    assert is_alive(pid, "another-namespace 1")


def test_a_zombie_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        born_as = born(child.pid)
        assert is_alive(child.pid, born_as)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(child.pid, born_as)
    assert not is_alive(child.pid, born_as)


def test_a_run_whose_process_died_no_longer_counts_at_the_next_look(runs: Runs) -> None:
    pacer = runs.join("one", (50, SECOND))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        dead = Sharer(BUDGET, "dead", child.pid, born(child.pid), 1, SECOND, SECOND, runs.now + SECOND)
        with contextlib.closing(PaceFile(runs.folder, BUDGET)) as file:
            file.put_sharer(dead)
        pacer.next_start_at(runs.now + LOOK_NS)
        assert (pacer.sharer_count, pacer.interval_ns) == (2, SECOND)
        child.kill()
    pacer.next_start_at(runs.now + 2 * LOOK_NS)
    assert (pacer.sharer_count, pacer.interval_ns) == (1, SECOND // 50)


SENDER = """
import asyncio, sys, time
from pathlib import Path
from batch.sending.shared_pacing import SharedPacer

async def send(folder, name, max_starts):
    pacer = SharedPacer(folder, "host x", (max_starts, 10**9), run_id=name, now=time.monotonic_ns())
    with open(folder / name, "a", buffering=1) as log:
        while True:
            now = round(asyncio.get_running_loop().time() * 1e9)
            at = pacer.next_start_at(now)
            if at > now:
                await asyncio.sleep((at - now) / 1e9)
            else:
                pacer.started(now)
                log.write(f"{now} {pacer.sharer_count}\\n")

asyncio.run(send(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
"""


class Senders:
    """Real processes that start as much as they may, and write down when, and how many they saw sharing."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, max_starts: int) -> None:
        (self.folder / name).touch()
        process = subprocess.Popen([sys.executable, "-c", SENDER, str(self.folder), name, str(max_starts)])
        self.processes[name] = process
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)

    def kill(self, name: str) -> int:
        """Kill a process, leave it a zombie, and return when."""
        self.processes.pop(name).kill()
        return time.monotonic_ns()

    def log(self, name: str) -> list[tuple[int, int]]:
        lines = (self.folder / name).read_text().splitlines(keepends=True)
        whole = [line.split() for line in lines if line.endswith("\n")]
        return [(int(at), int(sharer_count)) for at, sharer_count in whole]

    def starts(self, *names: str) -> list[int]:
        return sorted(at for name in names for at, _ in self.log(name))

    def wait_until(self, name: str, time_ns: int) -> None:
        """Wait until a process has written a start as late as that."""
        while (self.starts(name) or [0])[-1] < time_ns:
            assert self.processes[name].poll() is None
            time.sleep(0.05)

    def has_whole_rate(self, name: str, max_starts: int, since: int) -> bool:
        """Return whether a process has nearly its rate in the second after `since`, or a later one if it starved."""
        for second in range(30):
            first = since + second * SECOND
            self.wait_until(name, first + SECOND)
            if len([at for at in self.starts(name) if first <= at < first + SECOND]) >= 0.9 * max_starts:
                return True
        return False


@pytest.fixture
def senders(tmp_path: Path) -> Iterator[Senders]:
    with contextlib.ExitStack() as stack:
        yield Senders(tmp_path, stack)


def test_two_processes_share_a_rate_and_when_one_is_killed_the_other_has_all_of_it(senders: Senders) -> None:
    names = ("killed", "other")
    for name in names:
        senders.start(name, 50)
    for name in names:
        senders.wait_until(name, 1)
    senders.wait_until("other", time.monotonic_ns() + 4 * SECOND)
    killed_at = senders.kill("killed")
    assert senders.has_whole_rate("other", 50, killed_at + 2 * SECOND)
    assert {sharer_count for at, sharer_count in senders.log("other") if at >= killed_at + 2 * SECOND} == {1}
    assert most_in_any_window(senders.starts(*names), SECOND) <= 50 + 2
    assert min(len(senders.starts(name)) for name in names) >= 50


def test_a_killed_process_no_longer_slows_the_others_down_after_two_seconds(senders: Senders) -> None:
    senders.start("killed", 2)
    senders.wait_until("killed", 1)
    senders.start("other", 50)
    senders.wait_until("other", 1)
    killed_at = senders.kill("killed")
    assert senders.has_whole_rate("other", 50, killed_at + 2 * SECOND)
    assert len([at for at in senders.starts("other") if at < killed_at]) <= 3


def test_processes_that_start_at_the_same_moment_all_find_their_place(senders: Senders) -> None:
    names = [f"run {number}" for number in range(6)]
    for name in names:
        senders.start(name, 60)
    for name in names:
        senders.wait_until(name, 1)
    assert most_in_any_window(senders.starts(*names), SECOND) <= 60 + 6
