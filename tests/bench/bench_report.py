"""Time the report of a large run: `python tests/bench/bench_report.py [REQUESTS]` (default 1,000,000).

The ledger is what an instant server leaves behind: five cycles a customer, nearly all enrolled, a few of each other
kind, one retry in a hundred. Prints CPU seconds of each part and the peak memory of this process. Goals: CSV files
and summary in 60 s, everything in 90 s of CPU and 200 MiB.
"""

from __future__ import annotations

import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from batch.ledger.schema import TABLES
from tests.report.ledgers import RUN, START, PlainAdvice

CYCLES = 5
RARE = ("already_enrolled", "invalid_user", "period_not_found", "server_error", "in_doubt")


def build(path: Path, requests: int) -> None:
    """Write the ledger in one transaction."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; {TABLES} BEGIN;")
    names = ", ".join(RUN)
    connection.execute(f"INSERT INTO run ({names}) VALUES ({', '.join('?' * len(RUN))})", list(RUN.values()))
    customers = requests // CYCLES
    columns, roles = json.dumps(["Customer ID", "Region", "Remark"]), json.dumps({"customer_id": 0})
    connection.execute(
        "INSERT INTO input VALUES (1, 'may.csv', '0', NULL, ?, ?, '[]', ?, 0, ?)",
        (columns, roles, customers, requests),
    )
    connection.execute("INSERT INTO scope VALUES (1, 'enroll', 'milestone', NULL, 29463, 5512)")
    connection.executemany(
        "INSERT INTO period VALUES (?, ?)", [(n, f"PERIOD_G_29463_{n}") for n in range(1, CYCLES + 1)]
    )
    connection.executemany(
        "INSERT INTO source_row VALUES (?, 1, ?, ?, ?)",
        (
            (n, n + 1, n + 1, json.dumps([str(300_000_000 + n), "North-East", "uploaded by hand"]))
            for n in range(1, customers + 1)
        ),
    )
    numbers = range(1, customers * CYCLES + 1)
    connection.executemany(
        "INSERT INTO request (request_no, customer, scope_no, period_no, row_no) VALUES (?, ?, 1, ?, ?)",
        ((n, 300_000_001 + (n - 1) // CYCLES, (n - 1) % CYCLES + 1, (n - 1) // CYCLES + 1) for n in numbers),
    )
    connection.executemany(
        "INSERT INTO intent (chunk_no, fence, attempts, written_at) VALUES (1, 1, ?, 0)",
        ((json.dumps([[n, 1] for n in range(first, first + 64)]),) for first in numbers[::64]),
    )
    connection.executemany(
        "INSERT INTO attempt VALUES (?, 1, 1, 'refused', 0, 'rate_limited', '', 429, NULL, '', '', 0, 0)",
        ((n,) for n in numbers[::100]),
    )
    connection.executemany(
        "INSERT INTO outcome VALUES (?, 1, ?, '', ?, 200, NULL, '', ?, ?, ?)",
        (
            (
                n,
                RARE[n % 5] if n % 200 < 5 else "enrolled",
                2 if n % 100 == 1 else 1,
                f"{n:032x}",
                START + n * 10**6,
                START + (n + 40 + n % 97) * 10**6,
            )
            for n in numbers
        ),
    )
    connection.execute("COMMIT")
    connection.close()


def report(folder: Path) -> None:
    """Write the report in this process and print what it cost."""
    from batch.ledger.reading import LedgerReader  # noqa: PLC0415  # imports are part of the cost
    from batch.report.folder import write_report  # noqa: PLC0415
    from batch.report.reconcile import reconcile  # noqa: PLC0415

    began = time.process_time()
    with LedgerReader(folder / "ledger.sqlite") as reader:
        opened = time.process_time()
        accounts = reconcile(reader.run(), reader.inputs(), reader.tallies())
        counted = time.process_time()
        rows = sum(1 for _ in reader.report_rows())
        read = time.process_time()
        accounts = write_report(folder, reader, PlainAdvice())
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{rows:,} requests, exit code {accounts.exit_code}, balanced {accounts.balanced}")
    print(f"open {opened - began:.1f} s, count {counted - opened:.1f} s, read all rows {read - counted:.1f} s")
    print(f"whole report {time.process_time() - read:.1f} s of CPU, peak memory {peak_mib:.0f} MiB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--report"]:
        report(Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as made:
            build(Path(made) / "ledger.sqlite", int(sys.argv[1]) if sys.argv[1:] else 1_000_000)
            # In a process of its own, so that building does not count into the peak memory.
            subprocess.run([sys.executable, __file__, "--report", made], check=True)
