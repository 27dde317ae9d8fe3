"""`run`: plan, then send, then report."""

from __future__ import annotations

from pathlib import Path

import click

from batch.commands.options import (
    Inputs,
    SendingOptions,
    config_option,
    inputs_argument,
    read_settings,
    sending_options,
)


@click.command(short_help="Plan an upload, send it, and write the report.")
@inputs_argument
@config_option
@click.option(
    "--run-dir", type=click.Path(path_type=Path), metavar="DIR", help="The run's folder; must hold no run yet."
)
@click.option("--again", is_flag=True, help="Send a file once more that was sent before.")
@click.option(
    "--canary", type=click.IntRange(0), metavar="N", help="Send a sample of about N requests first, then wait."
)
@sending_options
def run(
    inputs: Inputs, config: Path, run_dir: Path | None, *, canary: int | None, again: bool, options: SendingOptions
) -> None:
    """Read INPUT (CSV or Excel), send one request per customer and cycle, and report.

    Everything of the run lies in one folder under reports/: the ledger, the
    success and failure files, the workbook and the page. A run that stops early
    goes on with `enroll-batch resume RUN`. A real target asks before it sends;
    --yes answers for you.
    """
    from batch.commands.sending import require_a_way_to_confirm, show_and_send
    from batch.run.closing import closing_look_ups
    from batch.run.opening import new_run
    from batch.run.planning import plan
    from batch.run.telling import telling_of_config, telling_refusal

    voice = options.voice()
    with telling_of_config(config, "run", voice.event):
        settings = read_settings(config, with_secrets=True)
    overrides = options.overrides(canary=canary)
    require_a_way_to_confirm(settings, yes=options.yes)
    with new_run(
        config, settings, overrides, name=inputs[0].stem, command="run", run_dir=run_dir, inputs=inputs
    ) as opened:
        voice.far_hours(opened)
        with telling_refusal(opened, voice.event), closing_look_ups(opened, voice.summary):
            plan(opened, inputs, again=again, asking=voice.asking())
        show_and_send(opened, voice, yes=options.yes, limit=options.limit)
