"""First pass: the inputs become a plan in the ledger; nothing is sent.

Joins intake (steps of one row) and the ledger. A file that cannot be read exactly leaves no run behind.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batch.errors import AccessRefused, ApiSilent, FileRefused, InputRefused, RunLocked, UsageError
from batch.intake.headers import likely_columns
from batch.intake.plan import Planner, PlanRules, is_blank, match_columns
from batch.intake.reader import ReadRules, Table, open_tables
from batch.ledger.cascade import has_later_balance, later_cycle_count
from batch.ledger.look_ups import LookUpLedger
from batch.ledger.planning import PlanTotals, PlanWriter, first_requests, plan_totals
from batch.model import Action, EnrollmentRequest, Event, Kind
from batch.run.earlier import refuse_if_sent_before
from batch.run.group_facts import GroupFacts
from batch.run.hours import hours_lines
from batch.run.inputs import COPIES, HandedOver, InputFile, Source, fingerprint, gather, remove_copies
from batch.run.looking_up import QUIETLY, Asking, look_up, resolved
from batch.run.online import CyclesOfRun
from batch.run.problem_kinds import PlanProblem, problem_kinds
from batch.run.run_log import RunLog
from batch.storage.paths import read_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.config import Settings
    from batch.run.opening import OpenRun


@dataclass(frozen=True, slots=True)
class Preview:
    """What a person wants to see before anything is sent."""

    totals: PlanTotals
    open_count: int
    """Requests without an outcome; fewer than planned where a run goes on."""
    open_unenrolls: int
    first_requests: tuple[EnrollmentRequest, ...]
    remarks: tuple[str, ...]
    notes: tuple[str, ...]
    problems: tuple[PlanProblem, ...]
    hours: tuple[str, ...] = ()
    """Whether the work fits into the hours in which requests may start, and when it ends; nothing where any will do."""
    later_cycle_count: int = 0
    """Open requests to enroll, without a balance, that follow another cycle of the same customer and target."""
    first_cycle_is: str = ""
    """Which cycle `expand: first` would send alone; blank where it does not apply, or would lose a balance."""
    is_refused: bool = False
    """Whether nothing of it will be sent, because too many rows have problems."""


def plan(
    run: OpenRun,
    inputs: Sequence[Source],
    *,
    again: bool = True,
    online: bool = True,
    asking: Asking = QUIETLY,
    facts: GroupFacts | None = None,
) -> PlanTotals:
    """Read, check and expand the inputs into the ledger, and look up customers without an id; nothing is sent.

    `again`: also files that another run has begun to send for the same campaign. `online`: the API may be asked.
    `facts`: what it says of target groups, where somebody else asks about them too.

    Raises:
        InputRefused: a file cannot be read exactly, or was sent before.
        RunLocked: another process has been beginning a run for long.
        ConfigError, ApiSilent, AccessRefused: the config's cycles cannot be learned from the API, or customers would
            have to be looked up. After each of these the folder of the run is removed again.
        LookUpsStopped: the run is kept, and `plan_again` goes on with the look-ups.
    """
    if (run.folder / COPIES).exists() and not all(isinstance(source, Path) for source in inputs):
        run.discard()
        raise UsageError(f"{run.folder} holds something named {COPIES} already; choose another --run-dir")
    try:
        files = gather(run.folder, inputs)
        if not again:
            refuse_if_sent_before(run, files)
        facts = facts or GroupFacts(run, asking.warn)
        return _plan(run, files, CyclesOfRun(run.settings, facts, online=online), asking)
    except (InputRefused, UsageError, ApiSilent, AccessRefused, RunLocked):
        remove_copies(run.folder, inputs)
        run.discard()
        raise


def plan_again(run: OpenRun, asking: Asking = QUIETLY) -> PlanTotals:
    """Plan a run anew that died or stopped while planning, from the same files as it began with.

    Raises:
        LookUpsStopped: the run is kept as it is, with what was found.
        InputRefused: a file is gone, or is not what it was; the run is left as it is.
        UsageError: the run does not come from files.
    """
    ((text, command),) = run.ledger.read("SELECT inputs, command FROM run")
    inputs: list[tuple[str, str | None]] = json.loads(text)
    if not inputs:
        raise UsageError(f"{run.folder}: this run died while planning, before anything was sent; begin it anew")
    kept = [sha256 for _, sha256 in inputs]
    files = gather(run.folder, [_kept_source(run, path, sha256) for path, sha256 in inputs], kept)
    for file, sha256 in zip(files, kept, strict=True):
        if sha256 not in {None, file.sha256}:
            raise FileRefused(
                f"{file.shown}: has changed since this run began to read it; nothing was sent; run it anew"
            )
    if command == "run" and None in kept:  # it died before it could look
        refuse_if_sent_before(run, files)
    return _plan(run, files, CyclesOfRun(run.settings, GroupFacts(run, asking.warn)), asking)


def _kept_source(run: OpenRun, path: str, sha256: str | None) -> Source:
    """Return an input of a run that goes on: its copy, or as it was named where none was made.

    A file that was handed over may have moved on, and another one of its name may lie there now.
    """
    copies = run.folder / COPIES
    for copy in sorted(copies.iterdir()) if copies.is_dir() else ():
        if fingerprint(copy)[1] == sha256:
            return HandedOver(path, copy.name, lambda _: None)
    return read_path(path)


def _plan(run: OpenRun, inputs: Sequence[InputFile], cycles: CyclesOfRun, asking: Asking) -> PlanTotals:
    """Plan files whose digests are known; these are kept before the first row is read.

    Customers who are named in another way than by id are planned as they are named. Where that leaves somebody to look
    up, the plan is begun anew with what was found, because two of them may be one customer.
    """
    run.ledger.update_run(inputs=json.dumps([(file.shown, file.sha256) for file in inputs]))
    while True:
        writer = PlanWriter(run.ledger)
        for file in inputs:
            _plan_input(writer, run, file, cycles)
        refuse_org_with_v3(run)
        if not (_is_worth_sending(run) and look_up(run, asking, online=cycles.is_online)):
            totals = writer.finish()
            text = f"{totals.rows_read} rows read, {totals.rows_with_problems} with problems, {totals.unique} requests"
            facts = {
                "rows_read": totals.rows_read,
                "rows_with_problems": totals.rows_with_problems,
                "requests": totals.unique,
            }
            RunLog(run.folder).write([Event(time.time_ns(), "planned", text, facts)])
            return totals


def _is_worth_sending(run: OpenRun) -> bool:
    """Whether a plan will not be refused for its problems anyway, so that look-ups would be for nothing."""
    try:
        check_problems(run, plan_totals(run.ledger))
    except InputRefused:
        return False
    return True


def refuse_org_with_v3(run: OpenRun) -> None:
    """Refuse a plan for connected organisations where the API's version knows none: it would write to the parent.

    Raises: InputRefused.
    """
    if run.settings.api.version == "v3" and run.ledger.read("SELECT 1 FROM scope WHERE org_id IS NOT NULL LIMIT 1"):
        raise FileRefused("the column org_id needs api.version v3.1; v3 knows no connected organisations")


def _plan_input(writer: PlanWriter, run: OpenRun, file: InputFile, cycles: CyclesOfRun) -> None:
    wanted, look_ups = run.settings.input, LookUpLedger(run.ledger)
    rules = ReadRules(
        wanted.sheet, wanted.header_row, wanted.encoding, wanted.delimiter, tuple(wanted.columns.values())
    )
    for table in open_tables(file.path, rules):
        with table:
            planner, roles = _planner(run.settings, table, cycles)
            writer.begin_input(
                file.shown,
                file.sha256,
                sheet=table.sheet,
                columns=table.columns,
                roles=roles,
                remarks=(*table.remarks, *_likely(table, roles), *cycles.remarks),
            )
            rows_read, rows_blank = _plan_rows(writer, planner, table, look_ups)
        writer.end_input(rows_read, rows_blank)
    if fingerprint(file.path) != (file.modified_ns, file.sha256):
        raise FileRefused(f"{file.shown}: the file changed while it was read; nothing was sent; run it again")


def _planner(settings: Settings, table: Table, cycles: CyclesOfRun) -> tuple[Planner, dict[str, int]]:
    try:
        roles = match_columns(table.columns, {} if table.is_own_report else settings.input.columns)
        return Planner(plan_rules(settings, cycles.named(roles)), table.columns, roles), roles
    except InputRefused as refusal:
        raise _of_table(table, refusal) from refusal


def _of_table(table: Table, refusal: InputRefused, row: int | None = None) -> InputRefused:
    sheet = f', sheet "{table.sheet}"' if table.sheet else ""
    at = f", row {row}" if row else ""
    return InputRefused(f"{table.path.name}{sheet}{at}: {refusal.text}", told=refusal.told)


def _likely(table: Table, roles: dict[str, int]) -> list[str]:
    return [] if table.is_own_report else likely_columns(table.columns, roles)


def _plan_rows(writer: PlanWriter, planner: Planner, table: Table, look_ups: LookUpLedger) -> tuple[int, int]:
    rows_read = rows_blank = 0
    for row in table.rows():
        rows_read += 1
        if is_blank(row):
            rows_blank += 1
        else:
            try:
                planned = planner.plan_row(row)
            except InputRefused as refusal:
                raise _of_table(table, refusal, row.row) from refusal
            writer.add_row(row, resolved(look_ups, planned.requests), planned.problems, planned.notes)
    return rows_read, rows_blank


def plan_rules(settings: Settings, cycles: tuple[str, ...] | None) -> PlanRules:
    """Return what the config says about expanding a row over `cycles`."""
    campaign = settings.campaign
    return PlanRules(
        action=Action(campaign.action),
        kind=Kind(campaign.kind),
        target_group_id=campaign.target_group_id,
        target_id=campaign.target_id,
        org_id=settings.scope.org,
        cycles=cycles,
        expand=campaign.expand,
        initial_balance=campaign.initial_balance,
        reset_streak_status=campaign.reset_streak_status,
        period_separator=settings.input.period_separator,
        country_code=settings.input.country_code,
        cycles_of=campaign.target_group_id if campaign.cycles == "api" else None,
    )


def check_problems(run: OpenRun, totals: PlanTotals) -> None:
    """Refuse a plan that holds nothing to send, or too many rows with problems.

    Raises:
        InputRefused: with the counts and where the problems are listed.
    """
    listed = run.folder / "rejected_rows.csv"
    if totals.rows_read == totals.rows_blank:
        raise FileRefused("nothing stands below the header; nothing was sent: put the customers there, one in each row")
    if not totals.unique:
        raise InputRefused(_none_usable(totals.rows_read - totals.rows_blank, listed))
    allowed = run.settings.input.max_problems
    rows = totals.rows_read - totals.rows_blank
    if totals.rows_with_problems > allowed * rows:
        raise InputRefused(
            f"{totals.rows_with_problems:,} of {rows:,} rows that are not blank have problems, more than "
            f"input.max_problems ({allowed:.0%}); nothing was sent: mend them, or raise input.max_problems; then run "
            f"the whole upload; they are listed in {listed}"
        )


def _none_usable(rows: int, listed: Path) -> str:
    if rows == 1:
        return f"the only row cannot be used; {listed} says why"
    return f"none of the {rows:,} rows can be used; they are listed in {listed}"


def preview(run: OpenRun) -> Preview:
    """Return what a plan found, as the ledger has it."""
    read = run.ledger.read
    ((open_count, open_unenrolls),) = read(
        "SELECT count(*), count(*) FILTER (WHERE action = 'unenroll') FROM request r JOIN scope USING (scope_no)"
        " WHERE NOT contradicted AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.request_no = r.request_no)"
    )
    return Preview(
        totals=plan_totals(run.ledger),
        open_count=open_count,
        open_unenrolls=open_unenrolls,
        first_requests=first_requests(run.ledger, 5),
        remarks=tuple(remark for (remarks,) in read("SELECT remarks FROM input") for remark in json.loads(remarks)),
        notes=tuple(
            f"{text} ({count:,} row{'' if count == 1 else 's'})"
            for text, count in read("SELECT text, row_count FROM note")
        ),
        problems=problem_kinds(run.ledger),
        hours=tuple(hours_lines(open_count, run.settings, run.overrides, time.time_ns())),
        later_cycle_count=later_cycle_count(run.ledger),
        first_cycle_is=_first_cycle(run),
        is_refused=not _is_worth_sending(run),
    )


def _first_cycle(run: OpenRun) -> str:
    """Return in words which cycle `expand: first` would send alone; blank where it is of no use."""
    cycles = run.settings.campaign.cycles
    if any("period_name" in json.loads(roles) for (roles,) in run.ledger.read("SELECT roles FROM input")):
        return ""
    if has_later_balance(run.ledger):
        return ""
    return "the earliest" if cycles == "api" else "the first of the list, which must be the earliest"
