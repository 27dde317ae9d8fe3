"""Step 5 of 5: everything that the sheets of figures and the page show besides the rows themselves.

One record, and the lists that more than one of them shows, so that all say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from batch.report.reconcile import OUTCOME_FILES
from batch.report.tables import utc_text
from batch.report.words import command_line, counted, duration_text, rate_text, rejected_counts, stop_words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from batch.model import Event, InputFacts, Note, UnsettlingAttempts
    from batch.report.latency import Latencies
    from batch.report.provenance import ProvenanceCounts
    from batch.report.reconcile import Accounts
    from batch.report.samples import EndKind, ProblemKind
    from batch.report.tables import Advice
    from batch.report.timeline import Timeline

PAGE = "report.html"
RUN_LOG = "run.log"


@dataclass(frozen=True, slots=True)
class Overview:
    """What there is to say of a run."""

    accounts: Accounts
    folder: Path
    notes: tuple[Note, ...]
    events: tuple[Event, ...]
    advice: Advice
    timeline: Timeline
    latencies: Latencies
    ends: tuple[EndKind, ...]
    ends_beyond: int
    """Requests whose kind of end is not among `ends`."""
    unsettling: tuple[UnsettlingAttempts, ...]
    problems: tuple[ProblemKind, ...]
    provenance: ProvenanceCounts
    is_masked: bool

    @property
    def facts(self) -> list[Fact]:
        """What is known of the run as a whole, without what is not known."""
        run, tallies = self.accounts.run, self.accounts.tallies
        rate_per_s = self.accounts.rate_per_s
        facts = [
            Fact("Run", run.run_id),
            Fact("State", run.state.value),
            Fact("Stopped", stop_words(run.stop_text or "").removeprefix("stopped ")),
            Fact.of_count("Exit code", self.accounts.exit_code),
            Fact("Started by", f"{run.user}@{run.host}"),
            Fact("Command", command_line(self.accounts)),
            Fact("Config", run.config_path),
            Fact("API", run.base_url),
            Fact("Program", f"enroll-batch {run.program_version}"),
            Fact.of_time("Sending began", run.started_at),
            Fact.of_time("Sending ended", run.finished_at),
            Fact("Time spent sending", duration_text(self.accounts.duration_s)),
            Fact("Rate on average", rate_text(rate_per_s) if rate_per_s else ""),
            Fact("Answering times", self.latencies.text),
            Fact.of_count("Attempts", tallies.attempts),
            Fact.of_count("Retries among them", tallies.retries),
            Fact.of_count("Calls saved", tallies.calls_saved),
            Fact.of_count("Calls to look customers up", tallies.look_ups or None),
        ]
        return [fact for fact in facts if fact.text]


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to know of a run: its name, its text, and the count or the time that the text is made of, if any."""

    name: str
    text: str
    count: int | None = None
    at: int | None = None
    """Nanoseconds since 1970 UTC."""

    @classmethod
    def of_count(cls, name: str, count: int | None) -> Fact:
        """Make a fact of a count; without one the text is empty."""
        return cls(name, "" if count is None else f"{count:,}", count=count)

    @classmethod
    def of_time(cls, name: str, at: int | None) -> Fact:
        """Make a fact of a time; without one the text is empty."""
        return cls(name, utc_text(at) or "", at=at)


def files_of(accounts: Accounts, folder: Path) -> list[tuple[str, str]]:
    """Return the files of a run folder for people, each with what it holds."""
    files = [(name, counted(accounts.lines(name), "request")) for name in OUTCOME_FILES]
    files += [
        ("rejected_rows.csv", ", ".join(rejected_counts(accounts))),
        *([("annotated.xlsx", "your rows with the problems marked")] if accounts.is_annotated else []),
        (PAGE, "the page"),
        ("reconciliation.xlsx", "the same as a workbook"),
        ("summary.json", "the figures for programs"),
        ("summary.md", "the figures for a chat"),
    ]
    return [*files, *([(RUN_LOG, "what happened when")] if (folder / RUN_LOG).exists() else [])]


def names_of(inputs: Sequence[InputFacts]) -> dict[int, str]:
    """Return a name for each input by its number: as much of its path's end as tells it from the others."""
    parts = {file.input_no: PurePosixPath(file.path.replace("\\", "/")).parts for file in inputs}
    sheets = {file.input_no: file.sheet for file in inputs}
    names = {}
    for number, path in parts.items():
        others = {other for other in parts.values() if other != path}
        lengths = range(1, len(path) + 1)
        length = next((n for n in lengths if all(other[-n:] != path[-n:] for other in others)), len(path))
        is_shared = list(parts.values()).count(path) > 1
        names[number] = "/".join(path[-length:]) + (f", sheet {sheets[number]}" if is_shared else "")
    return names
