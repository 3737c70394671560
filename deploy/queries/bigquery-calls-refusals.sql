-- Who was refused in the last seven days, why, and by which budget.
SELECT
  jsonPayload.code AS code,
  jsonPayload.customer_id AS customer_id,
  jsonPayload.budget_id AS budget_id,
  COUNT(*) AS refusals,
  MAX(timestamp) AS latest
FROM `PROJECT.costweir_logs.run_googleapis_com_stdout`
WHERE timestamp >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 7 DAY)
  AND jsonPayload.service = 'costweir'
  AND jsonPayload.event_type = 'refusal'
GROUP BY code, customer_id, budget_id
ORDER BY refusals DESC
LIMIT 100
