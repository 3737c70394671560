CREATE TABLE mappings (
    id TEXT PRIMARY KEY,
    cloud TEXT NOT NULL,
    service TEXT,
    text TEXT NOT NULL,
    unit TEXT,
    slots TEXT NOT NULL,
    evidence TEXT NOT NULL DEFAULT '',
    set_by TEXT NOT NULL,
    set_at TEXT NOT NULL
) STRICT;
