"""Beside the steps: the figures of a run for the textfile collector of Prometheus.

Owns the names, the form and the file, which appears whole or not at all. No id is in a label, and no label grows with
the upload. Does not know where figures come from. Source: the text format of prometheus.io/docs/instrumenting and the
textfile collector of github.com/prometheus/node_exporter, which reads every `*.prom` of a folder.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_LAST_SUCCESS = "last_success_timestamp_seconds"


@dataclass(frozen=True, slots=True)
class Figures:
    """How the last run of a config stands. Times are seconds since 1970; None where there is none.

    `rows` counts the upload's rows by what became of them, `outcomes` its requests, `in_doubt_beside` those of the
    config's other runs that are in doubt still. `exit_code` is that of the last run or night, None while a run is at
    work.
    """

    config: str
    rows: Mapping[str, int]
    outcomes: Mapping[Outcome, int]
    attempts: int
    retries: int
    in_flight: int
    rate_per_s: float
    throttled_s: float
    started_at: float | None
    exit_code: int | None
    last_success_at: float | None
    in_doubt_beside: int = 0


def metrics_text(figures: Figures) -> str:
    """Return the figures in Prometheus' text format, every line labelled with the config."""
    return "\n".join(_lines(figures)) + "\n"


def _lines(figures: Figures) -> Iterator[str]:
    config = {"config": figures.config}
    rows = [(config | {"disposition": name}, count) for name, count in figures.rows.items()]
    outcomes = [(config | {"outcome": outcome.value}, figures.outcomes.get(outcome, 0)) for outcome in Outcome]
    in_doubt = figures.outcomes.get(Outcome.IN_DOUBT, 0) + figures.in_doubt_beside
    yield from _family("rows", "Rows of the upload by what became of them, in the last run.", rows)
    yield from _family("requests", "Requests by outcome, in the last run; not_sent: still open.", outcomes)
    for name, text, value in (
        ("in_doubt_outstanding", "Requests of all runs of which nobody knows whether they were applied.", in_doubt),
        ("attempts", "Requests sent in the last run, retries included.", figures.attempts),
        ("retries", "Requests of the last run that were sent once more.", figures.retries),
        ("in_flight", "Requests that are out now.", figures.in_flight),
        ("rate_per_second", "Attempts per second of sending, in the last run.", figures.rate_per_s),
        ("throttled_seconds", "How long nothing might start because the API asked for it.", figures.throttled_s),
        ("running", "Whether a run is at work: 1 or 0.", int(figures.exit_code is None)),
        ("last_run_timestamp_seconds", "When the last run began to send.", figures.started_at),
        ("last_exit_code", "How the last run or night ended; absent while a run is at work.", figures.exit_code),
        (_LAST_SUCCESS, "When a run or night last came to its end: exit code 0, 4, 5.", figures.last_success_at),
    ):
        if value is not None:
            yield from _family(name, text, [(config, value)])


def _family(name: str, text: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> Iterator[str]:
    yield f"# HELP enroll_batch_{name} {text}"
    yield f"# TYPE enroll_batch_{name} gauge"
    for labels, value in samples:
        shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"enroll_batch_{name}{{{shown}}} {value}"


def _escaped(text: str) -> str:
    safe = text.encode(errors="backslashreplace").decode()
    return safe.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def write_metrics(path: Path, figures: Figures) -> None:
    """Write the file by rename, so that no collector ever reads half of it; its folder is made where it is missing.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")  # no *.prom, so that no collector takes it
    try:
        partial.write_text(metrics_text(figures), encoding="utf-8", newline="\n")
        partial.chmod(0o644)  # the collector is another user
        os.replace(partial, path)  # noqa: PTH105  # says what it does: the old file is replaced at once
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def read_last_success(path: Path) -> float | None:
    """Return when a run last came to its end, as the file has it; None when it does not say."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    found = re.search(rf"^enroll_batch_{_LAST_SUCCESS}{{.*}} ([0-9.]+)$", text, re.MULTILINE)
    return float(found[1]) if found else None
