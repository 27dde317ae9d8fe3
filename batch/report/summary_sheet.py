"""Step 5 of 5: the summary sheet of reconciliation.xlsx.

Owns what stands there and in which order: verdict, what to do, accounts, outcomes with advice, totals, inputs, sheets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.model import GROUP_OF, Group
from batch.report.crosstab import by_target_and_cycle, outcome_counts, totals_by
from batch.report.overview import names_of
from batch.report.provenance import WORDS
from batch.report.sheet_lines import SheetLines, print_wide
from batch.report.steps import next_steps
from batch.report.tables import advise_all
from batch.report.words import outcome_text, verdict, verdict_look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlsxwriter.worksheet import Worksheet

    from batch.report.cells import Book
    from batch.report.overview import Overview
    from batch.report.reconcile import Accounts

_WIDTHS = (26, 14, 14, 12, 16, 70)
_TOTALS = 50
"""So many targets, and so many cycles, have a line here; all stand in the sheet by target and cycle."""
_MASKED = "Customer ids are masked in this workbook. The CSV files hold them, and only they can be sent again."


def write_overview(
    book: Book, worksheet: Worksheet, overview: Overview, sheets: Sequence[tuple[str, int, int, str]]
) -> int:
    """Fill the summary sheet, and return the row of its first outcome, from 0.

    `sheets`: name, rows shown, rows in all and CSV file of each of the other sheets.
    """
    sheet = SheetLines(book, worksheet)
    worksheet.hide_gridlines(2)
    print_wide(worksheet)
    for column, width in enumerate(_WIDTHS):
        worksheet.set_column(column, column, width)
    accounts = overview.accounts
    sheet.banner(f"Reconciliation of run {accounts.run.run_id}", "title", 28)
    sheet.banner(verdict(accounts), verdict_look(accounts), 36)
    if overview.is_masked:
        sheet.banner(_MASKED, "wrapped", 18)
    _write_steps(sheet, overview)
    _write_flow(sheet, accounts)
    first_outcome = _write_outcomes(sheet, overview)
    _write_provenance(sheet, overview)
    _write_totals(sheet, accounts)
    _write_accounts(sheet, accounts)
    _write_run(sheet, overview)
    _write_inputs(sheet, overview)
    sheet.section("Sheets")
    sheet.header(["Sheet", "Rows shown", "Rows in all", "", "", "All rows stand in"], counts=(1, 2))
    for name, shown, count, file in sheets:
        sheet.line([name, shown, count, None, None, file], ["", "count", "count", "", "", "wrapped"])
    return first_outcome


def _write_steps(sheet: SheetLines, overview: Overview) -> None:
    steps = next_steps(overview.accounts, overview.folder)
    if not steps:
        return
    sheet.section("What to do next")
    for step in steps:
        sheet.line([step.text], ["text"])
        if step.command:
            sheet.line([step.command], ["command"])


def _write_flow(sheet: SheetLines, accounts: Accounts) -> None:
    tallies = accounts.tallies
    sheet.section("From rows to requests")
    sheet.header(["Account", "Rows", "Requests", "", "", "Where they stand"], counts=(1, 2))
    lines: list[tuple[str, int | None, int | None, str | None]] = [
        ("rows read", accounts.rows_read, None, "the upload"),
        ("less blank", accounts.rows_blank, None, None),
        ("less with problems", accounts.rows_with_problems, None, "rejected_rows.csv"),
        ("planned, expanded into", accounts.rows_planned, tallies.expanded, None),
        ("less duplicates", None, tallies.duplicates, "rejected_rows.csv"),
        ("less contradicted", None, tallies.contradicted, "rejected_rows.csv"),
        ("unique", None, tallies.unique, "the four outcome files"),
    ]
    sums = {"rows read", "planned, expanded into", "unique"}
    for name, rows, requests, where in lines:
        looks = ["bold", "bold_count", "bold_count"] if name in sums else ["indented", "count", "count"]
        sheet.line([name, rows, requests, None, None, where], [*looks, "", "", "wrapped"])


def _write_accounts(sheet: SheetLines, accounts: Accounts) -> None:
    sheet.section("Identities")
    sheet.header(["Account", "Left", "Right", "Holds", "", "Identity, and its figures"], counts=(1, 2))
    for identity in accounts.identities:
        look = "yes" if identity.holds else "no"
        words = f"{identity.formula}: {identity.figures}"
        sheet.line(
            [identity.name, identity.left, identity.right, "yes" if identity.holds else "NO", None, words],
            ["", "count", "count", look, "", "wrapped"],
        )


def _write_outcomes(sheet: SheetLines, overview: Overview) -> int:
    """Write the table of the outcomes that occur, and return the row of the first one."""
    outcomes = {outcome: count for outcome, count in overview.accounts.tallies.outcomes.items() if count}
    total = sum(outcomes.values())
    sheet.section("Outcomes")
    sheet.header(["Outcome", "Requests", "Share", "", "Group", "What to do"], counts=(1, 2))
    first = sheet.row
    for outcome, count in outcomes.items():
        group = GROUP_OF[outcome]
        advice = advise_all(overview.accounts, overview.advice, outcome)
        sheet.fit((advice, _WIDTHS[-1]))
        sheet.line(
            [outcome.value, count, count / total, None, group.value, advice],
            [group.value, "count", "share", "", group.value, "wrapped"],
        )
    sheet.line(["all", total, 1.0 if total else 0.0], ["bold", "bold_count", "share"])
    return first


def _write_provenance(sheet: SheetLines, overview: Overview) -> None:
    counts = overview.provenance
    if not counts.by_kind:
        return
    sheet.section("Who enrolled those who were enrolled already")
    sheet.header(["Provenance", "Requests", "", "", "", "It means"], counts=(1,))
    lines = [(kind.value, counts.by_kind[kind], words) for kind, words in WORDS.items() if counts.by_kind[kind]]
    lines += [("", count, f"of these by the run {run_id}") for run_id, count in counts.by_run.most_common(10)]
    for name, count, words in lines:
        sheet.line([name, count, None, None, None, words], ["", "count", "", "", "", "wrapped"])


def _write_totals(sheet: SheetLines, accounts: Accounts) -> None:
    """Write the outcomes by target, and by cycle, where there are several."""
    table = by_target_and_cycle(accounts.tallies.subtotals)
    for level in ("target", "cycle"):
        totals = totals_by(level, table)
        if len(totals) < 2:  # one is the whole run
            continue
        sheet.section(f"By {level}")
        sheet.header([level.capitalize(), "Requests", "Done", "", "", "Outcomes"], counts=(1, 2))
        for name, *counts in totals[:_TOTALS].itertuples():
            found = outcome_counts(totals.columns, counts)
            done = sum(count for outcome, count in found if GROUP_OF[outcome] is Group.DONE)
            words = ", ".join(f"{count:,} {outcome_text(outcome)}" for outcome, count in found)
            sheet.fit((words, _WIDTHS[-1]), (name, _WIDTHS[0]))
            sheet.line(
                [name, int(counts[-1]), done, None, None, words], ["wrapped", "count", "count", "", "", "wrapped"]
            )
        if len(totals) > _TOTALS:
            sheet.line([f"and {len(totals) - _TOTALS:,} more; the sheet By target and cycle has their figures"])


def _write_run(sheet: SheetLines, overview: Overview) -> None:
    sheet.section("Run")
    for fact in overview.facts:
        if fact.at is not None:
            sheet.time(fact.name, fact.text)
        else:
            value = fact.text if fact.count is None else fact.count
            sheet.line([fact.name, value], ["bold", "text" if fact.count is None else "left_count"])


def _write_inputs(sheet: SheetLines, overview: Overview) -> None:
    sheet.section("Inputs")
    sheet.header(["File", "Rows read", "Blank", "Problems", "Planned", "Path, sheet and digest"], counts=(1, 2, 3, 4))
    names = names_of(overview.accounts.inputs)
    for file in overview.accounts.inputs:
        where = file.path if file.sheet is None else f"{file.path}, sheet {file.sheet}"
        counts = [file.rows_read, file.rows_blank, file.rows_with_problems, file.rows_planned]
        source = f"{where}, sha256 {file.sha256}"
        sheet.fit((source, _WIDTHS[-1] - 10))  # the digest does not break
        sheet.line([names[file.input_no], *counts, source], ["", "count", "count", "count", "count", "wrapped"])
    remarks = [remark for file in overview.accounts.inputs for remark in file.remarks]
    remarks += [f"{note.text} ({note.row_count:,} rows, the first is row {note.first_row})" for note in overview.notes]
    if remarks:
        sheet.section("Remarks")
        for remark in remarks:
            sheet.line([remark], ["text"])
