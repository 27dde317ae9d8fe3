"""The API as a process: for one run (embedded), and as the command `sandbox`."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from batch.errors import EnrollBatchError
from batch.sandbox.access import Credentials
from batch.sandbox.embedded import Embedded

ENROLL = "/v3.1/targetGroups/29463/targets/5512/enroll"
RECORD = [{"customerId": 1, "periodName": "PERIOD_G_29463_1"}]
SANDBOX = [sys.executable, "-m", "batch", "sandbox"]


def basic(credentials=None):
    credentials = credentials or Credentials()
    return (credentials.till, credentials.password_md5)


def test_an_embedded_api_serves_with_its_switches_and_credentials_and_keeps_its_state(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = tmp_path / "sandbox.sqlite"
    own = Credentials(till="my.till", password_md5="0" * 32)
    with Embedded(state, {"success_status": "201"}, own) as api:
        assert httpx.post(api.url + ENROLL, json=RECORD, auth=basic()).status_code == 401
        assert httpx.post(api.url + ENROLL, json=RECORD, auth=basic(own)).status_code == 201
    with Embedded(state) as api:
        assert httpx.post(api.url + ENROLL, json=RECORD, auth=basic()).json()["errors"][0]["code"] == 310119
    with pytest.raises(httpx.ConnectError):
        httpx.post(api.url + ENROLL, json=RECORD)


def test_no_secret_is_on_the_command_line_of_the_child(tmp_path):
    own = Credentials(password_md5="d0c0ffee" * 4, secret="hush-hush")
    with Embedded(tmp_path / "state.sqlite", {}, own) as api:
        words = subprocess.run(["ps", "-o", "args=", "-p", str(api.pid)], capture_output=True, check=True).stdout
        assert b"sandbox" in words
        assert b"d0c0ffee" not in words
        assert b"hush-hush" not in words


def test_a_switch_that_is_wrong_is_told_by_the_one_who_starts_it(tmp_path):
    with pytest.raises(EnrollBatchError, match='did you mean "cascade"'):
        Embedded(tmp_path / "state.sqlite", {"cascde": "true"})


def test_a_state_that_cannot_be_kept_is_told_by_the_one_who_starts_it(tmp_path):
    with pytest.raises(EnrollBatchError, match="name another file"):
        Embedded(tmp_path / "missing" / "state.sqlite")


def test_without_the_extra_the_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(EnrollBatchError, match=r"pip install 'enroll-batch\[sandbox\]'"):
        Embedded(tmp_path / "state.sqlite")


PARENT = """
import signal, sys
from pathlib import Path
from batch.sandbox.embedded import Embedded
with Embedded(Path(sys.argv[1])) as api:
    print(api.url, flush=True)
    signal.pause()
"""


def test_the_embedded_api_ends_when_its_parent_is_killed_and_what_it_answered_stays(tmp_path):
    path = tmp_path / "state.sqlite"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(path)], stdout=subprocess.PIPE, text=True)
    url = parent.stdout.readline().strip()
    assert httpx.post(url + ENROLL, json=RECORD, auth=basic()).status_code == 200
    with socket.create_connection(url.removeprefix("http://").split(":"), timeout=60) as waiting:
        parent.kill()
        parent.wait()
        parent.stdout.close()
        assert waiting.recv(1) == b""  # the API has gone, and so this connection
    with pytest.raises(httpx.ConnectError):
        httpx.post(url + ENROLL, json=RECORD)
    with Embedded(path) as api:
        assert httpx.post(api.url + ENROLL, json=RECORD, auth=basic()).json()["errors"][0]["code"] == 310119


def test_the_embedded_api_is_in_a_session_of_its_own_so_that_no_ctrl_c_reaches_it(tmp_path):
    with Embedded(tmp_path / "state.sqlite") as api:
        assert os.getsid(api.pid) == api.pid


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_where_it_serves_and_ends_quietly(signal_number):
    options = ["--port", "0", "--set", "limit_per_min=1"]
    command = subprocess.Popen(
        [*SANDBOX, *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    first, *rest = (command.stdout.readline() for _ in range(4))
    url = next(word for word in first.split() if word.startswith("http://"))
    with httpx.Client(auth=basic()) as client:
        statuses = [client.post(url + ENROLL, json=RECORD).status_code for _ in range(2)]
    command.send_signal(signal_number)
    more, complaints = command.communicate()
    assert statuses == [200, 429]
    assert "store.server" in rest[0]
    assert "sandbox-secret" in rest[1]
    assert more == ""
    assert (complaints, command.returncode) == ("", 0)


def test_the_command_shows_no_secret_that_is_not_its_own():
    command = subprocess.Popen(
        [*SANDBOX, "--port", "0"], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"ENROLL_BATCH_SANDBOX_SECRET": "hush", "ENROLL_BATCH_SANDBOX_PASSWORD_MD5": "hush"},
    )  # fmt: skip
    told = [command.stdout.readline() for _ in range(4)]
    command.terminate()
    command.communicate()
    assert "hush" not in "".join(told)
    assert all("from the environment" in line for line in told[1:3])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--set", "cascade"], "NAME=VALUE"),
        (["--set", "cascde=true"], 'did you mean "cascade"'),
        (["--set", "cascade=true", "--set", "cascade=false"], "twice"),
        (["--state", "/proc/none"], "name another file"),
        (["--host", "192.0.2.1", "--port", "0"], "cannot listen"),
    ],
)
def test_what_cannot_be_served_is_one_line_and_exit_2(options, said):
    ended = subprocess.run([*SANDBOX, *options], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_help_lists_every_switch():
    told = subprocess.run([*SANDBOX, "--help"], capture_output=True, text=True, check=True).stdout
    assert "  cascade=false  (true, false)" in told
    assert "reset_after " in told
