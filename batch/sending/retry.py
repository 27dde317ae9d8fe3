"""Step 4 of 5: decide whether a request is tried again, and not before when.

Pure: random numbers and time come as arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from batch.model import Action

if TYPE_CHECKING:
    from batch.model import EnrollmentRequest, Verdict


class InDoubt(StrEnum):
    """What happens to a request that may have been applied: the setting `retry.in_doubt`."""

    RESEND = "resend"
    VERIFY = "verify"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class RetryRules:
    """The settings under `retry`, with their units."""

    attempts: int
    base_s: float
    max_s: float
    in_doubt: InDoubt

    def backoff_ns(self, failures: int, random: float) -> int:
        """Return how long to wait after the given number of failures (from 1); `random` is in [0, 1).

        Doubles from `base_s` up to `max_s`, then takes half of it at least: so requests that failed together do not
        come back together, and none comes back at once.
        """
        full_s = min(self.max_s, self.base_s * 2.0 ** min(failures - 1, 60))
        return int(full_s * (0.5 + random / 2) * 1e9)

    def about_doubt(self, request: EnrollmentRequest) -> InDoubt:
        """Return what to do about a request that may have been applied.

        A second unenroll, balance or reset is not known to be harmless, so those are verified, or left where the API
        cannot be asked, whatever the setting says.
        """
        harmless = request.scope.action is Action.ENROLL and not request.asks_for_value
        return self.in_doubt if harmless else InDoubt.VERIFY

    def is_used_up(self, verdict: Verdict, attempts_counted: int) -> bool:
        """Return whether a request has had all its attempts."""
        return verdict.counts and attempts_counted >= self.attempts
