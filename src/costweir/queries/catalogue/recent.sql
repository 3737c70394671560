-- ---
-- id: recent
-- title: What calls cost in the last minutes, hours and days
-- basis: [metered]
-- by: [model]
-- dimensions: metered
-- needs: calls
-- measures: {cost_5m: money, cost_30m: money, cost_1h: money, cost_6h: money, cost_1d: money, cost_3d: money,
--   calls_5m: int, calls_1h: int, calls_1d: int, calls: int}
-- ratios:
--   cost_per_call: {of: cost, per: calls}
--   share: {of: cost, per: total}
-- answers: [ALR-01, ALR-10, ALR-16]
-- notes: The minutes, hours and days end now, or with the day before until; a call counts when it ended. The cost is over
--   all days asked for.
-- ---
SELECT
  {dims}
  COALESCE(SUM(f.{cost}), 0) AS m_cost,
  COALESCE(SUM(CASE WHEN COALESCE(f.ended_at, f.started_at) >= $at_5m THEN f.{cost} ELSE 0 END), 0) AS m_cost_5m,
  COALESCE(SUM(CASE WHEN COALESCE(f.ended_at, f.started_at) >= $at_30m THEN f.{cost} ELSE 0 END), 0) AS m_cost_30m,
  COALESCE(SUM(CASE WHEN COALESCE(f.ended_at, f.started_at) >= $at_1h THEN f.{cost} ELSE 0 END), 0) AS m_cost_1h,
  COALESCE(SUM(CASE WHEN COALESCE(f.ended_at, f.started_at) >= $at_6h THEN f.{cost} ELSE 0 END), 0) AS m_cost_6h,
  COALESCE(SUM(CASE WHEN COALESCE(f.ended_at, f.started_at) >= $at_1d THEN f.{cost} ELSE 0 END), 0) AS m_cost_1d,
  COALESCE(SUM(CASE WHEN COALESCE(f.ended_at, f.started_at) >= $at_3d THEN f.{cost} ELSE 0 END), 0) AS m_cost_3d,
  COALESCE(SUM(CASE WHEN COALESCE(f.ended_at, f.started_at) >= $at_5m THEN f.line_count ELSE 0 END), 0) AS m_calls_5m,
  COALESCE(SUM(CASE WHEN COALESCE(f.ended_at, f.started_at) >= $at_1h THEN f.line_count ELSE 0 END), 0) AS m_calls_1h,
  COALESCE(SUM(CASE WHEN COALESCE(f.ended_at, f.started_at) >= $at_1d THEN f.line_count ELSE 0 END), 0) AS m_calls_1d,
  COALESCE(SUM(f.line_count), 0) AS m_calls
FROM {facts}
WHERE {where}
{group}
{order}
