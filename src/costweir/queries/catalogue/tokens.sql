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
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost,
  COALESCE(SUM(f.x_tokens), 0) AS m_tokens,
  COALESCE(SUM(CASE WHEN f.x_token_class = 'input' THEN f.x_tokens ELSE 0 END), 0) AS m_input_tokens,
  COALESCE(SUM(CASE WHEN f.x_token_class = 'output' THEN f.x_tokens ELSE 0 END), 0) AS m_output_tokens,
  COALESCE(SUM(CASE WHEN f.x_token_class = 'cache_read' THEN f.x_tokens ELSE 0 END), 0) AS m_cache_read_tokens,
  COALESCE(SUM(CASE WHEN f.x_token_class = 'cache_write' THEN f.x_tokens ELSE 0 END), 0) AS m_cache_write_tokens,
  COALESCE(SUM(CASE
    WHEN f.x_token_class IN ('input', 'output', 'cache_read', 'cache_write') THEN 0 ELSE f.x_tokens
  END), 0) AS m_other_tokens,
  COALESCE(SUM(f.line_count), 0) AS m_lines
FROM {facts}
WHERE {where}
{group}
{order}
