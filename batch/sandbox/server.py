"""The simulated API on a socket: start, say where, serve until told to stop.

Owns the listening socket and the life of the process; knows no rule of the API.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import signal
import sys
import time
from typing import TYPE_CHECKING

from aiohttp import web

from batch.errors import UsageError
from batch.sandbox.app import Api
from batch.sandbox.state import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from batch.sandbox.access import Credentials
    from batch.sandbox.switches import Switches

_FINISH_S = 2.0
"""How long calls that are at work may go on after a stop."""


@contextlib.asynccontextmanager
async def serving(
    switches: Switches,
    credentials: Credentials,
    *,
    state: Path | None,
    host: str = "127.0.0.1",
    port: int = 0,
    now: Callable[[], float] = time.time,
    remembered: int = 100_000,
) -> AsyncIterator[tuple[Api, str]]:
    """Serve while the block runs; yield the API and its URL. Port 0 takes a free one; `state` None keeps it in memory.

    Raises: UsageError when the address cannot be listened on or the file is no state.
    """
    store = State(state, dt.datetime.fromtimestamp(now(), dt.UTC).date())
    try:
        api = Api(switches, credentials, store, now=now, remembered=remembered)
        runner = web.AppRunner(api.application(), access_log=None, shutdown_timeout=_FINISH_S)
        await runner.setup()
        try:
            yield api, await _listen(runner, host, port)
        finally:
            api.stopping.set()
            await runner.cleanup()
    finally:
        store.close()


async def _listen(runner: web.AppRunner, host: str, port: int) -> str:
    try:
        await web.TCPSite(runner, host, port).start()
    except (OSError, OverflowError) as error:
        raise UsageError(f"sandbox: cannot listen on {host} port {port} ({error}); choose another --port") from None
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{runner.addresses[0][1]}"


def serve_until_stopped(
    switches: Switches,
    credentials: Credentials,
    announce: Callable[[str], None],
    *,
    state: Path | None,
    host: str,
    port: int,
    until_stdin_closes: bool,
) -> None:
    """Serve until SIGINT or SIGTERM, or also until stdin ends; call `announce` with the URL once it can be called.

    Raises: UsageError as `serving` does.
    """

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signal_number, stop.set)
        async with serving(switches, credentials, state=state, host=host, port=port) as (_, url):
            if until_stdin_closes:
                await loop.connect_read_pipe(lambda: _UntilEnd(stop), sys.stdin)
            announce(url)
            await stop.wait()

    asyncio.run(serve())


class _UntilEnd(asyncio.Protocol):
    """Set an event when the pipe ends: also when the process that held its other end was killed."""

    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the event loop's signature
        self._ended.set()
