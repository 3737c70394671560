-- What lies in scope, per currency and with or without a US-dollar rate: decides the currency and gives the total.
SELECT
  f.billing_currency AS s_currency,
  f.x_has_usd AS s_rated,
  COALESCE(SUM(f.{native}), 0) AS s_native,
  COALESCE(SUM(f.{usd}), 0) AS s_usd,
  COALESCE(SUM(f.line_count), 0) AS s_lines,
  COALESCE(SUM({missing}), 0) AS s_missing
FROM {facts}
WHERE {where}
GROUP BY f.billing_currency, f.x_has_usd
ORDER BY s_currency, s_rated
