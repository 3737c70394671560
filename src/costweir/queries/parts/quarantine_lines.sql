-- Lines that could not be read, those of the newest run first; $run empty means every run.
SELECT
  q.x_run_id AS q_run,
  q.x_source AS q_source,
  q.x_account AS q_account,
  q.x_period AS q_period,
  q.x_file AS q_file,
  q.row_number AS q_row,
  q.reason AS q_reason,
  q.raw_text AS q_raw
FROM quarantine AS q
WHERE ($run = '' OR q.x_run_id = $run)
ORDER BY q_run DESC, q_file, q_row, q_reason, q_raw
LIMIT $most
