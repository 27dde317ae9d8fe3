"""The end of a file in a night: it is moved to where it ends, and what came of it is told, whatever happens meanwhile.

Joins the inbox and the notes of which file waits for which run. What becomes of a file is decided by then.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from batch.errors import EXIT_CODES, InputRefused, Interrupted
from batch.nightly.choice import Ending, ending_of
from batch.nightly.inbox import REPORT, Changed
from batch.report.reconcile import worst
from batch.run.night_words import verdict_of
from batch.run.put_aside import arrived, forget, give_up_claims, not_arrived, remember, waiting_no_longer
from batch.run.unattended import Ended, sentence
from batch.run.unfinished import can_go_on
from batch.storage.failures import StorageFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batch.nightly.inbox import Claim, Inbox

NEXT_NIGHT = "stays in the inbox for the next night"


class PuttingAway:
    """Puts the files of one night away. `note` hears how a file ended, `wait` of one that is left to the next night."""

    def __init__(
        self, inbox: Inbox, config: Path, note: Callable[[Ended], None], wait: Callable[[str, int], None]
    ) -> None:
        self._inbox = inbox
        self._config = config
        self._note = note
        self._wait = wait

    def put_away(self, claim: Claim, ended: Ended) -> Ended | None:
        """Move the file to where it ends; what came of it is told, also where a signal comes meanwhile."""
        try:
            return self._finish(claim, ended)
        except Changed as changed:
            return self._given_back(claim, ended, changed.text)
        except StorageFailed as failure:
            ended = self._not_put_away(claim, ended, failure.text)
            return replace(ended, exit_code=worst({1, ended.exit_code}))
        except (KeyboardInterrupt, Interrupted):
            self._note(self._not_put_away(claim, ended, "a signal came"))
            raise

    def _given_back(self, claim: Claim, ended: Ended, why: str) -> Ended | None:
        """Leave a file to the next night that has grown since it was copied. What of it was sent stays sent.

        So the next night's run meets requests that were made before, as a longer file from a person's hand would.
        """
        if ended.folder is not None:
            not_arrived(ended.folder, self._inbox.shown, str(claim.holder))
        try:
            self._inbox.give_back(claim)
        except StorageFailed as failure:
            return self._not_put_away(claim, ended, failure.text)
        self._wait(f"{ended.name}: {why}, so there may be more in it than was read; it {NEXT_NIGHT}", 7)
        return None if ended.exit_code == InputRefused.exit_code else ended  # who knows what the whole of it is like

    def _not_put_away(self, claim: Claim, ended: Ended, why: str) -> Ended:
        text = f"{ended.text}; the file could not be moved to {ending_of(ended.exit_code)}: {why}"
        told = f"{verdict_of(ended)} The file could not be put away; the next night does it."
        return replace(ended, text=text, told=told, place=f"{self._inbox.shown}/{claim.key}")

    def _finish(self, claim: Claim, ended: Ended) -> Ended:
        """Move the file to where it ends. What can go on is remembered, so that the file follows it.

        Raises: StorageFailed where it cannot be moved.
        """
        ending = ending_of(ended.exit_code)
        goes_on = ending is Ending.UNFINISHED or (ending is Ending.FAILED and can_go_on(ended.folder, self._config))
        if goes_on and ending is Ending.FAILED:
            text = f"{ended.text}; its run is not lost: the next night goes on with it, and the file follows"
            ended = replace(ended, text=text)
        if goes_on and ended.folder is not None:  # before it is moved, for we may die in between
            remember(ended.folder, self._inbox.shown, f"{ending}/{ended.name}", str(claim.holder))
        place, note = self._moved(claim, ended, ending)
        if ended.folder is not None:
            give_up_claims(ended.folder, self._inbox.shown)
        if goes_on and ended.folder is not None:
            arrived(ended.folder, self._inbox.shown, place, str(claim.holder))
        known_as, report = f"{self._inbox.shown}/{place}", ended.report
        if report and self._inbox.is_remote and not note:
            report = f"{known_as}{REPORT}/report.html"
        return replace(ended, text=f"{ended.text}; the file is now {place}{note}", place=known_as, report=report)

    def _moved(self, claim: Claim, ended: Ended, ending: Ending) -> tuple[str, str]:
        """Return where the file is now, and what to say of a report that could not be put beside it."""
        reason = ended.text if ending is Ending.FAILED else None
        try:
            return self._inbox.finish(claim, ending, reason=reason, report=ended.folder), ""
        except (StorageFailed, OSError) as failure:
            if ended.folder is None:
                raise
            place = self._inbox.finish(claim, ending, reason=reason)
            return place, f"; its report could not be put beside it ({failure})"

    def move_on(self, reports: Path, say: Callable[[str], None]) -> None:
        """Let files follow whose runs have ended since, also by a person's `resume`."""
        for aside in waiting_no_longer(reports, self._inbox.shown):
            name, ending = PurePath(aside.place).name, ending_of(aside.exit_code)
            reason = (aside.why or EXIT_CODES[aside.exit_code]) if ending is Ending.FAILED else None
            try:
                place = self._inbox.move_on(aside.place, ending, aside.folder, reason=reason)
            except StorageFailed as failure:
                text = f"its run has ended, but it could not be moved to {ending}: {failure.text}"
                self._note(Ended(name, 1, text, told=sentence(text)))
                continue
            if place is not None and place != aside.place:
                say(f"{name}: its run has ended; the file is now {place}")
            forget(aside.folder, self._inbox.shown, aside.place)
