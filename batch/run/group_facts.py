"""Ask the API about target groups: their cycles and their targets. Changes nothing.

Reads are paced like requests, and tried again as `retry` says. Optional everywhere: the vendor is phasing them out,
and no page documents them for another organisation than our own.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from batch.capillary.client import CapillaryClient
from batch.capillary.target_groups import (
    NOT_ALLOWED,
    TO_BE_ALLOWED,
    UnreadableEntry,
    cycles_path,
    is_not_allowed,
    judge_read,
    read_cycles,
    read_targets,
    targets_path,
)
from batch.errors import AccessRefused, ApiSilent
from batch.model import NoAnswer, Outcome, Reply
from batch.run.api import api_of
from batch.run.driving import pace_of, retry_rules
from batch.sending.conclusions import now_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from batch.capillary.target_groups import Cycle, Target
    from batch.model import Verdict
    from batch.run.api import Api
    from batch.run.opening import OpenRun
    from batch.sending.protocols import Pace
    from batch.sending.retry import RetryRules

T = TypeVar("T")

READ_PATIENCE_S = 300.0
"""How long a read waits for an API in trouble, if `retry.outage_s` is not shorter.

Source: our choice, because nothing is sent before and somebody may be waiting for the plan.
"""


class Why(StrEnum):
    """Why the API tells nothing of a target group."""

    NO_SUCH_GROUP = "no_such_group"
    NOT_ALLOWED = "not_allowed"
    CANNOT_BE_ASKED = "cannot_be_asked"


@dataclass(frozen=True, slots=True)
class NotTold:
    """Stands for a list that the API does not give; `text` says why in one line."""

    why: Why
    text: str


class GroupFacts:
    """What the API says of target groups. Each list is asked for at most once, and only where somebody wants it."""

    def __init__(self, run: OpenRun, warn: Callable[[str], None] | None = None) -> None:
        """`warn` hears, in one line, that the API makes us wait."""
        self._run = run
        self._warn = warn or (lambda _: None)
        self.cycles: dict[int, tuple[Cycle, ...] | NotTold] = {}
        """What was told so far: target group -> its cycles by their first day."""
        self.targets: dict[int, tuple[Target, ...] | NotTold] = {}
        """What was told so far: target group -> its targets."""

    def ask(self, *, cycles_of: Iterable[int] = (), targets_of: Iterable[int] = ()) -> None:
        """Ask for the cycles and the targets of these groups. What is known is kept when a later question fails.

        Raises:
            ApiSilent: the API does not answer. AccessRefused: it refuses the credentials.
            ConfigError: as `api_of`.
        """
        cycles_of = [group for group in cycles_of if group not in self.cycles]
        targets_of = [group for group in targets_of if group not in self.targets]
        if cycles_of or targets_of:
            with api_of(self._run) as api:
                asyncio.run(self._ask(api, cycles_of, targets_of))

    async def _ask(self, api: Api, cycles_of: Iterable[int], targets_of: Iterable[int]) -> None:
        settings, pace = self._run.settings, pace_of(self._run, api.credentials)
        client = CapillaryClient(api.address, api.credentials, concurrency=1)
        patience_s = min(READ_PATIENCE_S, settings.retry.outage_s)
        reader = _Reader(client, pace, retry_rules(settings), patience_s, self._warn)
        try:
            for group in cycles_of:
                self.cycles[group] = await reader.list_of("cycles", group, cycles_path(group), read_cycles)
            for group in targets_of:
                known = self.cycles.get(group)
                if not (isinstance(known, NotTold) and known.why is Why.NO_SUCH_GROUP):
                    self.targets[group] = await reader.list_of("targets", group, targets_path(group), read_targets)
        finally:
            await client.aclose()
            pace.close()


async def take_turn(pace: Pace, check: Callable[[int], None]) -> None:
    """Wait for the next start, as every request does, and take it.

    `check` hears until when is waited next, and raises where that is too long.
    """
    while (at := pace.next_start_at(now := now_ns())) > now:
        check(at)
        await asyncio.sleep((at - now) / 1e9)
    pace.started(now)


class _Patience:
    """For how long trouble with one list is borne; says once that the API asks everybody to wait."""

    def __init__(self, group: int, patience_s: float, warn: Callable[[str], None]) -> None:
        self._group = group
        self._patience_s = patience_s
        self._warn = warn
        self._give_up_at: int | None = None
        self._has_warned = False
        self._said = "as another run was told"

    def bear(self, answer: Reply | NoAnswer, verdict: Verdict, *, is_last: bool) -> None:
        """Take note of an answer that tells nothing; `is_last`: all attempts are used up.

        Raises: ApiSilent where it is the last, or the trouble lasts too long.
        """
        self._said = answer.error if isinstance(answer, NoAnswer) else f"HTTP {answer.status}"
        if isinstance(answer, Reply) and 200 <= answer.status < 300:
            self._said += ", an answer that cannot be read"
        if not verdict.counts:
            self._warn_once()
        if is_last or self._is_too_late(now_ns()):
            raise ApiSilent(f"the API tells nothing of target group {self._group} ({self._said}); try again later")

    def bear_hold(self, until: int) -> None:
        """Take note until when everybody has to wait, past where nobody has: the slots of a slow rate are no trouble.

        Raises: ApiSilent where that is too long.
        """
        if until <= now_ns():
            return
        if self._is_too_late(until):
            raise ApiSilent(
                f"the API asks to wait ({self._said}), and reads wait {self._patience_s:g} s at most; try again later"
            )
        self._warn_once()

    def _warn_once(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            self._warn(
                f"The API asks to wait ({self._said}) before it tells of target groups; "
                f"that is given up after {self._patience_s:g} s."
            )

    def _is_too_late(self, at: int) -> bool:
        """Whether that is later than the trouble, which begins with the first question about it, may last."""
        if self._give_up_at is None:
            self._give_up_at = now_ns() + int(self._patience_s * 1e9)
        return at > self._give_up_at


def _is_unreadable(answer: Reply | NoAnswer, verdict: Verdict) -> bool:
    """Whether a whole answer that is a success holds no list, and says nothing of why: waiting mends no such thing.

    A page for people is none: it stands there while the API is away.
    """
    if not isinstance(answer, Reply) or not answer.complete or not 200 <= answer.status < 300:
        return False
    return not verdict.error_code and answer.body.lstrip()[:1] in {b"{", b"["}


class _Reader:
    """Asks one question after the other."""

    def __init__(
        self, client: CapillaryClient, pace: Pace, rules: RetryRules, patience_s: float, warn: Callable[[str], None]
    ) -> None:
        self._client = client
        self._pace = pace
        self._rules = rules
        self._patience_s = patience_s
        self._warn = warn
        self._random = random.random

    async def list_of(
        self, what: str, group: int, path: str, read: Callable[[Reply | NoAnswer], T | None]
    ) -> T | NotTold:
        """Return what `read` makes of the answer about the `what` of a target group.

        Raises: ApiSilent, AccessRefused.
        """
        failures, renewed = 0, False
        patience = _Patience(group, self._patience_s, self._warn)
        while True:
            await take_turn(self._pace, lambda _: patience.bear_hold(self._pace.held_until))
            answer = await self._client.read(0, path, {})
            try:
                found = read(answer)
            except UnreadableEntry as fault:
                return NotTold(Why.CANNOT_BE_ASKED, f"the {what} of target group {group} cannot be read ({fault})")
            if found is not None:
                return found
            verdict = judge_read(group, answer, can_renew=not renewed, now_s=time.time())
            if verdict.renew_token:
                renewed = True
                await self._client.renew_token(0)
                continue
            if verdict.settled:
                return self._refusal(what, group, verdict)
            failures += 1
            if verdict.hold_s is not None:
                self._pace.hold_until(now_ns() + int(verdict.hold_s * 1e9))
            try:
                patience.bear(answer, verdict, is_last=self._rules.is_used_up(verdict, failures))
            except ApiSilent:
                if not _is_unreadable(answer, verdict):
                    raise
                said = f"HTTP {verdict.http_status}, an answer that cannot be read"
                return NotTold(Why.CANNOT_BE_ASKED, f"the {what} of target group {group} cannot be read ({said})")
            await asyncio.sleep(self._rules.backoff_ns(failures, self._random()) / 1e9)

    def _refusal(self, what: str, group: int, verdict: Verdict) -> NotTold:
        """Return why a list is refused.

        Raises: AccessRefused where that speaks for all that these credentials may do.
        """
        said = self._client.without_secrets(f"{verdict.error_code or f'HTTP {verdict.http_status}'}")
        if is_not_allowed(verdict):
            return NotTold(Why.NOT_ALLOWED, f"{NOT_ALLOWED} ({said}); {TO_BE_ALLOWED}")
        if verdict.outcome in {Outcome.ACCESS_REFUSED, Outcome.SCOPE_REFUSED}:
            raise AccessRefused(f"the API refuses these credentials ({said}); check them, and what they may read")
        if verdict.outcome is Outcome.TARGET_NOT_FOUND:
            return NotTold(Why.NO_SUCH_GROUP, f"target group {group} does not exist, or is not active ({said})")
        text = f"the API cannot be asked about the {what} of target group {group} ({said})"
        return NotTold(Why.CANNOT_BE_ASKED, text)
