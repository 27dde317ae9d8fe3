"""Those whom the config names hear how a run went; that they do not never changes how it went."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Desk, Factory, customers
from tests.crash.conftest import command, wait_until
from tests.nightly.receivers import PASSWORD, Trust, WebServer, mail_server, make_trust, web_server

NAME = "Wilhelmina Featherstonehaugh"
ALL = ["start", "done", "partial", "stopped", "refused", "recovered"]
FIVE = customers(range(345651201, 345651206))


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return make_trust(tmp_path_factory.mktemp("trust"))


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """A web server, and the waits between attempts out of the way."""
    monkeypatch.setattr("batch.run.telling.WAITS_S", (0, 0))
    monkeypatch.setenv("HMAC", "signing-key")
    with web_server() as server:
        yield server


def webhook(hook: WebServer, *occasions: str) -> dict[str, Any]:
    on = {"on": list(occasions)} if occasions else {}
    return {"kind": "webhook", "url": hook.url(), "hmac_key": "${HMAC}", **on}


def told(hook: WebServer) -> list[tuple[str, int | None]]:
    assert all(post.is_signed_with(b"signing-key") for post in hook.posts)
    messages = [json.loads(post.body) for post in hook.posts]
    return [(message["type"].removeprefix("enroll_batch."), message["exit_code"]) for message in messages]


def log(desk: Desk) -> list[str]:
    entries = [json.loads(line) for line in (desk.folder / "run" / "run.log").read_text("utf-8").splitlines()]
    return [entry["text"] for entry in entries if entry["event"] == "notify"]


def test_everybody_hears_of_a_run_in_his_own_way(
    desk: Desk, sandbox: Factory, hook: WebServer, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    with mail_server(trust.context) as mail, web_server(trust.context) as watchman:
        notify = [
            {
                "kind": "email", "to": ["ops@example.com"], "from": "batch@example.com", "host": "127.0.0.1",
                "port": mail.port, "user": "me", "password": "${MAIL_PASSWORD}", "ca_bundle": str(trust.root),
            },
            webhook(hook, *ALL),
            {"kind": "heartbeat", "url": watchman.url("/ping/id", "https"), "ca_bundle": str(trust.root)},
        ]  # fmt: skip
        said = desk.run(sandbox(), f"customer_id,Name\n345651201,{NAME}\n345651299,{NAME}\n", notify=notify)
    assert said.code == 4
    assert told(hook) == [("start", None), ("partial", 4)]
    assert [post.path for post in watchman.posts] == ["/ping/id/start", "/ping/id"]
    (letter,) = mail.letters
    assert letter["Subject"] == "enroll-batch run: partial"
    summary = (desk.folder / "run" / "summary.md").read_text("utf-8")
    assert "2 of 4 requests done, 2 need work" in summary
    assert json.loads(hook.posts[1].body)["text"] == summary
    assert str(desk.folder / "run" / "report.html") in letter.get_content()
    for text in (letter.get_content(), *(post.body.decode() for post in hook.posts + watchman.posts)):
        assert "345651" not in text
        assert NAME not in text
    assert log(desk) == [
        "notify, item 2 (webhook): told (1 attempt)",
        "notify, item 3 (heartbeat): told (1 attempt)",
        *(
            f"notify, item {n} ({kind}): told (1 attempt)"
            for n, kind in enumerate(("email", "webhook", "heartbeat"), 1)
        ),
    ]


def test_only_what_was_asked_for_is_told(desk: Desk, sandbox: Factory, hook: WebServer) -> None:
    assert desk.run(sandbox(), FIVE, notify=[webhook(hook, "stopped"), webhook(hook)]).code == 0
    assert told(hook) == [("done", 0)]


def test_a_run_that_stopped_and_came_to_its_end_has_recovered(desk: Desk, sandbox: Factory, hook: WebServer) -> None:
    notify = [webhook(hook), webhook(hook, "done")]
    assert desk.run(sandbox(), FIVE, "--limit", 3, notify=notify).code == 7
    assert told(hook) == [("stopped", 7)]
    assert desk("resume", "run", "--yes").code == 0
    assert sorted(told(hook)[1:]) == [("done", 0), ("recovered", 0)]


def test_the_first_good_run_after_a_bad_one_is_a_recovery_and_the_next_is_not(
    desk: Desk, sandbox: Factory, hook: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = sandbox()
    config = desk.config(api, notify=[webhook(hook)])
    monkeypatch.setenv("SECRET", "wrong")
    assert desk("run", desk.upload(FIVE), "-c", config, "--yes", "--run-dir", "one").code == 10
    monkeypatch.setenv("SECRET", "sandbox-secret")
    for night in ("two", "three"):
        assert desk("run", desk.upload(FIVE), "-c", config, "--yes", "--again", "--run-dir", night).code == 0
    assert told(hook) == [("refused", 10), ("recovered", 0), ("done", 0)]


def test_an_upload_that_is_refused_is_told_without_its_cells(desk: Desk, sandbox: Factory, hook: WebServer) -> None:
    said = desk.run(sandbox(), f"customer_id,Name\nx,{NAME}\n", notify=[webhook(hook)], input={"max_problems": "0%"})
    assert said.code == 3
    assert told(hook) == [("refused", 3)]
    assert NAME not in hook.posts[0].body.decode()


def test_who_cannot_be_told_changes_nothing_and_is_named(desk: Desk, sandbox: Factory, hook: WebServer) -> None:
    hook.answers += [503, 503, 503]
    nobody = {"kind": "heartbeat", "url": "http://127.0.0.1:1/hidden"}
    said = desk.run(sandbox(), FIVE, "-q", notify=[webhook(hook), nobody])
    assert said.code == 0
    fault = "notify, item 1 (webhook): not told: the receiver answers HTTP 503 (3 attempts)"
    assert f"Warning: {fault}\n" in said.err
    assert fault in log(desk)
    why = "no connection: the connection is refused; check the url (3 attempts)"
    assert f"notify, item 2 (heartbeat): not told: {why}" in log(desk)
    assert "hidden" not in said.err + Path("run/run.log").read_text("utf-8")
    assert len(hook.posts) == 3
    assert len({post.headers["webhook-id"] for post in hook.posts}) == 1


def test_a_sample_that_waits_for_a_word_needs_no_recovery(desk: Desk, sandbox: Factory, hook: WebServer) -> None:
    assert desk.run(sandbox(), FIVE, "--canary", 1, notify=[webhook(hook)]).code == 9
    assert desk("resume", "run", "--yes").code == 0
    assert told(hook) == [("stopped", 9), ("done", 0)]


def test_a_file_that_cannot_be_read_at_all_is_told_without_its_cells(
    desk: Desk, sandbox: Factory, hook: WebServer
) -> None:
    assert desk.run(sandbox(), f"{NAME}\n{NAME}\n", notify=[webhook(hook)]).code == 3
    assert told(hook) == [("refused", 3)]
    assert NAME not in hook.posts[0].body.decode()
    assert not (desk.folder / "run").exists()


def test_whoever_does_not_wait_for_the_telling_gets_the_exit_code_of_the_run(
    desk: Desk, sandbox: Factory, hook: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(errands: list[object], **options: object) -> list[object]:
        if errands:
            raise KeyboardInterrupt
        return []

    monkeypatch.setattr("batch.run.telling.deliver", interrupted)
    assert desk.run(sandbox(), FIVE, notify=[webhook(hook)]).code == 0
    assert desk.summary()["state"] == "finished"


def test_what_only_a_heartbeat_hears_ends_no_trouble(
    desk: Desk, sandbox: Factory, hook: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = sandbox()
    config = desk.config(api, notify=[webhook(hook)])
    monkeypatch.setenv("SECRET", "wrong")
    assert desk("run", desk.upload(FIVE), "-c", config, "--yes", "--run-dir", "one").code == 10
    monkeypatch.setenv("SECRET", "sandbox-secret")
    desk.config(api, notify=[{"kind": "heartbeat", "url": hook.url("/beat")}])
    assert desk("run", desk.upload(FIVE), "-c", config, "--yes", "--again", "--run-dir", "two").code == 0
    desk.config(api, notify=[webhook(hook)])
    assert desk("run", desk.upload(FIVE), "-c", config, "--yes", "--again", "--run-dir", "three").code == 0
    messages = [json.loads(post.body)["type"] for post in hook.posts if post.path == "/hook"]
    assert messages == ["enroll_batch.refused", "enroll_batch.recovered"]


def test_a_run_that_was_killed_and_came_to_its_end_has_recovered(desk: Desk, sandbox: Factory, hook: WebServer) -> None:
    api = sandbox(latency_ms=50)
    config = desk.config(api, notify=[webhook(hook)])
    arguments: list[object] = ["run", desk.upload(FIVE), "-c", config, "--yes", "--run-dir", "run", "--rate", "20/s"]
    with command(desk, arguments) as process:
        assert wait_until(lambda: len(api.arrivals()) >= 2, process)
        process.kill()
        process.wait()
    assert told(hook) == []
    assert desk("resume", "run", "--yes").code == 0
    assert told(hook) == [("recovered", 0)]


def test_look_ups_that_stop_are_told_and_so_is_the_resume(desk: Desk, sandbox: Factory, hook: WebServer) -> None:
    api = sandbox(preload=False)
    api.inject(0, ["ok", *["error_403_4000"] * 6], "read")
    upload = desk.upload("Mobile\n" + "".join(f"91{number:010}\n" for number in range(120, 130)))
    one_by_one = {"pacing": {"concurrency": 1}, "campaign": {"cycles": ["PERIOD_G_29463_1"]}}
    config = desk.config(api, **one_by_one, notify=[webhook(hook)])
    assert desk("run", upload, "-c", config, "--yes", "--run-dir", "run").code == 10
    assert desk("resume", "run", "--yes").code == 10
    assert desk("resume", "run", "--yes").code == 0
    assert [each for each, _ in told(hook)] == ["refused", "refused", "recovered"]
    text = json.loads(hook.posts[0].body)["text"]
    assert "1 of 10 customers are looked up" in text
    assert "91000000012" not in text


def test_a_run_whose_report_was_missing_is_told_by_the_resume(
    desk: Desk, sandbox: Factory, hook: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        """Stands for the death of the process."""

    def die(*_: object) -> None:
        raise Died

    config = desk.config(sandbox(preload=False), notify=[webhook(hook, "done")])
    with monkeypatch.context() as patched:
        patched.setattr("batch.run.closing.report", die)
        with pytest.raises(Died):
            desk("run", desk.upload(FIVE), "-c", config, "--yes", "--run-dir", "run")
    assert desk("resume", "run").code == 0
    assert told(hook) == [("done", 0)]
