"""What can be said about a run from its files alone, and whether that agrees with what the simulated API knows.

Reads the tables and the CSV files itself, by none of the product's queries.
"""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from batch.model import GROUP_OF, Group, Outcome

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox

Key = tuple[int, str]
"""A customer and a cycle."""


@dataclass(frozen=True)
class Witness:
    """What a ledger has on record of each request."""

    planned: frozenset[Key]
    intended: Counter[Key]
    """Attempts that were announced, by the intents alone."""
    recorded: Counter[Key]
    """Attempts whose end is on record, be it that nobody will ever know it."""
    interrupted: Counter[Key]
    """Those of them that a death cut off: perhaps they never left."""
    refused: Counter[Key]
    """Those of them that certainly changed nothing."""
    doubted: frozenset[Key]
    """Requests that were in doubt at some time."""
    untold: frozenset[Key]
    """Open requests with an attempt that was announced and has no end on record."""


def witness(run: Path) -> Witness:
    """Read a ledger as it lies there; a copy of it, so that whoever resumes has to mend it by himself."""
    with tempfile.TemporaryDirectory() as folder:
        for path in run.glob("ledger.sqlite*"):
            if not path.name.endswith("-shm"):
                shutil.copy(path, folder)
        connection = sqlite3.connect(Path(folder) / "ledger.sqlite")
        try:
            return _read(connection)
        finally:
            connection.close()


def _read(connection: sqlite3.Connection) -> Witness:
    key: dict[int, Key] = {
        no: (customer, period)
        for no, customer, period in connection.execute(
            "SELECT request_no, customer, name FROM request JOIN period USING (period_no) WHERE NOT contradicted"
        )
    }
    announced = [
        (no, attempt, fence)
        for fence, attempts in connection.execute("SELECT fence, attempts FROM intent")
        for no, attempt in json.loads(attempts)
    ]
    tried = connection.execute("SELECT request_no, attempt, fence, tells, reason FROM attempt").fetchall()
    ended = connection.execute("SELECT request_no, attempt, fence, outcome FROM outcome").fetchall()
    settled = {no for no, *_ in ended}
    known = {(no, attempt, fence) for no, attempt, fence, *_ in [*tried, *ended]}
    real = [row for row in tried if row[3] != "withdrawn"]
    doubted = [no for no, *_, tells, _ in tried if tells == "may_be_applied"]
    doubted += [no for no, *_, outcome in ended if outcome == "in_doubt"]
    return Witness(
        planned=frozenset(key.values()),
        intended=Counter(key[no] for no, *_ in announced),
        recorded=Counter(key[no] for no, attempt, *_ in [*real, *ended] if attempt),
        interrupted=Counter(key[no] for no, *_, reason in real if reason == "interrupted"),
        refused=Counter(key[no] for no, *_, tells, _ in real if tells in {"refused", "never_reached"}),
        doubted=frozenset(key[no] for no in doubted),
        untold=frozenset(
            key[no] for no, attempt, fence in announced if no not in settled and (no, attempt, fence) not in known
        ),
    )


def outcomes(run: Path) -> dict[Key, Outcome]:
    """How each request ended as the four outcome files tell it; each stands in one line of one file."""
    found: dict[Key, Outcome] = {}
    for name in ("succeeded", "already_enrolled", "invalid_user", "failed"):
        with (run / f"{name}.csv").open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                key = (int(row["customer_id"]), row["period_name"])
                assert key not in found, f"{key} is reported twice"
                found[key] = Outcome(row["outcome"])
    return found


def check_the_end(
    run: Path,
    api: RunningSandbox,
    uninterrupted: Mapping[Key, Outcome],
    with_value: Collection[int],
    in_doubt: str = "resend",
    doubted_before: frozenset[Key] = frozenset(),
) -> None:
    """Compare a run that was interrupted, and is finished, with the API's truth and with one that was not.

    `with_value`: the customers whose requests may stay in doubt, because a second one is not known to be harmless; they
    are sent again only after a look at the API. `in_doubt`: the setting; after "leave" any other request that was in
    doubt may stay so, and is not sent again. `doubted_before`: what was in doubt until a late answer ended it.
    """
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["state"], summary["balanced"]) == ("finished", True)
    told, ledger = outcomes(run), witness(run)
    ledger = replace(ledger, doubted=ledger.doubted | doubted_before)
    assert told.keys() == uninterrupted.keys() == ledger.planned
    for key, outcome in told.items():
        if GROUP_OF[outcome] is not GROUP_OF[uninterrupted[key]]:
            assert outcome is Outcome.IN_DOUBT, key
            assert key in ledger.doubted, key
            assert key[0] in with_value or in_doubt == "leave", key
    _check_the_calls(api, ledger, lambda key: in_doubt != "leave" or key[0] in with_value)
    _check_the_effects(api, told)


def _check_the_calls(api: RunningSandbox, ledger: Witness, sent_again: Callable[[Key], bool]) -> None:
    """Each call was announced and is on record; what was called again was refused, or in doubt and of this kind."""
    calls = Counter((call.customer, call.period or "") for call in api.journal())
    assert calls.keys() <= ledger.planned
    for key in ledger.planned:
        assert ledger.recorded[key] - ledger.interrupted[key] <= calls[key] <= ledger.recorded[key], key
        assert calls[key] <= ledger.intended[key], key
        if calls[key] - ledger.refused[key] > 1:
            assert key in ledger.doubted, key
            assert sent_again(key), key


def _check_the_effects(api: RunningSandbox, told: Mapping[Key, Outcome]) -> None:
    """Nothing took effect twice; what is told done is done, and what is told undone left no trace."""
    effects = {(place.customer, place.period): enrolment for place, enrolment in api.truth().items()}
    assert all(enrolment.enrolls <= 1 for enrolment in effects.values())
    assert effects.keys() <= told.keys()
    for key, outcome in told.items():
        if outcome is Outcome.ENROLLED:
            # Who was a member before anybody called, and whose first call a death cut off, passes for ours.
            assert key in effects or key[0] % 50 == 7, key
        elif outcome is not Outcome.IN_DOUBT and GROUP_OF[outcome] is not Group.DONE:
            assert key not in effects, key
