-- Every model that a bill or a call names.
SELECT s.s_model AS s_model
FROM (
  SELECT f.x_model AS s_model FROM charges_daily AS f GROUP BY f.x_model
  UNION
  SELECT k.model AS s_model FROM calls AS k GROUP BY k.model
) AS s
ORDER BY s_model
