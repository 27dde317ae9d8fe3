"""`run`: plan, then send, then report."""

from __future__ import annotations

from pathlib import Path

import click

from batch.commands.options import check_rate, config_option, read_settings, sending_options


@click.command(short_help="Plan an upload, send it, and write the report.")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@config_option
@click.option(
    "--run-dir", type=click.Path(path_type=Path), metavar="DIR", help="The run's folder; must hold no run yet."
)
@click.option("--again", is_flag=True, help="Send a file once more that was sent before.")
@click.option("--canary", type=click.IntRange(0), metavar="N", help="Send a sample of N requests first, then stop.")
@sending_options
def run(
    inputs: tuple[Path, ...], config: Path, run_dir: Path | None, *, canary: int | None, again: bool, yes: bool,
    rate: str | None, concurrency: int | None, limit: int | None, as_json: bool, verbose: bool, quiet: bool,
) -> None:  # fmt: skip
    """Read INPUT (CSV or Excel), send one request per customer and cycle, and report.

    Everything of the run lies in one folder under reports/: the ledger, the
    success and failure files, the workbook and the page. A run that stops early
    goes on with `enroll-batch resume RUN`. A real target asks before it sends;
    --yes answers for you.
    """
    from batch.commands.sending import Voice, close_run, confirm, require_a_way_to_confirm, send_and_report
    from batch.errors import InputRefused
    from batch.model import State, StopReason
    from batch.run.earlier import refuse_if_sent_before
    from batch.run.opening import Overrides, new_run
    from batch.run.planning import check_problems, plan, preview

    voice = Voice(as_json=as_json, verbose=verbose, quiet=quiet)
    settings = read_settings(config, with_secrets=True)
    overrides = Overrides(rate=check_rate(rate), concurrency=concurrency, canary=canary)
    require_a_way_to_confirm(settings, yes=yes)
    if not again:
        beside = {run_dir.absolute().parent} if run_dir else set()
        for folder in {Path(settings.report.dir).absolute(), *beside}:
            refuse_if_sent_before(settings, inputs, folder)
    with new_run(
        config, settings, overrides, name=inputs[0].stem, command="run", run_dir=run_dir, inputs=inputs
    ) as opened:
        totals = plan(opened, inputs)
        found = preview(opened)
        voice.plan(found, overrides.rate_of(settings))
        try:
            check_problems(opened, totals)
        except InputRefused as refusal:
            opened.ledger.update_run(
                state=State.STOPPED.value, stop_reason=StopReason.INPUT.value, stop_text=refusal.text
            )
            close_run(opened)
            raise
        confirm(opened, found, yes=yes)
        send_and_report(opened, voice, limit=limit)
