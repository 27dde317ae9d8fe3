"""The command line as a person uses it, in this process, against the simulated API over a real socket."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from batch.commands import cli
from tests.conftest import RunningSandbox


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


def customers(ids: Sequence[int]) -> str:
    """An upload of customers and nothing else."""
    return "customer_id\n" + "".join(f"{number}\n" for number in ids)


Factory = Callable[..., RunningSandbox]


def check_against_the_truth(desk: Desk, api: RunningSandbox) -> None:
    """Compare the report with what the API knows: nothing is told that did not happen, nothing applied is denied."""
    changed = api.truth()
    effects = Counter({(str(p.customer), p.period): e.enrolls + e.unenrolls for p, e in changed.items()})
    enrolled = {(str(customer), period) for customer, period in api.enrolled()}
    for row in desk.rows("succeeded.csv"):
        key = (row["customer_id"], row["period_name"])
        if row["outcome"] == "enrolled":
            assert key in enrolled
            assert effects[key] >= 1
        else:
            assert not any(customer == row["customer_id"] for customer, _ in enrolled)
    for name in ("invalid_user.csv", "failed.csv"):
        for row in desk.rows(name):
            if row["outcome"] not in {"in_doubt", "value_not_applied"}:
                assert effects[row["customer_id"], row["period_name"]] == 0
    assert api.overlaps == 0
