"""`rerun`: a new run of what is still open in a finished one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batch.commands.options import SendingOptions, dir_option, read_settings, sending_options

if TYPE_CHECKING:
    from batch.model import Outcome


@click.command(short_help="Run again what is still open in a finished run.")
@click.argument("name", metavar="RUN")
@click.option(
    "-c", "--config", type=click.Path(path_type=Path), metavar="CONFIG", help="A corrected config; else that of RUN."
)
@click.option("--only", multiple=True, metavar="OUTCOME", help="Only requests that ended so; may be repeated.")
@click.option("--also", multiple=True, metavar="OUTCOME", help="These besides retry and fix setup; may be repeated.")
@click.option("--run-dir", type=click.Path(path_type=Path), metavar="DIR", help="The new run's folder.")
@click.option("--again", is_flag=True, help="Also when a re-run of RUN has finished.")
@dir_option
@sending_options
def rerun(
    name: str, config: Path | None, only: tuple[str, ...], also: tuple[str, ...], run_dir: Path | None,
    report_dir: Path, *, again: bool, options: SendingOptions,
) -> None:  # fmt: skip
    """Make a new run of what is still open in RUN, and send it.

    Open is what may be tried again (rate limited, server error, unreachable,
    in doubt, not sent) and what a corrected setup may mend (target, cycle,
    scope or access refused; give the corrected config with -c). What RUN has
    settled is not sent again.
    """
    from batch.commands.sending import require_a_way_to_confirm, show_and_send
    from batch.run.closing import closing_look_ups
    from batch.run.earlier import refuse_if_run_again
    from batch.run.kept_config import config_of_finished
    from batch.run.opening import find_run, new_run
    from batch.run.rerunning import Order, plan_rerun
    from batch.run.telling import telling_refusal

    voice = options.voice()
    earlier = find_run(name, report_dir).absolute()
    outcomes = _outcomes(only, also)
    kept = config_of_finished(earlier)
    settings = read_settings(config, with_secrets=True) if config else kept.load()
    overrides = options.overrides()
    require_a_way_to_confirm(settings, yes=options.yes)
    places = {Path(settings.report.dir).absolute(), (run_dir or earlier).absolute().parent}
    refuse_if_run_again(earlier, places, again=again)
    order = Order.given(earlier, outcomes, anew=config is not None)
    with new_run(
        config or kept.config_path, settings, overrides, name=_name_after(earlier), command="rerun",
        run_dir=run_dir, parent=earlier, rerun=order.as_text(),
    ) as opened:  # fmt: skip
        voice.far_hours(opened)
        with telling_refusal(opened, voice.event), closing_look_ups(opened, voice.summary):
            totals = plan_rerun(opened, order, voice.asking())
        if not totals.rows_read:
            opened.discard()
            voice.say(_nothing_to_send(earlier, outcomes))
            if options.as_json:
                click.echo(json.dumps({"rerun_of": earlier.name, "requests": {"unique": 0}, "exit_code": 0}, indent=2))
            return
        show_and_send(opened, voice, yes=options.yes, limit=options.limit)


def _nothing_to_send(earlier: Path, outcomes: frozenset[Outcome]) -> list[str]:
    from batch.commands.words import nothing_to_rerun
    from batch.ledger.reading import LedgerReader
    from batch.ledger.sqlite import LEDGER_NAME

    with LedgerReader(earlier / LEDGER_NAME) as reader:
        return nothing_to_rerun(reader.tallies().outcomes, outcomes, earlier / "summary.md")


def _name_after(earlier: Path) -> str:
    """Return what the new run is called after its own time: the upload's name, and that it is a re-run."""
    return f"{re.sub(r'^[0-9]{8}T[0-9]{6}Z-', '', earlier.name).removesuffix('-again')[:40]}-again"


def _outcomes(only: tuple[str, ...], also: tuple[str, ...]) -> frozenset[Outcome]:
    from batch.errors import UsageError
    from batch.model import Outcome
    from batch.run.rerunning import outcomes_to_rerun

    try:
        return outcomes_to_rerun(only, also)
    except ValueError as error:
        raise UsageError(f"{error}; the outcomes are: {', '.join(Outcome)}") from error
