"""What the commands say: plain text, no colour, no line wider than 80 columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batch.config import Rate
    from batch.model import EnrollmentRequest
    from batch.run.planning import Preview
    from batch.run.status import RunStatus
    from batch.sending.slots import Sharer

WIDTH = 80
_STEPS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def duration(seconds: float) -> str:
    """Say a duration in its two largest units: "8 hours 20 minutes"."""
    left = max(1, round(seconds))
    parts = []
    for size, unit in _STEPS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}{'s' if count > 1 else ''}")
    return " ".join(parts[:2])


def plan_lines(found: Preview, rate: Rate | None) -> list[str]:
    """Say what a plan holds: totals, problems by kind, first requests, duration at the set rate."""
    totals = found.totals
    lines = [
        f"{totals.rows_read:>10,}  rows read",
        f"{totals.rows_blank:>10,}  blank",
        f"{totals.rows_with_problems:>10,}  with problems",
        f"{totals.rows_planned:>10,}  planned, expanded into {totals.expanded:,} requests",
    ]
    if totals.duplicates:
        lines.append(f"{totals.duplicates:>10,}  repeats of the same request, sent once")
    if totals.contradicted:
        lines.append(f"{totals.contradicted:>10,}  contradicted requests, none of them sent")
    lines.append(f"{totals.unique:>10,}  requests to send")
    if found.problems:
        lines += ["", "Rows and requests that are not sent, by kind (all of them: rejected_rows.csv):"]
        lines += [f"{count:>10,}  {kind.replace('_', ' ')}" for kind, count in found.problems]
    if found.remarks or found.notes:
        lines += ["", *_bullets((*found.remarks, *found.notes))]
    if found.first_requests:
        lines += ["", "First requests:", *(_clip(f"  {_request(each)}") for each in found.first_requests)]
    return [*lines, "", _time_needed(totals.unique, rate)]


def _request(request: EnrollmentRequest) -> str:
    """Say one request: what, whom, where, and what it carries."""
    scope = request.scope
    asks = [] if request.initial_balance is None else [f"initial balance {request.initial_balance}"]
    asks += ["reset"] if request.reset_streak_status else []
    org = [f"org {scope.org_id}"] if scope.org_id else []
    target = f"target {scope.target_group_id}/{scope.target_id}"
    return f"{scope.action} {request.customer}: {', '.join(filter(None, [request.period, *asks, target, *org]))}"


def _time_needed(requests: int, rate: Rate | None) -> str:
    if rate is None:
        return "Rate: no limit."
    seconds = requests * rate.window_ns / rate.max_starts / 1e9
    per = rate.window_ns / 1e9
    return f"Rate: {rate.max_starts:,} per {per:g} s, so sending takes about {duration(seconds)}."


def _bullets(texts: Iterable[str]) -> list[str]:
    return [line for text in texts for line in textwrap.wrap(text, WIDTH, initial_indent="- ", subsequent_indent="  ")]


def _clip(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def status_lines(runs: Iterable[RunStatus]) -> list[str]:
    """Say one line a run, and why it stopped below it."""
    lines = [f"{'run':<44} {'state':<9} {'settled':>13}  exit"]
    for run in runs:
        state = run.state.value if run.state else "unreadable"
        settled = f"{run.settled:,}/{run.unique:,}"
        exit_code = "" if run.exit_code is None else str(run.exit_code)
        lines.append(
            f"{_short(run.run_id):<44} {state:<9} {settled:>13}  {'now' if run.working else exit_code}".rstrip()
        )
        if run.text:
            lines += textwrap.wrap(run.text, WIDTH, initial_indent="    ", subsequent_indent="    ")
        elif not run.working and run.state and run.state.value in {"sending", "planning"}:
            lines.append("    its process died; `enroll-batch resume` goes on")
    return lines


def sharing_lines(sharers: Iterable[Sharer]) -> list[str]:
    """Say which runs share the rate of one API key; nothing where each has its own."""
    by_budget: dict[str, list[Sharer]] = {}
    for sharer in sharers:
        by_budget.setdefault(sharer.budget, []).append(sharer)
    lines = []
    for shared in by_budget.values():
        if len(shared) > 1:
            lines += ["", f"Sharing the rate of one key at {shared[0].host}, the lowest of:"]
            lines += [f"  {_short(each.run_id):<44} {_rate_text(each)}" for each in shared]
    return lines


def _rate_text(sharer: Sharer) -> str:
    if not sharer.max_starts or not sharer.window_ns:
        return "no limit set"
    return f"{sharer.max_starts:,} per {sharer.window_ns / 1e9:g} s"


def _short(run_id: str) -> str:
    return run_id if len(run_id) <= 44 else run_id[:41] + "..."


def question(found: Preview, base_url: str, rate: Rate | None) -> str:
    """Ask before a real target is changed; unenrolls are counted and explained."""
    lines = [
        "",
        f"{found.totals.unique:,} requests will be sent to {base_url}. {_time_needed(found.totals.unique, rate)}",
    ]
    if found.unenrolls:
        lines += textwrap.wrap(
            f"{found.unenrolls:,} of them UNENROLL a customer: out of the current cycle and all later ones of a "
            "milestone, or out of the streak. Rewards due at the end of the current cycle are lost, and enrolling "
            "the customer again does not bring them back.",
            WIDTH,
        )
    return "\n".join([*lines, "Send them?"])
