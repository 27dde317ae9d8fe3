"""The samples for unattended nights hold together: with each other, with the program, and with what reads them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from batch.commands.cli import cli
from batch.config import Settings, load_settings

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "configs" / "deploy"
CREDENTIALS = "/run/credentials/enroll-batch.service"


def unit(name: str, folder: Path = DEPLOY) -> dict[str, dict[str, list[str]]]:
    """Return a unit: section -> key -> values, in order."""
    found: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in (folder / name).read_text("utf-8").splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section.setdefault(key, []).append(value)
    return found


def comment_commands(name: str) -> list[list[str]]:
    """Return the commands that the indented lines of a sample's comment call, in order; of a loop what is inside."""
    lines = [line[4:] for line in (DEPLOY / name).read_text("utf-8").splitlines() if line.startswith("#   ")]
    words = shlex.shlex("\n".join(lines).replace("\\\n", " "), posix=True, punctuation_chars=";|&\n")
    words.whitespace, words.whitespace_split = " ", True
    commands: list[list[str]] = [[]]
    for word in words:
        if set(word) <= set(";|&\n"):
            commands.append([])
        elif not (word in {"do", "done"} and not commands[-1]):
            commands[-1].append(word)
    return [command for command in commands if command and command[0] != "for"]


FOLDERS_OF_ANY_LINUX = {"", "/etc", "/etc/systemd/system", "/opt", "/var/lib"}


def folders_that_nobody_made(commands: list[list[str]]) -> list[str]:
    """Return each folder that a command needs and that none before it has made."""
    made, missing = set(FOLDERS_OF_ANY_LINUX), []
    for command in commands:
        last = command[-1]
        folder = last.rpartition("/")[0]
        match command[command[0] == "sudo" :]:
            case ["install", "-d", *_] | ["python3", "-m", "venv", _]:
                made.add(last)
            case ["install" | "cp", *_]:
                pass
            case ["setfacl", *_]:
                folder = last
            case [program, *_] if program.startswith("/"):
                folder = program.partition("/bin/")[0]
            case _:
                continue
        if folder not in made:
            missing.append(folder)
    return missing


def cron_job() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "cronjob.yaml").read_text("utf-8"))
    return found


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = cron_job()["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return spec


def nightly(tmp_path: Path) -> Settings:
    """Return the settings of nightly.yaml, where each of its secrets is a file."""
    text = (DEPLOY / "nightly.yaml").read_text("utf-8").replace(CREDENTIALS, str(tmp_path))
    for name in named_secrets():
        (tmp_path / name).write_text("https://watch.example/x\n" if name.endswith("url") else "secret\n")
    return load_settings(DEPLOY / "nightly.yaml", with_secrets=True, working_dir=tmp_path, environ={}, text=text)


def named_secrets() -> set[str]:
    return set(re.findall(rf"\${{file:{CREDENTIALS}/([a-z-]+)}}", (DEPLOY / "nightly.yaml").read_text("utf-8")))


def is_a_command_line(words: list[str]) -> bool:
    """Tell whether the program takes these arguments, without doing anything."""
    name, *rest = words
    command = cli.commands[name]
    context = command.make_context(name, list(rest), resilient_parsing=False)
    return bool(context.params)


def test_the_config_is_valid_and_writes_only_where_the_service_may(tmp_path: Path) -> None:
    settings = nightly(tmp_path)
    assert [entry.kind for entry in settings.notify] == ["email", "heartbeat"]
    assert settings.metrics.textfile is not None
    state = [
        f"/var/lib/{name}"
        for value in unit("enroll-batch.service")["Service"]["StateDirectory"]
        for name in value.split()
    ]
    for written in (settings.report.dir, settings.metrics.textfile.parent):
        assert str(written) in state
    assert settings.inbox is not None
    assert settings.inbox not in state  # systemd would take its group's rights away at each start
    assert str(Path(settings.inbox).parent) in state
    service = (DEPLOY / "enroll-batch.service").read_text("utf-8")
    assert f"-m 2770 {settings.inbox}\n" in service


def test_what_an_inbox_elsewhere_needs_is_there_to_be_uncommented(tmp_path: Path) -> None:
    aws = {"AWS_SHARED_CREDENTIALS_FILE", "AWS_DEFAULT_REGION"}
    text = re.sub(r"^#(\w+=)", r"\1", (DEPLOY / "enroll-batch.service").read_text("utf-8"), flags=re.MULTILINE)
    (tmp_path / "enroll-batch.service").write_text(text)
    service = unit("enroll-batch.service", tmp_path)["Service"]
    assert service["ReadWritePaths"] == ["/srv/uploads"]
    assert "aws:/etc/enroll-batch/secrets/aws" in service["LoadCredential"]
    variables = dict(word.split("=") for word in service["Environment"][0].split())
    assert variables.keys() == aws
    assert variables["AWS_SHARED_CREDENTIALS_FILE"] == f"{CREDENTIALS}/aws"
    text = re.sub(r"^( +)# (- name|  value)", r"\1\2", (DEPLOY / "cronjob.yaml").read_text("utf-8"), flags=re.MULTILINE)
    (container,) = yaml.safe_load(text)["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert {each["name"] for each in container["env"]} == aws | {"ENROLL_BATCH_STATE"}


def test_the_service_passes_every_secret_that_the_config_names() -> None:
    service = unit("enroll-batch.service")["Service"]
    assert {value.partition(":")[0] for value in service["LoadCredential"]} == named_secrets()
    assert not any("SECRET" in value or "PASSWORD" in value for value in service["Environment"])


def test_the_service_alarms_when_it_fails_and_knows_what_is_no_failure() -> None:
    units = unit("enroll-batch.service")
    assert units["Unit"]["OnFailure"] == ["enroll-batch-failed@%n.service"]
    assert (DEPLOY / "enroll-batch-failed@.service").is_file()
    assert units["Service"]["SuccessExitStatus"] == ["4 5"]
    assert units["Service"]["KillMode"] == ["mixed"]
    assert units["Service"]["LimitCORE"] == ["0"]


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("enroll-batch.service", "useradd", "systemctl"),
        ("crontab", "useradd", "crontab"),
        ("Dockerfile", "docker", "docker"),
    ],
)
def test_what_a_comment_installs_goes_into_folders_that_it_has_made(name: str, first: str, last: str) -> None:
    commands = comment_commands(name)
    assert (commands[0][0], commands[-1][0]) == (first, last)
    assert folders_that_nobody_made(commands) == []
    assert folders_that_nobody_made([command for command in commands if "-d" not in command]) != []


