"""Step 2 of 5: look requests up in the ledgers of earlier runs, to know whether one of ours enrolled a customer.

Owns the reading of other runs' ledgers: newest first, by identity (scope, customer, period), only what was settled
before, and never more look-ups than a report can afford. A ledger of another API says nothing; one that is damaged or
of another version may have had the answer, so that then nobody can say that no run of ours did it. Writes nothing; a
run that is being sent is not disturbed.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batch.errors import LedgerFailed
from batch.ledger.looking import connect_to_read
from batch.ledger.schema import SCHEMA_VERSION
from batch.ledger.standing import BY_EARLIER_CYCLE, CASCADING, NOT_COVERED, ORDERED
from batch.model import Action, EarlierRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from batch.model import ReportRow, Scope

LOOK_UPS = 2_000_000
"""So many requests are looked up, over all ledgers. Source: our choice: they cost some ten seconds of one core."""
LEDGERS = 100
"""At most so many runs are looked at, the newest ones. Source: our choice: a quarter of a year of nights."""
_CACHE_KIB = 512
"""Of each ledger, so that a hundred of them need no more than 50 MiB."""
_AT_ONCE = 400
"""Customers in one question; SQLite takes at least 999 parameters."""

_WHERE = (
    "SELECT r.customer, s.action, s.org_id, s.target_group_id, s.target_id, p.name, {what} FROM request r"
    " JOIN {table} t USING (request_no) JOIN scope s USING (scope_no) LEFT JOIN period p USING (period_no)"
    " WHERE r.customer IN ({marks})"
)
_ABOUT = " UNION ALL ".join(
    (
        _WHERE.format(what="t.outcome, t.settled_at", table="outcome", marks="{marks}")
        + " AND (t.outcome IN ('enrolled', 'unenrolled')"
        f" OR (t.outcome = 'covered_by_cascade' AND NOT {NOT_COVERED}))",
        # As the report of that run has it: enrolled already, by an earlier cycle.
        _WHERE.format(what="'covered_by_cascade', t.settled_at", table="outcome", marks="{marks}")
        + f" AND t.outcome = 'already_enrolled' AND r.scope_no IN ({CASCADING}) AND {BY_EARLIER_CYCLE}",
        # Still in doubt: no later look at the API has said what became of it.
        _WHERE.format(what="t.outcome, t.settled_at", table="outcome", marks="{marks}") + " AND t.outcome = 'in_doubt'"
        " AND NOT EXISTS (SELECT 1 FROM verdict v WHERE v.request_no = t.request_no AND v.sample = '')",
        _WHERE.format(what="t.outcome, t.asked_at", table="verdict", marks="{marks}")
        + " AND t.outcome IN ('enrolled', 'unenrolled') AND t.sample = ''",
        # A sender that died, or stopped: nothing says more about the request than this attempt.
        _WHERE.format(what="'in_doubt', t.ended_at", table="attempt", marks="{marks}")
        + " AND t.tells = 'may_be_applied' AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.request_no = t.request_no)",
    )
)

_Place = tuple[int | str, int | None, int, int]
"""Customer, org, target group, target."""


@dataclass(slots=True)
class _Traces:
    """What one ledger has of a batch's customers. Times are nanoseconds since 1970."""

    enrolled: dict[tuple[_Place, str | None], list[int]] = field(default_factory=dict)
    in_doubt: dict[tuple[_Place, str | None], list[int]] = field(default_factory=dict)
    unenrolled: dict[_Place, list[int]] = field(default_factory=dict)

    def last_enrolled(self, key: tuple[_Place, str | None], before: int) -> int:
        return _last(self.enrolled.get(key, ()), before)

    def last_in_doubt(self, key: tuple[_Place, str | None], before: int) -> int:
        return _last(self.in_doubt.get(key, ()), before)

    def last_unenrolled(self, key: tuple[_Place, str | None], before: int) -> int:
        return _last(self.unenrolled.get(key[0], ()), before)


def _last(times: Iterable[int], before: int) -> int:
    return max((at for at in times if at < before), default=0)


