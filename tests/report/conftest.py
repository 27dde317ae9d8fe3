from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from batch.ledger.reading import LedgerReader
from batch.report.folder import write_report
from tests.report.ledgers import LedgerOfTests, PlainAdvice, full_ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batch.report.reconcile import Accounts

Report = tuple["Path", "Accounts"]


@pytest.fixture
def reported(tmp_path: Path) -> Callable[..., Report]:
    """Return a function that builds a full ledger, lets `change` alter it, and writes its report.

    `reported(change, options, **run)`, with the options of `write_report`, gives the run's folder and the accounts.
    """

    def report(
        change: Callable[[LedgerOfTests], object] | None = None, options: dict[str, Any] | None = None, **run: object
    ) -> Report:
        folder = tmp_path / "run"
        folder.mkdir()
        ledger = full_ledger(folder / "ledger.sqlite", **run)
        if change is not None:
            change(ledger)
        ledger.close()
        return folder, write_again(folder, **options or {})

    return report


def write_again(folder: Path, **options: Any) -> Accounts:
    """Write the report of a folder's ledger; `options` are those of `write_report`."""
    with LedgerReader(folder / "ledger.sqlite") as reader:
        return write_report(folder, reader, PlainAdvice(), **options)
