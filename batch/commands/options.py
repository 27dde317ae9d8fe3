"""The options that several commands share, and what they all do before and after their work."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batch.errors import UsageError

if TYPE_CHECKING:
    from batch.config import Settings

Command = Callable[..., Any]

REPORTS = Path("reports")


def config_option(command: Command) -> Command:
    """Add -c CONFIG."""
    return click.option(
        "-c",
        "--config",
        required=True,
        type=click.Path(path_type=Path),
        metavar="CONFIG",
        help="The config file (YAML).",
    )(command)


def sending_options(command: Command) -> Command:
    """Add the options of every command that sends."""
    for option in reversed((
        click.option("--yes", is_flag=True, help="Send to a real target without asking."),
        click.option("--rate", metavar="RATE", help='Instead of pacing.rate: "100/min", "20/s", or "none".'),
        click.option("--concurrency", type=click.IntRange(1, 256), metavar="N", help="Instead of pacing.concurrency."),
        click.option("--limit", type=click.IntRange(1), metavar="N", help="Send at most N requests; `resume` goes on."),
        click.option("--json", "as_json", is_flag=True, help="Print only the summary, as JSON; all else on stderr."),
        click.option("-v", "--verbose", is_flag=True, help="Show holds and other events while sending."),
        click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors."),
    )):  # fmt: skip
        command = option(command)
    return command


def dir_option(command: Command) -> Command:
    """Add --dir, where a RUN named by its id is looked for."""
    return click.option(
        "--dir", "report_dir", default=REPORTS, show_default=True, type=click.Path(path_type=Path), metavar="DIR",
        help="The folder that holds the runs (report.dir of the config).",
    )(command)  # fmt: skip


def read_settings(config: Path, *, with_secrets: bool) -> Settings:
    """Load the config file with the environment and working directory of this process."""
    from batch.config import load_settings
    from batch.run.api import check_api

    settings = load_settings(config, with_secrets=with_secrets, working_dir=Path.cwd(), environ=os.environ)
    check_api(settings)
    return settings


def check_rate(rate: str | None) -> str | None:
    """Return a rate from the command line unchanged, once it is known to be one."""
    from batch.config import parse_rate

    if rate is not None:
        try:
            parse_rate(rate)
        except UsageError as error:
            raise UsageError(f"--rate: {error.text}") from error
    return rate
