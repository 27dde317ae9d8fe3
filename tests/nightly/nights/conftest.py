"""A command line with an inbox of each kind."""

from __future__ import annotations

from tests.commands.conftest import desk
from tests.nightly.inbox.conftest import own_claims, site
from tests.storage.conftest import https, keys, s3, sftp

__all__ = ["desk", "https", "keys", "own_claims", "s3", "sftp", "site"]
