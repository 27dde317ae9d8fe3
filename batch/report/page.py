"""Step 5 of 5: report.html, one self-contained page.

Owns what the page shows and how much of it: figures and a few samples, never all rows, so that it opens at once for any
run. The look is the templates'; every value is escaped there. Nothing in the page is executed or loaded from elsewhere.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup, escape

from batch.model import GROUP_OF, Group, Problem
from batch.report import page_tables
from batch.report.charts import draw_latency, draw_shares, draw_throughput
from batch.report.files import write_text
from batch.report.flow import draw_flow, parts
from batch.report.overview import PAGE, RUN_LOG, files_of
from batch.report.page_tables import color_of, color_of_group
from batch.report.provenance import WORDS
from batch.report.reconcile import FILE_OF
from batch.report.steps import next_steps
from batch.report.tables import advise_kind
from batch.report.words import kind_text, outcome_text, over_time_text, stop_words, verdict, verdict_look

if TYPE_CHECKING:
    from pathlib import Path

    from batch.report.overview import Overview

LINES = 200
"""Tables that can grow show so many lines and say how many they leave out."""
CARDS = 30
"""So many kinds of ends are shown with samples."""


def write_page(path: Path, overview: Overview) -> None:
    """Write report.html.

    Raises:
        EnrollBatchError: the folder cannot be written or the disk is full.
    """
    content = _content(overview)
    write_text(path, _template().render(content, sections=_sections(content)))


@cache
def _template() -> jinja2.Template:
    """Return the template; compiled once a process, which takes a third of the time of a small report."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("batch.report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = "{:,}".format
    environment.filters["code"] = _with_code
    return environment.get_template("page.html.jinja")


def _with_code(text: str) -> Markup:
    """Return an escaped text with what stands between backticks as code."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:  # one has no partner
        return escape(text)
    return Markup().join(
        Markup("<code>{}</code>").format(piece) if index % 2 else escape(piece) for index, piece in enumerate(pieces)
    )


def _content(overview: Overview) -> dict[str, Any]:
    accounts = overview.accounts
    read, row_parts, request_parts, outcome_parts = parts(accounts)
    outcomes = accounts.tallies.outcomes
    return {
        "run": accounts.run,
        "accounts": accounts,
        "tallies": accounts.tallies,
        "verdict": verdict(accounts),
        "why_stopped": stop_words(accounts.run.stop_text or ""),
        "look": verdict_look(accounts),
        "steps": next_steps(accounts, overview.folder),
        "flow": draw_flow(accounts),
        "read": read,
        "row_parts": row_parts,
        "request_parts": request_parts,
        "outcome_parts": outcome_parts,
        "outcomes": page_tables.outcome_table(overview),
        "outcome_shares": draw_shares((color_of(outcome), count) for outcome, count in outcomes.items()),
        "provenance": _provenance(overview),
        "cross_tables": page_tables.cross_tables(accounts, LINES),
        "throughput": draw_throughput(overview.timeline),
        "over_time_text": over_time_text(accounts, overview.timeline),
        "over_time": page_tables.over_time_table(overview.timeline),
        "latency": draw_latency(overview.latencies),
        "latency_text": overview.latencies.text,
        "latencies": page_tables.latency_table(overview.latencies),
        "ends": _ends(overview),
        "ends_left_out": overview.ends_beyond + sum(kind.count for kind in overview.ends[CARDS:]),
        "unsettling": page_tables.unsettling_table(overview.unsettling[:CARDS], overview.advice),
        "problems": _problems(overview),
        "identities": page_tables.identity_table(accounts),
        "inputs": page_tables.input_table(accounts),
        "notes": overview.notes,
        "files": [(name, holds) for name, holds in files_of(accounts, overview.folder) if name != PAGE],
        "log": RUN_LOG,
        "facts": overview.facts,
        "events": page_tables.event_table(overview.events, LINES),
        "is_masked": overview.is_masked,
    }


_SECTIONS = (
    ("next", "What to do", "steps"), ("flow", "Flow", "flow"), ("outcomes", "Outcomes", "outcomes"),
    ("targets", "By target and cycle", "cross_tables"), ("time", "Over time", "throughput"),
    ("answers", "Answering times", "latency"), ("codes", "By code", "ends"),
    ("again", "Tried again", "unsettling"), ("problems", "Rows not sent", "problems"),
    ("accounts", "Accounts", "identities"), ("inputs", "Inputs", "inputs"), ("files", "Files", "files"),
    ("run", "Run", "run"), ("events", "Events", "events"),
)  # fmt: skip
"""Each section's id, its short title, and what must be there for it to be shown."""
_ALWAYS = frozenset({"flow", "outcomes", "accounts", "inputs"})


def _sections(content: dict[str, Any]) -> list[tuple[str, str]]:
    def is_there(shown: Any) -> bool:
        return bool(shown.lines if isinstance(shown, page_tables.PageTable) else shown)

    return [(name, title) for name, title, needs in _SECTIONS if name in _ALWAYS or is_there(content[needs])]


def _provenance(overview: Overview) -> list[tuple[str, int]]:
    counts = overview.provenance
    lines = [(words, counts.by_kind[kind]) for kind, words in WORDS.items() if counts.by_kind[kind]]
    return lines + [(f"of these by the run {run_id}", count) for run_id, count in counts.by_run.most_common(10)]


def _ends(overview: Overview) -> list[dict[str, Any]]:
    """Return the kinds of ends that need a look, each with what it means and a few samples."""
    ends = []
    for kind in overview.ends[:CARDS]:
        title = ": ".join(filter(None, (outcome_text(kind.outcome), kind_text(kind))))
        told = overview.advice.explain(kind.outcome, kind.http_status, kind.error_code, kind.reason)
        ends.append({
            "kind": kind,
            "title": title,
            "group": GROUP_OF[kind.outcome].value,
            "color": color_of(kind.outcome),
            "file": FILE_OF[kind.outcome],
            "told": told,
            "what_to_do": advise_kind(overview.accounts, overview.advice, kind.outcome, told.what_to_do),
            "samples": page_tables.end_samples(kind, title),
        })  # fmt: skip
    return ends


def _problems(overview: Overview) -> list[dict[str, Any]]:
    """Return the kinds of row problems, each with a few examples."""
    problems = []
    for kind in overview.problems:
        title = kind.problem.value.replace("_", " ")
        color = "void" if kind.problem is Problem.DUPLICATE else color_of_group(Group.FIX_DATA)
        problems.append({
            "kind": kind, "title": title, "color": color, "samples": page_tables.problem_samples(kind, title)
        })  # fmt: skip
    return problems
