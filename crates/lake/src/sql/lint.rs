//! A query looked through before it runs: one statement, in what both engines share.
//! Promises to see through quotes and comments, to end on any text, and to refuse each thing with what to write instead.
//! Leaves types and names to the engine.

use datalake_report::report::{At, Kind, Place, Report};
use std::sync::Arc;

/// Athena takes no longer text.
const LONGEST: usize = 262_144;

/// One word or sign of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Word,
    /// In double quotes.
    Name,
    Text,
    Number,
    Sign,
}

#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    what: What,
    text: &'a str,
    start: usize,
}

impl Token<'_> {
    fn is(&self, word: &str) -> bool {
        self.what == What::Word && self.text.eq_ignore_ascii_case(word)
    }

    fn is_sign(&self, sign: &str) -> bool {
        self.what == What::Sign && self.text == sign
    }
}

/// The query without a closing semicolon, or a report of what is wrong with it.
///
/// # Errors
/// What is refused, each with its place in the text, which is called `name`.
pub fn check<'a>(name: &str, query: &'a str) -> Result<&'a str, Report> {
    let mut report = Report::about("the query");
    let shared: Arc<str> = query.into();
    let file = report.add_source(name, shared);
    let mut faults = Vec::new();
    if query.len() > LONGEST {
        faults.push((
            0,
            1,
            "the query is longer than 262,144 bytes".to_owned(),
            "Athena takes no longer one".to_owned(),
        ));
    }
    let mut end = query.len();
    match tokens(query) {
        Err((at, message, help)) => faults.push((at, at + 1, message.to_owned(), help.to_owned())),
        Ok(tokens) => {
            end = one_statement(query, &tokens, &mut faults);
            let inner: Vec<Token<'_>> = tokens.into_iter().take_while(|token| token.start < end).collect();
            differences(&inner, &mut faults);
        }
    }
    for (start, stop, message, help) in faults {
        let at = At { place: Place { file, start, end: stop.min(query.len()) }, path: String::new() };
        report.add(Kind::BadOption, &at, message, help);
    }
    report.sort();
    if report.errors() > 0 { Err(report) } else { Ok(query[..end].trim_end()) }
}

type FaultAt = (usize, usize, String, String);

fn tokens(text: &str) -> Result<Vec<Token<'_>>, (usize, &'static str, &'static str)> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        let start = at;
        let what = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                at += memchr(bytes, at, b'\n');
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                let Some(length) = text[at + 2..].find("*/") else {
                    return Err((at, "this comment is never closed", "close it with */"));
                };
                // DuckDB nests comments, Athena does not.
                if text[at + 2..at + 2 + length].contains("/*") {
                    return Err((at, "a comment inside a comment ends in another place in Athena", "take it apart"));
                }
                at += length + 4;
                continue;
            }
            b'\'' | b'"' => {
                // `E'…'`, `x'…'` and the like: letters that change what a quote means.
                if let Some(Token { what: What::Word, text, start: before }) = tokens.last().copied()
                    && before + text.len() == start
                {
                    let message = "a letter before a quote means something else in each engine";
                    return Err((before, message, "leave it out"));
                }
                let Some(end) = quoted(bytes, at, byte) else {
                    return Err((at, "this quote is never closed", "close it; a quote inside is written twice"));
                };
                at = end;
                if byte == b'\'' { What::Text } else { What::Name }
            }
            b'`' => return Err((at, "backticks quote nothing here", "write names in double quotes")),
            b'$' => {
                return Err((at, "`$` begins a quote or a parameter in DuckDB alone", "write a text in single quotes"));
            }
            b'.' | b'0'..=b'9' if byte != b'.' || bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => {
                at = number(bytes, at);
                What::Number
            }
            _ if byte.is_ascii_alphabetic() || byte == b'_' => {
                while bytes.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
                    at += 1;
                }
                What::Word
            }
            _ if !byte.is_ascii() => return Err((at, "only quoted names and texts hold such characters", "quote it")),
            _ if byte.is_ascii_control() => return Err((at, "a control character", "remove it")),
            _ => {
                const LONG: [&str; 15] =
                    ["->>", "!~~", "<=>", "->", "::", "||", "<=", ">=", "<>", "!=", "==", "//", "**", "~~", "!~"];
                let long = LONG.iter().find(|sign| text[at..].starts_with(**sign));
                at += long.map_or(1, |sign| sign.len());
                What::Sign
            }
        };
        tokens.push(Token { what, text: &text[start..at], start });
    }
    Ok(tokens)
}

