"""Every figure that terminal, CSV files, workbook, page and chat text tell is the one of summary.json.

Each of them is read back into one dict, and whole dicts are compared. The run has every outcome, and no two of its
figures that could be mixed up are equal. A figure that is told twice with two values fails at once.

Believed because each of these made it fail: the tile of settled requests shows the unique ones; so does the page's
count of attempts; the workbook's duplicates, and those of the chat text, are the contradicted ones; the page counts
one more by target; its column of 429s is always 0.
"""

from __future__ import annotations

import csv
import json
import re
import sqlite3
from collections import Counter
from contextlib import closing
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest

from batch.model import GROUP_OF, Group, Outcome
from batch.report.crosstab import target_text
from batch.report.reconcile import OUTCOME_FILES
from batch.report.terminal import closing_table
from tests.report.ledgers import SECOND, START, PlainAdvice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from batch.report.reconcile import Accounts
    from tests.report.ledgers import LedgerOfTests

    Reported = Callable[..., tuple[Path, Accounts]]

LOOK_UPS = 23
WORDS = {outcome.value.replace("_", " "): outcome.value for outcome in Outcome}
TERMS = {
    "rows read": "rows_read", "blank": "rows_blank", "with problems": "rows_with_problems", "planned": "rows_planned",
    "expanded": "requests.expanded", "unique": "requests.unique", "duplicates": "requests.duplicates",
    "contradicted": "requests.contradicted", "attempts": "attempts", "retries": "retries",
}  # fmt: skip
"""What an identity calls a figure, and where that stands."""


class Told(dict[str, Any]):
    """Figures by name; one that is told twice has one value."""

    def __setitem__(self, name: str, value: Any) -> None:
        assert self.get(name, value) == value, name
        super().__setitem__(name, value)

    def take(self, figures: Mapping[str, Any]) -> None:
        for name, value in figures.items():
            self[name] = value

    def identities(self, identities: Iterable[tuple[str, str]]) -> None:
        """Take the figures of pairs such as `a = b + c` and `3 = 1 + 2`."""
        for formula, figures in identities:
            place, _, equation = formula.rpartition(": ")
            prefix = f"input.{int(place.split()[1]) - 1}." if place else ""
            numbers = [number(text) for text in re.findall(r"[\d,]+", figures)]
            for term, value in zip(re.split(r" [=+] ", equation), numbers, strict=False):
                if term in TERMS:
                    self[prefix + TERMS[term]] = value
            self[f"identities.{formula}"] = (numbers[0], sum(numbers[1:]))


def number(text: str) -> int:
    return int(text.replace(",", ""))


def seconds(text: str) -> float:
    """Return `2 min 30 s` in seconds."""
    units = {"h": 3600, "min": 60, "s": 1}
    return sum(float(count) * units[unit] for count, unit in re.findall(r"([\d.]+) (h|min|s)\b", text))


def per_s(text: str) -> float:
    count, unit = re.fullmatch(r"([\d.,]+) per (second|minute)", text).groups()  # type: ignore[union-attr]
    return float(count.replace(",", "")) / (60 if unit == "minute" else 1)


def many(ledger: LedgerOfTests) -> None:
    """Let no two figures be equal, as far as a ledger can."""
    customer = 0
    for index, outcome in enumerate(Outcome, start=1):
        for _ in range(1500 if outcome is Outcome.ENROLLED else 3 * index):
            customer += 1
            request_no = ledger.request(ledger.row(customer, "x", ""), customer, 1, 1 + customer % 2)
            is_again = customer % 9 == 0
            at = START + customer * SECOND // 40
            ledger.outcome(request_no, outcome.value, attempt=2 if is_again else 1, settled_at=at, status=200)
            if is_again:
                ledger.attempt(request_no, 1, "refused", "rate_limited", status=429 if customer % 2 else 500)
    for count in range(4):
        ledger.problem(ledger.row(345651201, "x", f"{count}"), "duplicate", request_no=1)
    for count in range(8):
        ledger.problem(ledger.row(f"bad {count}", "x", ""), "not_text", "customer_id", f"bad {count}")
    ledger.execute(f"INSERT INTO lookup (identifier, calls) VALUES ('mobile:1', {LOOK_UPS})")


