-- A budget may be about several things at once: a customer and a model. scope_kind and scope_id keep naming them all.

ALTER TABLE budgets ADD COLUMN scope_parts TEXT;

COMMENT ON COLUMN budgets.scope_parts IS 'a JSON object: what has to match, by kind; empty where one kind says it';
