"""Measure the rate that runs share: `python tests/bench/bench_pacing.py [SECONDS]` (default 10 for each line).

One, two and three processes start "requests" that cost nothing, as fast as their shared rate lets them, and record when
each started. Prints how much of the rate was used, the most starts in any window beyond it (promised: one for each
process), the smallest and the largest part of a process, CPU time for each start (the loop's own wake-ups included),
CPU time for each look into the file that reserves slots, and how long the loop was blocked by one. Goals: 99 % of the
rate alone, parts within 10 % of equal, 300 µs of CPU for a reservation.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from batch.sending.shared_pacing import SharedPacer

RATES = (20, 500, 3_000)
PROCESSES = (1, 2, 3)
SECOND = 1_000_000_000


class Measured(SharedPacer):
    """A pacer that takes the time of its looks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.look_count = self.cpu_ns = self.longest_ns = 0
        super().__init__(*args, **kwargs)

    def _look(self, now: int, *, reserve: bool) -> None:
        cpu, wall = time.process_time_ns(), time.perf_counter_ns()
        super()._look(now, reserve=reserve)
        self.look_count += 1
        self.cpu_ns += time.process_time_ns() - cpu
        self.longest_ns = max(self.longest_ns, time.perf_counter_ns() - wall)


async def start_until(pacer: SharedPacer, end: int) -> list[int]:
    """Start as often as the pacer lets us."""
    starts = []
    while (now := time.monotonic_ns()) < end:
        at = pacer.next_start_at(now)
        if at > now:
            await asyncio.sleep((at - now) / 1e9)
        else:
            pacer.started(now)
            starts.append(now)
    return starts


def work(folder: Path, name: str, rate: int, begin: int, end: int) -> None:
    """Be one of the processes."""
    time.sleep(max(0, begin - time.monotonic_ns()) / 1e9)
    pacer = Measured(folder, "bench", (rate, SECOND), run_id=name, now=time.monotonic_ns())
    cpu = time.process_time_ns()
    starts = asyncio.run(start_until(pacer, end))
    cpu = time.process_time_ns() - cpu
    pacer.close()
    looks = {"look_count": pacer.look_count, "look_cpu_ns": pacer.cpu_ns, "longest_ns": pacer.longest_ns}
    print(json.dumps({"starts": starts, "cpu_ns": cpu, **looks}))


def measure(rate: int, process_count: int, seconds: float) -> str:
    """Let so many processes share a rate; return one line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic_ns() + SECOND
        end = begin + int(seconds * SECOND)
        command = [sys.executable, __file__, "--work", folder]
        numbers = [str(rate), str(begin), str(end)]
        workers = [
            subprocess.Popen([*command, f"run {number}", *numbers], stdout=subprocess.PIPE)
            for number in range(process_count)
        ]
        found = [json.loads(worker.communicate()[0]) for worker in workers]
    starts = sorted(start for one in found for start in one["starts"])
    parts = [len(one["starts"]) / len(starts) for one in found]
    used = (len(starts) - 1) / ((starts[-1] - starts[0]) / SECOND) / rate
    cpu_us = sum(one["cpu_ns"] for one in found) / len(starts) / 1e3
    look_count = sum(one["look_count"] for one in found)
    look_us = sum(one["look_cpu_ns"] for one in found) / look_count / 1e3
    longest_ms = max(one["longest_ns"] for one in found) / 1e6
    beyond = most_in_any_second(starts) - rate
    shares = f"{min(parts):5.1%} {max(parts):5.1%}"
    return (
        f"{rate:>6} {process_count:>5} {used:>9.2%} {beyond:>+7} {shares:>14} {cpu_us:>9.1f} {look_us:>9.1f}"
        f" {look_count / seconds:>8.1f} {longest_ms:>8.2f}"
    )


def most_in_any_second(starts: list[int]) -> int:
    """Return the most starts in any second, whenever it begins."""
    first = most = 0
    for last, start in enumerate(starts):
        while starts[first] <= start - SECOND:
            first += 1
        most = max(most, last - first + 1)
    return most


def main() -> None:
    """Print the table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    print("                  rate  beyond        parts    CPU µs    CPU µs    looks   longest")
    print("rate/s  runs      used  in 1 s   least  most   a start    a look   a second  ms")
    for rate in RATES:
        for process_count in PROCESSES:
            print(measure(rate, process_count, seconds), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(Path(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:]))
    else:
        main()