def leave_open(ledger: LedgerOfTests) -> None:
    many(ledger)
    ledger.execute(
        "DELETE FROM outcome WHERE request_no IN (SELECT request_no FROM outcome WHERE attempt = 1 LIMIT 72)"
    )


def of_summary(folder: Path, accounts: Accounts) -> dict[str, Any]:
    """Return every figure of summary.json, and those that follow from the same counts."""
    summary = json.loads((folder / "summary.json").read_text())
    figures = Told()
    for place, file in enumerate(summary.pop("input")):
        figures.update({f"input.{place}.{name}": value for name, value in file.items()})
    for identity in summary.pop("identities"):
        figures[f"identities.{identity['formula']}"] = (identity["left"], identity["right"])
    for part in ("requests", "outcomes"):
        figures.update({f"{part}.{name}": value for name, value in summary.pop(part).items()})
    figures.update(summary)
    for name in ("rows_read", "rows_blank", "rows_with_problems", "rows_planned"):
        figures[name] = sum(value for key, value in figures.items() if re.fullmatch(rf"input\.\d+\.{name}", key))
    figures["settled"] = accounts.settled
    figures["done"] = sum(figures[f"outcomes.{each}"] for each in Outcome if GROUP_OF[each] is Group.DONE)
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger:
        every = "SELECT http_status FROM attempt UNION ALL SELECT http_status FROM outcome WHERE attempt"
        (figures["pushed_back"],) = ledger.execute(
            f"SELECT count(*) FROM ({every}) WHERE http_status IN (429, 503)"
        ).fetchone()
    for name in OUTCOME_FILES:
        figures[f"files.{name}"] = accounts.lines(name)
    for each in accounts.tallies.subtotals:
        key = f"{target_text(each.scope)} {each.period or '(none)'}"
        figures[f"by {key} {each.outcome}"] = each.count
        figures[f"by {key} requests"] = figures.pop(f"by {key} requests", 0) + each.count
    return dict(figures)


def of_csv(folder: Path) -> dict[str, Any]:
    told, outcomes, attempts = Told(), Counter[str](), 0
    cross = Counter[tuple[str, str]]()
    for name in OUTCOME_FILES:
        lines = lines_of(folder / name)
        told[f"files.{name}"] = len(lines)
        outcomes.update(line["outcome"] for line in lines)
        attempts += sum(int(line["attempts"]) for line in lines)
        cross.update((line["period_name"], line["outcome"]) for line in lines)
    told.take({f"outcomes.{outcome}": count for outcome, count in outcomes.items()})
    told["attempts"] = attempts
    told["requests.unique"] = outcomes.total()
    told["done"] = sum(outcomes[each] for each in Outcome if GROUP_OF[each] is Group.DONE)
    rejected = lines_of(folder / "rejected_rows.csv")
    kinds = Counter(line["problem"] for line in rejected)
    told["requests.duplicates"], told["requests.contradicted"] = kinds["duplicate"], kinds["contradiction"]
    told["requests.expanded"] = outcomes.total() + kinds["duplicate"] + kinds["contradiction"]
    bad = {
        (line["source_file"], line["source_row"])
        for line in rejected
        if line["problem"] not in {"duplicate", "contradiction"}
    }
    told["rows_with_problems"] = len(bad)
    return told


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def of_workbook(folder: Path) -> dict[str, Any]:
    book = openpyxl.load_workbook(folder / "reconciliation.xlsx")
    told = Told()
    sections: dict[str, list[tuple[Any, ...]]] = {}
    for row in book["Summary"].iter_rows(min_row=3, values_only=True):
        if row[0] and not any(row[1:]) and row[0][:1].isupper() and "`" not in row[0]:
            sections[row[0]] = lines = []
        elif row[0] and sections:
            lines.append(row)
    told.identities((row[5].rpartition(": ")[0], row[5].rpartition(": ")[2]) for row in sections["Identities"][1:])
    for name, left, right, *_ in sections["Identities"][1:]:
        assert isinstance(left, int), (name, right)
    _account(told, sections["From rows to requests"][1:])
    for outcome, count, *_ in sections["Outcomes"][1:-1]:
        told[f"outcomes.{outcome}"] = count
    told["requests.unique"] = sections["Outcomes"][-1][1]
    _facts(told, {row[0]: row[1] for row in sections["Run"]})
    for place, (_, read, blank, problems, planned, source) in enumerate(sections["Inputs"][1:]):
        figures = {"rows_read": read, "rows_blank": blank, "rows_with_problems": problems, "rows_planned": planned}
        told.take({f"input.{place}.{name}": value for name, value in figures.items()})
        told[f"input.{place}.path"], told[f"input.{place}.sha256"] = re.split(", sheet Juni, sha256 |, sha256 ", source)
    files = Counter[str]()
    for _, shown, count, _, _, file in sections["Sheets"][1:]:
        assert shown == count
        files[file] += count
    rejected = files.pop("rejected_rows.csv")
    assert rejected == sum(1 for _ in book["Rejected rows"].iter_rows(min_row=2, values_only=True))
    told.take({f"files.{name}": count for name, count in files.items()})
    shown = Counter[str]()
    for sheet in book.worksheets[5:-1]:
        head, *rows = sheet.iter_rows(values_only=True)
        shown.update(str(row[head.index("outcome")]) for row in rows)
    told.take({f"outcomes.{outcome}": count for outcome, count in shown.items()})
    _cross(told, book["By target and cycle"].iter_rows(values_only=True))
    header, *stretches = book["Over time"].iter_rows(values_only=True)
    sums = {name: sum(row[header.index(name)] for row in stretches) for name in ("attempts", "429 or 503")}
    told["attempts"], told["pushed_back"] = sums["attempts"], sums["429 or 503"]
    told["done"] = sum(row[2] for row in sections["By target"][1:])
    assert told["done"] == sum(row[2] for row in sections["By cycle"][1:])
    told["requests.unique"] = sum(row[1] for row in sections["By target"][1:])
    told["settled"] = stretches[-1][header.index("requests settled so far")]
    return told


