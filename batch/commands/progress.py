"""Show how sending goes: a bar for a person, a line every 30 seconds for a log."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import click

from batch.commands.words import duration
from batch.model import GROUP_OF, Group, Outcome

if TYPE_CHECKING:
    from batch.sending.pool import Pool

LINE_EVERY_S = 30
BAR_EVERY_S = 0.25


async def show_progress(pool: Pool, total: int) -> None:
    """Follow the pool until cancelled: a bar when stderr is a terminal, else a line now and then."""
    if sys.stderr.isatty():
        await _bar(pool, total)
    else:
        await _lines(pool, total)


async def _bar(pool: Pool, total: int) -> None:
    from tqdm import tqdm

    form = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {rate_fmt}{postfix} {remaining} left"
    with tqdm(total=total, unit="req", bar_format=form, dynamic_ncols=True, smoothing=0.1, file=sys.stderr) as bar:
        try:
            while True:
                bar.set_postfix_str(_counts(pool), refresh=False)
                bar.update(pool.settled.total() - bar.n)
                bar.refresh()
                await asyncio.sleep(BAR_EVERY_S)
        finally:
            bar.set_postfix_str(_counts(pool), refresh=False)
            bar.update(pool.settled.total() - bar.n)


async def _lines(pool: Pool, total: int) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(LINE_EVERY_S)
        done = pool.settled.total()
        elapsed = time.monotonic() - began
        rate = done / elapsed
        left = f", about {duration((total - done) / rate)} left" if rate else ""
        click.echo(f"{done:,} of {total:,} settled, {rate:.1f}/s{left}; {_counts(pool)}", err=True)


def _counts(pool: Pool) -> str:
    done = sum(count for outcome, count in pool.settled.items() if GROUP_OF[outcome] is Group.DONE)
    open_or_bad = pool.settled.total() - done
    held = f", held {pool.held_s:.0f} s" if pool.held_s >= 1 else ""
    invalid = pool.settled[Outcome.INVALID_USER]
    return f"ok {done}, invalid user {invalid}, other {open_or_bad - invalid}{held}"
