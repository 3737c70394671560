-- What the column expressions of the formats may call. Each gives NULL for what cannot be read, never an error.

CREATE MACRO txt(x) AS
    CASE WHEN trim(x::VARCHAR) IN ('', 'NULL', 'null', 'Null', '\N') THEN NULL ELSE trim(x::VARCHAR) END;

-- A binary float goes through its shortest text, so that 123.456 stays 123.456 and gets no binary tail.
CREATE MACRO amount(x) AS
    CASE WHEN typeof(x) LIKE 'DECIMAL%' THEN try_cast(x AS DECIMAL(38, 18))
         ELSE try_cast(trim(x::VARCHAR) AS DECIMAL(38, 18)) END;

CREATE MACRO qty(x) AS
    CASE WHEN typeof(x) LIKE 'DECIMAL%' THEN try_cast(x AS DECIMAL(38, 12))
         ELSE try_cast(trim(x::VARCHAR) AS DECIMAL(38, 12)) END;

-- ISO forms with or without T and zone (no zone means UTC), 8 digits, and month/day/year with a four-digit year.
CREATE MACRO instant_text(s) AS
    CASE WHEN s[5] = '-' THEN try_cast(s AS TIMESTAMPTZ)::TIMESTAMP
         WHEN s[3] = '/' OR s[2] = '/' THEN
             try_strptime(s, ['%m/%d/%Y', '%m/%d/%Y %H:%M', '%m/%d/%Y %H:%M:%S', '%m/%d/%Y %I:%M:%S %p'])
         WHEN length(s) = 8 THEN try_strptime(s, '%Y%m%d') END;

CREATE MACRO instant(x) AS
    CASE WHEN typeof(x) LIKE 'TIMESTAMP%' OR typeof(x) = 'DATE' THEN try_cast(x AS TIMESTAMP)
         ELSE instant_text(trim(x::VARCHAR)) END;

CREATE MACRO bill_day(x) AS instant(x)::DATE;

-- One key of a JSON object, given as text.
CREATE MACRO json_value_of(j, k) AS
    CASE WHEN json_valid(j) THEN json_extract_string(j, '$."' || replace(k, '"', '\"') || '"') END;

-- A JSON object of tags whose empty values are left out and whose keys get a prefix.
CREATE MACRO tag_pairs(pairs) AS
    nullif(to_json(map_from_entries(list_filter(pairs, lambda p: p.v IS NOT NULL)))::VARCHAR, '{}');

CREATE MACRO tag_object(j, prefix) AS
    CASE WHEN json_valid(j) AND json_type(j) = 'OBJECT' THEN
        tag_pairs(list_transform(json_keys(j), lambda k: {'k': prefix || k, 'v': txt(json_value_of(j, k))})) END;

CREATE MACRO tag_union(objects) AS
    list_reduce(list_filter(objects, lambda o: o IS NOT NULL), lambda a, b: json_merge_patch(a, b)::VARCHAR);

-- The value of the first tag, by name, whose key agrees without prefix, letter case, blanks and signs.
CREATE MACRO plain_tag(k) AS
    regexp_replace(regexp_replace(lower(k), '^(resourcetags/user:|iamprincipal/|user:|user_)', ''), '[^a-z0-9]+', '', 'g');

CREATE MACRO tag_like(m, wanted) AS
    trim(list_sort(list_filter(map_entries(m),
        lambda e: plain_tag(e.key) = wanted AND trim(e.value) <> ''))[1].value);

CREATE MACRO tag_map_of(j) AS
    CASE WHEN json_valid(j) AND json_type(j) = 'OBJECT' THEN from_json(j, '"MAP(VARCHAR, VARCHAR)"') END;
