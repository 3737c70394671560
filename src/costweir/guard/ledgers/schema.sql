CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE subjects (
    id INTEGER PRIMARY KEY,
    customer TEXT NOT NULL,
    plan TEXT NOT NULL,
    key TEXT NOT NULL,
    user TEXT NOT NULL,
    session TEXT NOT NULL,
    feature TEXT NOT NULL,
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    tenant TEXT NOT NULL
) STRICT;

CREATE TABLE attempts (
    attempt INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('HELD', 'SENT', 'SETTLED', 'RELEASED', 'UNCERTAIN')),
    epoch INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    held INTEGER NOT NULL CHECK (held >= 0),
    tokens INTEGER NOT NULL,
    price_version TEXT NOT NULL,
    at INTEGER NOT NULL,
    charged INTEGER NOT NULL DEFAULT 0 CHECK (charged BETWEEN 0 AND held),
    debt INTEGER NOT NULL DEFAULT 0 CHECK (debt >= 0),
    certainty TEXT NOT NULL DEFAULT '',
    ended_at INTEGER,
    seq INTEGER,
    usage TEXT NOT NULL DEFAULT '{}',
    call TEXT NOT NULL DEFAULT '{}'
) STRICT;

CREATE INDEX attempts_by_request ON attempts (request_id);
CREATE UNIQUE INDEX attempts_by_end ON attempts (seq) WHERE seq IS NOT NULL;
CREATE INDEX attempts_open ON attempts (attempt) WHERE seq IS NULL;

CREATE TABLE balances (
    row INTEGER PRIMARY KEY,
    budget TEXT NOT NULL,
    scope TEXT NOT NULL,
    window TEXT NOT NULL,
    starts INTEGER NOT NULL,
    ends INTEGER,
    settled INTEGER NOT NULL,
    held INTEGER NOT NULL,
    debt INTEGER NOT NULL,
    open INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    told INTEGER NOT NULL,
    blocked INTEGER NOT NULL,
    UNIQUE (budget, scope, window)
) STRICT;

CREATE TABLE archive (
    subject INTEGER NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    day INTEGER NOT NULL,
    settled INTEGER NOT NULL,
    debt INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (subject, model, provider, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE refusals (
    id INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    code TEXT NOT NULL,
    budget TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;

CREATE INDEX refusals_by_request ON refusals (request_id);

CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    budget TEXT NOT NULL,
    scope TEXT NOT NULL,
    window TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;

CREATE TABLE suspended (
    model TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
