"""No secret is in anything that a run leaves behind or says, and no customer is where he does not belong.

Looked at: every file, also inside workbooks, what was printed, and what others were told; after a run that finished,
one that was killed, and one whose credentials were refused.
"""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.nightly.receivers import PASSWORD, MailServer, Trust, WebServer, mail_server, make_trust, web_server

if TYPE_CHECKING:
    from tests.commands.conftest import Desk
    from tests.conftest import RunningSandbox

NAME = "Wilhelmina Featherstonehaugh"
IDS = range(345651201, 345651261)
UPLOAD = "customer_id,Name\n" + "".join(f"{number},{NAME}\n" for number in [*IDS, 345651299]) + f"x,{NAME}\n"
SECRETS = {
    "KEY": "sandbox-key",
    "SECRET": "sandbox-secret",
    "PASSWORD": "server123",
    "MAIL_PASSWORD": PASSWORD,
    "HMAC": "signing/key+of=ours",
    "HOOK_TOKEN": "token-in-a-path",
    "BEAT_TOKEN": "b6e2a8c4-1d2f-4f53-9f5d-000000000000",
}
MAY_HOLD_COLUMNS = {
    "succeeded.csv", "already_enrolled.csv", "invalid_user.csv", "failed.csv", "rejected_rows.csv",
    "reconciliation.xlsx", "annotated.xlsx", "ledger.sqlite", "ledger.sqlite-wal", "upload.csv",
}  # fmt: skip
MAY_HOLD_IDS = MAY_HOLD_COLUMNS | {"report.html", "sandbox.sqlite", "said.out"}


