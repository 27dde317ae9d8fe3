"""An input from elsewhere is copied, read and reported like one from this machine."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.conftest import Desk, Factory, customers
from tests.crash.conftest import wait_until
from tests.storage.servers import SECRET, HttpsServer, S3Server, SftpServer

ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}
Place = Callable[[str, str], str]


@pytest.fixture(params=["https", "sftp", "s3"])
def place(request: pytest.FixtureRequest, https: HttpsServer, sftp: SftpServer, s3: S3Server) -> Place:
    """Put a file on a server; return its address."""

    def put(name: str, text: str) -> str:
        match request.param:
            case "https":
                https.files[name] = text.encode()
                return f"{https.url}/file/{name}"
            case "sftp":
                (sftp.root / name).write_text(text)
                return f"{sftp.url}/{name}"
            case _:
                s3.put(f"in/{name}", text.encode())
                return f"s3://uploads/in/{name}"

    return put


def test_a_file_from_elsewhere_is_copied_sent_and_named_by_its_address(
    elsewhere: Desk, sandbox: Factory, place: Place
) -> None:
    address = place("may.csv", customers([1, 2, 99]))
    config = elsewhere.config(sandbox(preload=False), campaign=ONE_CYCLE)
    said = elsewhere("run", address, "-c", config, "--yes", "--run-dir", "run")
    assert said.code == 4, said.err
    assert elsewhere.outcomes() == {"enrolled": 2, "invalid_user": 1}
    assert elsewhere.summary()["input"][0]["path"] == address
    assert {row["source_file"] for row in elsewhere.rows("succeeded.csv")} == {address}
    assert Path("run/input/may.csv").read_text() == customers([1, 2, 99])
    assert [path.name for path in Path("run/input").iterdir()] == ["may.csv"]


def test_a_refused_file_leaves_nothing_behind(elsewhere: Desk, place: Place) -> None:
    address = place("empty.csv", "no header\n1\n")
    said = elsewhere("plan", address, "-c", elsewhere.config("sandbox", auth=None), "--run-dir", "run")
    assert said.code == 3
    assert said.err.startswith("Error: empty.csv: no header found")
    assert not Path("run").exists()


def test_several_inputs_of_one_name_are_kept_apart(elsewhere: Desk, https: HttpsServer, sftp: SftpServer) -> None:
    https.files["twice.csv"] = customers([1]).encode()
    (sftp.root / "twice.csv").write_text(customers([2]))
    addresses = [f"{https.url}/file/twice.csv", f"{sftp.url}/twice.csv"]
    local = elsewhere.upload(customers([3]), "twice.csv")
    config = elsewhere.config("sandbox", auth=None, campaign=ONE_CYCLE)
    said = elsewhere("plan", *addresses, local, "-c", config, "--run-dir", "run")
    assert said.code == 0, said.err
    assert [told["path"] for told in elsewhere.summary()["input"]] == [*addresses, str(local)]
    assert sorted(path.name for path in Path("run/input").iterdir()) == ["twice-2.csv", "twice.csv"]


def test_a_file_that_was_sent_before_is_known_wherever_it_comes_from(
    elsewhere: Desk, sandbox: Factory, place: Place
) -> None:
    elsewhere.run(sandbox(preload=False), customers([41, 42]), campaign=ONE_CYCLE)
    address = place("again.csv", customers([41, 42]))
    config = elsewhere.folder / "config.yaml"
    said = elsewhere("run", address, "-c", config, "--yes", "--run-dir", "second")
    assert said.code == 3
    assert "sent before" in said.err
    assert not Path("second").exists()
    assert elsewhere("run", address, "-c", config, "--yes", "--run-dir", "second", "--again").code == 0


def test_what_else_lies_in_the_folder_of_a_refused_run_stays(elsewhere: Desk, place: Place) -> None:
    config = elsewhere.config("sandbox", auth=None)
    Path("run/input").mkdir(parents=True)
    Path("run/input/mine.csv").write_text("mine")
    said = elsewhere("plan", place("mine.csv", "no header\n1\n"), "-c", config, "--run-dir", "run")
    assert said.code == 2
    assert "run holds something named input already; choose another --run-dir" in said.err
    assert [path.name for path in Path("run").iterdir()] == ["input"]
    assert Path("run/input/mine.csv").read_text() == "mine"


# -- death while planning ---------------------------------------------------------------------------------------------


class Died(BaseException):
    """Stands for the death of the process."""


def die(*_: object) -> None:
    raise Died


def run_that_dies(desk: Desk, where: str, address: str, config: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(where, die)
        with pytest.raises(Died):
            desk("run", address, "-c", config, "--yes", "--run-dir", "run")


def test_a_run_that_died_planning_goes_on_with_its_copy(
    elsewhere: Desk, sandbox: Factory, https: HttpsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    https.files["kept.csv"] = customers([1, 2]).encode()
    config = elsewhere.config(sandbox(preload=False), campaign=ONE_CYCLE)
    address = f"{https.url}/file/kept.csv"
    run_that_dies(elsewhere, "batch.run.planning.PlanWriter.finish", address, config)
    https.files["kept.csv"] = customers([3]).encode()
    assert elsewhere("resume", "run", "--yes").code == 0
    assert elsewhere.outcomes() == {"enrolled": 2}
    assert {row["source_file"] for row in elsewhere.rows("succeeded.csv")} == {address}


@pytest.mark.parametrize("harm", ["gone", "damaged"])
def test_a_copy_that_is_no_longer_whole_is_fetched_again_and_compared(
    elsewhere: Desk, sandbox: Factory, https: HttpsServer, harm: str
) -> None:
    https.files["harmed.csv"] = customers([1, 2]).encode()
    config = elsewhere.config(sandbox(preload=False), campaign=ONE_CYCLE)
    run_that_dies(elsewhere, "batch.run.planning.PlanWriter.finish", f"{https.url}/file/harmed.csv", config)
    copy = Path("run/input/harmed.csv")
    copy.unlink() if harm == "gone" else copy.write_text("customer_id\n")
    https.files["harmed.csv"] = customers([3]).encode()
    said = elsewhere("resume", "run", "--yes")
    assert said.code == 3
    assert f"{https.url}/file/harmed.csv: has changed since this run began to read it" in said.err
    https.files["harmed.csv"] = customers([1, 2]).encode()
    assert elsewhere("resume", "run", "--yes").code == 0
    assert elsewhere.outcomes() == {"enrolled": 2}


def test_a_run_that_died_fetching_fetches_again_and_still_looks_whether_the_file_was_sent(
    elsewhere: Desk, sandbox: Factory, place: Place
) -> None:
    address = place("twice.csv", customers([1, 2]))
    config = elsewhere.config(sandbox(preload=False), campaign=ONE_CYCLE)
    run_that_dies(elsewhere, "batch.storage.fetching.os.fsync", address, config)
    assert not list(Path("run/input").iterdir())
    assert elsewhere("run", address, "-c", config, "--yes", "--run-dir", "other").code == 0
    said = elsewhere("resume", "run", "--yes")
    assert said.code == 3
    assert "sent before" in said.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_fetch_that_is_stopped_ends_at_once_in_one_line(
    elsewhere: Desk, https: HttpsServer, number: signal.Signals
) -> None:
    https.files["slow.csv"] = customers(range(1000)).encode()
    config = elsewhere.config("sandbox", auth=None)
    before = len(https.asked)
    line = [sys.executable, "-m", "batch", "plan", f"{https.url}/silent/slow.csv", "-c", config, "--run-dir", "run"]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
        assert wait_until(lambda: len(https.asked) > before, process)
        process.send_signal(number)
        said = process.communicate()[1]
    assert process.returncode == 7
    assert len(said.splitlines()) == 1
    assert "Traceback" not in said
    assert not list(Path("run/input").iterdir())


# -- secrets ----------------------------------------------------------------------------------------------------------


def test_the_signature_of_a_presigned_address_is_kept_nowhere(
    elsewhere: Desk, sandbox: Factory, https: HttpsServer
) -> None:
    https.files["signed.csv"] = customers([1, 2]).encode()
    shown = f"{https.url}/presigned/signed.csv"
    config = elsewhere.config(sandbox(preload=False), campaign=ONE_CYCLE)
    said = elsewhere("run", f"{shown}?X-Amz-Signature={SECRET}#x", "-c", config, "--yes", "--run-dir", "run", "-v")
    assert said.code == 0, said.err
    assert https.asked[-1] == f"/presigned/signed.csv?X-Amz-Signature={SECRET}"
    assert elsewhere.summary()["input"][0]["path"] == shown
    kept = [path for path in Path("run").rglob("*") if path.is_file()]
    assert [path for path in kept if SECRET.encode() in path.read_bytes()] == []
    assert SECRET not in said.out + said.err


@pytest.mark.parametrize("kind", ["403", "404", "500", "short", "away", "round", "endless", "torn"])
def test_no_refusal_quotes_the_signature(elsewhere: Desk, https: HttpsServer, kind: str) -> None:
    https.files["signed.csv"] = customers([1]).encode()
    config = elsewhere.config("sandbox", auth=None)
    said = elsewhere("plan", f"{https.url}/{kind}/signed.csv?sig={SECRET}", "-c", config, "--run-dir", "run")
    assert said.code == 3
    assert said.err.startswith(f"Error: {https.url}/{kind}/signed.csv: ")
    assert len(said.err.splitlines()) == 1
    assert SECRET not in said.err


def test_a_presigned_run_that_died_fetching_is_begun_anew(elsewhere: Desk, https: HttpsServer) -> None:
    https.files["signed.csv"] = customers([1]).encode()
    config = elsewhere.config("sandbox", auth=None)
    address = f"{https.url}/presigned/signed.csv?sig={SECRET}"
    run_that_dies(elsewhere, "batch.storage.fetching.os.fsync", address, config)
    said = elsewhere("resume", "run", "--yes")
    assert said.code == 3
    assert "access is refused (HTTP 403)" in said.err
    assert SECRET not in elsewhere("status", "run").out
