"""The command `enroll-batch`: the group of commands, and how errors become one line and an exit code."""

from __future__ import annotations

import difflib
import os
import signal
import sys
import traceback
from contextlib import suppress

import click

from batch import __version__
from batch.commands.doctor import doctor
from batch.commands.nightly import nightly
from batch.commands.plan import plan
from batch.commands.report import report
from batch.commands.rerun import rerun
from batch.commands.resume import resume
from batch.commands.run import run
from batch.commands.sandbox import sandbox
from batch.commands.status import status
from batch.commands.template import template
from batch.commands.verify import verify
from batch.commands.why import why
from batch.errors import EXIT_CODES, EnrollBatchError

_CODES = "\n".join(f"  {code:>2}  {meaning}" for code, meaning in EXIT_CODES.items())
_EPILOG = f"""\b
Exit codes:
{_CODES}

\b
First steps:
  enroll-batch run samples/enroll_200x5.csv -c configs/sandbox.yaml
  enroll-batch plan UPLOAD.xlsx -c configs/milestone.yaml
"""


class InOrder(click.Group):
    """A group whose help shows the commands in the order in which they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of their definition."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant; a name mistyped brings the nearest one."""
        if args[0] not in self.commands and (near := difflib.get_close_matches(args[0], self.commands, 1)):
            ctx.fail(f'there is no command "{args[0]}"; did you mean "{near[0]}"?')
        return super().resolve_command(ctx, args)


@click.group(cls=InOrder, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="enroll-batch")
def cli() -> None:
    """Enroll customers into Capillary Loyalty+ milestones and streaks, in bulk.

    Reads a CSV or Excel file, expands each customer and cycle into a one-record
    request, sends them at the allowed rate, and writes a reconciliation report
    in which the accounts balance.
    """


for command in (plan, run, resume, rerun, verify, report, status, why, nightly, template, doctor, sandbox):
    cli.add_command(command)


def main() -> None:
    """Run the command line; every error is one line on stderr, never a traceback."""
    _dump_no_core()
    sys.exit(_exit_code())


def _dump_no_core() -> None:
    """Let no crash write what is in memory, secrets among it, into a file."""
    with suppress(ImportError, OSError, ValueError):  # not on Windows; and a sandbox may forbid it
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _exit_code() -> int:
    with suppress(ValueError):  # signals belong to the main thread
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a timer's stop ends like a person's Ctrl-C
    try:
        return cli.main(prog_name="enroll-batch", standalone_mode=False) or 0
    except EnrollBatchError as error:
        click.echo(f"Error: {error.text}", err=True)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "enroll-batch"
        click.echo(
            f"Error: {path}: {error.format_message().rstrip('.')}; `{path} --help` shows what it takes", err=True
        )
        return 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("Stopped before a run began; nothing was sent.", err=True)
        return 7
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as fault:
        if "ENROLL_BATCH_TRACEBACK" in os.environ:
            traceback.print_exception(fault)
        frame = traceback.extract_tb(fault.__traceback__)[-1]
        place = f"{type(fault).__name__} in {os.path.basename(frame.filename)}:{frame.lineno}"  # noqa: PTH119
        click.echo(
            f"Error: a fault of enroll-batch itself ({place}); what was recorded is safe: `resume` the run", err=True
        )
        return 1
