"""Step 5 of 5: what later looks at the API found: the words for people, and what a sample proves.

Owns the bound on a sample's share and the columns of audit.csv, which names requests and no customers. Knows no API.
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batch.model import Outcome
from batch.report.files import csv_file
from batch.report.tables import utc_text
from batch.report.terminal import WIDTH
from batch.report.words import share_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

AUDIT_NAME: Final = "audit.csv"
AUDIT_COLUMNS: Final = ("request_id", "outcome", "reason", "http_status", "error_code", "asked_at")
_RARE: Final = 0.05
_HALVINGS: Final = 60

Told = Counter[tuple[Outcome, str]]
"""How many requests got which verdict, by its outcome and reason."""

WORDS: Final = {
    (Outcome.ENROLLED, "confirmed_by_api"): "enrolled, as the API confirms",
    (Outcome.UNENROLLED, "confirmed_by_api"): "unenrolled, as the API confirms",
    (Outcome.SERVER_ERROR, "refuted_by_api"): "not applied, as the API shows: rerun them",
    (Outcome.INVALID_USER, "refuted_by_api"): "of a customer whom the API does not know",
    (Outcome.IN_DOUBT, "enrolled_value_unknown"): (
        "enrolled, but in doubt: the balance is another than was asked for, which purchases may have moved, or a "
        "reset was asked for, which leaves no trace"
    ),
    (Outcome.IN_DOUBT, "not_listed"): "in doubt: the API lists nothing about them, which proves nothing",
    (Outcome.IN_DOUBT, "unclear_row"): "in doubt: what the API lists about them does not say enough",
    (Outcome.IN_DOUBT, "unclear_organisation"): (
        "in doubt: not enrolled, but the API may have looked at another organisation"
    ),
}
"""What each verdict on a request in doubt means: (outcome, reason) -> the end of a line that begins with a count."""

_AUDIT_WORDS: Final = WORDS | {
    (Outcome.SERVER_ERROR, "refuted_by_api"): "not enrolled now: unenrolled since, or never applied",
    (Outcome.IN_DOUBT, "not_listed"): "not listed by the API, which proves nothing",
    (Outcome.IN_DOUBT, "unclear_row"): "not told: what the API lists about them does not say enough",
    (Outcome.IN_DOUBT, "unclear_organisation"): (
        "not enrolled now, but the API may have looked at another organisation"
    ),
}


_LEFT_OUT_WORDS: Final = WORDS | {
    (Outcome.SERVER_ERROR, "refuted_by_api"): "left out, and not enrolled",
    (Outcome.INVALID_USER, "refuted_by_api"): "left out, of a customer whom the API does not know",
    (Outcome.IN_DOUBT, "not_listed"): "left out, and not listed by the API",
    (Outcome.IN_DOUBT, "unclear_row"): "left out, and what the API lists about them does not say enough",
    (Outcome.IN_DOUBT, "unclear_organisation"): (
        "left out, and not enrolled, but the API may have looked at another organisation"
    ),
}


@dataclass(frozen=True, slots=True)
class Sampled:
    """What was said about a sample, and how many requests (`population`) it was drawn from."""

    told: Told
    population: int

    @property
    def others(self) -> Told:
        """The verdicts that do not say that the customer is enrolled."""
        return Counter({verdict: count for verdict, count in self.told.items() if not is_enrolled(*verdict)})


@dataclass(frozen=True, slots=True)
class NotConfirmed:
    """A request that the API does not show as enrolled, although its outcome says so or an earlier cycle was to.

    `asked_at` is in nanoseconds since 1970 UTC.
    """

    request_id: str
    outcome: Outcome
    reason: str
    http_status: int | None
    error_code: int | None
    asked_at: int


def doubt_lines(told: Told, untold_count: int) -> list[str]:
    """Return what became of requests in doubt, one line or two for each verdict."""
    lines = [line for verdict, count in sorted(told.items()) for line in _counted(count, WORDS[verdict])]
    return lines + (_counted(untold_count, "in doubt: the API could not be asked") if untold_count else [])


def audit_lines(enrolled: Sampled, left_out: Sampled, untold_count: int) -> list[str]:
    """Return what samples prove: one of what was sent and enrolled, one of what was left out by the cascade."""
    if not (enrolled.told or left_out.told):
        return ["Nothing was asked, so nothing is known about what is enrolled."]
    of_sent, are = ("enrolled by this run", "so") if left_out.population else ("asked about", "enrolled")
    lines = _share_lines(enrolled, of_sent, are) + _share_lines(left_out, "left out by the cascade", "enrolled")
    if enrolled.others or left_out.others:
        lines.append(f"Not confirmed, and listed in {AUDIT_NAME} by request_id:")
    for sampled, words in ((enrolled, _AUDIT_WORDS), (left_out, _LEFT_OUT_WORDS)):
        lines += [line for verdict, count in sorted(sampled.others.items()) for line in _counted(count, words[verdict])]
    if left_out.others:
        lines += textwrap.wrap(
            "Whoever was left out and is not enrolled was unenrolled since, or never covered. If it is the latter, "
            f"`enroll-batch rerun RUN --only {Outcome.COVERED_BY_CASCADE}` sends all that was left out.", WIDTH,
        )  # fmt: skip
    return lines + (_counted(untold_count, "could not be asked about, and count neither way") if untold_count else [])


def _share_lines(sampled: Sampled, of_what: str, are: str) -> list[str]:
    """Return which share of a sample is confirmed, and what that says of all; nothing of an empty one."""
    asked = sampled.told.total()
    if not asked:
        return []
    confirmed = asked - sampled.others.total()
    share = f"{confirmed:,} of {asked:,} {of_what} are {are}, as the API confirms: {share_text(confirmed, asked)}."
    if asked == sampled.population:
        bound = "These are all."
    else:
        least = math.floor(1000 * lower_bound(confirmed, asked)) / 10
        bound = (
            f"With 95 % confidence that holds for at least {least} % of the {sampled.population:,} that the sample was "
            "drawn from (Clopper-Pearson)."
        )
    lines = textwrap.wrap(f"{share} {bound}", WIDTH)
    if moved := sampled.told[Outcome.IN_DOUBT, "enrolled_value_unknown"]:
        lines += textwrap.wrap(
            f"{moved:,} of them with another balance than was asked for, which purchases may have moved, or with a "
            "reset, which leaves no trace.", WIDTH,
        )  # fmt: skip
    return lines


def is_enrolled(outcome: Outcome, reason: str) -> bool:
    """Return whether a verdict says that the customer is enrolled, be it with another balance."""
    return outcome is Outcome.ENROLLED or reason == "enrolled_value_unknown"


def _counted(count: int, words: str) -> list[str]:
    return textwrap.wrap(words, WIDTH, initial_indent=f"{count:>10,}  ", subsequent_indent=" " * 12)


def write_audit(folder: Path, requests: Iterable[NotConfirmed]) -> int:
    """Write audit.csv, also when it lists nothing, and return how many requests it lists.

    Raises:
        EnrollBatchError: the folder cannot be written or the disk is full.
    """
    with csv_file(folder / AUDIT_NAME, AUDIT_COLUMNS) as file:
        for each in requests:
            file.write((
                each.request_id, each.outcome.value, each.reason, each.http_status, each.error_code,
                utc_text(each.asked_at),
            ))  # fmt: skip
        return file.lines


def lower_bound(confirmed: int, asked: int) -> float:
    """Return the share (0 to 1) that, with 95 % confidence, is confirmed at least among all that were drawn from.

    The exact one-sided bound of Clopper and Pearson (Biometrika 26, 1934): the smallest share under which so many
    confirmed ones, or more, are not rarer than 5 %. Drawing without replacement makes it safer still.
    """
    if not confirmed:
        return 0.0
    low, high = 0.0, confirmed / asked
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _at_least(confirmed, asked, middle) < _RARE:
            low = middle
        else:
            high = middle
    return low


def _at_least(confirmed: int, asked: int, share: float) -> float:
    """Return the probability of `confirmed` or more among `asked` where each is with probability `share`."""
    if share <= 0:
        return 0.0
    yes, no, of_all = math.log(share), math.log1p(-share), math.lgamma(asked + 1)
    return math.fsum(
        math.exp(of_all - math.lgamma(k + 1) - math.lgamma(asked - k + 1) + k * yes + (asked - k) * no)
        for k in range(confirmed, asked + 1)
    )
