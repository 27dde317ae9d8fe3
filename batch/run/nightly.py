"""A night: runs that did not come to their end are resumed, then the uploads of an inbox are run one after the other.

Joins the inbox and the passes of a run. Nobody is asked, no file stops another one, and whatever dies is found by the
next night: a run by its ledger, a file by its claim.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from batch.errors import ConfigError, Interrupted, LedgerFailed, LookUpsStopped
from batch.model import State
from batch.nightly.choice import Ending, choose, ending_of
from batch.nightly.inbox import Changed
from batch.nightly.places import open_inbox
from batch.report.reconcile import worst
from batch.run.closing import closing_look_ups
from batch.run.earlier import BeingSent, EarlierRun, SentBefore
from batch.run.inputs import HandedOver
from batch.run.lock import is_locked
from batch.run.night_locks import NightLocks
from batch.run.opening import Overrides, new_run
from batch.run.planning import plan
from batch.run.put_aside import has_taken, is_taken, not_arrived, noted_runs, run_of, taken
from batch.run.putting_away import NEXT_NIGHT, PuttingAway
from batch.run.unattended import (
    UNATTENDED,
    After,
    Ended,
    ended_before,
    failed,
    go_on,
    is_of_the_file,
    look_ups_stopped,
    resume_command,
    send_unattended,
    sentence,
)
from batch.run.unfinished import NIGHTLY, can_go_on, lost_config, state_of_sender, unfinished_runs
from batch.storage.failures import StorageFailed
from batch.storage.paths import safe_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batch.config import Settings
    from batch.nightly.choice import Upload
    from batch.nightly.inbox import Claim

SETTLE_S = 10.0
"""Between two looks at files that may still be written. Source: our choice; an upload on a slow line grows by then."""
LONG_NS = 86_400 * 10**9
"""A file that is held for longer is told as a fault. Source: our choice, because a night should be over by then."""


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
        self._reports = Path(settings.report.dir)
        self._folder: Path | None = None
        self._locks = NightLocks(self._reports)
        self._inbox = open_inbox(settings.inbox, wall_ns, self._locks)
        self._say = say
        self._warn = warn
        self._sleep = sleep
        self._wall_ns = wall_ns
        self._after = After.GO_ON
        self._waiting_codes: set[int] = set()
        self._ends = PuttingAway(self._inbox, config, self._note, self._wait)
        self.ended: list[Ended] = []
        self.waiting: list[str] = []
        """What the night has left alone, and why, one line each; without customer data."""

    @property
    def exit_code(self) -> int:
        """The worst of the night, by the order of exit codes; also of runs that wait for a person."""
        return worst({0} | self._waiting_codes | {each.exit_code for each in self.ended})

    @property
    def was_signalled(self) -> bool:
        """Whether a signal has ended it."""
        return self._after is After.SIGNALLED

    def run(self) -> None:
        """Resume what is unfinished, then take what lies in the inbox; what happened is in `ended`, in its order.

        Raises:
            Interrupted: a signal came while nothing was out. A file without a run that goes on is given back.
            UsageError: report.dir cannot be read or written.
        """
        try:
            for found in unfinished_runs(self._reports, self._config):
                if not self._is_over:
                    self._note(go_on(found, self._config, self._settings, self._say, self._wait))
            for lost in self._of_lost_configs():
                self._wait(lost, 7)
            self._ends.move_on(self._reports, self._say)
            if not self._is_over:
                with self._locks.held(self._inbox.shown):
                    self._take_all()
        except StorageFailed as failure:
            self._note(self._unusable(failure))
        except (KeyboardInterrupt, Interrupted):
            self._after = After.SIGNALLED
            raise

    def _unusable(self, failure: StorageFailed) -> Ended:
        told = f"The inbox cannot be used: {failure.text}."
        return Ended(self._inbox.shown, 1, f"the inbox: {failure.text}", told=told, after=After.LEAVE_THE_REST)

    @property
    def _is_over(self) -> bool:
        return self._after in {After.TIME_IS_UP, After.SIGNALLED}

    def _note(self, ended: Ended | None) -> None:
        if ended is None:
            return
        if ended.after is not After.GO_ON:
            self._after = ended.after
        self.ended.append(ended)
        tell = self._say if ending_of(ended.exit_code) is Ending.DONE else self._warn
        tell(f"{ended.name}: {ended.text}")

    def _wait(self, line: str, exit_code: int = 0) -> None:
        """Take note of what is left alone."""
        self.waiting.append(line)
        self._waiting_codes.add(exit_code)
        (self._warn if exit_code else self._say)(line)

    def _of_lost_configs(self) -> Iterator[str]:
        """Say which runs of files of this inbox no night goes on with, because their config has another name now."""
        for folder in noted_runs(self._reports, self._inbox.shown):
            if (config := lost_config(folder)) and not is_locked(folder):
                yield (
                    f"{folder.name}: is not finished, and its config {config} is gone; `{resume_command(folder)}` "
                    "goes on with it"
                )

    # -- the inbox -----------------------------------------------------------------------------------------------------

    def _take_all(self) -> None:
        recovered = self._inbox.recover()
        for name in recovered:
            self._say(f"{name}: was claimed by a process that is gone; it is taken again")
        for held in self._inbox.held():
            self._wait(f"{held.name}: is held by {held.holder.told}", 8 if held.age_ns > LONG_NS else 0)
        for upload in self._ready():
            if self._after is After.GO_ON:
                try:
                    self._note(self._claimed(upload, recovered.get(upload.name)))
                except StorageFailed as failure:
                    self._note(self._unusable(failure))
            else:
                self._wait(f"{upload.name}: {NEXT_NIGHT}")

    def _ready(self) -> tuple[Upload, ...]:
        """Return the files that are complete, in their order; where some may not be, look again a little later."""
        found = self._inbox.look()
        choice = choose(found, {}, self._wall_ns())
        if choice.unsettled:
            self._sleep(SETTLE_S)
            before = {upload.name: upload for upload in found}
            choice = choose(self._inbox.look(), before, self._wall_ns())
        for name in choice.unsettled:
            self._wait(f"{name}: is still being written; it is left for the next night")
        for name in choice.unusable:
            self._wait(f"{name}: its name cannot be shown, so it is not taken; give it another one")
        return choice.ready

    def _claimed(self, upload: Upload, dead_claim: str | None) -> Ended | None:
        """Take one file, which may have been that of a dead claim; None where it cannot be had.

        The run of a dead claim is that of the file only while the very version lies there that was claimed: somebody
        may have put another one in its place since, or have gone on writing. That is an upload of its own, and its
        digest says whether it was sent. What lay there before it goes on from the copy that its run has, as any run
        does; where nothing of that was sent, its run is removed by now, and whoever replaced the file has replaced it.

        Raises StorageFailed where the inbox itself fails.
        """
        try:
            claim = self._inbox.claim(upload)
        except StorageFailed as failure:
            self._inbox.look()
            text = f"it cannot be taken: {failure.text}"
            return Ended(upload.name, 1, text, told=sentence(text))
        if claim is None:
            self._missed(upload.name)
            return None
        begun = None if dead_claim is None else run_of(self._reports, self._inbox.shown, dead_claim)
        if begun is not None and dead_claim is not None:
            not_arrived(begun, self._inbox.shown, dead_claim)
            is_same = has_taken(begun, self._inbox.shown, dead_claim, upload)
            if is_same and (state := self._state_of(begun)):
                return self._own(claim, begun, state)
        return self._take(claim)

    def _missed(self, name: str) -> None:
        """Say why a file was not taken that was there a while ago."""
        if any(upload.name == name for upload in self._inbox.look()):
            self._wait(f"{name}: has changed since it was looked at; {NEXT_NIGHT}")
        else:
            self._say(f"{name}: another night has taken it, or it was taken away; it is not begun here")

    def _state_of(self, folder: Path) -> State | None:
        """Return how the run of a dead claim stands; None where nothing of it was sent, nor will be."""
        return state_of_sender(folder) or (State.STOPPED if can_go_on(folder, self._config) else None)

    def _take(self, claim: Claim) -> Ended | None:
        name = claim.upload.name
        self._folder = None
        try:
            ended = self._run(claim)
        except SentBefore as seen:
            return self._seen(claim, seen.run)
        except BeingSent:
            self._inbox.give_back(claim)
            self._wait(f"{name}: another process has just begun to send the same file; {NEXT_NIGHT}")
            return None
        except (KeyboardInterrupt, Interrupted):
            if not can_go_on(self._folder, self._config):  # else its claim leads to its run
                with suppress(StorageFailed):
                    self._inbox.give_back(claim)
            raise
        except Exception as error:  # one file never stops the night
            if isinstance(error.__cause__, Changed):
                self._inbox.give_back(claim)
                self._wait(f"{name}: {error.__cause__.text}; {NEXT_NIGHT}")
                return None
            ended = failed(name, error)
            if not is_of_the_file(error):
                return self._left(claim, ended, is_for_all=not isinstance(error.__cause__, StorageFailed))
        return self._ends.put_away(claim, ended)

    def _own(self, claim: Claim, folder: Path, state: State) -> Ended | None:
        """Put a file away whose night has died, or could not put it away, after its own run had begun to send."""
        name = claim.upload.name
        if state is not State.FINISHED:
            return self._seen(claim, EarlierRun(folder, state), "Its own run, {run}, is not finished.")
        try:
            return self._ends.put_away(claim, ended_before(name, folder))
        except LedgerFailed:  # it was read a moment ago
            return self._seen(claim, EarlierRun(folder, state))

    def _seen(
        self,
        claim: Claim,
        seen: EarlierRun,
        unfinished: str = "Not sent: its content is held by the run {run}, which is not finished.",
    ) -> Ended | None:
        """Put a file away whose content another run has sent, or leave it while that run is at work."""
        name, folder = claim.upload.name, seen.folder
        if seen.state is State.FINISHED:
            if is_taken(folder, self._inbox.shown):
                with suppress(LedgerFailed):
                    return self._ends.put_away(claim, ended_before(name, folder))
            told = f"Not sent: its content was sent before, by {folder.name}."
            return self._ends.put_away(claim, Ended(name, 0, f"{told} See {folder}", folder, told))
        if is_locked(folder):
            self._inbox.give_back(claim)
            self._wait(f"{name}: another process is at work on its run; {NEXT_NIGHT}")
            return None
        told = unfinished.format(run=folder.name)
        return self._ends.put_away(claim, Ended(name, 7, f"{told} `{resume_command(folder)}` goes on", folder, told))

    def _left(self, claim: Claim, ended: Ended, *, is_for_all: bool) -> Ended:
        try:
            self._inbox.give_back(claim)
        except StorageFailed as failure:
            is_for_all = True
            ended = replace(ended, text=f"{ended.text}; nor can it be given back: {failure.text}")
        after = After.LEAVE_THE_REST if is_for_all else After.GO_ON
        place, told = f"{self._inbox.shown}/{ended.name}", f"Not begun, for no fault of the file. {ended.told}"
        return replace(ended, text=f"{ended.text}; it stays in the inbox", told=told, place=place, after=after)

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
            self._folder = run.folder
            taken(run.folder, inbox.shown, str(claim.holder), claim.upload)
            try:
                with closing_look_ups(run):
                    plan(run, [upload], again=False, asking=UNATTENDED)
                return send_unattended(run, name, self._config, self._settings)
            except LookUpsStopped as stopped:
                return look_ups_stopped(run, name, stopped, self._settings)
            except (Interrupted, SentBefore, BeingSent):
                raise
            except Exception as error:
                if not is_of_the_file(error) and not can_go_on(run.folder, self._config):
                    raise
                return failed(name, error, run.folder if run.folder.exists() else None)
