"""How an invocation on a run ends, by a person or by night: the report is written, its exit code kept, metrics told.

Joins the second and the third pass. Says nothing to anybody: that is for commands and nights.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from batch.errors import EnrollBatchError, InputRefused, LookUpsStopped
from batch.model import Event, State, StopReason
from batch.run.measuring import measure, measured
from batch.run.planning import check_problems
from batch.run.reporting import report
from batch.run.run_log import RunLog
from batch.run.sending import send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batch.ledger.planning import PlanTotals
    from batch.model import Facts
    from batch.report.reconcile import Accounts
    from batch.run.driving import Watch
    from batch.run.opening import OpenRun
    from batch.run.run_log import Show
    from batch.sending.guards import Stop


def close_run(run: OpenRun) -> Accounts:
    """Write the report and keep its exit code in the ledger."""
    accounts = report(run.folder)
    run.ledger.update_run(exit_code=accounts.exit_code)
    measure(run, accounts)
    return accounts


def close_refused(run: OpenRun, totals: PlanTotals) -> tuple[InputRefused, Accounts] | None:
    """Close a run whose plan holds nothing to send, or too many rows with problems; None where it can be sent."""
    try:
        check_problems(run, totals)
    except InputRefused as refusal:
        facts: Facts = {
            "reason": StopReason.INPUT.value,
            "rows_read": totals.rows_read,
            "rows_with_problems": totals.rows_with_problems,
            "requests_open": totals.unique,
        }
        RunLog(run.folder).write([Event(time.time_ns(), "stopped", refusal.text, facts)])
        run.ledger.update_run(state=State.STOPPED.value, stop_reason=StopReason.INPUT.value, stop_text=refusal.text)
        return refusal, close_run(run)
    return None


@contextmanager
def closing_look_ups(run: OpenRun, show: Callable[[Accounts], None] | None = None) -> Iterator[None]:
    """Close a run whose look-ups are stopped in the block: what it brought so far is reported, and `show` gets it."""
    try:
        yield
    except LookUpsStopped:
        with suppress(EnrollBatchError):  # why it stopped is what to tell
            accounts = close_run(run)
            if show:
                show(accounts)
        raise


def send_and_close(
    run: OpenRun,
    *,
    limit: int | None = None,
    waits: bool = True,
    watch: Watch | None = None,
    show: Show | None = None,
) -> tuple[Stop | None, Accounts]:
    """Send what is open and close the run, also where sending fails; return why it stopped, and the accounts.

    Arguments and exceptions as for `sending.send`.
    """
    try:
        stop = send(run, limit=limit, waits=waits, watch=measured(run, watch), show=show)
    except EnrollBatchError:
        with suppress(EnrollBatchError):  # the first fault is the one to tell
            close_run(run)
        raise
    return stop, close_run(run)
