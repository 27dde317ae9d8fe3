"""Before a run: is everything in place? Each check is one line: in order, or what is wrong and what to do.

Joins the config, the folders, the API (`api_checks`) and those who are told. Changes nothing: what is written to see
whether it can be written is removed at once (the file of the shared rate stays, as after every run), and nobody is sent
a message.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from batch.config import load_settings
from batch.errors import ConfigError, EnrollBatchError
from batch.model import Action
from batch.nightly.choice import is_upload
from batch.nightly.messages import Undelivered
from batch.nightly.places import open_inbox
from batch.report.reconcile import worst
from batch.run.apart import misplaced
from batch.run.api import check_api
from batch.run.api_checks import api_checks
from batch.run.checks import Check, Status, ok, wrong
from batch.run.telling import ways_of
from batch.sending.pace_file import state_folder
from batch.storage.failures import StorageFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from batch.config import Settings

MEGABYTE = 1_000_000
LEAST_MB = 100
"""Source: our choice: a run of 50,000 requests with its report takes less than a third of it."""
USUAL_MB = 1000


def examine(
    config: Path, *, environ: Mapping[str, str], working_dir: Path, wall_clock: Callable[[], float] = time.time
) -> Iterator[Check]:
    """Yield each check when it has been made, in order. A config that cannot be read is the only one then.

    `wall_clock` gives seconds since 1970.
    """
    try:
        settings = load_settings(config, with_secrets=True, working_dir=working_dir, environ=environ)
        check_api(settings)
    except ConfigError as error:
        yield from (wrong("config", line, error.exit_code) for line in error.text.splitlines())
        return
    except EnrollBatchError as error:
        yield wrong("config", error.text, error.exit_code)
        return
    yield ok("config", _campaign(settings))
    yield from _folders(settings, environ)
    yield from api_checks(settings, state_folder(environ), wall_clock)
    yield from _inbox(settings)
    yield from _notifications(settings)


def exit_code(checks: Iterable[Check]) -> int:
    """Return the exit code of all checks together."""
    return worst({0, *(check.exit_code for check in checks if check.status is Status.WRONG)})


def _campaign(settings: Settings) -> str:
    campaign = settings.campaign
    group, target = (
        "from the file" if number is None else str(number) for number in (campaign.target_group_id, campaign.target_id)
    )
    cycles = f", {len(campaign.cycle_names)} cycles" if campaign.cycle_names else ""
    way = "into" if campaign.action == Action.ENROLL else "from"
    return f"{campaign.action} {way} a {campaign.kind}, target group {group}, target {target}{cycles}"


def _folders(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    wrong_places = misplaced(settings)
    yield _place("reports", settings.report.dir, "report.dir", wrong_places)
    yield _room_in("state", state_folder(environ), "ENROLL_BATCH_STATE")
    if settings.metrics.textfile:
        yield _place("metrics", settings.metrics.textfile.parent, "metrics.textfile", wrong_places)


def _place(name: str, folder: Path, setting: str, wrong_places: Mapping[str, str]) -> Check:
    if setting in wrong_places:
        return wrong(name, f"{setting}: {wrong_places[setting]}", ConfigError.exit_code)
    return _room_in(name, folder, setting)


def _room_in(name: str, folder: Path, setting: str) -> Check:
    """Check that a folder, or the one that it would be made in, can be written, and that its disk has room."""
    there = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
        free_mb = shutil.disk_usage(there).free // MEGABYTE
    except OSError as error:
        return wrong(name, f"{there} cannot be written ({error.strerror}); check its permissions, or set {setting}", 1)
    made = "" if there == folder else ", which will be made,"
    if free_mb < LEAST_MB:
        return wrong(name, f"{folder}{made} has only {free_mb:,} MB left; make room, or set {setting}", 1)
    if free_mb < USUAL_MB:
        return Check(name, Status.LOOK, f"{folder}{made} has {free_mb:,} MB left; large uploads may need more")
    return ok(name, f"{folder}{made} can be written; {free_mb:,} MB free")


def _inbox(settings: Settings) -> Iterator[Check]:
    if settings.inbox is None:
        return
    try:
        inbox = open_inbox(settings.inbox)
    except ConfigError as error:
        yield wrong("inbox", error.text.removeprefix("inbox: "), 2)
        return
    try:
        waiting = sum(is_upload(upload.name) for upload in inbox.look())
        inbox.check()
    except StorageFailed as failure:
        yield wrong("inbox", f"{inbox.shown}: {failure.text}", 2)
        return
    if not inbox.is_remote and (room := _room_in("inbox", Path(inbox.shown), "inbox")).status is Status.WRONG:
        yield room
        return
    if not inbox.is_remote and _is_of_others_and_sticky(Path(inbox.shown)):
        text = f"from {inbox.shown} only who has put a file there can take it (chmod -t changes that)"
        yield Check("inbox", Status.LOOK, text)
        return
    yield ok("inbox", f"files can go their way in {inbox.shown}; uploads in it: {waiting}")


def _is_of_others_and_sticky(folder: Path) -> bool:
    """Return whether what others put into a folder is theirs to move, which a file of our own cannot show."""
    status = folder.stat()
    return bool(status.st_mode & stat.S_ISVTX) and hasattr(os, "geteuid") and os.geteuid() not in {0, status.st_uid}


def _notifications(settings: Settings) -> Iterator[Check]:
    for way, _ in ways_of(settings.notify):
        try:
            yield ok(way.name, way.check())
        except Undelivered as fault:
            yield wrong(way.name, fault.text, 2)
