CREATE TABLE annotations (
    id TEXT PRIMARY KEY,
    day TEXT NOT NULL,
    text TEXT NOT NULL,
    author TEXT NOT NULL DEFAULT '',
    dimension TEXT NOT NULL DEFAULT '',
    member TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

CREATE INDEX annotations_by_day ON annotations (day);
