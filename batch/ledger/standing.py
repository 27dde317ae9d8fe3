"""Step 2 of 5: the one rule that says how each request of a ledger stands, as temporary tables and joins.

Owns what counts where several outcomes, attempts or looks speak of one request. Whoever asks runs the tables once on
its connection. Knows no file and no Python object.
"""

from __future__ import annotations

SUPERSEDED = """
CREATE TEMP TABLE superseded (request_no INTEGER, fence INTEGER, PRIMARY KEY (request_no, fence)) WITHOUT ROWID;
INSERT INTO superseded SELECT o.request_no, o.fence FROM outcome o WHERE EXISTS (
    SELECT 1 FROM outcome b WHERE b.request_no = o.request_no
    AND (b.outcome <> 'not_sent', b.outcome <> 'in_doubt', b.fence)
        > (o.outcome <> 'not_sent', o.outcome <> 'in_doubt', o.fence));
"""
"""Of several outcomes of one request the one with the highest fence holds, but any answer beats in_doubt, and both
beat not_sent: what one worker could not know, a late one may."""

UNSETTLED = """
CREATE TEMP TABLE unsettled (
    request_no INTEGER PRIMARY KEY, outcome TEXT, reason TEXT, http_status INTEGER, error_code INTEGER,
    error_message TEXT NOT NULL DEFAULT '', api_request_id TEXT NOT NULL DEFAULT '');
INSERT INTO unsettled (request_no) SELECT r.request_no FROM request r
    WHERE NOT r.contradicted AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.request_no = r.request_no);
CREATE TEMP TABLE interrupted AS SELECT DISTINCT u.request_no
    FROM intent i, json_each(i.attempts) a JOIN unsettled u ON u.request_no = json_extract(a.value, '$[0]')
    WHERE EXISTS (SELECT 1 FROM unsettled) AND NOT EXISTS (
        SELECT 1 FROM attempt t WHERE t.request_no = u.request_no AND t.attempt = json_extract(a.value, '$[1]')
        AND t.fence = i.fence);
WITH ranked AS (
    SELECT t.*, row_number() OVER (
        PARTITION BY t.request_no ORDER BY t.tells = 'may_be_applied' DESC, t.attempt DESC, t.fence DESC) AS place
    FROM unsettled u JOIN attempt t USING (request_no) WHERE t.tells <> 'withdrawn')
UPDATE unsettled SET outcome = iif(t.tells = 'may_be_applied', 'in_doubt', t.outcome), reason = t.reason,
        http_status = t.http_status, error_code = t.error_code, error_message = t.error_message,
        api_request_id = t.api_request_id
    FROM ranked t WHERE t.place = 1 AND t.request_no = unsettled.request_no;
UPDATE unsettled SET outcome = 'in_doubt', reason = 'interrupted', http_status = NULL, error_code = NULL,
        error_message = '', api_request_id = ''
    WHERE outcome IS NOT 'in_doubt' AND request_no IN (SELECT request_no FROM interrupted);
UPDATE unsettled SET outcome = 'in_doubt', reason = 'in_doubt_before', http_status = NULL, error_code = NULL,
        error_message = '', api_request_id = ''
    WHERE outcome IS NOT 'in_doubt' AND request_no IN (SELECT request_no FROM request WHERE doubtful);
UPDATE unsettled SET outcome = 'not_sent', reason = coalesce((SELECT stop_reason FROM run), '') WHERE outcome IS NULL;
"""
"""How a request without an outcome stands: in doubt where an attempt may have been applied or left no trace but its
intent, else as its last attempt says, else not sent."""

TOLD = """
CREATE TEMP TABLE told (
    request_no INTEGER PRIMARY KEY, instead_of TEXT, outcome TEXT, reason TEXT, http_status INTEGER,
    error_code INTEGER, asked_at INTEGER);
INSERT INTO told SELECT request_no, 'in_doubt', outcome, reason, http_status, error_code, max(asked_at)
    FROM verdict WHERE sample = '' GROUP BY request_no;
"""
"""What the last look at the API said about a request; it counts where the outcome that holds is in doubt."""

OF_TARGET = """
json_extract(e.facts, '$.target_id') = c.target_id AND json_extract(e.facts, '$.target_group_id') = c.target_group_id
AND json_extract(e.facts, '$.org_id') IS c.org_id
"""
"""Whether `event e` is about the target of `scope c`: its facts name it as `Scope.facts` does."""

