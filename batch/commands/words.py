"""What the commands say: plain text, no colour, no line wider than 80 columns."""

from __future__ import annotations

import shlex
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from batch.config import Rate
    from batch.model import EnrollmentRequest, Outcome
    from batch.run.cycles import PlanFinding
    from batch.run.planning import Preview
    from batch.run.problem_kinds import PlanProblem
    from batch.run.status import RunStatus
    from batch.sending.slots import Sharer

WIDTH = 80
_STEPS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def command_line(command: str, folder: Path) -> str:
    """Return a command about a run, ready to be pasted into a shell."""
    return f"enroll-batch {command} {shlex.quote(str(folder))}"


def duration(seconds: float) -> str:
    """Say a duration in its two largest units: "8 hours 20 minutes"."""
    left = max(1, round(seconds))
    parts = []
    for size, unit in _STEPS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}{'s' if count > 1 else ''}")
    return " ".join(parts[:2])


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, in the plural where that is right."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def plan_lines(found: Preview, rate: Rate | None) -> list[str]:
    """Say what a plan holds: totals, problems by kind, first requests, duration at the set rate."""
    totals = found.totals
    lines = [
        f"{totals.rows_read:>10,}  rows read",
        f"{totals.rows_blank:>10,}  blank",
        f"{totals.rows_with_problems:>10,}  with problems",
        f"{totals.rows_planned:>10,}  planned, expanded into {counted(totals.expanded, 'request')}",
    ]
    if totals.duplicates:
        lines.append(f"{totals.duplicates:>10,}  repeats of the same request, sent once")
    if totals.contradicted:
        lines.append(f"{totals.contradicted:>10,}  contradicted requests, none of them sent")
    if not_found := totals.unique - found.open_count:
        lines.append(f"{not_found:>10,}  requests of customers whom the look-up did not find, not sent")
    lines.append(f"{found.open_count:>10,}  requests{', none of them sent' if found.is_refused else ' to send'}")
    if found.problems:
        lines += [
            "",
            *textwrap.wrap("Problems by kind (a row can have several; all of them: rejected_rows.csv):", WIDTH),
        ]
        lines += [line for problem in found.problems for line in _problem_lines(problem)]
    if found.remarks or found.notes:
        lines += ["", *_bullets((*found.remarks, *found.notes))]
    if found.first_requests:
        lines += ["", "First requests:", *(_clip(f"  {_request(each)}") for each in found.first_requests)]
    if found.is_refused or not found.open_count:
        return lines
    needed = " ".join([_time_needed(found.open_count, rate), *found.hours])
    return [*lines, "", *textwrap.wrap(needed, WIDTH), *_cascade_lines(found, rate)]


def _problem_lines(problem: PlanProblem) -> list[str]:
    """Say how often a kind of problem occurs, and where it does first."""
    first = "" if problem.count == 1 else "the first: "
    place = ", ".join(filter(None, (problem.where, problem.column)))
    margin = " " * 14
    told = textwrap.wrap(
        f"{first}{place}: {problem.hint}", WIDTH, initial_indent=margin, subsequent_indent=margin,
        break_long_words=False,
    )  # fmt: skip
    return [f"{problem.count:>10,}  {problem.kind.replace('_', ' ')}", *map(_clip, told)]


def _cascade_lines(found: Preview, rate: Rate | None) -> list[str]:
    """Say what may be needless, because the API's pages disagree about what later cycles need."""
    if not found.later_cycle_count:
        return []
    seconds = found.later_cycle_count * rate.window_ns / rate.max_starts / 1e9 if rate else 0
    lasting = f" ({duration(seconds)})" if rate else ""
    text = (
        f"Where enrolling into a cycle enrolls into the later ones too, {found.later_cycle_count:,} of these calls"
        f"{lasting} are needless: campaign.on_cascade: skip finds out while sending"
    )
    if found.first_cycle_is:
        text += f", and campaign.expand: first sends one cycle alone ({found.first_cycle_is})"
    text += "."
    return ["", *textwrap.wrap(text, WIDTH)]


def _request(request: EnrollmentRequest) -> str:
    """Say one request: what, whom, where, and what it carries."""
    scope = request.scope
    asks = [] if request.initial_balance is None else [f"initial balance {request.initial_balance}"]
    asks += ["reset"] if request.reset_streak_status else []
    org = [f"org {scope.org_id}"] if scope.org_id else []
    target = f"target {scope.target_group_id}/{scope.target_id}"
    return f"{scope.action} {request.customer}: {', '.join(filter(None, [request.period, *asks, target, *org]))}"


def rate_text(max_starts: int, window_ns: int) -> str:
    """Say a rate as the config writes it: 100/min."""
    seconds = window_ns / 1e9
    unit = {1.0: "s", 60.0: "min", 3600.0: "h"}.get(seconds, f"{seconds:g}s")
    return f"{max_starts:,}/{unit}"


