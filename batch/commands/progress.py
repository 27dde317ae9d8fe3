"""Show how sending goes: a bar for a person, a line every 30 seconds for a log.

What is shown is what the pool knows: how much is settled and how it ended, how fast requests start and how fast they
may, and what everybody waits for. The time left is that of the rest at the rate at which requests are settled now;
where that cannot be known, at the start and during and just after a hold, at the rate that is allowed.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
import textwrap
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Never, Protocol

import click

from batch.model import GROUP_OF, Group, Outcome
from batch.run.run_log import line_of

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from tqdm import tqdm

    from batch.model import Event

LINE_EVERY_S = 30
BAR_EVERY_S = 0.25
WINDOW_S = 60.0
"""Rates are those of the last minute, or of the last `ENOUGH` attempts where they were faster."""
ENOUGH = 50
KNOWN_AFTER_S = 10.0
"""A rate is not judged sooner, unless by `ENOUGH` attempts."""
WIDTH = 80
_BAR = 11
"""Columns for the percentage and the shortest bar."""
_WORTH_SAYING_S = 0.3
"""A shorter hold is over before it is read."""


class Pool(Protocol):
    """What is asked of a pool."""

    @property
    def settled(self) -> Counter[Outcome]:
        """Outcomes so far."""
        ...

    @property
    def per_s(self) -> float | None:
        """Starts per second at the rate in force, None without a limit."""
        ...

    @property
    def held_s(self) -> float:
        """For how many seconds from now nothing may start."""
        ...

    @property
    def attempts(self) -> int:
        """Attempts so far."""
        ...

    @property
    def stopping(self) -> bool:
        """Whether nothing starts any more."""
        ...

    @property
    def in_flight(self) -> int:
        """How many requests are out."""
        ...


@dataclass(frozen=True, slots=True)
class Moment:
    """How sending goes right now. Rates are per second, None where they are not known or not limited."""

    settled: int
    total: int
    ok: int
    invalid_user: int
    rate: float | None
    allowed: float | None
    left_s: float | None
    held_s: float
    why_held: str

    @property
    def other(self) -> int:
        """Requests that ended neither well nor as an invalid user."""
        return self.settled - self.ok - self.invalid_user


class Pulse:
    """Takes the pool's figures now and then, and says how fast things go."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._looks: deque[tuple[float, int, int]] = deque()
        """When, attempts, settled."""
        self._pace = 0.0
        """Requests settled in a second, when that was last known."""

    def feel(self, pool: Pool, now_s: float, why_held: str) -> Moment:
        """Return how sending goes at `now_s`, a time of a clock that only goes forward."""
        settled, outcomes = pool.settled.total(), pool.settled
        if pool.held_s >= _WORTH_SAYING_S:
            self._looks.clear()  # what a hold does to the rate is over when it ends
        self._looks.append((now_s, pool.attempts, settled))
        while len(self._looks) > 2 and self._is_past(self._looks[1], now_s, pool.attempts):
            self._looks.popleft()
        then, attempts_then, settled_then = self._looks[0]
        passed = now_s - then
        is_known = passed >= KNOWN_AFTER_S or (passed > 0 and pool.attempts - attempts_then >= ENOUGH)
        if is_known and settled > settled_then:
            self._pace = (settled - settled_then) / passed
        pace = self._pace if is_known or pool.per_s is None else self._allowed_pace(pool, settled)
        return Moment(
            settled=settled,
            total=self._total,
            ok=sum(count for outcome, count in outcomes.items() if GROUP_OF[outcome] is Group.DONE),
            invalid_user=outcomes[Outcome.INVALID_USER],
            rate=(pool.attempts - attempts_then) / passed if passed else None,
            allowed=pool.per_s,
            left_s=pool.held_s + (self._total - settled) / pace if pace else None,
            held_s=pool.held_s,
            why_held=why_held,
        )

    @staticmethod
    def _allowed_pace(pool: Pool, settled: int) -> float:
        """Return how many requests are settled in a second at the allowed rate, with as many attempts as so far."""
        share = settled / pool.attempts if pool.attempts >= ENOUGH else 1.0
        return (pool.per_s or 0.0) * share

    @staticmethod
    def _is_past(look: tuple[float, int, int], now_s: float, attempts: int) -> bool:
        """Whether the time since this look is enough to tell the rate."""
        return now_s - look[0] >= WINDOW_S or (attempts - look[1] >= ENOUGH and now_s - look[0] >= 1)


