-- ---
-- id: budgets
-- title: How much of each budget is used
-- basis: [billed]
-- by: []
-- dimensions: []
-- needs: rollup
-- measures: {budget: text, scope: text, scope_id: text, window: text, window_since: day, window_until: day,
--   limit_usd: money, left_usd: money, mode: text}
-- ratios:
--   used_share: {of: cost, per: limit_usd}
-- answers: [DSH-45]
-- notes: One charge counts under every budget it falls under, so the total is no spend. Bills are by UTC day, so shorter windows count the whole day.
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost
FROM {facts}
WHERE {where}
{group}
{order}
