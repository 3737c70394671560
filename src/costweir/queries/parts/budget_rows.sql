-- The budgets as people set them.
SELECT
  b.id AS b_id,
  b.scope_kind AS b_kind,
  b.scope_id AS b_scope,
  b.scope_parts AS b_parts,
  b.limit_usd AS b_limit,
  b.budget_window AS b_window,
  b.mode AS b_mode,
  b.timezone AS b_zone
FROM budgets AS b
ORDER BY b_id
