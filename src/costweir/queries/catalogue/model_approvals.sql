-- ---
-- id: model_approvals
-- title: Which customers use models outside their approved list
-- basis: [billed, effective, list, contracted]
-- by: [customer, model]
-- dimensions: [customer, model, provider, project, feature, day, month, plan]
-- needs: rollup
-- only: >-
--   EXISTS (SELECT 1 FROM customer_approved_models AS a WHERE a.customer_id = f.x_customer)
--   AND NOT EXISTS (SELECT 1 FROM customer_approved_models AS b WHERE b.customer_id = f.x_customer AND b.model = f.x_model)
-- measures: {tokens: quantity, lines: int, first_day: day, last_day: day}
-- ratios:
--   share: {of: cost, per: total}
-- answers: [DSH-20, DSH-23, GAP-01, SCH-20]
-- notes: A customer without an approved list may use every model and is not in this answer.
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost,
  COALESCE(SUM(f.x_tokens), 0) AS m_tokens,
  COALESCE(SUM(f.line_count), 0) AS m_lines,
  MIN(f.usage_date) AS m_first_day,
  MAX(f.usage_date) AS m_last_day
FROM {facts}
WHERE {where}
{group}
{order}
