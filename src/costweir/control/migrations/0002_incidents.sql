ALTER TABLE runs ADD COLUMN connection TEXT NOT NULL DEFAULT '';

CREATE TABLE incidents (
    id TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    event TEXT NOT NULL,
    subject TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'resolved')),
    text TEXT NOT NULL,
    hint TEXT NOT NULL DEFAULT '',
    opened_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    resolved_at TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE UNIQUE INDEX incidents_open ON incidents (key) WHERE state = 'open';

CREATE TABLE deliveries (
    incident_id TEXT NOT NULL REFERENCES incidents (id),
    message TEXT NOT NULL CHECK (message IN ('open', 'resolved')),
    channel TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'failed', 'dropped')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_try TEXT NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (incident_id, message, channel)
) STRICT;

CREATE INDEX deliveries_pending ON deliveries (next_try) WHERE state = 'pending';