def _time_needed(requests: int, rate: Rate | None) -> str:
    if rate is None:
        return "Rate: no limit."
    seconds = requests * rate.window_ns / rate.max_starts / 1e9
    return f"Rate: {rate_text(rate.max_starts, rate.window_ns)}, so sending takes about {duration(seconds)}."


def finding_lines(findings: Iterable[PlanFinding]) -> list[str]:
    """Say what the API says of a plan; what is wrong with it is marked."""
    lines = ["", "The API says:"]
    for finding in findings:
        mark = "  " if finding.is_good else "! "
        lines += textwrap.wrap(finding.text, WIDTH, initial_indent=mark, subsequent_indent="    ")
    return lines


def wrapped(texts: Iterable[str]) -> list[str]:
    """Return texts as lines, each text on a line of its own."""
    return [line for text in texts for line in textwrap.wrap(text, WIDTH)]


def nothing_to_rerun(counts: Mapping[Outcome, int], asked: Collection[Outcome], summary: Path) -> list[str]:
    """Say that a re-run has nothing to send, and what the requests need that are not done.

    `counts`: how the earlier run stands; `asked`: the outcomes that are sent again; `summary`: where its steps stand.
    """
    from batch.model import GROUP_OF, Group

    needs = {Group.FIX_DATA: "need a correction first", Group.LOOK: "need a look first"}
    found: dict[str, list[tuple[Outcome, int]]] = {}
    for outcome, count in counts.items():
        if count and outcome not in asked and GROUP_OF[outcome] is not Group.DONE:
            found.setdefault(needs.get(GROUP_OF[outcome], "were not asked for"), []).append((outcome, count))
    told = []
    for need, kinds in found.items():
        names = ", ".join(f"{count:,} {outcome.replace('_', ' ')}" for outcome, count in kinds)
        total = sum(count for _, count in kinds)
        told.append(f"{counted(total, 'request')} {need if total > 1 else _singular(need)} ({names})")
    open_count = sum(counts[outcome] for outcome in asked)
    why = f"with this config no row asks for the {counted(open_count, 'open request')}" if open_count else ""
    text = f"Nothing to send again{f': {why}' if why else ''}."
    if told:
        text += f' {"; ".join(told)}: see "next" in {summary}'
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _singular(verb: str) -> str:
    return verb.replace("need ", "needs ").replace("were ", "was ")


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
        if said := run.text or _said_of(run):
            lines += textwrap.wrap(said, WIDTH, initial_indent="    ", subsequent_indent="    ")
    return lines


def _said_of(run: RunStatus) -> str:
    """Say who works on a run, or that nobody does although it is not done."""
    state = run.state.value if run.state else ""
    beat = f"last heartbeat {duration(run.silent_s)} ago" if state == "sending" and run.silent_s is not None else ""
    if run.working:
        return "; ".join(filter(None, [str(run.holder or ""), beat]))
    if state in {"sending", "planning"}:
        return "; ".join(filter(None, ["its process died", beat, "`enroll-batch resume` goes on"]))
    if state == "finished" and run.exit_code is None:
        return "its process died over the report; `enroll-batch resume` writes it"
    return ""


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
    return rate_text(sharer.max_starts, sharer.window_ns)


def _short(run_id: str) -> str:
    return run_id if len(run_id) <= 44 else run_id[:41] + "..."


def question(
    found: Preview, base_url: str, rate: Rate | None, limit: int | None = None, sample: int | None = None
) -> str:
    """Ask before a real target is changed; unenrolls are counted and explained.

    `sample`: how many requests go first, before the run waits.
    """
    count = min(found.open_count, limit or found.open_count)
    is_sample = sample is not None and sample < count
    count = sample if sample is not None and is_sample else count
    of_all = "" if count == found.open_count else f" of {found.open_count:,} open ones"
    what, then = f"{counted(count, 'request')}{of_all} will be sent to {base_url}", ""
    if is_sample:
        what = f"A sample of {counted(count, 'request')}{of_all} will be sent to {base_url} first"
        then = "; then the run waits for your go-ahead"
    lines = ["", f"{what}{then}. {_time_needed(count, rate)}"]
    if found.open_unenrolls:
        whose = "of them" if not of_all else "of the open ones"
        lines += textwrap.wrap(
            f"{found.open_unenrolls:,} {whose} UNENROLL a customer: out of the current cycle and all later ones of a "
            "milestone, or out of the streak. Rewards due at the end of the current cycle are lost, and enrolling "
            "the customer again does not bring them back.",
            WIDTH,
        )
    return "\n".join([*lines, "Send the sample?" if is_sample else "Send them?"])
