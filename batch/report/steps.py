"""Step 5 of 5: what a person should do next, each step with the exact command.

Pure. Owns which commands help with what stands open in a run, and that none of them sends anything a second time
without need. What an outcome means, and what to do about one row, is the business of the advice.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.model import GROUP_OF, Group, Outcome, State, StopReason
from batch.report.reconcile import FILE_OF
from batch.report.words import STOPS, counted, outcome_text

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from batch.report.reconcile import Accounts


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do next; `command` is the exact command line, None where none is needed."""

    text: str
    command: str | None = None


def next_steps(accounts: Accounts, folder: Path) -> tuple[Step, ...]:
    """Return what a person should do now, the most urgent first; empty when nothing is left to do."""
    if not accounts.balanced:
        return (Step("Keep the run folder as it is and report the fault; send nothing again before it is understood."),)
    if accounts.run.state is not State.FINISHED:
        if accounts.run.stop_reason == StopReason.INPUT and accounts.tallies.unique:
            return _whole_steps(accounts)
        return (*_resume_steps(accounts, folder), *_cascade_steps(accounts), *_row_steps(accounts, folder))
    steps = []
    if accounts.was_processed_before:
        by = f", most of them by the run {accounts.earlier_run}" if accounts.earlier_run else ""
        steps.append(
            Step(f"More than nine in ten were enrolled already{by}: this file may have been processed before.")
        )
    if accounts.lines("invalid_user.csv"):
        steps.append(
            Step(
                "Correct the customers in invalid_user.csv, empty the request_id of their rows, then send them:",
                _run_command("invalid_user.csv", accounts, folder),
            )
        )
    steps += [*_open_steps(accounts, folder), *_look_steps(accounts), *_cascade_steps(accounts)]
    return (*steps, *_row_steps(accounts, folder))


_NOT_MENDED_HERE = (
    "go on with this run; where its config is wrong, run the upload anew with a corrected one and --again instead:"
)
"""A resume goes on with the config that the run began with."""
_RESUMES = {
    StopReason.REFUSED: f"When the API lets this key in, {_NOT_MENDED_HERE}",
    StopReason.GUARD: f"When it is clear why so many failed, {_NOT_MENDED_HERE}",
    StopReason.FAULT: "When the fault is mended, go on with this run:",
    StopReason.SILENT: "When the API answers again, go on with this run:",
    StopReason.CANARY: "If the sample went well, send the rest:",
}


def _resume_steps(accounts: Accounts, folder: Path) -> tuple[Step, ...]:
    reason = accounts.run.stop_reason
    if reason == StopReason.INPUT:
        return ()
    text = _RESUMES.get(StopReason(reason)) if reason in STOPS else None
    return (Step(text or "Go on with this run:", f"enroll-batch resume {shlex.quote(str(folder))}"),)


def _whole_steps(accounts: Accounts) -> tuple[Step, ...]:
    """Say how an upload with too many problems is sent: whole, because its good rows were not sent either."""
    where = "rejected_rows.csv" + (" and annotated.xlsx say where)" if accounts.is_annotated else " says where)")
    text = f"Nothing was sent, no good row either: mend the upload ({where} or raise input.max_problems; run it whole:"
    paths = " ".join(shlex.quote(path) for path in dict.fromkeys(file.path for file in accounts.inputs))
    return (Step(text, f"enroll-batch run {paths} -c {_config(accounts)}"),)


_MENDED_IN_COLUMNS = {
    Outcome.PERIOD_NOT_FOUND: {"period_name"},
    Outcome.TARGET_NOT_FOUND: {"target_group_id", "target_id"},
    Outcome.SCOPE_REFUSED: {"org_id"},
}
"""What the setup refuses, and the columns in which it stands where the upload has them: no config mends those."""


def _open_steps(accounts: Accounts, folder: Path) -> list[Step]:
    """Return how what is open in a finished run is settled: by asking, by mending rows, or by a re-run."""
    here, run_folder = _present(accounts), shlex.quote(str(folder))
    setup = {outcome for outcome in here if GROUP_OF[outcome] is Group.FIX_SETUP}
    in_rows = {outcome for outcome in setup if _MENDED_IN_COLUMNS.get(outcome, set()) & accounts.columns}
    uncovered = accounts.tallies.not_covered
    # But for what was left out as covered, a finished run has sent all but what stands behind a refusal.
    quarantined = {Outcome.NOT_SENT} if accounts.tallies.outcomes[Outcome.NOT_SENT] > uncovered else set()
    in_rows |= quarantined if in_rows else set()
    by_config = (setup | quarantined) - in_rows
    retry = {outcome for outcome in here if GROUP_OF[outcome] is Group.RETRY}
    retry -= set() if uncovered else quarantined
    steps = []
    if Outcome.IN_DOUBT in here:
        count = counted(accounts.tallies.outcomes[Outcome.IN_DOUBT], "request")
        steps.append(Step(f"Ask the API what became of {count} in doubt:", f"enroll-batch verify {run_folder}"))
    if rerun := by_config | retry:
        first = "Correct the config where it was refused, then send" if by_config else "Send"
        command = f"enroll-batch rerun {run_folder}" + (f" -c {_config(accounts)}" if by_config else "")
        if in_rows:  # these would be refused again
            found = {Outcome.SERVER_ERROR} if Outcome.IN_DOUBT in retry else set()  # what a look may make of a doubt
            command += "".join(f" --only {outcome}" for outcome in Outcome if outcome in rerun | found)
        what = "what is still in doubt then" if rerun == {Outcome.IN_DOUBT} else _counted_as(rerun, accounts)
        steps.append(Step(f"{first} again {what}:", command))
    if rows := in_rows | (here & {Outcome.INVALID_INPUT}):
        others = any(FILE_OF[outcome] == "failed.csv" for outcome in here - rows)
        text = (
            f"Correct in failed.csv the rows of {_counted_as(rows, accounts)}, as their advice says; empty their "
            f"request_id, {'remove the other rows, ' if others else ''}then run it:"
        )
        steps.append(Step(text, _run_command("failed.csv", accounts, folder)))
    return steps


