-- ---
-- id: first_seen
-- title: Which customer began to use which model, and when
-- basis: [billed, effective, list, contracted, metered]
-- by: [customer, model]
-- dimensions: [customer, model, provider, project, feature, plan]
-- needs: rollup
-- measures: {first_day: day, last_day: day, active_days: int, tokens: quantity, lines: int, listed: bool,
--   unapproved: bool, unapproved_cost: money}
-- ratios:
--   share: {of: cost, per: total}
-- answers: [GAP-01, SCH-20]
-- notes: first_day is the first in the days asked for, and the first ever without since; listed says that the customer
--   has an approved list, unapproved that the model is not on it.
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost,
  MIN(f.usage_date) AS m_first_day,
  MAX(f.usage_date) AS m_last_day,
  COUNT(DISTINCT f.usage_date) AS m_active_days,
  COALESCE(SUM(f.x_tokens), 0) AS m_tokens,
  COALESCE(SUM(f.line_count), 0) AS m_lines,
  COALESCE(MAX(CASE WHEN l.l_customer IS NOT NULL THEN 1 ELSE 0 END), 0) = 1 AS m_listed,
  COALESCE(MAX(CASE WHEN l.l_customer IS NOT NULL AND a.a_model IS NULL THEN 1 ELSE 0 END), 0) = 1 AS m_unapproved,
  COALESCE(SUM(CASE WHEN l.l_customer IS NOT NULL AND a.a_model IS NULL THEN f.{cost} ELSE 0 END), 0)
    AS m_unapproved_cost
FROM {facts}
LEFT JOIN (
  SELECT q.customer_id AS l_customer FROM customer_approved_models AS q GROUP BY q.customer_id
) AS l ON l.l_customer = f.x_customer
LEFT JOIN (
  SELECT r.customer_id AS a_customer, r.model AS a_model FROM customer_approved_models AS r
  GROUP BY r.customer_id, r.model
) AS a ON a.a_customer = f.x_customer AND a.a_model = f.x_model
WHERE {where}
{group}
{order}
