"""A server of OpenSSH itself, on a free port of this machine, with keys and users of its own.

It has no rights of its own: it runs as whoever runs the tests, or as `nobody` where that is root.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import asyncssh

TOOLS = Path(os.environ.get("ENROLL_BATCH_TOOLS", Path.home() / ".cache" / "enroll-batch-tools"))
SETTINGS = """
HostKey {folder}/host_ed25519
HostKey {folder}/host_ecdsa
AuthorizedKeysFile {folder}/authorized
StrictModes no
UsePAM yes
PasswordAuthentication yes
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True)
class OpenSshServer:
    """Serves the folder `root` to a user who has `key`."""

    folder: Path
    user: str
    port: int
    host_keys: list[asyncssh.SSHKey]
    key: asyncssh.SSHKey

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def url(self) -> str:
        return f"sftp://{self.user}@127.0.0.1:{self.port}{self.root}"

    def known_as(self, *keys: asyncssh.SSHKey) -> str:
        """Return the lines of known_hosts that give this server these keys."""
        return "".join(f"[127.0.0.1]:{self.port} {key.export_public_key().decode()}" for key in keys)


def new_key(kind: str = "ssh-ed25519") -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(kind)


def make_home(folder: Path, *, key: asyncssh.SSHKey | None, known: str = "", is_locked: bool = False) -> Path:
    """Make a home folder whose user has a key, with or without a passphrase, and knows hosts."""
    (folder / ".ssh").mkdir(parents=True)
    (folder / ".ssh/known_hosts").write_text(known)
    if key is not None:
        write_key(folder / ".ssh/id_ed25519", key)
    if is_locked:
        line = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "passphrase", "-f", folder / ".ssh/id_ed25519"]
        subprocess.run(line, check=True, capture_output=True)
    return folder


def write_key(path: Path, key: asyncssh.SSHKey) -> None:
    key.write_private_key(str(path))
    path.chmod(0o600)


@contextlib.contextmanager
def openssh_server() -> Iterator[OpenSshServer]:
    with tempfile.TemporaryDirectory(prefix="openssh-", dir="/tmp") as name:  # pytest's own folders let nobody else in
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "root").mkdir()
        (folder / "root").chmod(0o777)
        user = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        host_keys, key = [new_key(), new_key("ecdsa-sha2-nistp256")], new_key()
        for host_key, path in zip(host_keys, (folder / "host_ed25519", folder / "host_ecdsa"), strict=True):
            write_key(path, host_key)
            shutil.chown(path, user)
        (folder / "authorized").write_bytes(key.export_public_key())
        (folder / "config").write_text(SETTINGS.format(folder=folder))
        program = shutil.copy(TOOLS / "openssh/usr/sbin/sshd", folder)  # nobody may look into our home
        with (
            (folder / "log").open("ab") as log,
            _listening([program, "-i", "-e", "-f", folder / "config"], log) as port,
        ):
            yield OpenSshServer(folder, user, port, host_keys, key)


@contextlib.contextmanager
def _listening(line: Sequence[str | Path], log: IO[bytes]) -> Iterator[int]:
    """Start a server for each connection, as inetd and systemd do; so no port has to be free twice."""

    class Connection(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each login waits for 40 ms
            subprocess.run(line, stdin=self.request, stdout=self.request, stderr=log, check=False)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connection) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,), name="openssh")
        thread.start()
        try:
            yield listening.server_address[1]
        finally:
            listening.shutdown()
            thread.join()
