-- ---
-- id: activity
-- title: How many customers and sessions made calls
-- basis: [metered]
-- by: []
-- dimensions: metered
-- needs: calls
-- measures: {customers: int, sessions: int, calls: int, active_days: int}
-- ratios:
--   cost_per_call: {of: cost, per: calls}
--   cost_per_session: {of: cost, per: sessions}
-- answers: [DSH-38]
-- notes: Calls that name no customer or session count as calls only. Distinct counts of rows do not add up to that of all.
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost,
  COUNT(DISTINCT CASE WHEN f.x_customer <> 'untagged' THEN f.x_customer END) AS m_customers,
  COUNT(DISTINCT CASE WHEN f.x_session <> 'untagged' THEN f.x_session END) AS m_sessions,
  COALESCE(SUM(f.line_count), 0) AS m_calls,
  COUNT(DISTINCT f.usage_date) AS m_active_days
FROM {facts}
WHERE {where}
{group}
{order}
