"""`plan`: read, check and expand; send nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from batch.commands.options import check_rate, config_option, read_settings


@click.command(short_help="Read, check and expand an upload; send nothing.")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@config_option
@click.option("--rate", metavar="RATE", help='Instead of pacing.rate: "100/min", "20/s", or "none".')
@click.option(
    "--run-dir", type=click.Path(path_type=Path), metavar="DIR", help="The run's folder; must hold no run yet."
)
def plan(inputs: tuple[Path, ...], config: Path, rate: str | None, run_dir: Path | None) -> None:
    """Read INPUT, check every row, and show what `run` would send.

    Prints the totals, the problems by kind, the first requests and how long
    sending takes at the set rate. Sends nothing and needs no secrets. The plan
    stays in the run's folder: `enroll-batch resume RUN` sends it.

    Exit code 0, 2, 3, or 4 when rows have problems.
    """
    from batch.commands.words import plan_lines
    from batch.run.opening import Overrides, new_run
    from batch.run.planning import check_problems, preview
    from batch.run.planning import plan as write_plan
    from batch.run.reporting import report

    settings = read_settings(config, with_secrets=False)
    overrides = Overrides(rate=check_rate(rate))
    with new_run(
        config, settings, overrides, name=inputs[0].stem, command="plan", run_dir=run_dir, inputs=inputs
    ) as run:
        totals = write_plan(run, inputs)
        accounts = report(run.folder)
        click.echo("\n".join(plan_lines(preview(run), overrides.rate_of(settings))))
        check_problems(run, totals)
    click.echo(f"\nNothing was sent. The plan is in {run.folder}")
    click.echo(f"Send it with: enroll-batch resume {run.folder}")
    sys.exit(accounts.exit_code)
