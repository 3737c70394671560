CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE runs (
    run_id TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    account TEXT NOT NULL,
    period TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('running', 'loaded', 'unchanged', 'quarantined', 'failed')),
    rows_in INTEGER NOT NULL DEFAULT 0,
    rows_stored INTEGER NOT NULL DEFAULT 0,
    rows_skipped INTEGER NOT NULL DEFAULT 0,
    rows_quarantined INTEGER NOT NULL DEFAULT 0,
    billed_total TEXT NOT NULL DEFAULT '0.00',
    file_total TEXT NOT NULL DEFAULT '0.00',
    currency TEXT NOT NULL DEFAULT '',
    content_hash TEXT NOT NULL DEFAULT '',
    started_at TEXT NOT NULL,
    finished_at TEXT,
    note TEXT NOT NULL DEFAULT '',
    files TEXT NOT NULL DEFAULT '[]'
) STRICT;

CREATE INDEX runs_newest ON runs (started_at DESC, run_id DESC);

CREATE TABLE customers (
    origin TEXT NOT NULL CHECK (origin IN ('config', 'user', 'demo')),
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    plan TEXT,
    since TEXT,
    PRIMARY KEY (origin, id)
) STRICT;

CREATE TABLE plans (
    origin TEXT NOT NULL CHECK (origin IN ('config', 'user', 'demo')),
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    price_usd TEXT NOT NULL,
    budget_usd TEXT,
    session_usd TEXT,
    session_calls INTEGER,
    tokens_per_minute INTEGER,
    PRIMARY KEY (origin, id)
) STRICT;

CREATE TABLE budgets (
    origin TEXT NOT NULL CHECK (origin IN ('config', 'user', 'demo')),
    id TEXT NOT NULL,
    definition TEXT NOT NULL,
    PRIMARY KEY (origin, id)
) STRICT;

CREATE TABLE saved_views (
    name TEXT PRIMARY KEY,
    link TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
