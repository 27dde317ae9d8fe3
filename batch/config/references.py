"""Before step 1: what `${NAME}`, `${file:PATH}` and `${keyring:SERVICE/USER}` in a config stand for.

Owns looking them up, and the rule that secrets are never written out in a config file, whose text is kept with
every run. It knows which keys hold secrets; no message of this module quotes a value.
"""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any

from batch.config.text import Findings, Place, Tree, read_text
from batch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    LookUp = Callable[[str], str]

_REFERENCE = re.compile(r"(?P<escaped>\$\$\{)|\$\{(?P<name>[^{}]*)\}|(?P<open>\$\{)")
_SECRET_KEYS = frozenset({"key", "secret", "password", "password_md5", "hmac_key"})
SECRET_GROUPS = frozenset({"auth", "notify"})
"""Whatever stands in these groups is never quoted, and not looked up where no secret is needed."""
_URLS = frozenset({("api", "base_url"), ("api", "proxy"), ("ledger",), ("inbox",)})


def look_up_in(environ: Mapping[str, str], working_dir: Path) -> LookUp:
    """Return the function that says what the inside of a `${...}` stands for, or raises ConfigError."""

    def look_up(name: str) -> str:
        kind, colon, rest = name.partition(":")
        if not colon and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            if name not in environ:
                raise ConfigError(f"the environment variable {name} is not set; set it before you start")
            return environ[name]
        if kind == "file" and rest:
            return _file(working_dir / rest, rest)
        if kind == "keyring" and rest:
            return _keyring(*rest.rpartition("/")[::2])
        raise ConfigError(
            "a ${...} that cannot be understood; write ${NAME}, ${file:PATH} or ${keyring:SERVICE/USER}, "
            "or $${ for the characters ${ themselves"
        )

    return look_up


def unresolved(_name: str) -> str:
    """Stand in for a secret that is not needed now: 32 hex digits, so that the form of every key can be checked."""
    return "0" * 32


def resolve(tree: Tree, place: Place, look_up: LookUp, findings: Findings) -> Tree:
    """Return `tree` with every reference replaced; what cannot be looked up is noted and left as it stands."""
    if isinstance(tree, dict):
        return {key: resolve(value, (*place, key), look_up, findings) for key, value in tree.items()}
    if isinstance(tree, list):
        return [resolve(value, (*place, position), look_up, findings) for position, value in enumerate(tree)]
    return tree if tree is None else _resolve_text(tree, place, look_up, findings)


def _resolve_text(text: str, place: Place, look_up: LookUp, findings: Findings) -> str:
    def replacement(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "${"
        if match["open"]:
            findings.add(place, 'a "${" that is never closed; write ${NAME}, or $${ for the characters themselves')
            return match.group()
        try:
            return look_up(match["name"])
        except ConfigError as error:
            findings.add(place, error.text)
            return match.group()

    return _REFERENCE.sub(replacement, text)


def has_reference(text: object) -> bool:
    """Return whether anything in a text is to be looked up, so that its resolved value may be a secret."""
    return isinstance(text, str) and any(match["name"] is not None for match in _REFERENCE.finditer(text))


def refers(tree: Tree) -> bool:
    """Return whether anything in a tree is to be looked up."""
    return any(has_reference(text) for _, text in _texts(tree, ()))


def is_secret(place: Place) -> bool:
    """Return whether the value at this place must never be quoted: all credentials, and URLs that may hold one."""
    return place[0] in SECRET_GROUPS or place in _URLS


def find_written_out(tree: Tree, findings: Findings, place: Place = ()) -> None:
    """Note every secret that stands in the config file itself."""
    for here, text in _texts(tree, place):
        is_credential = here[0] in SECRET_GROUPS and (here[-1] in _SECRET_KEYS or _is_of_apprise(tree, here))
        if is_credential and not _only_references(text):
            findings.add(here, 'a secret written out; put all of it into the environment and write "${NAME}"')
        elif is_secret(here) and _has_literal_password(text):
            findings.add(here, 'a password written out in a URL; write "${NAME}" in its place')


def _is_of_apprise(tree: Tree, place: Place) -> bool:
    """Return whether this is a URL for apprise, where any part may be the token."""
    group: Any = tree
    for part in place[:-1]:
        group = group[part]
    return place[-1] == "url" and group.get("kind") == "apprise"


def _texts(tree: Tree, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(tree, str):
        yield place, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _texts(value, (*place, key))
    elif isinstance(tree, list):
        for position, value in enumerate(tree):
            yield from _texts(value, (*place, position))


def _only_references(text: str) -> bool:
    return re.fullmatch(r"(\$\{[^{}]+\})+", text) is not None


def _has_literal_password(url: str) -> bool:
    """Return whether a user:password@ stands before the host. A password may hold / and @ where it is not encoded."""
    literal = re.sub(r"\$\{[^{}]*\}", "", url)
    before_host, at, _ = literal.split("://", 1)[-1].rpartition("@")
    _, colon, password = before_host.partition(":")
    return bool(at and colon and password)


def _file(path: Path, as_written: str) -> str:
    try:
        text = read_text(path, "make it, or correct the path")
    except ConfigError as error:
        raise ConfigError(f"the file {as_written} {error.text}") from None
    return re.sub(r"\r?\n\Z", "", text, count=1)


def _keyring(service: str, user: str) -> str:
    if not service or not user:
        raise ConfigError("a keyring entry is written as ${keyring:SERVICE/USER}")
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        raise ConfigError("${keyring:...} needs an extra: pip install 'enroll-batch[keyring]'") from None
    try:
        found = keyring.get_password(service, user)
    except keyring.errors.NoKeyringError:
        raise ConfigError("this machine has no keyring that can be used; write ${NAME} or ${file:PATH}") from None
    except keyring.errors.KeyringLocked:
        raise ConfigError("the keyring is locked; unlock it, or write ${NAME} or ${file:PATH}") from None
    except Exception as error:  # a backend's own faults too; what they say may hold the secret
        text = f"the keyring cannot be read ({type(error).__name__}); write ${{NAME}} or ${{file:PATH}}"
        raise ConfigError(text) from None
    if found is None:
        raise ConfigError(f"the keyring has no entry {service}/{user}; add it with: keyring set {service} {user}")
    return str(found)
