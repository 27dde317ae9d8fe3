"""Step 5 of 5: the words for people: the verdict in one sentence, what to do next, and summary.md.

Pure. Every file and the terminal take their sentences from here, so that they say the same. Holds no customer data.
"""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from batch.model import Group, Outcome, State, StopReason

if TYPE_CHECKING:
    from pathlib import Path

    from batch.model import UnsettlingAttempts
    from batch.report.reconcile import Accounts
    from batch.report.samples import EndKind
    from batch.report.timeline import Timeline

STOPS = {
    StopReason.INPUT: "because the upload cannot be sent as it is",
    StopReason.DECLINED: "because a person declined to send",
    StopReason.SIGNAL: "by a signal",
    StopReason.LIMIT: "by --limit",
    StopReason.GUARD: "by a guard",
    StopReason.CANARY: "after the canary, and waits for a word",
    StopReason.REFUSED: "because the API refuses access or scope for the whole run",
    StopReason.SILENT: "because the API does not answer",
    StopReason.FAULT: "by a fault of the program or the machine",
}


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do next; `command` is the exact command line, None where none is needed."""

    text: str
    command: str | None = None


def verdict(accounts: Accounts) -> str:
    """Return how the run stands in one or two sentences."""
    if not accounts.balanced:
        failed = next(identity for identity in accounts.identities if not identity.holds)
        return (
            f"The accounts do not balance: {failed.formula}, but {failed.figures}. "
            "Do not rely on this report; keep the run folder and report the fault."
        )
    settled = f"{accounts.settled:,} of {counted(accounts.tallies.unique, 'request')} settled."
    match accounts.run.state:
        case State.PLANNING:
            return "Planning did not come to its end; nothing was sent."
        case State.PLANNED:
            return f"Planned: {counted(accounts.tallies.unique, 'request')}, none sent yet.{_row_work(accounts)}"
        case State.SENDING:
            return f"Not finished: {settled} The sender is still at work, or it has died."
        case State.STOPPED:
            reason = accounts.run.stop_reason
            why = f" {STOPS[StopReason(reason)]}" if reason in STOPS else ""
            return f"Stopped{why}: {settled}"
        case State.FINISHED:
            return _finished(accounts)
        case _ as unreachable:
            assert_never(unreachable)


def verdict_look(accounts: Accounts) -> str:
    """Return how the verdict looks: good, warning or bad."""
    if not accounts.balanced or accounts.exit_code in {1, 10, 11}:
        return "bad"
    return "warning" if accounts.exit_code else "good"


def _finished(accounts: Accounts) -> str:
    unique, done = accounts.tallies.unique, accounts.count(Group.DONE)
    if not unique:
        return f"Finished with nothing to send.{_row_work(accounts)}"
    if done == unique:
        return f"Finished: {counted(unique, 'request')}, all done.{_row_work(accounts)}"
    in_doubt = accounts.tallies.outcomes[Outcome.IN_DOUBT]
    work = unique - done - in_doubt
    open_ends = [f"{work:,} need{'s' if work == 1 else ''} work"] if work else []
    open_ends += [f"{in_doubt:,} {'is' if in_doubt == 1 else 'are'} in doubt"] if in_doubt else []
    return f"Finished: {done:,} of {counted(unique, 'request')} done, {' and '.join(open_ends)}.{_row_work(accounts)}"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, such as `1 request` and `2,000 requests`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def rejected_counts(accounts: Accounts) -> list[str]:
    """Return what stands in rejected_rows.csv, counted."""
    rows, tallies = accounts.rows_with_problems, accounts.tallies
    return [
        f"{counted(rows, 'row')} with problems",
        counted(tallies.duplicates, "duplicate"),
        counted(tallies.contradicted, "contradicted request"),
    ]


def _row_work(accounts: Accounts) -> str:
    rows, contradicted = accounts.rows_with_problems, accounts.tallies.contradicted
    parts = [f"{counted(rows, 'row')} with problems"] if rows else []
    parts += [f"{counted(contradicted, 'request')} that contradict each other"] if contradicted else []
    return f" Not sent: {' and '.join(parts)}." if parts else ""


def next_steps(accounts: Accounts, folder: Path) -> tuple[Step, ...]:
    """Return what a person should do now, the most urgent first; empty when nothing is left to do."""
    if not accounts.balanced:
        return (Step("Keep the run folder as it is and report the fault; send nothing again before it is understood."),)
    if accounts.run.state is not State.FINISHED:
        return (*_resume_steps(accounts, folder), *_row_steps(accounts))
    steps = []
    if accounts.was_processed_before:
        steps.append(
            Step("More than nine in ten customers were enrolled already: this file may have been processed before.")
        )
    if accounts.lines("invalid_user.csv"):
        steps.append(
            Step(
                "Correct the customers in invalid_user.csv, empty the request_id of their rows, then send them:",
                _send_again("invalid_user.csv", accounts, folder),
            )
        )
    still_open = accounts.count(Group.RETRY) + accounts.count(Group.FIX_SETUP)
    if accounts.tallies.outcomes[Outcome.IN_DOUBT]:
        steps.append(
            Step(
                "Ask the API what became of those in doubt (`enroll-batch rerun` then sends what is still open):",
                f"enroll-batch verify {shlex.quote(str(folder))}",
            )
        )
    elif still_open:
        steps.append(
            Step(
                "Send again what is still open (where the config was wrong, with -c and the corrected one):",
                f"enroll-batch rerun {shlex.quote(str(folder))}",
            )
        )
    if other := accounts.lines("failed.csv") - still_open:
        steps.append(Step(f"For {counted(other, 'request')} in failed.csv, do what the column advice says."))
    return (*steps, *_row_steps(accounts))


def _resume_steps(accounts: Accounts, folder: Path) -> tuple[Step, ...]:
    if accounts.run.stop_reason == StopReason.INPUT:
        return ()
    mended = accounts.run.stop_reason in {StopReason.REFUSED, StopReason.GUARD, StopReason.FAULT}
    text = "When what stopped the run is mended, go on with it:" if mended else "Go on with this run:"
    return (Step(text, f"enroll-batch resume {shlex.quote(str(folder))}"),)


def _send_again(name: str, accounts: Accounts, folder: Path) -> str:
    return f"enroll-batch run {shlex.quote(str(folder / name))} -c {shlex.quote(accounts.run.config_path)}"


def _row_steps(accounts: Accounts) -> tuple[Step, ...]:
    if not (accounts.rows_with_problems or accounts.tallies.contradicted):
        return ()
    where = "rejected_rows.csv says what is wrong with which cell"
    shown = ", and annotated.xlsx shows it in your own rows" if accounts.is_annotated else ""
    return (Step(f"Mend the rows that were not sent and run them as a new file: {where}{shown}."),)


def share_text(count: int, total: int) -> str:
    """Return a share as a percentage that never rounds something to nothing, or nearly all to all."""
    if not total or count in {0, total}:
        return "100 %" if count and count == total else "0 %"
    share = 100 * count / total
    if share < 0.1:
        return "< 0.1 %"
    return "> 99.9 %" if share > 99.9 else f"{share:.1f} %"


def duration_text(seconds: float) -> str:
    """Return a duration as people say it: `8 h 20 min`, `3 min 5 s`, `4.2 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"


def rate_text(per_s: float) -> str:
    """Return a rate as people say it: per minute where it is less than two a second."""
    if math.isinf(per_s):
        return "no limit"
    return f"{per_s * 60:,.4g} per minute" if per_s < 2 else f"{per_s:,.4g} per second"


def over_time_text(accounts: Accounts, timeline: Timeline) -> str:
    """Return how the run went over time, in a few sentences."""
    attempts = counted(accounts.tallies.attempts, "attempt")
    busiest = f"{timeline.busiest_count:,} in the busiest {duration_text(timeline.width_s)}"
    text = [f"{attempts} in {duration_text(accounts.duration_s)} of sending, {busiest}."]
    if timeline.set_per_s is not None and timeline.least_allowed_per_s is not None:
        lowered = timeline.least_allowed_per_s < timeline.set_per_s
        until = f", lowered to {rate_text(timeline.least_allowed_per_s)} for a while" if lowered else ""
        text.append(f"Allowed: {rate_text(timeline.set_per_s)}{until}.")
    if timeline.pushed_back:
        text.append(f"The API refused {counted(timeline.pushed_back, 'attempt')} by 429 or 503.")
    if timeline.hold_count:
        held = duration_text(timeline.held_ns / 1e9)
        text.append(f"Nothing might start for {held} in all ({counted(timeline.hold_count, 'hold')}).")
    if timeline.rate_changes:
        text.append(f"The allowed rate changed {counted(timeline.rate_changes, 'time')}.")
    if timeline.timeless:
        text.append(f"{counted(timeline.timeless, 'attempt')} more were on their way when a sender died.")
    return " ".join(text)


def kind_text(kind: EndKind | UnsettlingAttempts) -> str:
    """Return by what a kind of end is known: the API's code, else the HTTP status, else what was found, if anything."""
    if kind.error_code is not None and kind.outcome is not Outcome.NOT_SENT:
        return f"code {kind.error_code}" + (f" (HTTP {kind.http_status})" if kind.http_status else "")
    if kind.http_status is not None:
        return f"HTTP {kind.http_status}"
    return kind.reason.replace("_", " ")


def outcome_text(outcome: Outcome) -> str:
    """Return an outcome as people read it."""
    return outcome.value.replace("_", " ")


def summary_markdown(accounts: Accounts, folder: Path) -> str:
    """Return summary.md: about ten lines for a chat message, without customer data."""
    run, tallies = accounts.run, accounts.tallies
    outcomes = ", ".join(f"{count:,} {outcome_text(o)}" for o, count in tallies.outcomes.items() if count)
    steps = [
        f"- next: {step.text}" + (f" `{step.command}`" if step.command else "") for step in next_steps(accounts, folder)
    ]
    rows = (
        f"{accounts.rows_read:,} read, {accounts.rows_blank:,} blank, {accounts.rows_with_problems:,} with problems, "
        f"{accounts.rows_planned:,} planned"
    )
    requests = f"{tallies.unique:,} unique, {tallies.duplicates:,} duplicates, {tallies.contradicted:,} contradicted"
    sent = (
        f"{tallies.attempts:,} attempts, {tallies.retries:,} of them retries, in {duration_text(accounts.duration_s)} "
        f"({accounts.rate_per_s:,.1f} per second)"
    )
    lines = [
        f"**enroll-batch {run.run_id}: {run.state}, exit code {accounts.exit_code}**",
        "",
        verdict(accounts),
        "",
        f"- rows: {rows}",
        f"- requests: {requests}",
        f"- outcomes: {outcomes or 'none'}",
        f"- sent: {sent}",
        f"- accounts: {'balanced' if accounts.balanced else 'NOT BALANCED'}",
        *steps,
    ]
    return "\n".join(lines) + "\n"
