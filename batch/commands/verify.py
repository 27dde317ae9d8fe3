"""`verify`: settle requests in doubt by asking the API, or audit a sample of what is enrolled."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from batch.commands.options import check_rate, dir_option
from batch.errors import UsageError


@click.command(short_help="Settle requests in doubt by asking the API; or audit a sample.")
@click.argument("name", metavar="RUN")
@dir_option
@click.option(
    "--sample", type=click.IntRange(1), metavar="N", help="Audit N random enrolled requests instead, and N left out."
)
@click.option("--seed", metavar="TEXT", help="With --sample: draw others; one seed always draws the same.")
@click.option("--rate", metavar="RATE", help='Instead of pacing.rate: "100/min", "20/s", or "none".')
@click.option("--concurrency", type=click.IntRange(1, 256), metavar="N", help="Instead of pacing.concurrency.")
@click.option("--json", "as_json", is_flag=True, help="Print only the summary, as JSON; all else on stderr.")
@click.option("-v", "--verbose", is_flag=True, help="Show holds and other events while asking.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def verify(
    name: str, report_dir: Path, sample: int | None, seed: str | None, rate: str | None, concurrency: int | None, *,
    as_json: bool, verbose: bool, quiet: bool,
) -> None:  # fmt: skip
    """Ask the API what became of the requests of RUN that are in doubt.

    One call tells about all cycles of a customer. Changes nothing at the API,
    keeps nothing of the customer but the finding, and writes the report again.
    Goes on where it stopped; when it has ended, the next one asks again about
    what is still in doubt. Outside of pacing.window it waits. The exit code is
    that of the run, unless the API could not be asked.

    --sample N looks at N enrolled requests instead, says which share of them
    is confirmed, and lists the others in audit.csv. Where campaign.on_cascade:
    skip has left requests out, it looks at N of these too. It changes no outcome.
    """
    from batch.commands.progress import Progress
    from batch.commands.sending import Voice
    from batch.report.words import stop_words
    from batch.run.closing import close_run
    from batch.run.opening import Overrides, existing_run, find_run
    from batch.run.verifying import asking_lines, begin, exit_code, look, verified_lines

    if seed is not None and sample is None:
        raise UsageError("--seed goes with --sample N")
    voice = Voice(as_json=as_json, verbose=verbose, quiet=quiet)
    overrides = Overrides(rate=check_rate(rate), concurrency=concurrency)
    with existing_run(find_run(name, report_dir), overrides) as run:
        verification = begin(run, sample=sample, seed=seed)
        voice.far_hours(run)
        voice.say(asking_lines(run, verification))
        progress = Progress(verbose=verbose)
        show = progress.event if verbose or not quiet else None
        verified = look(run, verification, watch=None if quiet else progress.watch, show=show)
        voice.say(verified_lines(verified))
        accounts = close_run(run)
        voice.closing(run.folder, accounts)
        if verified.stop:
            click.echo(f"Error: the API could not be asked about all: {stop_words(verified.stop.text)}", err=True)
        sys.exit(exit_code(accounts.exit_code, verified.stop))