def _look_steps(accounts: Accounts) -> list[Step]:
    if not (looks := _present(accounts) & {Outcome.VALUE_NOT_APPLIED, Outcome.UNRECOGNISED}):
        return []
    return [Step(f"For {_counted_as(looks, accounts)}, do what the column advice in failed.csv says.")]


def _cascade_steps(accounts: Accounts) -> list[Step]:
    """Say what was saved, and what could be, where enrolling into a cycle was found to enroll into the later ones."""
    saved, uncovered = accounts.tallies.calls_saved, accounts.tallies.not_covered
    needless = accounts.tallies.outcomes[Outcome.COVERED_BY_CASCADE] - saved
    if uncovered:
        text = f"{counted(uncovered, 'request')} had been left out as covered by an earlier cycle, which is not so"
        if accounts.run.state is not State.FINISHED:
            return [Step(f"{text}: when the run is finished, a rerun sends what was left out.")]
        return [Step(f"{text}: the rerun sends what was left out.")]
    if not (saved or needless):
        return []
    calls = counted(needless, "call")
    if not saved:
        first = "campaign.expand: first saves them, and " if _first_is_enough(accounts) else ""
        what = f"{calls} needless; {first}campaign.on_cascade: skip saves most of them"
    else:
        asked = f", {calls} made to find that out and as a sample" if needless else ""
        what = f"{counted(saved, 'call')} saved{asked}"
    cycles = {each.period for each in accounts.tallies.subtotals if each.period is not None}
    found = "Enrolling into a cycle enrolls into the later ones here"
    if len(cycles) == 2:
        found = "It looks as if enrolling into the one cycle enrolls into the other here"
    return [Step(f"{found}: {what}.")]


def _first_is_enough(accounts: Accounts) -> bool:
    """Whether the config names the cycles, and its first one alone would have enrolled everybody, balances and all."""
    accepted = {each.period for each in accounts.tallies.subtotals if each.outcome is Outcome.ENROLLED and each.count}
    return (
        "period_name" not in accounts.columns
        and not accounts.tallies.outcomes[Outcome.VALUE_NOT_APPLIED]
        and len(accepted) == 1
    )


def _row_steps(accounts: Accounts, folder: Path) -> tuple[Step, ...]:
    if not (accounts.rows_with_problems or accounts.tallies.contradicted):
        return ()
    text = "Mend the rows in rejected_rows.csv, as their hint says"
    if accounts.tallies.contradicted:
        text += "; of rows that contradict each other keep the right one"
    if accounts.tallies.duplicates:
        text += "; remove the duplicates"
    if accounts.is_annotated:
        text += " (annotated.xlsx shows the cells in your upload, but sends the good rows again too)"
    text += "; then run it:"
    return (Step(text, _run_command("rejected_rows.csv", accounts, folder)),)


def _present(accounts: Accounts) -> set[Outcome]:
    return {outcome for outcome, count in accounts.tallies.outcomes.items() if count}


def _counted_as(outcomes: Collection[Outcome], accounts: Accounts) -> str:
    """Return how many requests have these outcomes, and their names: `7 requests (5 in doubt, 2 not sent)`."""
    if len(outcomes) == 1:
        (only,) = outcomes
        return f"{counted(accounts.tallies.outcomes[only], 'request')} ({outcome_text(only)})"
    each = {outcome: accounts.tallies.outcomes[outcome] for outcome in Outcome if outcome in outcomes}
    names = ", ".join(f"{count:,} {outcome_text(outcome)}" for outcome, count in each.items())
    return f"{counted(sum(each.values()), 'request')} ({names})"


def _run_command(name: str, accounts: Accounts, folder: Path) -> str:
    return f"enroll-batch run {shlex.quote(str(folder / name))} -c {_config(accounts)}"


def _config(accounts: Accounts) -> str:
    return shlex.quote(accounts.run.config_path)
