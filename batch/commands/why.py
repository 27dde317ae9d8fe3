"""`why`: the life of one customer, over all runs of one story."""

from __future__ import annotations

import datetime as dt
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batch.commands.options import dir_option
from batch.commands.words import WIDTH

if TYPE_CHECKING:
    from batch.ledger.history import RequestLife, Try
    from batch.run.unsent_rows import UnsentRow


_TOO_LARGE, _LONGEST = 2**63, 19
"""No ledger holds such a number, or so many digits."""


@click.command(short_help="Show what became of one customer.")
@click.argument("name", metavar="RUN")
@click.argument("customer")
@dir_option
def why(name: str, customer: str, report_dir: Path) -> None:
    """Show the life of CUSTOMER in RUN: rows, requests, attempts, answers.

    CUSTOMER is an id, or the mobile number, e-mail address or external id by
    which the upload names the customer.

    Runs that RUN goes on from (by `rerun`, or because its upload is a report
    file of theirs) come first.
    """
    from batch.errors import EnrollBatchError, UsageError
    from batch.ledger.history import life_of
    from batch.ledger.sqlite import LEDGER_NAME
    from batch.model import State
    from batch.run.earlier import chain_of
    from batch.run.opening import NO_PLAN, find_run
    from batch.run.status import run_status
    from batch.run.unsent_rows import unsent_rows

    if not customer.strip():
        raise UsageError("the customer is empty; write an id as the upload has it")
    found = False
    chain = chain_of(find_run(name, report_dir))
    for folder in chain:
        try:
            requests, unsent = life_of(folder / LEDGER_NAME, customer), unsent_rows(folder, customer)
        except EnrollBatchError as error:
            if folder == chain[-1]:
                raise
            click.echo(f"Run {folder.name}\n  {error.text}")
            continue
        if requests or unsent:
            found = True
            lines = [f"Run {folder.name}", *(line for request in requests for line in _request_lines(request))]
            click.echo("\n".join([*lines, *(line for row in unsent for line in _unsent_lines(row))]))
    if not found and customer.isdigit() and (len(customer) > _LONGEST or int(customer) >= _TOO_LARGE):
        raise UsageError(f"{customer} is no customer id; write one as the upload has it")
    if not found and run_status(chain[-1]).state is State.PLANNING:
        raise UsageError(NO_PLAN.format(folder=chain[-1]))
    if not found:
        raise UsageError(f"customer {customer} stands in no row of {name}; write the customer as the upload does")


def _request_lines(request: RequestLife) -> list[str]:
    asks = [] if request.initial_balance is None else [f"initial balance {request.initial_balance}"]
    asks += ["reset"] if request.reset_streak_status else []
    org = [f"org {request.org_id}"] if request.org_id else []
    what = [request.period or "", f"group {request.target_group_id} target {request.target_id}", *org, *asks]
    lines = [f"  {request.action} {', '.join(filter(None, what))}", f"    {Path(request.path).name}, row {request.row}"]
    if request.repeated_in_rows:
        lines.append(f"    asked for again in row {', '.join(map(str, request.repeated_in_rows))}")
    if request.contradicted:
        return [*lines, "    contradicted: not sent"]
    if request.doubtful:
        lines.append("    in doubt from an earlier run")
    return lines + ([line for each in request.tries for line in _try_lines(each)] or ["    not sent yet"])


def _unsent_lines(row: UnsentRow) -> list[str]:
    sheet = f", sheet {row.sheet}" if row.sheet else ""
    lines = [f"  {Path(row.path).name}{sheet}, row {row.row}: not sent"]
    for problem in row.problems:
        value = f' "{problem.value}"' if problem.value else ""
        told = f"{problem.column}{value}: {problem.hint}"
        lines += textwrap.wrap(told, WIDTH, initial_indent="    ", subsequent_indent="      ", break_long_words=False)
    return lines


def _try_lines(each: Try) -> list[str]:
    at = dt.datetime.fromtimestamp(each.ended_at // 1_000_000_000, dt.UTC)
    stamp = f"{at:%Y-%m-%d %H:%M:%S}.{each.ended_at // 1_000_000 % 1000:03}Z"
    said = [
        f"HTTP {each.http_status}" if each.http_status else "",
        f"code {each.error_code}" if each.error_code else "",
    ]
    told = {"may_be_applied": "may have been applied", "never_reached": "never reached the API", "refused": "refused"}
    meaning = each.outcome.replace("_", " ") if each.settled else told.get(each.tells, each.tells)
    call = f"attempt {each.attempt}" if each.attempt else "asked the API" if each.tells == "looked" else "not sent"
    parts = [call, *said, meaning, each.reason, each.error_message]
    lines = [f"    {stamp}  {', '.join(filter(None, parts))}"]
    return lines + ([f"      request id {each.api_request_id}"] if each.api_request_id else [])
