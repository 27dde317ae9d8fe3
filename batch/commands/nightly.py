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

    All lines go to stderr, and into nightly.log in report.dir. The exit code is
    the worst of the night.
    """
    from batch.commands.sending import tell
    from batch.run.apart import names_of
    from batch.run.nights import spend_nights

    names = names_of(configs)

    def warn(config: Path, line: str) -> None:
        tell(f"{names[config]}: {line}" if len(configs) > 1 else line, err=True)

    def say(config: Path, line: str) -> None:
        if not quiet:
            warn(config, line)

    sys.exit(spend_nights(configs, lambda config: read_settings(config, with_secrets=True), say, warn))
