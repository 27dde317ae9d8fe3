"""Step 4 of 5: decide when a run must stop by itself.

Each guard is a fold over verdicts, in the order in which they came. Pure: no clock, no tasks, no ledger.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from batch.model import GROUP_OF, Group, Outcome, Speaks, StopReason, Tells

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch.model import Facts, Verdict

IN_A_ROW = 3
"""So many refusals in a row speak for their whole scope. Source: DESIGN rule "systemic refusals stop early"."""

Pending = TypeVar("Pending")


@dataclass(frozen=True, slots=True)
class Stop:
    """The end of sending: why, and one line for people; `facts` are what that tells."""

    reason: StopReason
    text: str
    facts: Facts = field(default_factory=dict, hash=False)


class RunRefusals(Generic[Pending]):
    """Refusals that speak for the whole run: access, scope, and three unrecognised answers alike.

    One of them alone may be an accident of one request, so it is kept pending until the next answers decide.
    """

    def __init__(self) -> None:
        self._kind: object = None
        self._pending: list[Pending] = []
        self._accepted = False
        self._heard = False
        self._has_stopped = False
        self._last: Verdict | None = None

    def observe(self, verdict: Verdict, item: Pending) -> tuple[list[Pending], Stop | None]:
        """Take a settled verdict with what belongs to it; return what is settled now, and the stop if there is one.

        On a stop nothing of the streak is settled, whatever else was out then: `at_end` returns it, open for a resume.
        """
        kind = _refusal_kind(verdict)
        self._accepted = self._accepted or kind is None
        self._last = verdict
        released: list[Pending] = []
        if not self._has_stopped and (kind is None or kind != self._kind):
            released, self._pending = self._pending, []
        self._kind = kind
        if kind is None:
            return [*released, item], None
        self._pending.append(item)
        if len(self._pending) < IN_A_ROW:
            return released, None
        self._has_stopped = True
        return released, _refused(verdict)

    @property
    def unproven(self) -> bool:
        """Whether the API has accepted our access and scope not once yet."""
        return not (self._accepted or self._heard)

    def heard(self) -> None:
        """Take note that the API has answered a look: it accepts our access, if perhaps not for what is sent."""
        self._heard = True

    @property
    def has_pending(self) -> bool:
        """Whether a refusal waits for the next answers to decide."""
        return bool(self._pending)

    def release(self) -> list[Pending]:
        """Return what is settled now because no answer comes that could decide; nothing where the run is refused."""
        if self._has_stopped or not self._accepted:
            return []
        released, self._pending = self._pending, []
        return released

    def at_end(self, *, stopped: bool) -> tuple[list[Pending], Stop | None]:
        """Return what waits for a decision when nothing more will come.

        A run that met nothing but refusals was refused as a whole, however few they were.
        """
        pending, self._pending = self._pending, []
        if pending and not self._accepted and not stopped and self._last:
            return pending, _refused(self._last)
        return pending, None


def _refusal_kind(verdict: Verdict) -> object:
    """Return what makes refusals alike, or None when this verdict does not speak for the run."""
    if verdict.outcome is Outcome.UNRECOGNISED:
        return (verdict.http_status, verdict.error_code)
    if verdict.speaks is Speaks.RUN:
        return "access or scope"
    return None


def _refused(verdict: Verdict) -> Stop:
    said = f"HTTP {verdict.http_status}" + (f", code {verdict.error_code}" if verdict.error_code is not None else "")
    what = {
        Outcome.ACCESS_REFUSED: "the API refuses access: check the credentials under auth and their access group",
        Outcome.SCOPE_REFUSED: "the API refuses the scope: check data_scope and org, and that the org is connected",
    }.get(verdict.outcome, "the API gives the same unknown answer each time: check base_url, path_prefix and version")
    facts = {"http_status": verdict.http_status, "error_code": verdict.error_code}
    # Never the API's own words: they may quote a customer, and this text is logged.
    return Stop(StopReason.REFUSED, f"{what} ({said})", facts)


class Thresholds:
    """`guard.stop_when`: the share of an outcome, or of `failed`, among the last `minimum` settled requests."""

    def __init__(self, stop_when: Mapping[str, float], minimum: int) -> None:
        """`stop_when` maps an outcome's name or "failed" to a share from 0 to 1."""
        self._stop_when = dict(stop_when)
        self._recent: deque[Outcome] = deque(maxlen=max(1, minimum))
        self._counts: Counter[Outcome] = Counter()

    def observe(self, outcome: Outcome) -> Stop | None:
        """Take the outcome of a settled request; return the stop when a share is exceeded."""
        if len(self._recent) == self._recent.maxlen:
            self._counts[self._recent[0]] -= 1
        self._recent.append(outcome)
        self._counts[outcome] += 1
        if len(self._recent) < (self._recent.maxlen or 1):
            return None
        for name, share in self._stop_when.items():
            count = self._count(name)
            if count > share * len(self._recent):
                found = f"{count} of the last {len(self._recent)} requests ended as {name}"
                facts: Facts = {
                    "ended_as": name,
                    "requests": count,
                    "of_requests": len(self._recent),
                    "allowed_share": share,
                }
                return Stop(StopReason.GUARD, f"{found}; guard.stop_when allows {share:.0%}", facts)
        return None

    def _count(self, name: str) -> int:
        if name != "failed":
            return self._counts[Outcome(name)]
        return sum(n for o, n in self._counts.items() if GROUP_OF[o] in {Group.FIX_SETUP, Group.RETRY, Group.LOOK})


