-- ---
-- id: customers
-- title: Who costs what, on how many days
-- basis: [billed, effective, list, contracted, metered]
-- by: [customer]
-- dimensions: all
-- needs: rollup
-- measures: {active_days: int, models: int, tokens: quantity, lines: int, first_day: day, last_day: day}
-- ratios:
--   cost_per_active_day: {of: cost, per: active_days}
--   share: {of: cost, per: total}
-- answers: [DSH-15, DSH-16, DSH-17, DSH-29, DSH-32, DSH-34, DSH-42, RPT-08, SCH-34]
-- notes: An active day is a day with at least one line; untagged is a customer of its own.
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost,
  COUNT(DISTINCT f.usage_date) AS m_active_days,
  COUNT(DISTINCT f.x_model) AS m_models,
  COALESCE(SUM(f.x_tokens), 0) AS m_tokens,
  COALESCE(SUM(f.line_count), 0) AS m_lines,
  MIN(f.usage_date) AS m_first_day,
  MAX(f.usage_date) AS m_last_day
FROM {facts}
WHERE {where}
{group}
{order}
