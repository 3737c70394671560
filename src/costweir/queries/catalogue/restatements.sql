-- ---
-- id: restatements
-- title: What later reads of a bill and later mappings changed
-- basis: [billed]
-- by: [month, provider]
-- dimensions: [provider, model, token_class, day, month, source, account, invoice_month, category, currency, change, run,
--   read_on]
-- needs: restatements
-- measures: {increased_cost: money, decreased_cost: money, tokens: quantity, changes: int, first_day: day,
--   last_day: day}
-- answers: [GAP-13]
-- notes: billed_cost is what was billed after a read less what was billed before it; a change is restated where the
--   earlier read had the day, else new day. One that is remapped moves money between models and token classes only.
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost,
  COALESCE(SUM(CASE WHEN f.{cost} > 0 THEN f.{cost} ELSE 0 END), 0) AS m_increased_cost,
  COALESCE(SUM(CASE WHEN f.{cost} < 0 THEN f.{cost} ELSE 0 END), 0) AS m_decreased_cost,
  COALESCE(SUM(f.x_tokens), 0) AS m_tokens,
  COALESCE(SUM(f.line_count), 0) AS m_changes,
  MIN(f.usage_date) AS m_first_day,
  MAX(f.usage_date) AS m_last_day
FROM {facts}
WHERE {where}
{group}
{order}
