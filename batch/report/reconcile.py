"""Step 5 of 5: the accounts of a run, the identities that must hold, and the exit code that follows.

Pure: takes facts and counts, gives accounts. Knows no ledger, no file, no clock, and none of the words for people.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.model import GROUP_OF, Group, Outcome, State, StopReason

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from batch.model import InputFacts, RunFacts, Tallies

OUTCOME_FILES = ("succeeded.csv", "already_enrolled.csv", "invalid_user.csv", "failed.csv")
REPORT_FILES = (
    *OUTCOME_FILES, "rejected_rows.csv", "reconciliation.xlsx", "annotated.xlsx", "report.html", "summary.json",
    "summary.md",
)  # fmt: skip
"""All that a report writes into a run's folder."""
FILE_OF: dict[Outcome, str] = dict.fromkeys(Outcome, "failed.csv") | {
    Outcome.ENROLLED: "succeeded.csv",
    Outcome.UNENROLLED: "succeeded.csv",
    Outcome.ALREADY_ENROLLED: "already_enrolled.csv",
    Outcome.COVERED_BY_CASCADE: "already_enrolled.csv",
    Outcome.INVALID_USER: "invalid_user.csv",
}
"""The file in which each outcome stands. Source: DESIGN "A run's folder"."""

ANNOTATED_ROWS = 50_000
"""Larger uploads get no annotated.xlsx. Source: our choice, because nobody mends more rows than that by hand."""

_WORST_FIRST = (11, 1, 2, 10, 6, 9, 3, 8, 7, 5, 4, 0)
"""Source: DESIGN "Exit codes": where several hold, the first of these."""

STOP_EXIT_CODES = {
    StopReason.INPUT: 3,
    StopReason.DECLINED: 7,
    StopReason.SIGNAL: 7,
    StopReason.LIMIT: 7,
    StopReason.DEADLINE: 7,
    StopReason.GUARD: 6,
    StopReason.CANARY: 9,
    StopReason.REFUSED: 10,
    StopReason.SILENT: 7,
    StopReason.FAULT: 1,
}
"""The exit code of a run that stopped. Source: DESIGN "Exit codes"."""


