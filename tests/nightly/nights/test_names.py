"""Files with names that not everything likes go their way all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.commands.conftest import Desk, Factory, customers
from tests.nightly.nights.conftest import lying_at, night_config, runs

if TYPE_CHECKING:
    from tests.nightly.inbox.conftest import Site

LINE_SEPARATOR = "\u2028"


@pytest.mark.parametrize(
    ("name", "ends_as"),
    [
        (f"may{LINE_SEPARATOR}june.csv", f"may{LINE_SEPARATOR}june.csv"),
        (f"{'ä' * 123}.csv", f"{'ä' * 120}.csv"),
    ],
)
def test_a_file_follows_its_run_whatever_its_name(
    desk: Desk, sandbox: Factory, site: Site, name: str, ends_as: str
) -> None:
    """Broken once: a name with a line separator was remembered as two, a long one could not end anywhere."""
    site.put(name, customers(range(1, 40)).encode())
    config = night_config(desk, sandbox(preload=False), site.address, guard={"canary": 5})
    assert desk("nightly", "-c", config).code == 9
    assert lying_at(site) == {f"unfinished/{ends_as}"}
    (run,) = runs()
    assert desk("resume", run, "--yes").code == 0
    assert desk("nightly", "-c", config).code == 0
    assert lying_at(site) == {f"done/{ends_as}"}
    beside = {path.partition(".report/")[0] for path in site.everything() if ".report/" in path}
    assert beside == (set() if site.kind == "folder" else {f"done/{ends_as}"})
    assert not [path for path in site.everything() if "/." in path]


def test_a_long_name_can_be_refused(desk: Desk, sandbox: Factory, site: Site) -> None:
    name = f"{'x' * 246}.csv"
    site.put(name, b"customer_id\nx\n")
    config = desk.config(sandbox(preload=False), inbox=site.address, input={"max_problems": "5%"})
    said = desk("nightly", "-c", config)
    assert said.code == 3, said
    short = f"{'x' * 240}.csv"
    assert lying_at(site) == {
        f"failed/{short}",
        f"failed/{short}.reason.txt",
    }
