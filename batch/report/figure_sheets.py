"""Step 5 of 5: the other sheets of figures in reconciliation.xlsx: by target and cycle, over time, by code.

Owns their columns. The charts over them are `chart_sheet`'s.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING

from batch.model import GROUP_OF, Group
from batch.report.crosstab import by_target_and_cycle
from batch.report.sheet_lines import SheetLines, print_wide
from batch.report.tables import advise_kind, utc_text
from batch.report.words import outcome_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlsxwriter.worksheet import Worksheet

    from batch.model import UnsettlingAttempts
    from batch.report.cells import Book
    from batch.report.overview import Overview
    from batch.report.reconcile import Accounts
    from batch.report.samples import EndKind
    from batch.report.tables import Value


def write_by_target(book: Book, worksheet: Worksheet, accounts: Accounts) -> None:
    """Fill the sheet of outcomes by target and cycle."""
    table = by_target_and_cycle(accounts.tallies.subtotals)
    sheet = SheetLines(book, worksheet)
    worksheet.freeze_panes(1, 2)
    worksheet.set_column(0, 1, 30)
    worksheet.set_column(2, 2 + len(table.columns), 16)
    print_wide(worksheet)
    worksheet.repeat_rows(0)
    sheet.header(["target", "cycle", *table.columns], counts=range(2, 2 + len(table.columns)))
    for (target, cycle), *counts in table.itertuples():
        sheet.line([target, cycle, *(int(count) for count in counts)], ["", "", *["count"] * len(counts)])
    sheet.filter(1 + len(table.columns))


OVER_TIME = (
    "from (UTC)", "seconds", "attempts", "attempts per second", "allowed per second", "tried again",
    *(group.value for group in Group), "429 or 503", "held seconds", "requests settled so far", "events",
)  # fmt: skip


def write_over_time(book: Book, worksheet: Worksheet, overview: Overview) -> None:
    """Fill the sheet of what happened over time: a line for each stretch."""
    sheet = SheetLines(book, worksheet)
    worksheet.freeze_panes(1, 1)
    worksheet.set_column(0, 0, 25)
    worksheet.set_column(1, len(OVER_TIME) - 2, 11)
    worksheet.set_column(len(OVER_TIME) - 1, len(OVER_TIME) - 1, 50)
    print_wide(worksheet)
    worksheet.repeat_rows(0)
    sheet.header(OVER_TIME, counts=range(1, len(OVER_TIME) - 1))
    timeline = overview.timeline
    so_far = accumulate(stretch.settled.total() for stretch in timeline.stretches)
    for stretch, settled in zip(timeline.stretches, so_far, strict=True):
        at = utc_text(stretch.begin)
        if at is not None:
            book.write_time(worksheet, sheet.row, 0, at)
        values: list[Value] = [
            timeline.width_s,
            stretch.attempts,
            stretch.attempts / timeline.width_s,
            _finite(stretch.allowed_per_s),
            stretch.tried_again,
            *(stretch.brought[group] for group in Group),
            stretch.pushed_back,
            stretch.held_ns / 1e9,
            settled,
            "; ".join(f"{mark.kind}: {mark.text}" for mark in stretch.marks[:5]) or None,
        ]
        looks = ["", "", "count", "decimal", "decimal", *["count"] * (len(Group) + 2), "decimal", "count"]
        sheet.line([None, *values], looks)
    sheet.filter(len(OVER_TIME) - 1)
    if timeline.timeless:
        sheet.row += 1
        sheet.line([f"Besides, {timeline.timeless:,} attempts were on their way when a sender died."])


def _finite(per_s: float | None) -> float | None:
    """Leave the cell empty where there is no limit."""
    return per_s if per_s is not None and math.isfinite(per_s) else None


BY_CODE = (
    "what", "outcome", "group", "HTTP status", "error code", "reason", "count", "it means", "it speaks for",
    "what to do", "tried again", "source",
)  # fmt: skip
_BY_CODE_WIDTHS = (22, 20, 12, 12, 12, 30, 12, 50, 16, 60, 11, 50)


def write_by_code(book: Book, worksheet: Worksheet, overview: Overview) -> None:
    """Fill the sheet of requests that are not simply done, and of attempts that settled nothing, by code."""
    sheet = SheetLines(book, worksheet)
    worksheet.freeze_panes(1, 1)
    for column, width in enumerate(_BY_CODE_WIDTHS):
        worksheet.set_column(column, column, width)
    print_wide(worksheet)
    worksheet.repeat_rows(0)
    sheet.header(BY_CODE, counts=(3, 4, 6))
    for end in overview.ends:
        _write_kind(sheet, overview, "requests that ended so", end, end.count)
    for attempts in overview.unsettling:
        _write_kind(sheet, overview, "attempts tried again", attempts, attempts.count)
    sheet.filter(len(BY_CODE) - 1)
    if overview.ends_beyond:
        sheet.line([f"{overview.ends_beyond:,} more requests, of kinds beyond these; the CSV files hold them."])


def _write_kind(
    sheet: SheetLines, overview: Overview, what: str, kind: EndKind | UnsettlingAttempts, count: int
) -> None:
    told = overview.advice.explain(kind.outcome, kind.http_status, kind.error_code, kind.reason)
    what_to_do = advise_kind(overview.accounts, overview.advice, kind.outcome, told.what_to_do)
    group = GROUP_OF[kind.outcome].value
    values: Sequence[Value] = (
        what, outcome_text(kind.outcome), group, kind.http_status, kind.error_code, kind.reason, count, told.meaning,
        told.whose, what_to_do, "yes" if told.is_retried else "no", told.source,
    )  # fmt: skip
    sheet.fit(
        *((value, width - 4) for value, width in zip(values, _BY_CODE_WIDTHS, strict=True) if isinstance(value, str))
    )
    looks = {"group": group, "count": "count", "HTTP status": "number", "error code": "number"}
    sheet.line(values, [looks.get(name, "wrapped") for name in BY_CODE])
