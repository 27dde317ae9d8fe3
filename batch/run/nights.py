"""Nights from end to end: each config has one, and those whom it names hear of it once.

Owns their order, what is logged and told of them, and that no night, whatever becomes of it, keeps the next one from
beginning. What a night does with files and runs is for `nightly`.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from batch.config import HeartbeatSettings
from batch.errors import EXIT_CODES, ConfigError, EnrollBatchError, Interrupted, UsageError
from batch.nightly.places import open_inbox
from batch.report.reconcile import worst
from batch.run.apart import in_each_others_way
from batch.run.measuring import measure_night
from batch.run.night_log import NightLog
from batch.run.night_words import Spent, about_of, headline, night_text
from batch.run.nightly import Night
from batch.run.telling import News, log_deliveries, tell_end, tell_start, tell_unusable, warn_of
from batch.run.unattended import failed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from batch.config import Entry, Settings
    from batch.nightly.notify import Delivery

    Say = Callable[[Path, str], None]
    """Prints one line of a config's night; never raises."""


def spend_nights(configs: Sequence[Path], read: Callable[[Path], Settings], say: Say, warn: Say) -> int:
    """Spend a night with each config, one after the other, and return the worst exit code.

    `read` loads a config. `warn` hears of what did not go well, `say` of all else. A config that cannot be used, or is
    in another's way, is told of and stops no other; after a signal none begins any more.
    """
    nights, code = _usable(configs, read, warn)
    codes = {0, code}
    for number, (config, settings) in enumerate(nights, 1):
        try:
            spent = _spend(config, settings, partial(say, config), partial(warn, config))
            codes.add(spent.exit_code)
            was_signalled = spent.was_signalled
        except KeyboardInterrupt:
            codes.add(Interrupted.exit_code)
            was_signalled = True
        except Exception as fault:  # of telling itself; the next night is not to be missed for it
            codes.add(_warn_of_fault(config, fault, warn))
            was_signalled = False
        if was_signalled:
            for other, _ in nights[number:]:
                codes.add(Interrupted.exit_code)
                warn(other, f"{other}: not begun, because a signal came; the next night does it")
            break
    return worst(codes)


def _usable(
    configs: Sequence[Path], read: Callable[[Path], Settings], warn: Say
) -> tuple[list[tuple[Path, Settings]], int]:
    """Return the configs that can be used, each with its settings, and an exit code for the others, who are told."""
    given, codes = [], {0}
    for config in configs:
        try:
            given.append((config, read(config)))
        except ConfigError as error:
            codes.add(error.exit_code)
            warn(config, f"Error: {error.text}")
            tell_unusable(config, about_of(config), error, partial(warn, config))
        except Exception as fault:
            codes.add(_warn_of_fault(config, fault, warn))
    rivals = in_each_others_way(given)
    said = set[str]()
    for position, line in rivals.items():
        config, settings = given[position]
        if line not in said:  # once, for both
            warn(config, f"Error: {line}")
            said.add(line)
        spent = Spent(config, settings.report.dir, ConfigError.exit_code, fault=line)
        _tell(spent, settings, NightLog(settings.report.dir, config), partial(warn, config))
        codes.add(spent.exit_code)
    return [each for position, each in enumerate(given) if position not in rivals], worst(codes)


def _warn_of_fault(config: Path, fault: Exception, warn: Say) -> int:
    ended = failed(config.stem, fault)
    warn(config, f"Error: {ended.text}")
    return ended.exit_code


def _spend(config: Path, settings: Settings, say: Callable[[str], None], warn: Callable[[str], None]) -> Spent:
    """Spend one night: log it, tell of it, and write its figures."""
    log = NightLog(settings.report.dir, config)
    log.begin()
    told = tell_start(settings.notify, about_of(config))
    log.deliveries(told)
    warn_of(told, warn)
    spent = _night(config, settings, log, say, warn)
    try:
        fault = measure_night(config, settings, spent.exit_code)
    except Exception as error:  # figures are not worth a message that is not sent
        fault = failed(config.stem, error).text
    if fault:
        log.write("metrics", fault)
        warn(f"Warning: {fault}")
    try:
        _tell(spent, settings, log, warn, told)
    except KeyboardInterrupt:  # whoever does not wait for this has still a night that ended as it did
        log.end(spent.exit_code, headline(spent))
        return replace(spent, was_signalled=True)
    return spent


def _night(
    config: Path, settings: Settings, log: NightLog, say: Callable[[str], None], warn: Callable[[str], None]
) -> Spent:
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


def _tell(
    spent: Spent, settings: Settings, log: NightLog, warn: Callable[[str], None], told_start: Sequence[Delivery] = ()
) -> None:
    """Tell how a night went. One in which there was nothing to do is told to heartbeats only."""
    notify: Sequence[Entry | None] = settings.notify
    if spent.is_idle and not spent.waiting:
        notify = tuple(entry if isinstance(entry, HeartbeatSettings) else None for entry in notify)
    report = f"{socket.gethostname()}:{settings.report.dir}"
    said = headline(spent)
    news = News(about_of(spent.config), spent.exit_code, night_text(spent), report, said, idle=spent.is_idle)
    told = tell_end(notify, spent.config, news)
    warn_of(told, warn)
    log.deliveries(told)
    for folder in {each.folder for each in spent.ended if each.folder}:
        log_deliveries(folder, [*told_start, *told])
    log.end(spent.exit_code, said)
