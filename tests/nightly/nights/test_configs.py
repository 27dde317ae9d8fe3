"""Several configs in one night: each has its own, whatever becomes of the others."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from batch.run import nightly, nights
from tests.crash.conftest import wait_until
from tests.nightly.nights.conftest import night_config, night_process, put, put_long_ago
from tests.nightly.receivers import web_server

if TYPE_CHECKING:
    from tests.commands.conftest import Desk, Factory
    from tests.conftest import RunningSandbox
    from tests.crash.forks import Forks


def config_of(desk: Desk, api: RunningSandbox | str, name: str, inbox: str | None = None, **groups: Any) -> Path:
    """Write a config with an inbox of its own, in which a file lies, unless `inbox` names another."""
    if inbox is None:
        inbox = f"inbox-{name}"
        (desk.folder / inbox).mkdir()
        put_long_ago(desk.folder / inbox, f"{name}.csv", sum(name.encode()) * 100 + 1)
    return night_config(desk, api, inbox, **groups).rename(desk.folder / f"{name}.yaml")


def done(desk: Desk, name: str) -> bool:
    return (desk.folder / f"inbox-{name}" / "done" / f"{name}.csv").is_file()


def test_a_fault_of_one_night_is_a_line_and_the_next_goes_on(
    desk: Desk, sandbox: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = sandbox(preload=False)
    configs = [config_of(desk, api, name) for name in ("may", "june")]
    real = nightly.Night.run

    def faulty(night: nightly.Night) -> None:
        if "may" in night._inbox.shown:
            raise ZeroDivisionError
        real(night)

    monkeypatch.setattr(nightly.Night, "run", faulty)
    said = desk("nightly", "-c", configs[0], "-c", configs[1])
    assert said.code == 1
    assert "may: Error: a fault of enroll-batch itself (ZeroDivisionError in test_configs.py:" in said.err
    assert (done(desk, "may"), done(desk, "june")) == (False, True)


def test_a_fault_in_telling_of_one_night_does_not_cost_the_next_one(
    desk: Desk, sandbox: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = sandbox(preload=False)
    configs = [config_of(desk, api, name) for name in ("may", "june")]
    real = nights.tell_end

    def faulty(notify: object, config: Path, news: object) -> object:
        if config.stem == "may":
            raise ZeroDivisionError
        return real(notify, config, news)  # type: ignore[arg-type]

    monkeypatch.setattr(nights, "tell_end", faulty)
    said = desk("nightly", "-c", configs[0], "-c", configs[1])
    assert said.code == 1
    assert (done(desk, "may"), done(desk, "june")) == (True, True)


def test_a_fault_in_measuring_a_night_keeps_nobody_from_being_told(
    desk: Desk, sandbox: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(nights, "measure_night", faulty)
    with web_server() as watchman:
        notify = [{"kind": "heartbeat", "url": watchman.url("/beat")}]
        said = desk("nightly", "-c", config_of(desk, sandbox(preload=False), "may", notify=notify))
    assert said.code == 0
    assert "Warning: a fault of enroll-batch itself (ZeroDivisionError in test_configs.py:" in said.err
    assert [post.path for post in watchman.posts] == ["/beat/start", "/beat"]


def test_after_a_signal_no_further_night_begins(desk: Desk, sandbox: Factory, forks: Forks) -> None:
    api = sandbox(preload=False, latency_ms=20)
    may = config_of(desk, api, "may", pacing={"concurrency": 2})
    put_long_ago(desk.folder / "inbox-may", "may.csv", *range(100, 190))
    others = [config_of(desk, api, name) for name in ("june", "july")]
    with night_process(forks, desk, may, *others) as night:
        assert wait_until(lambda: api.calls["enroll"] > 0, night)
        night.send_signal(signal.SIGTERM)
        assert night.wait() == 7
    said = (desk.folder / "said").read_text()
    for other in others:
        assert f"{other.stem}: {other}: not begun, because a signal came; the next night does it\n" in said
    assert [done(desk, other.stem) for other in others] == [False, False]
    assert not any("june" in line or "july" in line for line in Path("reports/nightly.log").read_text().splitlines())
    assert desk("nightly", "-c", may, "-c", others[0], "-c", others[1]).code == 0
    assert done(desk, "may")
    assert done(desk, "june")
    assert done(desk, "july")


@pytest.mark.parametrize(("telling", "is_done"), [("tell_start", False), ("tell_end", True)])
def test_a_signal_while_others_are_told_ends_the_nights_too(
    desk: Desk, sandbox: Factory, monkeypatch: pytest.MonkeyPatch, telling: str, is_done: bool
) -> None:
    api = sandbox(preload=False)
    configs = [config_of(desk, api, name) for name in ("may", "june")]

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(nights, telling, interrupted)
    said = desk("nightly", "-c", configs[0], "-c", configs[1])
    assert said.code == 7
    assert "june.yaml: not begun" in said.err
    assert [done(desk, "may"), done(desk, "june")] == [is_done, False]


# -- configs in each other's way ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ("inbox", "inbox", "the same inbox"),
        ("inbox", "./sub/../inbox/", "the same inbox"),
        ("inbox", "link", "the same inbox"),
        ("inbox", "inbox/done", "one lies inside the other"),
        ("inbox/done", "inbox", "one lies inside the other"),
        ("s3://bucket/in", "s3://bucket/in/", "the same inbox"),
        ("s3://bucket", "s3://bucket/in", "one lies inside the other"),
        ("sftp://me@host/in", "sftp://me@HOST:22/in/./", "the same inbox"),
        ("sftp://me@host/in", "sftp://me@host/in/done", "one lies inside the other"),
    ],
)
def test_configs_that_share_an_inbox_are_refused_before_anything_starts(
    desk: Desk, first: str, second: str, says: str
) -> None:
    (desk.folder / "inbox").mkdir()
    (desk.folder / "link").symlink_to("inbox")
    put(desk.folder / "inbox", "x.csv", 1)
    configs = [config_of(desk, "sandbox", name, inbox, auth=None) for name, inbox in (("a", first), ("b", second))]
    said = desk("nightly", "-c", configs[0], "-c", configs[1])
    assert (said.code, said.out) == (2, "")
    (line,) = said.err.splitlines()
    assert f"Error: {configs[0]} and {configs[1]} have" in line
    assert says in line
    assert "; give each" in line
    assert (desk.folder / "inbox" / "x.csv").is_file()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("inbox", "inbox-2"),
        ("s3://bucket/in", "s3://bucket/in2"),
        ("s3://bucket/in", "s3://other/in"),
        ("sftp://me@host/in", "sftp://you@host/in"),
        ("sftp://me@host/in", "sftp://me@host:2222/in"),
    ],
)
def test_inboxes_that_are_apart_are_not_refused(
    desk: Desk, first: str, second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nightly.Night, "run", lambda _: None)
    configs = [config_of(desk, "sandbox", name, inbox, auth=None) for name, inbox in (("a", first), ("b", second))]
    assert desk("nightly", "-c", configs[0], "-c", configs[1]).code == 0


def test_configs_that_share_a_metrics_file_are_refused_and_told_and_a_third_goes_on(
    desk: Desk, sandbox: Factory
) -> None:
    api = sandbox(preload=False)
    with web_server() as hook:
        desk.monkeypatch.setenv("HMAC", "key")
        notify = [{"kind": "webhook", "url": hook.url(), "hmac_key": "${HMAC}"}]
        both = {"notify": notify, "metrics": {"textfile": "night.prom"}}
        configs = [config_of(desk, api, "may", **both), config_of(desk, api, "june", **both)]
        configs.append(config_of(desk, api, "july", metrics={"textfile": "july.prom"}))
        said = desk("nightly", *(word for config in configs for word in ("-c", config)))
    assert said.code == 2
    assert f"{configs[0]} and {configs[1]} have the same metrics.textfile; give each a file of its own" in said.err
    assert [done(desk, name) for name in ("may", "june", "july")] == [False, False, True]
    messages = [json.loads(post.body) for post in hook.posts]
    assert [(each["about"], each["exit_code"]) for each in messages] == [("nightly may", 2), ("nightly june", 2)]
    assert all("have the same metrics.textfile" in each["text"] for each in messages)


def test_one_config_given_twice_is_refused(desk: Desk) -> None:
    config = config_of(desk, "sandbox", "may", auth=None)
    assert yaml.safe_load(config.read_text())["inbox"] == "inbox-may"
    said = desk("nightly", "-c", config, "-c", config)
    assert said.code == 2
    assert "have the same inbox" in said.err
