-- From which day on lines and calls are kept, where older ones were let go.
SELECT k.table_name AS r_table, k.kept_from AS r_from FROM kept AS k ORDER BY r_table
