"""Before step 1: what a person types as an input is a path on this machine, or an address elsewhere.

Owns what an address looks like, and which part of it may be shown: never the query of an https address, which is
where a presigned one carries its signature. It opens no connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from batch.storage.failures import StorageFailed

LONGEST_NAME = 200
"""Bytes of a file's name that are kept. Source: our choice, because file systems allow 255 and we append to it."""

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_NOT_IN_AN_ADDRESS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NOT_IN_A_NAME = re.compile(r'[\\/:*?"<>|]')


class Scheme(StrEnum):
    """How a file that lies elsewhere is reached."""

    S3 = "s3"
    SFTP = "sftp"
    HTTPS = "https"


@dataclass(frozen=True, slots=True)
class RemotePath:
    """A file or folder elsewhere. `str()` gives what may be shown and kept: its address without its query."""

    scheme: Scheme
    host: str
    """The host, or the bucket."""
    path: str
    """s3: the key, to the letter. sftp: the path on the server. https: the path as it was written."""
    shown: str
    user: str | None = None
    port: int | None = None
    query: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """The file's own name, without what file systems refuse; empty where the address ends with a slash."""
        last = self.path.rpartition("/")[2]
        return safe_name(unquote(last) if self.scheme is Scheme.HTTPS else last)

    @property
    def stem(self) -> str:
        """The file's own name without its suffix."""
        return PurePosixPath(self.name).stem

    def child(self, name: str) -> RemotePath:
        """Return a file in this folder. Not for https, which has no folders."""
        path = f"{self.path.rstrip('/')}/{name}" if self.path else name
        return replace(self, path=path, shown=f"{self.shown.rstrip('/')}/{name}")

    def __str__(self) -> str:
        return self.shown


def safe_name(name: str) -> str:
    """Return a file's name without what file systems refuse, short enough that something can be appended to it."""
    plain = _NOT_IN_A_NAME.sub("_", name).strip()
    if _NOT_IN_AN_ADDRESS.search(plain) or plain in {".", ".."}:
        plain = "input"
    suffix = PurePosixPath(plain).suffix.encode()[:20].decode(errors="ignore")
    room = LONGEST_NAME - len(suffix.encode())
    stem = plain.removesuffix(suffix) if suffix else plain
    return stem.encode()[:room].decode(errors="ignore") + suffix


def read_path(text: str) -> Path | RemotePath:
    """Return the path on this machine, or the address elsewhere, that a person typed.

    Raises:
        StorageFailed: an address that cannot be one of ours; the text quotes none of it, for it may hold a secret.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return Path(text)
    try:
        scheme = Scheme(found[1].lower())
    except ValueError:
        raise StorageFailed(f"{_unknown(found[1].lower())}; give a path, s3://, sftp:// or https://") from None
    if _NOT_IN_AN_ADDRESS.search(text):
        raise StorageFailed(f"the {scheme}:// address holds control characters; remove them")
    return _read_address(scheme, found[2])


def _unknown(scheme: str) -> str:
    if scheme in {"http", "ftp"}:
        return f"{scheme}:// is not encrypted, and the file names customers"
    return f"{scheme}:// is not known"


def _read_address(scheme: Scheme, rest: str) -> RemotePath:
    authority = re.split(r"[/?#]" if scheme is Scheme.HTTPS else "/", rest, maxsplit=1)[0]
    path = rest[len(authority) :]
    user, at, host = authority.rpartition("@")
    if ":" in user:
        raise StorageFailed(f"the {scheme}:// address holds a password; {_CREDENTIALS[scheme]}")
    if at and (scheme is not Scheme.SFTP or not user):
        raise StorageFailed(f"the {scheme}:// address must not hold a user name; {_CREDENTIALS[scheme]}")
    match scheme:
        case Scheme.S3:
            if not _BUCKET.fullmatch(host):
                raise StorageFailed("the s3:// address cannot be read; write s3://bucket/folder/file")
            return RemotePath(scheme, host, path[1:], f"s3://{rest}")
        case Scheme.SFTP:
            name, port = _host(scheme, host)
            return RemotePath(scheme, name, _on_server(path), f"sftp://{rest}", user or None, port)
        case Scheme.HTTPS:
            name, port = _host(scheme, host)
            path, _, query = path.partition("#")[0].partition("?")
            return RemotePath(scheme, name, path or "/", f"https://{host}{path}", None, port, query)


def _host(scheme: Scheme, text: str) -> tuple[str, int | None]:
    found = _HOST.fullmatch(text)
    port = int(found[2]) if found and found[2] else None
    if found is None or port == 0 or (port or 0) > 65535:
        user = "user@" if scheme is Scheme.SFTP else ""
        raise StorageFailed(f"the {scheme}:// address cannot be read; write {scheme}://{user}host:port/folder/file")
    return found[1], port


def _on_server(path: str) -> str:
    """Return a path on an SFTP server: `%20` is a blank, and `/~/` begins in the user's own folder.

    Source: our choice, because curl reads sftp:// addresses so.
    """
    plain = unquote(path)
    if _NOT_IN_AN_ADDRESS.search(plain):
        raise StorageFailed("the sftp:// address holds control characters; remove them")
    return plain[3:] if plain.startswith("/~/") else plain or "."


_CREDENTIALS = {
    Scheme.S3: "put the keys into the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or an AWS profile",
    Scheme.SFTP: "log in with a key (~/.ssh or an agent)",
    Scheme.HTTPS: "use an address that needs no login, such as a presigned one",
}
