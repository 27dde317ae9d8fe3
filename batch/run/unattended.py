"""One run without a person: it is gone on with, sent and reported, and what came of it is put into words.

Joins the second and the third pass. Owns what a night does after a run; knows no inbox.
"""

from __future__ import annotations

import errno
import shlex
import traceback
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from batch.errors import (
    ConfigError,
    EnrollBatchError,
    InputRefused,
    Interrupted,
    LookUpsStopped,
    RunLocked,
    UsageError,
)
from batch.ledger.reading import LedgerReader
from batch.ledger.sqlite import LEDGER_NAME
from batch.model import Outcome, State, StopReason
from batch.report.reconcile import reconcile
from batch.report.words import counted, stop_words, verdict
from batch.run.closing import close_refused, close_run, closing_look_ups, send_and_close
from batch.run.earlier import SentBefore, refuse_if_sent_since
from batch.run.looking_up import Asking
from batch.run.opening import Overrides, unfinished_run
from batch.run.planning import plan_again, preview
from batch.run.unfinished import Next, give_up, look_at, remove_unsent
from batch.storage.failures import StorageFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.config import Settings
    from batch.report.reconcile import Accounts
    from batch.run.opening import OpenRun
    from batch.run.unfinished import Unfinished

_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
_WITH_CAUSE = frozenset({StopReason.REFUSED, StopReason.SILENT, StopReason.GUARD, StopReason.FAULT})
"""Stops whose own text says more than the verdict. None of them quotes what a row holds."""
UNATTENDED = Asking(waits=False)
"""How look-ups are made without a person."""


class After(Enum):
    """What the night does after a file or a run."""

    GO_ON = auto()
    LEAVE_THE_REST = auto()
    """The API or this machine fails, so it would fail for other files too."""
    TIME_IS_UP = auto()
    SIGNALLED = auto()


@dataclass(frozen=True, slots=True)
class Ended:
    """How one file or run of the night ended.

    `text` is one line for who looks after the machine, and may quote a cell. Messages may say the others: `told`, how
    it went in words; `place`, where the file is now, and `report`, where its report is, both as people know it. Each
    is empty where there is none.
    """

    name: str
    exit_code: int
    text: str
    folder: Path | None = None
    told: str = ""
    place: str = ""
    report: str = ""
    after: After = After.GO_ON


def go_on(
    found: Unfinished,
    config: Path,
    tonight: Settings,
    say: Callable[[str], None],
    wait: Callable[[str, int], None],
) -> Ended | None:
    """Do with a run of an earlier night what can be done without a person; None where it did not end.

    `wait` hears of what is left alone, and with which exit code.
    """
    folder, name = found.folder, found.folder.name
    if found.next is Next.WAIT:
        wait(f"{name}: waits for a person: `{resume_command(folder)}` goes on with it", found.exit_code)
        return None
    if found.next is Next.TELL:
        text = "its ledger is damaged: what it has sent is not known; restore it from a backup, or move it away"
        return Ended(name, found.exit_code, f"{text} ({folder})", told=f"{text[0].upper()}{text[1:]}.")
    try:
        with unfinished_run(folder, Overrides()) as run:
            again = look_at(folder, config)  # asked again, now that nobody else is at work on it
            if again is not None and again.next is Next.RESUME:
                return _resumed(run, config, tonight)
            if again is not None and again.next is Next.REMOVE:
                remove_unsent(run)
                say(f"{name}: removed, because it ended before anything was sent; its file is taken anew")
            return None
    except RunLocked as held:
        wait(held.text, 0)
        return None
    except Interrupted:
        raise
    except Exception as error:  # one run never stops the night
        if isinstance(error, UsageError) and look_at(folder, config) is None:
            return None  # another night has just ended it
        return failed(name, error, folder)


def _at_tonights_rate(run: OpenRun, tonight: Settings) -> OpenRun:
    """Return a run that was begun earlier at the rate that the config sets now, where that is lower.

    The rate belongs to the credentials, so whoever lowers it means what goes on with them too.
    """
    own, now = run.overrides.rate_of(run.settings), tonight.pacing.rate
    if now is None or not _is_same_api(run, tonight) or (own is not None and own.per_s <= now.per_s):
        return run
    return replace(run, overrides=replace(run.overrides, rate=str(now)), keeps_overrides=False)


def _resumed(run: OpenRun, config: Path, tonight: Settings) -> Ended:
    name = run.folder.name
    run = _at_tonights_rate(run, tonight)
    if run.ledger.state is State.PLANNING:
        try:
            with closing_look_ups(run):
                plan_again(run, UNATTENDED)
        except LookUpsStopped as stopped:
            return look_ups_stopped(run, name, stopped, tonight)
    try:
        refuse_if_sent_since(run)
    except SentBefore as seen:
        give_up(run, seen.text)
        raise
    return send_unattended(run, name, config, tonight)


