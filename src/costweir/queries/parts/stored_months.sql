-- The invoice months that are stored, and how many of their loads are of the sample world.
SELECT
  l.x_period AS l_period,
  COUNT(*) AS l_loads,
  SUM(CASE WHEN l.is_sample = TRUE THEN 1 ELSE 0 END) AS l_samples
FROM loads AS l
GROUP BY l.x_period
ORDER BY l_period
