"""Step 4 of 5: stop asking for what the API refuses as such: a target group, a target, a cycle.

A fold over verdicts, pure. After three refusals in a row that speak for the same scope, without a success between
them, the scope is closed for the rest of the run; everything else goes on.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.model import GROUP_OF, Group, Outcome, Speaks, Verdict
from batch.sending.guards import IN_A_ROW

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batch.model import EnrollmentRequest, Facts

Key = tuple[Speaks, tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Closed:
    """News that a scope is closed: `text` is one line for people, `facts` what it tells.

    A whole target group has no `target_id` in them, and only a cycle has a `period`.
    """

    text: str
    facts: Facts


class Quarantines:
    """The scopes that are closed, and the refusals that may close another one."""

    def __init__(self, closed: Iterable[tuple[EnrollmentRequest, Verdict]] = ()) -> None:
        """Begin with what was closed before a resume: for each scope a request that was left out, with its verdict."""
        self._refusals: Counter[Key] = Counter()
        self._closed: dict[Key, Verdict] = {_key(request, v.speaks): v for request, v in closed}

    def observe(self, request: EnrollmentRequest, verdict: Verdict) -> Closed | None:
        """Take the verdict that settled a request; return the news when it closes a scope."""
        if GROUP_OF[verdict.outcome] is Group.DONE:
            for speaks in (Speaks.GROUP, Speaks.TARGET, Speaks.PERIOD):
                self._refusals.pop(_key(request, speaks), None)
        if verdict.speaks not in {Speaks.GROUP, Speaks.TARGET, Speaks.PERIOD}:
            return None
        key = _key(request, verdict.speaks)
        self._refusals[key] += 1
        if self._refusals[key] < IN_A_ROW or key in self._closed:
            return None
        self._closed[key] = Verdict(
            Outcome.NOT_SENT,
            settled=True,
            reason=f"quarantined_{verdict.speaks}",
            speaks=verdict.speaks,
            error_code=verdict.error_code,
            error_message=verdict.error_message,
        )
        said = f"refused {IN_A_ROW} times in a row with code {verdict.error_code}"
        facts: Facts = {
            **request.scope.facts,
            "target_id": None if verdict.speaks is Speaks.GROUP else request.scope.target_id,
            "period": request.period if verdict.speaks is Speaks.PERIOD else None,
            "refusals": IN_A_ROW,
            "error_code": verdict.error_code,
        }
        return Closed(f"{_name(request, verdict.speaks)}: {said}", facts)

    def closed_for(self, request: EnrollmentRequest) -> Verdict | None:
        """Return the verdict of a request in a closed scope, which is not sent; None when it may be sent."""
        if not self._closed:
            return None
        keys = (_key(request, speaks) for speaks in (Speaks.GROUP, Speaks.TARGET, Speaks.PERIOD))
        return next((self._closed[key] for key in keys if key in self._closed), None)


def _key(request: EnrollmentRequest, speaks: Speaks) -> Key:
    scope = request.scope
    group = (scope.action, scope.org_id, scope.target_group_id)
    match speaks:
        case Speaks.GROUP:
            return speaks, group
        case Speaks.TARGET:
            return speaks, (*group, scope.target_id)
        case _:
            return speaks, (*group, scope.target_id, request.period)


def _name(request: EnrollmentRequest, speaks: Speaks) -> str:
    scope = request.scope
    match speaks:
        case Speaks.GROUP:
            return f"target group {scope.target_group_id}"
        case Speaks.TARGET:
            return f"target {scope.target_id} of group {scope.target_group_id}"
        case _:
            return f"cycle {request.period} of group {scope.target_group_id}"
