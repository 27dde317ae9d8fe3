"""Step 2 of 5: the tables of the ledger, and the version of their layout.

Owns the names and keys that make duplicates impossible; knows no Python object. Numbers (`*_no`) are ours and
start at 1; times (`*_at`) are integer nanoseconds since 1970 UTC; NULL always means "none".
"""

from __future__ import annotations

SCHEMA_VERSION = 3

SENDING_NS = "sending_ns + iif(sending_since IS NULL, 0, max(0, coalesce(heartbeat_at, 0) - sending_since))"
"""The time spent sending so far, as an expression over `run`: an invocation that died sent until its last heartbeat."""

TABLES = """
CREATE TABLE run (                      -- exactly one row; committed before the file gets its name
    run_id          TEXT NOT NULL,
    schema_version  INTEGER NOT NULL,
    program_version TEXT NOT NULL,
    state           TEXT NOT NULL,      -- model.State
    stop_reason     TEXT,               -- why a stopped run stopped: model.StopReason
    stop_text       TEXT,               -- the same as one line for people
    exit_code       INTEGER,
    user            TEXT NOT NULL,
    host            TEXT NOT NULL,
    command         TEXT NOT NULL,
    config_path     TEXT NOT NULL,
    config_text     TEXT NOT NULL,      -- as the file stands: secrets unresolved
    working_dir     TEXT NOT NULL,      -- relative paths of the config count from here
    overrides       TEXT NOT NULL,      -- JSON object of command line options that replace settings
    base_url        TEXT NOT NULL,
    inputs          TEXT NOT NULL DEFAULT '[]',  -- JSON array of [path, sha256 or null]: so planning can begin anew
    campaign        TEXT NOT NULL,      -- JSON of campaign and scope: the same file under the same one is a repeat
    parent          TEXT,               -- the folder of the run that this one goes on from (`rerun`)
    rerun           TEXT,               -- JSON of what a `rerun` was told: so its planning can begin anew
    created_at      INTEGER NOT NULL,
    started_at      INTEGER,            -- the first start of sending
    finished_at     INTEGER,            -- the end of the last invocation that sent
    sending_ns      INTEGER NOT NULL DEFAULT 0,  -- time spent sending, over all invocations that ended
    sending_since   INTEGER,            -- the begin of an invocation that sends, or died of it
    heartbeat_at    INTEGER             -- the last sign of life of a sender
);
CREATE TABLE input (
    input_no        INTEGER PRIMARY KEY,
    path            TEXT NOT NULL,
    sha256          TEXT NOT NULL,
    sheet           TEXT,               -- NULL for text files
    columns         TEXT NOT NULL,      -- JSON array of the headers as they stand in the file
    roles           TEXT NOT NULL,      -- JSON object: our column name -> index into columns
    remarks         TEXT NOT NULL,      -- JSON array of sentences about the file (encoding, hidden rows, ...)
    rows_read       INTEGER NOT NULL DEFAULT 0,
    rows_blank      INTEGER NOT NULL DEFAULT 0,
    expanded        INTEGER NOT NULL DEFAULT 0  -- requests that its rows became, repeats included
);
CREATE TABLE source_row (
    row_no          INTEGER PRIMARY KEY,  -- in the order of reading, over all inputs
    input_no        INTEGER NOT NULL,
    row             INTEGER NOT NULL,     -- as a person sees it in the spreadsheet program
    line            INTEGER,
    cells           TEXT NOT NULL         -- JSON array, as they came
);
CREATE TABLE scope (
    scope_no        INTEGER PRIMARY KEY,
    action          TEXT NOT NULL,
    kind            TEXT NOT NULL,
    org_id          INTEGER,
    target_group_id INTEGER NOT NULL,
    target_id       INTEGER NOT NULL
);
CREATE TABLE period (
    period_no       INTEGER PRIMARY KEY,
    name            TEXT NOT NULL UNIQUE
);
CREATE TABLE request (
    request_no      INTEGER PRIMARY KEY,  -- in the order of source row, then cycle: also the order within a lane
    customer        NOT NULL,             -- integer; an identifier as text (see lookup) where the id is not known
    scope_no        INTEGER NOT NULL,
    period_no       INTEGER NOT NULL,     -- 0: no period
    row_no          INTEGER NOT NULL,
    initial_balance INTEGER,
    reset           INTEGER NOT NULL DEFAULT 0,
    doubtful        INTEGER NOT NULL DEFAULT 0,  -- 1: an earlier run left it in doubt
    contradicted    INTEGER NOT NULL DEFAULT 0,  -- 1: never sent, and not counted as unique
    UNIQUE (customer, scope_no, period_no)       -- a lane is a stretch of this index
);
CREATE TABLE row_problem (
    problem_no      INTEGER PRIMARY KEY,
    row_no          INTEGER NOT NULL,
    column          TEXT NOT NULL,
    value           TEXT NOT NULL,
    problem         TEXT NOT NULL,        -- model.Problem
    hint            TEXT NOT NULL,
    request_no      INTEGER               -- duplicates and contradictions: the request that was planned first
);
CREATE INDEX row_problem_row ON row_problem (row_no);
CREATE TABLE note (                       -- what was left out of requests without being a problem
    text            TEXT PRIMARY KEY,
    row_count       INTEGER NOT NULL,
    first_row_no    INTEGER NOT NULL
);
CREATE TABLE lookup (                     -- an identifier of the upload and whom it names; asked about before planning
    lookup_no       INTEGER PRIMARY KEY,
    identifier      TEXT NOT NULL UNIQUE,  -- such as mobile:919111111111; in request.customer where nobody was found
    customer        INTEGER,              -- NULL: nobody found, or not asked about yet
    outcome         TEXT,                 -- model.Outcome of its requests where nobody was found
    calls           INTEGER NOT NULL DEFAULT 0,
    http_status     INTEGER,
    error_code      INTEGER,
    error_message   TEXT NOT NULL DEFAULT '',
    api_request_id  TEXT NOT NULL DEFAULT '',
    asked_at        INTEGER               -- when the answer was recorded
);
CREATE TABLE chunk (                      -- about 1,000 requests: all requests of its lanes
    chunk_no        INTEGER PRIMARY KEY,
    request_count   INTEGER NOT NULL,
    state           TEXT NOT NULL DEFAULT 'ready',   -- ready | claimed | done
    owner           TEXT,
    fence           INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE lane (                       -- one customer; numbered in the order of first appearance in the input
    chunk_no        INTEGER NOT NULL,
    lane_no         INTEGER NOT NULL,
    customer        NOT NULL,
    PRIMARY KEY (chunk_no, lane_no)
) WITHOUT ROWID;
CREATE TABLE intent (
    intent_no       INTEGER PRIMARY KEY,
    chunk_no        INTEGER NOT NULL,
    fence           INTEGER NOT NULL,
    attempts        TEXT NOT NULL,        -- JSON array of [request_no, attempt]
    written_at      INTEGER NOT NULL
);
CREATE TABLE attempt (                    -- an attempt that did not settle its request
    request_no      INTEGER NOT NULL,
    attempt         INTEGER NOT NULL,     -- from 1
    fence           INTEGER NOT NULL,
    tells           TEXT NOT NULL,        -- model.Tells
    counts          INTEGER NOT NULL,     -- 0: used up no attempt
    outcome         TEXT NOT NULL,        -- model.Outcome: how the request stands if nothing more comes
    reason          TEXT NOT NULL,
    http_status     INTEGER,
    error_code      INTEGER,
    error_message   TEXT NOT NULL,
    api_request_id  TEXT NOT NULL,
    started_at      INTEGER,
    ended_at        INTEGER NOT NULL,
    PRIMARY KEY (request_no, attempt, fence)
) WITHOUT ROWID;
CREATE TABLE outcome (
    request_no      INTEGER NOT NULL,
    fence           INTEGER NOT NULL,     -- part of the key, so that a late worker's true answer is kept
    outcome         TEXT NOT NULL,        -- model.Outcome
    reason          TEXT NOT NULL,
    attempt         INTEGER NOT NULL,     -- the attempt that settled it; 0: none was made
    http_status     INTEGER,
    error_code      INTEGER,
    error_message   TEXT NOT NULL,
    api_request_id  TEXT NOT NULL,
    started_at      INTEGER,
    settled_at      INTEGER NOT NULL,
    PRIMARY KEY (request_no, fence)
) WITHOUT ROWID;
CREATE TABLE verdict (                    -- what a later look at the API said about an outcome
    request_no      INTEGER NOT NULL,
    asked_at        INTEGER NOT NULL,     -- the last one holds
    sample          TEXT NOT NULL,        -- '': it ends a doubt; else the audit that asked, which changes no outcome
    outcome         TEXT NOT NULL,        -- model.Outcome; in_doubt: it proved nothing
    reason          TEXT NOT NULL,
    http_status     INTEGER,
    error_code      INTEGER,
    api_request_id  TEXT NOT NULL,        -- of the look
    PRIMARY KEY (request_no, asked_at)
) WITHOUT ROWID;
CREATE TABLE event (                      -- what the report shows over time
    event_no        INTEGER PRIMARY KEY,
    at              INTEGER NOT NULL,
    kind            TEXT NOT NULL,        -- started | resumed | rate | hold | stopped | finished | ...
    text            TEXT NOT NULL,        -- one line for people
    facts           TEXT NOT NULL DEFAULT '{}'  -- JSON object: what the text tells
);
"""