_LAST_TOLD = f"""
SELECT scope_no FROM scope c WHERE action = 'enroll' AND {{kind}} = (
    SELECT e.kind FROM event e WHERE e.kind IN ('cascade', 'no_cascade') AND {OF_TARGET}
    ORDER BY e.event_no DESC LIMIT 1)
"""
CASCADING = _LAST_TOLD.format(kind="'cascade'")
"""The scopes of which a cascade was found and not taken back."""
TAKEN_BACK = _LAST_TOLD.format(kind="'no_cascade'")
"""The scopes of which a finding was taken back."""

BACKWARDS = """
WITH people AS MATERIALIZED (
    SELECT customer FROM lane WHERE {only_if}
    ORDER BY lane_no * 2654435761 % 4294967296 LIMIT 300),
named AS MATERIALIZED (
    SELECT e.scope_no, e.period_no AS first, r.period_no AS second, count(*) AS n
    FROM people JOIN request e USING (customer) JOIN request r
        ON r.customer = e.customer AND r.scope_no = e.scope_no AND r.request_no > e.request_no
    WHERE e.period_no > 0 AND r.period_no > 0 AND NOT e.contradicted AND NOT r.contradicted GROUP BY 1, 2, 3)
SELECT scope_no, second, first FROM named m WHERE n > coalesce((
    SELECT n FROM named o WHERE o.scope_no = m.scope_no AND o.first = m.second AND o.second = m.first), 0)
"""
"""Scope, cycle and an earlier cycle: of 300 customers, chosen by their number from all over the upload, most have the
earlier one first. `only_if` is an SQL condition."""

ORDERED = f"""
CREATE TEMP TABLE backwards (
    scope_no INTEGER, anchor INTEGER, period INTEGER, PRIMARY KEY (scope_no, anchor, period)) WITHOUT ROWID;
INSERT INTO backwards {BACKWARDS.format(only_if="EXISTS (SELECT 1 FROM event WHERE kind = 'cascade')")};
"""
"""The table that BY_EARLIER_CYCLE looks into."""

BY_EARLIER_CYCLE = """
EXISTS (SELECT 1 FROM request e JOIN outcome a USING (request_no) WHERE e.customer = r.customer
    AND e.scope_no = r.scope_no AND e.request_no < r.request_no AND a.outcome = 'enrolled'
    AND (e.scope_no, e.period_no, r.period_no) NOT IN backwards)
AND NOT EXISTS (SELECT 1 FROM request e JOIN scope t USING (scope_no) WHERE e.customer = r.customer
    AND t.action = 'unenroll' AND t.org_id IS s.org_id
    AND (t.target_group_id, t.target_id) = (s.target_group_id, s.target_id))
"""
"""Of `request r` in `scope s`: whether the run enrolled its customer into an earlier cycle, and unenrolls nobody."""

NOT_COVERED = f"r.scope_no IN ({TAKEN_BACK})"
"""Of a `request r` that was left out as covered: whether it may not be after all, because the finding was taken back
when the request had been settled. What an audit finds changes nothing: whoever is not enrolled then may have been
unenrolled since."""

COVERED = f"""
{ORDERED}
CREATE TEMP TABLE cascading (scope_no INTEGER PRIMARY KEY);
INSERT INTO cascading {CASCADING};
INSERT OR REPLACE INTO told
    SELECT r.request_no, 'already_enrolled', 'covered_by_cascade', o.reason, o.http_status, o.error_code, o.settled_at
    FROM cascading g JOIN scope s USING (scope_no) JOIN request r USING (scope_no) JOIN outcome o USING (request_no)
    WHERE o.outcome = 'already_enrolled' AND {BY_EARLIER_CYCLE};
INSERT OR REPLACE INTO told
    SELECT r.request_no, 'covered_by_cascade', 'not_sent', 'not_covered', NULL, NULL, o.settled_at
    FROM (SELECT 1 FROM event WHERE kind = 'no_cascade' LIMIT 1)
    CROSS JOIN outcome o JOIN request r USING (request_no)
    WHERE o.outcome = 'covered_by_cascade' AND o.attempt = 0 AND {NOT_COVERED};
"""
"""Where a cascade was found and not taken back, who is enrolled already was enrolled by an earlier cycle of this run;
what was left out and is not covered after all was not sent.

Not stored as the outcome, because some are answered before the finding, and it may be taken back after others."""

STANDING = """
LEFT JOIN outcome o ON o.request_no = r.request_no AND NOT EXISTS (
    SELECT 1 FROM superseded x WHERE x.request_no = o.request_no AND x.fence = o.fence)
LEFT JOIN told v ON v.request_no = r.request_no AND v.instead_of = o.outcome
LEFT JOIN unsettled u ON u.request_no = r.request_no
"""
"""Joins of `request r` with what says how it stands: `o` its outcome that holds, `v` what is told instead of it, `u`
how it stands without one."""
