"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    LOOK = "look"
    """Not wrong, but worth a look."""
    UNKNOWN = "unknown"
    """It could not be found out."""
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, and what was found; `exit_code` counts where it is wrong."""

    name: str
    status: Status
    text: str
    exit_code: int = 0


def ok(name: str, text: str) -> Check:
    """Return a check that found everything in order."""
    return Check(name, Status.OK, text)


def wrong(name: str, text: str, exit_code: int) -> Check:
    """Return a check that found something that has to be mended."""
    return Check(name, Status.WRONG, text, exit_code)
