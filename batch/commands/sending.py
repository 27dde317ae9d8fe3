"""What `run`, `rerun` and `resume` have in common: ask, send, report, and say how it went."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from batch.errors import UsageError
from batch.model import State, StopReason

if TYPE_CHECKING:
    from pathlib import Path

    from batch.config import Rate, Settings
    from batch.report.reconcile import Accounts
    from batch.run.looking_up import Asking
    from batch.run.opening import OpenRun
    from batch.run.planning import Preview


_GOOD_ENDS = frozenset({0, 4, 5})
_WANTED_STOPS = frozenset({StopReason.LIMIT, StopReason.DEADLINE, StopReason.CANARY, StopReason.DECLINED})


def tell(text: str, *, err: bool = False) -> None:
    """Print; where nobody can read it any more, the work goes on without a word."""
    try:
        click.echo(text, err=err)
    except OSError as error:
        stream = sys.stderr if err else sys.stdout
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if not err and not isinstance(error, BrokenPipeError):
            tell(f"Error: standard output cannot be written ({error.strerror}); the work goes on", err=True)


@dataclass(frozen=True, slots=True)
class Voice:
    """How much is said, and where: with --json stdout holds the summary alone."""

    as_json: bool = False
    verbose: bool = False
    quiet: bool = False

    def say(self, lines: list[str]) -> None:
        """Print lines for a person."""
        if not self.quiet:
            tell("\n".join(lines), err=self.as_json)

    def event(self, line: str) -> None:
        """Say what happens while sending."""
        tell(line, err=True)

    def asking(self) -> Asking:
        """Return how look-ups are told while planning."""
        from batch.commands.progress import Progress
        from batch.commands.words import wrapped
        from batch.run.looking_up import Asking

        progress = Progress(verbose=self.verbose)
        show = progress.event if self.verbose or not self.quiet else None
        return Asking(
            watch=None if self.quiet else progress.watch,
            show=show,
            say=lambda texts: self.say(wrapped(texts)),
            warn=None if self.quiet else self.event,
        )

    def far_hours(self, run: OpenRun) -> None:
        """Warn where `--until` is so far away that an earlier moment may have been meant.

        Whoever is told nothing else is told of a window that opens late: a command that waits for hours seems to hang.
        """
        from batch.run.hours import far_deadline, far_start

        warning = (far_start if self.quiet else far_deadline)(run.settings, run.overrides, time.time_ns())
        if warning:
            self.event(warning)

    def plan(self, found: Preview, rate: Rate | None) -> None:
        """Say what was found in the upload."""
        from batch.commands.words import plan_lines

        self.say(plan_lines(found, rate))

    def closing(self, folder: Path, accounts: Accounts) -> None:
        """Say how the run stands, and print the summary where it was asked for."""
        from batch.run.reporting import closing_lines, stop_lines

        self.say(["", *closing_lines(folder, accounts)])
        self.summary(accounts)
        if self.quiet and accounts.exit_code not in _GOOD_ENDS and accounts.run.stop_reason not in _WANTED_STOPS:
            tell(f"Error: {' '.join(stop_lines(folder, accounts))}", err=True)

    def summary(self, accounts: Accounts) -> None:
        """Print the summary where it was asked for."""
        from batch.report.files import summary

        if self.as_json:
            tell(json.dumps(summary(accounts), indent=2))


def require_a_way_to_confirm(settings: Settings, *, yes: bool) -> None:
    """Refuse early when a real target would be changed and nobody can be asked.

    Raises:
        UsageError: no terminal and no --yes.
    """
    if settings.api.base_url != "sandbox" and not yes and not sys.stdin.isatty():
        raise UsageError(f"{settings.api.base_url} is a real target and nobody can be asked here; add --yes to send")


def confirm(run: OpenRun, found: Preview, *, yes: bool, limit: int | None) -> None:
    """Ask before a real target is changed. A no leaves the plan for a later `resume`.

    Raises:
        SystemExit: with code 7, when the person says no.
    """
    from batch.commands.words import command_line, question
    from batch.run.closing import close_run
    from batch.run.sending import sample_size

    if yes or run.settings.api.base_url == "sandbox" or not found.open_count:
        return
    rate = run.overrides.rate_of(run.settings)
    text = question(found, run.settings.api.base_url, rate, limit, sample_size(run))
    if _says_yes(text):
        return
    run.ledger.update_run(
        state=State.STOPPED.value, stop_reason=StopReason.DECLINED.value, stop_text="a person declined to send"
    )
    accounts = close_run(run)
    click.echo(f"Nothing was sent. The plan is kept; this sends it:\n  {command_line('resume', run.folder)}", err=True)
    sys.exit(accounts.exit_code)


def _says_yes(question: str) -> bool:
    """Ask; Ctrl-C and the end of the input are a no."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        click.echo(err=True)
        return False


def show_and_send(run: OpenRun, voice: Voice, *, yes: bool, limit: int | None) -> None:
    """Show what a new run would send, ask, and send it as `send_and_report` does.

    Raises:
        InputRefused, SystemExit: as `refuse_too_many_problems` and `confirm`.
    """
    from batch.run.planning import preview

    found = preview(run)
    voice.plan(found, run.overrides.rate_of(run.settings))
    refuse_too_many_problems(run, found, voice)
    confirm(run, found, yes=yes, limit=limit)
    send_and_report(run, voice, limit=limit)


def send_and_report(run: OpenRun, voice: Voice, *, limit: int | None) -> None:
    """Send what is open, write the report, say and tell how it went, and exit with the run's code."""
    from batch.run.telling import telling

    with telling(run, voice.event):
        _send_and_report(run, voice, limit=limit)


def _send_and_report(run: OpenRun, voice: Voice, *, limit: int | None) -> None:
    from batch.commands.progress import Progress
    from batch.run.closing import send_and_close

    progress = Progress(verbose=voice.verbose)
    show = progress.event if voice.verbose or not voice.quiet else None
    while True:
        stop, accounts = send_and_close(run, limit=limit, watch=None if voice.quiet else progress.watch, show=show)
        voice.closing(run.folder, accounts)
        if not (stop and stop.reason is StopReason.CANARY and sys.stdin.isatty()):
            sys.exit(accounts.exit_code)
        if not _says_yes("The sample is done. Send the rest?"):
            sys.exit(accounts.exit_code)


def refuse_too_many_problems(run: OpenRun, found: Preview, voice: Voice) -> None:
    """Close a run whose plan holds nothing to send, or too many rows with problems.

    Raises:
        InputRefused: it does.
    """
    from batch.run.closing import close_refused
    from batch.run.telling import tell_run

    if refused := close_refused(run, found.totals):
        refusal, accounts = refused
        voice.summary(accounts)
        tell_run(run, refusal.exit_code, lambda line: click.echo(line, err=True))
        raise refusal
