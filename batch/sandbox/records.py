"""What stands in the body of an enroll or unEnroll call.

Pure. Source: docs.capillarytech.com/reference/connectedorgs-enroll-customer-milestone-or-streak.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeGuard

from batch.sandbox.answers import Refused
from batch.sandbox.switches import Lenience, Switches, TwoRecords


@dataclass(frozen=True, slots=True)
class Record:
    """One customer to enroll or unenroll; an unEnroll has only the customer."""

    customer: int
    period: str | None = None
    balance: int | None = None
    reset: bool = False


def parse_body(body: bytes, switches: Switches) -> list[Record] | Refused:
    """Return the records that are to be applied (at least one), or the refusal 300004."""
    try:
        records = json.loads(body)
    except ValueError:
        return Refused(300004, 400)
    if not isinstance(records, list) or not records:
        return Refused(300004)
    if len(records) > 1 and switches.two_records is TwoRecords.REFUSE:
        return Refused(300004, message="Maximum number of records is 1")
    if switches.two_records is TwoRecords.FIRST:
        records = records[:1]
    parsed = [_record(record, switches) for record in records]
    good = [record for record in parsed if record is not None]
    return good if len(good) == len(parsed) else Refused(300004)


def _record(raw: Any, switches: Switches) -> Record | None:
    """Return one record, or None where a value is not of its type."""
    if not isinstance(raw, dict):
        return None
    customer, period, balance = raw.get("customerId"), raw.get("periodName"), raw.get("initialBalance")
    reset = raw.get("resetStreakStatus")
    # The "Try it" form types customerId as string, the tables as integer: both are taken.
    if isinstance(customer, str) and customer.isascii() and customer.isdigit():
        customer = int(customer)
    if not _is_int(customer) or not (period is None or isinstance(period, str)):
        return None
    if not (balance is None or _is_int(balance)) or not (reset is None or isinstance(reset, bool)):
        return None
    if balance is not None and balance < 0 and switches.negative_balance is Lenience.REFUSE:
        return None
    return Record(customer, period or None, balance, bool(reset))


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
