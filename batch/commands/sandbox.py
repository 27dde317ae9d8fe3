"""`enroll-batch sandbox`: serve the simulated API until Ctrl-C."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batch.errors import EnrollBatchError, UsageError

if TYPE_CHECKING:
    from batch.sandbox.access import Credentials


class _SandboxCommand(click.Command):
    """Tells the simulated organisation and every switch below the options."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what is generated from the sandbox itself, which is imported only now."""
        from batch.sandbox.access import ENVIRONMENT
        from batch.sandbox.switches import switches_help
        from batch.sandbox.world import WORLD_HELP

        variables = "\n".join(f"  {variable}" for variable in ENVIRONMENT.values())
        parts = (f"Environment (what it accepts, instead of the above):\n\n{variables}", WORLD_HELP, switches_help())
        # Click fills paragraphs anew unless they begin with \b.
        self.epilog = "\b\n" + "\n\n".join(parts).replace("\n\n", "\n\n\b\n")
        super().format_epilog(ctx, formatter)


class _Pair(click.ParamType[tuple[str, str]]):
    """NAME=VALUE."""

    name = "NAME=VALUE"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return name and value as typed."""
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not equals:
            self.fail(f'"{value}" has no "="; write NAME=VALUE, for instance cascade=true', param, ctx)
        return name.strip(), text


@click.command(name="sandbox", cls=_SandboxCommand)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free port.")
@click.option(
    "--state", type=click.Path(dir_okay=False, path_type=Path), help="File that keeps the state; else memory."
)
@click.option("--set", "pairs", type=_Pair(), multiple=True, help="Set a switch (see below); may be repeated.")
@click.option("--embedded", is_flag=True, hidden=True, help="Serve one run: URL as JSON on stdout, end with stdin.")
def sandbox(host: str, port: int, state: Path | None, pairs: tuple[tuple[str, str], ...], *, embedded: bool) -> None:
    """Serve the simulated Capillary API over HTTP, with real state.

    Point a config at it with `base_url: http://127.0.0.1:8080`, or let `base_url: sandbox` start one for each run.
    It accepts till store.server with password server123, and key sandbox-key with secret sandbox-secret.
    """
    from batch.sandbox.access import Credentials
    from batch.sandbox.switches import STANDALONE_LIMIT_PER_MIN, parse_switches

    wanted = dict(pairs)
    if len(wanted) < len(pairs):
        raise UsageError("sandbox: --set names a switch twice; name each once")
    if not embedded:
        wanted.setdefault("limit_per_min", str(STANDALONE_LIMIT_PER_MIN))
    switches = parse_switches(wanted)
    credentials = Credentials.from_environment(os.environ)
    try:
        from batch.sandbox.server import serve_until_stopped
    except ImportError:
        raise EnrollBatchError(
            "the sandbox needs the extra `sandbox`; install it: pip install 'enroll-batch[sandbox]'"
        ) from None

    def announce(url: str) -> None:
        click.echo(json.dumps({"url": url}) if embedded else _welcome(url, credentials, state, switches.limit_per_min))

    serve_until_stopped(switches, credentials, announce, state=state, host=host, port=port, until_stdin_closes=embedded)


def _welcome(url: str, credentials: Credentials, state: Path | None, limit: int | None) -> str:
    usual = type(credentials)()
    password = "server123" if credentials.password_md5 == usual.password_md5 else "from the environment"
    secret = usual.secret if credentials.secret == usual.secret else "from the environment"
    allowed = f"{limit} calls a minute (--set limit_per_min=none for no limit)" if limit else "none"
    return (
        f"Simulated Capillary API on {url} (Ctrl-C ends it)\n"
        f"  Basic  till {credentials.till}, password {password}\n"
        f"  OAuth  key {credentials.key}, secret {secret}\n"
        f"  Limit  {allowed}\n"
        f"  State  {state or 'in memory'}"
    )
