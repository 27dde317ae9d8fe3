"""What people hear of a night: one message that says what came of each file, and what is to be done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest

from batch.run import nightly
from batch.run.night_words import Spent, headline, night_text
from batch.run.unattended import Ended
from tests.commands.conftest import customers
from tests.nightly.nights.conftest import a_night, access_refused, lying_in, put
from tests.nightly.receivers import PASSWORD, Post, WebServer, mail_server, make_trust, web_server

if TYPE_CHECKING:
    from tests.commands.conftest import Desk, Factory, Said
    from tests.conftest import RunningSandbox

NAME = "Wilhelmina"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    monkeypatch.setenv("HMAC", "signing-key")
    with web_server() as server:
        yield server


def a_told_night(desk: Desk, api: RunningSandbox | str, inbox: Path, hook: WebServer, **groups: object) -> Said:
    """Spend a night of which a webhook and a heartbeat hear, unless `groups` name others."""
    return a_night(desk, api, inbox, **({"notify": [webhook(hook), heartbeat(hook)]} | groups))


def webhook(hook: WebServer, *occasions: str) -> dict[str, Any]:
    on = {"on": list(occasions)} if occasions else {}
    return {"kind": "webhook", "url": hook.url(), "hmac_key": "${HMAC}", **on}


def heartbeat(hook: WebServer) -> dict[str, Any]:
    return {"kind": "heartbeat", "url": hook.url("/beat")}


def told(hook: WebServer) -> list[dict[str, Any]]:
    """Return what the webhook was told."""
    return [message_in(post) for post in hook.posts if post.path == "/hook"]


def message_in(post: Post) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(post.body)
    message["type"] = message["type"].removeprefix("enroll_batch.")
    return message


def beats(hook: WebServer) -> list[str]:
    return [post.path.removeprefix("/beat") for post in hook.posts if post.path.startswith("/beat")]


def part_of(text: str, name: str) -> str:
    """Return what a message says of one file."""
    (part,) = (part for part in text.split("\n\n") if part.startswith(f"{name}: "))
    return part


def test_ten_files_of_which_three_are_bad_leave_seven_done_three_explained_and_one_message(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer
) -> None:
    api = sandbox(preload=False)
    good = [f"good-{number}.csv" for number in range(7)]
    bad = ["bad-1.csv", "bad-2.xlsx", "bad-3.csv"]
    for number, name in enumerate(good):
        put(inbox, name, 345651201 + number)
    (inbox / bad[0]).write_bytes(b"")
    (inbox / bad[1]).write_bytes(b"PK\x03\x04 not really")
    (inbox / bad[2]).write_text(f"customer_id\n{NAME}\ny\n")
    said = a_told_night(desk, api, inbox, hook, input={"max_problems": "5%"})
    assert (said.code, said.out) == (3, "")
    explained = [f"failed/{name}{end}" for name in bad for end in ("", ".reason.txt")]
    assert lying_in(inbox) == sorted([f"done/{name}" for name in good] + explained)
    assert len(api.truth()) == 7
    (message,) = told(hook)
    assert (message["type"], message["exit_code"], message["about"]) == ("refused", 3, "nightly config")
    text = message["text"]
    assert text.startswith("enroll-batch nightly config: 10 files: 7 done, 3 refused\n\n")
    for name in good:
        (run,) = Path("reports").glob(f"*-{name.removesuffix('.csv')}")
        assert part_of(text, name).splitlines() == [
            f"{name}: Finished: 1 request, all done.",
            f"  file: {inbox}/done/{name}",
            f"  report: {run.absolute()}/report.html",
        ]
    for name in bad:
        part = part_of(text, name)
        assert f"\n  file: {inbox}/failed/{name}\n" in part
        assert f"\n  to do: read why in {inbox}/failed/{name}.reason.txt, mend that, and put the file into" in part
        assert (inbox / f"failed/{name}.reason.txt").read_text().strip() in said.err
    assert part_of(text, bad[0]).startswith(f"{bad[0]}: The file is empty.\n")
    assert part_of(text, bad[1]).startswith(f"{bad[1]}: Damaged or cut off; open it and save it again.\n")
    assert part_of(text, bad[2]).startswith(f"{bad[2]}: Not sent: 2 rows of 2 cannot be used.\n")
    assert "345651" not in hook.posts[-1].body.decode() + text
    assert NAME not in text
    assert beats(hook) == ["/start", "/fail"]


def test_a_file_without_a_header_is_explained_without_a_word_of_it(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer
) -> None:
    (inbox / "may.csv").write_text(f"customer,name\n1,{NAME}\n")
    said = a_told_night(desk, sandbox(preload=False), inbox, hook, input={"header_row": 1})
    assert said.code == 3
    (message,) = told(hook)
    assert part_of(message["text"], "may.csv").startswith("may.csv: ")
    assert "input refused" not in message["text"].lower()
    assert NAME not in message["text"]


def test_no_name_of_a_sheet_and_no_id_of_a_row_is_told(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer
) -> None:
    book = openpyxl.Workbook()
    for number, title in enumerate((f"{NAME} 919876543210", f"{NAME} 919876543211"), 1):
        sheet = book.create_sheet(title)
        sheet.append(["customer_id"])
        sheet.append([number])
    book.save(inbox / "may.xlsx")
    (inbox / "june.csv").write_text("customer_id,target_group_id\n1,919876543210\n")
    assert a_told_night(desk, sandbox(preload=False), inbox, hook, campaign={"cycles": "api"}).code == 3
    (message,) = told(hook)
    assert "919876543210" not in message["text"]
    assert NAME not in message["text"]
    assert part_of(message["text"], "may.xlsx").startswith("may.xlsx: Several sheets hold data; name the one to read")


def test_a_night_says_why_the_api_refuses_it_and_where_it_does_not_answer(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer
) -> None:
    put(inbox, "may.csv", 1)
    with access_refused():
        assert a_told_night(desk, sandbox(preload=False), inbox, hook).code == 10
    refused = told(hook)[-1]["text"]
    assert "refuses" in part_of(refused, "may.csv")
    assert "auth.secret" in part_of(refused, "may.csv")
    put(inbox, "june.csv", 2)
    assert a_told_night(desk, "http://127.0.0.1:9", inbox, hook).code == 7
    silent = told(hook)[-1]["text"]
    assert "does not answer" in part_of(silent, "june.csv")
    assert "127.0.0.1" in part_of(silent, "june.csv")


def test_a_letter_says_in_its_subject_what_happened(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer, tmp_path: Path
) -> None:
    trust = make_trust(tmp_path)
    desk.monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    put(inbox, "may.csv", 1)
    put(inbox, "june.csv", 299)  # nobody has such an id
    with mail_server(trust.context) as mail:
        letters = {
            "kind": "email", "to": ["ops@example.com"], "from": "batch@example.com", "host": "127.0.0.1",
            "port": mail.port, "user": "me", "password": "${MAIL_PASSWORD}", "ca_bundle": str(trust.root),
        }  # fmt: skip
        assert a_told_night(desk, sandbox(preload=False), inbox, hook, notify=[letters]).code == 4
    (letter,) = mail.letters
    assert letter["Subject"] == "enroll-batch nightly config: 2 files: 1 done, 1 done in part"
    assert "to do: its report says what needs work" in letter.get_content()


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise imports it
def test_a_chat_hears_of_a_told_night(desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer) -> None:
    desk.monkeypatch.setenv("CHAT", hook.url("/room").replace("http", "json"))
    put(inbox, "may.csv", 1)
    notify = [{"kind": "apprise", "url": "${CHAT}"}]
    assert a_told_night(desk, sandbox(preload=False), inbox, hook, notify=notify).code == 0
    (post,) = hook.posts
    sent = json.loads(post.body)
    assert sent["title"] == "enroll-batch nightly config: 1 file: 1 done"
    assert "may.csv: Finished: 1 request, all done." in sent["message"]


def test_a_good_night_after_a_bad_one_is_a_recovery_and_the_next_is_not(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer
) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1)
    with access_refused():
        assert a_told_night(desk, api, inbox, hook).code == 10
    (run,) = Path("reports").glob("*Z-may")
    stopped = told(hook)[0]["text"]
    assert stopped.startswith("enroll-batch nightly config: 1 file: 1 refused\n")
    assert f"\n  file: {inbox}/unfinished/may.csv\n" in stopped
    again = f"the next night goes on by itself; at once, `enroll-batch resume {run.absolute()}` does"
    assert f"\n  to do: once that is mended, {again}\n" in stopped
    assert a_told_night(desk, api, inbox, hook).code == 0
    assert told(hook)[1]["text"].startswith("enroll-batch nightly config: 1 earlier run: 1 done\n")
    put(inbox, "june.csv", 2)
    assert a_told_night(desk, api, inbox, hook).code == 0
    assert [(each["type"], each["exit_code"]) for each in told(hook)] == [
        ("refused", 10),
        ("recovered", 0),
        ("done", 0),
    ]


def test_a_night_without_work_is_told_to_a_heartbeat_only_and_recovers_nothing(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer
) -> None:
    api = sandbox(preload=False)
    (inbox / "bad.csv").write_text("")
    assert a_told_night(desk, api, inbox, hook).code == 3
    assert a_told_night(desk, api, inbox, hook).code == 0
    put(inbox, "may.csv", 1)
    assert a_told_night(desk, api, inbox, hook).code == 0
    assert [each["type"] for each in told(hook)] == ["refused", "recovered"]
    assert beats(hook) == ["/start", "/fail", "/start", "", "/start", ""]


def test_a_night_in_which_something_waits_is_told(desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1)
    desk.monkeypatch.setitem(nightly.Night.__init__.__kwdefaults__, "sleep", lambda _: put(inbox, "may.csv", 1, 2))
    said = a_told_night(desk, api, inbox, hook)
    assert (said.code, said.err) == (0, "may.csv: is still being written; it is left for the next night\n")
    (message,) = told(hook)
    assert (message["type"], message["exit_code"]) == ("done", 0)
    assert message["text"].startswith("enroll-batch nightly config: 1 left alone\n")
    assert "Left alone:\n  may.csv: is still being written" in message["text"]


def test_a_night_in_which_something_only_waits_recovers_nothing(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer
) -> None:
    api = sandbox(preload=False)
    (inbox / "bad.csv").write_text("")
    assert a_told_night(desk, api, inbox, hook).code == 3
    put(inbox, "may.csv", 1)
    with pytest.MonkeyPatch.context() as growing:
        grow = partial(put, inbox, "may.csv", 1, 2)
        growing.setitem(nightly.Night.__init__.__kwdefaults__, "sleep", lambda _: grow())
        assert a_told_night(desk, api, inbox, hook).code == 0
    assert a_told_night(desk, api, inbox, hook).code == 0
    assert [each["type"] for each in told(hook)] == ["refused", "done", "recovered"]


def test_a_run_that_waits_for_a_person_is_told_each_night(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer
) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", *range(1, 40))
    assert a_told_night(desk, api, inbox, hook, guard={"canary": 5}).code == 9
    (run,) = Path("reports").glob("*Z-may")
    resume = f"`enroll-batch resume {run.absolute()}`"
    assert f"to do: see why in its report, then {resume}\n" in told(hook)[0]["text"]
    assert a_told_night(desk, api, inbox, hook, guard={"canary": 5}).code == 9
    assert f"{run.name}: waits for a person: {resume} goes on with it" in told(hook)[1]["text"]


def test_a_damaged_ledger_and_a_lost_inbox_are_told_as_what_they_are(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer
) -> None:
    api = sandbox(preload=False)
    put(inbox, "may.csv", 1)
    assert a_told_night(desk, api, inbox, hook).code == 0
    (ledger,) = Path("reports").glob("*Z-may/ledger.sqlite")
    ledger.write_bytes(b"\xff" * 400 + ledger.read_bytes()[400:])
    assert a_told_night(desk, api, inbox.with_name("gone"), hook).code == 1
    text = told(hook)[1]["text"]
    first = "enroll-batch nightly config: 1 earlier run: 1 failed; the inbox cannot be used\n"
    assert text.startswith(first)
    assert "enroll-batch doctor -c" in part_of(text, str(inbox.with_name("gone")))


def test_a_night_tells_of_a_fault_of_its_own_and_quotes_nothing(
    desk: Desk, sandbox: Factory, inbox: Path, hook: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(_: nightly.Night) -> None:
        raise ValueError(NAME)

    monkeypatch.setattr(nightly.Night, "run", faulty)
    said = a_told_night(desk, sandbox(preload=False), inbox, hook)
    assert said.code == 1
    assert said.err.startswith("Error: a fault of enroll-batch itself (ValueError in test_messages.py:")
    (message,) = told(hook)
    assert (message["type"], message["exit_code"]) == ("stopped", 1)
    assert "a fault of enroll-batch itself (ValueError in test_messages.py:" in message["text"]
    assert NAME not in message["text"] + said.err
    assert beats(hook) == ["/start", "/fail"]


@pytest.mark.parametrize(
    ("exit_code", "place", "folder", "step"),
    [
        (0, "done/may.csv", "run", ""),
        (4, "done/may.csv", "run", "its report says what needs work"),
        (5, "done/may.csv", "run", "`enroll-batch verify /reports/run` asks the API about the requests in doubt"),
        (1, "may.csv", "", "`enroll-batch doctor -c /night.yaml` looks what is wrong; the next night tries again"),
        (7, "unfinished/may.csv", "of another config", "`enroll-batch resume '/reports/of another config'` goes on"),
        (11, "unfinished/may.csv", "run", "keep the run's folder, do not rely on its report, and report the fault"),
    ],
)
def test_what_is_to_be_done_about_a_file_is_said(exit_code: int, place: str, folder: str, step: str) -> None:
    reports = Path("/reports")
    ended = Ended("may.csv", exit_code, NAME, reports / folder if folder else None, place=f"/failed/in/{place}")
    text = night_text(Spent(Path("/night.yaml"), reports, exit_code, "/failed/in", (ended,)))
    assert [line.removeprefix("  to do: ") for line in text.splitlines() if "to do" in line] == ([step] if step else [])
    assert NAME not in text


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ((), "nothing to do"),
        ((0,), "1 file: 1 done"),
        ((0, 0, 4, 5), "4 files: 2 done, 2 done in part"),
        ((0, 2, 3, 10), "4 files: 1 done, 3 refused"),
        ((1, 11), "2 files: 2 failed"),
        ((6, 7, 8, 9), "4 files: 4 stopped"),
        ((7, 3, 0, 0, 0, 3, 0, 0), "8 files: 5 done, 2 refused, 1 stopped"),
    ],
)
def test_the_headline_counts_what_happened(codes: tuple[int, ...], said: str) -> None:
    ended = tuple(Ended(f"{number}.csv", code, "") for number, code in enumerate(codes))
    assert headline(Spent(Path("night.yaml"), Path("reports"), max(codes, default=0), ended=ended)) == said


# -- configs that cannot be used ---------------------------------------------------------------------------------------


def test_a_secret_that_is_missing_is_told_to_those_who_can_be(
    desk: Desk, inbox: Path, hook: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SECRET")
    letters = {
        "kind": "email", "to": ["ops@example.com"], "from": "batch@example.com", "host": "mail.invalid",
        "user": "me", "password": "${NOWHERE}",
    }  # fmt: skip
    said = a_told_night(desk, "sandbox", inbox, hook, notify=[letters, webhook(hook), heartbeat(hook)])
    assert said.code == 2
    (message,) = told(hook)
    assert (message["type"], message["exit_code"], message["about"]) == ("refused", 2, "nightly config")
    assert "auth.secret: the environment variable SECRET is not set" in message["text"]
    assert "enroll-batch doctor -c" in message["text"]
    assert beats(hook) == ["/fail"]
    assert "NOWHERE is not set" in said.err


def test_a_key_that_is_unknown_is_told(desk: Desk, inbox: Path, hook: WebServer) -> None:
    assert a_told_night(desk, "sandbox", inbox, hook, in_box="x").code == 2
    assert "in_box: unknown key" in told(hook)[0]["text"]


def test_what_cannot_be_delivered_is_named_by_its_place_in_the_list(
    desk: Desk, inbox: Path, hook: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HMAC")
    nobody = {"kind": "heartbeat", "url": "http://127.0.0.1:1/hidden"}
    said = a_told_night(desk, "sandbox", inbox, hook, notify=[webhook(hook), nobody])
    assert said.code == 2
    assert "Warning: notify, item 2 (heartbeat): not told: no connection" in said.err


@pytest.mark.parametrize(
    "text", ["", "notify: nobody\n", "notify: [1, {}, [], {kind: [x]}, null]\n", "a: [\n", "notify:\n", "\x00", "- a\n"]
)
def test_where_nobody_can_be_told_it_is_said_in_lines(desk: Desk, text: str) -> None:
    (desk.folder / "broken.yaml").write_text(text)
    said = desk("nightly", "-c", "broken.yaml")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Error: broken.yaml")


def test_a_config_that_is_not_there_is_said(desk: Desk) -> None:
    said = desk("nightly", "-c", "nowhere.yaml")
    assert (said.code, said.out) == (2, "")
    assert "nowhere.yaml: cannot be read" in said.err


def test_a_run_whose_config_cannot_be_used_is_told_too(
    desk: Desk, hook: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SECRET")
    said = desk.run("sandbox", customers([1]), notify=[webhook(hook)])
    assert (said.code, said.err.count("Error: ")) == (2, 1)
    (message,) = told(hook)
    assert (message["type"], message["about"]) == ("refused", "run")
