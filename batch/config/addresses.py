"""Before step 1: the addresses in a config file become URLs and paths in one form, or a refusal.

Owns what an address may look like and which ones are safe to send credentials to. It opens no connection. A refusal
never quotes an address, which may hold a password.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from batch.config.values import read_text_value, refuse

SANDBOX = "sandbox"
"""The `api.base_url` that starts the simulated API for the run."""


_API_PATH = re.compile(r"/(v[0-9][0-9.]*|api_gateway|oauth)(/|$)", re.IGNORECASE)
_VENDOR = ".capillarytech.com"
"""Whose hosts have their paths from us alone: one more in front, and not even the token would be found."""


def read_base_url(value: object) -> str:
    """Return where the API is, without a slash at the end; `sandbox` stands for itself.

    A gateway of one's own may have a path, before all that the API has.

    Source: our choice, because credentials travel in headers, and only this machine's own network is safe for http.
    """
    text = read_text_value(value)
    if text == SANDBOX:
        return text
    parts = _split_url(text)
    if parts.username is not None:
        raise refuse("must not hold a user name or a password; they belong under auth")
    if "?" in text or "#" in text:
        raise refuse("must not hold a ? or a #; write scheme, host and port only")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise refuse("is not the address of an API; write https:// and its host, or sandbox")
    if _API_PATH.search(parts.path) or (parts.path.strip("/") and parts.hostname.endswith(_VENDOR)):
        raise refuse(
            "must not hold the API's own path; write scheme and host only: the version belongs under api.version, and "
            "what stands before it under api.path_prefix"
        )
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise refuse("must begin with https://; http:// is only for this machine (127.0.0.1, ::1, localhost)")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def read_proxy(value: object) -> SecretStr | None:
    """Return a proxy's address, which may hold a password, or None."""
    if value is None:
        return None
    text = read_text_value(value)
    parts = _split_url(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise refuse("is not the address of a proxy; write http://host:port")
    return SecretStr(text)


def read_receiver_url(value: object) -> SecretStr:
    """Return the address that a message is sent to; it may hold a password or a token.

    Source: our choice, because messages tell about the business, and only this machine's own network is safe for http.
    """
    text = read_text_value(value).strip()
    parts = _split_url(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise refuse("is not an address that a message can be sent to; write https:// and so on")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise refuse("must begin with https://; http:// is only for this machine (127.0.0.1, ::1, localhost)")
    return SecretStr(text)


def read_mail_address(value: object) -> str:
    """Return a mail address. Source: our choice: ASCII only, because not every server takes other addresses."""
    text = read_text_value(value).strip()
    if not re.fullmatch(r"[!#-'*+\-/-9=?A-Z^-~.]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?", text):
        raise refuse("is not a mail address; write name@host, without a display name")
    return text


def _split_url(text: str) -> SplitResult:
    """Return the parts of an address. Blanks and backslashes are refused: readers of URLs disagree about them."""
    if not re.fullmatch(r"[^\s\\\x00-\x1f\x7f]+", text):
        raise refuse("is not an address: it holds blanks, backslashes or control characters; remove them")
    try:
        parts = urlsplit(text)
        _ = parts.port  # read here, because only reading checks it
    except ValueError:
        raise refuse("is not an address; check the host and the port") from None
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_path_prefix(value: object) -> str:
    """Return what stands before the version in the API's paths: "" or with a slash before and none behind."""
    if value is None or value == "":
        return ""
    text = read_text_value(value).strip()
    if re.search(r"[\s?#\\]", text):
        raise refuse("must be a plain path; remove blanks, ?, # and backslashes")
    return "/" + text.strip("/") if text.strip("/") else ""
