"""What the simulated API tells about target groups, cycles and customers.

Pure but for the organisation it reads. Source: docs.capillarytech.com/reference/get-target-periods, .../get-targets,
.../connectedorgs-get-associated-target-groups-of-a-user.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from batch.sandbox.answers import Refused
from batch.sandbox.enrollment import STREAK_PERIOD
from batch.sandbox.world import TARGET_VALUE, customer_exists, look_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch.sandbox.enrollment import Organisation
    from batch.sandbox.state import Enrolment
    from batch.sandbox.world import Period, TargetGroup

_SOURCES = (
    *("FACEBOOK", "WEB_ENGAGE", "WECHAT", "INSTORE", "MARTJACK", "TMALL", "TAOBAO", "JD", "ECOMMERCE", "WEBSITE"),
    *("LINE", "ALL"),
)


def target_periods(organisation: Organisation, group_id: int) -> list[dict[str, object]] | Refused:
    """Return the cycles of a group, deliberately not in the order of their dates, as on the vendor's page."""
    group = organisation.groups.get(group_id)
    if group is None or not group.active:
        return Refused(310017)
    today = organisation.today()
    rows: list[dict[str, object]] = [
        {
            "id": period.id,
            "startDate": period.start.isoformat(),
            "endDate": period.end.isoformat(),
            "refCode": period.ref_code,
            "periodStatus": period.status(today),
            "targetGroupId": group.id,
            "description": "",
            "active": True,
        }
        for period in group.periods
    ]
    return rows[1:] + rows[:1]


def targets(organisation: Organisation, group_id: int) -> list[dict[str, object]] | Refused:
    """Return the targets of a group: here always one."""
    group = organisation.groups.get(group_id)
    if group is None or not group.active:
        return Refused(310017)
    return [
        {
            "id": group.target,
            "name": group.target_name,
            "targetType": "COUNT" if group.is_streak else "AMOUNT",
            "targetEntity": "TRANSACTION",
            "targetGroupId": group.id,
            "active": True,
            "enrolmentMethod": "IMPORT",
            "defaultValues": [{"id": p.id, "periodId": p.id, "defaultValue": TARGET_VALUE} for p in group.periods],
        }
    ]


def target_groups(
    organisation: Organisation, orgs: tuple[int, ...], customer: int, query: Mapping[str, str]
) -> dict[str, object] | Refused:
    """Return a customer's state in every group; `targetId` in a row is the customer's own row, null without one."""
    if not customer_exists(customer):
        return Refused(310011)
    all_cycles = query.get("includeInactive", "false").lower() == "true"
    inactive_targets = query.get("includeInactiveTargets", "false").lower() == "true"
    wanted = query.get("targetRuleId")
    groups = []
    for org in orgs:
        for group in organisation.groups.values():
            if (group.active or inactive_targets) and wanted in {None, str(group.target)}:
                shown = _shown_group(organisation, org, group, customer, all_cycles=all_cycles)
                if shown:
                    groups.append(shown)
    person = {
        "firstname": "Sandbox",
        "lastname": f"Customer {customer}",
        "mobile": f"91{customer:010d}",
        "email": f"customer{customer}@example.com",
    }
    return {"userId": customer, "customer": person, "targetGroups": groups}


def _shown_group(
    organisation: Organisation, org: int, group: TargetGroup, customer: int, *, all_cycles: bool
) -> dict[str, object] | None:
    stands = organisation.standing(org, group, customer)
    head: dict[str, object] = {
        "id": group.id,
        "name": group.name,
        "trackingType": "STREAKS" if group.is_streak else "DEFAULT",
        "targetEvaluationType": "FIXED_CALENDAR_WINDOW",
    }
    if group.is_streak:
        streak = stands.get(STREAK_PERIOD)
        if streak is None:
            return None
        return head | {
            "targets": [_target_row(organisation, group, None, streak, customer)],
            "streaks": [_streak_row(group, streak, customer)],
        }
    today = organisation.today()
    rows = [
        _target_row(organisation, group, period, stands.get(period.ref_code), customer)
        for period in group.periods
        if (all_cycles or period.status(today) == "RUNNING")
        and (period.ref_code in stands or organisation.switches.virtual_rows)
    ]
    return head | {"targets": rows} if rows else None


def _target_row(
    organisation: Organisation, group: TargetGroup, period: Period | None, enrolment: Enrolment | None, customer: int
) -> dict[str, object]:
    now = organisation.now()
    row: dict[str, object] = {
        "targetId": None if enrolment is None else customer * 10_000 + (period.id % 10_000 if period else 0),
        "targetRuleId": group.target,
        "targetName": group.target_name,
        "targetValue": TARGET_VALUE,
        "targetAchievedValue": enrolment.balance if enrolment else 0,
        # Rows without an enrolment are made up on the spot, so they carry the moment of the call.
        "enrolledOn": _when(enrolment.enrolled_at if enrolment else now),
        "lastUpdatedOn": _when(enrolment.updated_at if enrolment else now),
        "unEnrolled": enrolment is not None and not enrolment.enrolled,
    }
    if period is not None:
        row |= {
            "periodId": period.id,
            "periodRefCode": period.ref_code,
            "periodStartDate": period.start.isoformat(),
            "periodEndDate": period.end.isoformat(),
            "currentPeriod": period.status(organisation.today()) == "RUNNING",
        }
    return row


def _streak_row(group: TargetGroup, enrolment: Enrolment, customer: int) -> dict[str, object]:
    return {
        "userStreakId": customer * 10_000,
        "streakId": group.target,
        "streakName": group.target_name,
        "status": "IN_PROGRESS" if enrolment.balance else "NOT_STARTED",
        "currentCount": enrolment.balance,
        "totalTargetCountOfSequence": 4,
    }


def _when(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def customer_lookup(query: Mapping[str, str]) -> int | Refused:
    """Return a customer's id. Source: docs.capillarytech.com/reference/get-customer-id."""
    if query.get("source") not in _SOURCES:
        return Refused(8011)
    try:
        customer = look_up(query.get("identifierName", ""), query.get("identifierValue", ""))
    except ValueError:
        return Refused(8013)
    return Refused(8015) if customer is None else customer
