"""Step 4 of 5: what the transport says about how fast to go.

Owns holds, the rate in force and the places for requests that are out at once; turns push-back, silence and latency
into them, and says so as events. Decides nothing about a single request.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from batch.model import Tells
from batch.sending.guards import is_pushback, is_transport_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.model import Verdict
    from batch.sending.adaptive import AdaptiveConcurrency, AdaptiveRate
    from batch.sending.guards import Reachability, Stop
    from batch.sending.protocols import Pace
    from batch.sending.retry import RetryRules


_WORTH_TELLING_NS = 100_000_000
_FORGETS = 20
"""So many answers take the longest of them down to a third, where none is as long."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What is set: the pace, and what may lower it. None: it stays as set (`pacing.adaptive: false`)."""

    pacer: Pace
    rate: AdaptiveRate | None = None
    concurrency: AdaptiveConcurrency | None = None


class Tell(Protocol):
    """What takes note of an event."""

    def __call__(self, kind: str, text: str, **facts: str | float | None) -> None:
        """Keep it; `facts` are what the text tells."""


class Throttle:
    """How fast the pool may go, and why."""

    def __init__(
        self,
        speed: Speed,
        reachability: Reachability,
        retry: RetryRules,
        *,
        random: Callable[[], float],
        event: Tell,
        stop: Callable[[Stop], None],
    ) -> None:
        self.pacer = speed.pacer
        self._reachability = reachability
        self._retry = retry
        self._rate = rate = speed.rate
        self._concurrency = speed.concurrency
        self._random = random
        self._event = event
        self._stop = stop
        self._held_at = 0
        self._pushed_back = False
        self._holds_in_a_row = 0
        self._told_per_s = rate.per_s if rate else None
        self.lasting_ns = 0
        """How long a request may take, by what lately took longest; 0 before the first answer."""

    def places(self, idle: int, in_flight: int) -> int:
        """Return how many more requests may be out, given the idle workers and what is out now."""
        if self._reachability.probing or self._pushed_back:
            return min(idle, 1 - in_flight)
        if self._concurrency:
            return min(idle, self._concurrency.limit - in_flight)
        return idle

    def observe(
        self, verdict: Verdict, *, latency_ns: int, in_flight: int, now: int, may_fail: bool = False
    ) -> Verdict:
        """Draw the conclusions of one attempt; return its verdict, without a count when there is an outage.

        `may_fail`: the run goes on without an answer to this one, so a bad one slows everybody, but ends nothing.
        """
        self.lasting_ns = max(latency_ns, self.lasting_ns - self.lasting_ns // _FORGETS)
        is_bad = is_pushback(verdict) or is_transport_failure(verdict)
        if not (may_fail and is_bad) and (stop := self._reachability.observe(verdict, now)):
            self._stop(stop)
        if is_pushback(verdict):
            self._push_back(verdict, now - latency_ns, now)
        elif is_transport_failure(verdict):
            if verdict.tells is Tells.MAY_BE_APPLIED and self._concurrency and self._concurrency.timed_out(now):
                self._tell_concurrency(self._concurrency.limit, verdict.reason or "no answer")
            if self._reachability.probing:
                self._hold(now + self._backoff_ns(now - latency_ns), now, verdict.reason)
                return replace(verdict, counts=False)
        elif verdict.settled:
            self._holds_in_a_row = 0
            self._pushed_back = False
            self._go_on(latency_ns, in_flight, now)
            if self._rate and self._rate.told(at_limit=verdict.at_limit, now=now, sharer_count=self.pacer.sharer_count):
                self._tell_rate("lowered, as the API says that no call is left")
        return verdict

    def _push_back(self, verdict: Verdict, started: int, now: int) -> None:
        if verdict.http_status == 503 and verdict.hold_s is None and self._reachability.pushbacks == 1:
            return  # one gateway's hiccup among successes; only the next one in a row speaks for all
        self._pushed_back = True
        why = f"HTTP {verdict.http_status}"
        asked_ns = int(verdict.hold_s * 1e9) if verdict.hold_s is not None else 0
        self._hold(now + (asked_ns or self._backoff_ns(started)), now, why)
        if self._rate and self._rate.pushed_back(now, self.pacer.sharer_count):
            self._tell_rate(f"lowered after {why}")

    def _backoff_ns(self, started: int) -> int:
        """Return how long to hold after a bad answer to an attempt that started at `started`.

        It grows from hold to hold. What was out already when the last hold began tells nothing new and adds nothing.
        """
        if started < self._held_at:
            return 0
        self._holds_in_a_row += 1
        return self._retry.backoff_ns(self._holds_in_a_row, self._random())

    def _go_on(self, latency_ns: int, in_flight: int, now: int) -> None:
        if self._concurrency and self._concurrency.answered(latency_ns, in_flight, now):
            self._tell_concurrency(self._concurrency.limit, "answers take longer")
        if not self._rate:
            return
        self._rate.accepted(now)
        self.pacer.slow_to(self._rate.interval_ns)
        told, now_per_s = self._told_per_s, self._rate.per_s
        if now_per_s and told and now_per_s >= told * 1.1:
            self._tell_rate("grown back")

    def _tell_concurrency(self, limit: int, why: str) -> None:
        self._event("concurrency", f"{limit}: {why}", limit=limit, reason=why)

    def _tell_rate(self, why: str) -> None:
        if self._rate and (per_s := self._rate.per_s):
            self._told_per_s = per_s
            self.pacer.slow_to(self._rate.interval_ns)
            self._event("rate", f"{per_s:.2f}/s: {why}", per_s=round(per_s, 6), reason=why)

    def _hold(self, until: int, now: int, why: str) -> None:
        held_until = self.pacer.held_until
        if until > held_until:
            self.pacer.hold_until(until)
            self._held_at = now
        if until > held_until + _WORTH_TELLING_NS:
            held_s = (until - now) / 1e9
            self._event("hold", f"{held_s:.1f} s: {why}", held_s=round(held_s, 3), reason=why)

    @property
    def per_s(self) -> float | None:
        """Starts per second at the rate in force, None without a limit."""
        return 1e9 / self.pacer.interval_ns if self.pacer.interval_ns else None

    @property
    def probing(self) -> bool:
        """Whether the API does not answer, so that one request at a time finds out when it does."""
        return self._reachability.probing
