"""Step 3 of 5: read a target group: its cycles with their dates, and its targets.

Owns the shapes of the two reads, and what an answer to one means. Pure: `client` carries the bytes, and whoever reads
pays the rate like for a request. Names of cycles are kept to the letter.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from batch.capillary.codes import judge
from batch.capillary.envelope import Envelope, clean, read_envelope
from batch.model import Action, EnrollmentRequest, Kind, NoAnswer, Outcome, Reply, Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.model import Verdict

T = TypeVar("T")

NOT_ALLOWED = "reading target groups is not allowed for these credentials"
TO_BE_ALLOWED = "ask for the resource Target Loyalty"
"""Source: docs.capillarytech.com/docs/access-group, which has these reads under that resource."""


class UnreadableEntry(ValueError):
    """A list came whole, but one of its entries cannot be read; the text names the entry and its field."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """One cycle of a target group; `name` is what the wire calls `periodName`. Both dates belong to it."""

    name: str
    period_id: int
    start: dt.date
    end: dt.date
    is_active: bool

    def is_over(self, today: dt.date) -> bool:
        """Whether its last day is past."""
        return self.end < today

    def is_running(self, today: dt.date) -> bool:
        """Whether today is one of its days."""
        return self.start <= today <= self.end


@dataclass(frozen=True, slots=True)
class Target:
    """One target of a target group."""

    target_id: int
    name: str
    is_active: bool


def cycles_path(target_group_id: int) -> str:
    """Return where the cycles of a group are read. Source: docs.capillarytech.com/reference/get-target-periods."""
    return f"v3/targetGroups/{target_group_id}/targetPeriods"


def targets_path(target_group_id: int) -> str:
    """Return where the targets of a group are read. Source: docs.capillarytech.com/reference/get-targets."""
    return f"v3/targetGroups/{target_group_id}/targets"


def read_cycles(answer: Reply | NoAnswer) -> tuple[Cycle, ...] | None:
    """Return the cycles by their first day, then their id; None where the answer lists none.

    The vendor lists them in no order. One that is not active and cannot be read is passed over: it is of no use.

    Raises: UnreadableEntry for any other: a cycle left out would be a lost one.
    """
    cycles = _entries(answer, "cycle", _cycle)
    return None if cycles is None else tuple(sorted(cycles, key=lambda cycle: (cycle.start, cycle.period_id)))


def read_targets(answer: Reply | NoAnswer) -> tuple[Target, ...] | None:
    """Return the targets in the order of the answer; None where it lists none. Raises as `read_cycles`."""
    targets = _entries(answer, "target", _target)
    return None if targets is None else tuple(targets)


def judge_read(target_group_id: int, answer: Reply | NoAnswer, *, can_renew: bool, now_s: float) -> Verdict:
    """Return what an answer that lists nothing means: settled where reading again would tell no more.

    Arguments as for `codes.judge`. A read leaves nothing behind, so nothing is in doubt after it.
    """
    scope = Scope(Action.ENROLL, Kind.MILESTONE, None, target_group_id, 0)
    return judge(EnrollmentRequest(scope, 0), answer, maybe_applied=False, can_renew=can_renew, now_s=now_s)


def is_not_allowed(verdict: Verdict) -> bool:
    """Whether these credentials may not read, which says nothing about whether they may enroll.

    Source: docs.capillarytech.com/reference/authorisation (403, 4000), as opposed to credentials that nobody knows.
    """
    is_access = verdict.outcome is Outcome.ACCESS_REFUSED
    return is_access and (verdict.http_status == 403 or verdict.error_code in {403, 4000})


def _entries(answer: Reply | NoAnswer, what: str, read: Callable[[dict[str, object]], T]) -> list[T] | None:
    envelope = _success(answer)
    if envelope is None or not isinstance(envelope.data, list):
        return None
    found = []
    for number, item in enumerate(envelope.data, 1):
        if not isinstance(item, dict):
            raise UnreadableEntry(f"entry {number}, {_shown(item)}, is no {what}")
        try:
            found.append(read(item))
        except UnreadableEntry as fault:
            if item.get("active") is not False:
                raise UnreadableEntry(f"entry {number}, {what} {_shown(item.get('id'))}: {fault}") from fault
    return found


def _success(answer: Reply | NoAnswer) -> Envelope | None:
    if isinstance(answer, NoAnswer) or not answer.complete or not 200 <= answer.status < 300:
        return None
    envelope = read_envelope(answer.body)
    return envelope if envelope and not envelope.errors else None


def _cycle(item: dict[str, object]) -> Cycle:
    name = item.get("refCode")
    if isinstance(name, int) and not isinstance(name, bool):  # a sample of the vendor's is a number
        name = str(name)
    if not isinstance(name, str) or not name:
        raise UnreadableEntry(f"refCode is {_shown(name)}, no name")
    return Cycle(
        name, _id(item), _date(item, "startDate"), _date(item, "endDate"), is_active=item.get("active") is not False
    )


def _target(item: dict[str, object]) -> Target:
    return Target(_id(item), str(item.get("name") or ""), is_active=item.get("active") is not False)


def _id(item: dict[str, object]) -> int:
    value = item.get("id")
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnreadableEntry(f"id is {_shown(value)}, no whole number")
    return value


def _date(item: dict[str, object], key: str) -> dt.date:
    value = item.get(key)
    try:
        return dt.date.fromisoformat(value[:10] if isinstance(value, str) else "")
    except ValueError:
        raise UnreadableEntry(f"{key} is {_shown(value)}, no date") from None


def _shown(value: object) -> str:
    return clean(json.dumps(value, ensure_ascii=False))[:60]
