"""Step 5 of 5: the tables of report.html: their columns, and the cells of their lines.

Owns which columns a table has and what stands in them. How a table looks, on paper and on a phone too, is the
templates'; which tables the page has, and how many lines, is `page`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batch.model import GROUP_OF, Group, Outcome
from batch.report.charts import draw_shares, moment_text
from batch.report.crosstab import by_target_and_cycle, outcome_counts, totals_by
from batch.report.reconcile import FILE_OF
from batch.report.tables import advise_all, utc_text
from batch.report.words import duration_text, kind_text, outcome_text, rate_text, share_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from batch.model import Event, UnsettlingAttempts
    from batch.report.latency import Latencies
    from batch.report.overview import Overview
    from batch.report.reconcile import Accounts
    from batch.report.samples import EndKind, ProblemKind
    from batch.report.tables import Advice
    from batch.report.timeline import Timeline

_FOLDED = 20
"""A table with more lines is folded away, so that what follows it is found."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table: a cell per column; `look` is a class of the page's style."""

    cells: Sequence[Any]
    look: str = ""


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table of the page.

    `columns` are pairs of a name and a look, which says what the cells are: `number` an int or a text, `outcome` a
    colour and a text, `link` a file's name, `lines` texts, `bar` the parts of a bar and counts with names, `words` a
    text that may name commands between backticks, `any` a text from elsewhere, `short` or empty any other text. The
    first cell of a line is its header.
    """

    name: str
    columns: Sequence[tuple[str, str]]
    lines: Sequence[Line]
    sums: Line | None = None
    left_out: int = 0
    """Lines that the table does not show."""
    look: str = "stacked"
    """Classes of the page's style; `stacked`: on a phone each line is a small list."""

    @property
    def is_folded(self) -> bool:
        """Whether it is so long that it is folded away."""
        return len(self.lines) > _FOLDED


def color_of(outcome: Outcome) -> str:
    """Return the class of the page's style that gives an outcome the colour of its group."""
    return color_of_group(GROUP_OF[outcome])


def color_of_group(group: Group) -> str:
    """Return the class of the page's style that gives a group its colour."""
    return group.value.replace(" ", "-")


def outcome_table(overview: Overview) -> PageTable:
    """Return the outcomes that occur, with what to do about them."""
    outcomes = overview.accounts.tallies.outcomes
    total = sum(outcomes.values())
    columns = (
        ("Outcome", "outcome"), ("Requests", "number"), ("Share", "number"), ("Group", "short"),
        ("What to do", "words"), ("Stands in", "link"),
    )  # fmt: skip
    lines = [
        Line((
            (color_of(outcome), outcome_text(outcome)), count, share_text(count, total), GROUP_OF[outcome].value,
            advise_all(overview.accounts, overview.advice, outcome), FILE_OF[outcome],
        ))
        for outcome, count in outcomes.items()
        if count
    ]  # fmt: skip
    return PageTable("Outcomes", columns, lines, Line((("", "all"), total, "", "", "", "")))


def cross_tables(accounts: Accounts, most: int) -> list[PageTable]:
    """Return outcomes by target, by cycle, and by both; the sums only where there are several of each."""
    table = by_target_and_cycle(accounts.tallies.subtotals)
    if table.empty:
        return []
    sums = {f"By {level}": totals_by(level, table) for level in ("target", "cycle")}
    if min(map(len, sums.values())) < 2:
        sums = {}
    tables = {**sums, "By target and cycle": table}
    return [_cross_table(name, each, most) for name, each in tables.items()]


def _cross_table(name: str, table: pd.DataFrame, most: int) -> PageTable:
    names = [(str(level).capitalize(), "any") for level in table.index.names]
    lines = []
    for keys, *counts in table[:most].itertuples():
        found = outcome_counts(table.columns, counts)
        done = sum(count for outcome, count in found if GROUP_OF[outcome] is Group.DONE)
        shares = draw_shares((color_of(outcome), count) for outcome, count in found)
        bar = (shares, [(count, outcome_text(outcome)) for outcome, count in found])
        lines.append(Line([*([keys] if isinstance(keys, str) else keys), int(counts[-1]), done, bar]))
    columns = [*names, ("Requests", "number"), ("Done", "number"), ("Outcomes", "bar")]
    return PageTable(name, columns, lines, left_out=max(len(table) - most, 0))


