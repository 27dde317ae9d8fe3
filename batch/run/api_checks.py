"""Before a run: the API is asked whether it knows our credentials and organisation, and lets us look customers up.

Joins the vendor's client and the pacing: each read pays the rate like a request. Reads only. Where the API cannot be
asked, that is said, and it is not counted as wrong. What it says of the target is for `target_checks`.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from batch.capillary.auth import NO_TOKEN, OAuth
from batch.capillary.client import CapillaryClient
from batch.capillary.look_ups import IDENTIFIERS, PATH, judge_look_up, look_up_of, look_up_query
from batch.capillary.registry import LOOK_UP_CODES
from batch.capillary.standing import judge_look
from batch.capillary.target_groups import (
    NOT_ALLOWED,
    TO_BE_ALLOWED,
    UnreadableEntry,
    cycles_path,
    is_not_allowed,
    judge_read,
    read_cycles,
)
from batch.errors import AccessRefused, EnrollBatchError
from batch.model import Action, EnrollmentRequest, Kind, NoAnswer, Outcome, Reply, Scope, Speaks
from batch.run.api import api_at
from batch.run.checks import Check, Status, ok, wrong
from batch.run.group_facts import take_turn
from batch.run.online import today
from batch.run.target_checks import TargetChecks
from batch.sending.conclusions import now_ns
from batch.sending.pace_file import budget_key
from batch.sending.pacing import Pacer
from batch.sending.shared_pacing import SharedPacer
from batch.sending.window import SECOND_NS

if TYPE_CHECKING:
    from batch.capillary.target_groups import Cycle
    from batch.config import Settings
    from batch.model import Verdict
    from batch.run.api import Api
    from batch.sending.protocols import Pace

SKEW_S = 60.0
"""Source: our choice: dates of cycles and the five minutes within which receivers take a signed message."""
PATIENCE_S = 30.0
"""How long a read waits for its turn. Source: our choice, because a person is watching."""
_NOBODY = 0
"""A customer id that no customer has, so that nobody's data come back."""
_NO_IDENTIFIER = "external_id:enroll-batch-doctor"
_ANY_GROUP = 1
"""Asked about where the file names the target group: that there is none proves who we are."""


