"""Step 5 of 5: the words for people: the verdict in one sentence, and how counts, times, rates and ends are said.

Pure. Every file and the terminal take their sentences from here, so that they say the same. Holds no customer data.
"""

from __future__ import annotations

import json
import math
import shlex
from typing import TYPE_CHECKING, assert_never

from batch.model import Group, Outcome, State, StopReason

if TYPE_CHECKING:
    from batch.model import Event, Tallies, UnsettlingAttempts
    from batch.report.reconcile import Accounts
    from batch.report.samples import EndKind
    from batch.report.timeline import Timeline

STOPS = {
    StopReason.INPUT: "because the upload cannot be sent as it is",
    StopReason.DECLINED: "because a person declined to send",
    StopReason.SIGNAL: "by a signal",
    StopReason.LIMIT: "by --limit",
    StopReason.DEADLINE: "because the time was up",
    StopReason.GUARD: "by a guard",
    StopReason.CANARY: "after the sample (canary), and waits for your go-ahead",
    StopReason.REFUSED: "because the API refuses access or scope for the whole run",
    StopReason.SILENT: "because the API does not answer",
    StopReason.FAULT: "by a fault of the program or the machine",
}


_SIGNALS = {"stopped by SIGINT": "stopped by Ctrl-C", "stopped by SIGTERM": "stopped by a signal (SIGTERM)"}
"""How the ledger tells which signal came, and how people call it."""


def stop_words(text: str) -> str:
    """Return a text that may tell by which signal a run was stopped, in people's words."""
    for stored, said in _SIGNALS.items():
        text = text.replace(stored, said)
    return text


def event_words(event: Event) -> str:
    """Return what an event tells in people's words; its kind stands before it wherever it is shown."""
    text = stop_words(event.text)
    return text.removeprefix("stopped by ") if event.kind == "stopped" else text


def _stopped_by(accounts: Accounts) -> str:
    """Say what stopped a run; blank where nothing known did."""
    reason, text = accounts.run.stop_reason, accounts.run.stop_text or ""
    signal = next((said for stored, said in _SIGNALS.items() if text.startswith(stored)), "")
    if reason == StopReason.SIGNAL and signal:
        return signal.removeprefix("stopped ")
    return STOPS[StopReason(reason)] if reason in STOPS else ""


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
            by = _stopped_by(accounts)
            why = f"it stopped {by} while customers were looked up" if by else ""
            return f"Planning did not come to its end; {f'{why}; ' if why else ''}nothing was sent."
        case State.PLANNED:
            return f"Planned: {counted(accounts.tallies.unique, 'request')}, none sent yet.{_row_work(accounts)}"
        case State.SENDING:
            return f"Not finished: {settled} The sender is still at work, or it has died."
        case State.STOPPED:
            by = _stopped_by(accounts)
            return f"Stopped{f' {by}' if by else ''}: {settled}"
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


def command_line(accounts: Accounts) -> str:
    """Return the command line that began a run, without secrets, as far as the ledger has it."""
    run = accounts.run
    uploads = dict.fromkeys(file.path for file in accounts.inputs) if run.command in {"run", "plan"} else ()
    overrides = {name: value for name, value in json.loads(run.overrides).items() if name in _OPTIONS}
    options = [text for name, value in overrides.items() if value is not None for text in (f"--{name}", str(value))]
    return shlex.join(["enroll-batch", run.command, *uploads, "-c", run.config_path, *options])


_OPTIONS = frozenset({"rate", "concurrency", "canary", "until"})


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
        rates = timeline.set_rates or (timeline.set_per_s,)
        lowered = timeline.least_allowed_per_s < min(rates)
        until = f", lowered to {rate_text(timeline.least_allowed_per_s)} for a while" if lowered else ""
        text.append(f"Allowed: {', then '.join(map(rate_text, rates))}{until}.")
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


def look_ups_text(tallies: Tallies) -> str:
    """Return how many calls looked customers up."""
    return f"{counted(tallies.look_ups, 'call')} to find customers' ids, not counted as attempts"
