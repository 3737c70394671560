-- The budgets as people set them.
SELECT
  b.id AS b_id,
  b.scope_kind AS b_kind,
  b.scope_id AS b_scope,
  b.limit_usd AS b_limit,
  b.budget_window AS b_window,
  b.mode AS b_mode
FROM budgets AS b
ORDER BY b_id
