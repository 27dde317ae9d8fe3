"""Before step 1: a config file and the environment become one validated, frozen Settings.

Owns the order of the work (text, references, keys, rules between groups of keys) and what is said of a key that does
not fit. It does not know what is done with a setting.
"""

from __future__ import annotations

import re
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from batch.config.campaign import CyclePattern
from batch.config.keys import COLUMN_NAMES, BasicSettings, OAuthSettings, Settings
from batch.config.pacing import Rate, parse_rate, parse_time
from batch.config.receivers import Entry, load_notify
from batch.config.references import (
    SECRET_GROUPS,
    find_written_out,
    has_reference,
    is_secret,
    look_up_in,
    refers,
    resolve,
    unresolved,
)
from batch.config.section import Section
from batch.config.telling import NOTIFY, AppriseSettings, EmailSettings, HeartbeatSettings, WebhookSettings
from batch.config.text import Findings, Place, Tree, parse, quoted, read_config, unknown_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

__all__ = [
    "AppriseSettings",
    "BasicSettings",
    "EmailSettings",
    "Entry",
    "HeartbeatSettings",
    "OAuthSettings",
    "Rate",
    "Settings",
    "WebhookSettings",
    "load_notify",
    "load_settings",
    "parse_rate",
    "parse_time",
    "read_config",
    "settings_table",
]

_NOT_YET: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "ledger": (lambda ledger: ledger != "sqlite", "write sqlite"),
}
"""What a config may say and this version does not do: when it is asked for, and what to write instead."""

_TAGGED: Mapping[str | int, type[Section]] = {
    "<oauth>": OAuthSettings,
    "<basic>": BasicSettings,
    "<pattern>": CyclePattern,
    **NOTIFY,
}
"""The forms of a key that has several, as pydantic's errors name them."""
_MARKS = frozenset({*_TAGGED, "<list>", "<word>", "[key]"})
"""What pydantic puts into the place of an error and nobody typed."""
_CHECKED_LATER: dict[str, Tree] = {"kind": "heartbeat", "url": "https://host.invalid"}
"""Stands for an entry of `notify` that cannot be checked without the environment."""


def load_settings(
    path: Path, *, with_secrets: bool, working_dir: Path, environ: Mapping[str, str], text: str | None = None
) -> Settings:
    """Return the settings of the config file at `path`, or of `text`, which a ledger has kept of it.

    Relative paths count from `working_dir` and become absolute. Without secrets nothing in `auth` and `notify` is
    looked up, `settings.auth` is None and `settings.notify` is empty; what can be checked of them is.
    Raises: ConfigError with one line for each fault: file, line, key, what is wrong and what to write.
    """
    name = str(path) if text is None else f"{path} (as kept with the run)"
    text = read_config(path) if text is None else text
    document = parse(name, text)
    findings = document.findings
    find_written_out(document.tree, findings)
    look_up = look_up_in(environ, working_dir)
    auth = document.tree.get("auth")
    resolved: dict[str, Tree] = {
        name: resolve(value, (name,), look_up if with_secrets or name not in SECRET_GROUPS else unresolved, findings)
        for name, value in document.tree.items()
    }
    if not with_secrets and isinstance(auth, dict) and has_reference(auth.get("kind")):
        del resolved["auth"]
    notify = document.tree.get("notify")
    if not with_secrets and isinstance(notify, list):
        resolved["notify"] = [_CHECKED_LATER if refers(entry) else entry for entry in notify]
    try:
        settings = Settings.model_validate(resolved, context={"text": text, "working_dir": working_dir})
    except ValidationError as error:
        for details in error.errors(include_input=False, include_url=False):
            _add(details, document.tree, findings)
    else:
        for place, what in _rules_between_groups(settings, auth_given=auth is not None):
            findings.add(place, what)
    findings.raise_if_any()
    return settings if with_secrets else settings.model_copy(update={"auth": None, "notify": ()})


def _rules_between_groups(settings: Settings, *, auth_given: bool) -> Iterator[tuple[Place, str]]:
    if not auth_given and not settings.uses_sandbox:
        yield ("auth",), 'is missing; write {kind: oauth, key: "${CAPILLARY_KEY}", secret: "${CAPILLARY_SECRET}"}'
    if settings.scope.data_scope == "OTHER" and settings.api.version == "v3":
        yield ("scope", "data_scope"), "OTHER needs the API's version v3.1; v3 knows no connected organisations"
    if settings.campaign.cycles == "api" and settings.scope.data_scope == "OTHER":
        yield ("campaign", "cycles"), "api: no page documents this for another organisation; write the cycles as a list"
    if settings.campaign.expand == "current" and settings.campaign.cycles != "api":
        yield ("campaign", "expand"), "current needs dates, so it needs cycles: api"
    if settings.sandbox and not settings.uses_sandbox:
        yield ("sandbox",), "is only for base_url: sandbox; remove it"
    for key, (asked_for, instead) in _NOT_YET.items():
        if asked_for(attrgetter(key)(settings)):
            yield tuple(key.split(".")), f"this version cannot do that yet; {instead}"


