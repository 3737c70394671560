-- Which slots mean something else than when they were loaded.
SELECT l.x_provider AS l_provider, l.x_account AS l_account, l.x_period AS l_period, l.x_remap_run_id AS l_remap
FROM loads AS l
WHERE l.x_remap_run_id IS NOT NULL
ORDER BY l_provider, l_account, l_period
