"""Servers for the tests of this folder, started once a module, and a command line whose environment points to them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.commands.conftest import Desk, desk
from tests.storage.servers import (
    NO_SETTINGS,
    S3_SETTINGS,
    HttpsServer,
    S3Server,
    SftpServer,
    https_server,
    s3_server,
    sftp_server,
)

__all__ = ["desk"]


@pytest.fixture(scope="module")
def https(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpsServer]:
    with https_server(tmp_path_factory.mktemp("https")) as server:
        yield server


@pytest.fixture(scope="module")
def sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    with sftp_server(tmp_path_factory.mktemp("sftp")) as server:
        yield server


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, https: HttpsServer, sftp: SftpServer, s3: S3Server) -> None:
    """A user who knows all three servers and has their keys."""
    for name in NO_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    for name, value in (S3_SETTINGS | {"AWS_ENDPOINT_URL": s3.url}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(sftp.home))
    monkeypatch.setenv("SSL_CERT_FILE", str(https.ca_file))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def elsewhere(desk: Desk, keys: None) -> Desk:
    """A command line of such a user."""
    return desk
