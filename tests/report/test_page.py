from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from batch.report import page

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

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
    assert links == {
        "data:,", "succeeded.csv", "already_enrolled.csv", "invalid_user.csv", "failed.csv", "rejected_rows.csv",
        "reconciliation.xlsx", "annotated.xlsx", "summary.json", "summary.md",
    }  # fmt: skip
    assert "url(" not in (folder / "report.html").read_text()


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
    assert "2 more lines stand in" in text
    assert "3 later events are not shown." in text
    assert "change 0" in text
    assert "change 1" not in text


def test_no_customer_stands_in_the_page(reported: Reported) -> None:
    folder, _ = reported()
    assert "3456512" not in (folder / "report.html").read_text()
    assert "3456512" not in (folder / "summary.md").read_text()
