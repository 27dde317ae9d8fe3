"""`status`: what runs there are, and how far they have come."""

from __future__ import annotations

from pathlib import Path

import click

from batch.commands.options import dir_option


@click.command(short_help="Show the runs, their state and progress.")
@click.argument("name", metavar="[RUN]", required=False)
@dir_option
def status(name: str | None, report_dir: Path) -> None:
    """Show RUN, or all runs: state, progress, exit code, and whether somebody works on it now."""
    from batch.commands.words import sharing_lines, status_lines
    from batch.errors import UsageError
    from batch.run.opening import find_run
    from batch.run.status import all_runs, run_status, sharing

    found = [run_status(find_run(name, report_dir))] if name else all_runs(report_dir)
    if not found and not report_dir.is_dir():
        raise UsageError(f"{report_dir}: there is no such folder; name one that holds runs, with --dir")
    if not found:
        click.echo(f"No runs in {report_dir}.")
        return
    click.echo("\n".join([*status_lines(found), *sharing_lines(sharing())]))
