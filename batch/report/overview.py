"""Step 5 of 5: everything that the sheets of figures and the page show besides the rows themselves.

One record, so that both say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from batch.model import Event, Note, UnsettlingAttempts
    from batch.report.latency import Latencies
    from batch.report.provenance import ProvenanceCounts
    from batch.report.reconcile import Accounts
    from batch.report.samples import EndKind, ProblemKind
    from batch.report.tables import Advice
    from batch.report.timeline import Timeline


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
