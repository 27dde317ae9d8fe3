"""`resume`: go on with a run that is not finished."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from batch.commands.options import SendingOptions, dir_option, sending_options

if TYPE_CHECKING:
    from batch.commands.sending import Voice
    from batch.run.opening import OpenRun


@click.command(short_help="Go on with a run that stopped, or send a plan.")
@click.argument("name", metavar="RUN")
@click.option("--again", is_flag=True, help="Send a plan although another run has sent its file since.")
@dir_option
@sending_options
def resume(name: str, report_dir: Path, *, again: bool, options: SendingOptions) -> None:
    """Go on with RUN, a run's folder or id: send what has no outcome yet.

    The config that the run began with holds; --rate and --concurrency replace
    it from now on. What was settled before is not sent again.
    """
    from batch.commands.sending import confirm, refuse_too_many_problems, require_a_way_to_confirm, send_and_report
    from batch.model import State
    from batch.run.closing import closing_look_ups
    from batch.run.earlier import refuse_if_sent_since
    from batch.run.opening import find_run, unfinished_run
    from batch.run.planning import plan_again, preview
    from batch.run.rerunning import is_rerun, plan_rerun_again
    from batch.run.telling import telling_refusal

    voice = options.voice()
    folder = find_run(name, report_dir)
    with unfinished_run(folder, options.overrides()) as opened:
        state = opened.ledger.state
        if state is State.FINISHED:
            _report_only(opened, voice)
        require_a_way_to_confirm(opened.settings, yes=options.yes)
        voice.far_hours(opened)
        if state is State.PLANNING:
            with telling_refusal(opened, voice.event), closing_look_ups(opened, voice.summary):
                totals = (plan_rerun_again if is_rerun(opened) else plan_again)(opened, voice.asking())
            if is_rerun(opened) and not totals.rows_read:
                opened.discard()
                voice.say(["Nothing of the earlier run is open that this run was begun for."])
                return
        found = preview(opened)
        if state is State.PLANNING:
            voice.plan(found, opened.overrides.rate_of(opened.settings))
        refuse_too_many_problems(opened, found, voice)
        if not again:
            refuse_if_sent_since(opened)
        confirm(opened, found, yes=options.yes, limit=options.limit)
        send_and_report(opened, voice, limit=options.limit)


def _report_only(run: OpenRun, voice: Voice) -> NoReturn:
    """Write the report of a run that died over it, tell how it went, and exit with the run's code."""
    from batch.run.closing import close_run
    from batch.run.telling import tell_run

    voice.say(["Everything was sent before; only the report was missing."])
    accounts = close_run(run)
    voice.closing(run.folder, accounts)
    tell_run(run, accounts.exit_code, voice.event)
    sys.exit(accounts.exit_code)
