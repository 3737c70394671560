-- ---
-- id: data_health
-- title: Is everything there, and does everything have a meaning
-- basis: [billed]
-- by: [provider, source, account]
-- dimensions: [provider, source, account]
-- needs: rollup
-- measures: {last_load: text, complete_to: day, months: int, rows_in: int, rows_stored: int, rows_skipped: int,
--   rows_quarantined: int, untagged_cost: money, unknown_cost: money, unknown_lines: int, late: bool, sample: bool}
-- ratios:
--   untagged_share: {of: untagged_cost, per: cost}
--   unknown_share: {of: unknown_cost, per: cost}
-- answers: [DSH-39, GAP-03, GAP-05, GAP-13, RPT-13]
-- notes: Row counts are of the loads whose invoice month lies in the period; complete_to is the first day not yet delivered.
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost,
  COALESCE(SUM(CASE WHEN f.x_customer = 'untagged' THEN f.{cost} ELSE 0 END), 0) AS m_untagged_cost,
  COALESCE(SUM(CASE WHEN f.x_model = 'unknown' THEN f.{cost} ELSE 0 END), 0) AS m_unknown_cost,
  COALESCE(SUM(CASE WHEN f.x_model = 'unknown' THEN f.line_count ELSE 0 END), 0) AS m_unknown_lines
FROM {facts}
WHERE {where}
{group}
{order}
