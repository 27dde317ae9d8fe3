"""Step 3 of 5: ask the API whether a request in doubt was applied, or a customer is enrolled.

Owns one look at `users/{id}/targetGroups` on the worker's own connection, and what is done when its token is refused.
Does not know when to look: whoever looks pays the rate like for a request. `standing` says what an answer proves.
Bodies are neither logged nor kept.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

from batch.capillary.standing import Membership, finding, judge_look, standing
from batch.model import Looked, NoAnswer, Outcome, Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batch.capillary.client import CapillaryClient
    from batch.model import EnrollmentRequest, Reply


class Enrolments:
    """The API's own word about enrolments: what `retry.in_doubt: verify` asks, and the sender of `verify`.

    `wall_clock` gives seconds since 1970.
    """

    def __init__(self, client: CapillaryClient, *, wall_clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._wall_clock = wall_clock

    async def send(self, worker: int, request: EnrollmentRequest) -> Reply | NoAnswer:
        """Look once; the answer is for `standing`.

        Raises: AccessRefused when the token endpoint refuses the key, ConfigError for an organisation with v3.
        """
        return await self._client.read_standing(worker, request)

    async def renew_token(self, worker: int) -> bool:
        """Replace the token that `worker` last looked with; False when there is none to replace.

        Raises: AccessRefused when the token endpoint refuses the key.
        """
        return await self._client.renew_token(worker)

    async def verify(self, worker: int, request: EnrollmentRequest) -> Looked:
        """Look once, and say what became of a request that is in doubt; nothing is found when the API does not say.

        One call, which costs one start. A settled finding ends the request: `confirmed_by_api`, or in doubt for good
        as `enrolled_value_unknown`. One that is not settled, `server_error` with `tells` REFUSED, is known not to be
        applied and may be sent again; an attempt that is still on its way may be applied after the look, so the
        request remains one that may have been applied. A token that is refused is renewed for the next call.

        Raises: as `send`.
        """
        answer = await self._client.read_standing(worker, request)
        now_s = self._wall_clock()
        looked = judge_look(request, answer, maybe_applied=True, can_renew=True, now_s=now_s)
        if looked.renew_token:
            await self._client.renew_token(worker)
        found = finding(request, answer, now_s)
        proves = found is not None and (found.settled or found.outcome is not Outcome.IN_DOUBT)
        return Looked(looked, found if proves else None)

    async def look_at(self, worker: int, requests: Sequence[EnrollmentRequest]) -> Seen:
        """Look once at one customer; say of each of these requests, all of one scope, whether it is enrolled.

        One call, which costs one start. A token that is refused is renewed for the next call.

        Raises: as `send`.
        """
        answer = await self._client.read_standing(worker, requests[0])
        now_s = self._wall_clock()
        looked = judge_look(requests[0], answer, maybe_applied=False, can_renew=True, now_s=now_s)
        if looked.renew_token:
            await self._client.renew_token(worker)
        if isinstance(answer, NoAnswer) or finding(requests[0], answer, now_s) is None:
            return Seen(looked)
        today = dt.datetime.fromtimestamp(now_s, dt.UTC).date()
        return Seen(looked, tuple(_IS_ENROLLED[standing(each, answer, today).membership] for each in requests))


_IS_ENROLLED = {Membership.ENROLLED: True, Membership.NOT_ENROLLED: False, Membership.UNKNOWN: None}
