"""Before step 1: what can go wrong with a file that lies elsewhere, as one line that says what to do.

Owns no library: each edge of this room translates its own exceptions into these. The texts never quote an address,
whose query may hold a signature; the caller puts the part in front that may be shown.
"""

from __future__ import annotations

EXTRA = "needs an extra: pip install 'enroll-batch[remote]'"
CUT = "the connection broke off half-way; nothing of it is used; run it again"
SILENT = "the server stopped answering; run it again later"
UNREACHABLE = "its server cannot be reached; check the host, the port and the network"


class StorageFailed(Exception):
    """A file or folder cannot be used where it lies; `text` says why and what to do."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class NotThere(StorageFailed):
    """There is no such file or folder."""


class AlreadyThere(StorageFailed):
    """There is a file of that name already."""


def chain_holds(error: BaseException, kind: type[BaseException]) -> bool:
    """Return whether an exception is of a kind, or was caused by one that is."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, kind):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
