"""Step 5 of 5: summary.md, the run in about ten lines for a chat message.

Pure. Holds no customer data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.report.steps import next_steps
from batch.report.words import counted, duration_text, look_ups_text, outcome_text, rate_text, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from batch.report.reconcile import Accounts
    from batch.report.steps import Step

_STEPS_IN_CHAT = 3
"""Source: our choice, so that the message has about ten lines."""


def summary_markdown(accounts: Accounts, folder: Path) -> str:
    """Return summary.md: about ten lines for a chat message, without customer data."""
    run, tallies = accounts.run, accounts.tallies
    outcomes = ", ".join(f"{count:,} {outcome_text(o)}" for o, count in tallies.outcomes.items() if count)
    rows = (
        f"{accounts.rows_read:,} read, {accounts.rows_blank:,} blank, {accounts.rows_with_problems:,} with problems, "
        f"{accounts.rows_planned:,} planned"
    )
    duplicates = counted(tallies.duplicates, "duplicate")
    requests = f"{tallies.unique:,} unique, {duplicates}, {tallies.contradicted:,} contradicted"
    retries = f"{tallies.retries:,} of them {'a retry' if tallies.retries == 1 else 'retries'}"
    sent = (
        f"{counted(tallies.attempts, 'attempt')}, {retries}, in {duration_text(accounts.duration_s)} "
        f"({rate_text(accounts.rate_per_s)})"
    )
    lines = [
        f"**enroll-batch {run.run_id}: {run.state}, exit code {accounts.exit_code}**",
        "",
        verdict(accounts),
        "",
        f"- rows: {rows}",
        f"- requests: {requests}",
        f"- outcomes: {outcomes or 'none'}",
        f"- sent: {sent}" + (f"; {look_ups_text(tallies)}" if tallies.look_ups else ""),
        f"- accounts: {'balanced' if accounts.balanced else 'NOT BALANCED'}",
        *_chat_steps(next_steps(accounts, folder)),
    ]
    return "\n".join(lines) + "\n"


def _chat_steps(steps: Sequence[Step]) -> list[str]:
    shown = steps if len(steps) <= _STEPS_IN_CHAT else steps[: _STEPS_IN_CHAT - 1]
    lines = [f"- next: {step.text}" + (f" `{step.command}`" if step.command else "") for step in shown]
    left_out = len(steps) - len(shown)
    return lines + ([f"- next: {left_out} more steps, in report.html"] if left_out else [])
