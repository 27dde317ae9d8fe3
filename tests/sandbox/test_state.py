"""The API's truth outlives its process."""

from __future__ import annotations

import datetime as dt
import sqlite3

import pytest

from batch.errors import UsageError
from batch.sandbox.state import Enrolment, Membership, Place, State

TODAY = dt.date(2026, 5, 10)
WHO = Membership(1, 2, 3, 4)


def test_what_was_written_is_there_for_the_next_start(tmp_path):
    path = tmp_path / "state.sqlite"
    first = State(path, TODAY)
    first.write(WHO, {"a": Enrolment(enrolled=True, balance=7, enrolls=1), "b": Enrolment(enrolled=False, balance=0)})
    first.write(WHO, {"a": Enrolment(enrolled=True, balance=8, enrolls=2)})
    # Read while the first is still open: as after a kill, nothing waits in its memory.
    second = State(path, dt.date(2027, 1, 1))
    assert second.of(WHO)["a"] == Enrolment(enrolled=True, balance=8, enrolls=2)
    assert second.of(Membership(1, 2, 3, 5)) == {}
    assert list(second.truth()) == [Place(1, 2, 3, 4, "a"), Place(1, 2, 3, 4, "b")]
    assert second.born_on == TODAY
    first.close()
    second.close()
    assert [file.name for file in tmp_path.iterdir()] == ["state.sqlite"]


@pytest.mark.parametrize("make", ["text", "folder", "nowhere", "other database"])
def test_a_file_that_is_no_state_is_refused_and_left_alone(tmp_path, make):
    path = tmp_path / "state.sqlite"
    if make == "text":
        path.write_text("customer_id,name\n" * 100)
    elif make == "folder":
        path.mkdir()
    elif make == "nowhere":
        path = tmp_path / "missing" / "state.sqlite"
    else:
        database = sqlite3.connect(path)
        database.execute("CREATE TABLE enrolment (something)")
        database.close()
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(UsageError, match="state"):
        State(path, TODAY)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_the_same_api_is_met_again_with_the_same_file(sandbox, call, code, tmp_path):
    path = tmp_path / "state.sqlite"
    first = sandbox(state=path)
    call(first).enroll(1, balance=30)
    truth = first.truth()
    first.close()
    second = sandbox(state=path)
    assert second.truth() == truth
    assert code(call(second).enroll(1)) == 310119


def test_cycles_keep_their_dates_when_the_api_starts_again_later(sandbox, call, tmp_path):
    path = tmp_path / "state.sqlite"
    told = []
    for day in (dt.datetime(2026, 5, 10, tzinfo=dt.UTC), dt.datetime(2026, 9, 1, tzinfo=dt.UTC)):
        api = sandbox(state=path, now=day.timestamp)
        periods = call(api).http.get("/v3/targetGroups/29463/targetPeriods").json()["data"]
        told.append([(p["refCode"], p["startDate"], p["endDate"]) for p in periods])
        api.close()
    assert told[0] == told[1]
