"""Step 5 of 5: report.html, one self-contained page.

Owns what the page shows and how much of it: figures, never rows, so that it opens at once for any run. The look is
the template's; every value is escaped there. Nothing in the page is executed or loaded from elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jinja2

from batch.model import GROUP_OF
from batch.report.crosstab import by_target_and_cycle
from batch.report.files import write_text
from batch.report.overview import verdict_look
from batch.report.reconcile import OUTCOME_FILES
from batch.report.tables import utc_text
from batch.report.words import counted, duration_text, next_steps, outcome_text, rejected_counts, share_text, verdict

if TYPE_CHECKING:
    from pathlib import Path

    from batch.report.overview import Overview
    from batch.report.reconcile import Accounts

LINES = 200
"""Tables that can grow show so many lines and say how many they leave out."""

_TEMPLATE = "page.html.jinja"


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
    write_text(path, environment.get_template(_TEMPLATE).render(_content(overview)))


def _content(overview: Overview) -> dict[str, Any]:
    accounts = overview.accounts
    table = by_target_and_cycle(accounts.tallies.subtotals)
    return {
        "run": accounts.run,
        "accounts": accounts,
        "tallies": accounts.tallies,
        "verdict": verdict(accounts),
        "look": verdict_look(accounts),
        "steps": next_steps(accounts, overview.folder),
        "facts": _facts(accounts),
        "outcomes": _outcomes(overview),
        "outcome_total": sum(accounts.tallies.outcomes.values()),
        "cross_columns": [column.replace("_", " ") for column in table.columns],
        "cross_lines": [(*index, [int(count) for count in counts]) for index, *counts in table[:LINES].itertuples()],
        "cross_left_out": max(len(table) - LINES, 0),
        "inputs": accounts.inputs,
        "notes": overview.notes,
        "events": [(utc_text(event.at), event.kind, event.text) for event in overview.events[:LINES]],
        "events_left_out": max(len(overview.events) - LINES, 0),
        "files": _files(accounts),
    }


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


def _outcomes(overview: Overview) -> list[dict[str, Any]]:
    outcomes = overview.accounts.tallies.outcomes
    total = sum(outcomes.values())
    lines = []
    before = 0.0
    for outcome, count in outcomes.items():
        if count:
            width = 100 * count / total
            lines.append(
                {
                    "name": outcome_text(outcome),
                    "group": GROUP_OF[outcome].value,
                    "color": GROUP_OF[outcome].value.replace(" ", "-"),
                    "count": count,
                    "share": share_text(count, total),
                    "advice": overview.advise(outcome, None, ""),
                    "x": round(before, 4),
                    "width": round(width, 4),
                }
            )
            before += width
    return lines


def _files(accounts: Accounts) -> list[tuple[str, str]]:
    files = [(name, counted(accounts.lines(name), "request")) for name in OUTCOME_FILES]
    files += [
        ("rejected_rows.csv", ", ".join(rejected_counts(accounts))),
        ("reconciliation.xlsx", "the same as a workbook"),
    ]
    files += [("annotated.xlsx", "your rows with the problems marked")] if accounts.is_annotated else []
    return [*files, ("summary.json", "the figures for programs"), ("summary.md", "the figures for a chat")]
