"""A night: runs that did not come to their end are resumed, then the uploads of an inbox are run one after the other.

Joins the inbox and the passes of a run. Nobody is asked, no file stops another one, and whatever dies is found by the
next night: a run by its ledger, a file by its claim.
"""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, replace
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
from batch.model import State, StopReason
from batch.nightly.choice import Ending, choose, ending_of
from batch.nightly.places import open_inbox
from batch.report.reconcile import worst
from batch.report.words import verdict
from batch.run.closing import close_refused, close_run, send_and_close
from batch.run.earlier import SentBefore
from batch.run.inputs import HandedOver
from batch.run.looking_up import Asking
from batch.run.opening import Overrides, new_run, unfinished_run
from batch.run.planning import plan, plan_again, preview
from batch.run.put_aside import forget, remember, waiting_no_longer
from batch.run.unfinished import NIGHTLY, Next, next_step, remove_unsent, unfinished_runs
from batch.storage.failures import StorageFailed
from batch.storage.paths import safe_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.config import Settings
    from batch.nightly.choice import Upload
    from batch.nightly.inbox import Claim
    from batch.run.opening import OpenRun

SETTLE_S = 10.0
"""Between two looks at files that may still be written. Source: our choice; an upload on a slow line grows by then."""

_UNATTENDED = Asking(waits=False)
_API_IS_GONE = frozenset({7, 10})
"""Exit codes after which the rest of the inbox is left for the next night."""


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


