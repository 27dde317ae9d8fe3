"""What the API tells about a target group, and what it means when it does not."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from batch.capillary.auth import OAuth
from batch.capillary.client import Address, CapillaryClient
from batch.capillary.target_groups import (
    Cycle,
    Target,
    UnreadableEntry,
    cycles_path,
    is_not_allowed,
    judge_read,
    read_cycles,
    read_targets,
    targets_path,
)
from batch.model import NoAnswer, Outcome, Reply, Tells

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox

    Start = Callable[..., RunningSandbox]

TODAY = dt.date(2026, 11, 22)


def period(number: int, start: str, end: str, **more: object) -> dict[str, object]:
    return {"id": number, "refCode": f"Cycle_{number}", "startDate": start, "endDate": end, "active": True} | more


def listed(*items: object) -> Reply:
    return Reply(200, json.dumps({"data": items, "errors": None, "warnings": None}).encode())


async def read(api: RunningSandbox, path: str) -> Reply | NoAnswer:
    client = CapillaryClient(Address(api.url, "", "v3.1", 5, 5), OAuth("sandbox-key", "sandbox-secret"), 1)
    try:
        return await client.read(0, path, {})
    finally:
        await client.aclose()


def test_cycles_come_by_their_first_day_then_by_their_id() -> None:
    answer = listed(
        period(4, "2026-12-01", "2026-12-31"),
        period(3, "2026-11-01", "2026-11-30"),
        period(2, "2026-11-01", "2026-11-15"),
    )
    cycles = read_cycles(answer)
    assert cycles is not None
    assert [cycle.name for cycle in cycles] == ["Cycle_2", "Cycle_3", "Cycle_4"]
    assert [(cycle.is_over(TODAY), cycle.is_running(TODAY)) for cycle in cycles] == [
        (True, False), (False, True), (False, False)
    ]  # fmt: skip


def test_a_name_is_kept_to_the_letter_and_may_be_a_number() -> None:
    cycles = read_cycles(
        listed(
            period(1, "2026-01-01", "2026-01-02", refCode="Period "), period(2, "2026-01-03", "2026-01-04", refCode=7)
        )
    )
    assert cycles == (
        Cycle("Period ", 1, dt.date(2026, 1, 1), dt.date(2026, 1, 2), is_active=True),
        Cycle("7", 2, dt.date(2026, 1, 3), dt.date(2026, 1, 4), is_active=True),
    )


@pytest.mark.parametrize(
    "answer",
    [
        NoAnswer(Tells.MAY_BE_APPLIED, "timed out"),
        Reply(500, b"{}"),
        Reply(200, b"<html>"),
        Reply(200, b'{"data": {}, "errors": null}'),
        Reply(200, b'{"data": [], "errors": [{"code": 310017, "message": "no"}]}'),
        Reply(200, listed().body, complete=False),
    ],
)
def test_what_is_no_list_lists_none(answer: Reply | NoAnswer) -> None:
    assert read_cycles(answer) is None
    assert read_targets(answer) is None


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("no cycle", 'entry 2, "no cycle", is no cycle'),
        (None, "entry 2, null, is no cycle"),
        (period(7, "2026-01-01", "2026-01-02", endDate=None), "entry 2, cycle 7: endDate is null, no date"),
        (period(7, "soon", "2026-01-02"), 'entry 2, cycle 7: startDate is "soon", no date'),
        (period(7, "2026-01-01", "2026-01-02", startDate=1767225600000), "startDate is 1767225600000, no date"),
        (period(7, "2026-01-01", "2026-01-02", refCode=None), "entry 2, cycle 7: refCode is null, no name"),
        (period(7, "2026-01-01", "2026-01-02", refCode=""), 'entry 2, cycle 7: refCode is "", no name'),
        (period(7, "2026-01-01", "2026-01-02", id=True), "entry 2, cycle true: id is true, no whole number"),
        ({}, "entry 2, cycle null: refCode is null, no name"),
    ],
)
def test_a_cycle_that_matters_and_cannot_be_read_is_named(entry: object, said: str) -> None:
    with pytest.raises(UnreadableEntry) as fault:
        read_cycles(listed(period(1, "2026-01-01", "2026-01-02"), entry))
    assert str(fault.value).endswith(said)


@pytest.mark.parametrize("broken", [{"refCode": None}, {"endDate": None}, {"startDate": "soon"}, {"id": None}])
def test_a_cycle_that_is_not_active_and_cannot_be_read_is_passed_over(broken: dict[str, object]) -> None:
    cycles = read_cycles(
        listed(
            period(1, "2026-01-01", "2026-01-02", active=False) | broken,
            period(2, "2026-01-03", "2026-01-04"),
            period(3, "2026-01-05", "2026-01-06", active=False),
        )
    )
    assert cycles is not None
    assert [cycle.name for cycle in cycles] == ["Cycle_2", "Cycle_3"]


def test_a_target_that_cannot_be_read_is_named_unless_it_is_not_active() -> None:
    assert read_targets(listed({"id": None, "active": False}, {"id": "7"})) == (Target(7, "", is_active=True),)
    with pytest.raises(UnreadableEntry, match='entry 1, target "x": id is "x", no whole number'):
        read_targets(listed({"id": "x"}))


@pytest.mark.parametrize(
    ("answer", "is_so"),
    [
        (Reply(403, b""), True),
        (Reply(403, b'{"data": null, "errors": [{"code": 4000, "message": "denied"}]}'), True),
        (Reply(200, b'{"data": null, "errors": [{"code": 4000, "message": "denied"}]}'), True),
        (Reply(401, b""), False),
        (Reply(498, b""), False),
        (Reply(200, b'{"data": null, "errors": [{"code": 320001, "message": "wrong key"}]}'), False),
        (Reply(404, b""), False),
    ],
)
def test_that_reading_is_not_allowed_is_another_thing_than_wrong_credentials(answer: Reply, is_so: bool) -> None:
    assert is_not_allowed(judge_read(29463, answer, can_renew=False, now_s=0)) is is_so


def test_a_group_that_does_not_exist_is_settled_and_silence_is_not() -> None:
    refused = Reply(200, b'{"data": null, "errors": [{"code": 310017, "message": "no active group"}]}')
    verdict = judge_read(29463, refused, can_renew=True, now_s=0)
    assert (verdict.outcome, verdict.settled) == (Outcome.TARGET_NOT_FOUND, True)
    assert not judge_read(29463, NoAnswer(Tells.MAY_BE_APPLIED, "timed out"), can_renew=True, now_s=0).settled
    assert judge_read(29463, Reply(401, b""), can_renew=True, now_s=0).renew_token
    assert judge_read(29463, Reply(429, b"", {"retry-after": "7"}), can_renew=True, now_s=0).hold_s == 7


def test_the_simulated_api_lists_cycles_and_targets(sandbox: Start) -> None:
    api = sandbox()
    cycles = read_cycles(asyncio.run(read(api, cycles_path(29463))))
    assert cycles is not None
    assert [cycle.name for cycle in cycles] == [f"PERIOD_G_29463_{n}" for n in range(1, 11)]
    assert cycles[0].is_running(dt.datetime.now(dt.UTC).date())
    targets = read_targets(asyncio.run(read(api, targets_path(29463))))
    assert targets is not None
    assert [(target.target_id, target.is_active) for target in targets] == [(5512, True)]
