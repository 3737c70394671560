-- ---
-- id: models
-- title: Which models cost what, and for which direction
-- basis: [billed, effective, list, contracted]
-- by: [model]
-- dimensions: billed
-- needs: rollup
-- measures: {input_cost: money, output_cost: money, cache_read_cost: money, cache_write_cost: money, other_cost: money,
--   token_cost: money, tokens: quantity, input_tokens: quantity, output_tokens: quantity, cache_read_tokens: quantity,
--   cache_write_tokens: quantity, customers: int, lines: int}
-- ratios:
--   cost_per_1k_tokens: {of: token_cost, per: tokens, times: 1000, at_least: 1000}
--   input_cost_per_1k_tokens: {of: input_cost, per: input_tokens, times: 1000, at_least: 1000}
--   output_cost_per_1k_tokens: {of: output_cost, per: output_tokens, times: 1000, at_least: 1000}
--   share: {of: cost, per: total}
-- answers: [DSH-05, DSH-10, DSH-12, DSH-13, DSH-14, DSH-28, DSH-30, DSH-43, RPT-09]
-- notes: input, output and cache costs are over lines whose unit is tokens; other_cost is the rest.
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost,
  COALESCE(SUM(CASE WHEN f.x_has_tokens = TRUE AND f.x_token_class = 'input' THEN f.{cost} ELSE 0 END), 0)
    AS m_input_cost,
  COALESCE(SUM(CASE WHEN f.x_has_tokens = TRUE AND f.x_token_class = 'output' THEN f.{cost} ELSE 0 END), 0)
    AS m_output_cost,
  COALESCE(SUM(CASE WHEN f.x_has_tokens = TRUE AND f.x_token_class = 'cache_read' THEN f.{cost} ELSE 0 END), 0)
    AS m_cache_read_cost,
  COALESCE(SUM(CASE WHEN f.x_has_tokens = TRUE AND f.x_token_class = 'cache_write' THEN f.{cost} ELSE 0 END), 0)
    AS m_cache_write_cost,
  COALESCE(SUM(CASE
    WHEN f.x_has_tokens = TRUE AND f.x_token_class IN ('input', 'output', 'cache_read', 'cache_write') THEN 0
    ELSE f.{cost}
  END), 0) AS m_other_cost,
  COALESCE(SUM(CASE WHEN f.x_has_tokens = TRUE THEN f.{cost} ELSE 0 END), 0) AS m_token_cost,
  COALESCE(SUM(f.x_tokens), 0) AS m_tokens,
  COALESCE(SUM(CASE WHEN f.x_token_class = 'input' THEN f.x_tokens ELSE 0 END), 0) AS m_input_tokens,
  COALESCE(SUM(CASE WHEN f.x_token_class = 'output' THEN f.x_tokens ELSE 0 END), 0) AS m_output_tokens,
  COALESCE(SUM(CASE WHEN f.x_token_class = 'cache_read' THEN f.x_tokens ELSE 0 END), 0) AS m_cache_read_tokens,
  COALESCE(SUM(CASE WHEN f.x_token_class = 'cache_write' THEN f.x_tokens ELSE 0 END), 0) AS m_cache_write_tokens,
  COUNT(DISTINCT f.x_customer) AS m_customers,
  COALESCE(SUM(f.line_count), 0) AS m_lines
FROM {facts}
WHERE {where}
{group}
{order}
