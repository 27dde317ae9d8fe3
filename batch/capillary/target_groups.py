"""Step 3 of 5: read a target group: its cycles with their dates, and its targets.

Owns the shapes of the two reads, and what an answer to one means. Pure: `client` carries the bytes, and whoever reads
pays the rate like for a request. Names of cycles are kept to the letter.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from batch.capillary.codes import judge
from batch.capillary.envelope import Envelope, read_envelope
from batch.model import Action, EnrollmentRequest, Kind, NoAnswer, Reply, Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.model import Verdict

T = TypeVar("T")


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
    """Return the cycles by their first day, then their id; None where the answer does not list them all.

    The vendor lists them in no order.
    """
    cycles = _items(answer, _cycle)
    return None if cycles is None else tuple(sorted(cycles, key=lambda cycle: (cycle.start, cycle.period_id)))


def read_targets(answer: Reply | NoAnswer) -> tuple[Target, ...] | None:
    """Return the targets in the order of the answer; None where it does not list them all."""
    targets = _items(answer, _target)
    return None if targets is None else tuple(targets)


def judge_read(target_group_id: int, answer: Reply | NoAnswer, *, can_renew: bool, now_s: float) -> Verdict:
    """Return what an answer that lists nothing means: settled where reading again would tell no more.

    Arguments as for `codes.judge`. A read leaves nothing behind, so nothing is in doubt after it.
    """
    scope = Scope(Action.ENROLL, Kind.MILESTONE, None, target_group_id, 0)
    return judge(EnrollmentRequest(scope, 0), answer, maybe_applied=False, can_renew=can_renew, now_s=now_s)


def _items(answer: Reply | NoAnswer, read: Callable[[dict[str, Any]], T]) -> list[T] | None:
    """Return each entry of `data`, or None where one of them cannot be read: a cycle left out would be a lost one."""
    envelope = _success(answer)
    if envelope is None or not isinstance(envelope.data, list):
        return None
    try:
        return [read(item) for item in envelope.data]
    except (KeyError, TypeError, ValueError):
        return None


def _success(answer: Reply | NoAnswer) -> Envelope | None:
    if isinstance(answer, NoAnswer) or not answer.complete or not 200 <= answer.status < 300:
        return None
    envelope = read_envelope(answer.body)
    return envelope if envelope and not envelope.errors else None


def _cycle(item: dict[str, Any]) -> Cycle:
    name = item["refCode"]
    if isinstance(name, int) and not isinstance(name, bool):  # a sample of the vendor's is a number
        name = str(name)
    if not isinstance(name, str) or not name:
        raise ValueError("a cycle without a name")
    start, end = (dt.date.fromisoformat(item[key][:10]) for key in ("startDate", "endDate"))
    return Cycle(name, int(item["id"]), start, end, is_active=item.get("active") is not False)


def _target(item: dict[str, Any]) -> Target:
    return Target(int(item["id"]), str(item.get("name") or ""), is_active=item.get("active") is not False)
