"""The config that a run keeps in its ledger: a run goes on with what it began with, whatever the file says now.

What it refers to, such as secrets, is as it is now: the ledger holds none of that.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batch.config import load_settings
from batch.errors import ConfigError, UsageError
from batch.ledger.reading import LedgerReader
from batch.ledger.sqlite import LEDGER_NAME
from batch.model import State, StopReason

if TYPE_CHECKING:
    from batch.config import Settings


@dataclass(frozen=True, slots=True)
class KeptConfig:
    """The config that a run keeps in its ledger, and where it was."""

    config_path: Path
    text: str
    working_dir: Path
    base_url: str | None = None
    """The API that the run was begun for; None where any will do, as for a report."""

    def load(self, *, with_secrets: bool = True) -> Settings:
        """Return the settings, with the secrets as they are now.

        Raises:
            ConfigError: a secret is gone, this program does not know a key, or a variable names another API now.
        """
        settings = load_settings(
            self.config_path,
            with_secrets=with_secrets,
            working_dir=self.working_dir,
            environ=os.environ,
            text=self.text,
        )
        if self.base_url not in {None, settings.api.base_url}:
            raise ConfigError(
                f"{self.config_path} (as kept with the run): api.base_url is now {_public(settings.api.base_url)}, but "
                f"this run was begun for {_public(str(self.base_url))}; set the variable in it back, or begin a new run"
            )
        return settings


def config_of_finished(folder: Path) -> KeptConfig:
    """Return the config of a finished run.

    Raises:
        UsageError: the run is not finished; `resume` is for those, but for one whose upload was refused.
        LedgerFailed: its ledger cannot be read.
    """
    with LedgerReader(folder / LEDGER_NAME) as reader:
        if reader.run().stop_reason == StopReason.INPUT:
            raise UsageError(f"{folder}: its upload was refused, nothing was sent; mend and run the upload")
        if reader.run().state is not State.FINISHED:
            raise UsageError(f"{folder}: this run is not finished; `enroll-batch resume {folder}` goes on with it")
        config_path, text, working_dir, _ = reader.kept_config()
        return KeptConfig(Path(config_path), text, Path(working_dir), reader.run().base_url)


def _public(base_url: str) -> str:
    """Return a URL without a name and password that may stand in it."""
    scheme, separator, rest = base_url.rpartition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path.partition('?')[0]}"