@dataclass(frozen=True)
class Scene:
    """A desk with a config in which every kind of secret is in use, and all who hear of it."""

    desk: Desk
    api: RunningSandbox
    mail: MailServer
    hook: WebServer
    arguments: list[str]

    @contextmanager
    def process(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run the command as a process of its own; what it prints goes into files."""
        folder = self.desk.folder
        with (folder / "said.out").open("wb") as out, (folder / "said.err").open("wb") as err:
            line = [sys.executable, "-m", "batch", *(arguments or self.arguments)]
            process = subprocess.Popen(line, cwd=folder, stdout=out, stderr=err)
            try:
                yield process
            finally:
                process.kill()
                process.wait()

    def secrets(self) -> set[bytes]:
        """Every secret in use, tokens that were given among them, in each form in which it may be written."""
        tokens = self.api._ask(lambda api: list(api.access._tokens))
        md5 = hashlib.md5(SECRETS["PASSWORD"].encode(), usedforsecurity=False).hexdigest()
        header = base64.b64encode(f"store.server:{md5}".encode()).decode()
        plain = {*SECRETS.values(), *tokens, md5, header}
        encoded = {base64.b64encode(secret.encode()).decode().rstrip("=") for secret in plain}
        return {form.encode() for form in plain | encoded | {quote(secret, safe="") for secret in plain}}

    def told(self) -> bytes:
        """All that others were told."""
        letters = [letter.as_bytes() + letter.get_content().encode() for letter in self.mail.letters]
        posts = [post.body + repr(sorted(post.headers.items())).encode() for post in self.hook.posts]
        return b"\n".join(letters + posts)


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return make_trust(tmp_path_factory.mktemp("trust"))


@pytest.fixture(params=["oauth", "basic"])
def scene(
    request: pytest.FixtureRequest, desk: Desk, sandbox: Callable[..., RunningSandbox], trust: Trust
) -> Iterator[Scene]:
    for name, value in SECRETS.items():
        desk.monkeypatch.setenv(name, value)
    desk.monkeypatch.setenv("ENROLL_BATCH_STATE", str(desk.folder / "state"))
    api = sandbox(latency_ms=5, error_502="10%", seed=1)
    with mail_server(trust.context) as mail, web_server() as hook:
        groups: dict[str, Any] = {
            "notify": [
                {
                    "kind": "email", "to": ["ops@example.com"], "from": "batch@example.com", "host": "127.0.0.1",
                    "port": mail.port, "user": "me", "password": "${MAIL_PASSWORD}", "ca_bundle": str(trust.root),
                },
                {"kind": "webhook", "url": f"{hook.url('/')}${{HOOK_TOKEN}}", "hmac_key": "${HMAC}"},
                {"kind": "heartbeat", "url": f"{hook.url('/')}${{BEAT_TOKEN}}"},
            ],
            "metrics": {"textfile": "metrics/batch.prom"},
            "pacing": {"rate": "500/s", "concurrency": 4},
            "inbox": "inbox",
        }  # fmt: skip
        if request.param == "basic":
            groups["auth"] = {"kind": "basic", "till": "store.server", "password": "${PASSWORD}"}
        config, upload = desk.config(api, **groups), desk.upload(UPLOAD)
        arguments = ["run", str(upload), "-c", str(config), "--yes", "--run-dir", "run", "-v"]
        yield Scene(desk, api, mail, hook, arguments)


def contents(path: Path) -> bytes:
    """Return what is in a file; of a workbook what is in its parts."""
    if path.suffix != ".xlsx":
        return path.read_bytes()
    with zipfile.ZipFile(path) as book:
        return b"\n".join(book.read(name) for name in book.namelist())


def check(scene: Scene) -> None:
    """Look for every secret everywhere, and for customers where they do not belong."""
    secrets, told = scene.secrets(), scene.told()
    files = [path for path in scene.desk.folder.rglob("*") if path.is_file()]
    assert {"run.log", "ledger.sqlite", "config.yaml", "said.out", "said.err"} <= {path.name for path in files}
    for path in files:
        found = contents(path)
        assert [secret for secret in secrets if secret in found] == [], path
        if path.name not in MAY_HOLD_COLUMNS:
            assert NAME.encode() not in found, path
        if path.name not in MAY_HOLD_IDS:
            assert b"3456512" not in found, path
    assert [secret for secret in secrets if secret in told] == []
    assert NAME.encode() not in told
    assert b"3456512" not in told


def test_a_run_that_finishes(scene: Scene) -> None:
    with scene.process() as process:
        assert process.wait(120) in {4, 5}
    assert len(scene.mail.letters) == 1
    beat, hook = SECRETS["BEAT_TOKEN"], SECRETS["HOOK_TOKEN"]
    assert sorted(post.path for post in scene.hook.posts) == sorted([f"/{beat}/start", f"/{beat}", f"/{hook}"])
    names = {path.name for path in (scene.desk.folder / "run").iterdir()}
    assert {"summary.md", "summary.json", "report.html", "succeeded.csv", "rejected_rows.csv"} <= names
    for name in ("succeeded.csv", "reconciliation.xlsx", "ledger.sqlite"):  # so he is found where he belongs
        assert NAME.encode() in contents(scene.desk.folder / "run" / name)
    check(scene)


def test_a_run_that_is_killed(scene: Scene) -> None:
    with scene.process() as process:
        until = time.monotonic() + 60
        while len(scene.api.arrivals()) < 20:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.005)
        line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert [secret for secret in scene.secrets() if secret in line] == []
        process.kill()
        process.wait(60)
    check(scene)


def test_a_run_whose_credentials_are_refused(scene: Scene) -> None:
    scene.desk.monkeypatch.setenv("SECRET", "another-secret")
    scene.desk.monkeypatch.setenv("PASSWORD", "another-password")
    with scene.process() as process:
        assert process.wait(120) == 10
    assert len(scene.mail.letters) == 1
    check(scene)
    everything = b"".join(contents(path) for path in scene.desk.folder.rglob("*") if path.is_file())
    for secret in (b"another-secret", b"another-password", hashlib.md5(b"another-password").hexdigest().encode()):  # noqa: S324
        assert secret not in everything + scene.told()


def test_a_night(scene: Scene) -> None:
    inbox = scene.desk.folder / "inbox"
    inbox.mkdir()
    (scene.desk.folder / "upload.csv").rename(inbox / "upload.csv")
    (inbox / "headless.csv").write_text(f"{NAME}\n{NAME}\n")
    for path in inbox.iterdir():
        os.utime(path, (1, 1))  # so that nobody waits for more of it
    with scene.process("nightly", "-c", str(scene.desk.folder / "config.yaml")) as process:
        assert process.wait(120) == 3
    (letter,) = scene.mail.letters
    assert "headless.csv" in letter.get_content()
    (inbox / "failed" / "headless.csv").unlink()
    check(scene)


def test_a_crash_writes_no_memory_into_a_file(desk: Desk) -> None:
    code = "import batch.commands.cli as c; c._exit_code = lambda: print(open('/proc/self/limits').read()); c.main()"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ.copy()
    )
    (limit,) = (line for line in said.stdout.splitlines() if line.startswith("Max core file size"))
    assert limit.split()[4] == "0"
