"""The options that several commands share, and what they all do before and after their work."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

import click

from batch.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from batch.commands.sending import Voice
    from batch.config import Settings
    from batch.run.opening import Overrides
    from batch.storage.paths import RemotePath

Command = Callable[..., Any]
Inputs: TypeAlias = "tuple[Path | RemotePath, ...]"

REPORTS = Path("reports")


class Until(TypedDict):
    """A time of day, and when it was asked for; None where it was not."""

    until: str | None
    asked_at: int | None


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


def _read_input(text: str) -> Path | RemotePath:
    from batch.errors import InputRefused
    from batch.storage.failures import StorageFailed
    from batch.storage.paths import read_path

    try:
        return read_path(text)
    except StorageFailed as failure:
        raise InputRefused(f"INPUT: {failure.text}") from failure


def inputs_argument(command: Command) -> Command:
    """Add INPUT..., files here or elsewhere."""
    return click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=_read_input)(command)


@dataclass(frozen=True, slots=True)
class SendingOptions:
    """What a person may say to every command that sends; `sending_options` tells what each one means."""

    yes: bool
    rate: str | None
    concurrency: int | None
    until: str | None
    limit: int | None
    as_json: bool
    verbose: bool
    quiet: bool

    def voice(self) -> Voice:
        """Return how much is said, and where."""
        from batch.commands.sending import Voice

        return Voice(as_json=self.as_json, verbose=self.verbose, quiet=self.quiet)

    def overrides(self, *, canary: int | None = None) -> Overrides:
        """Return what is said instead of the config.

        Raises: UsageError where rate or time of day is none.
        """
        from batch.run.opening import Overrides

        return Overrides(
            rate=check_rate(self.rate),
            concurrency=self.concurrency,
            canary=canary,
            limit=self.limit,
            **check_until(self.until),
        )


def sending_options(command: Command) -> Command:
    """Add the options of every command that sends; it gets them together, as `options`."""

    @wraps(command)
    def gathered(**given: Any) -> Any:
        options = SendingOptions(**{field.name: given.pop(field.name) for field in fields(SendingOptions)})
        return command(options=options, **given)

    for option in reversed((
        click.option("--yes", is_flag=True, help="Send to a real target without asking."),
        click.option("--rate", metavar="RATE", help='Instead of pacing.rate: "100/min", "20/s", or "none".'),
        click.option("--concurrency", type=click.IntRange(1, 256), metavar="N", help="Instead of pacing.concurrency."),
        click.option("--until", metavar="HH:MM", help="Stop at that time (pacing.time_zone); `resume` goes on."),
        click.option("--limit", type=click.IntRange(1), metavar="N", help="Send at most N requests; `resume` goes on."),
        click.option("--json", "as_json", is_flag=True, help="Print only the summary, as JSON; all else on stderr."),
        click.option("-v", "--verbose", is_flag=True, help="Show holds and other events while sending."),
        click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors."),
    )):  # fmt: skip
        gathered = option(gathered)
    return gathered


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
    try:
        check_api(settings)
    except UsageError as error:
        raise ConfigError(f"{config}: {error.text}") from error
    return settings


def check_until(until: str | None) -> Until:
    """Return a time of day from the command line as Overrides takes it, once it is known to be one."""
    from batch.config import parse_time

    if until is None:
        return {"until": None, "asked_at": None}
    try:
        parse_time(until)
    except UsageError as error:
        raise UsageError(f"--until: {error.text}") from error
    return {"until": until, "asked_at": time.time_ns()}


def check_rate(rate: str | None) -> str | None:
    """Return a rate from the command line unchanged, once it is known to be one."""
    from batch.config import parse_rate

    if rate is not None:
        try:
            parse_rate(rate)
        except UsageError as error:
            raise UsageError(f"--rate: {error.text}") from error
    return rate
