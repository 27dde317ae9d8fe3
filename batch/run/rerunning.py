"""Plan a new run of what is still open in a finished one: joined to it by keys, so that finished work costs no call.

With the same setup the open requests are taken as they are. With a corrected one the rows they came from are expanded
anew, and what the earlier run has settled otherwise is left out.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from batch.errors import InputRefused
from batch.intake.plan import Planner
from batch.ledger.planning import PlanTotals, PlanWriter
from batch.ledger.reading import LedgerReader
from batch.ledger.sqlite import LEDGER_NAME
from batch.model import GROUP_OF, EnrollmentRequest, Group, Outcome, ReportRow, RowProblem, SourceRow
from batch.run.api import SANDBOX_STATE
from batch.run.planning import plan_rules, refuse_org_with_v3

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from batch.model import InputFacts
    from batch.run.opening import OpenRun

OPEN_GROUPS = frozenset({Group.RETRY, Group.FIX_SETUP})


def outcomes_to_rerun(only: Sequence[str], also: Sequence[str]) -> frozenset[Outcome]:
    """Return the outcomes whose requests go into the new run: `only` replaces the open groups, `also` adds to them."""
    chosen = {Outcome(name) for name in only} or {o for o in Outcome if GROUP_OF[o] in OPEN_GROUPS}
    return frozenset(chosen | {Outcome(name) for name in also})


def plan_rerun(run: OpenRun, earlier: Path, outcomes: frozenset[Outcome], *, anew: bool) -> PlanTotals:
    """Plan into `run` what stands as one of `outcomes` in the run in the folder `earlier`.

    `anew`: the setup has changed, so each row is expanded by the new config.
    """
    with LedgerReader(earlier / LEDGER_NAME) as reader:
        writer = PlanWriter(run.ledger)
        rows = groupby(reader.report_rows(outcomes), key=lambda row: row.input_no)
        by_input = {facts.input_no: facts for facts in reader.inputs()}
        for input_no, of_input in rows:
            _plan_input(writer, run, reader, by_input[input_no], of_input, anew=anew)
        totals = writer.finish()
    try:
        refuse_org_with_v3(run)
    except InputRefused:
        run.discard()
        raise
    return totals


def _plan_input(
    writer: PlanWriter,
    run: OpenRun,
    reader: LedgerReader,
    facts: InputFacts,
    rows: Iterable[ReportRow],
    *,
    anew: bool,
) -> None:
    writer.begin_input(
        facts.path, facts.sha256, sheet=facts.sheet, columns=facts.columns, roles=facts.roles, remarks=facts.remarks
    )
    planner = Planner(plan_rules(run.settings), facts.columns, facts.roles) if anew else None
    rows_read = 0
    for _, group in groupby(rows, key=lambda row: row.row):
        open_rows = list(group)
        source = SourceRow(open_rows[0].row, open_rows[0].cells)
        requests, problems = _still_open(reader, planner, source, open_rows)
        if requests or problems:
            rows_read += 1
            writer.add_row(source, requests, problems, ())
    writer.end_input(rows_read, 0)


def _still_open(
    reader: LedgerReader, planner: Planner | None, source: SourceRow, open_rows: Sequence[ReportRow]
) -> tuple[list[EnrollmentRequest], Sequence[RowProblem]]:
    """Return the requests of one row for the new run, or what is wrong with the row under the new setup."""
    known = {row.request_no: replace(row.request, doubtful=row.outcome is Outcome.IN_DOUBT) for row in open_rows}
    if planner is None:
        return list(known.values()), ()
    planned = planner.plan_row(source)
    requests = []
    for request in planned.requests:
        request_no = reader.request_no(request)
        if request_no is None:
            requests.append(request)
        elif request_no in known:
            requests.append(replace(request, doubtful=known[request_no].doubtful))
    return requests, planned.problems


def keep_simulated_api(earlier: Path, folder: Path) -> None:
    """Let a re-run against the embedded API meet the one that the earlier run knew."""
    with contextlib.suppress(FileNotFoundError):
        (folder / SANDBOX_STATE).write_bytes((earlier / SANDBOX_STATE).read_bytes())
