-- The calls of one day, provider and model that a provider bills, as they are priced now, after a place in the order.
SELECT
  f.call_id AS c_call,
  f.x_price_version AS c_version,
  f.metered_cost AS c_cost,
  f.x_adjustments AS c_step,
  k.usage_certainty AS c_certainty,
  f.x_input_tokens AS c_inclusive,
  COALESCE(k.uncached_input_tokens, 0) AS c_input,
  COALESCE(k.cache_read_tokens, 0) AS c_read,
  COALESCE(k.cache_write_5m_tokens, 0) AS c_write,
  COALESCE(k.cache_write_1h_tokens, 0) AS c_write_1h,
  COALESCE(k.audio_input_tokens, 0) AS c_audio_in,
  COALESCE(k.image_input_tokens, 0) AS c_image_in,
  COALESCE(k.text_output_tokens, 0) AS c_output,
  COALESCE(k.reasoning_tokens, 0) AS c_reasoning,
  COALESCE(k.audio_output_tokens, 0) AS c_audio_out,
  COALESCE(k.image_output_tokens, 0) AS c_image_out
FROM calls_facts AS f
JOIN calls AS k ON k.call_id = f.call_id
WHERE f.usage_date = $day AND f.x_provider = $provider AND f.x_model = $model
  AND f.x_outcome IN ('ok', 'error', 'aborted') AND f.call_id > $after
ORDER BY c_call
LIMIT $most
