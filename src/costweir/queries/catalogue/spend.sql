-- ---
-- id: spend
-- title: What was spent
-- basis: [billed, effective, list, contracted, metered]
-- by: []
-- dimensions: all
-- needs: rollup
-- measures: {tokens: quantity, lines: int}
-- ratios:
--   share: {of: cost, per: total}
-- answers: [DSH-02, DSH-03, DSH-04, DSH-06, DSH-07, DSH-08, DSH-09, DSH-14, DSH-17, DSH-18, DSH-19, DSH-26, DSH-27,
--   DSH-31, DSH-32, DSH-33, DSH-34, DSH-36, RPT-01, RPT-02, RPT-07]
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost,
  COALESCE(SUM(f.x_tokens), 0) AS m_tokens,
  COALESCE(SUM(f.line_count), 0) AS m_lines
FROM {facts}
WHERE {where}
{group}
{order}
