-- ---
-- id: call_adjustments
-- title: What later prices changed on calls
-- basis: [metered]
-- by: [month, provider, model]
-- dimensions: [provider, model, day, month, customer, project, feature, plan, session, key, environment, outcome, change,
--   run, read_on]
-- needs: adjustments
-- measures: {increased_cost: money, decreased_cost: money, adjustments: int, newly_priced: int, first_day: day,
--   last_day: day}
-- answers: [GAP-13]
-- notes: metered_cost is what calls cost after a change of price less what they cost before it, on the days of the calls;
--   read_on is the day it was changed. Every metered answer holds these changes.
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost,
  COALESCE(SUM(CASE WHEN f.{cost} > 0 THEN f.{cost} ELSE 0 END), 0) AS m_increased_cost,
  COALESCE(SUM(CASE WHEN f.{cost} < 0 THEN f.{cost} ELSE 0 END), 0) AS m_decreased_cost,
  COALESCE(SUM(f.line_count), 0) AS m_adjustments,
  COALESCE(SUM(f.newly_priced), 0) AS m_newly_priced,
  MIN(f.usage_date) AS m_first_day,
  MAX(f.usage_date) AS m_last_day
FROM {facts}
WHERE {where}
{group}
{order}
