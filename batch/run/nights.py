"""A night from end to end: it is spent, and those whom the config names hear of it once."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from batch.config import HeartbeatSettings
from batch.errors import EXIT_CODES, Interrupted
from batch.run.nightly import Night
from batch.run.telling import Ending, log_deliveries, tell_end, tell_start, warn_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batch.config import Settings


def spend(config: Path, settings: Settings, say: Callable[[str], None], warn: Callable[[str], None]) -> int:
    """Spend a night with one config, tell how it went, and return its exit code.

    The end of a night without anything to do is told to nobody but a heartbeat. What was told to whom goes into the
    run.log of each of its runs. `warn` hears of what did not go well.

    Raises:
        ConfigError: the config names no inbox that could be one.
    """
    night = Night(config, settings, say, warn)
    about = f"nightly {config.stem}"
    heartbeats = tuple(entry for entry in settings.notify if isinstance(entry, HeartbeatSettings))
    quiet = settings.model_copy(update={"notify": heartbeats})
    told_start = tell_start(settings, about)
    warn_of(told_start, warn)
    code = 1
    try:
        night.run()
        code = night.exit_code
    except (KeyboardInterrupt, Interrupted):
        code = Interrupted.exit_code
        say("stopped by a signal; nothing is lost, the next night goes on")
    finally:
        happened = bool(night.ended or code)
        told = settings if happened else quiet
        about_whom = config if happened else f"{config}: nothing to do"  # which is no recovery from anything
        ending = Ending(about, code, _text(night, code), f"{socket.gethostname()}:{settings.report.dir}")
        told_end = tell_end(told, about_whom, ending)
        warn_of(told_end, warn)
        for folder in {each.folder for each in night.ended if each.folder}:
            log_deliveries(folder, [*told_start, *told_end])
    if not night.ended and not code:
        say("nothing to do")
    return code


def _text(night: Night, code: int) -> str:
    """Return what is told of a night. Why a file was refused is not in it, for that may quote a row of the upload."""
    lines = [
        f"{each.name}: exit code {each.exit_code}: {each.told or EXIT_CODES[each.exit_code]}" for each in night.ended
    ]
    return "\n".join([f"exit code {code}: {EXIT_CODES[code]}", "", *lines])
