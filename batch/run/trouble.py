"""Whether there is trouble with a config, so that the next good end is told as a recovery, until somebody has heard it.

Owns one empty file a config in the user's state folder. Where that cannot be written, recoveries are not known.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from batch.run.opening import spelled
from batch.sending.pace_file import state_folder


def is_in_trouble(config: Path | str) -> bool:
    """Return whether the last end of a config that was told was a bad one, or its recovery was not heard."""
    with suppress(OSError):
        return _mark(config).exists()
    return False


def note_trouble(config: Path | str) -> None:
    """Remember that there is trouble with a config."""
    mark = _mark(config)
    with suppress(OSError):
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def note_recovery(config: Path | str) -> None:
    """Remember that the trouble is over, and that it is known."""
    with suppress(OSError):
        _mark(config).unlink(missing_ok=True)


def _mark(config: Path | str) -> Path:
    name = hashlib.sha256(os.fsencode(spelled(Path(config)))).hexdigest()[:16]
    return state_folder(os.environ) / "trouble" / name
