-- What calls cost by provider and day in the last 30 days, from the log. `unpriced` calls have no price yet.
SELECT
  DATE(timestamp) AS day,
  jsonPayload.provider AS provider,
  SUM(CAST(jsonPayload.cost_usd AS BIGNUMERIC)) AS cost_usd,
  SUM(CAST(jsonPayload.tokens_used AS INT64)) AS tokens,
  COUNT(*) AS calls,
  COUNTIF(jsonPayload.cost_usd IS NULL) AS unpriced
FROM `PROJECT.costweir_logs.run_googleapis_com_stdout`
WHERE timestamp >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 30 DAY)
  AND jsonPayload.service = 'costweir'
  AND jsonPayload.event_type = 'call'
GROUP BY day, provider
ORDER BY day DESC, cost_usd DESC
