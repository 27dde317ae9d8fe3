from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from batch.report import page
from tests.report.conftest import write_again
from tests.report.ledgers import SECOND, START

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batch.report.reconcile import Accounts
    from tests.report.ledgers import LedgerOfTests

    Reported = Callable[..., tuple[Path, Accounts]]

EVIL = '<script>alert(1)</script>" onload="x'
VOID = {"meta", "link", "br", "hr", "img"}


class Outline(HTMLParser):
    """Tags, attributes and headings of a page; raises when tags do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def test_nothing_from_the_upload_or_the_api_is_executed(reported: Reported) -> None:
    def poison(ledger: LedgerOfTests) -> None:
        ledger.execute(f"UPDATE period SET name = '{EVIL}' || period_no")
        ledger.execute(f"UPDATE input SET path = '{EVIL}'")
        ledger.event("hold", EVIL)
        ledger.note(EVIL, row_no=1)

    folder, _ = reported(poison, command=EVIL, stop_text=EVIL)
    outline = Outline((folder / "report.html").read_text())
    assert "script" not in outline.tags
    assert not [name for name, _ in outline.attributes if name.startswith("on")]
    assert (folder / "report.html").read_text().count("&lt;script&gt;alert(1)") >= 6


def test_the_page_loads_nothing_and_links_only_to_its_neighbours(reported: Reported) -> None:
    folder, _ = reported()
    outline = Outline((folder / "report.html").read_text())
    links = {value or "" for name, value in outline.attributes if name in {"href", "src"}}
    inner = {link for link in links if link.startswith("#")}
    ids = {value for name, value in outline.attributes if name == "id"}
    assert {link.removeprefix("#") for link in inner} <= ids
    assert links - inner == {
        "data:,", "succeeded.csv", "already_enrolled.csv", "invalid_user.csv", "failed.csv", "rejected_rows.csv",
        "reconciliation.xlsx", "annotated.xlsx", "summary.json", "summary.md",
    }  # fmt: skip
    assert "url(" not in (folder / "report.html").read_text()


def test_the_log_is_listed_where_there_is_one(reported: Reported) -> None:
    folder, _ = reported()
    assert "run.log" not in (folder / "report.html").read_text()
    (folder / "run.log").touch()
    write_again(folder)
    assert '<a href="run.log">run.log</a>' in (folder / "report.html").read_text()


def test_samples_tell_two_files_of_one_name_apart(reported: Reported) -> None:
    def same_names(ledger: LedgerOfTests) -> None:
        ledger.execute("UPDATE input SET path = 'up/s' || input_no || '/users.csv', sheet = NULL")

    folder, _ = reported(same_names)
    text = (folder / "report.html").read_text()
    assert "s1/users.csv, row 9<" in text
    assert "s2/users.csv, row 11<" in text


def test_what_stands_between_backticks_is_code_and_still_no_markup(reported: Reported) -> None:
    folder, _ = reported(stop_text="go on with `resume <b>`", state="stopped", stop_reason="silent")
    assert "<p>go on with <code>resume &lt;b&gt;</code></p>" in (folder / "report.html").read_text()


def test_many_cycles_are_folded_and_have_sums_of_their_own(reported: Reported) -> None:
    def cycles(ledger: LedgerOfTests) -> None:
        for number in range(1, 31):
            request_no = ledger.request(ledger.row(number, "x", ""), number, 1, ledger.period(f"C{number}"))
            ledger.outcome(request_no, "enrolled")

    folder, _ = reported(cycles)
    text = (folder / "report.html").read_text()
    assert "<h3>By target</h3>" in text
    assert "<summary>By cycle: 33 lines</summary>" in text
    assert "<summary>By target and cycle: 34 lines</summary>" in text


def test_the_table_of_a_chart_says_all_that_the_chart_shows(reported: Reported) -> None:
    folder, _ = reported(options={"set_per_s": 5.0})
    text = (folder / "report.html").read_text()
    table = text[text.index('<table aria-label="Attempts over time"') :]
    header = re.findall(r'<th scope="col"[^>]*>([^<]+)</th>', table[: table.index("</thead>")])
    assert header == [
        "From (UTC)", "Attempts", "Allowed", "done", "fix data", "fix setup", "retry", "look", "Tried again",
        "429 or 503", "Held", "Events",
    ]  # fmt: skip


def test_the_page_can_be_read_by_machine_and_by_ear(reported: Reported) -> None:
    folder, _ = reported()
    text = (folder / "report.html").read_text()
    outline = Outline(text)
    assert ("lang", "en") in outline.attributes
    assert {"header", "main", "footer", "h1", "h2", "caption" if "<caption" in text else "thead"} <= set(outline.tags)
    assert text.count("<th") - text.count("<thead") == text.count("scope=")
    assert re.search(r'<svg [^>]*role="img" aria-label="[^"]+"', text)
    labels = re.findall(r'aria-labelledby="([^"]+)"', text)
    assert all(f'id="{label}"' in text for label in labels)


def test_a_page_of_a_large_run_is_bounded_and_says_what_it_leaves_out(
    reported: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "LINES", 2)

    def more_events(ledger: LedgerOfTests) -> None:
        for number in range(4):
            ledger.event("rate", f"change {number}")

    folder, _ = reported(more_events)
    text = (folder / "report.html").read_text()
    assert "2 more lines by target and cycle are not shown; " in text
    assert "3 more events are not shown; " in text
    assert "change 0" in text
    assert "change 1" not in text


def test_rare_events_are_shown_before_those_that_come_by_the_thousand(
    reported: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "LINES", 2)

    def storm(ledger: LedgerOfTests) -> None:
        for number in range(9):
            ledger.event("hold", f"{number}.0 s: HTTP 429")
        ledger.event("quarantine", "the cycle C9 is closed")

    folder, _ = reported(storm)
    text = (folder / "report.html").read_text()
    assert "<div>the cycle C9 is closed</div></td>" in text
    assert "<div>20/s</div></td>" in text
    assert "9 more events are not shown; " in text


def test_samples_are_few_and_say_how_many_more_there_are(reported: Reported) -> None:
    def many(ledger: LedgerOfTests) -> None:
        for number in range(1, 101):
            request_no = ledger.request(ledger.row(f"cell {number}", "x", ""), number, 1, 2)
            ledger.outcome(request_no, "invalid_user", status=200, code=310011, message=f"no user, said {number}")

    folder, _ = reported(many)
    text = (folder / "report.html").read_text()
    card = text[text.index("invalid user: code 310011 (HTTP 200)") :]
    card = card[: card.index("</li>")]
    assert "<span>101 requests</span>" in card
    assert "3 of them; 98 more stand in invalid_user.csv" in card
    assert card.count('<th scope="row"') == 3
    assert "meaning of invalid_user 200 310011" in card
    assert "no user, said 99" not in text


def test_a_page_is_small_however_large_the_run(reported: Reported) -> None:
    def storm(ledger: LedgerOfTests) -> None:
        ledger.execute("BEGIN")
        for number in range(1, 3001):
            request_no = ledger.request(ledger.row("x" * 2000, "x", ""), number, 1, 2)
            at = START + number * SECOND
            ledger.outcome(request_no, "unrecognised", reason=f"r{number}", message="m" * 2000, settled_at=at)
            ledger.event("hold", "1.0 s: HTTP 429", at=at, held_s=1.0, reason="HTTP 429")
            ledger.event("stopped", "a signal", at=at)  # without it each resume is looked up by what came before it
            ledger.event("resumed", "again", at=at)
        ledger.execute("COMMIT")

    folder, _ = reported(storm)
    assert (folder / "report.html").stat().st_size < 400_000
    assert "more requests, of rarer kinds, stand in" in (folder / "report.html").read_text()


def test_the_page_of_a_mere_plan_tells_of_no_ends(reported: Reported) -> None:
    def nothing_sent(ledger: LedgerOfTests) -> None:
        for table in ("outcome", "attempt", "intent", "event"):
            ledger.execute(f"DELETE FROM {table}")

    folder, _ = reported(nothing_sent, state="planned", started_at=None, finished_at=None, sending_ns=0)
    text = (folder / "report.html").read_text()
    assert "Planned: 17 requests, none sent yet." in text
    for name in ("codes", "time", "answers", "again", "events"):
        assert f'id="{name}"' not in text
    for name in ("flow", "outcomes", "problems"):
        assert f'id="{name}"' in text


def test_the_summary_for_a_chat_names_no_customer(reported: Reported) -> None:
    folder, _ = reported()
    assert "3456512" not in (folder / "summary.md").read_text()


@pytest.mark.parametrize("change", ["", "UPDATE outcome SET outcome = 'enrolled'"])
def test_calls_saved_are_shown_where_some_were(reported: Reported, change: str) -> None:
    folder, accounts = reported(lambda ledger: ledger.execute(change))
    assert bool(accounts.tallies.calls_saved) is not bool(change)
    assert ("<dt>calls saved</dt>" in (folder / "report.html").read_text()) is not bool(change)


def test_every_chart_has_its_figures_as_text(reported: Reported) -> None:
    folder, _ = reported(options={"set_per_s": 5.0})
    outline = Outline((folder / "report.html").read_text())
    pictures = [name for name, value in outline.attributes if (name, value) == ("role", "img")]
    assert len(pictures) >= 4
    text = (folder / "report.html").read_text()
    assert "19 attempts in 40.0 s of sending" in text
    assert text.count("<summary>The same as a table</summary>") == 2


def test_a_broken_account_is_a_red_banner_with_the_identity_that_failed(reported: Reported) -> None:
    folder, accounts = reported(lambda ledger: ledger.execute("DELETE FROM outcome WHERE request_no = 3"))
    text = (folder / "report.html").read_text()
    (banner,) = re.findall(r'<p class="verdict bad"[^>]*>([^<]+)</p>', text)
    failed = [identity for identity in accounts.identities if not identity.holds]
    assert failed
    assert failed[0].figures in banner
    assert text.count('<tr class="failed">') == len(failed)
