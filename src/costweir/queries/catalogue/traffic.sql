-- ---
-- id: traffic
-- title: How calls went in the last minutes
-- basis: [metered]
-- by: [provider]
-- dimensions: metered
-- needs: calls
-- measures: {calls_5m: int, failed_5m: int, provider_failed_5m: int, slower_than_2s_5m: int, slower_than_5s_5m: int,
--   slower_than_10s_5m: int, slower_than_30s_5m: int, tokens_5m: quantity, tokens_15m: quantity, calls: int}
-- ratios:
--   failed_share: {of: failed_5m, per: calls_5m}
--   provider_failed_share: {of: provider_failed_5m, per: calls_5m}
--   slower_than_2s_share: {of: slower_than_2s_5m, per: calls_5m}
--   slower_than_5s_share: {of: slower_than_5s_5m, per: calls_5m}
--   slower_than_10s_share: {of: slower_than_10s_5m, per: calls_5m}
--   slower_than_30s_share: {of: slower_than_30s_5m, per: calls_5m}
-- answers: [ALR-05, ALR-13, ALR-14, ALR-15]
-- notes: The minutes end now, or with the day before until; a call counts when it ended. A 95th percentile is above ten seconds
--   when the share of calls slower than that is above 0.05. Failed leaves out what the provider refused because the
--   request was wrong; provider_failed is a provider that answered 5xx or not at all. The cost is over all days asked
--   for.
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost,
  COALESCE(SUM(v.v_5m), 0) AS m_calls_5m,
  COALESCE(SUM(CASE WHEN v.v_5m = 1 AND f.x_outcome = 'error' AND v.v_theirs = 0 THEN 1 ELSE 0 END), 0) AS m_failed_5m,
  COALESCE(SUM(CASE WHEN v.v_5m = 1 AND f.x_outcome = 'error' AND v.v_down = 1 THEN 1 ELSE 0 END), 0) AS m_provider_failed_5m,
  COALESCE(SUM(CASE WHEN v.v_5m = 1 AND f.x_duration_ms > 2000 THEN 1 ELSE 0 END), 0) AS m_slower_than_2s_5m,
  COALESCE(SUM(CASE WHEN v.v_5m = 1 AND f.x_duration_ms > 5000 THEN 1 ELSE 0 END), 0) AS m_slower_than_5s_5m,
  COALESCE(SUM(CASE WHEN v.v_5m = 1 AND f.x_duration_ms > 10000 THEN 1 ELSE 0 END), 0) AS m_slower_than_10s_5m,
  COALESCE(SUM(CASE WHEN v.v_5m = 1 AND f.x_duration_ms > 30000 THEN 1 ELSE 0 END), 0) AS m_slower_than_30s_5m,
  COALESCE(SUM(CASE WHEN v.v_5m = 1 THEN f.x_tokens ELSE 0 END), 0) AS m_tokens_5m,
  COALESCE(SUM(CASE WHEN v.v_call IS NOT NULL THEN f.x_tokens ELSE 0 END), 0) AS m_tokens_15m,
  COALESCE(SUM(f.line_count), 0) AS m_calls
FROM {facts}
LEFT JOIN (
  SELECT
    k.call_id AS v_call,
    CASE WHEN COALESCE(k.ended_at, k.started_at) >= $at_5m THEN 1 ELSE 0 END AS v_5m,
    CASE
      WHEN k.error_type IN ('upstream_400', 'upstream_404', 'upstream_413', 'upstream_422') THEN 1 ELSE 0
    END AS v_theirs,
    CASE
      WHEN k.error_type IN (
        'upstream_500', 'upstream_502', 'upstream_503', 'upstream_504', 'upstream_520', 'upstream_529', 'resolve',
        'connect', 'closed', 'first_byte_timeout', 'idle_timeout', 'total_timeout', 'malformed'
      ) THEN 1 ELSE 0
    END AS v_down
  FROM calls AS k
  WHERE COALESCE(k.ended_at, k.started_at) >= $at_15m AND k.started_at >= $at_1d
) AS v ON v.v_call = f.call_id
WHERE {where}
{group}
{order}
