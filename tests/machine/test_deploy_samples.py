"""The samples for unattended nights, for those who will read them: systemd and Kubernetes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.machine

DEPLOY = Path(__file__).parent.parent.parent / "configs" / "deploy"
SERVICE = "enroll-batch.service"


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units in a folder of their own, where the program is one that exists."""
    for path in (*DEPLOY.glob("*.service"), *DEPLOY.glob("*.timer")):
        text = path.read_text("utf-8").replace("/opt/enroll-batch/bin/enroll-batch", f"{sys.executable} -m batch")
        (tmp_path / path.name).write_text(text)
    shutil.copy(tmp_path / "enroll-batch-failed@.service", tmp_path / f"enroll-batch-failed@{SERVICE}")
    return tmp_path


def analyze(*words: str, cwd: Path) -> str:
    ended = subprocess.run(["systemd-analyze", *words], cwd=cwd, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def test_systemd_takes_the_units_without_a_word(units: Path) -> None:
    for name in (SERVICE, "enroll-batch.timer", f"enroll-batch-failed@{SERVICE}"):
        assert analyze("verify", "--man=no", f"./{name}", cwd=units) == ""


def test_systemd_finds_the_service_well_confined(units: Path) -> None:
    """Fails when a line of the sandboxing is lost: its score, of 100, would rise."""
    analyze("security", "--offline=true", "--threshold=20", f"./{SERVICE}", cwd=units)


def test_the_timer_means_every_night(units: Path) -> None:
    (when,) = re.findall(r"^OnCalendar=(.*)$", (units / "enroll-batch.timer").read_text(), re.MULTILINE)
    assert "Normalized form: *-*-* 22:00:00" in analyze("calendar", when, cwd=units)


def test_kubernetes_takes_the_cron_job_to_the_letter() -> None:
    import kubernetes_validate  # noqa: PLC0415 - only machines that run this test have it

    job = yaml.safe_load((DEPLOY / "cronjob.yaml").read_text("utf-8"))
    kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)
    job["spec"]["concurrencyPolcy"] = "Forbid"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)
