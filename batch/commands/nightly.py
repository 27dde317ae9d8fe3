"""`nightly`: what cron starts: go on with what is unfinished, then take what lies in each inbox."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from batch.commands.options import read_settings


@click.command(short_help="Resume what is unfinished, then run what lies in the inbox.")
@click.option(
    "-c",
    "--config",
    "configs",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="CONFIG",
    help="The config file (YAML); may be given several times.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print only what did not go well.")
def nightly(configs: tuple[Path, ...], *, quiet: bool) -> None:
    """Resume the runs that did not come to their end, then run each file of the inbox.

    Never asks. Each file ends in the folders done, failed (with the reason
    beside it) or unfinished inside its inbox. One bad file never stops the
    others. A second night at once sends nothing.

    The exit code is the worst of the night.
    """
    from batch.errors import EnrollBatchError
    from batch.report.reconcile import worst
    from batch.run.nights import spend

    codes = {0}
    for config in configs:
        whose = f"{config.stem}: " if len(configs) > 1 else ""

        def say(line: str, whose: str = whose) -> None:
            if not quiet:
                click.echo(f"{whose}{line}")

        def warn(line: str, whose: str = whose) -> None:
            click.echo(f"{whose}{line}", err=True)

        try:
            codes.add(spend(config, read_settings(config, with_secrets=True), say, warn))
        except EnrollBatchError as error:
            click.echo(f"Error: {error.text}", err=True)
            codes.add(error.exit_code)
    sys.exit(worst(codes))