def _account(told: Told, lines: Iterable[tuple[Any, ...]]) -> None:
    names = {
        "rows read": "rows_read", "less blank": "rows_blank", "less with problems": "rows_with_problems",
        "less duplicates": "requests.duplicates", "less contradicted": "requests.contradicted",
        "unique": "requests.unique",
    }  # fmt: skip
    for name, rows, requests, *_ in lines:
        if name == "planned, expanded into":
            told["rows_planned"], told["requests.expanded"] = rows, requests
        else:
            told[names[name]] = rows if requests is None else requests


def _facts(told: Told, facts: Mapping[str, Any]) -> None:
    def count(name: str) -> int:
        return number(str(facts[name]))

    def at(name: str) -> str:
        value = facts[name]
        return value if isinstance(value, str) else f"{value.isoformat(timespec='milliseconds')}Z"

    told["run_id"], told["state"], told["started_by"] = facts["Run"], facts["State"], facts["Started by"]
    told["exit_code"] = count("Exit code")
    told["attempts"], told["retries"] = count("Attempts"), count("Retries among them")
    told["calls_saved"], told["look_ups"] = count("Calls saved"), count("Calls to look customers up")
    told["started_at"], told["finished_at"] = at("Sending began"), at("Sending ended")
    told["duration_s"] = seconds(facts["Time spent sending"])
    told["rate_per_s"] = per_s(facts["Rate on average"])


def _cross(told: Told, rows: Iterable[tuple[Any, ...]]) -> None:
    header, *lines = rows
    for target, cycle, *counts in lines:
        for name, count in zip(header[2:], counts, strict=True):
            if count:
                told[f"by {target} {cycle} {name}"] = count


