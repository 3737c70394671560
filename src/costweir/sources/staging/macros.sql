-- What the column expressions of the formats may call. Each gives NULL for what cannot be read, never an error.

-- No IN list: DuckDB makes a join of one, and a file has some 40 columns of text.
CREATE MACRO txt(x) AS
    CASE WHEN length(trim(x::VARCHAR)) > 4 THEN trim(x::VARCHAR)
         WHEN trim(x::VARCHAR) = '' OR lower(trim(x::VARCHAR)) = 'null' OR upper(trim(x::VARCHAR)) = '\N' THEN NULL
         ELSE trim(x::VARCHAR) END;

-- A binary float goes through its shortest text, so that 123.456 stays 123.456 and gets no binary tail. Trimming takes
-- as long as reading the number, so that only what cannot be read without is trimmed.
CREATE MACRO amount(x) AS
    CASE WHEN typeof(x) LIKE 'DECIMAL%' THEN try_cast(x AS DECIMAL(38, 18))
         ELSE coalesce(try_cast(x::VARCHAR AS DECIMAL(38, 18)), try_cast(trim(x::VARCHAR) AS DECIMAL(38, 18))) END;

CREATE MACRO qty(x) AS
    CASE WHEN typeof(x) LIKE 'DECIMAL%' THEN try_cast(x AS DECIMAL(38, 12))
         ELSE coalesce(try_cast(x::VARCHAR AS DECIMAL(38, 12)), try_cast(trim(x::VARCHAR) AS DECIMAL(38, 12))) END;

CREATE MACRO slash_month_first(s) AS
    try_strptime(s, ['%m/%d/%y', '%m/%d/%Y', '%m/%d/%Y %H:%M', '%m/%d/%Y %H:%M:%S', '%m/%d/%Y %I:%M:%S %p',
        '%m/%d/%y %H:%M', '%m/%d/%y %H:%M:%S']);

CREATE MACRO slash_day_first(s) AS
    try_strptime(s, ['%d/%m/%y', '%d/%m/%Y', '%d/%m/%Y %H:%M', '%d/%m/%Y %H:%M:%S', '%d/%m/%y %H:%M',
        '%d/%m/%y %H:%M:%S']);

-- ISO forms with or without T and zone (no zone means UTC), 8 digits, and month/day/year. The way over microseconds
-- spares the calendar, which a cast would ask for every row.
CREATE MACRO instant_text(s) AS
    CASE WHEN s[5] = '-' THEN make_timestamp(epoch_us(try_cast(s AS TIMESTAMPTZ)))
         WHEN s[3] = '/' OR s[2] = '/' THEN slash_month_first(s)
         WHEN length(s) = 8 THEN try_strptime(s, '%Y%m%d') END;

-- What nearly every bill writes, with no room for a zone other than UTC, goes the short way.
CREATE MACRO instant(x) AS
    CASE WHEN typeof(x) LIKE 'TIMESTAMP%' OR typeof(x) = 'DATE' THEN try_cast(x AS TIMESTAMP)
         WHEN x::VARCHAR LIKE '____-__-_____:__:__' OR x::VARCHAR LIKE '____-__-_____:__:__Z'
         THEN try_cast(x::VARCHAR AS TIMESTAMP)
         ELSE instant_text(trim(x::VARCHAR)) END;

-- The same for a file whose dates with slashes may have the day first.
CREATE MACRO instant_either(x, day_first) AS
    CASE WHEN day_first AND contains(x::VARCHAR, '/') THEN slash_day_first(trim(x::VARCHAR)) ELSE instant(x) END;

CREATE MACRO bill_day(x) AS instant(x)::DATE;

-- One key of a JSON object, given as text.
CREATE MACRO json_value_of(j, k) AS
    CASE WHEN json_valid(j) THEN json_extract_string(j, '$."' || replace(k, '"', '\"') || '"') END;

-- A JSON object of tags whose empty values are left out and whose keys get a prefix.
CREATE MACRO tag_pairs(pairs) AS
    nullif(to_json(map_from_entries(list_filter(pairs, lambda p: p.v IS NOT NULL)))::VARCHAR, '{}');

-- A MAP of tags from a list of entries. Values are trimmed and empty ones left out, so that a rule need not look.
CREATE MACRO tag_entries(entries) AS
    map_from_entries(list_filter(list_transform(entries, lambda e: {'key': e.key, 'value': trim(e.value)}),
        lambda e: e.value <> ''));

CREATE MACRO tag_map_of(j) AS
    CASE WHEN json_valid(j) AND json_type(j) = 'OBJECT' THEN try(from_json(j, '"MAP(VARCHAR, VARCHAR)"')) END;

-- A tag key without prefix, letter case, blanks and signs.
CREATE MACRO plain_tag(k) AS
    regexp_replace(regexp_replace(lower(k), '^(resourcetags/user:|iamprincipal/|user:|user_)', ''), '[^a-z0-9]+', '', 'g');

-- The value of the tag whose plain key comes first in `wanted`; of several spellings the first by name.
CREATE MACRO tag_like(m, wanted) AS
    list_sort(list_transform(
        list_filter(map_entries(m), lambda e: list_contains(wanted, plain_tag(e.key))),
        lambda e: {'rank': list_position(wanted, plain_tag(e.key)), 'key': e.key, 'value': e.value}))[1].value;

-- A text, or NULL when it is empty. Says its argument once: what is said twice would be worked out for every row.
CREATE MACRO filled(x) AS list_filter([x], lambda v: v <> '')[1];