class EarlierLedgers:
    """The ledgers of other runs against the same API, newest first. A context manager."""

    def __init__(self, paths: Iterable[Path], base_url: str, before: int | None) -> None:
        """`before`: runs that were made later cannot have been earlier; nanoseconds since 1970, None for no end."""
        self._paths = tuple(paths)
        self._base_url = base_url
        self._before = before
        self._open: list[tuple[str, sqlite3.Connection]] = []
        self.is_complete = True
        """Whether every ledger that may know something could be asked, so far."""

    def expect(self, count: int, perhaps: int = 0) -> bool:
        """Open as many ledgers, the newest, as `count` look-ups in each can be afforded.

        Return whether `perhaps` more can be afforded in each of them; where nothing else is looked up, in the newest.
        """
        if not count + perhaps:
            return False
        affordable = min(LEDGERS, max(1, LOOK_UPS // (count or perhaps)))
        found = []
        for path in self._paths:
            try:
                found += _opened(path, self._base_url, self._before)
            except _UNREADABLE:
                self.is_complete = False
        found.sort(key=lambda each: -each[0])
        self.is_complete &= len(found) <= affordable
        for index, (_, run_id, connection) in enumerate(found):
            if index < affordable:
                self._open.append((run_id, connection))
            else:
                connection.close()
        return (count + perhaps) * len(self._open) <= LOOK_UPS

    def find(self, rows: Sequence[ReportRow]) -> list[EarlierRequest | None]:
        """Return, for each row, the newest run before its answer that enrolled the customer or left it in doubt."""
        found: list[EarlierRequest | None] = [None] * len(rows)
        open_indexes = list(range(len(rows)))
        for run_id, connection in self._open:
            if not open_indexes:
                break
            try:
                traces = _traces(connection, {rows[index].request.customer for index in open_indexes})
            except sqlite3.Error:  # damaged further on
                self.is_complete = False
                continue
            still_open = []
            for index in open_indexes:
                is_known, found[index] = _verdict(traces, rows[index], run_id)
                if not is_known:
                    still_open.append(index)
            open_indexes = still_open
        return found

    def close(self) -> None:
        """Let go of the ledgers."""
        for _, connection in self._open:
            connection.close()

    def __enter__(self) -> EarlierLedgers:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


_UNREADABLE = (sqlite3.Error, LedgerFailed, ValueError, TypeError)
"""What it raises to read a ledger that is damaged, locked for good, gone by now, or of another version."""


def _opened(path: Path, base_url: str, before: int | None) -> list[tuple[int, str, sqlite3.Connection]]:
    """Open a ledger; return when its run was made, its id and the connection, or nothing where it has no say.

    Raises one of `_UNREADABLE` where nobody can tell.
    """
    connection = connect_to_read(path)
    is_wanted = False
    try:
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        (url,) = connection.execute("SELECT base_url FROM run").fetchone()
        if url != base_url:
            return []
        version, run_id, started_at, created_at = connection.execute(
            "SELECT schema_version, run_id, started_at, created_at FROM run"
        ).fetchone()
        if started_at is None or (before is not None and created_at >= before):
            return []
        if version != SCHEMA_VERSION:
            raise ValueError(f"{path}: layout {version}")
        connection.executescript(f"PRAGMA query_only = OFF; {ORDERED} PRAGMA query_only = ON;")
        is_wanted = True
        return [(created_at, run_id, connection)]
    finally:
        if not is_wanted:
            connection.close()


def _traces(connection: sqlite3.Connection, customers: Iterable[int | str]) -> _Traces:
    traces = _Traces()
    for customer, action, org_id, group_id, target_id, period, outcome, at in _about(connection, customers):
        place = (customer, org_id, group_id, target_id)
        if outcome == "unenrolled":
            traces.unenrolled.setdefault(place, []).append(at)
        elif action == Action.ENROLL:
            into = traces.in_doubt if outcome == "in_doubt" else traces.enrolled
            into.setdefault((place, period), []).append(at)
    return traces


def _about(connection: sqlite3.Connection, customers: Iterable[int | str]) -> Iterator[tuple[Any, ...]]:
    """Yield what a ledger has of these customers."""
    ordered = sorted(customer for customer in customers if isinstance(customer, int))
    for first in range(0, len(ordered), _AT_ONCE):
        some = ordered[first : first + _AT_ONCE]
        yield from connection.execute(_ABOUT.format(marks=", ".join("?" * len(some))), some * 5)


def _verdict(traces: _Traces, row: ReportRow, run_id: str) -> tuple[bool, EarlierRequest | None]:
    """Return whether this ledger decides the matter, and who enrolled; an unenroll of ours undoes what came before."""
    key = _key(row.request.scope, row.request.customer, row.request.period)
    before = row.settled_at if row.settled_at is not None else 1 << 62
    enrolled, unenrolled = traces.last_enrolled(key, before), traces.last_unenrolled(key, before)
    in_doubt = traces.last_in_doubt(key, before)
    if enrolled > unenrolled:
        return True, EarlierRequest(run_id, is_in_doubt=False)
    if in_doubt > unenrolled:
        return True, EarlierRequest(run_id, is_in_doubt=True)
    return bool(unenrolled), None


def _key(scope: Scope, customer: int | str, period: str | None) -> tuple[_Place, str | None]:
    return (customer, scope.org_id, scope.target_group_id, scope.target_id), period
