-- The calendar months in which calls were metered.
SELECT k.usage_month AS k_month FROM calls AS k GROUP BY k.usage_month ORDER BY k_month
