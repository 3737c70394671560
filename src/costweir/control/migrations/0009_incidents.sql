CREATE TABLE incidents_now (
    id TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    period TEXT NOT NULL DEFAULT '',
    event TEXT NOT NULL,
    subject TEXT NOT NULL,
    severity TEXT NOT NULL DEFAULT 'warning' CHECK (severity IN ('critical', 'warning', 'info')),
    team TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL CHECK (state IN ('open', 'acknowledged', 'snoozed', 'resolved')),
    text TEXT NOT NULL,
    hint TEXT NOT NULL DEFAULT '',
    link TEXT NOT NULL DEFAULT '',
    value TEXT NOT NULL DEFAULT '',
    "limit" TEXT NOT NULL DEFAULT '',
    owner TEXT NOT NULL DEFAULT '',
    episode INTEGER NOT NULL DEFAULT 1,
    opened_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    acknowledged_at TEXT NOT NULL DEFAULT '',
    snoozed_at TEXT NOT NULL DEFAULT '',
    snoozed_until TEXT NOT NULL DEFAULT '',
    resolved_at TEXT NOT NULL DEFAULT '',
    put_aside INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT INTO incidents_now (id, key, event, subject, state, text, hint, opened_at, updated_at, resolved_at)
    SELECT id, key, event, subject, state, text, hint, opened_at, updated_at, resolved_at FROM incidents;

CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    incident_id TEXT NOT NULL REFERENCES incidents_now (id),
    message TEXT NOT NULL,
    mark TEXT NOT NULL,
    channel TEXT NOT NULL,
    text TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'failed', 'dropped')),
    attempts INTEGER NOT NULL DEFAULT 0,
    unsure INTEGER NOT NULL DEFAULT 0,
    next_try TEXT NOT NULL,
    tried_at TEXT NOT NULL DEFAULT '',
    batch TEXT NOT NULL DEFAULT '',
    thread TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT '',
    UNIQUE (incident_id, message, mark, channel)
) STRICT;

INSERT INTO messages (incident_id, message, mark, channel, state, attempts, next_try, note)
    SELECT incident_id, message, '1', channel, state, attempts, next_try, note FROM deliveries
    ORDER BY incident_id, message;

CREATE TABLE incident_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    incident_id TEXT NOT NULL REFERENCES incidents_now (id),
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    what TEXT NOT NULL,
    text TEXT NOT NULL DEFAULT ''
) STRICT;

INSERT INTO incident_events (incident_id, at, actor, what, text)
    SELECT id, opened_at, '', 'open', text FROM incidents ORDER BY opened_at;

INSERT INTO incident_events (incident_id, at, actor, what)
    SELECT id, resolved_at, '', 'resolved' FROM incidents WHERE state = 'resolved' ORDER BY resolved_at;

DROP TABLE deliveries;

DROP TABLE incidents;

ALTER TABLE incidents_now RENAME TO incidents;

CREATE UNIQUE INDEX incidents_open ON incidents (key, period) WHERE state != 'resolved';

CREATE INDEX incidents_matter ON incidents (key, period);

CREATE INDEX incidents_wrong ON incidents (subject, event, period) WHERE state != 'resolved';

CREATE INDEX messages_pending ON messages (channel, seq) WHERE state = 'pending';

CREATE INDEX messages_incident ON messages (incident_id, channel, seq);

CREATE INDEX incident_events_incident ON incident_events (incident_id, seq);
