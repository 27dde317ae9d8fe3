"""What a trap is: a file as people upload it, with what must be read in it, reported of it, or said against it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from batch.model import Problem

Sent = tuple[int | str, str | None] | tuple[int | str, str | None, int]
Reported = tuple[int, str, Problem]


@dataclass(frozen=True)
class Trap:
    """A file and what must come of it.

    `sent` are the requests as (customer, cycle) or (customer, cycle, balance), `reported` the row problems as (row,
    column, problem); `refused` are words of the refusal. `remarks` are words of what must be said about the file.
    `read` and `plan` are what the config says otherwise than usual.
    """

    name: str
    content: bytes
    sent: tuple[Sent, ...] = ()
    reported: tuple[Reported, ...] = ()
    refused: str = ""
    remarks: tuple[str, ...] = ()
    read: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
