"""Nights as cron starts them, on a command line with an inbox of each kind: uploads, a night, what lies where after it.

`inbox` is a folder with an inbox in it; `site` is one of each kind.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batch.nightly import claims
from batch.run import nightly
from tests.commands.conftest import customers, desk, lean_report
from tests.nightly.inbox.conftest import own_claims, site
from tests.storage.conftest import https, keys, s3, sftp

if TYPE_CHECKING:
    from tests.commands.conftest import Desk, Said
    from tests.conftest import RunningSandbox
    from tests.crash.forks import Fork, Forks
    from tests.nightly.inbox.conftest import Site

__all__ = ["desk", "https", "keys", "lean_report", "own_claims", "s3", "sftp", "site"]

ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}
LONG_AGO = (10**9, 10**9)
"""When uploads of which nobody has to wait to know that they are complete were last read and written."""
MOBILES = "Mobile\n" + "".join(f"91{number:010}\n" for number in range(120, 130))
"""An upload of ten customers who have to be looked up."""
LOOK_UPS_REFUSED = ["ok", "ok", *["error_403_4000"] * 8]
"""What ends the look-ups of MOBILES after two of them."""


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look twice at once: what tests put into an inbox is complete. Nobody waits before another attempt to tell."""
    monkeypatch.setattr(nightly, "SETTLE_S", 0)
    monkeypatch.setattr("batch.run.telling.WAITS_S", (0, 0))


@pytest.fixture
def inbox(desk: Desk) -> Path:
    """An empty inbox that is a folder."""
    folder = desk.folder / "inbox"
    folder.mkdir()
    return folder


# -- what lies where ---------------------------------------------------------------------------------------------------


def put(inbox: Path, name: str, *ids: int) -> None:
    """Put an upload of these customers into an inbox."""
    (inbox / name).write_text(customers(ids))


def put_long_ago(inbox: Path, name: str, *ids: int) -> None:
    """Put an upload into an inbox that is complete also for a night in a process of its own, which would wait."""
    put(inbox, name, *ids)
    os.utime(inbox / name, LONG_AGO)


def lying_in(inbox: Path) -> list[str]:
    """Return the paths of all files below an inbox, in their order."""
    return sorted(str(path.relative_to(inbox)) for path in inbox.rglob("*") if path.is_file())


def lying_at(site: Site) -> set[str]:
    """Return the paths of all files of an inbox of any kind, but those of the reports beside its uploads."""
    return {name for name in site.everything() if ".report/" not in name}


def runs() -> list[Path]:
    """Return the folders of all runs, the oldest first."""
    return sorted(path for path in Path("reports").iterdir() if path.is_dir())


# -- nights ------------------------------------------------------------------------------------------------------------


def night_config(desk: Desk, api: RunningSandbox | str, inbox: object, **groups: object) -> Path:
    """Write a config with an inbox: a milestone of one cycle unless `groups` say otherwise."""
    return desk.config(api, **({"campaign": ONE_CYCLE, "inbox": str(inbox)} | groups))


def a_night(desk: Desk, api: RunningSandbox | str, inbox: object, **groups: object) -> Said:
    """Spend a night with one config, in this process."""
    return desk("nightly", "-c", night_config(desk, api, inbox, **groups))


@contextmanager
def night_process(forks: Forks, desk: Desk, *configs: Path) -> Iterator[Fork]:
    """Begin a night in a process of its own that does not outlive the block; what it says goes into the file `said`."""
    with forks.command(desk.folder, ["nightly", *(word for config in configs for word in ("-c", config))]) as night:
        yield night


@contextmanager
def access_refused() -> Iterator[None]:
    """Let the API refuse whoever begins in this block."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SECRET", "no longer valid")
        yield


class Died(BaseException):
    """Stands for the death of the process."""


@contextmanager
def dying(where: str) -> Iterator[None]:
    """Let this process die at a function of the program, and be another one after the block: one that holds nothing."""

    def die(*_: object, **__: object) -> None:
        raise Died

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(where, die)
        with pytest.raises(Died):
            yield
    claims.OURS.clear()
