-- The two long tables as hypertables with a chunk a month. Run once, right after the tables were made.
SELECT create_hypertable('charges', by_range('usage_date', INTERVAL '1 month'), create_default_indexes => FALSE);
SELECT create_hypertable('calls', by_range('usage_date', INTERVAL '1 month'), create_default_indexes => FALSE);
