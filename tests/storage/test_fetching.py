"""A file from elsewhere arrives whole or not at all, and a refusal says in one line what to do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batch.storage import fetching
from batch.storage.failures import StorageFailed
from batch.storage.fetching import fetch
from batch.storage.paths import RemotePath, read_path

if TYPE_CHECKING:
    from tests.commands.conftest import Desk
    from tests.storage.servers import HttpsServer, S3Server, SftpServer

BODY = bytes(range(256)) * 12_000


def fetched(address: str) -> bytes:
    """Fetch a file into the working folder; return its content."""
    source, target = read_path(address), Path("copy.csv")
    assert isinstance(source, RemotePath)
    fetch(source, target)
    return target.read_bytes()


def refusal(address: str) -> str:
    """Fail to fetch; return why, once nothing is known to be left."""
    with pytest.raises(StorageFailed) as refused:
        fetched(address)
    assert not list(Path().glob("copy*"))
    assert "\n" not in refused.value.text
    return refused.value.text


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine on which nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.mark.usefixtures("elsewhere")
class TestHttps:
    @pytest.mark.parametrize("kind", ["file", "chunked", "packed", "moved"])
    def test_a_file_arrives_as_it_is(self, https: HttpsServer, kind: str) -> None:
        https.files["may.csv"] = BODY
        assert fetched(f"{https.url}/{kind}/may.csv") == BODY

    @pytest.mark.parametrize(
        ("kind", "says"),
        [
            ("short", "broke off half-way; nothing of it is used"),
            ("torn", "broke off half-way; nothing of it is used"),
            ("endless", "does not say how long the file is"),
            ("404", "there is no such file"),
            ("403", "access is refused (HTTP 403)"),
            ("503", "answers HTTP 503; try again later"),
            ("204", "answers HTTP 204"),
            ("away", "points to an address without encryption"),
            ("round", "from address to address"),
        ],
    )
    def test_a_fault_is_told_and_leaves_nothing(self, https: HttpsServer, kind: str, says: str) -> None:
        https.files["may.csv"] = BODY
        assert says in refusal(f"{https.url}/{kind}/may.csv")

    def test_a_server_that_is_not_there_is_told(self, closed_port: int) -> None:
        assert "cannot be reached" in refusal(f"https://127.0.0.1:{closed_port}/may.csv")
        assert "cannot be reached" in refusal("https://nowhere.invalid/may.csv")

    def test_a_certificate_that_nobody_vouches_for_is_refused(
        self, https: HttpsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SSL_CERT_FILE")
        assert "certificate is not trusted" in refusal(f"{https.url}/file/may.csv")

    def test_a_server_without_tls_is_told(self, s3: S3Server) -> None:
        assert "no encrypted connection" in refusal(s3.url.replace("http:", "https:") + "/may.csv")

    def test_an_authority_file_that_is_gone_is_told(self, https: HttpsServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", "gone.pem")
        assert "check the address and SSL_CERT_FILE" in refusal(f"{https.url}/file/may.csv")

    def test_a_server_that_falls_silent_is_not_waited_for(
        self, https: HttpsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("batch.storage.https.SILENCE_S", 0.05)
        https.files["may.csv"] = BODY
        assert "stopped answering" in refusal(f"{https.url}/silent/may.csv")


@pytest.mark.usefixtures("elsewhere")
class TestSftp:
    def test_a_file_arrives_as_it_is(self, sftp: SftpServer) -> None:
        (sftp.root / "may 1.csv").write_bytes(BODY)
        assert fetched(f"{sftp.url}/may%201.csv") == BODY
        assert fetched(f"{sftp.url}/may 1.csv") == BODY

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("cut.csv", "broke off half-way; nothing of it is used"),
            ("absent.csv", "there is no such file"),
            ("folder", "it is a folder"),
        ],
    )
    def test_a_fault_is_told_and_leaves_nothing(self, sftp: SftpServer, name: str, says: str) -> None:
        (sftp.root / "cut.csv").write_bytes(BODY)
        (sftp.root / "folder").mkdir(exist_ok=True)
        assert says in refusal(f"{sftp.url}/{name}")

    def test_a_server_that_is_not_there_is_told(self, closed_port: int) -> None:
        assert "cannot be reached" in refusal(f"sftp://127.0.0.1:{closed_port}/may.csv")
        assert "cannot be reached" in refusal("sftp://nowhere.invalid/may.csv")

    def test_a_server_that_falls_silent_is_not_waited_for(
        self, sftp: SftpServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (sftp.root / "silent.csv").write_bytes(BODY)
        monkeypatch.setattr("batch.storage.sftp.SILENCE_S", 2)
        assert "stopped answering" in refusal(f"{sftp.url}/silent.csv")

    @pytest.mark.parametrize("known", ["", "other"])
    def test_a_host_that_is_not_known_is_refused(
        self, sftp: SftpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: str
    ) -> None:
        home = tmp_path / "home"
        (home / ".ssh").mkdir(parents=True)
        (home / ".ssh" / "id_ed25519").write_bytes((sftp.home / ".ssh" / "id_ed25519").read_bytes())
        if known:
            key = (sftp.home / ".ssh" / "known_hosts").read_text().replace(str(sftp.port), "1")
            (home / ".ssh" / "known_hosts").write_text(key)
        monkeypatch.setenv("HOME", str(home))
        assert "host key is not in ~/.ssh/known_hosts" in refusal(f"{sftp.url}/may.csv")

    def test_a_user_without_a_key_is_refused(
        self, sftp: SftpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home = tmp_path / "home"
        (home / ".ssh").mkdir(parents=True)
        (home / ".ssh" / "known_hosts").write_bytes((sftp.home / ".ssh" / "known_hosts").read_bytes())
        monkeypatch.setenv("HOME", str(home))
        assert "the login is refused" in refusal(f"{sftp.url}/may.csv")

    def test_a_server_that_speaks_something_else_is_told(self, https: HttpsServer) -> None:
        assert refusal(f"sftp://127.0.0.1:{https.port}/may.csv")


@pytest.mark.usefixtures("elsewhere")
class TestS3:
    def test_a_file_arrives_as_it_is(self, s3: S3Server) -> None:
        s3.put("in/may 1?#%20ä.csv", BODY)
        assert fetched("s3://uploads/in/may 1?#%20ä.csv") == BODY

    def test_what_is_not_there_is_told(self) -> None:
        assert "there is no such file" in refusal("s3://uploads/absent.csv")
        assert "there is no such bucket" in refusal("s3://nobodys-bucket/may.csv")

    def test_keys_that_are_refused_are_told(self, s3: S3Server) -> None:
        s3.put("may.csv", b"x")
        s3.check_keys(after=0)
        try:
            assert "access is refused" in refusal("s3://uploads/may.csv")
        finally:
            s3.check_keys(after=10**9)

    def test_missing_keys_are_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        assert "no usable AWS credentials" in refusal("s3://uploads/may.csv")
        monkeypatch.setenv("AWS_PROFILE", "unheard-of")
        assert "no usable AWS credentials" in refusal("s3://uploads/may.csv")

    @pytest.mark.parametrize(
        ("endpoint", "says"),
        [
            ("https://localhost:{port}/short", "broke off half-way; nothing of it is used"),
            ("https://localhost:{port}/503", "S3 answers 503"),
            ("http://127.0.0.1:{closed}", "S3 cannot be reached"),
            ("http://nowhere.invalid", "S3 cannot be reached"),
            ("nonsense", "S3 cannot be asked (ValueError)"),
        ],
    )
    def test_a_fault_is_told_and_leaves_nothing(
        self, https: HttpsServer, closed_port: int, monkeypatch: pytest.MonkeyPatch, endpoint: str, says: str
    ) -> None:
        https.files["may.csv"] = BODY
        monkeypatch.setenv("AWS_CA_BUNDLE", str(https.ca_file))
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.format(port=https.port, closed=closed_port))
        assert says in refusal("s3://uploads/may.csv")

    def test_a_server_that_falls_silent_is_not_waited_for(
        self, https: HttpsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        https.files["may.csv"] = BODY
        monkeypatch.setattr("batch.storage.s3.SILENCE_S", 2)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(https.ca_file))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"{https.url}/silent")
        assert "stopped answering" in refusal("s3://uploads/may.csv")

    def test_a_certificate_that_nobody_vouches_for_is_refused(
        self, https: HttpsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", https.url)
        assert "certificate is not trusted" in refusal("s3://uploads/may.csv")


@pytest.mark.parametrize(("address", "library"), [("s3://uploads/x", "botocore"), ("sftp://host/x", "asyncssh")])
def test_without_the_extra_the_line_that_installs_it_is_given(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, address: str, library: str
) -> None:
    for module in {name for name in sys.modules if name.split(".")[0] == library} | {library}:
        monkeypatch.setitem(sys.modules, module, None)
    assert refusal(address) == f"{address.partition(':')[0]}:// needs an extra: pip install 'enroll-batch[remote]'"


@pytest.mark.usefixtures("elsewhere")
def test_a_file_that_never_ends_is_given_up(https: HttpsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    https.files["may.csv"] = BODY
    monkeypatch.setattr(fetching, "LONGEST_S", -1)
    assert "takes more than" in refusal(f"{https.url}/file/may.csv")


FULL = """
import resource, sys
from pathlib import Path
from batch.storage.failures import StorageFailed
from batch.storage.fetching import fetch
from batch.storage.paths import read_path
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    fetch(read_path(sys.argv[1]), Path("copy.csv"))
except StorageFailed as failure:
    print(failure.text)
