"""Before step 1: who is to be told, also where the rest of a config file cannot be used.

Owns the reading of `notify` alone, entry by entry: a mail password that is missing keeps no heartbeat from being sent.
It says nothing of what is wrong; whoever loads the whole file has done so.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from pydantic import TypeAdapter, ValidationError

from batch.config.references import find_written_out, look_up_in, resolve
from batch.config.telling import AppriseSettings, EmailSettings, HeartbeatSettings, Notify, WebhookSettings
from batch.config.text import Findings, parse, read_config
from batch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from batch.config.text import Tree

Entry: TypeAlias = EmailSettings | WebhookSettings | AppriseSettings | HeartbeatSettings


def load_notify(path: Path, *, working_dir: Path, environ: Mapping[str, str]) -> tuple[Entry | None, ...]:
    """Return the entries of `notify` in the config file at `path`, in their order; None for one that cannot be used.

    Empty where the file cannot be read. Never raises. Arguments as for `load_settings`.
    """
    try:
        found = parse(str(path), read_config(path)).tree.get("notify")
    except ConfigError:
        return ()
    if not isinstance(found, list):
        return ()
    return tuple(_entry(each, working_dir, environ) for each in found)


def _entry(tree: Tree, working_dir: Path, environ: Mapping[str, str]) -> Entry | None:
    findings = Findings("")
    find_written_out({"notify": [tree]}, findings)
    resolved = resolve(tree, ("notify", 0), look_up_in(environ, working_dir), findings)
    with suppress(ConfigError, ValidationError):
        findings.raise_if_any()
        entry: Entry = TypeAdapter(Notify).validate_python(resolved, context={"working_dir": working_dir})
        return entry
    return None
