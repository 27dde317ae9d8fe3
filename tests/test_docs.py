"""The README says what the program does: its commands are run, its tables are made from the code.

`python tests/test_docs.py` writes the tables and the shown results into the README again.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from click.testing import CliRunner

from batch import errors
from batch.capillary import advice
from batch.commands.cli import cli
from batch.config import load_settings, settings_table
from batch.errors import EXIT_CODES
from batch.model import Outcome, Problem
from batch.report.reconcile import STOP_EXIT_CODES
from batch.sandbox.switches import parse_switches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from batch.capillary.registry import Code

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
HOME = "/home/you/enroll-batch"
"""Where the README's results were made, as it tells it."""
MOMENT = "20261130T080000Z"
FITTING = {
    "connected_orgs.yaml": "connected_orgs.csv",
    "milestone.yaml": "enroll_cycles.xlsx",
    "sandbox.yaml": "enroll_200x5.csv",
    "streak.yaml": "streak.csv",
    "unenroll.yaml": "unenroll.csv",
}
"""Each config with a sample that it fits."""
EXIT_OF_FITTING = {"sandbox.yaml": 4}
"""`enroll_200x5.csv` has rows with problems on purpose."""


# -- tables -------------------------------------------------------------------------------------------------------


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def problems() -> Iterator[tuple[Problem, str]]:
    """Yield each row problem with the text that stands below it in the code."""
    (body,) = (node.body for node in ast.parse(inspect.getsource(Problem)).body if isinstance(node, ast.ClassDef))
    for member, text in pairwise(body):
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr):
            (name,) = member.targets
            assert isinstance(name, ast.Name)
            assert isinstance(text.value, ast.Constant)
            yield Problem[name.id], str(text.value.value)


def codes_table(header: str, codes: Iterable[Code]) -> str:
    """Return a table of codes; those that say the same share a line, and advice that the outcome gives is left out."""

    def said(code: Code) -> tuple[str, str, str]:
        usual = advice.OUTCOMES[code.outcome].advice
        return (code.outcome, code.meaning, "" if code.advice == usual else code.advice)

    return table(
        (header, "outcome", "it means", "what to do"),
        (
            (", ".join(str(code.code) for code in alike), f"`{outcome}`", meaning, what_to_do)
            for (outcome, meaning, what_to_do), alike in groupby(sorted(codes, key=said), said)
        ),
    )


def tables() -> dict[str, str]:
    """Return every table of the README that is made from the code."""
    return {
        "settings": settings_table(),
        "outcomes": table(
            ("outcome", "group", "it means", "what to do"),
            ((f"`{note.outcome}`", note.group, note.meaning, note.advice) for note in advice.OUTCOMES.values()),
        ),
        "problems": table(("problem", "it means"), ((f"`{problem}`", text) for problem, text in problems())),
        "exit codes": table(("exit code", "it means"), EXIT_CODES.items()),
        "codes": codes_table("code", advice.documented_codes()),
        "statuses": codes_table("status", advice.documented_statuses()),
    }


TABLE = re.compile(r"(<!-- table: ([a-z ]+) -->\n)(.*?)(<!-- end -->\n)", re.DOTALL)


def with_tables(text: str) -> str:
    """Return the README with its tables made anew."""
    made = tables()
    return TABLE.sub(lambda found: f"{found[1]}\n{made[found[2]]}\n{found[4]}", text)


# -- commands -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A code block: its language, the comment right above it, and its text without indentation."""

    language: str
    comment: str
    text: str
    start: int
    end: int
    indent: str


