"""What is run again, what is not, and how runs of one story know of each other."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.commands.conftest import Desk, Factory, check_against_the_truth, customers

if TYPE_CHECKING:
    from tests.crash.forks import Forks

ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}
TWO_CYCLES = {"cycles": ["PERIOD_G_29463_1", "PERIOD_G_29463_2"]}


def again(desk: Desk, *arguments: object) -> Desk:
    """Rerun the run in `run` into the folder `again/run`, and return a desk that reads it."""
    target = desk.folder / "again" / "run"
    said = desk("rerun", "run", "--yes", "--run-dir", target, *arguments)
    assert target.exists(), said
    return Desk(desk.folder / "again", desk.capsys, desk.monkeypatch)


def test_only_what_is_open_is_sent_again(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    api.inject(2, ["error_461"] * 3)
    desk.run(api, customers([1, 2, 99]), campaign=ONE_CYCLE)
    assert desk.outcomes() == {"enrolled": 1, "server_error": 1, "invalid_user": 1}
    second = again(desk)
    assert second.outcomes() == {"enrolled": 1}
    assert second.summary()["input"][0]["rows_read"] == 1
    assert api.calls["enroll"] == 1 + 3 + 1 + 1
    check_against_the_truth(second, api, earlier=[desk])


def test_a_request_in_doubt_is_confirmed_by_the_rerun(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    api.inject(2, ["reset_after"])
    desk.run(api, customers([1, 2]), campaign=ONE_CYCLE, retry={"in_doubt": "leave"})
    assert desk.outcomes() == {"enrolled": 1, "in_doubt": 1}
    second = again(desk)
    assert second.outcomes() == {"enrolled": 1}
    (row,) = second.rows("succeeded.csv")
    assert row["reason"] == "confirmed_by_retry"
    assert (row["provenance"], row["earlier_run"]) == ("own_attempt", desk.summary()["run_id"])


def test_a_balance_in_doubt_stays_in_doubt_when_a_person_reruns_it(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    api.inject(2, ["reset_after"])
    api.inject(2, ["error_400"] * 9, struck="read")
    desk.run(api, "customer_id,initial_balance\n2,50\n", campaign=ONE_CYCLE)
    assert desk.outcomes() == {"in_doubt": 1}
    second = again(desk)
    assert second.outcomes() == {"in_doubt": 1}
    assert second.rows("failed.csv")[0]["reason"] == "enrolled_value_unknown"


def test_what_was_in_doubt_and_is_not_sent_now_stays_in_doubt(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    api.inject(1, ["error_461"] * 3)
    api.inject(2, ["reset_after"])
    desk.run(api, customers([1, 2]), campaign=ONE_CYCLE, retry={"in_doubt": "leave", "attempts": 3, "base_s": 0.01})
    second = again(desk, "--limit", 1)
    assert second.outcomes() == {"enrolled": 1, "in_doubt": 1}


def test_a_corrected_config_mends_the_cycle_and_leaves_what_is_done(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    desk.run(api, customers([1, 2]), campaign={"cycles": ["PERIOD_G_29463_1", "typo"]})
    assert desk.outcomes() == {"enrolled": 2, "period_not_found": 2}
    config = desk.folder / "config.yaml"
    corrected = desk.folder / "corrected.yaml"
    settings = yaml.safe_load(config.read_text())
    settings["campaign"] |= TWO_CYCLES
    corrected.write_text(yaml.safe_dump(settings))
    second = again(desk, "-c", corrected)
    assert second.outcomes() == {"enrolled": 2}
    assert {row["period_name"] for row in second.rows("succeeded.csv")} == {"PERIOD_G_29463_2"}
    assert api.calls["enroll"] == 6


def test_a_corrected_target_sends_every_cycle_of_the_rows_that_were_refused(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    desk.run(api, customers([1, 2]), campaign=TWO_CYCLES | {"target_id": 1})
    corrected = desk.folder / "corrected.yaml"
    corrected.write_text((desk.folder / "config.yaml").read_text().replace("target_id: 1\n", "target_id: 5512\n"))
    second = again(desk, "-c", corrected)
    assert second.outcomes() == {"enrolled": 4}


def test_only_and_also_choose_outcomes(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    api.inject(2, ["error_461"] * 3)
    desk.run(api, customers([2, 99]), campaign=ONE_CYCLE)
    second = again(desk, "--only", "invalid_user")
    assert second.outcomes() == {"invalid_user": 1}
    assert desk("rerun", "run", "--only", "nonsense", "--yes").code == 2


def test_nothing_open_makes_no_run(desk: Desk, sandbox: Factory) -> None:
    desk.run(sandbox(preload=False), customers([1]), campaign=ONE_CYCLE)
    said = desk("rerun", "run", "--yes", "--run-dir", "second")
    assert said.code == 0
    assert "Nothing" in said.out
    assert not Path("second").exists()


def test_an_unfinished_run_is_resumed_not_rerun(desk: Desk, sandbox: Factory) -> None:
    desk.run(sandbox(preload=False), customers([1, 2]), "--limit", 1)
    said = desk("rerun", "run", "--yes")
    assert said.code == 2
    assert "resume" in said.err


def test_a_file_that_was_sent_before_wants_again(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    desk.run(api, customers([1]), campaign=ONE_CYCLE)
    config = desk.folder / "config.yaml"
    upload = desk.folder / "upload.csv"
    said = desk("run", upload, "-c", config, "--yes", "--run-dir", "second")
    assert said.code == 3
    assert "sent before" in said.err
    assert "--again" in said.err
    assert not Path("second").exists()
    assert desk("run", upload, "-c", config, "--yes", "--run-dir", "second", "--again").code == 0


def test_a_file_held_by_an_unfinished_run_names_its_resume(desk: Desk, sandbox: Factory) -> None:
    desk.run(sandbox(preload=False), customers([1, 2, 3]), "--limit", 1, campaign=ONE_CYCLE)
    said = desk("run", desk.folder / "upload.csv", "-c", desk.folder / "config.yaml", "--yes", "--run-dir", "second")
    assert said.code == 3
    assert f"resume {desk.folder / 'run'}" in said.err


def test_another_campaign_or_a_mere_plan_does_not_count(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    desk("plan", desk.upload(customers([1])), "-c", desk.config(api, campaign=ONE_CYCLE), "--run-dir", "planned")
    assert desk.run(api, customers([1]), campaign=ONE_CYCLE).code == 0
    config = desk.config(api, campaign={"cycles": ["PERIOD_G_29463_3"]})
    assert desk("run", desk.folder / "upload.csv", "-c", config, "--yes", "--run-dir", "second").code == 0


def test_why_tells_the_life_of_a_customer_across_runs(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    api.inject(2, ["error_461", "reset_after"])
    desk.run(api, customers([1, 2, 2]), campaign=ONE_CYCLE, retry={"in_doubt": "leave"})
    second = again(desk)
    said = desk("why", second.folder / "run", 2)
    assert said.code == 0
    tells = ["Run run", "row 3", "asked for again in row 4", "attempt 1, HTTP 461", "attempt 2", "in doubt"]
    tells += ["in doubt from an earlier run", "code 310119", "enrolled, confirmed_by_retry", "request id"]
    assert [told for told in tells if told not in said.out] == []
    assert desk("why", "run", 12345).code == 2


def test_a_rerun_against_the_embedded_api_meets_the_same_one(desk: Desk) -> None:
    upload = desk.upload(customers([1, 2, 3]))
    config = desk.config("sandbox", auth=None, campaign=ONE_CYCLE)
    assert desk("run", upload, "-c", config, "--run-dir", "run").code == 0
    assert again(desk, "--only", "enrolled").outcomes() == {"already_enrolled": 3}


def test_a_failure_file_that_goes_back_in_starts_its_doubtful_rows_as_such(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    api.inject(2, ["reset_after"])
    desk.run(api, customers([1, 2]), campaign=ONE_CYCLE, retry={"in_doubt": "leave"})
    config = desk.folder / "config.yaml"
    said = desk("run", desk.folder / "run" / "failed.csv", "-c", config, "--yes", "--run-dir", "again/run")
    assert said.code == 0
    second = Desk(desk.folder / "again", desk.capsys, desk.monkeypatch)
    assert second.rows("succeeded.csv")[0]["reason"] == "confirmed_by_retry"
    why = desk("why", "again/run", 2).out
    assert why.count("Run ") == 2


def test_of_two_runs_of_one_file_that_begin_together_the_later_is_refused(desk: Desk, sandbox: Factory) -> None:
    """Fails when only runs that have begun to send are looked for: both would send all of it."""
    api = sandbox(preload=False)
    config, upload = desk.config(api, campaign=ONE_CYCLE), desk.upload(customers([1]))
    arguments = "run", upload, "-c", config, "--yes", "--run-dir"
    desk.monkeypatch.setattr("batch.commands.sending.confirm", lambda *_, **__: None)
    refused = []

    def begin_another(*_: object, **__: object) -> None:
        desk.monkeypatch.undo()
        desk.monkeypatch.setenv("KEY", "sandbox-key")
        desk.monkeypatch.setenv("SECRET", "sandbox-secret")
        refused.append(desk(*arguments, desk.folder / "second"))

    desk.monkeypatch.setattr("batch.commands.sending.confirm", begin_another)
    said = desk(*arguments, desk.folder / "first")
    assert said.code == 0
    assert refused[0].code == 3
    assert f"held by a run that has just begun, {desk.folder / 'first'}" in refused[0].err
    assert api.calls["enroll"] == 1


def test_a_run_that_is_being_run_again_is_not_run_again_beside_that(desk: Desk, sandbox: Factory) -> None:
    """Fails when re-runs do not know of each other: what is open would be sent by both."""
    api = sandbox(preload=False)
    for customer in (1, 2):
        api.inject(customer, ["error_461"] * 3)
    desk.run(api, customers([1, 2]), campaign=ONE_CYCLE)
    second = again(desk, "--limit", 1)
    said = desk("rerun", "run", "--yes", "--run-dir", second.folder / "third")
    assert said.code == 3
    assert f"`enroll-batch resume {second.folder / 'run'}`" in said.err
    assert desk("resume", second.folder / "run", "--yes").code == 0
    assert desk("rerun", "run", "--yes", "--again", "--run-dir", second.folder / "third").code == 0
    assert api.calls["enroll"] == 6 + 2 + 2


def test_a_run_that_was_run_again_is_not_run_again_without_a_word(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    api.inject(2, ["error_461"] * 3)
    assert desk.run(api, customers([1, 2]), campaign={"cycles": ["PERIOD_G_29463_1"]}).code == 4
    assert desk("rerun", "run", "--yes", "--run-dir", "second").code == 0
    said = desk("rerun", "run", "--yes", "--run-dir", "third")
    assert said.code == 3
    assert f"was run again before, by {desk.folder / 'second'}" in said.err
    assert not (desk.folder / "third").exists()
    assert desk("rerun", "run", "--yes", "--run-dir", "third", "--again").code == 0
    assert api.calls["enroll"] == 1 + 3 + 1 + 1


def test_a_rerun_is_named_after_the_upload_and_its_own_time(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    api.inject(2, ["error_461"] * 6)
    config = desk.config(api, campaign={"cycles": ["PERIOD_G_29463_1"]})
    desk("run", desk.upload(customers([2]), "may.csv"), "-c", config, "--yes")
    (first,) = (desk.folder / "reports").glob("*Z-*")
    desk("rerun", first, "--yes")
    (second,) = set((desk.folder / "reports").glob("*Z-*")) - {first}
    assert re.fullmatch(r"\d{8}T\d{6}Z-may-again", second.name)
    desk("rerun", second, "--yes")
    (third,) = set((desk.folder / "reports").glob("*Z-*")) - {first, second}
    assert re.fullmatch(r"\d{8}T\d{6}Z-may-again(-2)?", third.name)


def test_nothing_to_run_again_is_json_too(desk: Desk, sandbox: Factory) -> None:
    desk.run(sandbox(preload=False), customers([1]), campaign={"cycles": ["PERIOD_G_29463_1"]})
    said = desk("rerun", "run", "--yes", "--json")
    assert said.code == 0
    assert json.loads(said.out) == {"rerun_of": "run", "requests": {"unique": 0}, "exit_code": 0}


def test_a_plan_is_not_sent_when_its_file_was_sent_since(desk: Desk, sandbox: Factory) -> None:
    api = sandbox(preload=False)
    config = desk.config(api, campaign=ONE_CYCLE)
    upload = desk.upload(customers([1, 2]))
    assert desk("plan", upload, "-c", config, "--run-dir", "planned").code == 0
    assert desk("run", upload, "-c", config, "--yes", "--run-dir", "sent").code == 0
    said = desk("resume", "planned", "--yes")
    assert said.code == 3
    assert f"this file was sent before, by {desk.folder / 'sent'}" in said.err
    assert api.calls["enroll"] == 2
    assert desk("resume", "planned", "--yes", "--again").code == 0


def test_of_two_runs_of_one_file_that_begin_together_one_goes_on(desk: Desk, sandbox: Factory, forks: Forks) -> None:
    """Fails when the others are asked in two steps, between which one of them begins to send."""
    api = sandbox(preload=False, latency_ms=20)
    config, upload = desk.config(api, campaign=ONE_CYCLE), desk.upload(customers(range(1, 31)))
    command = ["run", upload, "-c", config, "--yes", "-q", "--run-dir"]
    with ExitStack() as stack:
        folders = [f"reports/{name}" for name in ("first", "second", "third")]
        runs = [stack.enter_context(forks.command(desk.folder, [*command, folder])) for folder in folders]
        assert sorted(run.wait() for run in runs) == [0, 3, 3]
    assert api.calls["enroll"] == 30
    assert api.overlaps == 0
