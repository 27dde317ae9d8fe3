"""Beside the steps: who holds a file of an inbox, and whether that holder is still alive.

Owns how a claim names its holder, and when a claim is dead. A claim is made and given up by one process; it names the
host, the process, the night and the time. A night holds a lock that dies with its process: where that can be asked, it
decides, whatever the names are, for a container has another one each night. Where it cannot (another report.dir, an
older version), a claim of the same host is dead when its process is, when it is older than this boot, or when it bears
our own process number and is not ours; of another host nothing can be known, so its claims are dead after
`DEAD_AFTER_NS`. A clock may be years off, theirs or ours, so a claim is only as old as it is also by the clock of the
place where it lies, which has both times. It does not know what a night's lock is.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import os
import re
import secrets
import socket
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

DEAD_AFTER_NS = 7 * 86_400 * 10**9
"""Source: our choice: longer than the longest run (a million requests at 100 a minute), because a claim that is taken
for dead too early sends a file twice, and one that is taken for dead late is shown every night."""

OURS: set[str] = set()
"""The nonces of the claims that this process holds, or of which it does not know whether it has them."""

_NUMBERS = itertools.count(1)
_NAME = re.compile(r"(\d{8}T\d{6}Z)_(\d+)_([0-9a-f]{8}(?:-\d+)?)_(.+)")
_TIME = "%Y%m%dT%H%M%SZ"


class Nights(Protocol):
    """This night, and what can be known here of others, by the locks that they hold."""

    token: str
    """Of this night: eight hexadecimal digits."""

    def is_over(self, token: str) -> bool | None:
        """Return whether a night has ended or died; None where no lock tells."""
        ...

    def ended(self, inbox: str) -> Collection[str]:
        """Return the nights of an inbox, as people know it, that are over and are still remembered."""
        ...

    def forget(self, tokens: Collection[str]) -> None:
        """Remember nights no longer that are over and have no claims."""
        ...


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a claim. Its text is a name that file systems and S3 allow, and is read back from it."""

    host: str
    process: int
    nonce: str
    """The token of its night, a hyphen and a number; only eight hexadecimal digits where no lock can be asked."""
    since_ns: int
    """ns since 1970, full seconds."""

    @property
    def token(self) -> str:
        """The night that holds the claim; empty where it has no lock."""
        token, hyphen, _ = self.nonce.partition("-")
        return token if hyphen else ""

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

    def is_dead(self, age_ns: int) -> bool:
        """Return whether nobody works under this claim any more, as far as its host, its process and its age tell."""
        if self.host != this_host():
            return age_ns >= DEAD_AFTER_NS
        if self.process == os.getpid():
            return not self.is_ours
        if age_ns >= up_ns(age_ns) + 10**9:
            return True  # its number may be another process's since the boot
        return not _is_running(self.process)


class Claims:
    """Makes the claims of one night, and judges those of others."""

    def __init__(self, wall_ns: Callable[[], int], nights: Nights | None = None) -> None:
        self._wall_ns = wall_ns
        self._nights = nights

    def new(self) -> Holder:
        """Return a holder for this process, one for each claim, and remember it."""
        nonce = f"{self._nights.token}-{next(_NUMBERS)}" if self._nights else secrets.token_hex(4)
        OURS.add(nonce)
        return Holder(this_host(), os.getpid(), nonce, self._wall_ns() // 10**9 * 10**9)

    def age_ns(self, holder: Holder, there_ns: int) -> int:
        """Return for how long a claim has been there at least: what the clocks of two machines, and of its place, say.

        `there_ns`: its age by the clock of the place where it lies.
        """
        return min(there_ns, self._wall_ns() - holder.since_ns)

    def is_dead(self, holder: Holder, there_ns: int) -> bool:
        """Return whether nobody works under a claim any more; `there_ns` as in `age_ns`."""
        is_over = self._nights.is_over(holder.token) if self._nights and holder.token else None
        return holder.is_dead(self.age_ns(holder, there_ns)) if is_over is None else is_over

    @contextlib.contextmanager
    def recovering(self, inbox: str) -> Iterator[None]:
        """Forget, when all dead claims of an inbox have been brought back, the nights that had made them.

        Only those that were over before the first look: of others there may be claims that were not seen.
        """
        ended = self._nights.ended(inbox) if self._nights else ()
        yield
        if self._nights:
            self._nights.forget(ended)


def let_go(holder: Holder) -> None:
    """Forget a claim of this process that is known not to lie there any more."""
    OURS.discard(holder.nonce)


def let_go_of_night(token: str) -> bool:
    """Forget all claims of a night of this process that is over; return whether some may still lie there."""
    left = {nonce for nonce in OURS if nonce.startswith(f"{token}-")}
    OURS.difference_update(left)
    return bool(left)


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


def up_ns(otherwise_ns: int) -> int:
    """Return for how long this machine has been up, asleep or not; where it does not say, for as long as is given."""
    if sys.platform == "linux":
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return otherwise_ns


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
