-- ---
-- id: cache_savings
-- title: How much of the prompts came from a cache, and what that saved
-- basis: [billed, effective, list, contracted]
-- by: [model]
-- dimensions: billed
-- needs: rollup
-- measures: {prompt_tokens: quantity, cache_read_tokens: quantity, cache_read_cost: money, uncached_cost: money,
--   saved_cost: money}
-- ratios:
--   cache_read_share: {of: cache_read_tokens, per: prompt_tokens}
-- answers: [DSH-44]
-- notes: uncached_cost is what the cached tokens of a row would have cost at the average price of its input, and saved_cost
--   that less what they cost; both are empty where no input was billed. Writing to a cache is not taken off.
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost,
  COALESCE(SUM(CASE WHEN f.x_token_class IN ('input', 'cache_read', 'cache_write') THEN f.x_tokens ELSE 0 END), 0)
    AS m_prompt_tokens,
  COALESCE(SUM(CASE WHEN f.x_token_class = 'cache_read' THEN f.x_tokens ELSE 0 END), 0) AS m_cache_read_tokens,
  COALESCE(SUM(CASE WHEN f.x_has_tokens = TRUE AND f.x_token_class = 'cache_read' THEN f.{cost} ELSE 0 END), 0)
    AS m_cache_read_cost,
  COALESCE(SUM(CASE WHEN f.x_token_class = 'input' THEN f.x_tokens ELSE 0 END), 0) AS m_input_tokens,
  COALESCE(SUM(CASE WHEN f.x_has_tokens = TRUE AND f.x_token_class = 'input' THEN f.{cost} ELSE 0 END), 0)
    AS m_input_cost
FROM {facts}
WHERE {where}
{group}
{order}
