"""First pass: the inputs become a plan in the ledger; nothing is sent.

Joins intake (steps of one row) and the ledger. A file that cannot be read exactly leaves no run behind.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batch.errors import InputRefused, UsageError
from batch.intake.plan import Planner, PlanRules, is_blank, match_columns
from batch.intake.reader import ReadRules, Table, open_tables
from batch.ledger.planning import PlanTotals, PlanWriter, first_requests, plan_totals
from batch.model import Action, EnrollmentRequest, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.config import Settings
    from batch.run.opening import OpenRun


@dataclass(frozen=True, slots=True)
class Preview:
    """What a person wants to see before anything is sent."""

    totals: PlanTotals
    unenrolls: int
    first_requests: tuple[EnrollmentRequest, ...]
    remarks: tuple[str, ...]
    notes: tuple[str, ...]
    problems: tuple[tuple[str, int], ...]
    """Row problems by kind, with how many rows or requests each."""


def plan(run: OpenRun, inputs: Sequence[Path]) -> PlanTotals:
    """Read, check and expand the inputs into the ledger; nothing is sent.

    Raises:
        InputRefused: a file cannot be read exactly; the folder of the run is removed again.
    """
    try:
        return _plan(run, [(path, _fingerprint(path)) for path in inputs])
    except InputRefused:
        run.discard()
        raise


def plan_again(run: OpenRun) -> PlanTotals:
    """Plan a run anew that died while planning, from the same files as it began with.

    Raises:
        InputRefused: a file is gone, or is not what it was; the run is left as it is.
        UsageError: the run does not come from files.
    """
    ((text,),) = run.ledger.read("SELECT inputs FROM run")
    inputs: list[tuple[str, str | None]] = json.loads(text)
    if not inputs:
        raise UsageError(f"{run.folder}: this run died while planning, before anything was sent; begin it anew")
    found = [(Path(path), _fingerprint(Path(path))) for path, _ in inputs]
    for (path, (_, sha256)), (_, kept) in zip(found, inputs, strict=True):
        if kept not in {None, sha256}:
            raise InputRefused(f"{path}: has changed since this run began to read it; nothing was sent; run it anew")
    return _plan(run, found)


def _plan(run: OpenRun, inputs: Sequence[tuple[Path, tuple[int, str]]]) -> PlanTotals:
    """Plan files whose fingerprints are known; these are kept before the first row is read."""
    digests = [(str(path.absolute()), sha256) for path, (_, sha256) in inputs]
    run.ledger.update_run(inputs=json.dumps(digests))
    writer = PlanWriter(run.ledger)
    for path, before in inputs:
        _plan_input(writer, run.settings, path, before)
    totals = writer.finish()
    refuse_org_with_v3(run)
    return totals


def refuse_org_with_v3(run: OpenRun) -> None:
    """Refuse a plan for connected organisations where the API's version knows none: it would write to the parent.

    Raises: InputRefused.
    """
    if run.settings.api.version == "v3" and run.ledger.read("SELECT 1 FROM scope WHERE org_id IS NOT NULL LIMIT 1"):
        raise InputRefused("the column org_id needs api.version v3.1; v3 knows no connected organisations")


def _plan_input(writer: PlanWriter, settings: Settings, path: Path, before: tuple[int, str]) -> None:
    wanted = settings.input
    rules = ReadRules(
        wanted.sheet, wanted.header_row, wanted.encoding, wanted.delimiter, tuple(wanted.columns.values())
    )
    for table in open_tables(path, rules):
        with table:
            planner, roles = _planner(settings, table)
            writer.begin_input(
                str(path.absolute()),
                before[1],
                sheet=table.sheet,
                columns=table.columns,
                roles=roles,
                remarks=table.remarks,
            )
            rows_read, rows_blank = _plan_rows(writer, planner, table)
        writer.end_input(rows_read, rows_blank)
    if _fingerprint(path) != before:
        raise InputRefused(f"{path}: the file changed while it was read; nothing was sent; run it again")


def _planner(settings: Settings, table: Table) -> tuple[Planner, dict[str, int]]:
    try:
        roles = match_columns(table.columns, {} if table.is_own_report else settings.input.columns)
        return Planner(plan_rules(settings), table.columns, roles), roles
    except InputRefused as refusal:
        sheet = f', sheet "{table.sheet}"' if table.sheet else ""
        raise InputRefused(f"{table.path.name}{sheet}: {refusal.text}") from refusal


def _plan_rows(writer: PlanWriter, planner: Planner, table: Table) -> tuple[int, int]:
    rows_read = rows_blank = 0
    for row in table.rows():
        rows_read += 1
        if is_blank(row):
            rows_blank += 1
        else:
            planned = planner.plan_row(row)
            writer.add_row(row, planned.requests, planned.problems, planned.notes)
    return rows_read, rows_blank


def plan_rules(settings: Settings) -> PlanRules:
    """Return what the config says about expanding a row."""
    campaign = settings.campaign
    return PlanRules(
        action=Action(campaign.action),
        kind=Kind(campaign.kind),
        target_group_id=campaign.target_group_id,
        target_id=campaign.target_id,
        org_id=settings.scope.org,
        cycles=campaign.cycle_names,
        expand=campaign.expand,
        initial_balance=campaign.initial_balance,
        reset_streak_status=campaign.reset_streak_status,
        period_separator=settings.input.period_separator,
    )


def _fingerprint(path: Path) -> tuple[int, str]:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
            return os.fstat(file.fileno()).st_mtime_ns, digest.hexdigest()
    except OSError as error:
        raise InputRefused(f"{path}: cannot be read ({error.strerror}); check the path") from error


def check_problems(run: OpenRun, totals: PlanTotals) -> None:
    """Refuse a plan that holds nothing to send, or too many rows with problems.

    Raises:
        InputRefused: with the counts and where the problems are listed.
    """
    listed = f"they are listed in {run.folder / 'rejected_rows.csv'}"
    if not totals.unique:
        raise InputRefused(f"no usable row among {totals.rows_read - totals.rows_blank}; {listed}")
    allowed = run.settings.input.max_problems
    rows = totals.rows_read - totals.rows_blank
    if totals.rows_with_problems > allowed * rows:
        raise InputRefused(
            f"{totals.rows_with_problems} of {rows} rows have problems, more than input.max_problems ({allowed:.0%}); "
            f"nothing was sent; {listed}"
        )


def preview(run: OpenRun) -> Preview:
    """Return what a plan found, as the ledger has it."""
    read = run.ledger.read
    ((unenrolls,),) = read(
        "SELECT count(*) FROM request JOIN scope USING (scope_no) WHERE action = 'unenroll' AND NOT contradicted"
    )
    return Preview(
        totals=plan_totals(run.ledger),
        unenrolls=unenrolls,
        first_requests=first_requests(run.ledger, 5),
        remarks=tuple(remark for (remarks,) in read("SELECT remarks FROM input") for remark in json.loads(remarks)),
        notes=tuple(f"{text} ({count:,} rows)" for text, count in read("SELECT text, row_count FROM note")),
        problems=tuple(read("SELECT problem, count(*) FROM row_problem GROUP BY problem ORDER BY 2 DESC, 1")),
    )
