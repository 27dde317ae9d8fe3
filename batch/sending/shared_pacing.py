"""Step 4 of 5: decide when the next request may start, together with all other runs on this machine.

Owns the turns of one run among those that share its budget, and what it tells them: that it is there, how fast it may
go, and until when the server holds everybody. Like `pacing` it never asks the time and never sleeps. How slots lie is
known to `slots`, where the shared numbers are to `pace_file`.

The row of a budget holds the first slot that nobody has reserved. A run whose slots are used up reserves the next
ones behind it, in one transaction: as many as it used lately, up to its part of 50 ms, and at least one. Nobody
reserves again before its slots are over, so runs with equal demand take equal turns, and one that wants little, or is
dead, leaves the rest to the others. A slot missed by more than the tolerance is lost, or given back where nobody has
reserved behind it; it is not caught up. Right before each start a run looks whether its slots still stand.

Times are integer nanoseconds of the clock behind asyncio's `loop.time()`: CLOCK_MONOTONIC, one for all processes of a
boot on Linux and macOS. Times of another boot are not read: rows are kept by boot id, and where the system has none,
a queue or a hold longer than any can be is taken for a leftover.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import deque
from dataclasses import replace
from pathlib import Path

from batch.errors import LedgerFailed
from batch.sending.pace_file import PaceFile, counts, explaining, is_busy
from batch.sending.processes import born
from batch.sending.slots import LONGEST_HOLD_NS, PaceRow, Reserved, Sharer, regime_of

LOOK_NS = 500_000_000
"""So often a run says that it is there and looks who else is; no answer is about a time farther ahead."""
ASK_AGAIN_NS = 2_000_000
"""When a busy file is asked again."""
SILENT_NS = 10_000_000_000
"""How long the file may be busy before it counts as failing."""


class SharedPacer:
    """A `Pacer` whose rate is shared. `started(at)` follows at once a `next_start_at(at)` that answered `at`."""

    def __init__(self, folder: Path, budget: str, rate: tuple[int, int] | None, *, run_id: str, now: int) -> None:
        """Join the runs that share `budget`; `rate` is (max_starts, window_ns), or None for no limit.

        Raises:
            UsageError: the file in `folder` cannot be written, or is damaged.
        """
        max_starts, window_ns = rate or (None, None)
        self._least_interval_ns = -(-window_ns // max_starts) if max_starts and window_ns else 0
        pid = os.getpid()
        self._me = Sharer(budget, run_id, pid, born(pid), max_starts, window_ns, self._least_interval_ns, now)
        self._starts: deque[int] = deque(maxlen=max_starts or 1)
        self._regime = regime_of([self._me])
        self._row = PaceRow()
        self._reserved = Reserved()
        self._reserved_count = self._used_count = 0
        self._held_until = 0
        self._looked_at = now - LOOK_NS
        self._busy_since: int | None = None
        self._file = PaceFile(folder, budget)
        try:
            with explaining(self._file.path):
                self._look(now, reserve=False)
        except BaseException:
            self._file.close()
            raise

    @property
    def interval_ns(self) -> int:
        """The time between two slots of all runs together; 0 without a limit."""
        return self._regime.interval_ns

    @property
    def sharer_count(self) -> int:
        """How many runs share the rate now, this one included."""
        return self._regime.sharer_count

    @property
    def held_until(self) -> int:
        """The time before which the server wants nothing, whichever run it told; 0 if it never asked."""
        return max(self._held_until, self._row.held_until)

    def next_start_at(self, now: int) -> int:
        """Return the earliest time, not before `now`, at which the next request may start.

        It is at most half a second ahead: ask again then, for others may have left.

        Raises:
            LedgerFailed: the file failed; nothing may start.
        """
        try:
            at = self._earliest(now)
        except sqlite3.Error as error:
            self._busy_since = now if self._busy_since is None else self._busy_since
            if is_busy(error) and now - self._busy_since < SILENT_NS:
                return now + ASK_AGAIN_NS
            raise LedgerFailed(
                f"{self._file.path}: {error}; the rate cannot be shared with other runs, so nothing more is sent; "
                "when the disk is in order again, or ENROLL_BATCH_STATE names another folder, resume the run"
            ) from error
        self._busy_since = None
        return at

    def _earliest(self, now: int) -> int:
        epoch, held_until = self._file.glance() or (None, 0)
        if held_until != self._row.held_until:
            self._row = replace(self._row, held_until=held_until)
        stale = epoch != self._row.epoch or now - self._looked_at >= LOOK_NS
        usable = self._reserved.usable(now, self.held_until)
        if stale or (self._regime.interval_ns and not usable):
            self._look(now, reserve=True)
            usable = self._reserved.usable(now, self.held_until)
        self._reserved = usable
        at = max(now, self.held_until, usable.slot)
        if len(self._starts) == self._me.max_starts:
            at = max(at, self._starts[0] + (self._me.window_ns or 0))
        return min(at, now + LOOK_NS)

    def started(self, at: int) -> None:
        """Take note that a request started at `at`."""
        self._starts.append(at)
        if self._reserved:
            self._used_count += 1
            self._reserved = self._reserved.without(1)

    def hold_until(self, at: int) -> None:
        """Let no run start anything before `at`. Where the file fails, the next question about a start says so."""
        self._held_until = max(self._held_until, at)
        with contextlib.suppress(sqlite3.Error):  # a busy file gets it with the next look
            self._file.hold_until(at)

    def slow_to(self, interval_ns: int) -> None:
        """Let all runs space their starts by `interval_ns`, but never closer than any of their rates allows.

        The others see it when this one, and then they, reserve the next slots.
        """
        interval_ns = max(self._least_interval_ns, interval_ns)
        if interval_ns != self._me.interval_ns:
            self._me = replace(self._me, interval_ns=interval_ns)

    def beat(self, now: int) -> None:
        """Tell the others that this run is there, also while it starts nothing; to be called every half second."""
        if now - self._looked_at >= LOOK_NS:
            with contextlib.suppress(sqlite3.Error):  # the next question about a start says so
                self._look(now, reserve=False)

    def close(self) -> None:
        """Leave the rate to the others."""
        with contextlib.suppress(sqlite3.Error):
            self._file.remove_sharer(self._me)
        self._file.close()

    def _look(self, now: int, *, reserve: bool) -> None:
        """See who is there, begin a new epoch where that changes the slots, and reserve where none is left."""
        looking = now - self._looked_at >= LOOK_NS
        fresh = None
        with self._file.transaction():
            row = self._file.row()
            kept = self._reserved if row.epoch == self._row.epoch else Reserved()
            sharers, joined = self._gather(now, looking=looking)
            regime = regime_of(sharers)
            changed = joined or regime.sharer_count != row.sharer_count
            asked = row.held_until if row.held_until <= now + LONGEST_HOLD_NS else 0
            row = replace(row, held_until=max(asked, self._held_until), sharer_count=regime.sharer_count)
            if changed or regime.is_beyond(row, now):
                row, kept = row.with_new_epoch(regime.interval_ns, now), Reserved()
            if reserve and regime.interval_ns and not kept.usable(now, row.held_until):
                row = kept.given_back(row)
                fresh = regime.reserve(row, now, self._wanted_count)
                row = replace(row, next_slot=fresh.end)
            self._file.put_row(row)
        self._row, self._regime, self._reserved = row, regime, fresh or kept
        if fresh:
            self._reserved_count, self._used_count = fresh.count, 0
        if looking:
            self._looked_at = now

    @property
    def _wanted_count(self) -> int:
        """How many slots to reserve: twice as many when all were used, else no more than were."""
        used_up = self._used_count >= self._reserved_count
        return max(1, 2 * self._reserved_count if used_up else self._used_count)

    def _gather(self, now: int, *, looking: bool) -> tuple[list[Sharer], bool]:
        """Write that this run is there, and remove the dead; return who shares, and whether this run is new."""
        self._me = me = replace(self._me, seen_at=now)
        found = self._file.sharers()
        others = [sharer for sharer in found if (sharer.run_id, sharer.pid) != (me.run_id, me.pid)]
        living = [sharer for sharer in others if counts(sharer, now, look=looking)]
        for sharer in others:
            if sharer not in living:
                self._file.remove_sharer(sharer)
        self._file.put_sharer(me)
        return [me, *living], len(others) == len(found)
