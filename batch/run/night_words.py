"""A night in words: what came of each file, where it is now, and what is to be done; without customer data.

Owns the message that everybody gets. What a fault says of an upload is not in it, for that may quote a cell.
"""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.errors import EXIT_CODES, InputRefused
from batch.model import Occasion
from batch.nightly.choice import Ending
from batch.nightly.inbox import CLAIMED, REASON
from batch.nightly.messages import occasion_of
from batch.report.words import counted
from batch.run.opening import spelled
from batch.run.unfinished import Next, look_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from batch.run.dead_nights import DeadNight
    from batch.run.unattended import Ended

_WORDS = {
    Occasion.DONE: "done",
    Occasion.PARTIAL: "done in part",
    Occasion.REFUSED: "refused",
    Occasion.STOPPED: "stopped",
}
_FAULTS = frozenset({1, 11})
DEAD_NIGHTS = 10
"""Source: our choice: so many that broke off are told one by one."""


@dataclass(frozen=True, slots=True)
class Spent:
    """How a night went. `fault` says in a line what has ended it as a whole, "" where nothing has.

    `dead` are the nights before it of which nobody has been told. `name` is what the config is called beside others.
    """

    config: Path
    reports: Path
    exit_code: int
    inbox: str = ""
    ended: Sequence[Ended] = ()
    waiting: Sequence[str] = ()
    fault: str = ""
    was_signalled: bool = False
    dead: Sequence[DeadNight] = ()
    name: str = ""

    @property
    def is_idle(self) -> bool:
        """Whether nothing has come to an end, well or badly."""
        return not self.ended and not self.exit_code and not self.dead

    @property
    def about(self) -> str:
        """What the night is called."""
        return about_of(self.name or self.config.stem)


def about_of(name: str) -> str:
    """Return what the night of a config of this name is called."""
    return f"nightly {name}"


def headline(spent: Spent) -> str:
    """Return in a few words what happened: `8 files: 5 done, 2 refused, 1 stopped`."""
    inbox = [each for each in spent.ended if each.name == spent.inbox]
    others = [each for each in spent.ended if each.name != spent.inbox]
    runs = [each for each in others if not each.place and (spent.reports / each.name).is_dir()]
    files = [each for each in others if each not in runs]
    said = [_count(noun, of) for noun, of in (("file", files), ("earlier run", runs)) if of]
    said += ["the inbox cannot be used"] if inbox else []
    said += ["a fault has ended it"] if spent.fault else []
    said += ["stopped by a signal"] if spent.was_signalled else []
    said += [f"{len(spent.waiting)} left alone"] if spent.waiting else []
    said += [f"{counted(len(spent.dead), 'earlier night')} broke off"] if spent.dead else []
    return "; ".join(said) or "nothing to do"


def _count(noun: str, ended: Sequence[Ended]) -> str:
    counts = Counter(_word(each.exit_code) for each in ended)
    order = [*_WORDS.values(), "failed"]
    return f"{counted(len(ended), noun)}: " + ", ".join(f"{counts[word]} {word}" for word in order if counts[word])


def _word(exit_code: int) -> str:
    return "failed" if exit_code in _FAULTS else _WORDS[occasion_of(exit_code)]


def night_text(spent: Spent) -> str:
    """Return the whole message: the headline, each file, and what was left alone."""
    parts = [f"enroll-batch {spent.about}: {headline(spent)}"]
    parts += [f"{spent.fault}."] if spent.fault else []
    parts += ["\n".join(_lines(each, spent)) for each in spent.ended]
    if spent.waiting:
        parts.append("\n".join(["Left alone:", *(f"  {line}" for line in spent.waiting)]))
    parts += _before(spent)
    return "\n\n".join(parts) + f"\n\nExit code {spent.exit_code}\n"


def _before(spent: Spent) -> Iterator[str]:
    """Yield what nights that broke off had done; not what tonight has gone on with, and of many only the last."""
    if len(spent.dead) > DEAD_NIGHTS:
        yield f"Before the last {DEAD_NIGHTS} of them, {len(spent.dead) - DEAD_NIGHTS} more broke off; see nightly.log."
    tonight = {each.folder for each in spent.ended if each.folder}
    for dead in spent.dead[-DEAD_NIGHTS:]:
        ended = [each for each in dead.ended if each.folder not in tonight]
        yield f"{dead.text} {'Until then:' if ended else 'Nothing else had come to its end until then.'}"
        yield from ("\n".join(_lines(each, spent)) for each in ended)


def _lines(ended: Ended, spent: Spent) -> Iterator[str]:
    yield f"{ended.name}: {verdict_of(ended)}"
    if ended.place:
        yield f"  file: {ended.place}"
    if ended.report:
        yield f"  report: {ended.report}"
    if step := _step(ended, spent):
        yield f"  to do: {step}"


def verdict_of(ended: Ended) -> str:
    """Return how a file or a run went, as it may be told to anybody."""
    text = EXIT_CODES[ended.exit_code]
    return ended.told or f"{text[0].upper()}{text[1:]}."


def _step(ended: Ended, spent: Spent) -> str:
    """Return what a person has to do about a file or a run; empty where that is nothing."""
    if ended.exit_code == 11:
        return "keep the run's folder, do not rely on its report, and report the fault"
    found = look_at(ended.folder, spent.config) if ended.folder else None
    resume = f"`enroll-batch resume {shlex.quote(str(ended.folder))}`"
    if found is not None and found.next is Next.WAIT:
        return f"see why in its report, then {resume}"
    if found is not None and found.next is Next.RESUME:
        first = "once that is mended, " if ended.exit_code in {1, 2, 10} else "nothing: "
        return f"{first}the next night goes on by itself; at once, {resume} does"
    if ended.place.startswith(f"{spent.inbox}/{Ending.FAILED}/"):
        return f"read why in {ended.place}{REASON}, mend that, and put the file into the inbox again"
    is_claimed = ended.place.startswith(f"{spent.inbox}/{CLAIMED}/")  # and could not be put away
    if is_claimed or ended.place == f"{spent.inbox}/{ended.name}" or ended.name == spent.inbox:
        doctor = f"`enroll-batch doctor -c {shlex.quote(str(spelled(spent.config)))}`"
        return f"{doctor} looks what is wrong; the next night tries again"
    return _step_of_code(ended, resume)


def _step_of_code(ended: Ended, resume: str) -> str:
    match ended.exit_code:
        case 4:
            return "its report says what needs work"
        case 5:
            return f"`enroll-batch verify {shlex.quote(str(ended.folder))}` asks the API about the requests in doubt"
        case InputRefused.exit_code if ended.folder:
            return f"its file follows into {Ending.FAILED}, with the reason beside it; mend that, and put it in again"
        case code if code and ended.folder:
            return f"{resume} goes on"
        case _:
            return ""