def test_the_program_is_installed_from_the_checkout_and_never_by_a_name_that_anybody_could_take() -> None:
    """Fails with `pip install enroll-batch`: no registry has it, so whoever publishes it there would be root here."""
    for path in (*DEPLOY.iterdir(), ROOT / "README.md"):
        for options in re.findall(r"pip install ([^`\n]*)", path.read_text("utf-8")):
            for word in shlex.split(options.partition("&&")[0].rstrip("\\ ")):
                assert word.startswith(("-", ".", "/path/to/checkout")), (path.name, options)


def test_every_secret_is_put_where_the_service_looks_for_it() -> None:
    text = (DEPLOY / "enroll-batch.service").read_text("utf-8")
    (names,) = re.findall(r"^#   for name in (.*); do$", text, re.MULTILINE)
    service = unit("enroll-batch.service")["Service"]
    assert sorted(service["LoadCredential"]) == sorted(f"{n}:/etc/enroll-batch/secrets/{n}" for n in names.split())
    (stored,) = (command for command in comment_commands("enroll-batch.service") if command[-1].endswith("/$name"))
    assert stored == ["install", "-m", "0600", "/dev/stdin", "/etc/enroll-batch/secrets/$name"]


def test_all_is_seen_to_be_in_place_before_the_first_night_and_where_the_secrets_can_be_read() -> None:
    """By hand `doctor -c nightly.yaml` cannot: the folder of the credentials is there only while the service runs."""
    commands = comment_commands("enroll-batch.service")
    tried = commands.index(["systemctl", "start", "enroll-batch"])
    assert tried > commands.index(["setfacl", "-d", "-m", "u:enroll-batch:rwX", "/var/lib/enroll-batch/inbox"])
    assert tried < commands.index(["systemctl", "enable", "--now", "enroll-batch.timer"])
    assert " doctor -c " in unit("enroll-batch.service")["Service"]["ExecStartPre"][0]
    assert "enroll-batch doctor" not in (DEPLOY / "nightly.yaml").read_text("utf-8")


def test_the_timer_makes_up_for_a_missed_night() -> None:
    timer = unit("enroll-batch.timer")
    assert timer["Timer"]["Persistent"] == ["true"]
    assert timer["Install"]["WantedBy"] == ["timers.target"]


def test_the_cron_job_never_runs_twice_and_may_do_nothing_but_its_work() -> None:
    spec = cron_job()["spec"]
    assert (cron_job()["apiVersion"], cron_job()["kind"]) == ("batch/v1", "CronJob")
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert pod()["restartPolicy"] == "Never"
    assert pod()["securityContext"]["runAsNonRoot"] is True
    (container,) = pod()["containers"]
    security = container["securityContext"]
    assert (security["readOnlyRootFilesystem"], security["allowPrivilegeEscalation"]) == (True, False)
    assert security["capabilities"] == {"drop": ["ALL"]}
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod()["volumes"]}
    assert "env" not in container or {each["name"] for each in container["env"]} == {"ENROLL_BATCH_STATE"}