_GATEWAY_TROUBLE = frozenset({502, 503, 504, 520, 521, 522, 523, 524})


class Reachability:
    """Whether the API answers at all. When it does not, one probe at a time goes out, with growing gaps.

    An API that has not answered once gets `attempts` tries. One that has answered before is waited for up to
    `outage_ns`: a maintenance hour costs waiting, not attempts.
    """

    def __init__(self, attempts: int, outage_ns: int, failures_to_doubt: int) -> None:
        self._attempts = attempts
        self._outage_ns = outage_ns
        self._failures_to_doubt = failures_to_doubt
        self._answered = False
        self._failing_since: int | None = None
        self.failures = 0
        """Transport failures in a row since the last answer."""
        self.pushbacks = 0
        """Answers in a row that asked everybody to come back later."""

    @property
    def probing(self) -> bool:
        """Whether only one request at a time may be out."""
        return not self._answered or self.failures >= self._failures_to_doubt

    def observe(self, verdict: Verdict, now: int) -> Stop | None:
        """Take the verdict of an attempt at monotonic `now`; return the stop when waiting is over."""
        failure, pushback = is_transport_failure(verdict), is_pushback(verdict)
        self._answered = self._answered or not failure
        self.failures = self.failures + 1 if failure else 0
        self.pushbacks = self.pushbacks + 1 if pushback else 0
        if not (failure or pushback):
            self._failing_since = None
            return None
        self._failing_since = now if self._failing_since is None else self._failing_since
        if not self._answered and self.failures >= self._attempts:
            text = f"the API has not answered once in {self.failures} attempts: {verdict.reason}"
            return Stop(StopReason.SILENT, text, {"attempts": self.failures})
        if self._answered and (self.probing or pushback) and now - self._failing_since >= self._outage_ns:
            failing_s = (now - self._failing_since) / 1e9
            why = f"HTTP {verdict.http_status}" if verdict.http_status else verdict.reason
            text = f"the API has accepted nothing for {failing_s / 60:.0f} minutes: {why}"
            return Stop(StopReason.SILENT, text, {"failing_s": round(failing_s, 3), "http_status": verdict.http_status})
        return None


def is_pushback(verdict: Verdict) -> bool:
    """Return whether the API asked everybody to come back later: 429, and 503 to everybody."""
    return verdict.tells is Tells.REFUSED and not verdict.counts and verdict.http_status in {429, 503}


def is_transport_failure(verdict: Verdict) -> bool:
    """Return whether nothing came back from the API itself: no answer, or only its gateway's."""
    if is_pushback(verdict):
        return False
    if verdict.tells in {Tells.NEVER_REACHED, Tells.MAY_BE_APPLIED} and verdict.http_status is None:
        return True
    return verdict.error_code is None and verdict.http_status in _GATEWAY_TROUBLE
