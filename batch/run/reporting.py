"""Third pass: the ledger becomes the files of the run's folder. A function of the ledger alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.capillary.advice import advise
from batch.ledger.reading import LedgerReader
from batch.ledger.sqlite import LEDGER_NAME
from batch.report.folder import write_report
from batch.report.terminal import closing_table

if TYPE_CHECKING:
    from pathlib import Path

    from batch.report.reconcile import Accounts


def report(folder: Path) -> Accounts:
    """Write the report files of a run again, and return its accounts.

    Raises:
        LedgerFailed: the ledger is damaged or cannot be read; the files are left as they are.
    """
    with LedgerReader(folder / LEDGER_NAME) as reader:
        reader.check_integrity()
        return write_report(folder, reader, advise)


def closing_lines(folder: Path, accounts: Accounts) -> list[str]:
    """Return what a person is told at the end of a run: accounts, outcomes with advice, files, next steps."""
    return closing_table(accounts, folder, advise)
