"""Make the files in samples/: small uploads that look real, the same bytes each time. No person in them exists.

Run it with `python tests/data/make_samples.py`; a test fails when the files in samples/ are not what it makes.
The last two digits of a customer id say what the simulated API knows of the customer (batch/sandbox/world.py):
99 nobody, 07 and 57 enrolled already, 11 and 61 enrolled once.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import sys
from pathlib import Path

import xlsxwriter

SAMPLES = Path(__file__).parents[2] / "samples"

FIRST = (
    *("Aanya", "Björn", "Camila", "Dmitri", "Elif", "Farah", "Gareth", "Hana", "Imran", "Jolanta", "Kwame", "Lucía"),
    *("Mei", "Nikhil", "Oluchi", "Pádraig", "Quynh", "Rafael", "Sanjana", "Tariq", "Uma", "Vikram", "Wanjiru", "Zoë"),
)
LAST = (
    *("Achterberg", "Bellamkonda", "Castellanos", "Dimitrova", "Eriksen", "Fitzwilliam", "Gunawardena", "Haraldsen"),
    *("Ibrahimovic", "Jayasuriya", "Kowalczyk", "Lindqvist", "Mahlangu", "Nakagawa", "Okonkwo", "Papadimitriou"),
    *("Quintero", "Ramanathan", "Szczepański", "Thorvald", "Umarov"),
)
TIERS = ("Gold", "Silver", "Silver", "Bronze", "Bronze", "Bronze")
REGIONS = ("North", "South", "East", "West")
UNKNOWN_CUSTOMERS = (23, 71, 118, 140, 187)
MEMBERS = (5, 31, 52, 88, 103, 131, 164, 196)
FORMER_MEMBERS = (12, 67, 95, 152)


def customer(k: int) -> int:
    """Return the id of the k-th customer: nine digits, no two alike, with a past by the lists above."""
    number = 3_400_000 + k * 438_283 % 599_999
    if k in UNKNOWN_CUSTOMERS:
        ending = 99
    elif k in MEMBERS:
        ending = 57 if k % 2 else 7
    elif k in FORMER_MEMBERS:
        ending = 61 if k % 2 else 11
    else:
        ending = 12 + k * 37 % 44
    return number * 100 + ending


def name(k: int) -> str:
    """Return an invented name."""
    return f"{FIRST[k * 7 % len(FIRST)]} {LAST[k * 5 % len(LAST)]}"


def enroll_200x5() -> list[list[object]]:
    """200 customers for the cycles of the config, two of them twice, and four rows that no id can be read from."""
    rows: list[list[object]] = [[customer(k), name(k), TIERS[k * 5 % len(TIERS)]] for k in range(1, 201)]
    rows.insert(180, list(rows[41]))
    rows.insert(140, list(rows[17]))
    rows.insert(120, ["", name(203), "Silver"])
    rows.insert(97, ["3.45651E+08", name(204), "Gold"])
    rows.insert(58, ["12345x", name(205), "Bronze"])
    rows.insert(30, ["to be added", name(206), "Bronze"])
    return [["Customer ID", "Name", "Tier"], *rows]


def enroll_cycles() -> list[list[object]]:
    """Customers with a cycle in each row, and balances: given, zero, and none."""
    rows: list[list[object]] = []
    for k in (1, 2, 5, 9, 12, 14, 20, 23, 67):
        for cycle in (1, 2, 3):
            balance = (None, 0, 250)[(k + cycle) % 3]
            rows.append([customer(k), f"PERIOD_G_29463_{cycle}", balance, REGIONS[k % 4]])
    rows.append([customer(30), "PERIOD_G_29463_11", None, REGIONS[2]])
    return [["Customer ID", "Period Name", "Initial Balance", "Region"], *rows]


def streak() -> list[list[object]]:
    """Customers for a streak, some of whom start it afresh."""
    rows = [[customer(k), ("true", "", "false")[k % 3], name(k)] for k in (3, 8, 12, 19, 23, 36, 67, 81, 95, 110, 152)]
    return [["customer_id", "reset_streak_status", "name"], *rows]


def unenroll() -> list[list[object]]:
    """Customers to take out: members, one who never was in, and one whom nobody knows."""
    reasons = ("moved away", "asked for it", "duplicate account", "staff")
    rows = [[customer(k), reasons[k % 4]] for k in (5, 31, 40, 52, 88, 103, 118, 131, 164, 196)]
    return [["Customer ID", "Reason"], *rows]


def connected_orgs() -> list[list[object]]:
    """Customers of two child organisations."""
    rows = [[customer(k), (50672, 50673)[k % 2], name(k)] for k in range(40, 60)]
    return [["Customer ID", "Org ID", "Name"], *rows]


def as_csv(rows: list[list[object]]) -> bytes:
    """Return the rows as a spreadsheet program on the web saves them."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def as_workbook(rows: list[list[object]]) -> bytes:
    """Return the rows as a workbook with one sheet."""
    raw = io.BytesIO()
    with xlsxwriter.Workbook(raw, {"in_memory": True}) as workbook:
        workbook.set_properties({"created": dt.datetime(2026, 11, 2, 9, 30, tzinfo=dt.UTC)})
        sheet = workbook.add_worksheet("Enrolments")
        sheet.set_column(0, 3, 20)
        sheet.freeze_panes(1, 0)
        for r, row in enumerate(rows):
            sheet.write_row(r, 0, row, workbook.add_format({"bold": True}) if r == 0 else None)
    return raw.getvalue()


def make() -> dict[str, bytes]:
    """Return the samples by file name."""
    return {
        "enroll_200x5.csv": as_csv(enroll_200x5()),
        "enroll_cycles.xlsx": as_workbook(enroll_cycles()),
        "streak.csv": as_csv(streak()),
        "unenroll.csv": as_csv(unenroll()),
        "connected_orgs.csv": as_csv(connected_orgs()),
    }


if __name__ == "__main__":
    SAMPLES.mkdir(exist_ok=True)
    for file_name, raw in make().items():
        (SAMPLES / file_name).write_bytes(raw)
        sys.stdout.write(f"{file_name}: {len(raw):,} bytes\n")
