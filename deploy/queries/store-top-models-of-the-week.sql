-- The models that cost most in the last seven whole days (UTC), from Costweir's own store. It runs on PostgreSQL and on DuckDB.
SELECT
  model,
  cloud_provider,
  SUM(cost_usd) AS cost_usd,
  COUNT(*) AS lines
FROM unified_costs
WHERE date >= CURRENT_DATE - INTERVAL '7' DAY
  AND date < CURRENT_DATE
GROUP BY model, cloud_provider
ORDER BY cost_usd DESC
LIMIT 10
