-- ---
-- id: tokens
-- title: How many tokens went in, came out and came from a cache
-- basis: [billed, effective, list, contracted]
-- by: [model]
-- dimensions: billed
-- needs: rollup
-- measures: {tokens: quantity, input_tokens: quantity, output_tokens: quantity, cache_read_tokens: quantity,
--   cache_write_tokens: quantity, other_tokens: quantity, lines: int}
-- ratios:
--   share: {of: cost, per: total}
-- answers: [DSH-11, DSH-13, DSH-22, DSH-30, SCH-34]
-- notes: Only lines whose unit is tokens have tokens; images, hours and fees have a cost and none.
-- ---
WITH g AS (
  SELECT
    {dims}
    f.x_token_class AS g_class,
    COALESCE(SUM(f.{cost}), 0) AS g_cost,
    COALESCE(SUM(f.x_tokens), 0) AS g_tokens,
    SUM(f.line_count) AS g_lines
  FROM {facts}
  WHERE {where}
  GROUP BY {keys} f.x_token_class
)
SELECT
  {again}
  SUM(g.g_cost) AS m_cost,
  SUM(g.g_tokens) AS m_tokens,
  SUM(CASE WHEN g.g_class = 'input' THEN g.g_tokens ELSE 0 END) AS m_input_tokens,
  SUM(CASE WHEN g.g_class = 'output' THEN g.g_tokens ELSE 0 END) AS m_output_tokens,
  SUM(CASE WHEN g.g_class = 'cache_read' THEN g.g_tokens ELSE 0 END) AS m_cache_read_tokens,
  SUM(CASE WHEN g.g_class = 'cache_write' THEN g.g_tokens ELSE 0 END) AS m_cache_write_tokens,
  SUM(CASE
    WHEN g.g_class IN ('input', 'output', 'cache_read', 'cache_write') THEN 0 ELSE g.g_tokens
  END) AS m_other_tokens,
  SUM(g.g_lines) AS m_lines
FROM g
{regroup}
{order}
