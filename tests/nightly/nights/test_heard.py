"""Whatever a night dies of, and whoever cannot be reached for a while: what had happened is told once, later."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from batch.nightly.metrics import read_last_success
from batch.run import night_log
from batch.run.apart import names_of
from batch.run.dead_nights import Marks
from batch.run.night_log import NightLog
from tests.crash.conftest import wait_until
from tests.nightly.nights.conftest import (
    a_night,
    access_refused,
    dying,
    lying_in,
    night_config,
    night_process,
    put,
    put_long_ago,
)
from tests.nightly.nights.test_messages import a_told_night, beats, heartbeat, hook, part_of, told, webhook
from tests.nightly.receivers import PASSWORD, WebServer, mail_server, make_trust, web_server

if TYPE_CHECKING:
    from tests.commands.conftest import Desk, Factory
    from tests.crash.forks import Forks

__all__ = ["hook"]

TELLING = "batch.run.nights._tell"
ENDINGS = ["done", "partial", "stopped", "refused", "recovered"]


def types(hook: WebServer) -> list[str]:
    return [each["type"] for each in told(hook)]


def marks() -> list[str]:
    return [path.name for path in Path("reports").glob(".nightly-*")]


def log_lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("reports/nightly.log").read_text().splitlines()]


# -- nights that died --------------------------------------------------------------------------------------------------


def test_what_a_killed_night_had_done_is_told_by_the_next_one_as_a_recovery(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer, forks: Forks
) -> None:
    api = sandbox(preload=False, latency_ms=20)
    (inbox / "0-bad.csv").write_text("x\n")
    os.utime(inbox / "0-bad.csv", (10**9, 10**9))
    put_long_ago(inbox, "1-may.csv", 1)
    put_long_ago(inbox, "2-june.csv", 2)
    put_long_ago(inbox, "3-july.csv", *range(100, 190))
    config = night_config(
        desk, api, inbox, notify=[webhook(hook), webhook(hook, "refused"), heartbeat(hook)], pacing={"concurrency": 2}
    )
    with night_process(forks, desk, config) as night:
        assert wait_until(lambda: api.calls["enroll"] > 4, night)
        night.kill()
    assert told(hook) == []
    said = desk("nightly", "-c", config)
    assert said.code == 0
    assert "broke off before anybody was told of it.\n" in said.err
    assert sorted((each["type"], each["exit_code"]) for each in told(hook)) == [("recovered", 0), ("refused", 0)]
    text = told(hook)[0]["text"]
    first = "enroll-batch nightly config: 1 file: 1 done; 1 earlier run: 1 done; 1 earlier night broke off\n"
    assert text.startswith(first)
    assert " UTC broke off before anybody was told of it. Until then:\n\n0-bad.csv: " in text
    assert f"  file: {inbox}/done/1-may.csv\n" in part_of(text, "1-may.csv")
    assert "Finished: 1 request, all done." in part_of(text, "2-june.csv")
    assert f"to do: read why in {inbox}/failed/0-bad.csv.reason.txt" in part_of(text, "0-bad.csv")
    assert beats(hook) == ["/start", "/start", ""]
    assert marks() == []
    (line,) = (each for each in log_lines() if each["event"] == "broke_off")
    assert line["broken_off"] == log_lines()[0]["night"]


def test_a_night_that_died_before_it_told_is_told_once(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer
) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1)
    with dying(TELLING):
        a_told_night(desk, api, inbox, hook)
    assert lying_in(inbox) == ["done/may.csv"]
    assert a_told_night(desk, api, inbox, hook).code == 0
    (message,) = told(hook)
    assert message["type"] == "recovered"
    assert message["text"].startswith("enroll-batch nightly config: 1 earlier night broke off\n")
    assert f"  file: {inbox}/done/may.csv\n" in part_of(message["text"], "may.csv")
    assert a_told_night(desk, api, inbox, hook).code == 0
    assert len(told(hook)) == 1


def test_the_exit_code_of_the_next_night_is_its_own_and_several_dead_ones_are_told_together(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer
) -> None:
    api = sandbox(preload=False)
    for number, name in enumerate(("may.csv", "june.csv"), 1):
        put(inbox, name, number)
        with dying(TELLING):
            a_told_night(desk, api, inbox, hook)
    (inbox / "bad.csv").write_text("x\n")
    assert a_told_night(desk, api, inbox, hook).code == 3
    (message,) = told(hook)
    assert (message["type"], message["exit_code"]) == ("refused", 3)
    assert "1 file: 1 refused; 2 earlier nights broke off\n" in message["text"]
    assert all(f"\n\n{name}: Finished" in message["text"] for name in ("may.csv", "june.csv"))
    assert a_told_night(desk, api, inbox, hook).code == 0
    put(inbox, "july.csv", 3)
    assert a_told_night(desk, api, inbox, hook).code == 0
    assert types(hook) == ["refused", "recovered"]


def test_a_night_that_died_before_anything_ended_is_a_line(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer
) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1)
    with dying("batch.run.nightly.new_run"):
        a_told_night(desk, api, inbox, hook)
    assert a_told_night(desk, api, inbox, hook).code == 0
    (message,) = told(hook)
    assert message["type"] == "recovered"
    assert "broke off before anybody was told of it. Nothing else had come to its end until then.\n" in message["text"]


def test_what_goes_on_tonight_is_told_as_it_is_now(desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1)
    with access_refused(), dying(TELLING):
        a_told_night(desk, api, inbox, hook)
    assert a_told_night(desk, api, inbox, hook).code == 0
    (message,) = told(hook)
    assert "Nothing else had come to its end until then." in message["text"]
    assert "\n\nmay.csv: " not in message["text"]
    assert "Z-may: Finished: 1 request, all done." in message["text"]


def test_a_death_is_told_again_until_somebody_hears_it(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer
) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1)
    with dying(TELLING):
        a_told_night(desk, api, inbox, hook)
    hook.answers += [204, 500, 500, 500]  # to the start, and to the message
    with web_server() as watchman:  # who hears all, and is nobody
        for _ in range(3):
            notify = [webhook(hook, "start", *ENDINGS), heartbeat(watchman)]
            assert a_night(desk, api, inbox, notify=notify).code == 0
    messages = [each for each in told(hook) if each["type"] == "recovered"]
    assert len({each["text"] for each in messages}) == 1
    assert len(messages) == 4
    assert marks() == []


def test_a_death_that_nobody_wants_to_hear_of_is_forgotten(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer
) -> None:
    api = sandbox(preload=False)
    for entry in (heartbeat(hook), webhook(hook, "partial")):
        with dying(TELLING):
            a_night(desk, api, inbox, notify=[entry])
        assert len(marks()) == 1
        assert a_night(desk, api, inbox, notify=[entry]).code == 0
        assert marks() == []
    assert told(hook) == []


def test_a_night_that_is_still_at_work_is_not_called_dead(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer, forks: Forks
) -> None:
    api = sandbox(preload=False, latency_ms=20)
    put_long_ago(inbox, "1-may.csv", 1)
    put_long_ago(inbox, "2-june.csv", *range(100, 160))
    config = night_config(desk, api, inbox, notify=[webhook(hook)], pacing={"concurrency": 2})
    with night_process(forks, desk, config) as night:
        assert wait_until(lambda: api.calls["enroll"] > 3, night)
        assert desk("nightly", "-c", config).code == 0
        assert night.wait() == 0
    assert all("broke off" not in each["text"] for each in told(hook))
    assert types(hook).count("done") == len(told(hook))
    assert marks() == []


def test_two_configs_of_one_name_tell_of_their_own_dead_nights(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer
) -> None:
    api = sandbox(preload=False)
    configs = []
    for name in ("a", "b"):
        (desk.folder / name).mkdir()
        (inbox / name).mkdir()
        put(inbox / name, f"{name}.csv", ord(name))
        config = night_config(desk, api, inbox / name, notify=[webhook(hook)])
        configs.append(config.rename(desk.folder / name / "nightly.yaml"))
    with dying(TELLING):
        desk("nightly", "-c", configs[0])
    assert desk("nightly", "-c", configs[1]).code == 0
    assert "broke off" not in told(hook)[0]["text"]
    assert desk("nightly", "-c", configs[0]).code == 0
    assert "a.csv: Finished" in told(hook)[1]["text"]
    assert {each["config"] for each in log_lines()} == set(map(str, configs))


def test_a_log_with_rubbish_and_a_line_half_written_is_read_as_far_as_it_goes(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer
) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1)
    with dying(TELLING):
        a_told_night(desk, api, inbox, hook)
    night = log_lines()[0]["night"]
    with Path("reports/nightly.log").open("ab") as log:
        log.write(b"\xff\n[1]\nnull\n" + b"[" * 100_000 + b"\n")
        for wrong in ({"name": 1}, {"exit_code": 99}, {"exit_code": "x"}, {"text": None}):
            line = {"night": night, "event": "file", "name": "x.csv", "exit_code": 0, "text": "Wrong."}
            log.write(json.dumps(line | wrong).encode() + b"\n")
        log.write(b'{"at": "2026-0')
    assert a_told_night(desk, api, inbox, hook).code == 0
    assert "may.csv: Finished" in told(hook)[0]["text"]
    assert "x.csv" not in told(hook)[0]["text"]
    begun = [line for line in Path("reports/nightly.log").read_bytes().splitlines() if b'"event": "begin"' in line]
    assert [json.loads(line)["event"] for line in begun] == ["begin", "begin"]


def test_of_a_huge_log_the_end_is_read_and_what_may_be_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(night_log, "TAIL_BYTES", 1000)
    config, now = tmp_path / "night.yaml", time.time()
    monkeypatch.setattr(time, "time", lambda: now - 7200)
    log = NightLog(tmp_path, config)
    with Marks(tmp_path, config, log.night):
        log.begin()
        for number in range(100):
            log.write("file", "Finished.", name=f"{number}.csv", exit_code=0, run=None, place="", report="")
    monkeypatch.undo()
    monkeypatch.setattr(night_log, "TAIL_BYTES", 1000)
    with Marks(tmp_path, config, NightLog(tmp_path, config).night) as others:
        (dead,) = others.dead_nights()
    assert [each.name for each in dead.ended][-1] == "99.csv"
    assert 1 < len(dead.ended) < 10
    assert dead.text.endswith("; nightly.log does not have all that it did.")


def test_a_mark_that_is_just_being_taken_is_left_alone(tmp_path: Path) -> None:
    config = tmp_path / "night.yaml"
    log, other = NightLog(tmp_path, config), NightLog(tmp_path, config)
    with Marks(tmp_path, config, log.night):
        pass
    (tmp_path / next(iter(tmp_path.iterdir())).name.replace(log.night, "rubbish")).touch()
    with Marks(tmp_path, config, other.night) as marks:
        assert marks.dead_nights() == []
        marks.told(heard=True)
    assert len(list(tmp_path.glob(".nightly-*"))) == 2
    log.begin()  # and now it is known that it was held
    with Marks(tmp_path, config, other.night) as marks:
        (dead,) = marks.dead_nights()
        assert (dead.night, dead.ended, dead.is_whole) == (log.night, [], True)
        with Marks(tmp_path, config, "another") as third:
            assert third.dead_nights() == []


def test_of_many_dead_nights_the_last_ones_are_told_one_by_one(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer
) -> None:
    config = night_config(desk, sandbox(preload=False), inbox, notify=[webhook(hook)])
    desk.monkeypatch.setattr("batch.run.dead_nights.MOST", 12)
    for _ in range(15):
        log = NightLog(Path("reports").absolute(), config)
        with Marks(Path("reports").absolute(), config, log.night):
            log.begin()
    assert desk("nightly", "-c", config).code == 0
    text = told(hook)[0]["text"]
    assert (
        "config: 12 earlier nights broke off\n\nBefore the last 10 of them, 2 more broke off; see nightly.log.\n"
        in text
    )
    assert text.count("The night of ") == 10
    assert marks() == []


def test_where_no_mark_can_be_made_the_night_does_its_work(desk: Desk, sandbox: Factory, inbox: Path) -> None:
    put(inbox, "may.csv", 1)
    config = night_config(desk, sandbox(preload=False), inbox)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("batch.run.dead_nights.PATIENCE_S", 0)
        patched.setattr("filelock.UnixFileLock._acquire", _no_locks)
        assert desk("nightly", "-c", config).code == 2  # the inbox needs a lock, and says so
    assert desk("nightly", "-c", config).code == 0
    assert lying_in(inbox) == ["done/may.csv"]


def _no_locks(_: object) -> None:
    raise OSError(37, "No locks available")


# -- recoveries --------------------------------------------------------------------------------------------------------


def test_a_recovery_that_does_not_arrive_is_told_again(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer
) -> None:
    api = sandbox(preload=False)
    way = [webhook(hook, "refused", "recovered")]
    (inbox / "bad.csv").write_text("x\n")
    assert a_night(desk, api, inbox, notify=way).code == 3
    hook.answers += [500, 500, 500]
    for number, name in enumerate(("may.csv", "june.csv", "july.csv"), 1):
        put(inbox, name, number)
        assert a_night(desk, api, inbox, notify=way).code == 0
    assert types(hook) == ["refused", *["recovered"] * 4]
    assert "june.csv" in told(hook)[-1]["text"]


def test_a_recovery_that_one_of_two_has_heard_is_over(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer, tmp_path: Path
) -> None:
    api, trust = sandbox(preload=False), make_trust(tmp_path)
    desk.monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    (inbox / "bad.csv").write_text("x\n")
    with mail_server(trust.context, rcpt=["", "550 who?"] * 3) as mail:
        letters = {
            "kind": "email", "to": ["ops@example.com", "gone@example.com"], "from": "batch@example.com",
            "host": "127.0.0.1", "port": mail.port, "user": "me", "password": "${MAIL_PASSWORD}",
            "ca_bundle": str(trust.root),
        }  # fmt: skip
        for number, code in ((None, 3), (1, 0), (2, 0)):
            if number:
                put(inbox, f"{number}.csv", number)
            assert a_night(desk, api, inbox, notify=[letters]).code == code
    assert ["recovered" in letter["Subject"] for letter in mail.letters] == [False, True, False]


def test_a_recovery_that_nobody_wants_to_hear_of_is_over(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer
) -> None:
    api = sandbox(preload=False)
    (inbox / "bad.csv").write_text("x\n")
    assert a_night(desk, api, inbox, notify=[webhook(hook, "refused", "done")]).code == 3
    put(inbox, "may.csv", 1)
    assert a_night(desk, api, inbox, notify=[webhook(hook, "refused", "done")]).code == 0
    put(inbox, "june.csv", 2)
    assert a_night(desk, api, inbox, notify=[webhook(hook)]).code == 0
    assert types(hook) == ["refused", "done", "done"]


def test_who_is_told_that_a_night_begins_is_told_how_it_ended_also_without_work(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer
) -> None:
    notify = [webhook(hook, "start", "done"), webhook(hook)]
    assert a_night(desk, sandbox(preload=False), inbox, notify=notify).code == 0
    assert types(hook) == ["start", "done"]
    assert told(hook)[1]["text"].startswith("enroll-batch nightly config: nothing to do\n")


# -- configs of one name -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("configs", "names"),
    [
        (["may.yaml", "june.yaml"], ["may", "june"]),
        (["a/night.yaml", "b/night.yaml", "may.yaml"], ["a/night", "b/night", "may"]),
        (["/a/x/night.yaml", "/b/x/night.yaml", "/c/night.yaml"], ["/a/x/night.yaml", "/b/x/night.yaml", "c/night"]),
        (["/a/night.yaml", "/a/night.yml"], ["/a/night.yaml", "/a/night.yml"]),
        (["/a/night.yaml", "/a/../a/night.yaml"], ["night", "night"]),
        (["night.yaml"], ["night"]),
    ],
)
def test_a_config_is_called_by_its_stem_or_by_what_tells_it_from_the_others(
    configs: list[str], names: list[str]
) -> None:
    given = [Path(config) for config in configs]
    assert [names_of(given)[config] for config in given] == names


def two_of_one_name(desk: Desk, api: object, hook: WebServer, **groups: Any) -> list[str]:
    """Return the command line of a night with two configs of one name; each `textfile` is the name of a file."""
    line = ["nightly"]
    for name in ("a", "b"):
        (desk.folder / name).mkdir()
        (desk.folder / f"inbox-{name}").mkdir()
        put(desk.folder / f"inbox-{name}", f"{name}.csv", ord(name))
        own = {key: {"textfile": f"{name}.prom"} for key in groups}
        notify = [webhook(hook)]
        config = night_config(desk, api, desk.folder / f"inbox-{name}", notify=notify, **own)  # type: ignore[arg-type]
        line += ["-c", str(config.rename(desk.folder / name / "nightly.yaml").relative_to(desk.folder))]
    return line


def test_two_configs_of_one_name_are_told_apart(desk: Desk, sandbox: Factory, hook: WebServer) -> None:
    said = desk(*two_of_one_name(desk, sandbox(preload=False), hook))
    assert said.code == 0
    assert [line.partition(": ")[0] for line in said.err.splitlines()] == ["a/nightly", "b/nightly"]
    assert [each["about"] for each in told(hook)] == ["nightly a/nightly", "nightly b/nightly"]
    assert told(hook)[0]["text"].startswith("enroll-batch nightly a/nightly: 1 file: 1 done\n")
    nights = {(each["night"], each["config"]) for each in log_lines()}
    assert len({night for night, _ in nights}) == len(nights) == 2


def test_two_configs_of_one_name_whose_figures_could_not_be_told_apart_are_refused(
    desk: Desk, sandbox: Factory, hook: WebServer
) -> None:
    said = desk(*two_of_one_name(desk, sandbox(preload=False), hook, metrics=True))
    assert said.code == 2
    assert "have the same name, by which their metrics are known; rename one of them\n" in said.err
    assert types(hook) == ["refused", "refused"]


# -- figures and places ------------------------------------------------------------------------------------------------


def exit_code_in(path: str) -> int:
    (line,) = (each for each in Path(path).read_text().splitlines() if "last_exit_code{" in each)
    return int(line.rpartition(" ")[2])


def test_a_config_that_cannot_be_used_leaves_its_exit_code_in_the_metrics_file(
    desk: Desk, sandbox: Factory, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(inbox, "may.csv", 1)
    config = night_config(desk, sandbox(preload=False), inbox, metrics={"textfile": "night.prom"})
    assert desk("nightly", "-c", config).code == 0
    last = read_last_success(Path("night.prom"))
    assert (exit_code_in("night.prom"), last is not None) == (0, True)
    with monkeypatch.context() as patched:
        patched.delenv("SECRET")
        assert desk("nightly", "-c", config).code == 2
    assert (exit_code_in("night.prom"), read_last_success(Path("night.prom"))) == (2, last)
    assert desk("nightly", "-c", config).code == 0
    last = read_last_success(Path("night.prom"))
    assert desk("nightly", "-c", config, "-c", config).code == 2
    assert (exit_code_in("night.prom"), read_last_success(Path("night.prom"))) == (2, last)


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ({"metrics": {"textfile": "."}}, "metrics.textfile: {folder} is a folder; name a file in it, such as"),
        ({"metrics": {"textfile": "inbox/x.prom"}}, "metrics.textfile: {folder}/inbox/x.prom lies in the inbox, whose"),
        ({"metrics": {"textfile": "link/x.prom"}}, "metrics.textfile: {folder}/link/x.prom lies in the inbox, whose"),
        ({"metrics": {"textfile": "inbox/done/x.prom"}}, "metrics.textfile: {folder}/inbox/done/x.prom lies in the"),
        ({"report": {"dir": "inbox"}}, "report.dir: {folder}/inbox belongs to the inbox, whose files are uploads"),
        ({"report": {"dir": "inbox/done"}}, "report.dir: {folder}/inbox/done belongs to the inbox, whose files are"),
        ({"report": {"dir": "inbox/claimed/x"}}, "report.dir: {folder}/inbox/claimed/x belongs to the inbox, whose"),
    ],
)
def test_a_place_that_cannot_be_right_is_refused_by_the_night_and_by_doctor(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer, groups: dict[str, Any], says: str
) -> None:
    (desk.folder / "link").symlink_to("inbox")
    put(inbox, "may.csv", 1)
    config = night_config(desk, sandbox(preload=False), inbox, notify=[webhook(hook)], **groups)
    text = says.format(folder=desk.folder)
    said = desk("nightly", "-c", config)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"Error: {config}: {text}")
    assert text in told(hook)[0]["text"]
    assert lying_in(inbox) == ["may.csv"]
    found = desk("doctor", "-c", config)
    assert found.code == 2
    (line,) = (line for line in found.out.splitlines() if line.startswith("wrong"))
    assert text in line


def test_places_beside_the_inbox_and_in_folders_of_their_own_in_it_are_right(
    desk: Desk, sandbox: Factory, inbox: Path
) -> None:
    put(inbox, "may.csv", 1)
    own = {"report": {"dir": "inbox/reports"}, "metrics": {"textfile": "inbox/figures/x.prom"}}
    config = night_config(desk, sandbox(preload=False), inbox, **own)
    assert desk("doctor", "-c", config).code == 0
    assert [desk("nightly", "-c", config).code for _ in range(2)] == [0, 0]
    assert [path.name for path in inbox.iterdir() if path.is_file()] == []