def over_time_table(timeline: Timeline) -> PageTable:
    """Return the figures of the chart of throughput, line by line."""
    stretches = timeline.stretches
    pauses = dict(timeline.pauses)
    groups = [group for group in Group if any(stretch.brought[group] for stretch in stretches)]
    columns = [
        ("From (UTC)", ""), ("Attempts", "number"), ("Allowed", "number"),
        *((group.value, "number") for group in groups), ("Tried again", "number"), ("429 or 503", "number"),
        ("Held", "number"), ("Events", "lines"),
    ]  # fmt: skip
    lines = [
        Line((
            moment_text(stretch.begin), stretch.attempts,
            "" if stretch.allowed_per_s is None else rate_text(stretch.allowed_per_s),
            *(stretch.brought[group] for group in groups), stretch.tried_again, stretch.pushed_back,
            duration_text(stretch.held_ns / 1e9) if stretch.held_ns else "",
            [
                *([f"paused {duration_text(pauses[index] / 1e9)} before"] if index in pauses else []),
                *(f"{mark.kind}: {mark.text}" for mark in stretch.marks[:5]),
            ],
        ))
        for index, stretch in enumerate(stretches)
    ]  # fmt: skip
    return PageTable("Attempts over time", columns, lines, look="stacked many")


def latency_table(latencies: Latencies) -> PageTable:
    """Return the answers by how long they took."""
    columns = (("Took", ""), ("Answers", "number"), ("Share", "number"))
    lines = [Line((step.text, step.count, share_text(step.count, latencies.count))) for step in latencies.steps]
    return PageTable("Answers by how long they took", columns, lines, look="few")


def end_samples(kind: EndKind, title: str) -> PageTable:
    """Return a few requests that ended in the same way."""
    columns = (
        ("Customer", "any"),
        ("Cycle", "any"),
        ("Row", "any"),
        ("The API said", "any"),
        ("Its request id", "any"),
    )
    lines = [
        Line((sample.customer, sample.cycle, f"{sample.file}, row {sample.row}", sample.message, sample.api_request_id))
        for sample in kind.samples
    ]
    return PageTable(f"Samples of {title}", columns, lines)


def unsettling_table(kinds: Iterable[UnsettlingAttempts], advice: Advice) -> PageTable:
    """Return the attempts that settled nothing, by what came back."""
    columns = (("What came back", "any"), ("Attempts", "number"), ("It means", "words"))
    lines = [
        Line((
            kind_text(kind) or "no answer", kind.count,
            advice.explain(kind.outcome, kind.http_status, kind.error_code, kind.reason).meaning,
        ))
        for kind in kinds
    ]  # fmt: skip
    return PageTable("Attempts that settled nothing", columns, lines)


def problem_samples(kind: ProblemKind, title: str) -> PageTable:
    """Return a few row problems of one kind."""
    columns = (("Row", "any"), ("Column", "any"), ("Value", "any"), ("What to do", "words"))
    lines = [
        Line((f"{sample.file}, row {sample.row}", sample.column, sample.value, sample.hint)) for sample in kind.samples
    ]
    return PageTable(f"Examples of {title}", columns, lines)


def identity_table(accounts: Accounts) -> PageTable:
    """Return the identities, with what does not hold in red."""
    columns = (("Account", ""), ("Identity", "words"), ("Figures", "any"), ("Holds", ""))
    lines = [
        Line(
            (identity.name, identity.formula, identity.figures, "yes" if identity.holds else "NO"),
            "" if identity.holds else "failed",
        )
        for identity in accounts.identities
    ]
    return PageTable("Accounts", columns, lines)


def input_table(accounts: Accounts) -> PageTable:
    """Return the files of the upload and what became of their rows."""
    columns = (
        ("File", "any"), ("Rows read", "number"), ("Blank", "number"), ("With problems", "number"),
        ("Planned", "number"), ("Remarks", "lines"),
    )  # fmt: skip
    lines = [
        Line((
            file.path if file.sheet is None else f"{file.path}, sheet {file.sheet}", file.rows_read, file.rows_blank,
            file.rows_with_problems, file.rows_planned, file.remarks,
        ))
        for file in accounts.inputs
    ]  # fmt: skip
    return PageTable("Inputs", columns, lines)


_COMMON_EVENTS = frozenset({"rate", "hold", "concurrency"})
"""Kinds of events that come by the thousand; the others are shown first, and only they are printed."""


def event_table(events: Sequence[Event], most: int) -> PageTable:
    """Return the events; where there are too many, those that come by the thousand give way."""
    rare = [index for index, event in enumerate(events) if event.kind not in _COMMON_EVENTS]
    common = [index for index, event in enumerate(events) if event.kind in _COMMON_EVENTS]
    chosen = [events[index] for index in sorted([*rare, *common][:most])]
    columns = (("Time (UTC)", ""), ("Event", ""), ("What", "words"))
    lines = [
        Line((utc_text(event.at), event.kind, event.text), "common" if event.kind in _COMMON_EVENTS else "")
        for event in chosen
    ]
    return PageTable("Events", columns, lines, left_out=len(events) - len(chosen))
