"""What every ledger must do, as a state machine: planned, claimed, sent, killed, taken over, fenced.

A backend gives a ledger (`Backend`); the machine does to it what senders do, living, dead and taken for dead, and
compares it after each step with a model that is a dict of what was written. Knows no table and no file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from batch.errors import LedgerFailed
from batch.model import Chunk, EnrollmentRequest, Entries, Event, Intent, OpenRequest, Outcome, Result, Tells, Verdict
from tests.ledger.ledgers import enroll

if TYPE_CHECKING:
    from batch.ledger.reading import LedgerReader
    from batch.ledger.sending import SendingLedger

CHUNK_REQUESTS = 3
"""A backend of this contract cuts chunks of so many requests."""

VERDICTS = {
    "enrolled": Verdict(Outcome.ENROLLED, settled=True, http_status=200),
    "unknown": Verdict(Outcome.INVALID_USER, settled=True, http_status=200, error_code=310011),
    "given up": Verdict(Outcome.IN_DOUBT, settled=True, tells=Tells.MAY_BE_APPLIED),
    "busy": Verdict(Outcome.SERVER_ERROR, settled=False, http_status=461, tells=Tells.REFUSED),
    "held": Verdict(Outcome.RATE_LIMITED, settled=False, http_status=429, tells=Tells.REFUSED, counts=False),
    "lost": Verdict(Outcome.IN_DOUBT, settled=False, tells=Tells.MAY_BE_APPLIED),
    "withdrawn": Verdict(Outcome.NOT_SENT, settled=False, tells=Tells.WITHDRAWN, counts=False),
}


class Backend(ABC):
    """One ledger, and the ways to it that a process has."""

    @abstractmethod
    def plan(self, rows: Sequence[Sequence[EnrollmentRequest]]) -> None:
        """Make the ledger and plan these rows into it."""

    @abstractmethod
    def start(self) -> SendingLedger:
        """Give a sender of its own, as a new process has it; older ones stay as they are."""

    @abstractmethod
    def kill(self, sender: SendingLedger, half_written: Entries) -> None:
        """End a sender as a killed process ends: in the middle of writing `half_written`."""

    @abstractmethod
    def look(self) -> AbstractContextManager[LedgerReader]:
        """Give what the report reads."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything."""


@dataclass
class Life:
    """What the model knows of one request."""

    request: EnrollmentRequest
    chunk_no: int
    intents: set[tuple[int, int]] = field(default_factory=set)
    """(attempt, fence)"""
    attempts: dict[tuple[int, int], Verdict] = field(default_factory=dict)
    """What did not settle it, by (attempt, fence)."""
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    """How it ended, by fence."""

    @property
    def made(self) -> list[tuple[tuple[int, int], Verdict]]:
        """The attempts that were attempts, in order."""
        return sorted((key, v) for key, v in self.attempts.items() if v.tells is not Tells.WITHDRAWN)

    @property
    def untold(self) -> set[tuple[int, int]]:
        """The intents of which nothing more is known, although the request is open."""
        return set() if self.outcomes else self.intents - self.attempts.keys()

    @property
    def maybe_applied(self) -> bool:
        """Whether an attempt that was recorded may have been applied."""
        return any(v.tells is Tells.MAY_BE_APPLIED for v in self.attempts.values())

    @property
    def standing(self) -> Outcome:
        """How the report shows it."""
        if self.outcomes:
            ranks = {(o is not Outcome.NOT_SENT, o is not Outcome.IN_DOUBT, f): o for f, o in self.outcomes.items()}
            return ranks[max(ranks)]
        if self.maybe_applied or self.untold:
            return Outcome.IN_DOUBT
        return self.made[-1][1].outcome if self.made else Outcome.NOT_SENT


@dataclass
class Sender:
    """A sender, and what it holds in memory as the pool does."""

    ledger: SendingLedger
    chunks: list[Chunk] = field(default_factory=list)
    idle: dict[int, OpenRequest] = field(default_factory=dict)
    out: dict[int, OpenRequest] = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        """Whether it has anything in hand."""
        return bool(self.idle or self.out)


INTERRUPTED = VERDICTS["lost"]
PLANS = st.lists(
    st.lists(
        st.builds(enroll, st.integers(1, 5), st.sampled_from(["c1", "c2"]), st.sampled_from([None, None, None, 7])),
        min_size=1,
        max_size=2,
    ),
    min_size=1,
    max_size=6,
)


