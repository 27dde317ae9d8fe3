"""Step 5 of 5: the sheet of native charts in reconciliation.xlsx: outcomes, throughput, rate, progress.

Owns how they look and where they stand, four on a printed page. Their figures stand in the other sheets.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from batch.model import GROUP_OF, Group
from batch.report.cells import STRONG
from batch.report.figure_sheets import OVER_TIME
from batch.report.sheet_lines import print_wide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlsxwriter.chart import Chart
    from xlsxwriter.worksheet import Worksheet

    from batch.model import Outcome
    from batch.report.cells import Book
    from batch.report.timeline import Timeline

_AGAIN = "#8A93A3"
_ALLOWED = "#1F3864"
_WIDTH, _HEIGHT = 620, 360
_ROW, _COLUMN = 20, 64
"""The size of a cell, in pixels."""


def write_charts(
    book: Book,
    worksheet: Worksheet,
    summary: Worksheet,
    over_time: Worksheet,
    *,
    first_outcome: int,
    outcomes: Sequence[Outcome],
    timeline: Timeline,
) -> None:
    """Fill the sheet of charts. `first_outcome` is the row of the first of the `outcomes` in the summary, from 0."""
    worksheet.hide_gridlines(2)
    print_wide(worksheet)
    _write_outcomes(book, worksheet, summary.get_name(), first_outcome, outcomes)
    if timeline.stretches:
        _write_over_time(book, worksheet, over_time.get_name(), timeline)


def _write_outcomes(book: Book, worksheet: Worksheet, name: str, first: int, outcomes: Sequence[Outcome]) -> None:
    if not outcomes:
        return
    last = first + len(outcomes) - 1
    chart = book.workbook.add_chart({"type": "bar"})
    chart.add_series({
        "name": "Requests",
        "categories": [name, first, 0, last, 0],
        "values": [name, first, 1, last, 1],
        "points": [{"fill": {"color": STRONG[GROUP_OF[outcome]]}} for outcome in outcomes],
        "gap": 40,
    })  # fmt: skip
    chart.set_legend({"none": True})
    chart.set_y_axis({"reverse": True, "num_font": {"size": 8}})
    _place(worksheet, chart, 0, "Requests by outcome")


def _write_over_time(book: Book, worksheet: Worksheet, name: str, timeline: Timeline) -> None:
    last = len(timeline.stretches)

    def series(column: str) -> dict[str, Any]:
        index = OVER_TIME.index(column)
        return {"name": column, "categories": [name, 1, 0, last, 0], "values": [name, 1, index, last, index]}

    throughput = book.workbook.add_chart({"type": "column", "subtype": "stacked"})
    for column, color in (("tried again", _AGAIN), *((group.value, STRONG[group]) for group in Group)):
        throughput.add_series(series(column) | {"fill": {"color": color}, "gap": 15})
    rates = book.workbook.add_chart({"type": "line"})
    for column, color in (("attempts per second", STRONG[Group.DONE]), ("allowed per second", _ALLOWED)):
        rates.add_series(series(column) | {"line": {"color": color, "width": 1.75}})
    progress = book.workbook.add_chart({"type": "area"})
    progress.add_series(series("requests settled so far") | {"fill": {"color": STRONG[Group.RETRY]}})
    titles = ("Attempts over time, by what they brought", "Rate against the allowed rate", "Progress over time")
    for place, (chart, title) in enumerate(zip((throughput, rates, progress), titles, strict=True), start=1):
        chart.set_x_axis(_time_axis(timeline))
        chart.set_legend({"position": "bottom"})
        _place(worksheet, chart, place, title)


def _time_axis(timeline: Timeline) -> dict[str, Any]:
    """Return an axis that tells the day: below it where all is of one day, else beside each time."""
    ends = timeline.stretches[0].begin, timeline.stretches[-1].begin + timeline.width_ns - 1
    first, last = (dt.datetime.fromtimestamp(at // 10**9, dt.UTC) for at in ends)
    every = max(1, len(timeline.stretches) // 8)
    one_day = first.date() == last.date()
    seconds = ":ss" if timeline.width_s < 60 else ""  # a minute
    return {
        "name": f"{first:%Y-%m-%d} (UTC)" if one_day else f"{first:%Y-%m-%d} to {last:%Y-%m-%d} (UTC)",
        "name_font": {"size": 8, "bold": False},
        "num_format": f"hh:mm{seconds}" if one_day else f"dd mmm hh:mm{seconds}",
        "num_font": {"size": 8}, "text_axis": True, "interval_unit": every, "interval_tick": every,
    }  # fmt: skip


def _place(worksheet: Worksheet, chart: Chart, place: int, title: str) -> None:
    """Put a chart into its place: two in a row."""
    chart.set_title({"name": title, "name_font": {"size": 12}})
    chart.set_size({"width": _WIDTH, "height": _HEIGHT})
    row, column = place // 2 * (_HEIGHT // _ROW + 1), place % 2 * (_WIDTH // _COLUMN + 1)
    worksheet.insert_chart(row, column, chart, {"description": f"Chart: {title}; its figures stand in other sheets"})