def send_unattended(run: OpenRun, name: str, config: Path, tonight: Settings) -> Ended:
    """Send what is open in a run that is planned, and close it. `tonight`: what the config says now.

    Raises:
        EnrollBatchError: as `closing.send_and_close`.
    """
    if run.ledger.state is State.PLANNED and (refused := close_refused(run, preview(run).totals)):
        refusal, accounts = refused
        return _ended(run, name, refusal.exit_code, refusal.text, _refused_words(accounts))
    if run.ledger.state is State.FINISHED:
        stop, accounts = None, close_run(run)
    else:
        stop, accounts = send_and_close(run, waits=False)
    told, after = verdict(accounts), After.GO_ON
    text = f"{told} See {run.folder}"
    if stop is not None:
        after = _after(stop.reason, run, tonight, accounts)
        if stop.reason in _WITH_CAUSE:
            told = f"{told} {sentence(stop_words(stop.text))}"
        text = f"{told} {_next_words(stop.reason, run, config)}"
    return _ended(run, name, accounts.exit_code, text, told, after)


def look_ups_stopped(run: OpenRun, name: str, stopped: LookUpsStopped, tonight: Settings) -> Ended:
    """Return how a run stands that stopped while customers were looked up."""
    after = _after(StopReason(stopped.reason), run, tonight, None)
    return _ended(run, name, stopped.exit_code, stopped.text, sentence(stopped.text), after)


def ended_before(name: str, folder: Path) -> Ended:
    """Return how the run of a file ended that an earlier night, or a person, has brought to its end.

    Raises:
        LedgerFailed: its ledger cannot be read.
    """
    with LedgerReader(folder / LEDGER_NAME) as reader:
        accounts = reconcile(reader.run(), reader.inputs(), reader.tallies())
    told = verdict(accounts)
    return Ended(name, accounts.exit_code, f"{told} See {folder}", folder, told, report=str(folder / "report.html"))


def failed(name: str, error: Exception, folder: Path | None = None) -> Ended:
    """Return what an error has made of a file or run."""
    if isinstance(error, InputRefused):
        code = error.exit_code if is_of_the_file(error) else 1
        told = error.told if code == error.exit_code else error.text  # a fault of the machine quotes nothing of it
        text = error.text
    elif isinstance(error, EnrollBatchError):
        code, text, told = error.exit_code, error.text, error.text
    else:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{PurePath(frame.filename).name}:{frame.lineno}"
        code, text = 1, f"a fault of enroll-batch itself ({type(error).__name__} in {place})"
        told = text
    return Ended(name, code, text.removeprefix(f"{name}: "), folder, sentence(told.removeprefix(f"{name}: ")))


def sentence(text: str) -> str:
    """Return a line as a message has it."""
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""


def resume_command(folder: Path) -> str:
    """Return what a person types to go on with a run."""
    return f"enroll-batch resume {shlex.quote(str(folder))}"


def is_of_the_file(error: Exception) -> bool:
    """Return whether an error ends its file; else the file is as good as before, for another night.

    What cannot be fetched, a full disk, an API that cannot be asked, and folders that cannot be written are no fault of
    the file. A fault of our own may be met again with the same file each night, so it ends there.
    """
    if isinstance(error, InputRefused):
        cause = error.__cause__
        return not (isinstance(cause, StorageFailed) or (isinstance(cause, OSError) and cause.errno in _DISK))
    return isinstance(error, ConfigError) or not isinstance(error, (EnrollBatchError, OSError))


def _ended(run: OpenRun, name: str, code: int, text: str, told: str, after: After = After.GO_ON) -> Ended:
    return Ended(name, code, text, run.folder, told, report=str(run.folder / "report.html"), after=after)


def _refused_words(accounts: Accounts) -> str:
    """Return why nothing of an upload was sent, without a word of what stands in it."""
    if not accounts.rows_with_problems:
        return "Not sent: there is nothing to send in it."
    return f"Not sent: {counted(accounts.rows_with_problems, 'row')} of {accounts.rows_read:,} cannot be used."


def _after(reason: StopReason, run: OpenRun, tonight: Settings, accounts: Accounts | None) -> After:
    """Return what a stop says about the other files: a run may have been begun with another API or other credentials.

    A scope may be refused for a row's organisation, so it says nothing about others.
    """
    if reason is StopReason.SIGNAL:
        return After.SIGNALLED
    if reason is StopReason.DEADLINE:
        return After.TIME_IS_UP if run.settings.pacing == tonight.pacing else After.GO_ON
    is_scope = accounts is not None and accounts.tallies.outcomes[Outcome.SCOPE_REFUSED] > 0
    fails_for_all = reason is StopReason.SILENT or (reason is StopReason.REFUSED and not is_scope)
    return After.LEAVE_THE_REST if fails_for_all and _is_same_api(run, tonight) else After.GO_ON


def _is_same_api(run: OpenRun, tonight: Settings) -> bool:
    return (run.settings.api, run.settings.auth) == (tonight.api, tonight.auth)


def _next_words(reason: StopReason, run: OpenRun, config: Path) -> str:
    """Return who goes on with a run that has stopped, and where to look."""
    found = look_at(run.folder, config)
    if found is not None and found.next is Next.WAIT:
        return f"`{resume_command(run.folder)}` goes on"
    if reason is StopReason.REFUSED:
        return (
            "Once that is mended the next night goes on; to give the run up, remove its folder and put the file into "
            f"the inbox again. See {run.folder}"
        )
    return f"The next night goes on. See {run.folder}"