def api_checks(settings: Settings, state: Path, wall_clock: Callable[[], float]) -> Iterator[Check]:
    """Ask, and yield each check; `state` is the folder of the shared rate."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with api_at(settings, Path(folder)) as api:
                yield from asyncio.run(_collected(settings, api, state, wall_clock))
        except EnrollBatchError as error:
            yield wrong("api", error.text, error.exit_code)


async def _collected(settings: Settings, api: Api, state: Path, wall_clock: Callable[[], float]) -> list[Check]:
    client = CapillaryClient(api.address, api.credentials, 1)
    pace = _pace(settings, api, state)
    try:
        return [check async for check in _Checks(settings, api, client, pace, wall_clock).checks()]
    finally:
        await client.aclose()
        pace.close()


def _pace(settings: Settings, api: Api, state: Path) -> Pace:
    rate = settings.pacing.rate
    limit = (rate.max_starts, rate.window_ns) if rate else None
    if settings.uses_sandbox:
        return Pacer(limit)
    budget = budget_key(settings.api.base_url, api.credentials.identity)
    return SharedPacer(state, budget, limit, run_id="doctor", now=now_ns())


class _NotAsked(Exception):
    """Everybody has to wait, and longer than a person wants to."""


@dataclass(frozen=True, slots=True)
class _Checks:
    settings: Settings
    api: Api
    client: CapillaryClient
    pace: Pace
    wall_clock: Callable[[], float]

    async def checks(self) -> AsyncIterator[Check]:
        """Yield what the API says, from the most general to the most special; end where the rest has no sense."""
        campaign = self.settings.campaign
        group = campaign.target_group_id or _ANY_GROUP
        answers = ok("api", f"{self.settings.api.base_url} answers")
        try:
            answer = await self._read(cycles_path(group))
        except AccessRefused as refusal:
            yield answers
            yield wrong("credentials", refusal.text, refusal.exit_code)
            return
        except _NotAsked as why:
            yield Check("api", Status.UNKNOWN, str(why))
            return
        if isinstance(answer, NoAnswer):
            why_not = answer.error.removeprefix(NO_TOKEN)
            yield wrong("api", f"{why_not}; check network, proxy and api.base_url", 7)
            return
        yield answers
        yield self._clock(answer)
        try:
            verdict = judge_read(group, answer, can_renew=False, now_s=self.wall_clock())
            cycles, unreadable = _listed(answer)
            yield (access := self._access(answer, verdict, listed=bool(unreadable) or cycles is not None))
            if access.status is Status.WRONG:
                return
            yield await self._scope()
            if any(name in self.settings.input.columns for name in IDENTIFIERS):
                yield await self._look_ups()
            if campaign.target_group_id is not None:
                day = today(self.settings, int(self.wall_clock() * SECOND_NS))
                target = TargetChecks(self.settings, group, day, self._read)
                why_not = unreadable or f"cannot be asked ({_said(answer, verdict)})"
                async for check in target.checks(verdict, cycles, why_not):
                    yield check
        except _NotAsked as why:
            yield Check("target group", Status.UNKNOWN, str(why))

    async def _read(self, path: str) -> Reply | NoAnswer:
        await self._turn()
        return await self.client.read(0, path, {})

    async def _turn(self) -> None:
        """Wait for a start, as every request does."""
        give_up = now_ns() + int(PATIENCE_S * 1e9)

        def check(at: int) -> None:
            if max(at, self.pace.held_until) > give_up:
                raise _NotAsked("other runs use the whole rate, or the API asked everybody to wait; try again later")

        await take_turn(self.pace, check)

    def _clock(self, answer: Reply) -> Check:
        try:
            theirs = parsedate_to_datetime(answer.headers["date"]).timestamp()
        except (KeyError, ValueError, TypeError):
            return Check("clock", Status.UNKNOWN, "the API does not say what time it is")
        ahead_s = self.wall_clock() - theirs
        if abs(ahead_s) <= SKEW_S:
            return ok("clock", "agrees with the API's")
        side = "ahead of" if ahead_s > 0 else "behind"
        text = f"this machine's clock is {abs(ahead_s):,.0f} s {side} the API's; set it, best by NTP"
        return wrong("clock", text, 1)

    def _access(self, answer: Reply, verdict: Verdict, *, listed: bool) -> Check:
        is_oauth = isinstance(self.api.credentials, OAuth)
        accepted = "a token was given" if is_oauth else "till and password are accepted"
        if listed or verdict.outcome is Outcome.TARGET_NOT_FOUND:
            return ok("credentials", f"{accepted}, and reading is allowed; enrolling shows only when it is done")
        if verdict.outcome is Outcome.ACCESS_REFUSED:
            if is_not_allowed(verdict):
                text = f"{NOT_ALLOWED}; whether enrolling is shows only when it is done; {TO_BE_ALLOWED}"
                return Check("credentials", Status.LOOK, text)
            said = f"HTTP {answer.status}, code {verdict.error_code}"
            return wrong("credentials", f"the API does not accept them ({said}); check the variables behind auth", 10)
        if is_oauth:
            return ok("credentials", f"{accepted}; more the API cannot be asked ({_said(answer, verdict)})")
        return Check("credentials", Status.UNKNOWN, f"the API cannot be asked ({_said(answer, verdict)})")

    async def _scope(self) -> Check:
        """Look at the target groups of a customer who does not exist: only the scope can be refused."""
        scope, campaign = self.settings.scope, self.settings.campaign
        if scope.data_scope == "SELF":
            return ok("scope", "SELF: the organisation of the credentials; an org_id column is checked when it is sent")
        target = Scope(
            Action.ENROLL,
            Kind(campaign.kind),
            scope.org,
            campaign.target_group_id or _ANY_GROUP,
            campaign.target_id or 1,
        )
        request = EnrollmentRequest(target, _NOBODY)
        await self._turn()
        answer = await self.client.read_standing(0, request)
        if isinstance(answer, NoAnswer):
            return Check("scope", Status.UNKNOWN, f"the API cannot be asked ({answer.error})")
        verdict = judge_look(request, answer, maybe_applied=False, can_renew=False, now_s=self.wall_clock())
        if verdict.outcome is Outcome.SCOPE_REFUSED:
            text = f"the API refuses organisation {scope.org} (code {verdict.error_code}); check scope.org against"
            return wrong("scope", f"{text} the connected organisations of these credentials", 10)
        if verdict.outcome is Outcome.INVALID_USER or answer.status < 300:
            return ok("scope", f"OTHER: organisation {scope.org} can be read")
        return Check("scope", Status.UNKNOWN, f"the API cannot be asked ({_said(answer, verdict)})")

    async def _look_ups(self) -> Check:
        """Look somebody up who does not exist: that nobody is found shows that look-ups are allowed."""
        if self.settings.scope.org is not None:
            text = "customers of another organisation are not looked up; uploads need the column customer_id"
            return Check("look-ups", Status.LOOK, text)
        source = self.settings.input.look_up_source
        await self._turn()
        answer = await self.client.read(0, PATH, look_up_query(_NO_IDENTIFIER, source), prefixed=False)
        verdict = judge_look_up(
            look_up_of(_NO_IDENTIFIER), answer, maybe_applied=False, can_renew=False, now_s=self.wall_clock()
        )
        if verdict.outcome in {Outcome.INVALID_USER, Outcome.ENROLLED}:
            return ok("look-ups", f"customers of {source} can be looked up")
        if verdict.error_code in LOOK_UP_CODES:
            meaning = LOOK_UP_CODES[verdict.error_code].meaning
            return wrong(
                "look-ups", f"{meaning} (code {verdict.error_code}); check input.look_up_source ({source})", 10
            )
        said = answer.error if isinstance(answer, NoAnswer) else _said(answer, verdict)
        if verdict.speaks is Speaks.RUN:
            return wrong(
                "look-ups", f"the API refuses them ({said}); ask that these credentials may read customers", 10
            )
        return Check("look-ups", Status.UNKNOWN, f"the API cannot be asked ({said})")


def _listed(answer: Reply) -> tuple[tuple[Cycle, ...] | None, str]:
    """Return the cycles that an answer lists, None where it lists none, and what keeps them from being read."""
    try:
        return read_cycles(answer), ""
    except UnreadableEntry as fault:
        return None, f"lists cycles that cannot be read ({fault})"


def _said(answer: Reply, verdict: Verdict) -> str:
    code = f", code {verdict.error_code}" if verdict.error_code is not None else ""
    return f"HTTP {answer.status}{code}"
