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
WITH g AS (
  SELECT
    {dims}
    f.x_has_tokens AS g_counted,
    f.x_token_class AS g_class,
    COALESCE(SUM(f.{cost}), 0) AS g_cost,
    COALESCE(SUM(f.x_tokens), 0) AS g_tokens,
    SUM(f.line_count) AS g_lines
  FROM {facts}
  WHERE {where}
  GROUP BY {keys} f.x_has_tokens, f.x_token_class
),
u AS (
  SELECT {dims} COUNT(DISTINCT f.x_customer) AS u_customers
  FROM {facts}
  WHERE {where}
  {group}
)
SELECT
  {again}
  SUM(g.g_cost) AS m_cost,
  SUM(CASE WHEN g.g_counted = TRUE AND g.g_class = 'input' THEN g.g_cost ELSE 0 END) AS m_input_cost,
  SUM(CASE WHEN g.g_counted = TRUE AND g.g_class = 'output' THEN g.g_cost ELSE 0 END) AS m_output_cost,
  SUM(CASE WHEN g.g_counted = TRUE AND g.g_class = 'cache_read' THEN g.g_cost ELSE 0 END) AS m_cache_read_cost,
  SUM(CASE WHEN g.g_counted = TRUE AND g.g_class = 'cache_write' THEN g.g_cost ELSE 0 END) AS m_cache_write_cost,
  SUM(CASE
    WHEN g.g_counted = TRUE AND g.g_class IN ('input', 'output', 'cache_read', 'cache_write') THEN 0 ELSE g.g_cost
  END) AS m_other_cost,
  SUM(CASE WHEN g.g_counted = TRUE THEN g.g_cost ELSE 0 END) AS m_token_cost,
  SUM(g.g_tokens) AS m_tokens,
  SUM(CASE WHEN g.g_class = 'input' THEN g.g_tokens ELSE 0 END) AS m_input_tokens,
  SUM(CASE WHEN g.g_class = 'output' THEN g.g_tokens ELSE 0 END) AS m_output_tokens,
  SUM(CASE WHEN g.g_class = 'cache_read' THEN g.g_tokens ELSE 0 END) AS m_cache_read_tokens,
  SUM(CASE WHEN g.g_class = 'cache_write' THEN g.g_tokens ELSE 0 END) AS m_cache_write_tokens,
  MAX(u.u_customers) AS m_customers,
  SUM(g.g_lines) AS m_lines
FROM g
LEFT JOIN u ON {same}
{regroup}
{order}