fn memchr(bytes: &[u8], at: usize, byte: u8) -> usize {
    bytes[at..].iter().position(|found| *found == byte).unwrap_or(bytes.len() - at)
}

fn quoted(bytes: &[u8], start: usize, quote: u8) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match bytes.get(at)? {
            found if *found == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
            found if *found == quote => return Some(at + 1),
            0 => return None,
            _ => at += 1,
        }
    }
}

fn number(bytes: &[u8], mut at: usize) -> usize {
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(|byte| byte.is_ascii_digit() || *byte == b'_') {
            at += 1;
        }
        at
    };
    at = digits(at);
    if bytes.get(at) == Some(&b'.') {
        at = digits(at + 1);
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let end = digits(at + 1 + sign);
        if end > at + 1 + sign {
            at = end;
        }
    }
    at
}

/// Where the statement ends; more than one, or another kind, is a fault.
fn one_statement(query: &str, tokens: &[Token<'_>], faults: &mut Vec<FaultAt>) -> usize {
    let Some(first) = tokens.first() else {
        faults.push((0, 1, "the query is empty".into(), "write SELECT …".into()));
        return query.len();
    };
    if !(["select", "with", "values"].iter().any(|word| first.is(word)) || first.is_sign("(")) {
        let message = format!("`{}` begins no query", first.text);
        faults.push((
            first.start,
            first.start + first.text.len(),
            message,
            "only SELECT, WITH and VALUES run here".into(),
        ));
    }
    let mut depth = 0_usize;
    for token in tokens.iter().filter(|token| token.what == What::Sign) {
        match token.text {
            "(" => depth += 1,
            ")" if depth == 0 => {
                let help = "it would end what the query is put into";
                faults.push((token.start, token.start + 1, "this bracket was never opened".into(), help.into()));
                return query.len();
            }
            ")" => depth -= 1,
            _ => {}
        }
    }
    let Some(place) = tokens.iter().position(|token| token.is_sign(";")) else { return query.len() };
    if let Some(second) = tokens[place..].iter().find(|token| !token.is_sign(";")) {
        let end = second.start + second.text.len();
        faults.push((second.start, end, "a second statement".into(), "run one query at a time".into()));
    }
    tokens[place].start
}

/// Signs that Athena does not know, and what to write.
const SIGNS: [(&str, &str); 13] = [
    ("::", "write CAST(x AS type)"),
    ("->>", "write json_extract_scalar(x, '$.path')"),
    (
        "->",
        "functions in arrows run in Athena alone, arrows into JSON in DuckDB alone; write json_extract(x, '$.path')",
    ),
    ("==", "write ="),
    ("//", "write /, which divides whole numbers without remainder"),
    ("**", "write power(x, y)"),
    ("^", "write power(x, y)"),
    ("~~", "write LIKE"),
    ("!~~", "write NOT LIKE"),
    ("~", "write regexp_like(x, 'pattern')"),
    ("!~", "write NOT regexp_like(x, 'pattern')"),
    ("<=>", "write IS NOT DISTINCT FROM"),
    ("?", "parameters are not taken here; write the value"),
];

/// Words that only DuckDB knows, or that mean something else there.
const WORDS: [(&str, &str); 14] = [
    ("ilike", "write lower(x) LIKE 'pattern in lower case'"),
    ("similar", "write regexp_like(x, 'pattern')"),
    ("glob", "write LIKE or regexp_like(x, 'pattern')"),
    ("qualify", "put the window into a subquery and filter it with WHERE"),
    ("pivot", "write max(…) FILTER (WHERE …) for each column"),
    ("unpivot", "write CROSS JOIN (VALUES …)"),
    ("exclude", "name the columns"),
    ("asof", "write a window and filter it"),
    ("positional", "write row_number() OVER () and join on it"),
    ("anti", "write NOT EXISTS (…)"),
    ("semi", "write EXISTS (…)"),
    ("using_sample", "write TABLESAMPLE BERNOULLI (percent)"),
    ("isnull", "write IS NULL"),
    ("notnull", "write IS NOT NULL"),
];

/// Functions that only DuckDB knows and that touch files, or that differ in what no macro can repair.
const FUNCTIONS: [(&str, &str); 16] = [
    ("date_parse", "not possible on DuckDB: CAST an ISO text AS timestamp, or from_iso8601_timestamp(x)"),
    ("format_datetime", "write date_format(x, '%Y-%m-%d %H:%i:%s')"),
    ("parse_datetime", "write from_iso8601_timestamp(x)"),
    ("glob", "query the tables of lake.json"),
    ("getenv", "write the value"),
    ("query", "write the query itself"),
    ("query_table", "write the name of the table"),
    ("dayofweek", "write day_of_week(x): Monday is 1"),
    ("weekday", "write day_of_week(x): Monday is 1"),
    ("format", "write the text with ||, and CAST(x AS varchar)"),
    ("typeof", "the names of types differ; CAST to the type that you need"),
    ("array_distinct", "write SELECT DISTINCT on UNNEST: nulls and the order differ"),
    ("md5", "it gives bytes in Athena and a text in DuckDB; hash where the rows are read"),
    ("sha1", "it gives bytes in Athena and a text in DuckDB; hash where the rows are read"),
    ("sha256", "it gives bytes in Athena and a text in DuckDB; hash where the rows are read"),
    ("sha512", "it gives bytes in Athena and a text in DuckDB; hash where the rows are read"),
];

fn differences(tokens: &[Token<'_>], faults: &mut Vec<FaultAt>) {
    let mut refuse = |token: &Token<'_>, message: String, help: &str| {
        faults.push((token.start, token.start + token.text.len(), message, help.to_owned()));
    };
    for (index, token) in tokens.iter().enumerate() {
        let (before, after) = (index.checked_sub(1).map(|place| &tokens[place]), tokens.get(index + 1));
        let is_call = token.what == What::Word && after.is_some_and(|after| after.is_sign("("));
        let follows = |word: &str| before.is_some_and(|before| before.is(word));
        match token.what {
            What::Sign => {
                if let Some((_, help)) = SIGNS.iter().find(|(sign, _)| *sign == token.text) {
                    refuse(token, format!("`{}` is another thing, or nothing, in Athena", token.text), help);
                }
            }
            What::Text if follows("from") || follows("join") || is_from_list(tokens, index) => {
                refuse(token, "a text is no table; DuckDB would read a file".into(), "name a table of lake.json");
            }
            What::Number if is_decimal(token.text) => {
                let beside = |token: Option<&Token<'_>>| {
                    token.is_some_and(|token| ["*", "/", "%"].iter().any(|sign| token.is_sign(sign)))
                };
                if beside(before) || beside(after) {
                    let help = format!("write {}e0, a double in both", token.text);
                    refuse(
                        token,
                        "Athena calculates in decimals with few digits here, DuckDB in doubles".into(),
                        &help,
                    );
                }
            }
            What::Word => {
                let name = token.text.to_ascii_lowercase();
                let lower = name.as_str();
                if is_call {
                    if let Some((_, help)) = FUNCTIONS.iter().find(|(known, _)| *known == lower) {
                        refuse(token, format!("`{}` does not run alike in both engines", token.text), help);
                    } else if reads_files(lower) {
                        let help = "query the tables of lake.json";
                        refuse(token, format!("`{}` reads outside the tables", token.text), help);
                    } else if lower == "unnest" {
                        unnest(tokens, index, &mut refuse);
                    } else if lower == "extract" {
                        extract(tokens, index, &mut refuse);
                    }
                } else if let Some((_, help)) = WORDS.iter().find(|(known, _)| *known == lower)
                    && !before.is_some_and(|before| before.is_sign("."))
                {
                    refuse(token, format!("`{}` runs in DuckDB alone", token.text), help);
                }
                if lower == "all" && follows("by") {
                    refuse(token, "GROUP BY ALL and ORDER BY ALL run in DuckDB alone".into(), "name the columns");
                }
                if lower == "offset" && tokens[..index].iter().rev().take(2).any(|token| token.is("limit")) {
                    refuse(token, "Athena wants OFFSET before LIMIT".into(), "write OFFSET n LIMIT m");
                }
                if lower.starts_with("duckdb_") || lower == "sqlite_master" || lower.starts_with("pragma_") {
                    refuse(token, format!("`{}` is DuckDB's own", token.text), "query the tables of lake.json");
                }
            }
            _ => {}
        }
    }
}

