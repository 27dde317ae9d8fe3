"""Fixtures that more than one room's tests use: the simulated API, in this process, over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import hypothesis
import pytest

from batch.sandbox.access import Credentials
from batch.sandbox.faults import Struck
from batch.sandbox.server import serving
from batch.sandbox.switches import Switches, parse_switches

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Coroutine, Iterable, Iterator

    from batch.sandbox.app import Api, Call
    from batch.sandbox.state import Enrolment, Place
    from tests.crash.forks import Forks

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as for what a script runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test asserts a maximum duration, also none that hypothesis runs: a busy machine would fail it.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a folder of its own in it
ENOUGH_BYTES = 2 * 2**30

T = TypeVar("T")


def pytest_configure() -> None:
    """Keep the files of tests in memory, where there is room and nobody has chosen another place by TMPDIR.

    A ledger waits for its disk after each write: two milliseconds, and longer where several workers share one.
    """
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH_BYTES
    if has_room and "TMPDIR" not in os.environ:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: many tests wait, for a real clock or a server."""
    return (os.cpu_count() or 1) + 1


class RunningSandbox:
    """The simulated API on a free port of 127.0.0.1, served by a thread of its own until `close`.

    Everything that is asked of it here happens between two of its calls, never in the middle of one.
    """

    def __init__(self, switches: Switches, state: Path | None, now: Callable[[], float]) -> None:
        self.credentials = Credentials()
        self.url = ""
        self._started = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, args=(switches, state, now), name="sandbox")
        self._thread.start()
        self._started.wait()
        if self._failed is not None:
            self._thread.join()
            raise self._failed

    def _serve(self, switches: Switches, state: Path | None, now: Callable[[], float]) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._stop = asyncio.Event()
            serving_it = serving(switches, self.credentials, state=state, now=now, remembered=2_000_000)
            async with serving_it as (self._api, self.url):
                self._started.set()
                await self._stop.wait()

        try:
            asyncio.run(serve())
        except BaseException as error:  # shown by the thread that waits for us
            self._failed = error
            self._started.set()

    def _ask(self, question: Callable[[Api], T]) -> T:
        async def answer() -> T:
            return question(self._api)

        coroutine: Coroutine[Any, Any, T] = answer()
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def arrivals(self) -> list[int]:
        """When each enroll and unEnroll call arrived, refused ones included; monotonic ns, in order."""
        return self._ask(lambda api: list(api.arrivals))

    def journal(self) -> list[Call]:
        """Each enroll and unEnroll call whose body could be read, in order of arrival."""
        return self._ask(lambda api: list(api.journal))

    def truth(self) -> dict[Place, Enrolment]:
        """Every place that was ever changed by a call, with its balance and how often it took effect.

        A Place is (org, group, target, customer, period); an Enrolment (enrolled, balance, enrolls, unenrolls, ...).
        What is true by rule (`preload`) and was never touched is not in it.
        """
        return self._ask(lambda api: api.organisation.state.truth())

    def enrolled(self) -> set[tuple[int, str]]:
        """(customer, period) of all that calls have enrolled and nobody has unenrolled; period "" for a streak."""
        return {(place.customer, place.period) for place, enrolment in self.truth().items() if enrolment.enrolled}

    def inject(self, customer: int, faults: Iterable[str], struck: str = "change") -> None:
        """Let the next calls for `customer` meet these faults (names of batch.sandbox.faults.Fault), one each.

        `struck`: "change" (enroll and unEnroll), "read" (users/{id}/targetGroups; other reads: customer 0) or "token"
        (customer 0).
        """
        self._ask(lambda api: api.faults.inject(customer, faults, Struck(struck)))

    def revoke_tokens(self) -> None:
        """Make every token that was handed out invalid."""
        self._ask(lambda api: api.access.revoke_all())

    @property
    def calls(self) -> Counter[str]:
        """Arrivals by kind: enroll, unenroll, token, target_periods, targets, target_groups, lookup, unknown."""
        return self._ask(lambda api: api.calls.copy())

    @property
    def statuses(self) -> Counter[int]:
        """Answers by HTTP status; calls whose connection was broken are in none."""
        return self._ask(lambda api: api.statuses.copy())

    @property
    def overlaps(self) -> int:
        """How many calls came while another one for the same customer was at work."""
        return self._ask(lambda api: api.overlaps)

    def close(self) -> None:
        """Stop serving; its state stays in the file."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
        if self._failed is not None:
            raise self._failed


def _as_typed(value: object) -> str:
    return str(value).lower() if isinstance(value, bool | None) else str(value)


@pytest.fixture(scope="session", autouse=True)
def own_temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the program's temporary files where those of tests are, also what killed processes leave of them."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TMPDIR", folder)
        patched.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(scope="session")
def state_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return folders that are not there yet, one for each test."""
    folder = tmp_path_factory.mktemp("states")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def own_state_folder(state_folders: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what runs of this machine share out of the user's own folder, also in child processes."""
    folder = next(state_folders)
    folder.mkdir()
    monkeypatch.setenv("ENROLL_BATCH_STATE", str(folder))


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Commands as processes of their own that begin at once, because all is imported already."""
    from tests.crash.forks import warm_process  # noqa: PLC0415 - it imports all that there is

    with warm_process() as started:
        yield started


@pytest.fixture
def sandbox() -> Iterator[Callable[..., RunningSandbox]]:
    """Return a factory: `api = sandbox(cascade=True, error_502="3%", state=path)`; each is closed with the test.

    Keywords are switches (batch/sandbox/switches.py, fault names included), None meaning none; `state` is a file
    (default: in memory), `now` a clock in seconds since 1970 for dates and tokens. Defaults as everywhere: no
    limit, and customers ending in 07 or 57 enrolled already (`preload=False` for none), those in 99 unknown.
    """
    with contextlib.ExitStack() as stack:

        def start(
            *, state: Path | None = None, now: Callable[[], float] = time.time, **switches: object
        ) -> RunningSandbox:
            running = RunningSandbox(
                parse_switches({name: _as_typed(value) for name, value in switches.items()}), state, now
            )
            stack.callback(running.close)
            return running

        yield start
