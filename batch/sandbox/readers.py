"""How the text of a switch becomes a value. Pure; each reader raises ValueError for what it cannot read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_YES = frozenset({"true", "yes", "on", "1"})
_NO = frozenset({"false", "no", "off", "0"})


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a call takes, drawn evenly from this range in milliseconds."""

    least_ms: float
    most_ms: float

    def __str__(self) -> str:
        return f"{self.least_ms:g}" if self.least_ms == self.most_ms else f"{self.least_ms:g}-{self.most_ms:g}"


AT_ONCE = Latency(0, 0)


@dataclass(frozen=True, slots=True)
class Statuses:
    """HTTP statuses by code, as (code, status) pairs."""

    pairs: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        return " ".join(f"{code}:{status}" for code, status in self.pairs) or '""'


AS_USUAL = Statuses()


def boolean(text: str) -> bool:
    """Read yes or no."""
    if text.lower() not in _YES | _NO:
        raise ValueError(text)
    return text.lower() in _YES


def count(text: str) -> int:
    """Read a whole number from 0 up."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)


def duration(text: str) -> float:
    """Read a length of time above 0, in whichever unit the switch names."""
    if not 0 < (value := float(text)) < float("inf"):
        raise ValueError(text)
    return value


def latency(text: str) -> Latency:
    """Read `40` or `20-60`."""
    least, _, most = text.partition("-")
    read = Latency(float(least), float(most or least))
    if not 0 <= read.least_ms <= read.most_ms < float("inf"):
        raise ValueError(text)
    return read


def http_status(text: str) -> int:
    """Read an HTTP status that can end a call."""
    if not 200 <= (status := count(text)) <= 599:
        raise ValueError(text)
    return status


def statuses(text: str) -> Statuses:
    """Read `310119:409 310011:404`; commas are taken, too."""
    items = [item.partition(":") for item in text.replace(",", " ").split()]
    return Statuses(tuple((count(code), http_status(status)) for code, _, status in items))


def positive_or_none(text: str) -> int | None:
    """Read `none` or a whole number from 1 up."""
    if text.lower() == "none":
        return None
    if (value := count(text)) == 0:
        raise ValueError(text)
    return value


def code_or(word: str) -> Callable[[str], int | None]:
    """Return a reader of `word`, which becomes None, or of a code."""
    return lambda text: None if text.lower() == word else count(text)
