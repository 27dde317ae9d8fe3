"""Step 4 of 5: what the pool needs from other rooms, as protocols that `run` fills.

Owns no behaviour. A test's fakes and the real client and ledger pass the same contract.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.model import Chunk, EnrollmentRequest, Entries, Looked, NoAnswer, OpenRequest, Reply, Seen, Verdict


class Sender(Protocol):
    """What sends: the vendor's client."""

    async def send(self, worker: int, request: EnrollmentRequest) -> Reply | NoAnswer:
        """Make one attempt."""

    async def verify(self, worker: int, request: EnrollmentRequest) -> Looked:
        """Ask the API what became of a request in doubt."""

    async def look_at(self, worker: int, requests: Sequence[EnrollmentRequest]) -> Seen:
        """Ask the API by one call where a customer is enrolled: requests of one customer and scope."""

    async def renew_token(self, worker: int) -> bool:
        """Renew the refused token that `worker` sent with; False when there is none to renew."""


class Judge(Protocol):
    """What says what an answer means."""

    def __call__(
        self,
        request: EnrollmentRequest,
        answer: Reply | NoAnswer,
        *,
        maybe_applied: bool,
        can_renew: bool,
        now_s: float,
    ) -> Verdict:
        """Judge one answer."""


class Recorder(Protocol):
    """What records: the ledger, off this thread."""

    async def claim(self) -> tuple[Chunk, list[OpenRequest]] | None:
        """Claim the next chunk with its open requests, or None when there is none."""

    async def write(self, entries: Entries) -> None:
        """Write durably, all or nothing."""


class Pace(Protocol):
    """What says when the next request may start: of this run alone, or shared with others. Times in nanoseconds."""

    @property
    def interval_ns(self) -> int:
        """The time between two slots now; 0 without a limit."""

    @property
    def sharer_count(self) -> int:
        """How many runs share this pace, this one included."""

    @property
    def held_until(self) -> int:
        """The time before which nothing may start, 0 if nobody asked for a hold."""

    def next_start_at(self, now: int) -> int:
        """Return the earliest time, not before `now`, at which the next request may start."""

    def started(self, at: int) -> None:
        """Take note that a request started at `at`."""

    def hold_until(self, at: int) -> None:
        """Let nothing start before `at`."""

    def slow_to(self, interval_ns: int) -> None:
        """Space starts by `interval_ns` from now on, but never closer than the set rate."""

    def beat(self, now: int) -> None:
        """Tell whoever shares the rate that this run is alive; called several times a second."""

    def close(self) -> None:
        """Leave the rate to others."""
