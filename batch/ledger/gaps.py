"""Step 2 of 5: what is missing in a ledger although its sums agree: rows that other rows prove to have been there.

Owns the questions; zero is the only sound answer to each. Knows nothing of why something is missing.
"""

from __future__ import annotations

GAPS = {
    # Attempts of a request are numbered from 1, and each number is recorded: as an attempt, or as the one that settled.
    "missing_attempts": """
SELECT coalesce(sum(last - 1 - (SELECT count(*) FROM (
    SELECT attempt FROM attempt t WHERE t.request_no = l.request_no AND t.attempt < last
    UNION SELECT attempt FROM outcome e WHERE e.request_no = l.request_no AND e.attempt BETWEEN 1 AND last - 1))), 0)
FROM (SELECT request_no, max(attempt) AS last FROM (
    SELECT request_no, attempt FROM outcome WHERE attempt > 1
    UNION ALL SELECT request_no, attempt FROM attempt WHERE attempt > 1) GROUP BY request_no) l
""",
    "nameless": """
SELECT count(*) FROM request WHERE period_no <> 0 AND period_no NOT IN (SELECT period_no FROM period)
    OR scope_no NOT IN (SELECT scope_no FROM scope)
""",
}
"""Each figure of Tallies that must be zero, and the question that counts it."""