class Night:
    """One config's night."""

    def __init__(
        self,
        config: Path,
        settings: Settings,
        say: Callable[[str], None],
        warn: Callable[[str], None],
        *,
        sleep: Callable[[float], None] = time.sleep,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        if settings.inbox is None:
            raise ConfigError(f"{config}: inbox is not set; name the folder that `nightly` takes files from")
        self._config = config
        self._settings = settings
        self._inbox = open_inbox(settings.inbox, wall_ns)
        self._say = say
        self._warn = warn
        self._sleep = sleep
        self._wall_ns = wall_ns
        self._is_over = False
        self._api_is_gone = False
        self.ended: list[Ended] = []
        self.waiting: list[str] = []
        """What the night has left alone, and why, one line each; without customer data."""

    @property
    def exit_code(self) -> int:
        """The worst of the night, by the order of exit codes."""
        return worst({0} | {each.exit_code for each in self.ended})

    def run(self) -> None:
        """Resume what is unfinished, then take what lies in the inbox; what happened is in `ended`, in its order.

        Raises:
            Interrupted: a signal came while nothing was out. What was taken is given back.
        """
        for found in unfinished_runs(Path(self._settings.report.dir), self._config):
            if not (self._is_over or self._api_is_gone):
                self._note(self._go_on(found.folder, found.next))
        try:
            self._move_on()
            if not self._is_over:
                self._take_all()
        except StorageFailed as failure:
            self._note(Ended(self._inbox.shown, 1, f"the inbox: {failure.text}"))

    def _note(self, ended: Ended | None) -> None:
        if ended is not None:
            self.ended.append(ended)
            tell = self._say if ending_of(ended.exit_code) is Ending.DONE else self._warn
            tell(f"{ended.name}: {ended.text}")

    # -- runs of earlier nights ----------------------------------------------------------------------------------------

    def _go_on(self, folder: Path, step: Next) -> Ended | None:
        if step is Next.WAIT:
            self._say(f"{folder.name}: waits for a person: `enroll-batch resume {folder}` goes on with it")
            return None
        try:
            with unfinished_run(folder, Overrides()) as run:
                match next_step(folder, self._config):  # asked again, now that nobody else is at work on it
                    case Next.RESUME:
                        return self._resumed(run)
                    case Next.REMOVE:
                        remove_unsent(run)
                return None
        except RunLocked as held:
            self._say(held.text)
            return None
        except Interrupted:
            raise
        except Exception as error:  # one run never stops the night
            if isinstance(error, UsageError) and next_step(folder, self._config) is None:
                return None  # another night has just ended it
            return Ended(folder.name, *_of(error), folder)

    def _resumed(self, run: OpenRun) -> Ended:
        name = run.folder.name
        if run.ledger.state is State.PLANNING:
            try:
                plan_again(run, _UNATTENDED)
            except LookUpsStopped as stopped:
                return self._stopped(name, stopped, run.folder)
        if run.ledger.state is State.PLANNED and (refused := self._refused(run)):
            return Ended(name, *refused, run.folder)
        return self._send(run, name)

    def _stopped(self, name: str, stopped: LookUpsStopped, folder: Path) -> Ended:
        """Leave a run to the next night that stopped while customers were looked up."""
        if stopped.reason in {StopReason.SIGNAL, StopReason.DEADLINE}:
            self._is_over = True
        else:
            self._api_is_gone |= stopped.exit_code in _API_IS_GONE
        return Ended(name, *_of(stopped), folder)

    def _refused(self, run: OpenRun) -> tuple[int, str] | None:
        """Close a run whose plan cannot be sent for its problems; None where it can."""
        refused = close_refused(run, preview(run).totals)
        return (refused[0].exit_code, refused[0].text) if refused else None

    def _send(self, run: OpenRun, name: str) -> Ended:
        """Send what is open, and write the report."""
        if run.ledger.state is State.FINISHED:
            stop, accounts = None, close_run(run)
        else:
            stop, accounts = send_and_close(run, waits=False)
        code = accounts.exit_code
        self._is_over = stop is not None and stop.reason in {StopReason.SIGNAL, StopReason.DEADLINE}
        self._api_is_gone |= code in _API_IS_GONE
        told, see = verdict(accounts), f"See {run.folder}"
        if run.ledger.state is not State.FINISHED:
            needs_a_person = next_step(run.folder, self._config) is Next.WAIT
            see = f"{f'`enroll-batch resume {run.folder}`' if needs_a_person else 'The next night'} goes on. {see}"
        return Ended(name, code, f"{told} {see}", run.folder, told)

    def _move_on(self) -> None:
        """Let files follow whose runs have ended since, also by a person's `resume`."""
        for aside in waiting_no_longer(Path(self._settings.report.dir), self._inbox.shown):
            place = self._inbox.move_on(aside.place, ending_of(aside.exit_code), aside.folder)
            forget(aside.folder)
            if place is not None:
                self._say(f"{PurePath(aside.place).name}: its run has ended; the file is now {place}")

    # -- the inbox -----------------------------------------------------------------------------------------------------

    def _take_all(self) -> None:
        for name in self._inbox.recover():
            self._say(f"{name}: was left behind by a process that died; it is taken again")
        for held in self._inbox.held():
            self._say(f"{held.name}: is held by {held.holder.told}")
        for upload in self._ready():
            if self._is_over or self._api_is_gone:
                self._say(f"{upload.name}: stays in the inbox for the next night")
                continue
            claim = self._inbox.claim(upload)
            if claim is not None:
                self._note(self._take(claim))

    def _ready(self) -> tuple[Upload, ...]:
        """Return the files that are complete, in their order; where some may not be, look again a little later."""
        found = self._inbox.look()
        choice = choose(found, {}, self._wall_ns())
        if choice.unsettled:
            self._sleep(SETTLE_S)
            before = {upload.name: upload for upload in found}
            choice = choose(self._inbox.look(), before, self._wall_ns())
        for name in choice.unsettled:
            self._say(f"{name}: is still being written; it is left for the next night")
        return choice.ready

    def _take(self, claim: Claim) -> Ended | None:
        name = claim.upload.name
        try:
            ended = self._run(claim)
        except SentBefore as seen:
            is_finished = seen.run.state is State.FINISHED
            ended = Ended(name, 0 if is_finished else 7, f"not sent: {seen.text}", seen.run.folder)
        except (KeyboardInterrupt, Interrupted):
            self._inbox.give_back(claim)
            raise
        except InputRefused as refusal:
            if isinstance(refusal.__cause__, StorageFailed):  # not the file's fault
                return self._left(claim, Ended(name, 1, refusal.text))
            ended = Ended(name, refusal.exit_code, refusal.text)
        except Exception as error:  # one file never stops the night
            ended = Ended(name, *_of(error))
            self._api_is_gone |= ended.exit_code in _API_IS_GONE
        if ended.folder is None and ending_of(ended.exit_code) is Ending.UNFINISHED:
            return self._left(claim, ended)  # there is no run that could be resumed
        return self._finish(claim, ended)

    def _left(self, claim: Claim, ended: Ended) -> Ended:
        self._inbox.give_back(claim)
        return replace(ended, text=f"{ended.text}; it stays in the inbox")

    def _run(self, claim: Claim) -> Ended:
        """Run one file.

        Raises:
            EnrollBatchError: it did not come to a run that could be resumed.
        """
        name, inbox = claim.upload.name, self._inbox
        upload = HandedOver(f"{inbox.shown}/{name}", safe_name(name), lambda target: inbox.fetch(claim, target))
        with new_run(
            self._config, self._settings, Overrides(), name=PurePath(name).stem, command=NIGHTLY, inputs=[upload]
        ) as run:
            try:
                plan(run, [upload], again=False, asking=_UNATTENDED)
            except LookUpsStopped as stopped:
                return self._stopped(name, stopped, run.folder)
            if refused := self._refused(run):
                return Ended(name, *refused, run.folder)
            try:
                return self._send(run, name)
            except Interrupted:
                raise
            except Exception as error:
                return Ended(name, *_of(error), run.folder)

    def _finish(self, claim: Claim, ended: Ended) -> Ended:
        """Move the file to where it ends. A report that cannot be uploaded does not keep it from there."""
        ending = ending_of(ended.exit_code)
        reason = ended.text if ending is Ending.FAILED else None
        note = ""
        try:
            try:
                place = self._inbox.finish(claim, ending, reason=reason, report=ended.folder)
            except (StorageFailed, OSError) as failure:
                if ended.folder is None:
                    raise
                note = f"; its report could not be put beside it ({failure})"
                place = self._inbox.finish(claim, ending, reason=reason)
        except StorageFailed as failure:
            text = f"{ended.text}; the file could not be moved to {ending}: {failure.text}"
            return replace(ended, exit_code=worst({1, ended.exit_code}), text=text)
        if ending is Ending.UNFINISHED and ended.folder is not None:
            remember(ended.folder, self._inbox.shown, place)
        return replace(ended, text=f"{ended.text}; the file is now {place}{note}")


def _of(error: Exception) -> tuple[int, str]:
    if isinstance(error, EnrollBatchError):
        return error.exit_code, error.text
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return (
        1,
        f"a fault of enroll-batch itself ({type(error).__name__} in {PurePath(frame.filename).name}:{frame.lineno})",
    )