class Page(HTMLParser):
    """The tables of a page by their names, as rows of texts; its pairs of names and values; its lists."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.texts: dict[str, list[str]] = {"dt": [], "dd": [], "li": [], "label": []}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables[str(dict(attrs)["aria-label"])] = self._rows = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in {"td", "th"}:
            self._rows[-1].append("")
        elif tag == "span" and "style" in dict(attrs):  # it labels a place in a picture
            self.texts["label"].append("")
        elif tag in self.texts:
            self.texts[tag].append("")
        if tag in {"td", "th", "span", *self.texts}:
            self._open.append("label" if tag == "span" and "style" in dict(attrs) else tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th", "span", *self.texts}:
            assert self._open.pop() in {tag, "label"}

    def handle_data(self, data: str) -> None:
        innermost = next((tag for tag in reversed(self._open) if tag != "span"), "")
        if innermost in {"td", "th"}:
            self._rows[-1][-1] += data
        elif innermost:
            self.texts[innermost][-1] += data

    def table(self, name: str) -> list[dict[str, str]]:
        header, *rows = self.tables[name]
        return [dict(zip(header, row, strict=True)) for row in rows]


def of_page(folder: Path) -> dict[str, Any]:
    page = Page((folder / "report.html").read_text())
    told = Told()
    pairs = list(zip(page.texts["dt"], page.texts["dd"], strict=True))
    tiles = {
        "rows read": "rows_read", "rows with problems": "rows_with_problems", "unique requests": "requests.unique",
        "settled": "settled", "attempts": "attempts", "calls saved": "calls_saved",
    }  # fmt: skip
    for name, value in pairs[: len(tiles)]:
        told[tiles[name]] = number(value)
    _facts(told, dict(pairs[len(tiles) :]))
    told.identities((line["Identity"], line["Figures"]) for line in page.table("Accounts"))
    for line in page.table("Outcomes"):
        if line["Outcome"] == "all":
            told["requests.unique"] = number(line["Requests"])
        else:
            told[f"outcomes.{WORDS[line['Outcome']]}"] = number(line["Requests"])
    for place, line in enumerate(page.table("Inputs")):
        told[f"input.{place}.path"] = line["File"].removesuffix(", sheet Juni")
        for key, name in {
            "read": "Rows read",
            "blank": "Blank",
            "with_problems": "With problems",
            "planned": "Planned",
        }.items():
            told[f"input.{place}.rows_{key}"] = number(line[name])
    _flow(told, page.texts)
    for line in page.table("By target and cycle"):
        key = f"by {line['Target']} {line['Cycle']}"
        told[f"{key} requests"] = number(line["Requests"])
        told.take({f"{key} {name}": count for name, count in _counts(line["Outcomes"]).items()})
    for level in ("target", "cycle"):
        sums = Counter[str]()
        for line in page.table(f"By {level}"):
            sums.update(_counts(line["Outcomes"]))
            sums["done"] += number(line["Done"])
        told["done"] = sums.pop("done")
        for outcome, count in sums.items():
            told[f"outcomes.{outcome}"] = count
    over_time = page.table("Attempts over time")
    told["attempts"] = sum(number(line["Attempts"]) for line in over_time)
    told["pushed_back"] = sum(number(line["429 or 503"]) for line in over_time)
    brought = sum(
        number(line[name]) for line in over_time for name in (*(group.value for group in Group), "Tried again")
    )
    told["attempts"] = brought
    for text in page.texts["li"]:
        if match := re.match(r"(\w+\.csv): ([\d,]+) requests?$", text):
            told[f"files.{match[1]}"] = number(match[2])
        if text.startswith("rejected_rows.csv: "):
            _rejected(told, text)
    return told


def _counts(text: str) -> dict[str, int]:
    """Return `1,441 enrolled 36 in doubt` as counts."""
    found = re.findall(r"([\d,]+) ([a-z ]*[a-z])", text)
    return {WORDS[name]: number(count) for count, name in found}


def _flow(told: Told, texts: Mapping[str, list[str]]) -> None:
    """Take the figures of the picture, and of the list that says the same."""
    names = {
        "rows read": "rows_read", "rows planned": "rows_planned", "rows with problems": "rows_with_problems",
        "blank rows": "rows_blank", "unique requests": "requests.unique", "duplicates": "requests.duplicates",
        "contradicted": "requests.contradicted", **{words: f"outcomes.{name}" for words, name in WORDS.items()},
    }  # fmt: skip
    for text in (*texts["label"], *texts["li"]):
        match = re.match(r"([\d,]+) (.+?)(, expanded into ([\d,]+) requests)?(, of which|$)", text.partition("\n")[0])
        if match and match[2] in names:
            told[names[match[2]]] = number(match[1])
            if match[4]:
                told["requests.expanded"] = number(match[4])


def _rejected(told: Told, text: str) -> None:
    names = {"row": "rows_with_problems", "dup": "requests.duplicates", "con": "requests.contradicted"}
    for count, name in re.findall(r"([\d,]+) (row|dup|con)", text):
        told[names[name]] = number(count)


def of_chat(folder: Path) -> dict[str, Any]:
    text = (folder / "summary.md").read_text()
    told = Told()
    told["run_id"], told["state"], code = re.search(
        r"\*\*enroll-batch (\S+): (\w+), exit code (\d+)\*\*", text
    ).groups()  # type: ignore[union-attr]
    told["exit_code"] = int(code)
    lines = dict(re.findall(r"^- (\w+): (.+)$", text, re.MULTILINE))
    for count, name in re.findall(r"([\d,]+) (read|blank|with problems|planned)", lines["rows"]):
        told[f"rows_{name.replace(' ', '_')}"] = number(count)
    for count, name in re.findall(r"([\d,]+) (unique|duplicate|contradicted)", lines["requests"]):
        told[f"requests.{name.replace('duplicate', 'duplicates')}"] = number(count)
    told.take({f"outcomes.{name}": count for name, count in _counts(lines["outcomes"]).items()})
    sent = re.fullmatch(r"([\d,]+) attempts, ([\d,]+) of them retries, in (.+) \((.+)\); (\d+) calls .+", lines["sent"])
    assert sent
    told["attempts"], told["retries"] = number(sent[1]), number(sent[2])
    told["duration_s"], told["rate_per_s"] = seconds(sent[3]), per_s(sent[4])
    told["look_ups"] = number(sent[5])
    told["balanced"] = {"balanced": True, "NOT BALANCED": False}[lines["accounts"]]
    return told


def of_terminal(folder: Path, accounts: Accounts) -> dict[str, Any]:
    text = "\n".join(closing_table(accounts, folder, PlainAdvice()))
    told = Told()
    told["run_id"] = re.findall(r"^Run (\S+)$", text, re.MULTILINE)[0]
    told["balanced"] = "NOT BALANCED" not in text
    body = text[text.index("\nAccounts") : text.index("\nOutcome ")]
    told.identities(re.findall(r"^  (\S.*? = \S[a-z +]*?)\s{2,}([\d,]+ = [\d, +]+)$", body, re.MULTILINE))
    told["look_ups"] = int(re.findall(r"(\d+) calls? to find", body)[0])
    for name, count in re.findall(r"^([a-z][a-z ]+[a-z]) +([\d,]+) +[<>\d]", text, re.MULTILINE):
        told[f"outcomes.{WORDS[name]}"] = number(count)
    for name, count in re.findall(r"^  (\w+\.csv) +([\d,]+) requests?$", text, re.MULTILINE):
        told[f"files.{name}"] = number(count)
    _rejected(told, text[text.index("rejected_rows.csv") :].partition("report.html")[0])
    return told


NOT_TOLD = {
    "csv": "run_id state started_by input.0 input.1 retries calls_saved look_ups started_at finished_at duration_s "
    "rate_per_s balanced exit_code stop_reason identities rows_read rows_blank rows_planned settled pushed_back by",
    "workbook": "stop_reason balanced",
    "page": "stop_reason balanced input.0.sha256 input.1.sha256",
    "chat": "started_by input calls_saved started_at finished_at stop_reason identities requests.expanded settled done "
    "pushed_back files by",
    "terminal": "state started_by calls_saved started_at finished_at duration_s rate_per_s exit_code stop_reason "
    "settled done pushed_back by input.0.path input.1.path input.0.sha256 input.1.sha256 rows_read rows_blank "
    "rows_planned",
}
"""What each does not tell, or tells only in words."""


@pytest.mark.parametrize("state", ["finished", "stopped"])
def test_every_figure_is_the_same_wherever_it_is_told(reported: Reported, state: str) -> None:
    run = {"state": state, "sending_ns": 40 * SECOND} | ({"stop_reason": "limit"} if state == "stopped" else {})
    folder, accounts = reported(many if state == "finished" else leave_open, {"set_per_s": 50.0}, **run)
    figures = of_summary(folder, accounts)
    assert accounts.balanced
    assert (figures["settled"] == figures["requests.unique"]) == (state == "finished")
    told = {
        "csv": of_csv(folder),
        "workbook": of_workbook(folder),
        "page": of_page(folder),
        "chat": of_chat(folder),
        "terminal": of_terminal(folder, accounts),
    }
    for medium, silence in NOT_TOLD.items():
        expected = {
            name: value
            for name, value in figures.items()
            if name not in silence.split()
            and not name.startswith(tuple(f"{part}." for part in silence.split()))
            and not (name.startswith("by ") and "by" in silence.split())
        }
        assert told[medium] == expected, medium