"""


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("scheme", ["https", "sftp", "s3"])
def test_a_full_disk_is_told_and_leaves_nothing(
    https: HttpsServer, sftp: SftpServer, s3: S3Server, scheme: str
) -> None:
    https.files["may.csv"] = BODY
    (sftp.root / "may.csv").write_bytes(BODY)
    s3.put("may.csv", BODY)
    address = {"https": f"{https.url}/file/may.csv", "sftp": f"{sftp.url}/may.csv", "s3": "s3://uploads/may.csv"}
    line = [sys.executable, "-c", FULL, address[scheme]]
    said = subprocess.run(line, capture_output=True, text=True, check=True, env=os.environ)
    assert said.stdout.startswith("the copy cannot be written (File too large)")
    assert not list(Path().glob("copy*"))


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("scheme", ["https", "sftp", "s3"])
def test_memory_does_not_grow_with_the_file(https: HttpsServer, sftp: SftpServer, s3: S3Server, scheme: str) -> None:
    size = 30_000_000
    script = FULL.partition("import signal")[0] + (
        "fetch(read_path(sys.argv[2]), Path('warm.csv'))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "fetch(read_path(sys.argv[1]), Path('copy.csv'))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    address = {"https": f"{https.url}/file/", "sftp": f"{sftp.url}/", "s3": "s3://uploads/"}[scheme]
    for name, body in {"big.csv": bytes(size), "small.csv": b"x"}.items():
        https.files[name] = body
        (sftp.root / name).write_bytes(body)
        s3.put(name, body)
    line = [sys.executable, "-c", script, f"{address}big.csv", f"{address}small.csv"]
    said = subprocess.run(line, capture_output=True, text=True, check=True, env=os.environ)
    assert Path("copy.csv").stat().st_size == size
    assert int(said.stdout) < size / 1024 / 2
