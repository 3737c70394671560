-- ---
-- id: hours
-- title: At which hour of which weekday the money is spent
-- basis: [billed, effective, list, contracted, metered]
-- by: [weekday, hour]
-- dimensions: [weekday, hour, day, month, provider, service, model, customer, project, feature]
-- needs: charges
-- measures: {active_days: int, tokens: quantity, lines: int}
-- ratios:
--   cost_per_active_day: {of: cost, per: active_days}
--   share: {of: cost, per: total}
-- answers: [DSH-20, DSH-21, DSH-24, DSH-34, DSH-41]
-- notes: Hours are UTC; a bill that is exported by day puts the whole day into hour 0.
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost,
  COUNT(DISTINCT f.usage_date) AS m_active_days,
  COALESCE(SUM(f.x_tokens), 0) AS m_tokens,
  COALESCE(SUM(f.line_count), 0) AS m_lines
FROM {facts}
WHERE {where}
{group}
{order}
