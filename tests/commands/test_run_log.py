"""What programs read in run.log, of real runs: numbers stand in fields, and these are what the README names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Desk, Factory, customers

README = Path(__file__).parents[2] / "README.md"
ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}
EVERY_LINE = {"at", "run", "event", "text"}


def documented() -> dict[str, tuple[set[str], set[str]]]:
    """What the README says of each kind of event: the fields that it always has, and those that it may have."""
    _, _, text = README.read_text("utf-8").partition("| event | always |")
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*)\| ([^|]*)\|$", text.partition("\n\n")[0], re.MULTILINE)
    cells = {kind: [set(re.findall(r"`(\w+)`", cell)) for cell in cells] for kind, *cells in rows}
    fields = {}
    for kind, (always, sometimes) in cells.items():
        others = sometimes & cells.keys()
        fields[kind] = always, sometimes.union(*(name for other in others for name in cells[other]))
    return fields


def entries(desk: Desk, event: str = "") -> list[dict[str, Any]]:
    """The lines of run.log, all or those of one kind, once each has what the README says of its kind."""
    found = [json.loads(line) for line in (desk.folder / "run" / "run.log").read_text("utf-8").splitlines()]
    for entry in found:
        always, sometimes = documented()[entry["event"]]
        assert entry.keys() >= EVERY_LINE | always, entry
        assert entry.keys() <= EVERY_LINE | always | sometimes, entry
        assert entry["run"] == "run"
    return [entry for entry in found if event in {"", entry["event"]}]


def facts(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in EVERY_LINE}


def test_a_run_with_a_hold_a_lowered_rate_a_stop_and_a_resume_tells_its_numbers(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False, limit_per_min=3600, limit_window_s=1, retry_after="seconds")
    people = range(345_651_100, 345_651_300)
    assert desk.run(api, customers(people), "--rate", "200/s", "--limit", 150, campaign=ONE_CYCLE).code == 7
    assert desk("resume", "run", "--yes", "--rate", "none").code in {0, 4}
    found = entries(desk)
    order = [entry["event"] for entry in found if entry["event"] not in {"hold", "rate", "concurrency"}]
    assert order == ["planned", "started", "stopped", "resumed", "finished"]
    told = {entry["event"]: facts(entry) for entry in found}
    assert told["planned"] == {"rows_read": 200, "rows_with_problems": 0, "requests": 200}
    assert told["started"] == {"requests_open": 200, "max_starts": 200, "window_s": 1.0}
    assert told["stopped"] == {"limit": 150, "reason": "limit", "requests_open": 50}
    assert told["resumed"] == {"requests_open": 50, "max_starts": None, "window_s": None, "interrupted": 0}
    assert told["finished"] == {"requests_open": 0}
    for hold in entries(desk, "hold"):
        assert hold["text"] == f"{hold['held_s']:.1f} s: {hold['reason']}"
        assert hold["reason"] == "HTTP 429"
    lowered = entries(desk, "rate")
    assert 0 < lowered[0]["per_s"] < 200
    for rate in lowered:
        assert rate["text"] == f"{rate['per_s']:.2f}/s: {rate['reason']}"
    text = (desk.folder / "run" / "run.log").read_text("utf-8")
    assert [number for number in people if str(number) in text] == []
    assert "sandbox-secret" not in text
    page = (desk.folder / "run" / "report.html").read_text("utf-8")
    assert "Allowed: 200 per second, then no limit" in page


def test_a_guard_tells_what_it_counted(desk: Desk, sandbox: Factory) -> None:
    guard = {"stop_when": {"invalid_user": "10%"}, "minimum": 10}
    assert desk.run(sandbox(), customers(range(199, 4000, 100)), guard=guard, campaign=ONE_CYCLE).code == 6
    (stopped,) = entries(desk, "stopped")
    assert stopped["text"].startswith(f"{stopped['requests']} of the last {stopped['of_requests']} requests ended as ")
    assert (stopped["reason"], stopped["ended_as"], stopped["allowed_share"]) == ("guard", "invalid_user", 0.1)


def test_a_canary_and_a_cascade_tell_their_numbers_and_name_their_target(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False, cascade=True)
    campaign = {"cycles": [f"PERIOD_G_29463_{n}" for n in (1, 2, 3)], "on_cascade": "skip"}
    assert desk.run(api, customers(range(100, 160)), "--canary", 5, campaign=campaign).code == 9
    assert desk("resume", "run", "--yes").code == 0
    target = {"org_id": None, "target_group_id": 29463, "target_id": 5512}
    (canary,), (cascade,), (asked,) = (entries(desk, kind) for kind in ("canary", "cascade", "asked"))
    assert canary["text"] == f"{canary['customers']} customers sent as a sample"
    (stopped,) = entries(desk, "stopped")
    assert facts(stopped) == {
        "customers": canary["customers"], "reason": "canary", "requests_open": 180 - 3 * canary["customers"],
    }  # fmt: skip
    assert facts(cascade).items() >= target.items()
    assert f"of {cascade['customers']} customers {cascade['already_enrolled']} later cycles" in cascade["text"]
    assert facts(asked).items() >= target.items()
    assert f"about {asked['customers']} of {asked['of_customers']} customers" in asked["text"]


def test_a_quarantine_names_what_is_closed(desk: Desk, sandbox: Factory) -> None:
    campaign = {"cycles": ["PERIOD_G_29463_1", "no such cycle"]}
    desk.run(sandbox(preload=False), customers(range(1, 31)), "--concurrency", 1, campaign=campaign)
    (closed,) = entries(desk, "quarantine")
    assert facts(closed) == {
        "org_id": None, "target_group_id": 29463, "target_id": 5512, "period": "no such cycle", "refusals": 3,
        "error_code": 310019,
    }  # fmt: skip


def test_look_ups_tell_how_many_were_found(desk: Desk, sandbox: Factory) -> None:
    rows = "".join(f"91{number:010}\n" for number in (120, 121, 199))
    desk.run(sandbox(preload=False), f"mobile\n{rows}", campaign=ONE_CYCLE)
    (looked_up,) = entries(desk, "looked_up")
    assert facts(looked_up) == {"customers": 3, "looked_up": 3, "not_found": 1}


@pytest.mark.parametrize("upload", ["customer_id\n", "customer_id\nnobody\n"])
def test_a_refused_upload_tells_what_was_read(desk: Desk, sandbox: Factory, upload: str) -> None:
    assert desk.run(sandbox(), upload).code == 3
    rows = upload.count("\n") - 1
    (stopped,) = entries(desk, "stopped")
    assert facts(stopped) == {"reason": "input", "rows_read": rows, "rows_with_problems": rows, "requests_open": 0}
