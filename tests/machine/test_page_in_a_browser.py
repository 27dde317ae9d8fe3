"""The page as people meet it: in a browser, wide and narrow, light and dark, by keyboard, on paper."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.machine.conftest import LONG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

    Opened = Callable[..., tuple[Page, "Watched"]]

pytestmark = pytest.mark.machine

TOOLS = Path(os.environ.get("ENROLL_BATCH_TOOLS", Path.home() / ".cache" / "enroll-batch-tools"))
AXE = TOOLS / "node_modules" / "axe-core" / "axe.min.js"
WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 375, "height": 812}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A module's own, because playwright leaves an event loop running in this thread for as long as it is open."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # only where `install` has run

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


TOO_WIDE = """() => [...document.querySelectorAll('main *, header *')].filter(node => {
  if (node.closest('svg, .flow, .flow-list, .chart') || !node.checkVisibility()) return false;
  const head = node.closest('thead');
  if (head && getComputedStyle(head).position === 'absolute') return false;
  const box = node.getBoundingClientRect(), clips = node.clientWidth > 2 && node.scrollWidth > node.clientWidth + 1;
  return box.left < -0.5 || box.right > innerWidth + 0.5 || clips;
}).map(node => `${node.tagName} ${node.className}: ${node.textContent.trim().slice(0, 60)}`).slice(0, 5)"""
"""Finds what leaves the window or its own box: a table that scrolls or is cut is found too."""
A4 = {"width": 688, "height": 1000}
"""210 mm less two margins of 14 mm, at 96 pixels an inch."""


def open_all(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(node => node.open = true)")


class Watched:
    """What a page did besides showing itself."""

    def __init__(self, page: Page) -> None:
        self.requests: list[str] = []
        self.said: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("dialog", lambda dialog: self.said.append(dialog.message))


@pytest.fixture
def opened(browser: Browser, folder: Path) -> Iterator[Callable[..., tuple[Page, Watched]]]:
    """Return a function that opens the page: `opened(PHONE, "dark")`."""
    contexts = []

    def open_page(size: Any = WIDE, scheme: Any = "light") -> tuple[Page, Watched]:
        context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
        contexts.append(context)
        page = context.new_page()
        watched = Watched(page)
        page.goto((folder / "report.html").as_uri())
        return page, watched

    yield open_page
    for context in contexts:
        context.close()


def test_the_page_loads_nothing_from_elsewhere_and_executes_nothing(opened: Opened, folder: Path) -> None:
    page, watched = opened()
    page.wait_for_load_state("networkidle")
    outside = [url for url in watched.requests if url != (folder / "report.html").as_uri() and url != "data:,"]
    assert outside == []
    assert watched.said == []
    assert page.title().startswith("Reconciliation of run")
    assert page.evaluate("document.scripts.length") == 0
    assert page.locator("img").count() == 0
    assert page.get_by_text('<script>document.title = "executed"').count() >= 1


def test_every_link_leads_somewhere(opened: Opened, folder: Path) -> None:
    page, watched = opened()
    sections = page.locator("nav a")
    assert sections.count() >= 12
    for index in range(sections.count()):
        link = sections.nth(index)
        link.click()
        target = page.locator(str(link.get_attribute("href")))
        assert target.count() == 1
        assert target.evaluate("node => node.getBoundingClientRect().top < innerHeight")
    files = {str(link.get_attribute("href")) for link in page.locator("main a:not([href^='#'])").all()}
    assert len(files) >= 9
    assert [name for name in files if not (folder / name).is_file()] == []
    assert watched.said == []


def test_what_is_folded_away_opens(opened: Opened) -> None:
    page, watched = opened()
    folds = page.locator("details")
    assert folds.count() >= 8
    for index in range(folds.count()):
        fold = folds.nth(index)
        assert not fold.locator("table").is_visible()
        fold.locator("summary").click()
        assert fold.locator("table").is_visible()
    assert watched.said == []


def test_the_page_can_be_used_by_keyboard(opened: Opened) -> None:
    page, _ = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left >= 0")
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"
    reached = set()
    for _ in range(200):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.tagName"))
        if page.evaluate("document.activeElement === document.body"):
            break
    assert {"A", "SUMMARY"} <= reached
    summary = page.locator("summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("details").first.evaluate("node => node.open")


@pytest.mark.parametrize("width", [320, 375, 768, 840, 992, 1280])
def test_nothing_is_wider_than_the_window(opened: Opened, width: int) -> None:
    """Fails when a cycle's name must not break, or a table keeps its columns on a phone."""
    size = {"width": width, "height": 900}
    page, _ = opened(size)
    open_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert page.get_by_text(LONG).count() >= 2
    assert page.evaluate(TOO_WIDE) == []
    for name in ("flow", "time", "answers", "codes"):
        assert page.locator(f"#{name}").is_visible()
    picture, words = page.locator(".flow").is_visible(), page.locator(".flow-list").bounding_box()
    assert picture == (size["width"] > 832)
    assert words
    assert picture or words["height"] > 100


