"""A planned ledger in a folder, made by the real writers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from batch.ledger.planning import PlanWriter
from batch.ledger.sqlite import NewRun, SqliteLedger, create_ledger
from batch.model import Action, EnrollmentRequest, Kind, RowProblem, Scope, SourceRow

NEW_RUN = NewRun(
    run_id="r1",
    program_version="0",
    user="u",
    host="h",
    command="run",
    config_path="c.yaml",
    config_text="",
    working_dir="/",
    overrides="{}",
    base_url="sandbox",
    campaign="{}",
    created_at=1,
)
SCOPE = Scope(Action.ENROLL, Kind.MILESTONE, None, 29463, 5512)


def enroll(
    customer: int, period: str | None = "c1", balance: int | None = None, scope: Scope = SCOPE
) -> EnrollmentRequest:
    return EnrollmentRequest(scope, customer, period, balance)


def write(
    ledger: SqliteLedger, rows: Sequence[Sequence[EnrollmentRequest]], problems: Sequence[RowProblem] = ()
) -> None:
    """Plan rows into a ledger; a row without requests has the problems."""
    writer = PlanWriter(ledger)
    writer.begin_input("in.csv", "00", sheet=None, columns=["customer_id"], roles={"customer_id": 0}, remarks=[])
    for number, requests in enumerate(rows, start=2):
        cells = (str(requests[0].customer) if requests else "?",)
        writer.add_row(SourceRow(number, cells), requests, () if requests else problems, ())
    writer.end_input(len(rows), 0)
    writer.finish()


def planned(
    folder: Path, rows: Sequence[Sequence[EnrollmentRequest]], problems: Sequence[RowProblem] = ()
) -> SqliteLedger:
    """A ledger whose row n holds the n-th list of requests; a row without any has the problems."""
    ledger = create_ledger(folder, NEW_RUN)
    write(ledger, rows, problems)
    return ledger
