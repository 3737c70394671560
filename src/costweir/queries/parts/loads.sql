-- What is stored, slot by slot.
SELECT
  l.x_provider AS l_provider,
  l.x_account AS l_account,
  l.x_period AS l_period,
  l.x_source AS l_source,
  l.loaded_at AS l_at,
  l.rows_in AS l_in,
  l.rows_stored AS l_stored,
  l.rows_skipped AS l_skipped,
  l.rows_quarantined AS l_quarantined,
  l.last_day AS l_last,
  l.is_sample AS l_sample
FROM loads AS l
ORDER BY l_provider, l_account, l_period
