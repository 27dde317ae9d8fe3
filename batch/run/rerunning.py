"""Plan a new run of what is still open in a finished one: joined to it by keys, so that finished work costs no call.

With the same setup the open requests are taken as they are. With a corrected one the rows they came from are expanded
anew, and what the earlier run has settled otherwise is left out.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from batch.config.keys import InputSettings
from batch.config.text import parse
from batch.errors import AccessRefused, ApiSilent, ConfigError, EnrollBatchError, InputRefused, UsageError
from batch.intake.plan import Planner
from batch.ledger.look_ups import LookUpLedger
from batch.ledger.looking import connect_to_read, standing_of
from batch.ledger.planning import PlanTotals, PlanWriter
from batch.ledger.reading import LedgerReader
from batch.ledger.sqlite import LEDGER_NAME
from batch.model import GROUP_OF, EnrollmentRequest, Group, Outcome, ReportRow, RowProblem, SourceRow
from batch.run.api import SANDBOX_STATE
from batch.run.group_facts import GroupFacts
from batch.run.looking_up import QUIETLY, Asking, look_up, resolved
from batch.run.online import CyclesOfRun
from batch.run.planning import plan_rules, refuse_org_with_v3

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from batch.model import InputFacts
    from batch.run.opening import OpenRun

OPEN_GROUPS = frozenset({Group.RETRY, Group.FIX_SETUP})


def outcomes_to_rerun(only: Sequence[str], also: Sequence[str]) -> frozenset[Outcome]:
    """Return the outcomes whose requests go into the new run: `only` replaces the open groups, `also` adds to them."""
    chosen = {Outcome(name) for name in only} or {o for o in Outcome if GROUP_OF[o] in OPEN_GROUPS}
    return frozenset(chosen | {Outcome(name) for name in also})


@dataclass(frozen=True, slots=True)
class Order:
    """What a re-run was told, and how the earlier run stood then: kept in the ledger, so planning can begin anew.

    `anew`: the setup has changed, so each row is expanded by the new config.
    """

    earlier: Path
    outcomes: frozenset[Outcome]
    anew: bool
    standing: str

    @classmethod
    def given(cls, earlier: Path, outcomes: frozenset[Outcome], *, anew: bool) -> Order:
        """Return the order to run again what stands as one of `outcomes` in the run in the folder `earlier` now.

        Raises:
            UsageError, LedgerFailed: that run cannot be read.
        """
        return cls(earlier, outcomes, anew, standing_of(earlier / LEDGER_NAME))

    def as_text(self) -> str:
        """Return what the ledger keeps of it, beside the earlier run's folder."""
        return json.dumps({"outcomes": sorted(self.outcomes), "anew": self.anew, "standing": self.standing})


def is_rerun(run: OpenRun) -> bool:
    """Return whether a run was begun by `rerun`."""
    return bool(run.ledger.read("SELECT 1 FROM run WHERE rerun IS NOT NULL"))


def plan_rerun_again(run: OpenRun, asking: Asking = QUIETLY) -> PlanTotals:
    """Plan a re-run anew that died or stopped while planning, from the same run and as it was told.

    Raises:
        LookUpsStopped: the run is kept as it is, with what was found.
        InputRefused: the earlier run is gone, or something was recorded in it since; this run is left as it is.
        LedgerFailed: the earlier run cannot be read.
    """
    ((parent, text),) = run.ledger.read("SELECT parent, rerun FROM run")
    kept = json.loads(text)
    outcomes = frozenset(map(Outcome, kept["outcomes"]))
    order = Order(Path(parent), outcomes, kept["anew"], kept["standing"])
    try:
        found = standing_of(order.earlier / LEDGER_NAME)
    except UsageError as error:
        raise InputRefused(f"{error.text}; without it this run cannot be planned; nothing was sent") from error
    if found != order.standing:
        raise InputRefused(
            f"{order.earlier}: has changed since this run began to read it; nothing was sent; "
            f"begin anew with `enroll-batch rerun {order.earlier}`"
        )
    return plan_rerun(run, order, asking)


