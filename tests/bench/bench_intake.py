"""How fast uploads are read and checked: `python tests/bench/bench_intake.py [rows of CSV] [rows of xlsx]`.

Each case runs in a process of its own. CPU is user and system time, a row; the peak is of the whole process.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import xlsxwriter

from batch.errors import InputRefused
from batch.intake.plan import Planner, PlanRules, is_blank, match_columns
from batch.intake.reader import ReadRules, open_tables
from batch.model import Action, Kind

HEADER = ("customer_id", "period_name", "initial_balance", "store", "note")


def write_csv(path: Path, row_count: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.write(",".join(HEADER) + "\r\n")
        for number in range(row_count):
            stream.write(f"{345600000 + number},PERIOD_G_29463_{number % 5 + 1},{number % 900},S{number % 77},x\r\n")


def write_xlsx(path: Path, row_count: int) -> None:
    book = xlsxwriter.Workbook(path, {"constant_memory": False})
    sheet = book.add_worksheet("Enrolments")
    sheet.write_row(0, 0, HEADER)
    for number in range(row_count):
        sheet.write_row(
            number + 1,
            0,
            (345600000 + number, f"PERIOD_G_29463_{number % 5 + 1}", number % 900, f"S{number % 77}", "x"),
        )
    book.close()


def write_zip_bomb(path: Path, gibibytes: int) -> None:
    write_xlsx(path, 1)
    with zipfile.ZipFile(path) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in parts.items():
            with package.open(name, "w", force_zip64=True) as part:
                part.write(content)
                if name == "xl/worksheets/sheet1.xml":
                    for _ in range(gibibytes << 4):
                        part.write(b" " * (1 << 26))


def write_billion_laughs(path: Path) -> None:
    write_xlsx(path, 1)
    with zipfile.ZipFile(path) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    doctype = f'<!DOCTYPE sst [<!ENTITY l0 "ha">{laughs}]>'.encode()
    parts["xl/sharedStrings.xml"] = (
        parts["xl/sharedStrings.xml"].replace(b"<sst", doctype + b"<sst").replace(b"customer_id", b"&l9;")
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in parts.items():
            package.writestr(name, content)


def read(path: Path) -> str:
    """Read and check a file as a run does; return what came out."""
    rules = PlanRules(Action.ENROLL, Kind.MILESTONE, 29463, 5512, None, None, "each", None, False, None)
    row_count = request_count = 0
    started = time.process_time()
    try:
        with next(open_tables(path, ReadRules())) as table:
            planner = Planner(rules, table.columns, match_columns(table.columns, {}))
            for row in table.rows():
                row_count += 1
                if not is_blank(row):
                    request_count += len(planner.plan_row(row).requests)
        result = f"{row_count} rows, {request_count} requests"
    except InputRefused as refused:
        result = f"refused: {refused.text}"
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    each = f"{seconds / row_count * 1e6:6.2f} us a row" if row_count else f"{seconds:6.2f} s"
    return f"{path.name:22} {each}   peak {peak:4} MiB   {result}"


CASES = {
    "rows.csv": write_csv,
    "rows.xlsx": write_xlsx,
    "bomb.xlsx": lambda path, _: write_zip_bomb(path, 2),
    "laughs.xlsx": lambda path, _: write_billion_laughs(path),
}


def main() -> None:
    csv_rows, xlsx_rows = (int(text) for text in (*sys.argv[1:3], "1000000", "200000")[:2])
    with tempfile.TemporaryDirectory() as folder:
        for name in CASES:
            path = str(Path(folder) / name)
            for what in ("--write", "--read"):  # each in a process of its own: the peak of one is not that of another
                count = csv_rows if name.endswith(".csv") else xlsx_rows
                subprocess.run([sys.executable, __file__, what, path, str(count)], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        CASES[Path(sys.argv[2]).name](Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == ["--read"]:
        print(read(Path(sys.argv[2])))
    else:
        main()
