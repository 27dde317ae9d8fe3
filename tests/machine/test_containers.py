"""Nights in containers, each with a host name and process numbers of its own, that share nothing but their volume."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.conftest import Desk, Factory, customers, desk
from tests.crash.conftest import wait_until

__all__ = ["desk"]

pytestmark = pytest.mark.machine


def a_pod(name: str, *command: object) -> list[str]:
    """Return a line that runs a command as the first process of a container, which dies with the line's own."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    apart = ["unshare", *user, "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"]
    return [*apart, "sh", "-c", 'hostname "$0"; exec "$@"', name, *map(str, command)]


def test_what_a_killed_pod_held_is_taken_again_by_the_next_one(desk: Desk, sandbox: Factory) -> None:
    """Broken once: a claim named host and process only, so nobody knew that its pod was gone, for seven days."""
    api = sandbox(preload=False, latency_ms=5)
    inbox = desk.folder / "inbox"
    inbox.mkdir()
    for name, ids in {"1-may.csv": range(100, 160), "2-june.csv": range(200, 203)}.items():
        (inbox / name).write_text(customers(ids))
        os.utime(inbox / name, (10**9, 10**9))
    config = desk.config(api, campaign={"cycles": ["PERIOD_G_29463_1"]}, inbox=str(inbox), pacing={"rate": "12/s"})
    night = [sys.executable, "-m", "batch", "nightly", "-c", config]
    with subprocess.Popen(a_pod("pod-1", *night), cwd=desk.folder, stdout=subprocess.PIPE) as killed:
        assert wait_until(lambda: api.calls["enroll"] > 0, killed)
        alive = subprocess.run(a_pod("pod-2", *night), cwd=desk.folder, capture_output=True, text=True, check=False)
        assert "1-may.csv: is held by process 1 on pod-1." in alive.stdout + alive.stderr
        assert alive.returncode == 0
        killed.send_signal(signal.SIGKILL)
    said = subprocess.run(a_pod("pod-3", *night), cwd=desk.folder, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said
    lies = sorted(str(path.relative_to(inbox)) for path in inbox.rglob("*") if path.is_file())
    assert lies == ["done/1-may.csv", "done/2-june.csv"]
    assert len(api.truth()) == 63
    assert list(Path("reports").glob(".night-*")) == []
