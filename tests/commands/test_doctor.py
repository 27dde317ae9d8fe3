"""`doctor` finds what would spoil a run, says what to do, and changes nothing."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from typing import TYPE_CHECKING

import pytest

from batch.config import load_settings
from batch.run.doctor import _inbox, examine, exit_code
from batch.sending.pace_file import budget_key, state_folder
from batch.sending.shared_pacing import SharedPacer
from tests.nightly.receivers import PASSWORD, mail_server, make_trust, web_server

if TYPE_CHECKING:
    from tests.commands.conftest import Desk, Factory, Said

BASIC = {"kind": "basic", "till": "store.server", "password": "${PASSWORD}"}


def lines(said: Said) -> dict[str, str]:
    """Return what was said about each thing: name -> status and text."""
    found = {}
    for line in said.out.splitlines():
        status, _, rest = line.partition(" ")
        name, _, text = rest.strip().partition(": ")
        found[name] = f"{status}: {text}"
    assert len(found) == len(said.out.splitlines())
    return found


@pytest.mark.parametrize("auth", [None, BASIC])
def test_everything_in_place_is_said_line_by_line(desk: Desk, sandbox: Factory, auth: dict[str, str] | None) -> None:
    api = sandbox()
    said = desk("doctor", "-c", desk.config(api, **({"auth": auth} if auth else {})))
    assert said.code == 0
    assert list(lines(said)) == [
        "config", "reports", "state", "api", "clock", "credentials", "scope", "target group", "target", "cycles",
    ]  # fmt: skip
    assert {text.partition(":")[0] for text in lines(said).values()} == {"ok"}
    assert set(api.calls) <= {"token", "target_periods", "targets"}
    assert [path.name for path in desk.folder.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    ("faults", "told", "code"),
    [
        ([], "ok: customers of INSTORE can be looked up", 0),
        (["error_403_4000"], "wrong: the API refuses them (HTTP 403, code 4000)", 10),
        (["error_500"], "unknown: the API cannot be asked (HTTP 500", 0),
    ],
)
def test_who_names_customers_otherwise_hears_whether_they_can_be_looked_up(
    desk: Desk, sandbox: Factory, faults: list[str], told: str, code: int
) -> None:
    api = sandbox()
    api.inject(0, ["ok", *faults], "read")
    said = desk("doctor", "-c", desk.config(api, input={"columns": {"mobile": "Phone"}}))
    assert (lines(said)["look-ups"][: len(told)], said.code) == (told, code)


def test_a_source_of_customers_that_the_api_does_not_know_is_told(
    desk: Desk, sandbox: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch.sandbox.reads._SOURCES", frozenset())
    said = desk("doctor", "-c", desk.config(sandbox(), input={"columns": {"email": "Mail"}}))
    assert said.code == 10
    text = "the API does not know this source of customers (code 8011); check input.look_up_source (INSTORE)"
    assert lines(said)["look-ups"] == f"wrong: {text}"


def test_the_simulated_api_is_asked_too(desk: Desk) -> None:
    assert desk("doctor", "-c", desk.config("sandbox", auth=None)).code == 0


@pytest.mark.parametrize(
    ("campaign", "name", "said"),
    [
        ({"target_group_id": 1}, "target group", "wrong: target group 1 does not exist or is deactivated; check"),
        (
            {"target_id": 1},
            "target",
            "wrong: target 1 of group 29463 does not exist; the group has: 5512; check campaign.",
        ),
        (
            {"cycles": ["PERIOD_G_29463_1", "period_g_29463_2", "x"]},
            "cycles",
            'wrong: cycle "period_g_29463_2": the target group has no such cycle (and 1 more); check campaign.cycles',
        ),
    ],
)
def test_a_campaign_that_does_not_fit_the_api_is_said(
    desk: Desk, sandbox: Factory, campaign: dict[str, object], name: str, said: str
) -> None:
    found = desk("doctor", "-c", desk.config(sandbox(), campaign=campaign))
    assert found.code == 2
    assert lines(found)[name].startswith(said)


def test_a_campaign_whose_target_comes_from_the_file_is_asked_about_the_rest(desk: Desk, sandbox: Factory) -> None:
    config = desk.config(sandbox(), campaign={"target_group_id": None, "target_id": None})
    said = desk("doctor", "-c", config)
    assert said.code == 0
    assert lines(said)["credentials"].startswith("ok")
    assert "target group" not in lines(said)


@pytest.mark.parametrize("variable", ["SECRET", "PASSWORD"])
def test_credentials_that_are_refused_are_said_and_not_shown(
    desk: Desk, sandbox: Factory, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "hidden-one")
    config = desk.config(sandbox(), **({"auth": BASIC} if variable == "PASSWORD" else {}))
    said = desk("doctor", "-c", config)
    assert said.code == 10
    assert lines(said)["credentials"].startswith("wrong: ")
    assert "check the variables behind auth" in lines(said)["credentials"]
    assert "hidden-one" not in said.out + said.err


def test_reads_that_are_not_allowed_are_no_fault(desk: Desk, sandbox: Factory) -> None:
    said = desk("doctor", "-c", desk.config(sandbox(access=False)))
    assert said.code == 0
    assert lines(said)["credentials"].startswith("look: reading target groups is not allowed")
    assert lines(said)["target group"].startswith("unknown: the API cannot be asked (HTTP ")


def test_reads_that_do_not_exist_are_no_fault(desk: Desk, sandbox: Factory) -> None:
    config = desk.config(sandbox(), api={"path_prefix": "/elsewhere"}, auth=BASIC)
    said = desk("doctor", "-c", config)
    assert said.code == 0
    assert lines(said)["credentials"] == "unknown: the API cannot be asked (HTTP 404, code 404)"
    assert lines(said)["target group"] == "unknown: the API cannot be asked (HTTP 404, code 404)"


@pytest.mark.parametrize(("org", "code", "status"), [(50672, 0, "ok"), (99, 10, "wrong")])
def test_a_connected_organisation_is_asked_about(
    desk: Desk, sandbox: Factory, org: int, code: int, status: str
) -> None:
    said = desk("doctor", "-c", desk.config(sandbox(), scope={"data_scope": "OTHER", "org": org}))
    assert said.code == code
    assert lines(said)["scope"].startswith(f"{status}: ")
    assert str(org) in lines(said)["scope"]
    assert lines(said)["target group"].startswith("unknown: 29463 belongs to another organisation")


def test_customers_of_another_organisation_are_not_tried_to_be_looked_up(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    columns = {"columns": {"mobile": "Phone"}}
    said = desk("doctor", "-c", desk.config(api, scope={"data_scope": "OTHER", "org": 50672}, input=columns))
    assert said.code == 0
    assert lines(said)["look-ups"].startswith("look: customers of another organisation are not looked up")
    assert api.calls["lookup"] == 0


@pytest.mark.parametrize(("cycles", "code"), [(["PERIOD_G_29463_1"], 0), ("api", 2)])
def test_cycles_that_cannot_be_read_are_named(
    desk: Desk, sandbox: Factory, monkeypatch: pytest.MonkeyPatch, cycles: object, code: int
) -> None:
    entry = {"id": 7, "refCode": "C7", "startDate": "2026-01-01", "endDate": None, "active": True}
    monkeypatch.setattr("batch.sandbox.reads.target_periods", lambda *_: [entry])
    said = desk("doctor", "-c", desk.config(sandbox(), campaign={"cycles": cycles}))
    assert said.code == code
    text = "unknown: the API lists cycles that cannot be read (entry 1, cycle 7: endDate is null, no date)"
    assert lines(said)["target group"] == text
    assert lines(said)["credentials"].startswith("ok: ")


def test_targets_that_cannot_be_read_are_no_fault(
    desk: Desk, sandbox: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch.sandbox.reads.targets", lambda *_: [{"id": None}])
    said = desk("doctor", "-c", desk.config(sandbox()))
    assert said.code == 0
    assert lines(said)["target"].startswith("unknown: the targets of this group cannot be read (entry 1, target null")


def test_nobody_there_is_said(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    said = desk("doctor", "-c", desk.config(f"http://127.0.0.1:{port}"))
    assert said.code == 7
    assert lines(said)["api"].startswith("wrong: ")
    assert "token" not in lines(said)["api"]


@pytest.mark.parametrize(("ahead_s", "side"), [(300, "ahead of"), (-300, "behind")])
def test_a_clock_that_is_wrong_is_said(desk: Desk, sandbox: Factory, ahead_s: int, side: str) -> None:
    config = desk.config(sandbox())
    checks = list(
        examine(config, environ=os.environ, working_dir=desk.folder, wall_clock=lambda: time.time() + ahead_s)
    )
    (clock,) = (check for check in checks if check.name == "clock")
    assert exit_code(checks) == 1
    (said,) = re.findall(rf"this machine's clock is (\d+) s {side} the API's", clock.text)
    assert 290 <= int(said) <= 310


def test_a_folder_that_cannot_be_written_is_said(desk: Desk, sandbox: Factory) -> None:
    (desk.folder / "file").write_text("")
    config = desk.config(
        sandbox(), report={"dir": "file/reports"}, metrics={"textfile": str(desk.folder / "new" / "batch.prom")}
    )
    said = desk("doctor", "-c", config)
    assert said.code == 1
    assert lines(said)["reports"].startswith(f"wrong: {desk.folder / 'file'} cannot be written (Not a directory);")
    assert lines(said)["metrics"].startswith(f"ok: {desk.folder / 'new'}, which will be made, can be written;")
    assert not (desk.folder / "new").exists()


def test_too_little_room_is_said(desk: Desk, sandbox: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch.run.doctor.LEAST_MB", 10**9)
    said = desk("doctor", "-c", desk.config(sandbox()))
    assert said.code == 1
    assert " MB left; make room, or set report.dir" in lines(said)["reports"]


def test_those_who_are_told_are_tried_and_hear_nothing(
    desk: Desk, sandbox: Factory, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust = make_trust(tmp_path_factory.mktemp("trust"))
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    monkeypatch.setenv("WRONG", "hidden-one")
    with mail_server(trust.context) as mail, web_server(trust.context) as hook:
        mailing = {
            "kind": "email", "to": ["ops@example.com"], "from": "batch@example.com", "host": "127.0.0.1",
            "port": mail.port, "user": "me", "password": "${MAIL_PASSWORD}", "ca_bundle": str(trust.root),
        }  # fmt: skip
        beat = {"kind": "heartbeat", "url": hook.url("/hidden", "https")}
        wrong = mailing | {"password": "${WRONG}", "to": ["else@example.com"]}
        notify = [mailing, wrong, beat | {"ca_bundle": str(trust.root)}, beat]
        said = desk("doctor", "-c", desk.config(sandbox(), notify=notify))
    assert said.code == 2
    found = [text for name, text in lines(said).items() if name.startswith("notify")]
    assert [text.partition(";")[0] for text in found] == [
        "ok: the mail server answers and takes the login",
        "wrong: the mail server refuses user and password (535)",
        "ok: the host answers and its certificate is trusted",
        "wrong: the certificate is not trusted",
    ]
    assert (mail.letters, hook.posts) == ([], [])
    assert "hidden" not in said.out


def test_a_config_that_cannot_be_read_is_all_that_is_said(desk: Desk) -> None:
    config = desk.folder / "config.yaml"
    config.write_text("api: {base_url: sandbox, version: v9}\nnotify: [{kind: x}]\n")
    said = desk("doctor", "-c", config)
    assert said.code == 2
    assert said.out.splitlines() == [
        f"wrong    config: {config}, line 1, api.version: \"v9\" is not v3.1 or v3",
        f"wrong    config: {config}, line 2, notify, item 1.kind: must be email, webhook, apprise or heartbeat",
    ]  # fmt: skip


def test_when_everybody_has_to_wait_it_does_not_ask(desk: Desk, sandbox: Factory) -> None:
    api = sandbox()
    budget = budget_key(api.url, "sandbox-key")
    waiting = SharedPacer(state_folder(os.environ), budget, None, run_id="other", now=time.monotonic_ns())
    try:
        waiting.hold_until(time.monotonic_ns() + 3600 * 10**9)
        said = desk("doctor", "-c", desk.config(api))
    finally:
        waiting.close()
    assert said.code == 0
    assert lines(said)["api"].startswith("unknown: other runs use the whole rate, or the API asked everybody to wait")
    assert api.calls.total() == 0


def test_programs_get_json(desk: Desk, sandbox: Factory) -> None:
    said = desk("doctor", "-c", desk.config(sandbox(), campaign={"target_id": 1}), "--json")
    found = json.loads(said.out)
    assert said.code == found["exit_code"] == 2
    assert {check["name"]: check["status"] for check in found["checks"]}["target"] == "wrong"


@pytest.mark.parametrize(
    ("inbox", "said"),
    [
        (".", "; uploads in it: 2"),
        ("nowhere", "/nowhere: "),
        ("https://host/inbox", "nothing can be moved over"),
    ],
)
def test_an_inbox_is_looked_into(desk: Desk, inbox: str, said: str) -> None:
    desk.upload("customer_id\n1\n")
    config = desk.config("sandbox", auth=None)
    settings = load_settings(config, with_secrets=True, working_dir=desk.folder, environ=os.environ)
    (check,) = _inbox(settings.model_copy(update={"inbox": inbox}))
    assert (check.status == "ok") is (inbox == ".")
    assert said in check.text


@pytest.mark.parametrize(
    ("access", "said", "code"), [(True, "ok: by the API: PERIOD_G", 0), (False, "wrong: only", 10)]
)
def test_cycles_that_only_the_api_knows_are_asked_for(
    desk: Desk, sandbox: Factory, access: bool, said: str, code: int
) -> None:
    found = desk("doctor", "-c", desk.config(sandbox(access=access), campaign={"cycles": "api"}))
    assert found.code == code
    assert lines(found)["cycles"].startswith(said)


def test_only_uploads_are_counted_and_nothing_is_left_in_an_inbox(desk: Desk) -> None:
    inbox = desk.folder / "inbox"
    inbox.mkdir()
    for name in ("may.csv", ".may.csv", "may.csv.part"):
        (inbox / name).write_text("customer_id\n1\n")
    said = desk("doctor", "-c", desk.config("sandbox", auth=None, inbox=str(inbox)))
    assert lines(said)["inbox"] == f"ok: files can go their way in {inbox}; uploads in it: 1"
    assert sorted(path.name for path in inbox.iterdir()) == [".may.csv", "may.csv", "may.csv.part"]


@pytest.mark.parametrize("name", ["claimed", "done", "failed", "unfinished"])
def test_a_file_where_the_inbox_has_a_folder_is_said(desk: Desk, name: str) -> None:
    inbox = desk.folder / "inbox"
    inbox.mkdir()
    (inbox / name).write_text("customer_id\n1\n")
    said = desk("doctor", "-c", desk.config("sandbox", auth=None, inbox=str(inbox)))
    assert said.code == 2
    text = f"{inbox}: `{name}` is a file where the inbox has a folder; rename it or take it away"
    assert lines(said)["inbox"] == f"wrong: {text}"


def test_a_right_that_is_missing_in_an_inbox_is_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    inbox = desk.folder / "inbox"
    inbox.mkdir()
    config = desk.config("sandbox", auth=None, inbox=str(inbox))
    monkeypatch.setattr("pathlib.Path.rename", refused)
    said = desk("doctor", "-c", config)
    assert said.code == 2
    text = f"{inbox}: a file cannot be claimed: it cannot be used (Permission denied); check its rights and the disk"
    assert lines(said)["inbox"] == f"wrong: {text}"
    assert list(inbox.iterdir()) == []


@pytest.mark.parametrize(("user", "said"), [(0, "ok: files can"), (12, "look: from"), ("owner", "ok: files can")])
def test_a_folder_in_which_others_keep_their_files_is_said(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, user: int | str, said: str
) -> None:
    inbox = desk.folder / "inbox"
    inbox.mkdir()
    inbox.chmod(0o1777)
    owner = inbox.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: owner if user == "owner" else user)
    found = desk("doctor", "-c", desk.config("sandbox", auth=None, inbox=str(inbox)))
    assert found.code == 0
    assert lines(found)["inbox"].startswith(said)