def _add(details: ErrorDetails, tree: Tree, findings: Findings) -> None:
    """Note what pydantic found, in our words, with the text as it was typed and never what a reference stands for."""
    context = details.get("ctx", {})
    place: Place = tuple(part for part in details["loc"] if part not in _MARKS) + tuple(context.get("at", ()))
    if details["type"].startswith("union_tag") and (place == ("auth",) or isinstance(_typed_at(tree, place), dict)):
        place = (*place, "kind")
    if findings.blames(place) and details["type"] != "extra_forbidden":
        return
    what = _wording(details["type"], context, details["loc"])
    typed = _typed_at(tree, place)
    is_about_name = details["type"] in {"missing", "extra_forbidden"} or "[key]" in details["loc"]
    if isinstance(typed, str) and not is_about_name and not is_secret(place):
        what = f"{quoted(typed)} {re.sub('^must be ', 'is not ', what)}"
    if place[:2] == ("input", "columns") and "[key]" in details["loc"] and typed in COLUMN_NAMES:
        what = f"our name stands first: {{{typed}: {place[-1]}}}"
    findings.add(place, what)


def _wording(kind: str, context: Mapping[str, Any], loc: Place) -> str:
    match kind:
        case "rule":
            return str(context["what"])
        case "missing":
            meaning = _keys_at(loc[:-1])[str(loc[-1])].description or ""
            return f"is missing: {meaning.replace('`', '')}"
        case "extra_forbidden":
            return unknown_key(str(loc[-1]), _keys_at(loc[:-1]))
        case "literal_error" | "enum":
            return f"must be {context['expected'].replace(chr(39), '')}"
        case "union_tag_invalid" | "union_tag_not_found" if loc[0] == "notify":
            return "must be email, webhook, apprise or heartbeat"
        case "union_tag_invalid" | "union_tag_not_found":
            return "must be oauth (with key and secret) or basic (with till and password)"
        case "greater_than_equal":
            return f"is too small; write {context['ge']} or more"
        case "greater_than":
            return f"is too small; write more than {context['gt']:g}"
        case "less_than_equal":
            return f"is too large; write {context['le']} or less"
        case "model_type" | "mapping_type" | "dict_type":
            return "must be a group of keys, each with its value"
        case "tuple_type":
            return "must be a list, such as [one, two]"
        case _:
            return f"does not fit ({kind}); see the settings in the README"


def _keys_at(loc: Place) -> dict[str, FieldInfo]:
    """Return the keys, as people type them, of the group that pydantic calls `loc`."""
    group: type[Section] = Settings
    for part in loc:
        if isinstance(part, int):  # an entry of a list
            continue
        group = _TAGGED.get(part) or _section_of(_keys(group)[str(part)]) or group
    return _keys(group)


def _keys(group: type[Section]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in group.model_fields.items()}


def _section_of(field: FieldInfo) -> type[Section] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _typed_at(tree: Tree, place: Place) -> Tree:
    for part in place:
        if isinstance(tree, dict) and isinstance(part, str):
            tree = tree.get(part)
        elif isinstance(tree, list) and isinstance(part, int):
            tree = tree[part]
        else:
            return None
    return tree


def settings_table() -> str:
    """Return the table of all settings for the README: Markdown, one line a key with its default and its meaning."""
    lines = ["| key | default | meaning |", "|---|---|---|"]
    for name, field in _keys(Settings).items():
        group = _section_of(field)
        groups: list[type[Section]] = [OAuthSettings, BasicSettings] if name == "auth" else [group] if group else []
        rows = {f"{name}.{key}": inner for each in groups for key, inner in _keys(each).items()} or {name: field}
        if name == "notify":
            rows |= {f"{name}[].{key}": inner for each in NOTIFY.values() for key, inner in _keys(each).items()}
        lines += [f"| `{key}` | {_default(row)} | {row.description} |" for key, row in rows.items()]
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    match field.default:
        case None:
            return "`null`"
        case dict() as values:
            return f"`{{{', '.join(f'{name}: {value}' for name, value in values.items())}}}`"
        case list() as values:
            return f"`[{', '.join(values)}]`"
        case "":
            return '`""`'
        case default:
            return f"`{default}`"
