//! Athena's functions for DuckDB, as macros, and the questions that prove them in the version at hand.
//! Promises the answers of Athena for what the lint lets pass; where DuckDB has a function of the same name with other
//! answers, the macro takes its place.
//! Leaves what no macro can do to the lint.

/// Statements that stand before every query. Division is a setting that the parser asks for, so it comes first.
pub const SETTINGS: &str = "SET integer_division=true;\nSET TimeZone='UTC';\n";

/// The macros.
pub const MACROS: &str = r"
CREATE MACRO date_diff(unit, a, b) AS date_sub(unit, a, b);
CREATE MACRO date_add(unit, n, t) AS t + n * CAST('1 ' || unit AS INTERVAL);
CREATE MACRO element_at(c, k) AS c[k];
CREATE MACRO concat(a, b) AS a || b, (a, b, c) AS a || b || c, (a, b, c, d) AS a || b || c || d, (a, b, c, d, e) AS a || b || c || d || e, (a, b, c, d, e, f) AS a || b || c || d || e || f, (a, b, c, d, e, f, g) AS a || b || c || d || e || f || g, (a, b, c, d, e, f, g, h) AS a || b || c || d || e || f || g || h;
CREATE MACRO greatest(a, b) AS CASE WHEN a >= b THEN a WHEN b > a THEN b END, (a, b, c) AS CASE WHEN a >= b AND a >= c THEN a WHEN b >= a AND b >= c THEN b WHEN c >= a AND c >= b THEN c END;
CREATE MACRO least(a, b) AS CASE WHEN a <= b THEN a WHEN b < a THEN b END, (a, b, c) AS CASE WHEN a <= b AND a <= c THEN a WHEN b <= a AND b <= c THEN b WHEN c <= a AND c <= b THEN c END;
CREATE MACRO split(s, d) AS string_split(s, d);
CREATE MACRO split_part(s, d, i) AS string_split(s, d)[i];
CREATE MACRO regexp_like(s, p) AS regexp_matches(s, p);
CREATE MACRO regexp_extract(s, p) AS regexp_extract_all(s, p)[1], (s, p, g) AS regexp_extract_all(s, p, g)[1];
CREATE MACRO regexp_replace(s, p) AS system.main.regexp_replace(s, p, '', 'g'), (s, p, r) AS system.main.regexp_replace(s, p, replace(r, '$', '\'), 'g');
CREATE MACRO substr(s, i) AS CASE WHEN i = 0 OR abs(i) > length(s) THEN '' ELSE system.main.substr(s, i) END, (s, i, n) AS CASE WHEN i = 0 OR abs(i) > length(s) OR n <= 0 THEN '' ELSE system.main.substr(s, i, n) END;
CREATE MACRO substring(s, i) AS substr(s, i), (s, i, n) AS substr(s, i, n);
CREATE MACRO from_iso8601_timestamp(t) AS CAST(t AS TIMESTAMPTZ);
CREATE MACRO from_iso8601_date(t) AS CAST(t AS DATE);
CREATE MACRO from_unixtime(s) AS to_timestamp(s);
CREATE MACRO to_unixtime(t) AS epoch(t);
CREATE MACRO at_timezone(t, z) AS timezone(z, t);
CREATE MACRO date_format(t, f) AS strftime(t, replace(replace(replace(replace(replace(f, '%M', '%B'), '%i', '%M'), '%s', '%S'), '%T', '%H:%M:%S'), '%h', '%I'));
CREATE MACRO day_of_week(t) AS isodow(t);
CREATE MACRO dow(t) AS isodow(t);
CREATE MACRO day_of_month(t) AS day(t);
CREATE MACRO day_of_year(t) AS dayofyear(t);
CREATE MACRO week_of_year(t) AS weekofyear(t);
CREATE MACRO json_parse(t) AS CAST(t AS JSON);
CREATE MACRO json_format(j) AS CAST(j AS VARCHAR);
CREATE MACRO json_extract_scalar(j, p) AS CASE WHEN json_type(j, p) IN ('OBJECT', 'ARRAY', 'NULL') THEN NULL ELSE json_extract_string(j, p) END;
CREATE MACRO json_array_length(j) AS CAST(CASE WHEN json_type(j) = 'ARRAY' THEN system.main.json_array_length(j) END AS BIGINT);
CREATE MACRO approx_distinct(x) AS count(DISTINCT x), (x, e) AS count(DISTINCT x);
CREATE MACRO approx_percentile(x, p) AS quantile_disc(x, p);
CREATE MACRO array_join(a, d) AS array_to_string(a, d), (a, d, n) AS array_to_string(list_transform(a, lambda x: coalesce(CAST(x AS VARCHAR), n)), d);
CREATE MACRO arrays_overlap(a, b) AS list_has_any(a, b);
CREATE MACRO array_max(a) AS CASE WHEN len(a) = list_count(a) THEN list_max(a) END;
CREATE MACRO array_min(a) AS CASE WHEN len(a) = list_count(a) THEN list_min(a) END;
CREATE MACRO array_position(a, x) AS CASE WHEN a IS NOT NULL AND x IS NOT NULL THEN CAST(coalesce(list_position(a, x), 0) AS BIGINT) END;
CREATE MACRO cardinality(c) AS CASE WHEN c IS NULL THEN NULL WHEN typeof(c) LIKE 'MAP(%' THEN CAST(len(json_keys(to_json(c))) AS BIGINT) ELSE CAST(system.main.json_array_length(to_json(c)) AS BIGINT) END;
CREATE MACRO sequence(a, b) AS generate_series(a, b), (a, b, s) AS generate_series(a, b, s);
CREATE MACRO to_utf8(t) AS encode(t);
CREATE MACRO from_utf8(t) AS decode(t);
CREATE MACRO is_nan(x) AS isnan(x);
CREATE MACRO infinity() AS CAST('Infinity' AS DOUBLE);
CREATE MACRO nan() AS CAST('NaN' AS DOUBLE);
CREATE MACRO rand() AS random();
CREATE MACRO truncate(x) AS trunc(x);
";

/// Questions with the answers of Athena, by the rules of Trino. All hold, or the version of DuckDB is not taken.
pub const PROOFS: &[&str] = &[
    "7/2 = 3",
    "-7/2 = -3",
    "-7 % 3 = -1",
    "7/2e0 = 3.5e0",
    "date_diff('hour', timestamp '2026-01-01 01:59:00', timestamp '2026-01-01 02:01:00') = 0",
    "date_diff('day', date '2026-01-01', date '2026-03-01') = 59",
    "date_add('hour', -2, timestamp '2026-01-01 01:00:00') = timestamp '2025-12-31 23:00:00'",
    "date_add('month', 1, timestamp '2026-01-31 00:00:00') = timestamp '2026-02-28 00:00:00'",
    "element_at(map(array['a'], array[1]), 'a') = 1",
    "element_at(map(array['a'], array[1]), 'b') IS NULL",
    "element_at(array[5, 6], 2) = 6",
    "concat('a', NULL) IS NULL",
    "concat('a', 'b', 'c') = 'abc'",
    "greatest(1, NULL) IS NULL",
    "greatest(1, 3, 2) = 3",
    "least(2, 1) = 1",
    "split_part('a,b', ',', 2) = 'b'",
    "split_part('a,b', ',', 3) IS NULL",
    "regexp_like('abc', 'b')",
    "regexp_extract('ab12', '[0-9]+') = '12'",
    "regexp_extract('ab', '[0-9]+') IS NULL",
    "regexp_extract('ab12', '([a-z]+)([0-9]+)', 2) = '12'",
    "regexp_replace('aXbX', 'X', '-') = 'a-b-'",
    "regexp_replace('ab', '(a)(b)', '$2$1') = 'ba'",
    "regexp_replace('aXb', 'X') = 'ab'",
    "substr('abc', 0) = ''",
    "substr('abc', -2) = 'bc'",
    "substr('abc', 2, 1) = 'b'",
    "substr('abc', 5) = ''",
    "from_iso8601_timestamp('2026-03-09T07:05:04.123Z') = timestamp '2026-03-09 07:05:04.123 UTC'",
    "to_unixtime(from_iso8601_timestamp('1970-01-02T00:00:00Z')) = 86400",
    "date_format(timestamp '2026-03-09 07:05:04', '%Y-%m-%d %H:%i:%s') = '2026-03-09 07:05:04'",
    "day_of_week(date '2026-03-09') = 1",
    "date_trunc('week', date '2026-03-11') = date '2026-03-09'",
    "json_extract_scalar('{\"a\":{\"b\":5}}', '$.a.b') = '5'",
    "json_extract_scalar('{\"a\":{\"b\":5}}', '$.a') IS NULL",
    "json_extract_scalar('{\"a\":null}', '$.a') IS NULL",
    "cardinality(array[1, 2]) = 2",
    "cardinality(map(array['a'], array[1])) = 1",
    "array_join(array['a', NULL, 'b'], '-') = 'a-b'",
    "array_join(array['a', NULL, 'b'], '-', 'x') = 'a-x-b'",
    "array_max(array[1, NULL]) IS NULL",
    "array_min(array[2, 1]) = 1",
    "array_position(array[1, 2], 2) = 2",
    "array_position(array[1, 2], 3) = 0",
    "contains(array[1, 2], 2)",
    "contains(sequence(1, 3), 3)",
    "coalesce(nullif('a', 'a'), 'b') = 'b'",
    "try_cast('x' AS integer) IS NULL",
    "strpos('abc', 'z') = 0",
    "length('é') = 1",
    "round(2.5e0) = 3",
    "('a' || NULL) IS NULL",
    "from_utf8(from_base64('QUJD')) = 'ABC'",
];

/// One query whose rows are the questions that do not hold.
#[must_use]
pub fn self_test() -> String {
    let ask = |(index, proof): (usize, &&str)| format!("SELECT {index} AS n WHERE ({proof}) IS NOT TRUE");
    PROOFS.iter().enumerate().map(ask).collect::<Vec<_>>().join("\nUNION ALL ")
}