class Progress:
    """Follows one invocation: its pool as a bar or as lines, its events between them where they are wanted."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        self._why_held = ""
        self._bar: tqdm[Never] | None = None

    def event(self, event: Event) -> None:
        """Take an event. May be called from another thread."""
        if event.kind == "hold":
            self._why_held = str(event.facts.get("reason", ""))
        if not self._verbose:
            return
        text = textwrap.fill(line_of(event), WIDTH, subsequent_indent=" " * 9, break_on_hyphens=False)
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            click.echo(text, err=True)

    async def watch(self, pool: Pool, total: int) -> None:
        """Follow the pool until cancelled: a bar when stderr is a terminal, else a line now and then."""
        pulse = Pulse(total)
        if sys.stderr.isatty():
            await self._draw(pulse, pool, total)
        await self._say_now_and_then(pulse, pool)

    async def _say_now_and_then(self, pulse: Pulse, pool: Pool) -> None:
        said_at = time.monotonic()
        pulse.feel(pool, said_at, self._why_held)
        while not pool.stopping:
            await asyncio.sleep(min(BAR_EVERY_S, LINE_EVERY_S))
            if (now := time.monotonic()) - said_at >= LINE_EVERY_S:
                said_at = now
                moment = pulse.feel(pool, now, self._why_held)
                click.echo(f"settled {progress_text(moment, WIDTH - len('settled '))}", err=True)
        if pool.in_flight:
            click.echo(draining_text(pool.in_flight, WIDTH), err=True)

    async def _draw(self, pulse: Pulse, pool: Pool, total: int) -> None:
        from tqdm import tqdm

        form = "{percentage:3.0f}%|{bar}| {desc}"
        fixed = None if _terminal_columns() else WIDTH  # a terminal without a size would show nothing
        with tqdm(total=total, bar_format=form, ncols=fixed, dynamic_ncols=fixed is None, file=sys.stderr) as bar:
            self._bar = bar
            try:
                while not pool.stopping:
                    self._show(bar, pulse.feel(pool, time.monotonic(), self._why_held))
                    await asyncio.sleep(BAR_EVERY_S)
                while True:
                    bar.set_description_str(draining_text(pool.in_flight, _columns() - _BAR))
                    await asyncio.sleep(BAR_EVERY_S)
            finally:
                self._bar = None
                self._show(bar, pulse.feel(pool, time.monotonic(), self._why_held))

    @staticmethod
    def _show(bar: tqdm[Never], moment: Moment) -> None:
        bar.set_description_str(progress_text(moment, _columns() - _BAR), refresh=False)
        bar.n = moment.settled
        bar.refresh()


def progress_text(moment: Moment, width: int) -> str:
    """Return how sending goes in at most `width` columns; what matters least is shortened, then left out.

    Outcomes go last but for the count and the time left; before them why nothing starts, and how fast it might.
    """
    exact = "{:,}".format
    speed, brief = _speed(moment), _speed(moment, is_brief=True)
    left = "" if moment.left_s is None or moment.settled == moment.total else f"{_time(moment.left_s)} left"
    count = f"{_short(moment.settled)}/{_short(moment.total)}"
    candidates = (
        [f"{exact(moment.settled)}/{exact(moment.total)}", speed, left, _outcomes(moment, exact, "invalid user")],
        [count, speed, left, _outcomes(moment, _short, "invalid user")],
        [count, speed, left, _outcomes(moment, _short, "invalid")],
        [count, speed if moment.held_s else brief, "" if moment.held_s else left, _outcomes(moment, _short, "invalid")],
        [count, brief, left, _outcomes(moment, _short, "invalid")],
        [count, brief, _outcomes(moment, _short, "invalid")],
        [count, speed, left],
        [count, left],
    )
    texts = [", ".join(filter(None, parts)) for parts in candidates]
    return next((text for text in texts if len(text) <= width), texts[-1][: max(0, width)])


def draining_text(in_flight: int, width: int) -> str:
    """Return what a person is told while the pool drains, in at most `width` columns."""
    out = "1 request" if in_flight == 1 else f"{in_flight:,} requests"
    text = f"stopping: waiting for {out}; Ctrl-C leaves them in doubt"
    return text if len(text) <= width else text[: text.index(";")][: max(0, width)]


def _outcomes(moment: Moment, say: Callable[[int], str], invalid: str) -> str:
    return f"ok {say(moment.ok)}, {invalid} {say(moment.invalid_user)}, other {say(moment.other)}"


def _speed(moment: Moment, *, is_brief: bool = False) -> str:
    """Say how fast requests start and how fast they may, or for how long nothing may start, and why; or half of it."""
    if moment.held_s >= _WORTH_SAYING_S:
        why = f" ({moment.why_held})" if moment.why_held and not is_brief else ""
        held_s = math.ceil(moment.held_s)
        return f"held {f'{held_s} s' if held_s < 600 else _time(held_s)}{why}"
    if moment.rate is None:
        return ""
    fastest = moment.allowed if moment.allowed is not None else moment.rate
    scale, unit = (60.0, "min") if fastest < 2 else (1.0, "s")
    of = "" if moment.allowed is None or is_brief else f" of {moment.allowed * scale:.3g}"
    return f"{moment.rate * scale:.3g}{of}/{unit}"


def _short(count: int) -> str:
    """Say a large number in few signs: 12.3k, 1.23M."""
    if count < 10_000:
        return f"{count:,}"
    scaled, unit = (count / 1e6, "M") if count >= 999_500 else (count / 1e3, "k")
    return f"{scaled:.3g}{unit}"


def _time(seconds: float) -> str:
    """Say a duration in few signs: 8h20m, 3m05s, 40s."""
    left = max(1, round(seconds))
    if left < 60:
        return f"{left}s"
    if left < 3_600:
        return f"{left // 60}m{left % 60:02}s"
    return f"{left // 3_600:,}h{left % 3_600 // 60:02}m"


def _columns() -> int:
    return _terminal_columns() or WIDTH


def _terminal_columns() -> int:
    """Return the width of the terminal on stderr, 0 where there is none or it has no size."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        return 0