@dataclass(frozen=True, slots=True)
class Identity:
    """One equation that the accounts must satisfy. `terms` stand in the order in which `formula` names them."""

    name: str
    formula: str
    left: int
    terms: tuple[int, ...]

    @property
    def right(self) -> int:
        """The sum of the terms."""
        return sum(self.terms)

    @property
    def holds(self) -> bool:
        """Whether both sides are equal."""
        return self.left == self.right

    @property
    def figures(self) -> str:
        """The equation in numbers, such as `203 = 0 + 3 + 200`."""
        sign = "=" if self.holds else "is not"
        return f"{self.left:,} {sign} {' + '.join(f'{term:,}' for term in self.terms)}"


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of one run: everything that the report says in numbers."""

    run: RunFacts
    inputs: tuple[InputFacts, ...]
    tallies: Tallies
    identities: tuple[Identity, ...]
    exit_code: int
    earlier_run: str | None = None
    """The run of ours that enrolled most of those who were enrolled already; None where no ledger tells."""
    perhaps_set: int = 0
    """Requests that ended as `value_not_applied`, and whose value an attempt of ours may have set after all."""

    @property
    def columns(self) -> frozenset[str]:
        """The names of ours that are columns of the upload, of any of its files."""
        return frozenset(name for file in self.inputs for name in file.roles)

    @property
    def balanced(self) -> bool:
        """Whether every identity holds."""
        return all(identity.holds for identity in self.identities)

    @property
    def rows_read(self) -> int:
        """Rows below the headers, over all inputs."""
        return sum(file.rows_read for file in self.inputs)

    @property
    def rows_blank(self) -> int:
        """Rows without anything in them."""
        return sum(file.rows_blank for file in self.inputs)

    @property
    def rows_with_problems(self) -> int:
        """Rows that became no request because a cell cannot be used."""
        return sum(file.rows_with_problems for file in self.inputs)

    @property
    def rows_planned(self) -> int:
        """Rows that became at least one request, be it a duplicate or contradicted."""
        return sum(file.rows_planned for file in self.inputs)

    @property
    def is_annotated(self) -> bool:
        """Whether the run folder gets an annotated.xlsx: something is to be mended, and the upload is not too large."""
        return bool(self.rows_with_problems or self.tallies.contradicted) and self.rows_read <= ANNOTATED_ROWS

    @property
    def settled(self) -> int:
        """Unique requests whose outcome is stored and will not change by itself."""
        return self.tallies.unique - self.tallies.unsettled

    @property
    def duration_s(self) -> float:
        """Seconds spent sending, over all invocations; pauses between them are not in it."""
        return round(self.run.sending_ns / 1e9, 3)

    @property
    def rate_per_s(self) -> float:
        """Attempts per second of `duration_s`; 0 where nothing was sent."""
        return round(self.tallies.attempts * 1e9 / self.run.sending_ns, 3) if self.run.sending_ns else 0.0

    def count(self, group: Group) -> int:
        """Return how many requests have an outcome of `group`."""
        return sum(count for outcome, count in self.tallies.outcomes.items() if GROUP_OF[outcome] is group)

    @property
    def was_processed_before(self) -> bool:
        """Whether so many were enrolled already that the same file was probably sent before."""
        return self.tallies.outcomes[Outcome.ALREADY_ENROLLED] > 0.9 * self.tallies.unique

    def lines(self, name: str) -> int:
        """Return how many requests belong into the outcome file `name`."""
        return lines_by_file(self.tallies)[name]


def reconcile(
    run: RunFacts,
    inputs: tuple[InputFacts, ...],
    tallies: Tallies,
    lines_written: Mapping[str, int] | None = None,
    earlier_run: str | None = None,
    perhaps_set: int = 0,
) -> Accounts:
    """Draw up the accounts, check them and find the exit code.

    `lines_written` says how many requests each outcome file really got; None while nothing is written.
    """
    identities = check(run.state, inputs, tallies, lines_written)
    balanced = all(identity.holds for identity in identities)
    problems = sum(file.rows_with_problems for file in inputs)
    code = exit_code(run.state, run.stop_reason, problems, tallies, balanced)
    return Accounts(run, inputs, tallies, identities, code, earlier_run, perhaps_set)


def check(
    state: State, inputs: tuple[InputFacts, ...], tallies: Tallies, lines_written: Mapping[str, int] | None = None
) -> tuple[Identity, ...]:
    """Return every identity, those that hold and those that do not.

    Source: DESIGN "Identities"; those of numbers, names, open requests and files are our choice: sums agree when rows
    are lost from both sides, and a lost attempt, cycle, outcome or line is lost work.
    """
    if state is State.PLANNING:  # an unfinished plan has no sums yet, and nothing of it is ever sent
        return ()
    t = tallies
    identities = [_rows_identity(file, several=len(inputs) > 1) for file in inputs]
    identities += [
        Identity(
            "requests", "expanded = unique + duplicates + contradicted",
            t.expanded, (t.unique, t.duplicates, t.contradicted),
        ),
        Identity("outcomes", "unique = sum over outcomes", t.unique, (sum(t.outcomes.values()),)),
        Identity("attempts", "attempts = first attempts + retries", t.attempts, (t.first_attempts, t.retries)),
        Identity("numbers", "attempts missing before a later one = none", t.missing_attempts, (0,)),
        Identity("names", "requests without their cycle or target = none", t.nameless, (0,)),
        _subtotals_identity(t),
    ]  # fmt: skip
    if state is State.FINISHED:
        identities.append(Identity("settled", "open requests of a finished run = none", t.unsettled, (0,)))
    if lines_written is not None:
        identities.append(_lines_identity(t, lines_written))
    return tuple(identities)


def _rows_identity(file: InputFacts, *, several: bool) -> Identity:
    which = f"input {file.input_no}: " if several else ""
    terms = (file.rows_blank, file.rows_with_problems, file.rows_planned)
    return Identity("rows", f"{which}rows read = blank + with problems + planned", file.rows_read, terms)


def _subtotals_identity(tallies: Tallies) -> Identity:
    """Compare per outcome, because two errors may cancel out in the sum."""
    subtotals: Counter[Outcome] = Counter()
    for subtotal in tallies.subtotals:
        subtotals[subtotal.outcome] += subtotal.count
    for outcome, count in tallies.outcomes.items():
        if subtotals[outcome] != count:
            return Identity("subtotals", f"{outcome} = sum by target and cycle", count, (subtotals[outcome],))
    total = sum(tallies.outcomes.values())
    return Identity("subtotals", "sum over outcomes = sum by target and cycle", total, (subtotals.total(),))


def lines_by_file(tallies: Tallies) -> Counter[str]:
    """Return how many requests belong into each outcome file."""
    lines = Counter(dict.fromkeys(OUTCOME_FILES, 0))
    for outcome, count in tallies.outcomes.items():
        lines[FILE_OF[outcome]] += count
    return lines


def _lines_identity(tallies: Tallies, lines_written: Mapping[str, int]) -> Identity:
    """Compare per file, because two errors may cancel out in the sum."""
    for name, count in lines_by_file(tallies).items():
        if count != lines_written.get(name, 0):
            return Identity(
                "files", f"requests that belong into {name} = lines in it", count, (lines_written.get(name, 0),)
            )
    written = tuple(lines_written.values())
    return Identity("files", "unique = lines in the four outcome files", tallies.unique, written)


def exit_code(state: State, stop_reason: str | None, rows_with_problems: int, tallies: Tallies, balanced: bool) -> int:
    """Return the exit code of a run as its ledger stands.

    Source: DESIGN "Exit codes". A run that merely stands planned is judged by its rows alone.
    """
    codes = {0}
    if not balanced:
        codes.add(11)
    if not tallies.unique and state in {State.PLANNED, State.FINISHED}:
        codes.add(3)
    if rows_with_problems or tallies.contradicted:
        codes.add(4)
    if state is not State.FINISHED and stop_reason:
        known = stop_reason in STOP_EXIT_CODES  # a word of another version is our own fault
        codes.add(STOP_EXIT_CODES[StopReason(stop_reason)] if known else 1)
    elif state in {State.PLANNING, State.SENDING, State.STOPPED}:
        codes.add(7)
    if state is not State.PLANNED:
        codes |= {_outcome_code(outcome) for outcome, count in tallies.outcomes.items() if count}
    return worst(codes)


def worst(codes: Collection[int]) -> int:
    """Return the exit code that is given where several hold. Source: DESIGN "Exit codes"."""
    return next(code for code in _WORST_FIRST if code in codes)


def _outcome_code(outcome: Outcome) -> int:
    if outcome is Outcome.IN_DOUBT:
        return 5
    return 0 if GROUP_OF[outcome] is Group.DONE else 4
