"""The command line as a person uses it, in this process, against the simulated API over a real socket."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from batch.commands import cli
from tests.conftest import RunningSandbox

if TYPE_CHECKING:
    from batch.sandbox.state import Enrolment


@dataclass(frozen=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Desk:
    """A working folder with a command line."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def __call__(self, *arguments: object) -> Said:
        """Run `enroll-batch` with these arguments."""
        self.capsys.readouterr()
        self.monkeypatch.setattr(sys, "argv", ["enroll-batch", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = self.capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        code = ended.value.code
        return Said(code if isinstance(code, int) else 0, said.out, said.err)

    def upload(self, text: str, name: str = "upload.csv") -> Path:
        """Write an upload."""
        path = self.folder / name
        path.write_text(text, "utf-8", newline="")
        return path

    def config(self, api: RunningSandbox | str, /, **groups: object) -> Path:
        """Write a config for an API: a milestone of two cycles unless `groups` say otherwise."""
        settings: dict[str, Any] = {
            "api": {"base_url": api if isinstance(api, str) else api.url, "read_timeout_s": 5},
            "auth": {"kind": "oauth", "key": "${KEY}", "secret": "${SECRET}"},
            "campaign": {
                "kind": "milestone",
                "target_group_id": 29463,
                "target_id": 5512,
                "cycles": ["PERIOD_G_29463_1", "PERIOD_G_29463_2"],
            },
            "pacing": {"rate": None},
            "retry": {"attempts": 3, "base_s": 0.01, "max_s": 0.05},
            "input": {"max_problems": "100%"},
        }
        for name, group in groups.items():
            merged = isinstance(group, dict) and name != "auth"
            settings[name] = settings.get(name, {}) | group if merged else group
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump({name: group for name, group in settings.items() if group is not None}))
        return path

    def run(self, api: RunningSandbox | str, upload: str, /, *options: object, **groups: object) -> Said:
        """Run an upload into the folder `run`."""
        config = self.config(api, **groups)
        return self("run", self.upload(upload), "-c", config, "--yes", "--run-dir", self.folder / "run", *options)

    def summary(self) -> dict[str, Any]:
        """Return the run's summary, once it is known to balance."""
        summary: dict[str, Any] = json.loads((self.folder / "run" / "summary.json").read_text())
        assert summary["balanced"] is True
        return summary

    def outcomes(self) -> dict[str, int]:
        """Return the outcomes that happened, with their counts."""
        return {name: count for name, count in self.summary()["outcomes"].items() if count}

    def rows(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a CSV of the run."""
        with (self.folder / "run" / name).open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A command line in an empty folder, with the simulated API's credentials in the environment."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"KEY": "sandbox-key", "SECRET": "sandbox-secret", "PASSWORD": "server123"}.items():
        monkeypatch.setenv(name, value)
    return Desk(tmp_path, capsys, monkeypatch)


@pytest.fixture
def lean_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write reports without page and workbook, which take most of a small run: for tests that look at neither."""
    from tests.crash.forks import write_less  # noqa: PLC0415 - it imports more than most tests need

    write_less(monkeypatch.setattr)


def customers(ids: Sequence[int]) -> str:
    """An upload of customers and nothing else."""
    return "customer_id\n" + "".join(f"{number}\n" for number in ids)


Factory = Callable[..., RunningSandbox]


OUTCOME_FILES = "succeeded.csv", "already_enrolled.csv", "invalid_user.csv", "failed.csv"
SURE = {"", "with_warnings"}
"""Reasons of an `enrolled` that the API itself has answered, so that this run has done it."""


def check_against_the_truth(desk: Desk, api: RunningSandbox, earlier: Sequence[Desk] = ()) -> None:
    """Compare the report with what the API knows: nothing is told that did not happen, nothing applied is denied.

    Both ways and exactly: each place that calls have changed stands in the report as changed (by this run or by one
    of `earlier`) or as in doubt, once for each time that it was changed.
    """
    told = {_place(row): row for name in OUTCOME_FILES for row in desk.rows(name)}
    before = {_place(row) for desk in earlier for name in OUTCOME_FILES for row in desk.rows(name)}
    truth = {(str(p.group), str(p.target), str(p.customer), p.period): e for p, e in api.truth().items()}
    for place, row in told.items():
        if place not in before:
            _check_one(row, place, truth)
    changed = {place[:3] for place, row in told.items() if row["outcome"] in {"unenrolled", "in_doubt"}}
    for place, enrolment in truth.items():
        assert place in told or place in before or place[:3] in changed, ("applied, but not told", place, enrolment)
    assert api.overlaps == 0


def _place(row: dict[str, str]) -> tuple[str, str, str, str]:
    return row["target_group_id"], row["target_id"], row["customer_id"], row["period_name"]


def _check_one(
    row: dict[str, str], place: tuple[str, str, str, str], truth: dict[tuple[str, str, str, str], Enrolment]
) -> None:
    now = truth.get(place)
    effects = now.enrolls + now.unenrolls if now else 0
    match row["outcome"]:
        case "enrolled" if row["reason"] in SURE:
            assert now is not None, row
            assert now.enrolled, row
            assert effects == 1, (row, now)
            assert row["initial_balance"] in {"", str(now.balance)}, (row, now)
        case "enrolled":  # an answer was lost; it may have said that somebody else had enrolled the customer before
            assert effects <= 1, (row, now)
        case "unenrolled":
            of_customer = [each for other, each in truth.items() if other[:3] == place[:3]]
            assert of_customer, row
            assert all(each.unenrolls == 1 and not each.enrolled for each in of_customer), row
        case "in_doubt":
            assert effects <= 1, (row, now)
        case _:
            assert effects == 0, (row, now)
