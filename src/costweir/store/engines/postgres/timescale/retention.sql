-- Whole chunks of one table that lie before a day. What is left of the chunk of that day is deleted afterwards.
SELECT drop_chunks(CAST($facts AS REGCLASS), older_than => CAST($before AS DATE));
