"""The simulated API as an aiohttp application: routes, admission, and the way of one call.

Owns what is counted and remembered of the calls. The rules of the vendor are in `access`, `limits`, `records`,
`enrollment` and `reads`; what goes wrong is in `faults`, `answers` and `wire`.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from batch.sandbox import reads, wire
from batch.sandbox.access import Access, Caller, Credentials, scope_of
from batch.sandbox.answers import JSON, Answer, Refused, altered, refusal, replaced, success, v2_answer
from batch.sandbox.enrollment import Organisation
from batch.sandbox.faults import FAULTS, Fault, FaultPlan, Struck
from batch.sandbox.limits import Limit, too_many, with_retry_after
from batch.sandbox.records import Record, parse_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from batch.sandbox.state import State
    from batch.sandbox.switches import Switches

PREFIXES = ("", "/api_gateway/intouch-api-v3")
ENROLL = "enroll"
UNENROLL = "unenroll"


class Call(NamedTuple):
    """One enroll or unEnroll call whose body could be read. `at_ns` is when it arrived, on the monotonic clock."""

    at_ns: int
    action: str
    org: int
    group: int
    target: int
    customer: int
    period: str | None
    fault: Fault


class Api:
    """One simulated organisation behind one socket; everything here runs on one event loop.

    `calls` counts arrivals by kind, `statuses` answers by HTTP status, `overlaps` the calls that came while another
    one for the same customer was at work. `arrivals` (monotonic ns of enroll and unEnroll calls, refused ones
    included) and `journal` remember the last `remembered` calls.
    """

    def __init__(
        self,
        switches: Switches,
        credentials: Credentials,
        state: State,
        *,
        now: Callable[[], float] = time.time,
        remembered: int = 100_000,
    ) -> None:
        self.switches = switches
        self.organisation = Organisation.born(state, switches, now)
        self.faults = FaultPlan(switches.faults, switches.seed)
        self.calls: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.overlaps = 0
        self.arrivals: deque[int] = deque(maxlen=remembered)
        self.journal: deque[Call] = deque(maxlen=remembered)
        self.stopping = asyncio.Event()
        self._now = now
        self.access = Access(credentials, switches, now)
        self._limit = Limit(switches)
        self._busy: set[int] = set()
        self._draw = random.Random(switches.seed + 1).uniform  # noqa: S311 - a repeatable course, not a secret

    def application(self) -> web.Application:
        """Return the routes. Source: facts of the vendor's pages; the prefix is theirs, too."""
        app = web.Application(middlewares=[self._front_door])
        add = app.router.add_route
        for prefix in PREFIXES:
            for version in ("v3", "v3.1"):
                target = f"{prefix}/{version}/targetGroups/{{group}}/targets/{{target}}"
                add("POST", f"{target}/enroll", self._admitted(ENROLL, self._change))
                add("POST", f"{target}/unEnroll", self._admitted(UNENROLL, self._change))
                add(
                    "GET",
                    f"{prefix}/{version}/users/{{user}}/targetGroups",
                    self._admitted("target_groups", self._user),
                )
            group = f"{prefix}/v3/targetGroups/{{group}}"
            add("GET", f"{group}/targetPeriods", self._admitted("target_periods", self._target_periods))
            add("GET", f"{group}/targets", self._admitted("targets", self._targets))
        add("GET", "/v2/customers/lookup", self._admitted("lookup", self._lookup))
        add("POST", "/v3/oauth/token/generate", self._token)
        return app

    @web.middleware
    async def _front_door(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except ConnectionError:
            return web.Response()  # goes nowhere: the client left in the middle of its request
        except web.HTTPException as error:
            self.calls["unknown"] += 1
            headers = (("Allow", error.headers["Allow"]),) if "Allow" in error.headers else ()
            return self._respond(self._refuse(Refused(error.status, error.status, error.reason, headers)))

    def _admitted(
        self, kind: str, handle: Callable[[web.Request, Caller, int], Awaitable[Answer | web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return a handler that counts the call and lets it through credentials and limit first."""

        async def handler(request: web.Request) -> web.StreamResponse:
            now_ns = time.monotonic_ns()
            self.calls[kind] += 1
            if kind in {ENROLL, UNENROLL}:
                self.arrivals.append(now_ns)
                if self.switches.revoke_tokens_at == self.calls[ENROLL] + self.calls[UNENROLL]:
                    self.access.revoke_all()
            caller = self.access.admit(request.headers)
            if isinstance(caller, Refused):
                return self._respond(self._refuse(caller))
            wait_s = self._limit.wait_s(caller.key, now_ns)
            left = self._limit.headers(caller.key, self.switches.limit_headers, now_ns)
            if wait_s is not None:
                return self._respond(too_many(wait_s, self._now(), self.switches), left)
            answer = await handle(request, caller, now_ns)
            return self._respond(answer, left) if isinstance(answer, Answer) else answer

        return handler

    async def _change(self, request: web.Request, caller: Caller, at_ns: int) -> Answer | web.StreamResponse:
        """Enroll or unenroll."""
        if request.content_type != JSON:
            return self._refuse(Refused(415, 415, "Unsupported Media Type"))
        path = request.match_info
        group, target = path["group"], path["target"]
        if not (group.isascii() and group.isdigit() and target.isascii() and target.isdigit()):
            return self._refuse(Refused(300004))
        orgs = self._orgs(request, caller, reading=False)
        if isinstance(orgs, Refused):
            return self._refuse(orgs)
        records = parse_body(await request.read(), self.switches)
        if isinstance(records, Refused):
            return self._refuse(records)
        action = UNENROLL if request.path.endswith("unEnroll") else ENROLL
        first = records[0]
        fault = self.faults.next_fault(first.customer)
        self.journal.append(Call(at_ns, action, orgs[0], int(group), int(target), first.customer, first.period, fault))
        if first.customer in self._busy:
            self.overlaps += 1
            return self._refuse(Refused(521))
        self._busy.add(first.customer)
        try:
            await self._latency()
            if FAULTS[fault].takes_effect:
                true = self._apply(action, orgs[0], int(group), int(target), records)
            else:
                true = Answer(200, b"")
        finally:
            self._busy.discard(first.customer)
        return await self._faulty(request, fault, true, first.customer)

    def _apply(self, action: str, org: int, group: int, target: int, records: list[Record]) -> Answer:
        apply = self.organisation.enroll if action == ENROLL else self.organisation.unenroll
        refused = [apply(org, group, target, record) for record in records]
        if refused[0] is not None:
            return self._refuse(refused[0])
        return success(records[0].customer, self.switches.success_status)

    async def _faulty(
        self, request: web.Request, fault: Fault | None, true: Answer, customer: int
    ) -> Answer | web.StreamResponse:
        """Answer as `fault` has it: the true answer, another one, or none."""
        if fault is None:
            return true
        if (changed := altered(fault, true, customer)) is not None:
            return changed
        if fault is Fault.ERROR_429:
            return too_many(1.0, self._now(), self.switches)
        if instead := replaced(fault, self.switches):
            return with_retry_after(instead, 1.0, self._now(), self.switches) if fault is Fault.ERROR_503 else instead
        transport = request.transport
        if transport is not None:
            true = Answer(true.status, true.body, true.content_type, (*true.headers, _request_id()))
            await wire.misanswer(fault, transport, true, self.switches, self.stopping)
        return web.Response()  # goes nowhere: the connection is closed

    async def _user(self, request: web.Request, caller: Caller, _at_ns: int) -> Answer | web.StreamResponse:
        """Tell a customer's target groups."""
        orgs = self._orgs(request, caller, reading=True)
        if isinstance(orgs, Refused):
            return self._refuse(orgs)
        user = _number(request.match_info["user"])
        await self._latency()
        answer = self._told(reads.target_groups(self.organisation, orgs, user, request.query))
        return await self._faulty(request, self.faults.injected(Struck.READ, user), answer, user)

    async def _target_periods(self, request: web.Request, _caller: Caller, _at_ns: int) -> Answer | web.StreamResponse:
        answer = self._told(reads.target_periods(self.organisation, _number(request.match_info["group"])))
        return await self._read(request, answer)

    async def _targets(self, request: web.Request, _caller: Caller, _at_ns: int) -> Answer | web.StreamResponse:
        answer = self._told(reads.targets(self.organisation, _number(request.match_info["group"])))
        return await self._read(request, answer)

    async def _lookup(self, request: web.Request, _caller: Caller, _at_ns: int) -> Answer | web.StreamResponse:
        found = reads.customer_lookup(request.query)
        if isinstance(found, Refused):
            return await self._read(request, v2_answer(None, found, self.switches))
        return await self._read(request, v2_answer(found, None, self.switches))

    async def _read(self, request: web.Request, answer: Answer) -> Answer | web.StreamResponse:
        """Answer a read about no customer that is known by his id."""
        await self._latency()
        return await self._faulty(request, self.faults.injected(Struck.READ, 0), answer, 0)

    async def _token(self, request: web.Request) -> web.StreamResponse:
        self.calls["token"] += 1
        if request.content_type != JSON:
            return self._respond(self._refuse(Refused(415, 415, "Unsupported Media Type")))
        answer = self._told(self.access.issue(await request.read()))
        answered = await self._faulty(request, self.faults.injected(Struck.TOKEN, 0), answer, 0)
        return self._respond(answered) if isinstance(answered, Answer) else answered

    async def _latency(self) -> None:
        latency = self.switches.latency_ms
        if latency.most_ms:
            await asyncio.sleep(self._draw(latency.least_ms, latency.most_ms) / 1000)

    def _orgs(self, request: web.Request, caller: Caller, *, reading: bool) -> tuple[int, ...] | Refused:
        """Return the organisations of a call; v3 knows no scopes."""
        if "/v3.1/" not in request.path:
            return (caller.org,)
        return scope_of(caller, request.headers, self.switches, reading=reading)

    def _told(self, data: object | Refused) -> Answer:
        return self._refuse(data) if isinstance(data, Refused) else success(data)

    def _refuse(self, refused: Refused) -> Answer:
        return refusal(refused, self.switches)

    def _respond(self, answer: Answer, more_headers: tuple[tuple[str, str], ...] = ()) -> web.Response:
        self.statuses[answer.status] += 1
        headers = [*answer.headers, *more_headers, _request_id(), ("Content-Type", answer.content_type)]
        response = web.Response(status=answer.status, body=answer.body, headers=headers)
        if ("Connection", "close") in answer.headers:
            response.force_close()
        return response


def _request_id() -> tuple[str, str]:
    """Return the header that names a call, 32 hex digits. Source: docs.capillarytech.com/reference/apioverview."""
    return "X-Cap-Requestid", secrets.token_hex(16)


def _number(text: str) -> int:
    """Return an id out of a path; -1, which nothing has, where it is none."""
    return int(text) if text.isascii() and text.isdigit() else -1
