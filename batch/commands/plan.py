"""`plan`: read, check and expand; send nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from batch.commands.options import Inputs, check_rate, check_until, config_option, inputs_argument, read_settings


@click.command(short_help="Read, check and expand an upload; send nothing.")
@inputs_argument
@config_option
@click.option("--rate", metavar="RATE", help='Instead of pacing.rate: "100/min", "20/s", or "none".')
@click.option("--until", metavar="HH:MM", help="Say whether the work is done by then (pacing.time_zone).")
@click.option(
    "--run-dir", type=click.Path(path_type=Path), metavar="DIR", help="The run's folder; must hold no run yet."
)
@click.option("--online", is_flag=True, help="Also ask the API: do group, target and cycles exist, and when are they?")
def plan(
    inputs: Inputs, config: Path, rate: str | None, until: str | None, run_dir: Path | None, *, online: bool
) -> None:
    """Read INPUT, check every row, and show what `run` would send.

    Prints the totals, the problems by kind, the first requests and how long
    sending takes at the set rate. Sends nothing and needs no secrets. The plan
    stays in the run's folder: `enroll-batch resume RUN` sends it.

    --online reads from the API whether the target group, the targets and the
    cycles of the plan exist and are active, and when the cycles run. It looks up
    customers who are named by mobile, email or external_id; without it they
    cannot be planned. It needs the secrets, and changes nothing.

    Exit code 0, 2, 3, or 4 when rows have problems or the API finds fault.
    """
    from batch.commands.sending import Voice, refuse_too_many_problems
    from batch.commands.words import command_line, finding_lines, plan_lines
    from batch.run.closing import closing_look_ups
    from batch.run.group_facts import GroupFacts
    from batch.run.online import check_online
    from batch.run.opening import Overrides, new_run
    from batch.run.planning import plan as write_plan
    from batch.run.planning import preview
    from batch.run.reporting import report

    settings = read_settings(config, with_secrets=online)
    overrides = Overrides(rate=check_rate(rate), **check_until(until))
    with new_run(
        config, settings, overrides, name=inputs[0].stem, command="plan", run_dir=run_dir, inputs=inputs
    ) as run:
        voice = Voice()
        voice.far_hours(run)
        facts = GroupFacts(run, voice.event)
        with closing_look_ups(run):
            write_plan(run, inputs, online=online, asking=voice.asking(), facts=facts)
        found = preview(run)
        click.echo("\n".join(plan_lines(found, overrides.rate_of(settings))))
        refuse_too_many_problems(run, found, voice)
        findings = check_online(run, facts) if online else []
        if findings:
            click.echo("\n".join(finding_lines(findings)))
        accounts = report(run.folder)
    click.echo(f"\nNothing was sent. The plan is kept; this sends it:\n  {command_line('resume', run.folder)}")
    found_fault = found.open_count < found.totals.unique or not all(finding.is_good for finding in findings)
    sys.exit(accounts.exit_code or (4 if found_fault else 0))
