"""`report`: write the report files again."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from batch.commands.options import dir_option


@click.command(short_help="Write the report files of a run again.")
@click.argument("name", metavar="RUN")
@dir_option
@click.option("--json", "as_json", is_flag=True, help="Print only the summary, as JSON.")
def report(name: str, report_dir: Path, as_json: bool) -> None:
    """Write the report files of RUN again, from its ledger alone.

    Works at any time, also after a crash and beside a running sender. The exit
    code is that of the run.
    """
    from batch.commands.sending import Voice
    from batch.run.opening import find_run
    from batch.run.reporting import report as write_report

    folder = find_run(name, report_dir).absolute()
    accounts = write_report(folder)
    Voice(as_json=as_json).closing(folder, accounts)
    sys.exit(accounts.exit_code)
