"""`template`: an empty upload sheet for a campaign."""

from __future__ import annotations

from pathlib import Path

import click

from batch.commands.options import config_option, read_settings
from batch.errors import UsageError


@click.command(short_help="Write an empty upload sheet with the right columns.")
@config_option
@click.argument("out", metavar="OUT.xlsx", type=click.Path(path_type=Path))
def template(config: Path, out: Path) -> None:
    """Write OUT.xlsx, an empty upload sheet for the campaign of CONFIG.

    It has the columns that the config leaves open, formatted as text so that
    no id or cycle is changed while typing, a check on every cell, and a sheet
    of help. An existing file is never overwritten.
    """
    from batch.intake.headers import LOOKED_UP
    from batch.intake.template import template_columns, template_workbook

    if out.suffix.lower() != ".xlsx":
        raise UsageError(f"{out}: the template is an Excel workbook; give it a name that ends in .xlsx")
    settings = read_settings(config, with_secrets=False)
    campaign, upload = settings.campaign, settings.input
    unusable = LOOKED_UP if settings.scope.org is not None else ()  # nobody of another organisation is looked up
    columns = template_columns(
        action=campaign.action,
        kind=campaign.kind,
        cycles_in_column=campaign.cycle_names is None and campaign.cycles != "api",
        missing=[name for name in ("target_group_id", "target_id") if getattr(campaign, name) is None],
        balance_in_column=campaign.initial_balance is None,
        reset_in_column=not campaign.reset_streak_status,
        headers={name: header for name, header in upload.columns.items() if name not in unusable},
        country_code=upload.country_code,
    )
    content = template_workbook(columns, sheet=upload.sheet, header_row=upload.header_row)
    try:
        with out.open("xb") as file:
            file.write(content)
    except FileExistsError:
        raise UsageError(f"{out}: exists already; remove it, or give another name") from None
    except OSError as error:
        raise UsageError(f"{out}: cannot be written ({error.strerror}); give another place") from None
    click.echo(f"{out}: {', '.join(column.header for column in columns)}")
