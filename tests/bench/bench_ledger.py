"""What a large ledger costs: `python tests/bench/bench_ledger.py [REQUESTS] [FOLDER]` (default 1,000,000).

Written by the real writers as a run at full speed would: five cycles a customer, 64 at work, an intent and a group of
outcomes a commit. Prints microseconds and bytes a request after planning and after sending, and then what a resume
does before its first request: half of the last chunk is open, the other half was out when the sender died.

Goals: 200 bytes a request beyond the cells of its row; first request within 5 s, at 1,000,000 outcomes.
"""

from __future__ import annotations

import hashlib
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from batch.ledger.planning import PlanWriter, plan_totals
from batch.ledger.reading import LedgerReader
from batch.ledger.sending import SendingLedger
from batch.ledger.sqlite import create_ledger, open_ledger
from batch.model import Entries, Intent, OpenRequest, Outcome, Result, SourceRow, Verdict
from tests.ledger.ledgers import NEW_RUN, enroll

WORKERS = 64
START = 1_790_000_000 * 10**9
CELL = "345000000"


def plan(folder: Path, requests: int, cycle_count: int = 5) -> int:
    """Write a plan of so many requests; return how many bytes the cells of their rows take."""
    cycles = [f"PERIOD_G_29463_{number}" for number in range(1, cycle_count + 1)]
    rows = requests // cycle_count
    with create_ledger(folder, NEW_RUN) as ledger:
        writer = PlanWriter(ledger)
        columns = ["customer_id"]
        writer.begin_input("in.csv", "00", sheet=None, columns=columns, roles={"customer_id": 0}, remarks=[])
        for number in range(rows):
            customer = int(CELL) + number
            row = SourceRow(number + 2, (str(customer),), number + 2)
            writer.add_row(row, [enroll(customer, cycle) for cycle in cycles], (), ())
        writer.end_input(rows, 0)
        writer.finish()
    return rows * len(f'["{CELL}"]')


def answered(item: OpenRequest, now: int) -> Result:
    """An enrolled request, with a request id as the vendor gives it."""
    api_request_id = hashlib.blake2b(str(item.request_no).encode(), digest_size=16).hexdigest()
    verdict = Verdict(Outcome.ENROLLED, settled=True, http_status=200, api_request_id=api_request_id)
    return Result(item.request_no, item.chunk.fence, 1, verdict, True, now - 40_000_000, now)


def send(folder: Path, batch: int = WORKERS, *, durable: bool = True) -> None:
    """Settle everything but the last chunk; of that leave half untouched and half with an intent alone."""
    order = random.Random(1)  # noqa: S311 - answers in no order, the same each time
    with open_ledger(folder) as ledger:
        if not durable:
            ledger.connection.execute("PRAGMA synchronous = OFF")
        sender = SendingLedger(ledger, "bench")
        ((last,),) = ledger.read("SELECT max(chunk_no) FROM chunk")
        now = START
        out: list[OpenRequest] = []
        while chunk := sender.claim_chunk():
            items = sender.open_requests(chunk)
            if chunk.chunk_no == last:
                half = items[: len(items) // 2]
                intents = [Intent(chunk, tuple((item.request_no, 1) for item in half))]
                sender.write(Entries(intents=intents, results=[answered(item, now) for item in out]), now)
                return
            for first in range(0, len(items), batch):
                going = items[first : first + batch]
                order.shuffle(out)  # answers come in no order
                done = out[:batch]
                now += 10_000_000
                intents = [Intent(chunk, tuple((item.request_no, 1) for item in going))]
                sender.write(Entries(intents=intents, results=[answered(item, now) for item in done]), now)
                out = out[batch:] + going
            sender.write(Entries(finished_chunks=[chunk]), now)


def size(folder: Path) -> int:
    """Bytes on disk now, journal files included."""
    return sum(path.stat().st_size for path in folder.glob("ledger.sqlite*"))


def cost(what: str, began: float, folder: Path, requests: int, cells: int) -> None:
    spent = (time.process_time() - began) / requests * 1e6
    print(f"{what}: {spent:.1f} us of CPU and {(size(folder) - cells) / requests:.0f} bytes a request")


def timed(what: str, began: float) -> None:
    print(f"    {what:<28} {time.perf_counter() - began:6.2f} s")


def resume(folder: Path) -> None:
    """Do what `resume` does before its first request, and say what each part takes."""
    whole = began = time.perf_counter()
    with open_ledger(folder) as ledger:
        timed("open", began)
        began = time.perf_counter()
        plan_totals(ledger)
        timed("totals of the plan", began)
        began = time.perf_counter()
        sender = SendingLedger(ledger, "bench")
        doubtful = sender.take_over(START)
        timed(f"take over ({doubtful} in doubt)", began)
        began = time.perf_counter()
        left = sender.open_count()
        timed(f"open count ({left})", began)
        began = time.perf_counter()
        chunk = sender.claim_chunk()
        if chunk:
            sender.open_requests(chunk)
        timed("claim a chunk", began)
    timed("all of it", whole)


def check(folder: Path) -> None:
    """Say what the report pays before it reads the first row."""
    began = time.perf_counter()
    with LedgerReader(folder / "ledger.sqlite") as reader:
        timed("open for a report", began)
        began = time.perf_counter()
        reader.check_integrity()
        timed("check the integrity", began)


def tables(folder: Path, requests: int) -> None:
    """Say where the bytes are, where SQLite can tell."""
    with open_ledger(folder) as ledger:
        for name, pages, payload in ledger.read(
            "SELECT name, sum(pgsize), sum(payload) FROM dbstat GROUP BY name"
            " HAVING sum(pgsize) > 100000 ORDER BY 2 DESC"
        ):
            print(f"    {name:<40} {pages / requests:6.1f} bytes a request, {payload / pages:.0%} used")


def main() -> None:
    requests = int(sys.argv[1]) if sys.argv[1:] else 1_000_000
    with tempfile.TemporaryDirectory() as made:
        folder = Path(sys.argv[2]) if sys.argv[2:] else Path(made)
        began = time.process_time()
        cells = plan(folder, requests)
        cost("planning", began, folder, requests, cells)
        began = time.process_time()
        send(folder)
        cost("sending", began, folder, requests, cells)
        tables(folder, requests)
        print("resume:")
        resume(folder)
        check(folder)


if __name__ == "__main__":
    main()
