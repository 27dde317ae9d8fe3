"""What a ledger takes on disk beyond the cells of the upload."""

from __future__ import annotations

from pathlib import Path

from tests.bench import bench_ledger

REQUESTS = 20_000
MOST_BYTES = 200


def test_a_ledger_takes_at_most_200_bytes_a_request(tmp_path: Path) -> None:
    """In the worst case: a row for each request, and a commit for each, as a slow rate has it."""
    cells = bench_ledger.plan(tmp_path, REQUESTS, cycle_count=1)
    planned = (bench_ledger.size(tmp_path) - cells) / REQUESTS
    bench_ledger.send(tmp_path, batch=1, durable=False)
    sent = (bench_ledger.size(tmp_path) - cells) / REQUESTS
    assert planned < sent <= MOST_BYTES