class LedgerMachine(RuleBasedStateMachine):
    """Subclass it with a `backend`."""

    def backend(self) -> Backend:
        """Return a backend without a ledger yet."""
        raise NotImplementedError

    @initialize(rows=PLANS)
    def plan(self, rows: list[list[EnrollmentRequest]]) -> None:
        self.ledger = self.backend()
        self.ledger.plan(rows)
        self.lives = _lives(rows)
        self.chunks = {life.chunk_no: "ready" for life in self.lives.values()}
        self.fences = dict.fromkeys(self.chunks, 0)
        self.sender: Sender | None = None
        self.frozen: list[Sender] = []

    @precondition(lambda self: self.sender is None)
    @rule()
    def resume(self) -> None:
        """A sender takes over: what the one before left untold is in doubt from now on."""
        sender = self.ledger.start()
        untold = [(life, key) for life in self.lives.values() for key in life.untold]
        assert sender.take_over(1) == len(untold)
        for life, key in untold:
            life.attempts[key] = INTERRUPTED
        self.chunks = {no: "ready" if state == "claimed" else state for no, state in self.chunks.items()}
        self.sender = Sender(sender)

    @precondition(lambda self: self.sender is not None and self.sender.busy)
    @rule(data=st.data(), end=st.sampled_from(["killed", "failing", "frozen"]))
    def end(self, data: st.DataObject, end: str) -> None:
        """The sender is killed while it writes, or cannot write, or sleeps so long that another may take over."""
        entries, _, _ = self._entries(data, self.sender)
        if end == "killed":
            self.ledger.kill(self.sender.ledger, entries)
        elif end == "failing":
            self._fail(self.sender, entries)
        else:
            self.frozen.append(self.sender)
        self.sender = None

    def _fail(self, sender: Sender, entries: Entries) -> None:
        """Nothing of a failed write stands, and nothing is written any more: not even that all is done."""
        item = next(iter((sender.out | sender.idle).values()))
        twice = [_result(item, VERDICTS["enrolled"])] * 2
        with pytest.raises(LedgerFailed):
            sender.ledger.write(replace(entries, results=twice), 4)
        with pytest.raises(LedgerFailed):
            sender.ledger.write(Entries(finished_chunks=sender.chunks), 4)

    @precondition(lambda self: self.sender is not None)
    @rule()
    def claim(self) -> None:
        ready = [no for no, state in self.chunks.items() if state == "ready"]
        chunk = self.sender.ledger.claim_chunk()
        if not ready:
            assert chunk is None
            return
        no = min(ready)
        self.chunks[no], self.fences[no] = "claimed", self.fences[no] + 1
        assert chunk == Chunk(no, self.fences[no])
        items = self.sender.ledger.open_requests(chunk)
        assert items == self._open_requests(chunk)
        self.sender.chunks.append(chunk)
        self.sender.idle |= {item.request_no: item for item in items}

    def _open_requests(self, chunk: Chunk) -> list[OpenRequest]:
        """A chunk's open requests, lane by lane in the order of the input."""
        open_ones = {no: life for no, life in self.lives.items() if life.chunk_no == chunk.chunk_no}
        lanes = list(dict.fromkeys(life.request.customer for life in open_ones.values()))
        items = [
            OpenRequest(
                no,
                life.request,
                chunk,
                len(life.made),
                sum(verdict.counts for _, verdict in life.attempts.items()),
                life.maybe_applied,
            )
            for no, life in open_ones.items()
            if not life.outcomes
        ]
        return sorted(items, key=lambda item: lanes.index(item.request.customer))

    @precondition(lambda self: self.sender is not None and self.sender.busy)
    @rule(data=st.data())
    def work(self, data: st.DataObject) -> None:
        """Answers come, and the next requests get their intents, all in one write."""
        entries, answered, leaving = self._entries(data, self.sender)
        self.sender.ledger.write(entries, 2)
        self._record(self.sender, answered)
        for item in leaving:
            self.lives[item.request_no].intents.add((item.attempts + 1, item.chunk.fence))
            self.sender.out[item.request_no] = self.sender.idle.pop(item.request_no)

    @precondition(lambda self: self.sender is not None and any(map(self._settled, self.sender.chunks)))
    @rule()
    def finish_chunks(self) -> None:
        done = [chunk for chunk in self.sender.chunks if self._settled(chunk)]
        self.sender.ledger.write(Entries(finished_chunks=done), 3)
        self.chunks |= {chunk.chunk_no: "done" for chunk in done}
        self.sender.chunks = [chunk for chunk in self.sender.chunks if chunk not in done]

    def _settled(self, chunk: Chunk) -> bool:
        return all(life.outcomes for life in self.lives.values() if life.chunk_no == chunk.chunk_no)

    @precondition(lambda self: self.frozen and self.sender is not None)
    @rule(data=st.data())
    def wake(self, data: st.DataObject) -> None:
        """Who was taken for dead brings its answers, which are kept, but can start nothing any more."""
        sleeper = self.frozen.pop(data.draw(st.integers(0, len(self.frozen) - 1)))
        entries, answered, leaving = self._entries(data, sleeper)
        sleeper.ledger.write(Entries(results=entries.results, finished_chunks=sleeper.chunks), 5)
        self._record(sleeper, answered)
        if leaving:
            with pytest.raises(LedgerFailed, match="taken by another sender"):
                sleeper.ledger.write(Entries(intents=entries.intents, events=[Event(6, "hold", "no")]), 6)

    def _entries(self, data: st.DataObject, sender: Sender) -> tuple[Entries, dict[int, Verdict], list[OpenRequest]]:
        """Draw what a sender writes next: answers to what is out, and intents of what is idle."""
        said = data.draw(
            st.fixed_dictionaries({no: st.sampled_from([*VERDICTS, None, None]) for no in sender.out}), label="answers"
        )
        answered = {no: VERDICTS[name] for no, name in said.items() if name}
        count = len(sender.idle) - data.draw(st.integers(0, len(sender.idle)), label="stay")
        leaving = list(sender.idle.values())[:count]
        intents = [
            Intent(chunk, tuple((i.request_no, i.attempts + 1) for i in leaving if i.chunk == chunk))
            for chunk in dict.fromkeys(item.chunk for item in leaving)
        ]
        results = [_result(sender.out[no], verdict) for no, verdict in answered.items()]
        return Entries(intents=intents, results=results), answered, leaving

    def _record(self, sender: Sender, answered: dict[int, Verdict]) -> None:
        for no, verdict in answered.items():
            item = sender.out.pop(no)
            life, key = self.lives[no], (item.attempts + 1, item.chunk.fence)
            if verdict.settled:
                life.attempts.pop(key, None)
                life.outcomes[item.chunk.fence] = verdict.outcome
                continue
            life.attempts[key] = verdict
            if verdict.tells is not Tells.WITHDRAWN:  # who withdraws leaves the rest to a resume
                sender.idle[no] = replace(
                    item,
                    attempts=item.attempts + 1,
                    attempts_counted=item.attempts_counted + verdict.counts,
                    maybe_applied=item.maybe_applied or verdict.tells is Tells.MAY_BE_APPLIED,
                )

    @invariant()
    def the_report_shows_what_was_written(self) -> None:
        if not hasattr(self, "lives"):
            return
        with self.ledger.look() as reader:
            standing = {row.request_no: (row.request, row.outcome) for row in reader.report_rows()}
            tallies = reader.tallies()
        assert standing == {no: (life.request, life.standing) for no, life in self.lives.items()}
        assert tallies.unique == len(self.lives)
        assert tallies.unsettled == sum(not life.outcomes for life in self.lives.values())
        assert tallies.attempts == sum(len(life.made) + len(life.outcomes) for life in self.lives.values())
        assert tallies.attempts == tallies.first_attempts + tallies.retries
        if self.sender:
            assert self.sender.ledger.open_count() == tallies.unsettled

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()


def _result(item: OpenRequest, verdict: Verdict) -> Result:
    return Result(item.request_no, item.chunk.fence, item.attempts + 1, verdict, verdict.settled, 5, 6)


def _lives(rows: Iterable[Iterable[EnrollmentRequest]]) -> dict[int, Life]:
    """Number the requests, leave out repeats and contradictions, and deal the customers to chunks."""
    numbered: dict[Any, tuple[int, EnrollmentRequest]] = {}
    asked: dict[Any, set[int | None]] = {}
    for no, request in enumerate((request for row in rows for request in row), start=1):
        key = (request.scope, request.customer, request.period)
        numbered.setdefault(key, (no, request))
        asked.setdefault(key, set()).add(request.initial_balance)
    unique = dict(numbered[key] for key in numbered if len(asked[key]) == 1)
    sizes = Counter(request.customer for request in unique.values())
    chunk_of: dict[int, int] = {}
    chunk_no, room = 0, 0
    for customer, size in sizes.items():
        if size > room:
            chunk_no, room = chunk_no + 1, CHUNK_REQUESTS
        room -= size
        chunk_of[customer] = chunk_no
    return {no: Life(request, chunk_of[request.customer]) for no, request in unique.items()}
