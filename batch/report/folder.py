"""Step 5 of 5: write everything into a run's folder, in one pass over its ledger.

Joins the parts of this room: accounts, files, workbook, page. Gets the ledger's reader and the advice as arguments,
and writes the same files again whenever it is asked to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from batch.report.annotated import write_annotated
from batch.report.files import OutcomeFiles, csv_file, summary_text, write_text
from batch.report.overview import Overview
from batch.report.page import write_page
from batch.report.reconcile import Accounts, reconcile
from batch.report.tables import OutcomeTable, RejectedTable
from batch.report.words import summary_markdown
from batch.report.workbook import ReconciliationBook, reconciliation_book

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch.model import Event, InputFacts, Note, Outcome, RejectedRow, ReportRow, RunFacts, Tallies
    from batch.report.tables import Advise, Value


class Reader(Protocol):
    """What the report needs of a ledger. Every answer speaks of the same moment."""

    def run(self) -> RunFacts:
        """Return the facts of the run as a whole."""
        ...

    def inputs(self) -> tuple[InputFacts, ...]:
        """Return the files of the upload in order."""
        ...

    def notes(self) -> tuple[Note, ...]:
        """Return what was left out of requests."""
        ...

    def events(self) -> tuple[Event, ...]:
        """Return what happened over time, oldest first."""
        ...

    def tallies(self) -> Tallies:
        """Count everything."""
        ...

    def report_rows(self, outcomes: frozenset[Outcome] | None = None) -> Iterator[ReportRow]:
        """Yield the unique requests in order."""
        ...

    def rejected_rows(self) -> Iterator[RejectedRow]:
        """Yield row problems, duplicates and contradictions in the order of their rows."""
        ...

    def source_rows(self, input_no: int) -> Iterator[tuple[int, tuple[Value, ...]]]:
        """Yield row number and cells of an input's rows in order."""
        ...


def write_report(folder: Path, reader: Reader, advise: Advise) -> Accounts:
    """Write every report file into `folder` and return the accounts, whether they balance or not.

    The same ledger gives the same bytes in every CSV file and in summary.json.

    Raises:
        EnrollBatchError: the folder cannot be written or the disk is full. LedgerFailed: the ledger cannot be read.
    """
    run, inputs = reader.run(), reader.inputs()
    table, rejected = OutcomeTable(inputs, advise), RejectedTable(inputs)
    path = folder / "reconciliation.xlsx"
    with reconciliation_book(path, run.created_at, table.columns, rejected.columns) as workbook:
        lines = _write_outcomes(folder, reader, table, workbook)
        _write_rejected(folder, reader, rejected, workbook)
        accounts = reconcile(run, inputs, reader.tallies(), lines)
        overview = Overview(accounts, folder, reader.notes(), reader.events(), advise)
        workbook.finish(overview)
    _write_annotated(folder, reader, accounts)
    write_page(folder / "report.html", overview)
    write_text(folder / "summary.md", summary_markdown(accounts, folder))
    write_text(folder / "summary.json", summary_text(accounts))
    return accounts


def _write_outcomes(folder: Path, reader: Reader, table: OutcomeTable, workbook: ReconciliationBook) -> dict[str, int]:
    with OutcomeFiles(folder, table.columns) as files:
        for row in reader.report_rows():
            record = table.record(row)
            files.write(row.outcome, record)
            workbook.write(row.outcome, record)
        return files.lines


def _write_rejected(folder: Path, reader: Reader, table: RejectedTable, workbook: ReconciliationBook) -> None:
    with csv_file(folder / "rejected_rows.csv", table.columns) as file:
        for row in reader.rejected_rows():
            record = table.record(row)
            file.write(record)
            workbook.write_rejected(record)


def _write_annotated(folder: Path, reader: Reader, accounts: Accounts) -> None:
    path = folder / "annotated.xlsx"
    if accounts.is_annotated:
        inputs = ((file, reader.source_rows(file.input_no)) for file in accounts.inputs)
        write_annotated(path, accounts.run.created_at, inputs, reader.rejected_rows())
    else:
        path.unlink(missing_ok=True)
