"""Beside the steps: what a config calls `inbox` becomes one of the three kinds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from batch.errors import ConfigError
from batch.nightly.claims import Claims
from batch.nightly.local_files import LocalFiles
from batch.nightly.moving_inbox import MovingInbox
from batch.nightly.s3_inbox import S3Inbox
from batch.nightly.sftp_files import SftpFiles
from batch.storage.failures import StorageFailed
from batch.storage.paths import Scheme, read_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.nightly.claims import Nights
    from batch.nightly.inbox import Inbox


def open_inbox(text: str, wall_ns: Callable[[], int] = time.time_ns, nights: Nights | None = None) -> Inbox:
    """Return the inbox that a config names: a folder, s3://bucket/folder or sftp://user@host/folder. Opens nothing.

    `nights`: this night, which makes the claims, and what is known of others; None where nothing can be asked.

    Raises:
        ConfigError: it names something else.
    """
    try:
        place = read_path(text)
    except StorageFailed as failure:
        raise ConfigError(f"inbox: {failure.text}") from failure
    if isinstance(place, Path):
        return MovingInbox(
            str(place.absolute()), LocalFiles(place.absolute()), Claims(wall_ns, nights), is_remote=False
        )
    match place.scheme:
        case Scheme.SFTP:
            return MovingInbox(str(place).rstrip("/"), SftpFiles(place), Claims(wall_ns, nights), is_remote=True)
        case Scheme.S3:
            return S3Inbox(place, Claims(wall_ns, nights))
        case Scheme.HTTPS:
            raise ConfigError("inbox: nothing can be moved over https://; give a folder, s3:// or sftp://")
