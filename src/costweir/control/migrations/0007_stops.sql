CREATE TABLE stops (
    scope TEXT PRIMARY KEY,
    reason TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL
) STRICT;

CREATE TABLE lifted (
    model TEXT PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT;

CREATE TABLE policy_revision (number INTEGER NOT NULL) STRICT;

INSERT INTO policy_revision VALUES (1);

CREATE TRIGGER customers_added AFTER INSERT ON customers BEGIN UPDATE policy_revision SET number = number + 1; END;
CREATE TRIGGER customers_changed AFTER UPDATE ON customers BEGIN UPDATE policy_revision SET number = number + 1; END;
CREATE TRIGGER customers_removed AFTER DELETE ON customers BEGIN UPDATE policy_revision SET number = number + 1; END;
CREATE TRIGGER plans_added AFTER INSERT ON plans BEGIN UPDATE policy_revision SET number = number + 1; END;
CREATE TRIGGER plans_changed AFTER UPDATE ON plans BEGIN UPDATE policy_revision SET number = number + 1; END;
CREATE TRIGGER plans_removed AFTER DELETE ON plans BEGIN UPDATE policy_revision SET number = number + 1; END;
CREATE TRIGGER budgets_added AFTER INSERT ON budgets BEGIN UPDATE policy_revision SET number = number + 1; END;
CREATE TRIGGER budgets_changed AFTER UPDATE ON budgets BEGIN UPDATE policy_revision SET number = number + 1; END;
CREATE TRIGGER budgets_removed AFTER DELETE ON budgets BEGIN UPDATE policy_revision SET number = number + 1; END;
CREATE TRIGGER stops_added AFTER INSERT ON stops BEGIN UPDATE policy_revision SET number = number + 1; END;
CREATE TRIGGER stops_removed AFTER DELETE ON stops BEGIN UPDATE policy_revision SET number = number + 1; END;
CREATE TRIGGER lifted_added AFTER INSERT ON lifted BEGIN UPDATE policy_revision SET number = number + 1; END;
CREATE TRIGGER lifted_changed AFTER UPDATE ON lifted BEGIN UPDATE policy_revision SET number = number + 1; END;
