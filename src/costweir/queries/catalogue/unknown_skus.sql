-- ---
-- id: unknown_skus
-- title: Which lines of AI services no mapping rule knows
-- basis: [billed, effective, list]
-- by: [provider, service, usage_type, unit]
-- dimensions: [provider, service, usage_type, sku, unit, line_service, line_text, line_unit, region, source, account,
--   month, day, category, confidence]
-- needs: charges
-- only: f.x_model = 'unknown' AND f.x_is_ai = TRUE
-- measures: {quantity: quantity, lines: int, last_day: day}
-- ratios:
--   share: {of: cost, per: total}
-- answers: [GAP-05]
-- notes: They are kept and counted in every total; a mapping rule gives them a model.
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost,
  COALESCE(SUM(f.pricing_quantity), 0) AS m_quantity,
  COALESCE(SUM(f.line_count), 0) AS m_lines,
  MAX(f.usage_date) AS m_last_day
FROM {facts}
WHERE {where}
{group}
{order}
