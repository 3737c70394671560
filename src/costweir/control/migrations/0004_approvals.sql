CREATE TABLE approvals (
    origin TEXT NOT NULL CHECK (origin IN ('config', 'user', 'demo')),
    customer TEXT NOT NULL,
    pattern TEXT NOT NULL,
    PRIMARY KEY (origin, customer, pattern)
) STRICT;