FENCE = re.compile(
    r"^(?P<indent> *)(?:<!-- (?P<comment>[^\n]*) -->\n *)?```(?P<language>\w*)\n(?P<text>.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)


def blocks(readme: str) -> list[Block]:
    return [
        Block(
            found["language"],
            found["comment"] or "",
            re.sub(f"^{found['indent']}", "", found["text"], flags=re.MULTILINE),
            found.start("text"),
            found.end("text"),
            found["indent"],
        )
        for found in FENCE.finditer(readme)
    ]


def commented(readme: str, comment: str) -> Block:
    (block,) = (block for block in blocks(readme) if block.comment == comment)
    return block


class Desk:
    """A folder with the samples and the configs, where a command line is run as the README shows it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("samples", "configs"):
            shutil.copytree(ROOT / name, folder / name)
        path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
        self._environ = {name: text for name, text in os.environ.items() if not name.startswith("CAPILLARY_")}
        self._environ |= {"PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}

    def run(self, line: str) -> str:
        """Return what a command line prints, as it would look on the machine where the README was written."""
        ended = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env=self._environ, capture_output=True, text=True, check=False
        )
        assert ended.returncode in EXIT_CODES, line
        assert "Traceback" not in ended.stderr
        assert "a fault of enroll-batch" not in ended.stderr, ended.stderr
        said = (ended.stdout + ended.stderr).replace(str(self.folder.resolve()), HOME)
        return re.sub(r"\b\d{8}T\d{6}Z\b", MOMENT, said)


def without_setup(line: str) -> str:
    """Return a command line of the README without the making of the virtual environment that we are in."""
    parts = [part for part in line.split(" && ") if not re.search("-m venv|activate|pip install", part)]
    return " && ".join(parts).replace(".venv/bin/", "")


def closing(said: str) -> str:
    """Return the closing table of a run."""
    return said[re.search(r"^Run ", said, re.MULTILINE).start() :]  # type: ignore[union-attr]


def transcript(text: str) -> list[tuple[str, str]]:
    """Return the commands of a console block, each with the output that is shown of it."""
    return [(command, output) for command, _, output in (part.partition("\n") for part in text.split("$ ")[1:])]


def shows(shown: str, said: str) -> bool:
    """Tell whether the output shown is the output; a line `...` stands for any lines, also none."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else re.escape(line) for line in shown.splitlines(keepends=True)
    )
    return re.fullmatch(pattern, said) is not None


def with_results(readme: str, desk: Desk) -> str:
    """Run every command of the README in its order; return the README with what they print.

    An output that is shown with a `...` in it is left as it is, when it is right.
    """
    said = {}
    new = readme
    for block in blocks(readme):
        if block.comment == "run":
            said["result"] = closing(desk.run(without_setup(block.text.strip())))
        if block.comment == "result":
            new = new.replace(
                f"<!-- result -->\n```text\n{block.text}```", f"<!-- result -->\n```text\n{said['result']}```"
            )
        if block.language == "console":
            made = ""
            for command, output in transcript(block.text):
                found = desk.run(command)
                made += f"$ {command}\n{output if shows(output, found) else found}"
            indented = "".join(
                f"{block.indent if line.strip() else ''}{line}" for line in made.splitlines(keepends=True)
            )
            new = new.replace(readme[block.start : block.end], indented)
    return new


# -- tests --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def readme() -> str:
    return README.read_text("utf-8")


def test_the_tables_of_the_readme_are_those_of_the_code(readme: str) -> None:
    assert {name for _, name, _, _ in TABLE.findall(readme)} == tables().keys()
    assert readme == with_tables(readme), "run `python tests/test_docs.py`"


def test_every_command_of_the_readme_prints_what_is_shown(readme: str, tmp_path: Path) -> None:
    assert readme == with_results(readme, Desk(tmp_path)), "run `python tests/test_docs.py`"


def test_no_command_of_the_readme_is_left_out(readme: str) -> None:
    for block in blocks(readme):
        assert block.language in {"sh", "console", "text", "yaml", "crontab"}
        if block.language == "sh":
            assert block.comment in {"run", "test"} or block.comment.startswith("not run: ")
        if block.language in {"text", "yaml"}:
            assert "enroll-batch run" not in block.text.partition("Next\n")[0]


def test_the_first_screen_ends_with_the_result_of_the_first_line(readme: str) -> None:
    assert "```sh\npython3 -m venv .venv && " in readme[:1500]
    result = commented(readme, "result")
    assert re.search(r"^unique = ", result.text.replace("  ", ""), re.MULTILINE)
    assert readme[: result.end].count("\n") < 70


def test_the_line_for_cron_does_its_work(readme: str, tmp_path: Path) -> None:
    (line,) = (block.text.strip() for block in blocks(readme) if block.language == "crontab")
    command = line.split(maxsplit=5)[5].replace(r"\%", "%").replace(".venv/bin/", "")
    assert command.count("configs/milestone.yaml") == command.count("/data/today.csv") == 1
    command = command.replace("configs/milestone.yaml", "configs/sandbox.yaml")
    command = command.replace("/data/today.csv", "samples/enroll_200x5.csv").replace("/srv/enroll-batch", ".")
    desk = Desk(tmp_path)
    (tmp_path / "secrets.env").write_text("export CAPILLARY_KEY=one CAPILLARY_SECRET=two\n")
    assert re.match(r"\*\*enroll-batch \d{4}-\d\d-\d\d: finished, exit code 4\*\*\n", desk.run(command))
    assert "holds a run already" in desk.run(command)


