-- ---
-- id: cost_bases
-- title: What was billed, effective, contracted and at list price, side by side
-- basis: [billed]
-- by: [provider]
-- dimensions: billed
-- needs: rollup
-- measures: {effective_cost: money, contracted_cost: money, list_cost: money, lines_without_list: int,
--   lines_without_contracted: int, lines: int}
-- ratios:
--   share: {of: cost, per: total}
-- answers: [RPT-03, RPT-11, RPT-12]
-- notes: Lines without a list or contracted cost on the bill are counted, not guessed.
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{billed}), 0) AS m_cost,
  COALESCE(SUM(f.{effective}), 0) AS m_effective_cost,
  COALESCE(SUM(f.{contracted}), 0) AS m_contracted_cost,
  COALESCE(SUM(f.{list}), 0) AS m_list_cost,
  COALESCE(SUM(f.without_list), 0) AS m_lines_without_list,
  COALESCE(SUM(f.without_contracted), 0) AS m_lines_without_contracted,
  COALESCE(SUM(f.line_count), 0) AS m_lines
FROM {facts}
WHERE {where}
{group}
{order}
