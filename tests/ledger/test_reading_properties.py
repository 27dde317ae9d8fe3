from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from batch.ledger.reading import LedgerReader
from batch.model import Outcome
from batch.report.reconcile import reconcile
from tests.report.ledgers import LedgerOfTests

TELLS = ("refused", "never_reached", "may_be_applied", "withdrawn")
SETTLED = ("enrolled", "already_enrolled", "invalid_user", "in_doubt", "not_sent")


@dataclass(frozen=True)
class History:
    """What happened to one request: unsettled attempts, then an outcome, an attempt without a trace, or nothing."""

    attempts: tuple[str, ...]
    end: str | None

    def standing(self) -> tuple[str, str]:
        """How the request stands, written down once more in the plainest way."""
        if self.end in SETTLED:
            return self.end, "settled"
        real = [tells for tells in self.attempts if tells != "withdrawn"]
        if "may_be_applied" in real:
            return "in_doubt", "attempt"
        if self.end == "interrupted":
            return "in_doubt", "interrupted"
        return ("server_error", "attempt") if real else ("not_sent", "signal")

    def attempt_count(self) -> int:
        """Attempts that were recorded and were attempts."""
        return sum(tells != "withdrawn" for tells in self.attempts) + (self.end in SETTLED)


HISTORIES = st.lists(
    st.builds(
        History,
        st.lists(st.sampled_from(TELLS), max_size=3).map(tuple),
        st.sampled_from([*SETTLED, "interrupted", None]),
    ),
    max_size=12,
)


def record(ledger: LedgerOfTests, histories: list[History]) -> None:
    ledger.scope()
    ledger.period("C1")
    ledger.input(blank=1)
    for number, history in enumerate(histories, start=1):
        ledger.request(ledger.row(str(number), "C1"), number)
        for attempt, tells in enumerate(history.attempts, start=1):
            ledger.intent((number, attempt))
            ledger.attempt(number, attempt, tells, "server_error", reason="attempt")
        last = len(history.attempts) + 1
        if history.end is not None:
            ledger.intent((number, last))
        if history.end in SETTLED:
            ledger.outcome(number, history.end, reason="settled", attempt=last)


@settings(deadline=None, max_examples=50)  # each example is a file
@given(HISTORIES)
def test_whatever_happened_each_request_stands_once_and_the_accounts_balance(histories: list[History]) -> None:
    """Fails when, for instance, withdrawn attempts are counted, or `interrupted` looks at the request alone."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = LedgerOfTests(Path(folder) / "ledger.sqlite", state="stopped", stop_reason="signal")
        ledger.execute("BEGIN")
        record(ledger, histories)
        ledger.execute("COMMIT")
        with LedgerReader(ledger.path) as reader:
            rows, tallies = list(reader.report_rows()), reader.tallies()
            accounts = reconcile(reader.run(), reader.inputs(), tallies)
        ledger.close()
    assert [(row.outcome.value, row.reason) for row in rows] == [history.standing() for history in histories]
    assert [row.attempts for row in rows] == [history.attempt_count() for history in histories]
    assert tallies.outcomes == {o: Counter(row.outcome for row in rows)[o] for o in Outcome}
    assert sum(row.attempts for row in rows) == tallies.attempts
    assert accounts.balanced, accounts.identities
    assert accounts.exit_code == 7
