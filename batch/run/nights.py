"""Nights from end to end: each config has one, and those whom it names hear of it once.

Owns their order, what is logged and told of them, and that no night, whatever becomes of it, keeps the next one from
beginning. What a night does with files and runs is for `nightly`.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from batch.config import HeartbeatSettings
from batch.errors import EXIT_CODES, ConfigError, EnrollBatchError, Interrupted, UsageError
from batch.model import Occasion
from batch.nightly.messages import occasion_of
from batch.nightly.places import open_inbox
from batch.report.reconcile import worst
from batch.run.apart import in_each_others_way, names_of, refuse_misplaced
from batch.run.dead_nights import Marks
from batch.run.measuring import measure_night, measure_unusable
from batch.run.night_log import NightLog
from batch.run.night_words import DEAD_NIGHTS, Spent, about_of, headline, night_text
from batch.run.nightly import Night
from batch.run.telling import News, is_heard, log_deliveries, tell_end, tell_start, tell_unusable, warn_of
from batch.run.unattended import failed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from batch.config import Entry, Settings
    from batch.nightly.notify import Delivery

    Say = Callable[[Path, str], None]
    """Prints one line of a config's night; never raises."""


@dataclass(frozen=True, slots=True)
class _Given:
    """A config that can be used; `name` is what it is called beside the others. `say` and `warn` print its lines."""

    config: Path
    name: str
    settings: Settings
    say: Callable[[str], None]
    warn: Callable[[str], None]


def spend_nights(configs: Sequence[Path], read: Callable[[Path], Settings], say: Say, warn: Say) -> int:
    """Spend a night with each config, one after the other, and return the worst exit code.

    `read` loads a config. `warn` hears of what did not go well, `say` of all else. A config that cannot be used, or is
    in another's way, is told of and stops no other; after a signal none begins any more.
    """
    nights, code = _usable(configs, read, say, warn)
    codes = {0, code}
    for number, given in enumerate(nights, 1):
        try:
            spent = _spend(given)
            codes.add(spent.exit_code)
            was_signalled = spent.was_signalled
        except KeyboardInterrupt:
            codes.add(Interrupted.exit_code)
            was_signalled = True
        except Exception as fault:  # of telling itself; the next night is not to be missed for it
            codes.add(_warn_of_fault(given.config, fault, warn))
            was_signalled = False
        if was_signalled:
            for other in nights[number:]:
                codes.add(Interrupted.exit_code)
                other.warn(f"{other.config}: not begun, because a signal came; the next night does it")
            break
    return worst(codes)


def _usable(configs: Sequence[Path], read: Callable[[Path], Settings], say: Say, warn: Say) -> tuple[list[_Given], int]:
    """Return the configs that can be used, and an exit code for the others, of which those are told whom they name."""
    names, given, codes = names_of(configs), list[_Given](), {0}
    for config in configs:
        try:
            settings = read(config)
            refuse_misplaced(config, settings)
            given.append(_Given(config, names[config], settings, partial(say, config), partial(warn, config)))
        except ConfigError as error:
            codes.add(error.exit_code)
            warn(config, f"Error: {error.text}")
            _measured(partial(measure_unusable, config, error.exit_code), partial(warn, config))
            tell_unusable(config, about_of(names[config]), error, partial(warn, config))
        except Exception as fault:
            codes.add(_warn_of_fault(config, fault, warn))
    rivals = in_each_others_way([(each.config, each.settings) for each in given])
    said = set[str]()
    for position, line in rivals.items():
        rival = given[position]
        if line not in said:  # once, for both
            rival.warn(f"Error: {line}")
            said.add(line)
        codes.add(_refuse(rival, line))
    return [each for position, each in enumerate(given) if position not in rivals], worst(codes)


def _refuse(given: _Given, why: str) -> int:
    """Write down and tell that a config is in another's way; return the exit code."""
    config, settings = given.config, given.settings
    spent = Spent(config, settings.report.dir, ConfigError.exit_code, fault=why, name=given.name)
    log = NightLog(settings.report.dir, config)
    _measured(partial(measure_night, config, settings, spent.exit_code), given.warn)
    _tell(spent, given, log)
    return spent.exit_code


def _warn_of_fault(config: Path, fault: Exception, warn: Say) -> int:
    ended = failed(config.stem, fault)
    warn(config, f"Error: {ended.text}")
    return ended.exit_code


