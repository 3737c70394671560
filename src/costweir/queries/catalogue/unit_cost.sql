-- ---
-- id: unit_cost
-- title: What a thousand tokens cost
-- basis: [billed, effective, list, contracted]
-- by: []
-- dimensions: billed
-- needs: rollup
-- measures: {token_cost: money, tokens: quantity, lines: int}
-- ratios:
--   cost_per_1k_tokens: {of: token_cost, per: tokens, times: 1000, at_least: 1000}
--   share: {of: cost, per: total}
-- answers: [DSH-12, DSH-34, RPT-09, SCH-34]
-- notes: The price is over lines whose unit is tokens, and is left out below 1,000 tokens.
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost,
  COALESCE(SUM(CASE WHEN f.x_has_tokens = TRUE THEN f.{cost} ELSE 0 END), 0) AS m_token_cost,
  COALESCE(SUM(f.x_tokens), 0) AS m_tokens,
  COALESCE(SUM(f.line_count), 0) AS m_lines
FROM {facts}
WHERE {where}
{group}
{order}
