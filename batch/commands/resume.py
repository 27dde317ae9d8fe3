"""`resume`: go on with a run that is not finished."""

from __future__ import annotations

from pathlib import Path

import click

from batch.commands.options import check_rate, dir_option, sending_options


@click.command(short_help="Go on with a run that stopped, or send a plan.")
@click.argument("name", metavar="RUN")
@dir_option
@sending_options
def resume(
    name: str, report_dir: Path, *, yes: bool, rate: str | None, concurrency: int | None, limit: int | None,
    as_json: bool, verbose: bool, quiet: bool,
) -> None:  # fmt: skip
    """Go on with RUN, a run's folder or id: send what has no outcome yet.

    The config that the run began with holds; --rate and --concurrency replace
    it. What was settled before is not sent again.
    """
    from batch.commands.sending import Voice, confirm, require_a_way_to_confirm, send_and_report
    from batch.errors import UsageError
    from batch.model import State
    from batch.run.opening import Overrides, existing_run, find_run
    from batch.run.planning import check_problems, plan_again, preview

    voice = Voice(as_json=as_json, verbose=verbose, quiet=quiet)
    folder = find_run(name, report_dir)
    overrides = Overrides(rate=check_rate(rate), concurrency=concurrency)
    with existing_run(folder, overrides, with_secrets=True) as opened:
        state = opened.ledger.state
        if state is State.FINISHED:
            raise UsageError(f"{folder}: this run is finished; `enroll-batch report {folder}` writes its report again")
        require_a_way_to_confirm(opened.settings, yes=yes)
        if state is State.PLANNING:
            plan_again(opened)
        found = preview(opened)
        if state is State.PLANNING:
            voice.plan(found, opened.overrides.rate_of(opened.settings))
        check_problems(opened, found.totals)
        confirm(opened, found, yes=yes)
        send_and_report(opened, voice, limit=limit)
