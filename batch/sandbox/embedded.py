"""The simulated API for one run, in a process of its own.

Owns that process: it starts `python -m batch sandbox`, learns its URL, and lets it go. A process of its own, because
a crash or a Ctrl-C of the run must not take the API with it; and it must not outlive the run either, so it ends when
its stdin does.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from batch.errors import EnrollBatchError
from batch.sandbox.access import ENVIRONMENT, Credentials

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_CLOSE_S = 10


class Embedded:
    """A running API; `url` is its base URL, `pid` its process. A context manager that closes it."""

    url: str
    pid: int

    def __init__(
        self, state: Path, switches: Mapping[str, str] | None = None, credentials: Credentials | None = None
    ) -> None:
        """Start it with the file `state`, these switches as typed, accepting `credentials` (or the documented ones).

        Raises: EnrollBatchError without the extra `sandbox`, or when it does not start.
        """
        if importlib.util.find_spec("aiohttp") is None:
            raise EnrollBatchError(
                "base_url: sandbox needs the extra `sandbox`; install it: pip install 'enroll-batch[sandbox]'"
            )
        accepted = credentials or Credentials()
        command = [
            sys.executable,
            "-m",
            "batch",
            "sandbox",
            "--embedded",
            "--port",
            "0",
            "--state",
            str(state.absolute()),
        ]
        for name, value in (switches or {}).items():
            command += ["--set", f"{name}={value}"]
        secrets = {variable: getattr(accepted, name) for name, variable in ENVIRONMENT.items()}
        with tempfile.TemporaryFile() as complaints:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env={**os.environ, **secrets},
                cwd=Path(__file__).parents[2],  # so that the child runs the same code as we do
                start_new_session=True,
            )
            self.pid = self._process.pid
            self.url = self._learn_url(complaints)

    def _learn_url(self, complaints: IO[bytes]) -> str:
        line = self._pipe(self._process.stdout).readline()
        try:
            url: str = json.loads(line)["url"]
        except (ValueError, KeyError, TypeError):
            self.close()
            complaints.seek(0)
            said = complaints.read().decode(errors="replace").strip().splitlines()
            raise EnrollBatchError(
                f"the embedded sandbox did not start: {said[-1] if said else 'it said nothing'}"
            ) from None
        return url

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        if pipe is None:
            raise ValueError("started without pipes")
        return pipe

    def gone(self) -> str | None:
        """Say that it has ended by itself, None as long as it serves."""
        code = self._process.poll()
        return None if code is None else f"the embedded sandbox has ended with code {code}; `resume` starts it again"

    def close(self) -> None:
        """Let the API end; its state stays in the file."""
        self._pipe(self._process.stdin).close()
        try:
            self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._pipe(self._process.stdout).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
