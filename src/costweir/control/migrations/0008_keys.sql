CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    prefix TEXT NOT NULL UNIQUE,
    customer TEXT NOT NULL,
    models TEXT NOT NULL DEFAULT '[]',
    may_assert TEXT NOT NULL DEFAULT '[]',
    name TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at TEXT,
    rotated_at TEXT,
    revoked_at TEXT
) STRICT;

CREATE TABLE key_texts (
    prefix TEXT PRIMARY KEY,
    key_id TEXT NOT NULL REFERENCES keys (id),
    digest TEXT NOT NULL,
    ends_at TEXT
) STRICT;

CREATE TRIGGER keys_added AFTER INSERT ON keys BEGIN UPDATE policy_revision SET number = number + 1; END;
CREATE TRIGGER keys_changed AFTER UPDATE ON keys BEGIN UPDATE policy_revision SET number = number + 1; END;
CREATE TRIGGER keys_removed AFTER DELETE ON keys BEGIN UPDATE policy_revision SET number = number + 1; END;
