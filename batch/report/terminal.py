"""Step 5 of 5: the closing table on the terminal, as plain lines of at most 80 columns.

Pure: gives lines, prints nothing. Only a path or a command may be longer: broken, it is of no use.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from batch.model import StopReason
from batch.report.overview import files_of
from batch.report.reconcile import OUTCOME_FILES
from batch.report.steps import next_steps
from batch.report.tables import advice_in, advise_all
from batch.report.words import (
    counted,
    look_ups_text,
    outcome_text,
    rejected_counts,
    share_text,
    stop_words,
    verdict,
)

if TYPE_CHECKING:
    from pathlib import Path

    from batch.report.reconcile import Accounts
    from batch.report.tables import Advice

WIDTH = 80


_TOLD = {StopReason.SIGNAL, StopReason.LIMIT, StopReason.DECLINED, StopReason.CANARY}
"""Stops that the verdict says all about."""


def closing_table(accounts: Accounts, folder: Path, advice: Advice) -> list[str]:
    """Return the lines that end a run: verdict, accounts, outcomes with advice, files, what to do next."""
    run = accounts.run
    lines = [f"Run {run.run_id}", *_wrapped(verdict(accounts), indent=2)]
    if run.stop_text and run.stop_reason not in _TOLD:
        lines += _wrapped(stop_words(run.stop_text), indent=2)
    lines += ["", *_account_lines(accounts), "", *_outcome_lines(accounts, advice), "", *_file_lines(accounts, folder)]
    steps = next_steps(accounts, folder)
    if steps:
        lines += ["", "Next"]
    for step in steps:
        lines += _wrapped(step.text, indent=2)
        lines += [f"    {step.command}"] if step.command else []
    return lines


def _wrapped(text: str, *, indent: int = 0, first: str = "") -> list[str]:
    """Wrap a text; `first` stands in the margin of its first line."""
    margin = " " * indent
    return textwrap.wrap(
        text, WIDTH, initial_indent=first or margin, subsequent_indent=margin, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _account_lines(accounts: Accounts) -> list[str]:
    lines = ["Accounts" + ("" if accounts.balanced else "  NOT BALANCED")]
    for identity in accounts.identities:
        mark = "  " if identity.holds else "! "
        one_line = f"{mark}{identity.formula:46}  {identity.figures}"
        if len(one_line) <= WIDTH:
            lines.append(one_line)
        else:
            lines += [*_wrapped(identity.formula, indent=2, first=mark), *_wrapped(identity.figures, indent=4)]
    if accounts.tallies.look_ups:
        lines.append(f"  {look_ups_text(accounts.tallies)}")
    return lines


def _outcome_lines(accounts: Accounts, advice: Advice) -> list[str]:
    total, told = sum(accounts.tallies.outcomes.values()), advice_in(accounts, advice)
    lines = [f"{'Outcome':20}{'requests':>12}{'share':>10}  what to do"]
    for outcome, count in accounts.tallies.outcomes.items():
        if count:
            first = f"{outcome_text(outcome):20}{count:>12,}{share_text(count, total):>10}  "
            lines += _wrapped(advise_all(accounts, told, outcome) or "nothing", indent=len(first), first=first)
    return lines


def _file_lines(accounts: Accounts, folder: Path) -> list[str]:
    lines = [f"Files in {folder}"]
    lines += [f"  {name:22}{counted(accounts.lines(name), 'request')}" for name in OUTCOME_FILES]
    lines += _wrapped(", ".join(rejected_counts(accounts)), indent=24, first=f"  {'rejected_rows.csv':22}")
    return lines + _wrapped(
        ", ".join(name for name, _ in files_of(accounts, folder) if not name.endswith(".csv")), indent=2
    )
