"""Step 5 of 5: write everything into a run's folder, in one pass over its ledger.

Joins the parts of this room: accounts, files, workbook, page. Gets the ledger's reader and the advice as arguments,
and writes the same files again whenever it is asked to.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from batch.model import Outcome, State
from batch.report.annotated import write_annotated
from batch.report.chat import summary_markdown
from batch.report.files import OutcomeFiles, csv_file, summary_text, write_text
from batch.report.latency import fold_latencies
from batch.report.overview import Overview, names_of
from batch.report.page import write_page
from batch.report.provenance import ALREADY, Provenances
from batch.report.reconcile import Accounts, reconcile
from batch.report.samples import KINDS, EndKinds, ProblemKinds
from batch.report.tables import OutcomeTable, RejectedTable, advice_in
from batch.report.timeline import draw_timeline
from batch.report.words import event_words
from batch.report.workbook import ReconciliationBook, reconciliation_book

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from batch.model import (
        Activity,
        Event,
        InputFacts,
        Note,
        RejectedRow,
        ReportRow,
        RunFacts,
        Tallies,
        UnsettlingAttempts,
    )
    from batch.report.masking import Mask
    from batch.report.provenance import EarlierRuns
    from batch.report.tables import Advice, Value

_AT_ONCE = 1_000
"""So many requests are looked up in earlier runs together."""


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

    def activity(self, origin: int, width_ns: int) -> tuple[Activity, ...]:
        """Count what happened in each stretch of time from `origin` on."""
        ...

    def last_activity(self, before: int | None = None) -> int | None:
        """Return when something was last recorded before a time, or at all."""
        ...

    def latencies(self) -> tuple[tuple[int, int], ...]:
        """Count the answers by their milliseconds, fastest first."""
        ...

    def unsettling_attempts(self, most: int) -> tuple[UnsettlingAttempts, ...]:
        """Count the attempts that settled nothing by what they brought, the most frequent kinds first."""
        ...

    def tallies(self) -> Tallies:
        """Count everything."""
        ...

    def report_rows(self, outcomes: frozenset[Outcome] | None = None) -> Iterator[ReportRow]:
        """Yield the unique requests in order."""
        ...

    def count_reasons(self, reasons: Collection[str]) -> int:
        """Return how many outcomes were recorded with one of these reasons."""
        ...

    def after_own_yes(self, request_nos: Collection[int]) -> set[int]:
        """Return which requests came after one by which this run may have enrolled the same customer."""
        ...

    def rejected_rows(self) -> Iterator[RejectedRow]:
        """Yield row problems, duplicates and contradictions in the order of their rows."""
        ...

    def source_rows(self, input_no: int) -> Iterator[tuple[int, tuple[Value, ...]]]:
        """Yield row number and cells of an input's rows in order."""
        ...


def write_report(
    folder: Path,
    reader: Reader,
    advice: Advice,
    *,
    set_per_s: float | None = None,
    mask: Mask | None = None,
    earlier: EarlierRuns | None = None,
) -> Accounts:
    """Write every report file into `folder` and return the accounts, whether they balance or not.

    `set_per_s` is the rate that was set, infinite for no limit, None where it is not known. With a `mask` workbook and
    page show no customer; the CSV files do. `earlier` looks up which run of ours enrolled a customer; without it none
    did.
    The same ledger gives the same bytes in every CSV file and in summary.json, as long as the same earlier runs can be
    read: `provenance` and `earlier_run` say what their ledgers prove today.

    Raises:
        EnrollBatchError: the folder cannot be written or the disk is full. LedgerFailed: the ledger cannot be read.
    """
    run, inputs, tallies = reader.run(), reader.inputs(), reader.tallies()
    files = names_of(inputs)
    table = OutcomeTable(inputs, advice_in(reconcile(run, inputs, tallies), advice))
    rejected = RejectedTable(inputs)
    ends, problems = EndKinds(files, mask), ProblemKinds({file.input_no: file for file in inputs}, files, mask)
    already_count = sum(tallies.outcomes[outcome] for outcome in ALREADY)
    provenances = Provenances(reader, earlier, already_count, tallies.outcomes[Outcome.COVERED_BY_CASCADE])
    path = folder / "reconciliation.xlsx"
    with reconciliation_book(path, run.created_at, table.columns, rejected.columns, mask) as workbook:
        lines = _write_outcomes(folder, reader, table, workbook, ends, provenances)
        _write_rejected(folder, reader, rejected, workbook, problems)
        accounts = reconcile(run, inputs, tallies, lines, provenances.counts.main_run, provenances.counts.perhaps_set)
        events = tuple(replace(event, text=event_words(event)) for event in reader.events())
        overview = Overview(
            accounts=accounts,
            folder=folder,
            notes=reader.notes(),
            events=events,
            advice=advice_in(accounts, advice),
            timeline=draw_timeline(run, events, set_per_s, tallies.attempts, reader.activity, reader.last_activity),
            latencies=fold_latencies(reader.latencies()),
            ends=ends.kinds if run.state is not State.PLANNED else (),
            ends_beyond=ends.beyond,
            unsettling=reader.unsettling_attempts(KINDS),
            problems=problems.kinds,
            provenance=provenances.counts,
            is_masked=mask is not None,
        )
        workbook.finish(overview)
    _write_annotated(folder, reader, accounts)
    write_page(folder / "report.html", overview)
    write_text(folder / "summary.md", summary_markdown(accounts, folder))
    write_text(folder / "summary.json", summary_text(accounts))
    return accounts


def _write_outcomes(
    folder: Path,
    reader: Reader,
    table: OutcomeTable,
    workbook: ReconciliationBook,
    ends: EndKinds,
    provenances: Provenances,
) -> dict[str, int]:
    rows = reader.report_rows()
    with OutcomeFiles(folder, table.columns) as files:
        while some := list(islice(rows, _AT_ONCE)):
            for row, (provenance, run_id) in zip(some, provenances.of(some), strict=True):
                record = table.record(row, provenance, run_id)
                files.write(row.outcome, record)
                workbook.write(row.outcome, record)
                ends.add(row)
        return files.lines


def _write_rejected(
    folder: Path, reader: Reader, table: RejectedTable, workbook: ReconciliationBook, problems: ProblemKinds
) -> None:
    inputs = {file.input_no: file for file in reader.inputs()}
    with csv_file(folder / "rejected_rows.csv", table.columns) as file:
        for row in reader.rejected_rows():
            record = table.record(row)
            file.write(record)
            workbook.write_rejected(record, row.problem, inputs[row.input_no])
            problems.add(row)


def _write_annotated(folder: Path, reader: Reader, accounts: Accounts) -> None:
    path = folder / "annotated.xlsx"
    if accounts.is_annotated:
        inputs = ((file, reader.source_rows(file.input_no)) for file in accounts.inputs)
        write_annotated(path, accounts.run.created_at, inputs, reader.rejected_rows())
    else:
        path.unlink(missing_ok=True)
