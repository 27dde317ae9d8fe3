"""Ask the API about target groups: their cycles and their targets. Changes nothing.

Reads are paced like requests, and tried again as `retry` says. Optional everywhere: the vendor is phasing them out,
and no page documents them for another organisation than our own.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from batch.capillary.client import CapillaryClient
from batch.capillary.target_groups import cycles_path, judge_read, read_cycles, read_targets, targets_path
from batch.errors import AccessRefused, ApiSilent
from batch.model import NoAnswer, Outcome
from batch.run.api import api_of
from batch.run.driving import pace_of, retry_rules
from batch.sending.conclusions import now_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batch.capillary.target_groups import Cycle, Target
    from batch.model import Reply, Verdict
    from batch.run.api import Api
    from batch.run.opening import OpenRun
    from batch.sending.protocols import Pace
    from batch.sending.retry import RetryRules

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """What the API says of one target group; its cycles by their first day.

    `refused` says in one line why it tells nothing of this group, and is empty where it does.
    """

    target_group_id: int
    cycles: tuple[Cycle, ...] = ()
    targets: tuple[Target, ...] = ()
    refused: str = ""


def ask_about_groups(run: OpenRun, target_group_ids: Sequence[int]) -> list[GroupFacts]:
    """Return what the API says of each group.

    Raises:
        ApiSilent: the API does not answer. AccessRefused: it refuses the credentials.
        ConfigError: as `api_of`.
    """
    with api_of(run) as api:
        return asyncio.run(_ask(run, api, target_group_ids))


async def _ask(run: OpenRun, api: Api, target_group_ids: Sequence[int]) -> list[GroupFacts]:
    settings, pace = run.settings, pace_of(run, api.credentials)
    client = CapillaryClient(api.address, api.credentials, concurrency=1)
    asker = _Asker(client, pace, retry_rules(settings), int(settings.retry.outage_s * 1e9))
    try:
        return [await asker.group(target_group_id) for target_group_id in target_group_ids]
    finally:
        await client.aclose()
        pace.close()


class _Refused(Exception):
    """The API does not tell about this group."""


class _Asker:
    """Asks one question after the other."""

    def __init__(self, client: CapillaryClient, pace: Pace, rules: RetryRules, patience_ns: int) -> None:
        self._client = client
        self._pace = pace
        self._rules = rules
        self._patience_ns = patience_ns
        self._random = random.random

    async def group(self, target_group_id: int) -> GroupFacts:
        try:
            cycles = await self._list(target_group_id, cycles_path(target_group_id), read_cycles)
            targets = await self._list(target_group_id, targets_path(target_group_id), read_targets)
        except _Refused as refused:
            return GroupFacts(target_group_id, refused=str(refused))
        return GroupFacts(target_group_id, cycles, targets)

    async def _list(self, target_group_id: int, path: str, read: Callable[[Reply | NoAnswer], T | None]) -> T:
        failures, renewed, until = 0, False, now_ns() + self._patience_ns
        while True:
            await self._wait_for_a_slot()
            answer = await self._client.read(0, path, {})
            found = read(answer)
            if found is not None:
                return found
            verdict = judge_read(target_group_id, answer, can_renew=not renewed, now_s=time.time())
            if verdict.renew_token:
                renewed = True
                await self._client.renew_token(0)
                continue
            if verdict.settled:
                raise self._refusal(target_group_id, verdict)
            failures += 1
            if self._rules.is_used_up(verdict, failures) or now_ns() > until:
                said = answer.error if isinstance(answer, NoAnswer) else f"HTTP {answer.status}"
                raise ApiSilent(f"the API tells nothing of target group {target_group_id} ({said}); try again later")
            if verdict.hold_s is not None:
                self._pace.hold_until(now_ns() + int(verdict.hold_s * 1e9))
            await asyncio.sleep(self._rules.backoff_ns(failures, self._random()) / 1e9)

    async def _wait_for_a_slot(self) -> None:
        while True:
            wait_ns = self._pace.next_start_at(now := now_ns()) - now
            if wait_ns <= 0:
                break
            await asyncio.sleep(wait_ns / 1e9)
        self._pace.started(now_ns())

    def _refusal(self, target_group_id: int, verdict: Verdict) -> Exception:
        said = self._client.without_secrets(f"{verdict.error_code or f'HTTP {verdict.http_status}'}")
        if verdict.outcome in {Outcome.ACCESS_REFUSED, Outcome.SCOPE_REFUSED}:
            return AccessRefused(f"the API refuses these credentials ({said}); check them, and what they may read")
        if verdict.outcome is Outcome.TARGET_NOT_FOUND:
            return _Refused(f"target group {target_group_id} does not exist, or is not active ({said})")
        return _Refused(f"the API cannot be asked about target group {target_group_id} ({said})")