def test_the_switches_that_the_readme_shows_exist(readme: str) -> None:
    (block,) = (block for block in blocks(readme) if block.text.startswith("sandbox:"))
    switches = yaml.safe_load(block.text)["sandbox"]
    assert parse_switches({name: str(value) for name, value in switches.items()}).faults


def test_those_who_are_told_in_the_readme_are_valid(readme: str) -> None:
    (block,) = (block for block in blocks(readme) if block.text.startswith("notify:"))
    environ = dict.fromkeys(re.findall(r"\$\{(\w+)\}", block.text), "x")
    text = f"api: {{base_url: sandbox}}\n{block.text}"
    told = load_settings(README, with_secrets=True, working_dir=ROOT, environ=environ, text=text).notify
    assert [entry.kind for entry in told] == ["email", "webhook", "heartbeat"]


def test_every_sample_for_unattended_nights_is_mentioned(readme: str) -> None:
    assert [path.name for path in (ROOT / "configs" / "deploy").iterdir() if f"`{path.name}`" not in readme] == []


def test_the_readme_names_every_file_of_a_run(readme: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.run("enroll-batch run samples/enroll_200x5.csv -c configs/sandbox.yaml -q --run-dir reports/one")
    inner = {"lock", ".report.lock", "sandbox.sqlite"}
    named = set(re.findall(r"^\| `([a-z_]+\.(?:csv|xlsx|html|md|json|log|sqlite))`", readme, re.MULTILINE))
    assert {path.name for path in (tmp_path / "reports/one").iterdir()} - inner == named


def test_every_row_problem_says_what_it_means() -> None:
    assert [problem for problem, _ in problems()] == list(Problem)


def test_every_exit_code_is_explained() -> None:
    classes = [thing for thing in vars(errors).values() if inspect.isclass(thing)]
    ends = {found.exit_code for found in classes if issubclass(found, errors.EnrollBatchError)}
    assert ends | set(STOP_EXIT_CODES.values()) <= EXIT_CODES.keys()
    assert list(EXIT_CODES) == list(range(12))


def test_every_outcome_is_explained() -> None:
    assert list(advice.OUTCOMES) == list(Outcome)


@pytest.mark.parametrize("command", cli.commands)
def test_every_command_is_mentioned(command: str, readme: str) -> None:
    assert re.search(rf"`(enroll-batch )?{command}[ `]", readme)


@pytest.mark.parametrize("command", ["", *cli.commands])
def test_help_fits_80_columns(command: str) -> None:
    shown = CliRunner().invoke(cli, [*filter(None, [command]), "--help"], terminal_width=80, prog_name="enroll-batch")
    assert shown.exit_code == 0
    assert [line for line in shown.output.splitlines() if len(line) > 80] == []


def test_every_config_is_mentioned_and_has_a_sample(readme: str) -> None:
    names = {path.name for path in (ROOT / "configs").iterdir() if path.is_file()}
    assert names == FITTING.keys()
    assert [name for name in names if f"`configs/{name}`" not in readme] == []


@pytest.mark.parametrize("config", sorted(FITTING))
def test_a_config_plans_its_sample(config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sample = ROOT / "samples" / FITTING[config]
    planned = CliRunner().invoke(cli, ["plan", str(sample), "-c", str(ROOT / "configs" / config)])
    assert planned.exit_code == EXIT_OF_FITTING.get(config, 0), planned.output
    assert "requests to send" in planned.output


@pytest.mark.parametrize(
    ("shown", "said", "right"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\nb\n", "a\nc\n", False),
        ("...\nb\n", "a\nb\n", True),
        ("a\n...\n", "a\nb\nc\n", True),
        ("a\n...\n", "b\n", False),
        ("", "a\n", False),
    ],
)
def test_three_dots_stand_for_any_lines(shown: str, said: str, right: bool) -> None:
    assert shows(shown, said) is right


def main() -> None:
    """Write the tables and the results into the README again."""
    with tempfile.TemporaryDirectory() as folder:
        README.write_text(with_results(with_tables(README.read_text("utf-8")), Desk(Path(folder))), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
