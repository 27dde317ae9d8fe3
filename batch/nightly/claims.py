"""Beside the steps: who holds a file of an inbox, and whether that holder is still alive.

Owns how a claim names its holder, and when a claim is dead. A claim is made and given up by one process; it names the
host, the process and the time. On the same host a claim is dead as soon as its process is, or when it bears our own
process number and is not ours (a container whose first process is always number 1). Of another host nothing can be
known, so its claims are dead after `DEAD_AFTER_NS`.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import secrets
import socket
import sys
from dataclasses import dataclass

DEAD_AFTER_NS = 7 * 86_400 * 10**9
"""Source: our choice: longer than the longest run (a million requests at 100 a minute), because a claim that is taken
for dead too early sends a file twice, and one that is taken for dead late is shown every night."""

OURS: set[str] = set()
"""The nonces of the claims that this process holds, in whatever inbox."""

_NAME = re.compile(r"(\d{8}T\d{6}Z)_(\d+)_([0-9a-f]{8})_(.+)")
_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a claim. Its text is a name that file systems and S3 allow, and is read back from it."""

    host: str
    process: int
    nonce: str
    since_ns: int
    """ns since 1970, full seconds."""

    @property
    def is_ours(self) -> bool:
        """Return whether this process holds the claim."""
        return self.nonce in OURS

    def __str__(self) -> str:
        since = dt.datetime.fromtimestamp(self.since_ns // 10**9, dt.UTC).strftime(_TIME)
        return f"{since}_{self.process}_{self.nonce}_{self.host}"

    @property
    def told(self) -> str:
        """The holder in words for people."""
        since = dt.datetime.fromtimestamp(self.since_ns // 10**9, dt.UTC)
        return f"process {self.process} on {self.host} since {since:%Y-%m-%d %H:%M} UTC"

    def is_dead(self, now_ns: int) -> bool:
        """Return whether nobody works under this claim any more."""
        if self.host != this_host():
            return now_ns - self.since_ns >= DEAD_AFTER_NS
        if self.process == os.getpid():
            return not self.is_ours
        return not _is_running(self.process)


def new_holder(now_ns: int) -> Holder:
    """Return a holder for this process, one for each claim, and remember it."""
    holder = Holder(this_host(), os.getpid(), secrets.token_hex(4), now_ns // 10**9 * 10**9)
    OURS.add(holder.nonce)
    return holder


def let_go(holder: Holder) -> None:
    """Forget a claim that this process has given up, or of which it does not know whether it has it."""
    OURS.discard(holder.nonce)


def read_holder(text: str) -> Holder | None:
    """Return the holder that a text names, or None where it names none."""
    found = _NAME.fullmatch(text)
    if found is None:
        return None
    try:
        since = dt.datetime.strptime(found[1], _TIME).replace(tzinfo=dt.UTC)
    except ValueError:
        return None
    return Holder(found[4], int(found[2]), found[3], int(since.timestamp()) * 10**9)


def this_host() -> str:
    """Return a name for this machine, or for this container: process numbers mean something only within it."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:64] or "unnamed"
    try:
        return f"{host}.{os.stat('/proc/self/ns/pid').st_ino}"  # noqa: PTH116 - no file is meant
    except OSError:
        return host


def _is_running(process: int) -> bool:
    if sys.platform == "win32":  # where this signal would end the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is somebody else's
        return True
    return True
