"""`doctor`: look whether everything is in place for a run."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from batch.commands.options import config_option


@click.command(short_help="Check that everything is in place for a run.")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def doctor(config: Path, *, as_json: bool) -> None:
    """Check config, folders, credentials, scope, target, cycles, clock and notifications.

    One line a check: ok; look (not wrong, but worth a look); unknown (it cannot
    be asked); wrong, and what to do. Only asks and looks: nothing is enrolled, no
    message is sent.
    """
    from batch.run.doctor import examine, exit_code

    checks = []
    for check in examine(config, environ=os.environ, working_dir=Path.cwd()):
        checks.append(check)
        if not as_json:
            click.echo(f"{check.status:8} {check.name}: {check.text}")
    code = exit_code(checks)
    if as_json:
        found = [{"name": check.name, "status": check.status, "text": check.text} for check in checks]
        click.echo(json.dumps({"checks": found, "exit_code": code}, indent=2))
    sys.exit(code)
