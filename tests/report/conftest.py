from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch.ledger.reading import LedgerReader
from batch.report.folder import write_report
from tests.report.ledgers import LedgerOfTests, full_ledger, plain_advice

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batch.report.reconcile import Accounts

Report = tuple["Path", "Accounts"]


@pytest.fixture
def reported(tmp_path: Path) -> Callable[..., Report]:
    """Return a function that builds a full ledger, lets `change` alter it, and writes its report.

    `reported(change, **run)` gives the run's folder and the accounts.
    """

    def report(change: Callable[[LedgerOfTests], object] | None = None, **run: object) -> Report:
        folder = tmp_path / "run"
        folder.mkdir()
        ledger = full_ledger(folder / "ledger.sqlite", **run)
        if change is not None:
            change(ledger)
        ledger.close()
        return folder, write_again(folder)

    return report


def write_again(folder: Path) -> Accounts:
    """Write the report of a folder's ledger."""
    with LedgerReader(folder / "ledger.sqlite") as reader:
        return write_report(folder, reader, plain_advice)
