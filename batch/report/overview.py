"""Step 5 of 5: the summary sheet of reconciliation.xlsx, and the sheet of outcomes by target and cycle.

Owns what stands there and in which order: verdict, what to do, accounts, outcomes with advice, inputs, sheets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.model import GROUP_OF
from batch.report.cells import STRONG
from batch.report.crosstab import by_target_and_cycle
from batch.report.tables import utc_text
from batch.report.words import duration_text, next_steps, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from xlsxwriter.worksheet import Worksheet

    from batch.model import Event, Note
    from batch.report.cells import Book
    from batch.report.reconcile import Accounts
    from batch.report.tables import Advise, Value

LAST_COLUMN = 5
_WIDTHS = (26, 14, 14, 12, 16, 70)
_LINE_HEIGHT = 15.0
"""Points."""


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that the summary sheet and the page show besides the rows themselves."""

    accounts: Accounts
    folder: Path
    notes: tuple[Note, ...]
    events: tuple[Event, ...]
    advise: Advise


class _Sheet:
    """Writes lines from top to bottom."""

    def __init__(self, book: Book, sheet: Worksheet) -> None:
        self.book = book
        self.sheet = sheet
        self.row = 0

    def line(self, values: Sequence[Value], looks: Sequence[str] = ()) -> None:
        """Write one row; a look that is missing is the value's own."""
        for column, value in enumerate(values):
            self.book.write(self.sheet, self.row, column, value, looks[column] if column < len(looks) else "")
        self.row += 1

    def banner(self, text: str, look: str, height: float) -> None:
        """Write a text over the full width."""
        self.sheet.set_row(self.row, height)
        self.sheet.merge_range(self.row, 0, self.row, LAST_COLUMN, "", self.book.formats[look])
        self.book.write(self.sheet, self.row, 0, text, look)
        self.row += 1

    def section(self, title: str) -> None:
        """Begin a section below an empty row."""
        self.row += 1
        self.line([title, *[None] * LAST_COLUMN], ["section"] * (LAST_COLUMN + 1))

    def header(self, names: Sequence[str], *, counts: Sequence[int] = ()) -> None:
        """Write the header of a table; `counts` are the columns whose figures stand on the right."""
        self.line(names, ["right_header" if index in counts else "header" for index in range(len(names))])

    def fit(self, text: str | None, width: int) -> None:
        """Make the next row high enough for a wrapped text, because not every program does that by itself."""
        if text and len(text) > width:
            self.sheet.set_row(self.row, _LINE_HEIGHT * -(-len(text) // width))


def write_overview(
    book: Book, worksheet: Worksheet, overview: Overview, sheets: Sequence[tuple[str, int, int, str]]
) -> None:
    """Fill the summary sheet. `sheets`: name, rows shown, rows in all and CSV file of each of the other sheets."""
    sheet = _Sheet(book, worksheet)
    worksheet.hide_gridlines(2)
    print_wide(worksheet)
    for column, width in enumerate(_WIDTHS):
        worksheet.set_column(column, column, width)
    accounts = overview.accounts
    sheet.banner(f"Reconciliation of run {accounts.run.run_id}", "title", 28)
    sheet.banner(verdict(accounts), verdict_look(accounts), 36)
    _write_steps(sheet, overview)
    _write_accounts(sheet, accounts)
    _write_outcomes(sheet, overview)
    _write_run(sheet, accounts)
    _write_inputs(sheet, overview)
    sheet.section("Sheets")
    sheet.header(["Sheet", "Rows shown", "Rows in all", "", "", "All rows stand in"], counts=(1, 2))
    for name, shown, count, file in sheets:
        sheet.line([name, shown, count, None, None, file], ["", "count", "count"])


def print_wide(worksheet: Worksheet) -> None:
    """Print all columns on one page of A4 across."""
    worksheet.set_landscape()
    worksheet.set_paper(9)
    worksheet.fit_to_pages(1, 0)


def verdict_look(accounts: Accounts) -> str:
    """Return how the verdict looks: good, warning or bad."""
    if not accounts.balanced or accounts.exit_code in {1, 10, 11}:
        return "bad"
    return "warning" if accounts.exit_code else "good"


def _write_steps(sheet: _Sheet, overview: Overview) -> None:
    steps = next_steps(overview.accounts, overview.folder)
    if not steps:
        return
    sheet.section("What to do next")
    for step in steps:
        sheet.line([step.text], ["text"])
        if step.command:
            sheet.line([step.command], ["command"])


def _write_accounts(sheet: _Sheet, accounts: Accounts) -> None:
    sheet.section("Accounts")
    sheet.header(["Account", "Left", "Right", "Holds", "", "Identity, and its figures"], counts=(1, 2))
    for identity in accounts.identities:
        look = "good" if identity.holds else "bad"
        words = f"{identity.formula}: {identity.figures}"
        sheet.line(
            [identity.name, identity.left, identity.right, "yes" if identity.holds else "NO", None, words],
            ["", "count", "count", look, "", "wrapped"],
        )


def _write_outcomes(sheet: _Sheet, overview: Overview) -> None:
    outcomes = overview.accounts.tallies.outcomes
    total = sum(outcomes.values())
    sheet.section("Outcomes")
    sheet.header(["Outcome", "Requests", "Share", "", "Group", "What to do"], counts=(1, 2))
    first = sheet.row
    for outcome, count in outcomes.items():
        group = GROUP_OF[outcome]
        advice = overview.advise(outcome, None, "") if count else None
        sheet.fit(advice, _WIDTHS[-1])
        sheet.line(
            [outcome.value, count, count / total if total else 0.0, None, group.value, advice],
            [group.value, "count", "share", "", group.value, "wrapped"],
        )
    sheet.line(["all", total, 1.0 if total else 0.0], ["bold", "bold_count", "share"])
    _insert_chart(sheet, first, first + len(outcomes) - 1, [STRONG[GROUP_OF[outcome]] for outcome in outcomes])


def _insert_chart(sheet: _Sheet, first: int, last: int, fills: Sequence[str]) -> None:
    chart = sheet.book.workbook.add_chart({"type": "bar"})
    name = sheet.sheet.get_name()
    chart.add_series(
        {
            "name": "Requests",
            "categories": [name, first, 0, last, 0],
            "values": [name, first, 1, last, 1],
            "points": [{"fill": {"color": fill}} for fill in fills],
            "gap": 40,
        }
    )
    chart.set_title({"name": "Requests by outcome", "name_font": {"size": 12}})
    chart.set_legend({"none": True})
    chart.set_y_axis({"reverse": True})
    chart.set_size({"width": 620, "height": 460})
    sheet.sheet.insert_chart(first - 1, LAST_COLUMN + 1, chart, {"description": "Bar chart: requests by outcome"})


def _write_run(sheet: _Sheet, accounts: Accounts) -> None:
    run, tallies = accounts.run, accounts.tallies
    facts: list[tuple[str, Value]] = [
        ("Run", run.run_id),
        ("State", run.state.value),
        ("Stopped", run.stop_text),
        ("Exit code", accounts.exit_code),
        ("Started by", f"{run.user}@{run.host}"),
        ("Command", run.command),
        ("Config", run.config_path),
        ("API", run.base_url),
        ("Program", f"enroll-batch {run.program_version}"),
        ("Sending began", utc_text(run.started_at)),
        ("Sending ended", utc_text(run.finished_at)),
        ("Time spent sending", duration_text(accounts.duration_s)),
        ("Attempts per second", accounts.rate_per_s),
        ("Attempts", tallies.attempts),
        ("Retries among them", tallies.retries),
        ("Calls saved", tallies.calls_saved),
    ]
    sheet.section("Run")
    for name, value in facts:
        if value is not None:
            counted = isinstance(value, int) and name != "Exit code"
            sheet.line([name, value], ["bold", "count" if counted else "text"])


def _write_inputs(sheet: _Sheet, overview: Overview) -> None:
    sheet.section("Inputs")
    sheet.header(["File", "Rows read", "Blank", "Problems", "Planned", "Path, sheet and digest"], counts=(1, 2, 3, 4))
    for file in overview.accounts.inputs:
        where = file.path if file.sheet is None else f"{file.path}, sheet {file.sheet}"
        counts = [file.rows_read, file.rows_blank, file.rows_with_problems, file.rows_planned]
        name = file.path.replace("\\", "/").rsplit("/", 1)[-1]
        source = f"{where}, sha256 {file.sha256}"
        sheet.fit(source, _WIDTHS[-1] - 10)  # the digest does not break
        sheet.line([name, *counts, source], ["", "count", "count", "count", "count", "wrapped"])
    remarks = [remark for file in overview.accounts.inputs for remark in file.remarks]
    remarks += [f"{note.text} ({note.row_count:,} rows, the first is row {note.first_row})" for note in overview.notes]
    if remarks:
        sheet.section("Remarks")
        for remark in remarks:
            sheet.line([remark], ["text"])


def write_by_target(book: Book, worksheet: Worksheet, accounts: Accounts) -> None:
    """Fill the sheet of outcomes by target and cycle."""
    table = by_target_and_cycle(accounts.tallies.subtotals)
    sheet = _Sheet(book, worksheet)
    worksheet.freeze_panes(1, 2)
    worksheet.set_column(0, 1, 30)
    worksheet.set_column(2, 2 + len(table.columns), 16)
    print_wide(worksheet)
    worksheet.repeat_rows(0)
    sheet.header(["target", "cycle", *table.columns], counts=range(2, 2 + len(table.columns)))
    for (target, cycle), *counts in table.itertuples():
        sheet.line([target, cycle, *(int(count) for count in counts)], ["", "", *["count"] * len(counts)])