/// `FROM a, 'file'`.
fn is_from_list(tokens: &[Token<'_>], index: usize) -> bool {
    let Some(comma) = index.checked_sub(1).filter(|place| tokens[*place].is_sign(",")) else { return false };
    let mut depth = 0_usize;
    for token in tokens[..comma].iter().rev() {
        match token.text {
            ")" => depth += 1,
            "(" if depth == 0 => return false,
            "(" => depth -= 1,
            _ if depth == 0 && token.is("from") => return true,
            _ if depth == 0
                && ["select", "where", "by", "in", "values", "on", "having"].iter().any(|word| token.is(word)) =>
            {
                return false;
            }
            _ => {}
        }
    }
    false
}

fn is_decimal(text: &str) -> bool {
    text.contains('.') && !text.contains(['e', 'E'])
}

fn reads_files(name: &str) -> bool {
    ["read_", "scan_", "sniff_", "st_read", "parquet_", "load_", "sqlite_", "postgres_", "mysql_", "delta_", "iceberg_"]
        .iter()
        .any(|start| name.starts_with(start))
        || name.ends_with("_scan")
}

/// `UNNEST(x) AS t(a, b)`: in Athena columns of a row or map, in DuckDB something else.
fn unnest(tokens: &[Token<'_>], index: usize, refuse: &mut impl FnMut(&Token<'_>, String, &str)) {
    let (mut depth, mut arguments, mut place) = (0_usize, 1, index + 1);
    while let Some(token) = tokens.get(place) {
        match token.text {
            "(" | "[" if token.what == What::Sign => depth += 1,
            ")" | "]" if token.what == What::Sign => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            "," if token.what == What::Sign && depth == 1 => arguments += 1,
            _ => {}
        }
        place += 1;
    }
    place += 1;
    if tokens.get(place).is_some_and(|token| token.is("with")) {
        refuse(&tokens[index], "WITH ORDINALITY does not run on DuckDB".into(), "unnest(sequence(1, cardinality(x)))");
        return;
    }
    place += usize::from(tokens.get(place).is_some_and(|token| token.is("as")));
    if !tokens.get(place + 1).is_some_and(|token| token.is_sign("(")) {
        return;
    }
    let columns = tokens[place + 2..].iter().take_while(|token| !token.is_sign(")")).filter(|token| token.is_sign(","));
    if columns.count() + 1 > arguments {
        let help = "unnest an array of single values into one column, and take rows apart with t.x.field";
        refuse(&tokens[index], "rows and maps unnest into other columns in each engine".into(), help);
    }
}

fn extract(tokens: &[Token<'_>], index: usize, refuse: &mut impl FnMut(&Token<'_>, String, &str)) {
    if let Some(part) = tokens.get(index + 2)
        && ["dow", "day_of_week", "dayofweek", "isodow", "weekday", "epoch"].iter().any(|word| part.is(word))
    {
        let help = "write day_of_week(x) (Monday is 1), or to_unixtime(x)";
        refuse(part, format!("`{}` counts otherwise in each engine", part.text), help);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(query: &str) -> Vec<String> {
        match check("query", query) {
            Ok(_) => Vec::new(),
            Err(report) => report.faults().iter().map(|fault| report.one_line(fault)).collect(),
        }
    }

    #[test]
    fn what_both_engines_share_passes() {
        for query in [
            "SELECT 1",
            "select device_id, max_by(battery_level, sent_at) from deviceping group by device_id ;",
            "WITH a AS (SELECT 'it''s; --' AS x) SELECT \"order\", x FROM a -- end; here\n",
            "SELECT 1.5, x * 100e0 / y, -x FROM t WHERE a IN ('b', 'c') /* ; */ LIMIT 3",
            "VALUES (1, 'a')",
            "(SELECT 1) UNION ALL (SELECT 2)",
            "SELECT x FROM t CROSS JOIN unnest(levels) AS u(x)",
            "SELECT position.latitude, labels['k'], extract(hour FROM ts) FROM t, u",
            "SELECT count(*) FILTER (WHERE a <> b) FROM t OFFSET 2 LIMIT 5",
        ] {
            assert_eq!(refused(query), Vec::<String>::new(), "{query}");
        }
        assert_eq!(check("q", "SELECT 1 ; ").unwrap(), "SELECT 1");
    }

    #[test]
    fn what_would_silently_differ_or_break_out_is_refused_with_its_place() {
        for (query, words) in [
            ("", "empty"),
            ("SELECT 1; SELECT 2", "query:1:11: a second statement"),
            ("SELECT 1) UNION (SELECT 2", "never opened"),
            (".shell ls", "begins no query"),
            ("COPY t TO 'x'", "begins no query"),
            ("ATTACH 'x'", "begins no query"),
            ("SELECT * FROM 'etc/passwd'", "is no table"),
            ("SELECT format('%s', 1)", "`format` does not run alike"),
            ("SELECT md5(to_utf8('a'))", "`md5` does not run alike"),
            ("SELECT array_distinct(levels) FROM t", "`array_distinct` does not run alike"),
            ("SELECT * FROM t, 'x.csv'", "is no table"),
            ("SELECT * FROM read_csv('x')", "reads outside"),
            ("SELECT * FROM parquet_scan('x')", "reads outside"),
            ("SELECT getenv('HOME')", "does not run alike"),
            ("SELECT x::int FROM t", "CAST(x AS type)"),
            ("SELECT 7 // 2", "write /"),
            ("SELECT 100.0 * a / b FROM t", "100.0e0"),
            ("SELECT a / 3.0 FROM t", "3.0e0"),
            ("SELECT a FROM t WHERE b ILIKE 'x'", "lower(x)"),
            ("SELECT * FROM t CROSS JOIN unnest(positions) AS u(lat, lon)", "rows and maps"),
            ("SELECT extract(dow FROM ts) FROM t", "Monday is 1"),
            ("SELECT transform(a, x -> x + 1) FROM t", "arrows"),
            ("SELECT a FROM t GROUP BY ALL", "name the columns"),
            ("SELECT a FROM t LIMIT 5 OFFSET 2", "OFFSET before LIMIT"),
            ("SELECT 'a", "never closed"),
            ("SELECT `a` FROM t", "double quotes"),
            ("SELECT E'a\\'' FROM t", "letter before a quote"),
            ("SELECT $$a$$", "single quotes"),
            ("SELECT 1 /* a /* b */ */", "comment inside"),
            ("SELECT * FROM duckdb_settings", "DuckDB's own"),
            ("SELECT a\u{a0}FROM t", "quote it"),
        ] {
            let printed = refused(query).join("\n");
            assert!(printed.contains(words), "{query}: {printed:?}");
        }
    }

    #[test]
    fn any_text_ends_in_a_verdict() {
        let mut random = fastrand::Rng::with_seed(7);
        let parts =
            ["SELECT", "(", ")", "'", "\"", ";", "--", "/*", "*/", "\n", "unnest", ",", "1.", "e", "é", "from", "\0"];
        for _ in 0..20_000 {
            let query: String = (0..random.usize(0..12)).map(|_| parts[random.usize(0..parts.len())]).collect();
            drop(check("q", &query));
        }
    }
}
