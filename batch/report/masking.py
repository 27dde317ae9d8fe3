"""Step 5 of 5: customer ids behind a keyed hash, for files that leave the team (`report.mask_customers`).

Pure. Owns what of a record could tell who a customer is: the id, whatever is derived from it without a key, what the
API says about it, and every cell of the upload. The CSV files go back in and are never masked, nor is
annotated.xlsx, the upload itself.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from batch.report.tables import OUTCOME_COLUMNS, REJECTED_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.model import InputFacts, RowProblem
    from batch.report.tables import Value

_RAW = frozenset('{}[]<>"')
"""Signs of JSON, HTML and quoted values."""
_NAMING = r"\S+@\S+|\+?\d(?:[ .-]?\d){5,}"
"""An e-mail address, or six digits and more as ids and mobile numbers have; error codes among them lose nothing."""

HIDDEN = "(masked; the CSV file has it)"

_NAMING_NOBODY = frozenset({
    "period_name", "initial_balance", "reset_streak_status", "target_group_id", "target_id", "org_id", "action",
})  # fmt: skip
"""Columns whose cells may be shown where a row has a problem: they say nothing about a customer."""


class Mask:
    """Masks with one key: the same customer gets the same mask in every report made with it."""

    def __init__(self, key: bytes) -> None:
        """`key` is 16 to 64 random bytes; who has it can try out ids, nobody else can."""
        self._key = key

    def customer(self, customer: Value) -> str:
        """Return what stands for a customer."""
        return f"masked-{hashlib.blake2b(str(customer).encode(), key=self._key, digest_size=6).hexdigest()}"

    def outcome_record(self, record: Sequence[Value]) -> list[Value]:
        """Return a record of an outcome table without the customer, and without the cells of the upload."""
        shown = list(record[: len(OUTCOME_COLUMNS)])
        customer, message = str(shown[_CUSTOMER] or ""), shown[_MESSAGE]
        shown[_CUSTOMER] = self.customer(customer) if customer else None
        shown[_REQUEST_ID] = self.customer(shown[_REQUEST_ID])  # a digest without a key: ids can be tried out
        if isinstance(message, str) and message:  # beside somebody who was not found it may quote the mobile number
            shown[_MESSAGE] = self.text(message, customer) if customer else HIDDEN
        return shown

    def rejected_record(self, record: Sequence[Value], problem: RowProblem, file: InputFacts) -> list[Value]:
        """Return a record of the rejected rows without anything that may name a customer."""
        shown = list(record[: len(REJECTED_COLUMNS)])
        shown[_VALUE], shown[_HINT] = self.problem(problem, file)
        return shown

    def problem(self, problem: RowProblem, file: InputFacts) -> tuple[str, str]:
        """Return value and hint of a row problem as they may be shown."""
        roles = {role for role, index in file.roles.items() if file.columns[index : index + 1] == (problem.column,)}
        if problem.column in _NAMING_NOBODY or roles & _NAMING_NOBODY:
            return problem.value, problem.hint
        return (HIDDEN if problem.value else "", HIDDEN)

    def text(self, text: str, customer: str) -> str:
        """Return a text of the API without the customer, and without whatever may name another one.

        A raw answer may hold anything, and is hidden.
        """
        if _RAW & set(text):
            return HIDDEN
        own = [re.escape(named) for named in (customer, customer.partition(":")[2]) if named]
        return re.sub(
            "|".join([*own, _NAMING]),
            lambda found: self.customer(customer if found[0] in customer else found[0]),
            text,
        )


_CUSTOMER, _MESSAGE, _REQUEST_ID = (
    OUTCOME_COLUMNS.index(name) for name in ("customer_id", "error_message", "request_id")
)
_VALUE, _HINT = (REJECTED_COLUMNS.index(name) for name in ("value", "hint"))
