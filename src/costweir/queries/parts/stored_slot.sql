-- What is stored for one account and invoice month.
SELECT
  l.content_hash AS l_content,
  l.rules_hash AS l_rules,
  l.first_day AS l_first,
  l.last_day AS l_last,
  l.x_source AS l_source,
  l.rows_stored AS l_stored,
  l.billed_total AS l_billed,
  l.total_currency AS l_currency
FROM loads AS l
WHERE l.x_provider = $provider AND l.x_account = $account AND l.x_period = $period