def plan_rerun(run: OpenRun, order: Order, asking: Asking = QUIETLY) -> PlanTotals:
    """Plan into `run` what it is ordered to run again; who was not found before is looked up again.

    So is everybody where the new config may mean others by the same identifiers.

    Raises:
        InputRefused, ConfigError, ApiSilent, AccessRefused: the new config cannot be used for it; `run` is removed.
        LookUpsStopped: the run is kept, and `plan_rerun_again` goes on with the look-ups.
    """
    _keep_simulated_api(order.earlier, run.folder)
    with LedgerReader(order.earlier / LEDGER_NAME) as reader:
        by_input = {facts.input_no: facts for facts in reader.inputs()}
        cycles = CyclesOfRun(run.settings, GroupFacts(run, asking.warn)) if order.anew else None
        try:
            if _would_find_the_same(run, reader):
                LookUpLedger(run.ledger).take_over(reader.found_customers())
            while True:
                writer = PlanWriter(run.ledger)
                rows = groupby(reader.report_rows(order.outcomes), key=lambda row: row.input_no)
                for input_no, of_input in rows:
                    _plan_input(writer, run, reader, by_input[input_no], of_input, cycles)
                refuse_org_with_v3(run)
                if not look_up(run, asking, online=True):
                    return writer.finish()
        except (InputRefused, ConfigError, ApiSilent, AccessRefused):
            run.discard()
            raise


def _would_find_the_same(run: OpenRun, reader: LedgerReader) -> bool:
    """Whether the earlier run looked customers up as `run` would: by the same API, credentials and source.

    The credentials stand for an organisation, and in another one an identifier may name somebody else. They are not
    kept, so both configs have to write them alike. What `scope` says is heeded where ids are taken (`resolved`).
    """
    path, text, _, _ = reader.kept_config()
    ((own_path, own_text),) = run.ledger.read("SELECT config_path, config_text FROM run")
    earlier, own = parse(path, text).tree, parse(own_path, own_text).tree
    wanted = earlier.get("input")
    source = wanted.get("look_up_source") if isinstance(wanted, dict) else None
    return (
        reader.run().base_url == run.settings.api.base_url
        and earlier.get("auth") == own.get("auth")
        and (source or InputSettings().look_up_source) == run.settings.input.look_up_source
    )


def _plan_input(
    writer: PlanWriter,
    run: OpenRun,
    reader: LedgerReader,
    facts: InputFacts,
    rows: Iterable[ReportRow],
    cycles: CyclesOfRun | None,
) -> None:
    """Plan what is open of one input; with `cycles` its rows are expanded anew, over them."""
    writer.begin_input(
        facts.path, facts.sha256, sheet=facts.sheet, columns=facts.columns, roles=facts.roles, remarks=facts.remarks
    )
    planner = (
        Planner(plan_rules(run.settings, cycles.named(facts.roles)), facts.columns, facts.roles) if cycles else None
    )
    rows_read, look_ups = 0, LookUpLedger(run.ledger)
    for _, group in groupby(rows, key=lambda row: row.row):
        open_rows = list(group)
        source = SourceRow(open_rows[0].row, open_rows[0].cells)
        requests, problems = _still_open(reader, look_ups, planner, source, open_rows)
        if requests or problems:
            rows_read += 1
            writer.add_row(source, requests, problems, ())
    writer.end_input(rows_read, 0)


def _still_open(
    reader: LedgerReader,
    look_ups: LookUpLedger,
    planner: Planner | None,
    source: SourceRow,
    open_rows: Sequence[ReportRow],
) -> tuple[Sequence[EnrollmentRequest], Sequence[RowProblem]]:
    """Return the requests of one row for the new run, or what is wrong with the row under the new setup."""
    known = {row.request_no: replace(row.request, doubtful=row.outcome is Outcome.IN_DOUBT) for row in open_rows}
    if planner is None:
        return resolved(look_ups, list(known.values())), ()
    planned = planner.plan_row(source)
    requests = []
    for request, as_named in zip(resolved(look_ups, planned.requests), planned.requests, strict=True):
        request_no = reader.request_no(request) or reader.request_no(as_named)  # it may have been found only now
        if request_no is None:
            requests.append(request)
        elif request_no in known:
            requests.append(replace(request, doubtful=known[request_no].doubtful))
    return requests, planned.problems


def _keep_simulated_api(earlier: Path, folder: Path) -> None:
    """Let a re-run against the embedded API meet the one that the earlier run knew."""
    kept = earlier / SANDBOX_STATE
    if not kept.is_file():
        return
    unnamed = folder / f"{SANDBOX_STATE}.new"
    unnamed.unlink(missing_ok=True)
    try:
        with (
            contextlib.closing(connect_to_read(kept)) as source,
            contextlib.closing(sqlite3.connect(unnamed)) as target,
        ):
            source.backup(target)  # with what still lies in its write-ahead log
        unnamed.replace(folder / SANDBOX_STATE)
    except (sqlite3.Error, OSError) as error:
        unnamed.unlink(missing_ok=True)
        raise EnrollBatchError(f"{kept}: the simulated API cannot be copied ({error}); check the disk") from error
