-- ---
-- id: call_prices
-- title: Which calls were priced by which rows of the price book, and which have no price
-- basis: [metered]
-- by: [day, provider, model]
-- dimensions: [day, month, provider, model, customer, project, feature, plan, session, key, environment, outcome]
-- needs: calls
-- measures: {price_version: text, usage_certainty: text, context_class: int, calls: int, unpriced_calls: int,
--   input_tokens: quantity, cache_read_tokens: quantity, cache_write_tokens: quantity, cache_write_1h_tokens: quantity,
--   input_audio_tokens: quantity, input_image_tokens: quantity, output_tokens: quantity, reasoning_tokens: quantity,
--   output_audio_tokens: quantity, output_image_tokens: quantity}
-- answers: [GAP-05]
-- notes: Later prices count. Unpriced calls are in the rows with no cost; context_class is the threshold of input tokens that each call of
--   the row is above.
-- ---
SELECT
  {dims}
  v.v_version AS m_price_version,
  v.v_certainty AS m_usage_certainty,
  v.v_class AS m_context_class,
  COALESCE(SUM(f.metered_cost), 0) AS m_cost,
  COUNT(*) AS m_calls,
  COALESCE(SUM(CASE WHEN f.metered_cost IS NULL THEN 1 ELSE 0 END), 0) AS m_unpriced_calls,
  COALESCE(SUM(v.v_input), 0) AS m_input_tokens,
  COALESCE(SUM(v.v_read), 0) AS m_cache_read_tokens,
  COALESCE(SUM(v.v_write), 0) AS m_cache_write_tokens,
  COALESCE(SUM(v.v_write_1h), 0) AS m_cache_write_1h_tokens,
  COALESCE(SUM(v.v_audio_in), 0) AS m_input_audio_tokens,
  COALESCE(SUM(v.v_image_in), 0) AS m_input_image_tokens,
  COALESCE(SUM(v.v_output), 0) AS m_output_tokens,
  COALESCE(SUM(v.v_reasoning), 0) AS m_reasoning_tokens,
  COALESCE(SUM(v.v_audio_out), 0) AS m_output_audio_tokens,
  COALESCE(SUM(v.v_image_out), 0) AS m_output_image_tokens
FROM {facts}
JOIN (
  SELECT
    k.call_id AS v_call,
    c.x_price_version AS v_version,
    k.usage_certainty AS v_certainty,
    k.uncached_input_tokens AS v_input,
    k.cache_read_tokens AS v_read,
    k.cache_write_5m_tokens AS v_write,
    k.cache_write_1h_tokens AS v_write_1h,
    k.audio_input_tokens AS v_audio_in,
    k.image_input_tokens AS v_image_in,
    k.text_output_tokens AS v_output,
    k.reasoning_tokens AS v_reasoning,
    k.audio_output_tokens AS v_audio_out,
    k.image_output_tokens AS v_image_out,
    CASE
      WHEN c.x_input_tokens > 524288 THEN 524288
      WHEN c.x_input_tokens > 512000 THEN 512000
      WHEN c.x_input_tokens > 272000 THEN 272000
      WHEN c.x_input_tokens > 256000 THEN 256000
      WHEN c.x_input_tokens > 200000 THEN 200000
      WHEN c.x_input_tokens > 199999 THEN 199999
      WHEN c.x_input_tokens > 128000 THEN 128000
      WHEN c.x_input_tokens > 100000 THEN 100000
      WHEN c.x_input_tokens > 32000 THEN 32000
      ELSE 0
    END AS v_class
  FROM calls AS k
  JOIN calls_facts AS c ON c.call_id = k.call_id
) AS v ON v.v_call = f.call_id
WHERE {where}
GROUP BY {keys} v.v_version, v.v_certainty, v.v_class
ORDER BY m_cost DESC
