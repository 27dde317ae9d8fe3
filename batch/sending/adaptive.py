"""Step 4 of 5: find the rate and the concurrency that the API bears.

Pure folds over what comes back; time is an argument, in monotonic nanoseconds. Only the transport slows us: being
asked to come back later, time-outs, rising latency. Refusals of a request never do, and errors never raise anything.
"""

from __future__ import annotations

from collections import deque

SECOND_NS = 1_000_000_000

BACK_TO = 0.85
"""What is left of the accepted rate after a 429. Source: our choice; CUBIC takes 0.7, but limits here are counted in
windows, which a little less drains soon."""
BELOW_LIMIT = 0.97
"""Where the rate lingers, as a share of the rate at which the API pushed back: just below it."""
RECOVERY_WINDOWS = 20
"""After so many windows, or fewer where the limit is far below the ceiling, the rate is back where the limit was;
from there it grows slowly, then faster. Source: our choice: each look beyond the limit costs a hold."""


class AdaptiveRate:
    """The rate in force, in starts per second: at most the ceiling, and less after the API pushed back.

    It remembers the rate that was accepted when the API pushed back, returns to it along a cubic curve, lingers
    there, and only then tries more. Time counts only while requests are accepted.
    """

    def __init__(self, ceiling: tuple[int, int] | None) -> None:
        """`ceiling` is (max_starts, window_ns) as set, or None for no limit."""
        self._ceiling = ceiling[0] * SECOND_NS / ceiling[1] if ceiling else None
        self._window_ns = ceiling[1] if ceiling else SECOND_NS
        self._accepted: deque[int] = deque()
        self._scale = self._ceiling or 0.0
        self._known_limit = 0.0
        self._growing_ns = 0
        self._lowered_at: int | None = None
        self._at_limit = False
        self.per_s: float | None = self._ceiling
        """Starts per second now; None: no limit."""

    @property
    def interval_ns(self) -> int:
        """The time between two starts at the rate in force; 0 without a limit."""
        return round(SECOND_NS / self.per_s) if self.per_s else 0

    def accepted(self, now: int) -> None:
        """Take note of an answer that was not a push-back: the rate may grow back."""
        since_last = now - self._accepted[-1] if self._accepted else 0
        self._accepted.append(now)
        self._forget_before(now - self._window_ns)
        if self._lowered_at is None or self.per_s is None:
            return
        self._growing_ns += min(since_last, 2 * self.interval_ns)  # waiting teaches nothing
        # A cubic that begins at BACK_TO of the known limit and is flat at that limit. Beyond it the scale is that of
        # the ceiling, so that a rate which went down by accident finds its way up again.
        self._scale = max(self._scale, self._known_limit)
        time = self._growing_ns / (RECOVERY_WINDOWS * self._window_ns)
        flat_at = (self._known_limit / self._scale) ** (1 / 3)
        grown = self._known_limit + self._scale * (1 - BACK_TO) * (time - flat_at) ** 3
        self.per_s = grown if self._ceiling is None else min(self._ceiling, grown)
        if self._ceiling is not None and self.per_s >= self._ceiling:
            self._lowered_at = None

    def pushed_back(self, now: int, sharer_count: int = 1) -> bool:
        """Take note of a 429 or 503; return whether the rate was lowered by it.

        The rate is that of all runs that share it; each of `sharer_count` sees only its own part accepted.

        Push-backs within a window of the last lowering belong to the same congestion and lower nothing.
        """
        if not self._lower(now, sharer_count):
            return False
        self._growing_ns = 0
        self.per_s = self._known_limit * BACK_TO
        return True

    def told(self, *, at_limit: bool, now: int, sharer_count: int = 1) -> bool:
        """Take note of whether an accepted request was the last one allowed; return whether that lowered the rate.

        Nothing was refused, so the rate begins where it lingers, just below the limit. A server that says so all the
        time is believed once.
        """
        news, self._at_limit = at_limit and not self._at_limit, at_limit
        if not news or not self._lower(now, sharer_count):
            return False
        flat_at = (self._known_limit / max(self._scale, self._known_limit)) ** (1 / 3)
        self._growing_ns = round(flat_at * RECOVERY_WINDOWS * self._window_ns)
        self.per_s = self._known_limit
        return True

    def _lower(self, now: int, sharer_count: int) -> bool:
        """Remember what was accepted as the limit, unless this is still the same congestion."""
        self._forget_before(now - self._window_ns)
        if self._lowered_at is not None and now - self._lowered_at < self._window_ns:
            return False
        if self._known_limit and self.per_s:
            # What was accepted lately is less than the limit: holds have thinned it out.
            self._known_limit = self.per_s * BELOW_LIMIT
        else:
            measured = max(1, len(self._accepted)) * sharer_count * SECOND_NS / self._window_ns
            self._known_limit = BELOW_LIMIT * (min(measured, self.per_s) if self.per_s else measured)
        self._lowered_at = now
        return True

    def _forget_before(self, time: int) -> None:
        while self._accepted and self._accepted[0] <= time:
            self._accepted.popleft()


class AdaptiveConcurrency:
    """How many requests may be out at once: at most the ceiling; less when answers are late, more only when used."""

    def __init__(self, ceiling: int) -> None:
        self._ceiling = ceiling
        self._limit = float(ceiling)
        self._usual_ns = 0.0
        self._recent_ns = 0.0
        self._lowered_at: int | None = None

    @property
    def limit(self) -> int:
        """How many requests may be out now, at least one."""
        return max(1, int(self._limit))

    def answered(self, latency_ns: int, in_flight: int, now: int) -> bool:
        """Take note of an answer; return whether the limit was lowered because answers take longer and longer.

        Source of the growth rule: AIMD as in Netflix concurrency-limits: only a limit that is used at least by half
        may grow, by one for a whole round of answers.
        """
        self._usual_ns += (latency_ns - self._usual_ns) * (0.01 if self._usual_ns else 1)
        self._recent_ns += (latency_ns - self._recent_ns) * (0.2 if self._recent_ns else 1)
        if self._recent_ns > 2 * self._usual_ns + 50_000_000:
            return self._lower(0.9, now)
        if 2 * in_flight >= self._limit:
            self._limit = min(float(self._ceiling), self._limit + 1 / self._limit)
        return False

    def timed_out(self, now: int) -> bool:
        """Take note of an attempt without an answer; return whether the limit was lowered."""
        return self._lower(0.7, now)

    def _lower(self, factor: float, now: int) -> bool:
        if self._limit <= 1 or (self._lowered_at is not None and now - self._lowered_at < SECOND_NS):
            return False
        self._lowered_at = now
        self._limit = max(1.0, self._limit * factor)
        return True


class RetryBudget:
    """How many retries the run may afford: a tenth of what it settles, and a hundred to begin with.

    Source: our choice after botocore's retry quota: a dying server gets at most a tenth more calls than a healthy one.
    """

    _FULL = 1000
    _RETRY = 10

    def __init__(self) -> None:
        self._left = self._FULL

    def settled(self) -> None:
        """Take note of a request that ended."""
        self._left = min(self._FULL, self._left + 1)

    def take(self) -> bool:
        """Take one retry; False when none is left, so that it has to wait as long as the settings allow."""
        if self._left < self._RETRY:
            return False
        self._left -= self._RETRY
        return True
