"""Step 4 of 5: which of the processes that share a rate are alive.

Owns the questions to the operating system, and the answers where it has none.
"""

from __future__ import annotations

import os
from pathlib import Path


def boot_id() -> str:
    """Return what tells this boot from others, "" where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def born(pid: int) -> str:
    """Return what tells a process from a later one with its number, "" where the system does not say.

    It is the namespace of process numbers, a blank, and the start of the process in clock ticks since boot.
    """
    try:
        return f"{_namespace()} {_state_and_start(pid)[1]}"
    except OSError:
        return ""


def is_alive(pid: int, born_as: str) -> bool:
    """Return whether the process that was `born_as` lives. A zombie does not; one that cannot be seen may."""
    namespace, _, start = born_as.partition(" ")
    try:
        if namespace != _namespace():  # a container that shares the folder: its numbers are not ours
            return True
        state, started = _state_and_start(pid)
    except OSError:
        return _exists(pid)
    return state not in {"Z", "X"} and started == start


def _exists(pid: int) -> bool:
    if os.name != "posix":  # elsewhere signal 0 is Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _namespace() -> str:
    return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - the link points to no path


def _state_and_start(pid: int) -> tuple[str, str]:
    """Return fields 3 and 22 of the process. Source: man 5 proc_pid_stat; only the name before may hold brackets."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    return fields[0], fields[19]
