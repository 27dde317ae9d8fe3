from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from batch.ledger import planning
from batch.ledger.reading import LedgerReader
from batch.ledger.sending import SendingLedger
from batch.ledger.sqlite import LEDGER_NAME, SqliteLedger, open_ledger
from tests.ledger.contract import CHUNK_REQUESTS, Backend, LedgerMachine
from tests.ledger.ledgers import planned

if TYPE_CHECKING:
    from batch.model import EnrollmentRequest, Entries


class Killed(BaseException):
    """Stands for the end of a process with all of a write done but its commit."""


class SqliteBackend(Backend):
    """A ledger file in a folder of its own; each sender has a connection."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._opened: dict[int, SqliteLedger] = {}

    def plan(self, rows: Sequence[Sequence[EnrollmentRequest]]) -> None:
        usual, planning.CHUNK_REQUESTS = planning.CHUNK_REQUESTS, CHUNK_REQUESTS
        try:
            planned(self._folder, rows).close()
        finally:
            planning.CHUNK_REQUESTS = usual

    def start(self) -> SendingLedger:
        opened = self._stack.enter_context(open_ledger(self._folder))
        opened.connection.execute("PRAGMA synchronous = OFF")  # what dies here is no machine
        sender = SendingLedger(opened, "sender")
        self._opened[id(sender)] = opened
        return sender

    def kill(self, sender: SendingLedger, half_written: Entries) -> None:
        opened = self._opened[id(sender)]

        @contextlib.contextmanager
        def dying() -> Iterator[sqlite3.Connection]:
            opened.connection.execute("BEGIN IMMEDIATE")
            yield opened.connection
            raise Killed

        opened.transaction = dying
        with pytest.raises(Killed):
            sender.write(half_written, 9)
        opened.connection.close()

    def look(self) -> AbstractContextManager[LedgerReader]:
        return LedgerReader(self._folder / LEDGER_NAME)

    def close(self) -> None:
        self._stack.close()


class SqliteMachine(LedgerMachine):
    """Found by it when broken: an intent that a chunk's former holder may still write before the chunk is claimed
    anew; a write after a failed one; a late answer that is refused; answers of another attempt taken for this one's.
    """

    def backend(self) -> Backend:
        return SqliteBackend()


TestSqliteLedger = SqliteMachine.TestCase
TestSqliteLedger.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
