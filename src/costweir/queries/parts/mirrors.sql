-- When the reference tables were last mirrored.
SELECT m.table_name AS r_table, m.mirrored_at AS r_at FROM mirrors AS m ORDER BY r_table
