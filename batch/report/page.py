"""Step 5 of 5: report.html, one self-contained page.

Owns what the page shows and how much of it: figures and a few samples, never all rows, so that it opens at once for any
run. The look is the templates'; every value is escaped there. Nothing in the page is executed or loaded from elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jinja2

from batch.model import GROUP_OF, Group, Outcome, Problem
from batch.report.charts import draw_latency, draw_shares, draw_throughput, moment_text
from batch.report.crosstab import by_target_and_cycle
from batch.report.files import write_text
from batch.report.flow import draw_flow, parts
from batch.report.provenance import WORDS
from batch.report.reconcile import FILE_OF, OUTCOME_FILES
from batch.report.tables import utc_text
from batch.report.words import (
    counted,
    duration_text,
    kind_text,
    next_steps,
    outcome_text,
    over_time_text,
    rate_text,
    rejected_counts,
    share_text,
    verdict,
    verdict_look,
)

if TYPE_CHECKING:
    from pathlib import Path

    from batch.model import Event
    from batch.report.overview import Overview
    from batch.report.reconcile import Accounts

LINES = 200
"""Tables that can grow show so many lines and say how many they leave out."""
KINDS = 30
"""So many kinds of ends are shown with samples."""

_TEMPLATE = "page.html.jinja"
_COMMON_EVENTS = frozenset({"rate", "hold", "concurrency"})
"""Kinds of events that come by the thousand; the others are shown first."""


def write_page(path: Path, overview: Overview) -> None:
    """Write report.html.

    Raises:
        EnrollBatchError: the folder cannot be written or the disk is full.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("batch.report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = "{:,}".format
    content = _content(overview)
    write_text(path, environment.get_template(_TEMPLATE).render(content, sections=_sections(content)))


def _content(overview: Overview) -> dict[str, Any]:
    accounts = overview.accounts
    read, row_parts, request_parts, outcome_parts = parts(accounts)
    return {
        "run": accounts.run,
        "accounts": accounts,
        "tallies": accounts.tallies,
        "verdict": verdict(accounts),
        "look": verdict_look(accounts),
        "steps": next_steps(accounts, overview.folder),
        "flow": draw_flow(accounts),
        "read": read,
        "row_parts": row_parts,
        "request_parts": request_parts,
        "outcome_parts": outcome_parts,
        "provenance": _provenance(overview),
        "inputs": accounts.inputs,
        "notes": overview.notes,
        "files": _files(accounts),
        "facts": _facts(accounts),
        "is_masked": overview.is_masked,
        **_outcomes(overview),
        **_cross(accounts),
        **_over_time(overview),
        **_latency(overview),
        **_kinds(overview),
        **_events(overview.events),
    }


_SECTIONS = (
    ("next", "What to do", "steps"), ("flow", "Flow", "flow"), ("outcomes", "Outcomes", "outcomes"),
    ("targets", "By target and cycle", "cross_lines"), ("time", "Over time", "throughput"),
    ("answers", "Answering times", "latency"), ("codes", "By code", "ends"),
    ("again", "Tried again", "unsettling"), ("problems", "Rows not sent", "problems"),
    ("accounts", "Accounts", "accounts"), ("inputs", "Inputs", "inputs"), ("files", "Files", "files"),
    ("run", "Run", "run"), ("events", "Events", "events"),
)  # fmt: skip
"""Each section's id, its short title, and what must be there for it to be shown."""


def _sections(content: dict[str, Any]) -> list[tuple[str, str]]:
    always = {"flow", "outcomes"}
    return [(name, title) for name, title, needs in _SECTIONS if content[needs] or name in always]


def _facts(accounts: Accounts) -> list[tuple[str, str]]:
    run, tallies = accounts.run, accounts.tallies
    facts = [
        ("State", run.state.value),
        ("Stopped", run.stop_text or ""),
        ("Exit code", str(accounts.exit_code)),
        ("Started by", f"{run.user}@{run.host}"),
        ("Command", run.command),
        ("Config", run.config_path),
        ("API", run.base_url),
        ("Sending began", utc_text(run.started_at) or ""),
        ("Sending ended", utc_text(run.finished_at) or ""),
        ("Time spent sending", duration_text(accounts.duration_s)),
        ("Attempts per second", f"{accounts.rate_per_s:,.1f}"),
        ("Attempts", f"{tallies.attempts:,}"),
        ("Retries among them", f"{tallies.retries:,}"),
        ("Calls saved", f"{tallies.calls_saved:,}"),
        ("Program", f"enroll-batch {run.program_version}"),
    ]
    return [(name, value) for name, value in facts if value]


def _outcomes(overview: Overview) -> dict[str, Any]:
    outcomes = overview.accounts.tallies.outcomes
    total = sum(outcomes.values())
    lines = [
        {
            "name": outcome_text(outcome),
            "group": GROUP_OF[outcome].value,
            "color": color_of(outcome),
            "count": count,
            "share": share_text(count, total),
            "advice": overview.advice.advise(outcome, None, ""),
            "file": FILE_OF[outcome],
        }
        for outcome, count in outcomes.items()
        if count
    ]
    shares = draw_shares((color_of(outcome), count) for outcome, count in outcomes.items())
    return {"outcomes": lines, "outcome_total": total, "outcome_shares": shares}


def color_of(outcome: Outcome) -> str:
    """Return the class of the page's style that gives an outcome the colour of its group."""
    return GROUP_OF[outcome].value.replace(" ", "-")


def _provenance(overview: Overview) -> list[tuple[str, int]]:
    counts = overview.provenance
    lines = [(words, counts.by_kind[kind]) for kind, words in WORDS.items() if counts.by_kind[kind]]
    return lines + [(f"of these by the run {run_id}", count) for run_id, count in counts.by_run.most_common(10)]


def _cross(accounts: Accounts) -> dict[str, Any]:
    table = by_target_and_cycle(accounts.tallies.subtotals)
    colors = [color_of(Outcome(column)) for column in table.columns[:-1]]
    lines = []
    for (target, cycle), *cells in table[:LINES].itertuples():
        counts = [int(count) for count in cells]
        shares = draw_shares(zip(colors, counts, strict=False))
        lines.append({"target": target, "cycle": cycle, "counts": counts, "shares": shares})
    return {
        "cross_columns": [column.replace("_", " ") for column in table.columns],
        "cross_lines": lines,
        "cross_left_out": max(len(table) - LINES, 0),
    }


def _over_time(overview: Overview) -> dict[str, Any]:
    timeline = overview.timeline
    lines = [
        {
            "at": moment_text(stretch.begin),
            "attempts": stretch.attempts,
            "allowed": rate_text(stretch.allowed_per_s) if stretch.allowed_per_s is not None else "",
            "tried_again": stretch.tried_again,
            "pushed_back": stretch.pushed_back,
            "held": duration_text(stretch.held_ns / 1e9) if stretch.held_ns else "",
            "marks": stretch.marks[:5],
        }
        for stretch in timeline.stretches[:LINES]
    ]
    return {
        "throughput": draw_throughput(timeline),
        "over_time_text": over_time_text(overview.accounts, timeline),
        "stretches": lines,
    }


def _latency(overview: Overview) -> dict[str, Any]:
    found = overview.latencies
    return {
        "latency": draw_latency(found),
        "latency_text": found.text,
        "latency_lines": [(step.text, step.count, share_text(step.count, found.count)) for step in found.steps],
    }


def _kinds(overview: Overview) -> dict[str, Any]:
    explain = overview.advice.explain
    ends = [
        {
            "kind": kind,
            "title": ": ".join(filter(None, (outcome_text(kind.outcome), kind_text(kind)))),
            "group": GROUP_OF[kind.outcome].value,
            "color": color_of(kind.outcome),
            "file": FILE_OF[kind.outcome],
            "told": explain(kind.outcome, kind.http_status, kind.error_code, kind.reason),
        }
        for kind in overview.ends[:KINDS]
    ]
    unsettling = [
        (
            kind_text(kind) or "no answer",
            kind.count,
            explain(kind.outcome, kind.http_status, kind.error_code, kind.reason).meaning,
        )
        for kind in overview.unsettling[:KINDS]
    ]
    problems = [
        {
            "kind": kind,
            "title": kind.problem.value.replace("_", " "),
            "color": "void" if kind.problem is Problem.DUPLICATE else Group.FIX_DATA.value.replace(" ", "-"),
        }
        for kind in overview.problems
    ]
    return {
        "ends": ends,
        "ends_left_out": overview.ends_beyond + sum(kind.count for kind in overview.ends[KINDS:]),
        "unsettling": unsettling,
        "problems": problems,
    }


def _events(events: tuple[Event, ...]) -> dict[str, Any]:
    """Choose the events to show: where there are too many, those that come by the thousand give way."""
    rare = [index for index, event in enumerate(events) if event.kind not in _COMMON_EVENTS]
    common = [index for index, event in enumerate(events) if event.kind in _COMMON_EVENTS]
    chosen = sorted([*rare, *common][:LINES])
    shown = [events[index] for index in chosen]
    return {
        "events": [(utc_text(event.at), event.kind, event.text, event.kind in _COMMON_EVENTS) for event in shown],
        "events_left_out": len(events) - len(chosen),
    }


def _files(accounts: Accounts) -> list[tuple[str, str]]:
    files = [(name, counted(accounts.lines(name), "request")) for name in OUTCOME_FILES]
    files += [
        ("rejected_rows.csv", ", ".join(rejected_counts(accounts))),
        ("reconciliation.xlsx", "the same as a workbook"),
    ]
    files += [("annotated.xlsx", "your rows with the problems marked")] if accounts.is_annotated else []
    return [*files, ("summary.json", "the figures for programs"), ("summary.md", "the figures for a chat")]
