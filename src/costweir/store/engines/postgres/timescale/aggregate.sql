-- Calls by day, kept up to date by TimescaleDB itself. It stays when the calls of a month are let go, because only the
-- last month is ever computed again.
CREATE MATERIALIZED VIEW calls_by_day WITH (timescaledb.continuous, timescaledb.materialized_only = FALSE) AS
SELECT
  time_bucket(INTERVAL '1 day', k.usage_date) AS day,
  k.provider,
  k.model,
  k.customer,
  k.project,
  k.feature,
  k.outcome,
  COUNT(*) AS calls,
  SUM(CASE WHEN k.settled_usd IS NULL THEN 1 ELSE 0 END) AS unpriced_calls,
  SUM(k.settled_usd) AS settled_usd
FROM calls AS k
GROUP BY 1, 2, 3, 4, 5, 6, 7
WITH NO DATA;
SELECT add_continuous_aggregate_policy('calls_by_day', start_offset => INTERVAL '1 month', end_offset => INTERVAL '1 day', schedule_interval => INTERVAL '1 hour');