def test_the_cron_job_is_given_every_secret_that_the_config_names() -> None:
    text = (DEPLOY / "cronjob.yaml").read_text("utf-8")
    (created,) = re.findall(r"create secret generic enroll-batch ((?:--from-file=\S+|[\s#\\])+)", text)
    assert set(re.findall(r"--from-file=(\S+)", created)) == named_secrets()
    mounts = {mount["name"]: mount["mountPath"] for mount in pod()["containers"][0]["volumeMounts"]}
    assert f'"${{file:{mounts["secrets"]}/capillary-key}}"' in text


def test_the_cron_job_has_its_volume_and_on_it_the_inbox_of_the_config(tmp_path: Path) -> None:
    text = (DEPLOY / "cronjob.yaml").read_text("utf-8")
    (claim,) = re.findall(r"^#   kubectl apply -f - <<'END'\n(.*?)^#   END$", text, re.MULTILINE | re.DOTALL)
    claimed = yaml.safe_load(claim.replace("#   ", ""))
    assert (claimed["apiVersion"], claimed["kind"]) == ("v1", "PersistentVolumeClaim")
    (data,) = (volume for volume in pod()["volumes"] if volume["name"] == "data")
    assert data["persistentVolumeClaim"]["claimName"] == claimed["metadata"]["name"]
    (first,) = pod()["initContainers"]
    assert first["command"][0] == "mkdir"
    assert first["command"][-1] == nightly(tmp_path).inbox
    (container,) = pod()["containers"]
    assert (first["image"], first["securityContext"]) == (container["image"], container["securityContext"])


def test_the_line_for_docker_plans_a_file_that_is_mounted() -> None:
    *_, copied, (*mounted, _, command, upload, _, config) = comment_commands("Dockerfile")
    assert [Path(name).name for name in copied[4:-1]] == [upload, config]
    assert [name for name in copied[4:-1] if not (ROOT / name).is_file()] == []
    assert is_a_command_line([command, upload, "-c", config])
    assert f"$PWD/{copied[-1].rstrip('/')}:/var/lib/enroll-batch" in mounted


def test_the_image_runs_as_the_user_of_the_cron_job_and_not_as_root() -> None:
    lines = [line for line in (DEPLOY / "Dockerfile").read_text("utf-8").splitlines() if not line.startswith("#")]
    last_stage = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM")) :]
    user = pod()["securityContext"]
    assert f"USER {user['runAsUser']}:{user['runAsGroup']}" in last_stage
    assert 'ENTRYPOINT ["enroll-batch"]' in last_stage


def test_the_image_is_built_from_what_there_is() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    copied = [name for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE) for name in line.split()[:-1]]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert {"pyproject.toml", "README.md", "LICENSE", "batch"} <= set(copied)
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    for extra in re.findall(r"^ARG EXTRAS=(.*)$", text, re.MULTILINE):
        assert f"\n{extra} = [\n" in project


@pytest.mark.parametrize("name", ["crontab", "enroll-batch.service", "cronjob.yaml"])
def test_each_calls_the_program_as_it_wants_to_be_called(name: str) -> None:
    match name:
        case "crontab":
            words = shlex.split(cron_lines()[0].split(maxsplit=5)[5].partition("exec ")[2])[1:]
        case "cronjob.yaml":
            words = pod()["containers"][0]["args"]
        case _:
            words = shlex.split(unit(name)["Service"]["ExecStart"][0])[1:]
    assert is_a_command_line(words)
    assert words[0] == "nightly"


def cron_lines() -> list[str]:
    lines = (DEPLOY / "crontab").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#") and not re.match(r"[A-Z_]+=", line)]


def test_the_line_for_cron_is_one() -> None:
    (line,) = cron_lines()
    fields = line.split(maxsplit=5)
    limits = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]
    for field, (least, most) in zip(fields[:5], limits, strict=True):
        assert field == "*" or least <= int(field) <= most
    assert "%" not in fields[5].replace(r"\%", "")
    assert (DEPLOY / "crontab").read_text("utf-8").endswith("\n")  # cron leaves out a last line without an end


def test_the_help_of_every_command_that_samples_name_is_there() -> None:
    for path in DEPLOY.iterdir():
        for command in re.findall(r"enroll-batch ([a-z]+) -c", path.read_text("utf-8")):
            assert CliRunner().invoke(cli, [command, "--help"]).exit_code == 0, (path.name, command)
