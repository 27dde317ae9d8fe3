"""While a run sends, when it has ended, and when a night has: the figures are written where the config says.

Joins the pool, the accounts and the metrics file. A file that cannot be written is noted in a log and stops nothing.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from batch.config import load_settings
from batch.errors import EnrollBatchError
from batch.ledger.events import read_events
from batch.ledger.reading import LedgerReader
from batch.ledger.sqlite import LEDGER_NAME
from batch.model import Event, Outcome, State
from batch.nightly.messages import FINISHED
from batch.nightly.metrics import Figures, read_last_success, write_metrics
from batch.report.reconcile import reconcile
from batch.run.apart import misplaced
from batch.run.outstanding import in_doubt_beside, newest_run
from batch.run.run_log import RunLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.config import Settings
    from batch.report.reconcile import Accounts
    from batch.run.driving import Watch
    from batch.run.opening import OpenRun
    from batch.sending.pool import Pool

EVERY_S = 15.0
"""Source: our choice, because that is how often Prometheus usually looks."""
_LOOK_S = 1.0


def measure(run: OpenRun, accounts: Accounts) -> None:
    """Write the figures of a run as it stands now, where the config wants them."""
    if run.settings.metrics.textfile:
        _write(run, run.settings.metrics.textfile, _figures_of(run, accounts))


def measure_night(config: Path, settings: Settings, exit_code: int) -> str | None:
    """Write the figures of the config's newest run with the exit code of a night; return what kept it, if anything.

    A night in which no file could be read has no run; one that went well is a success, also without a file.
    """
    path = None if "metrics.textfile" in misplaced(settings) else settings.metrics.textfile
    if path is None:
        return None
    try:
        figures = _newest_figures(config, settings)
        now = time.time()
        last = now if exit_code in FINISHED else _no_later(now, read_last_success(path))
        write_metrics(path, replace(figures, exit_code=exit_code, last_success_at=last))
    except OSError as error:
        return _not_written(path, error)
    except EnrollBatchError as error:
        return error.text
    return None


def measure_unusable(config: Path, exit_code: int) -> str | None:
    """Write the exit code of a night whose config cannot be used, where it says all but its secrets; else do nothing.

    Returns what kept it, if anything.
    """
    try:
        settings = load_settings(config, with_secrets=False, working_dir=Path.cwd(), environ=os.environ)
    except EnrollBatchError:
        return None
    return measure_night(config, settings, exit_code)


def _newest_figures(config: Path, settings: Settings) -> Figures:
    folder = newest_run(settings.report.dir, config)
    if folder is None:
        nothing = {"blank": 0, "with_problems": 0, "planned": 0}
        return Figures(config.stem, nothing, {}, 0, 0, 0, 0.0, 0.0, None, None, None)
    with LedgerReader(folder / LEDGER_NAME) as reader:
        accounts = reconcile(reader.run(), reader.inputs(), reader.tallies())
        return _figures(folder, config, reader.events(), accounts, settings)


def measured(run: OpenRun, watch: Watch | None) -> Watch | None:
    """Return what watches the pool: `watch`, and beside it what writes its figures now and then."""
    if not run.settings.metrics.textfile:
        return watch
    path = run.settings.metrics.textfile
    with LedgerReader(run.folder / LEDGER_NAME) as reader:
        before = reconcile(reader.run(), reader.inputs(), reader.tallies())
    settled = {
        Outcome(outcome): count
        for outcome, count in run.ledger.read("SELECT outcome, count(*) FROM outcome GROUP BY outcome")
    }
    figures = replace(_figures_of(run, before), exit_code=None, outcomes=settled)
    meter = _Meter(run, path, figures, before.tallies.unique)

    async def both(pool: Pool, total: int) -> None:
        others = [watch(pool, total)] if watch else []
        await asyncio.gather(meter.watch(pool), *others)

    return both


class _Meter:
    """Adds what the pool does to how the run stood before, and writes it down."""

    def __init__(self, run: OpenRun, path: Path, before: Figures, unique: int) -> None:
        self._run = run
        self._path = path
        self._before = before
        self._unique = unique
        self._held_s = 0.0

    async def watch(self, pool: Pool) -> None:
        began = time.monotonic()
        written = began - EVERY_S
        while True:
            if (now := time.monotonic()) - written >= EVERY_S:
                written = now
                await asyncio.to_thread(_write, self._run, self._path, self._now(pool, now - began))
            await asyncio.sleep(_LOOK_S)
            self._held_s += min(pool.held_s, _LOOK_S)

    def _now(self, pool: Pool, passed_s: float) -> Figures:
        outcomes = Counter(self._before.outcomes) + pool.settled
        outcomes[Outcome.NOT_SENT] += max(0, self._unique - outcomes.total())
        return replace(
            self._before,
            outcomes=outcomes,
            attempts=self._before.attempts + pool.attempts,
            in_flight=pool.in_flight,
            rate_per_s=round(pool.attempts / passed_s, 3) if passed_s else 0.0,
            throttled_s=round(self._before.throttled_s + self._held_s, 1),
            started_at=self._before.started_at or time.time(),
        )


def _figures_of(run: OpenRun, accounts: Accounts) -> Figures:
    events = read_events(run.ledger.read)
    ((config,),) = run.ledger.read("SELECT config_path FROM run")
    return _figures(run.folder, Path(config), events, accounts, run.settings)


def _figures(folder: Path, config: Path, events: Sequence[Event], accounts: Accounts, settings: Settings) -> Figures:
    path = settings.metrics.textfile
    facts, tallies = accounts.run, accounts.tallies
    is_success = facts.state is State.FINISHED and accounts.exit_code in FINISHED
    earlier = read_last_success(path) if path else None
    end = facts.finished_at / 1e9 if is_success and facts.finished_at else None
    return Figures(
        config=config.stem,
        rows={
            "blank": accounts.rows_blank,
            "with_problems": accounts.rows_with_problems,
            "planned": accounts.rows_planned,
        },
        outcomes=tallies.outcomes,
        attempts=tallies.attempts,
        retries=tallies.retries,
        in_flight=0,
        rate_per_s=accounts.rate_per_s,
        throttled_s=throttled_s(events),
        started_at=facts.started_at / 1e9 if facts.started_at else None,
        exit_code=accounts.exit_code,
        last_success_at=_no_later(time.time(), earlier, end),
        in_doubt_beside=in_doubt_beside(settings.report.dir, config, folder),
    )


def _no_later(now: float, *times: float | None) -> float | None:
    """Return the latest of some times, but none after now: a clock that was ahead has been set."""
    return max((min(at, now) for at in times if at is not None), default=None)


def throttled_s(events: Sequence[Event]) -> float:
    """Return for how many seconds nothing might start; holds that overlap count once, and end when the run stops."""
    held_ns = begin = until = 0
    for event in events:
        held_s = event.number("held_s") if event.kind == "hold" else None
        if held_s is not None:
            if event.at > until:
                held_ns += until - begin
                begin = event.at
            until = max(until, event.at + round(held_s * 1e9))
        elif event.kind in {"stopped", "finished"}:
            until = max(begin, min(until, event.at))
    return round((held_ns + until - begin) / 1e9, 1)


def _write(run: OpenRun, path: Path, figures: Figures) -> None:
    try:
        write_metrics(path, figures)
    except OSError as error:
        RunLog(run.folder).write([Event(time.time_ns(), "metrics", _not_written(path, error))])


def _not_written(path: Path, error: OSError) -> str:
    return f"{path}: cannot be written ({error.strerror}); check metrics.textfile and its folder"