def _spend(given: _Given) -> Spent:
    """Spend one night: log it, tell of it and of those before it that broke off, and write its figures."""
    settings = given.settings
    log = NightLog(settings.report.dir, given.config)
    with Marks(settings.report.dir, given.config, log.night) as marks:
        log.begin()
        dead = marks.dead_nights()
        for each in dead[-DEAD_NIGHTS:]:
            log.write("broke_off", each.text, broken_off=each.night)
            given.warn(each.text)
        told = tell_start(settings.notify, about_of(given.name))
        log.deliveries(told)
        warn_of(told, given.warn)
        spent = replace(_night(given, log), dead=dead, name=given.name)
        if fault := _measured(partial(measure_night, given.config, settings, spent.exit_code), given.warn):
            log.write("metrics", fault)
        try:
            marks.told(heard=_tell(spent, given, log, told))
        except KeyboardInterrupt:  # whoever does not wait for this has still a night that ended as it did
            log.end(spent.exit_code, headline(spent))
            return replace(spent, was_signalled=True)
    return spent


def _measured(measure: Callable[[], str | None], warn: Callable[[str], None]) -> str | None:
    """Write figures; say and return what kept them, if anything."""
    try:
        fault = measure()
    except Exception as error:  # figures are not worth a message that is not sent
        fault = failed("", error).text
    if fault:
        warn(f"Warning: {fault}")
    return fault


def _night(given: _Given, log: NightLog) -> Spent:
    config, settings, say, warn = given.config, given.settings, given.say, given.warn
    night: Night | None = None
    codes, fault = {0}, ""

    def heard(tell: Callable[[str], None], line: str) -> None:
        tell(line)
        if night is not None:
            log.catch_up(night)

    try:
        night = Night(config, settings, partial(heard, say), partial(heard, warn))
        night.run()
    except (KeyboardInterrupt, Interrupted):
        codes.add(Interrupted.exit_code)
        warn("stopped by a signal; nothing is lost, the next night goes on")
    except Exception as error:
        ended = failed(config.stem, error)
        warn(f"Error: {ended.text}")
        codes.add(ended.exit_code)
        # What is wrong with settings quotes no upload, nor does the place of a fault of our own; others may.
        quotes_nothing = isinstance(error, UsageError) or not isinstance(error, EnrollBatchError)
        fault = ended.text if quotes_nothing else EXIT_CODES[ended.exit_code]
    was_signalled = Interrupted.exit_code in codes
    if night is None:
        return Spent(config, settings.report.dir, worst(codes), fault=fault, was_signalled=was_signalled)
    log.catch_up(night)
    spent = Spent(
        config=config,
        reports=settings.report.dir,
        exit_code=worst({*codes, night.exit_code}),
        inbox=open_inbox(settings.inbox).shown if settings.inbox else "",
        ended=tuple(night.ended),
        waiting=tuple(night.waiting),
        fault=fault,
        was_signalled=was_signalled or night.was_signalled,
    )
    if spent.is_idle and not spent.waiting:
        say("nothing to do")
    return spent


def _tell(spent: Spent, given: _Given, log: NightLog, told_start: Sequence[Delivery] = ()) -> bool:
    """Tell how a night went; return whether somebody has heard it, or nobody was to.

    One in which there was nothing to do is told to heartbeats, and to who has been told that it begins.
    """
    notify: Sequence[Entry | None] = given.settings.notify
    if spent.is_idle and not spent.waiting:
        notify = tuple(entry if _hears_of_all(entry) else None for entry in notify)
    report = f"{socket.gethostname()}:{spent.reports}"
    said = headline(spent)
    beside = frozenset(occasion_of(each.exit_code) for dead in spent.dead for each in dead.ended)
    beside |= {Occasion.STOPPED} if spent.dead else set()
    news = News(spent.about, spent.exit_code, night_text(spent), report, said, idle=spent.is_idle, beside=beside)
    told = tell_end(notify, spent.config, news)
    warn_of(told, given.warn)
    log.deliveries(told)
    for folder in {each.folder for each in spent.ended if each.folder}:
        log_deliveries(folder, [*told_start, *told])
    log.end(spent.exit_code, said)
    return is_heard(notify, told)


def _hears_of_all(entry: Entry | None) -> bool:
    return entry is not None and (isinstance(entry, HeartbeatSettings) or Occasion.START in entry.on)
