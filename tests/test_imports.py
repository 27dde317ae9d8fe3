"""The arrows between the rooms run one way, pure rooms stay pure, and --help does not wait for heavy libraries."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "batch"
STEPS = frozenset({"intake", "ledger", "capillary", "sending", "report"})
EDGES = frozenset({"nightly", "config", "storage"})
PURE = (
    "model",
    "errors",
    "intake.cells",
    "intake.column",
    "intake.identifiers",
    "intake.left_out",
    "intake.mobiles",
    "intake.own_report",
    "intake.plan",
    "capillary.codes",
    "capillary.advice",
    "capillary.standing",
    "capillary.limits",
    "sending.pacing",
    "sending.guards",
    "sending.adaptive",
    "sending.retry",
    "sending.quarantine",
    "sending.lanes",
    "sending.slots",
    "sending.selection",
    "sending.window",
    "report.reconcile",
    "sandbox.switches",
)
IMPURE = frozenset(
    {"aiohttp", "asyncio", "glob", "http", "httpcore", "httpx", "io", "logging", "os", "pandas", "pathlib", "queue"}
    | {"sched", "secrets", "select", "shutil", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading"}
    | {"time", "tqdm", "urllib", "yaml"}
)
IMPURE_CALLS = frozenset({"open", "input", "print", "now", "utcnow", "today"})
SLOW = frozenset({"pandas", "numpy", "httpx", "aiohttp", "xlsxwriter", "jinja2", "python_calamine", "pydantic", "yaml"})
SLOW |= {"botocore", "asyncssh", "phonenumbers"}


def modules() -> dict[str, Path]:
    """Return every module of the package without its `batch.`: `intake.cells`; a room's __init__ is the room."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imports_of(name: str, source: str, known: frozenset[str]) -> set[str]:
    """Return what a module imports, anywhere in it: ours as `batch.room.module`, others by their full name."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are written in full"
            module = node.module or ""
            ours = module.split(".")[0] == "batch"
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                found.add(inner if ours and inner.removeprefix("batch.") in known else module)
    return found


def room(module: str) -> str:
    return module.removeprefix("batch").removeprefix(".").split(".")[0]


def wrong_arrows(name: str, imported: set[str]) -> list[str]:
    """Return the rooms that module `name` may not know."""
    here = room(name)
    ours = {room(target) for target in imported if target.split(".")[0] == "batch"} - {here, ""}  # "": __version__
    return sorted(there for there in ours if not _may_know(name, here, there, ours))


def _may_know(name: str, here: str, there: str, ours: set[str]) -> bool:
    if there == "commands":
        return here == "__main__"
    if there == "sandbox":
        return here == "run" or name == "commands.sandbox"
    if here == "sandbox":
        return there == "errors"
    if here in {"model", "errors", ""}:
        return False
    if here in STEPS | EDGES:
        return there in {"model", "errors"} or (here, there) == ("nightly", "storage")
    if here == "commands" and there in STEPS:
        return len(ours & STEPS) == 1  # only run joins rooms of different steps
    return here in {"run", "commands"}


def impurities(source: str, imported: set[str]) -> set[str]:
    """Return what a pure room imports or calls and must not."""
    calls = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = node.func
            calls.add(
                called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
            )
    return ({target.split(".")[0] for target in imported} & IMPURE) | (calls & IMPURE_CALLS)


MODULES = modules()
KNOWN = frozenset(MODULES)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_imports_only_rooms_that_it_may_know(name: str) -> None:
    assert wrong_arrows(name, imports_of(name, MODULES[name].read_text(), KNOWN)) == []


@pytest.mark.parametrize("pure", PURE)
def test_a_pure_room_does_no_io_and_never_asks_the_time(pure: str) -> None:
    inside = [name for name in MODULES if name == pure or name.startswith(pure + ".")]
    assert inside, f"{pure} is gone; say here where its work is done now"
    for name in inside:
        source = MODULES[name].read_text()
        assert impurities(source, imports_of(name, source, KNOWN)) == set(), name


@pytest.mark.parametrize(
    ("name", "source", "wrong"),
    [
        ("intake.plan", "from batch.model import Scope\nfrom batch.intake.cells import read_id", []),
        ("intake.plan", "from batch.ledger.schema import TABLES", ["ledger"]),
        ("intake.plan", "from batch import ledger, __version__", ["ledger"]),
        ("intake.plan", "import batch.report.files", ["report"]),
        ("sending.pool", "def f():\n    from batch.capillary.client import CapillaryClient", ["capillary"]),
        ("sending.pool", "if TYPE_CHECKING:\n    from batch.config import Settings", ["config"]),
        ("report.files", "from batch.run import start", ["run"]),
        ("ledger.sqlite", "from batch.commands.words import say", ["commands"]),
        ("run.planning", "from batch.intake.plan import Planner\nfrom batch.ledger import sqlite", []),
        ("run.planning", "from batch.sandbox.embedded import Embedded", []),
        ("run.planning", "from batch.commands import words", ["commands"]),
        ("commands.report", "from batch.run.status import find\nfrom batch.report.terminal import show", []),
        (
            "commands.run",
            "from batch.report.terminal import show\nfrom batch.ledger import sqlite",
            ["ledger", "report"],
        ),
        ("commands.sandbox", "from batch.sandbox.server import serve", []),
        ("commands.run", "from batch.sandbox.server import serve", ["sandbox"]),
        ("sandbox.server", "from batch.errors import UsageError\nfrom batch.model import Action", ["model"]),
        ("storage.s3", "from batch.storage.paths import RemotePath\nfrom batch.config import Settings", ["config"]),
        ("config.keys", "from batch.model import Action\nfrom batch.intake.headers import COLUMNS", ["intake"]),
        ("model.records", "from batch.model.lists import Outcome\nfrom batch.errors import UsageError", ["errors"]),
        ("errors", "from batch.model import Outcome", ["model"]),
        ("__main__", "from batch.commands.cli import main", []),
        ("", "from batch.model import Outcome", ["model"]),
    ],
)
def test_an_arrow_that_runs_the_wrong_way_is_found(name: str, source: str, wrong: list[str]) -> None:
    assert wrong_arrows(name, imports_of(name, source, KNOWN | {"ledger"})) == wrong


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import datetime as dt\nfrom fractions import Fraction", set()),
        ("import time", {"time"}),
        ("from pathlib import Path", {"pathlib"}),
        ("def f():\n    import asyncio", {"asyncio"}),
        ("import urllib.request", {"urllib"}),
        ("dt.datetime.now(dt.UTC)", {"now"}),
        ("open('x')", {"open"}),
    ],
)
def test_what_is_not_pure_is_found(source: str, found: set[str]) -> None:
    assert impurities(source, imports_of("intake.cells", source, KNOWN)) == found


def test_help_does_not_wait_for_heavy_libraries() -> None:
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "batch", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in shown.stderr.splitlines()}
    assert "click" in imported
    assert imported & SLOW == set()
