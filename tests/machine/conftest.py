"""A report as its readers get it, for programs that are not Python: a browser and LibreOffice."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch.capillary.advice import ADVICE
from batch.ledger.reading import LedgerReader
from batch.model import Outcome
from batch.report.folder import write_report
from tests.report.ledgers import SECOND, START, full_ledger

EVIL = '<script>document.title = "executed"</script><img src=x onerror="alert(1)">'
LONG = "PERIOD_" + "November" * 15
FORMULA = '=HYPERLINK("https://example.com","click")'


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with every outcome, holds, rate changes, a pause, and names that want to be executed."""
    folder = tmp_path_factory.mktemp("run")
    ledger = full_ledger(folder / "ledger.sqlite", sending_ns=150 * SECOND)
    ledger.execute("BEGIN")
    ledger.execute("UPDATE scope SET kind = 'milestone'")  # a report that goes back in has one kind, as its config
    ledger.execute("UPDATE request SET period_no = 1, reset = 0 WHERE scope_no = 2")
    cycles = [ledger.period(EVIL), ledger.period(LONG)]
    scopes = [1, ledger.scope(target=991)]
    outcomes = [Outcome.ENROLLED] * 40 + list(Outcome)
    for number in range(1, 2001):
        request_no = ledger.request(
            ledger.row(f"+{number}", "x", FORMULA), number, scopes[number % 2], cycles[number % 3 % 2]
        )
        outcome = outcomes[number % len(outcomes)]
        at = START + number * SECOND // 20 + (SECOND * 3600 if number > 1000 else 0)
        said = {"status": 200, "code": 310011, "message": EVIL} if outcome is Outcome.INVALID_USER else {}
        ledger.outcome(request_no, outcome.value, settled_at=at, **said)  # type: ignore[arg-type]
        if number % 200 == 0:
            ledger.attempt(request_no, 1, "refused", "rate_limited", status=429)
            ledger.event("hold", "2.0 s: HTTP 429", at=at, held_s=2.0)
            per_s = 20 - number / 200
            ledger.event("rate", f"{per_s:.2f}/s: lowered after HTTP 429", at=at, per_s=per_s)
    ledger.event("quarantine", EVIL, at=START + 30 * SECOND)
    ledger.event("stopped", "--limit: 1000 requests were sent", at=START + 51 * SECOND)
    ledger.event("resumed", "1000 requests open", at=START + 3650 * SECOND)
    ledger.event("finished", "every request has its outcome", at=START + 3701 * SECOND)
    ledger.execute("COMMIT")
    ledger.close()
    with LedgerReader(folder / "ledger.sqlite") as reader:
        accounts = write_report(folder, reader, ADVICE, set_per_s=20.0)
    assert accounts.balanced
    return folder