def test_dark_and_light_differ_and_both_show_the_charts(opened: Opened) -> None:
    colors = {}
    for scheme in ("light", "dark"):
        page, _ = opened(WIDE, scheme)
        colors[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert page.locator(".plot svg path.fill").count() >= 3
        assert page.locator(".plot svg path.allowed").count() == 1
        assert page.locator(".lane rect").count() >= 5
        assert page.locator(".pause").count() == 1
    assert colors["light"] == "rgb(255, 255, 255)"
    assert colors["dark"] != colors["light"]


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (WIDE, "dark"), (PHONE, "light"), (PHONE, "dark")])
def test_axe_finds_nothing(opened: Opened, size: dict[str, int], scheme: str) -> None:
    page, _ = opened(size, scheme)
    open_all(page)
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run({resultTypes: ['violations']})")  # what passes is counted, not described
    assert len(found["passes"]) > 20
    assert [
        (rule["id"], rule["nodes"][0]["html"][:200], rule["nodes"][0]["failureSummary"]) for rule in found["violations"]
    ] == []


def test_on_a_phone_each_cell_stands_behind_the_name_of_its_column(opened: Opened) -> None:
    page, _ = opened(PHONE)
    open_all(page)
    told = page.evaluate("""() => [...document.querySelectorAll('table.stacked')].map(table => {
      const names = [...table.querySelectorAll('thead th')].map(cell => cell.textContent);
      const cells = [...table.querySelectorAll('td')].filter(cell => cell.checkVisibility());
      return cells.map(cell => [names[cell.cellIndex], cell.dataset.name,
        JSON.parse(getComputedStyle(cell, '::before').content), cell.getBoundingClientRect().left]);
    })""")
    assert len(told) >= 8
    for cells in told:
        assert cells
        for header, name, shown, left in cells:
            assert header == name == shown
            assert 0 <= left < 100


def test_small_parts_of_a_bar_are_seen(opened: Opened) -> None:
    """Fails when a part gets an edge in the colour of the paper: it hides parts that are no wider."""
    page, _ = opened()
    parts = page.locator("td.bar svg rect")
    looks = parts.evaluate_all("nodes => nodes.map(node => [getComputedStyle(node).stroke, node.getBBox().width])")
    assert {stroke for stroke, _ in looks} == {"none"}
    assert 0 < min(width for _, width in looks) < 5


def test_it_prints_on_a4(opened: Opened) -> None:
    """Fails when a table keeps the widths of a screen, or its sums come again on the next page."""
    page, _ = opened(A4)
    printed = page.pdf(prefer_css_page_size=True)
    boxes = set(re.findall(rb"/MediaBox \[([^\]]+)\]", printed))
    assert boxes
    for box in boxes:
        _, _, width, height = map(float, box.split())
        assert (round(width), round(height)) == (595, 842)
    page.emulate_media(media="print")
    assert page.locator(".flow").is_visible()
    assert not page.locator("nav").is_visible()
    assert page.evaluate(TOO_WIDE) == []
    assert page.evaluate("getComputedStyle(document.querySelector('tfoot')).display") == "table-row-group"
    for name in ("Outcomes", "By target", "By cycle", "By target and cycle", "Accounts"):
        table = page.get_by_role("table", name=name, exact=True)
        assert table.is_visible()
        assert table.locator("thead").is_visible()
