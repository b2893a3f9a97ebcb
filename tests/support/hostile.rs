//! What once stopped every flow: an option or a pattern, and a line made for it.
//! Promises one of each kind, as long as is asked for. Leaves what must become of it to the tests and to the bench.

use serde_json::{Value, json};

/// `dataProcessingOptions`, and lines of about this many bytes, the last of them ended.
pub(crate) fn lines(bytes: usize) -> Vec<(&'static str, Value, Vec<u8>)> {
    let redact = |pattern: &str| json!([{"optionName": "REDACT", "regex": [pattern]}]);
    let exclude = |pattern: &str| json!([{"optionName": "FILTER", "exclude": [pattern]}]);
    let csv =
        |delimiter: &str| json!([{"optionName": "CSVTOJSON", "customFieldNames": ["a", "b"], "delimiter": delimiter}]);
    let own = |pattern: &str| json!([{"optionName": "LOGTOJSON", "logFormat": "SYSLOG", "matchPattern": pattern, "customFieldNames": ["a"]}]);
    let line = |unit: &str| [unit.repeat(bytes / unit.len()).as_bytes(), b"\n"].concat();
    vec![
        ("a search that looks on after each match", redact("p(?:.*;)?"), line("p")),
        ("a look-around that fails at its last step", exclude("(?=(.*x)*y)z"), line("x")),
        ("the delimiter that looks ahead for quotes, on commas", csv(r#",(?=(?:[^"]*"[^"]*")*[^"]*$)"#), line(",")),
        ("the same, on quotes", csv(r#",(?=(?:[^"]*"[^"]*")*[^"]*$)"#), line("\",")),
        ("a pattern that refers back", own(r"(a*)*\1b"), line("a")),
        ("nested repetitions that look around", exclude("(?=a)(?:a*)*(?!a)b"), line("a")),
        ("possessive ones", exclude("(?:a|aa)*+b"), line("a")),
        ("a pattern with very many states", exclude("(?:[01]*1[01]{200}){3}x"), line("01101")),
        ("many patterns", json!([{"optionName": "REDACT", "regex": vec!["q(?:.*;)?"; 20]}]), line("q")),
        ("many short lines for a costly pattern", exclude(r"(?=.*x)(\w+) \1 z"), line("ab ab ab ab ab ab\n")),
        ("JSON nested as deep as it may be", json!([{"optionName": "REDACT", "fields": ["a"]}]), line("[")),
        ("every byte an escape", json!([{"optionName": "ADDMETADATA", "metadata": {}}]), line("\u{1}")),
        (
            "each match a long replacement",
            json!([{"optionName": "REDACT", "regex": "p", "replacement": "x".repeat(1000)}]),
            line("p"),
        ),
    ]
}

/// `multiLineStartPattern`, and about this many bytes to look for it in; the last line has no end.
pub(crate) fn starts(bytes: usize) -> Vec<(&'static str, Vec<u8>)> {
    let text = |unit: &str| unit.repeat(bytes / unit.len()).into_bytes();
    vec![
        (r"(?=(.*x)*y)z", text("x")),
        (r"(\w+) \1", text("ab ")),
        (r"(?!\s)", text(" ")),
        ("(?:a|aa)*+b", text("a")),
        (r"\d{4}-\d\d", text("1")),
        (r"(?=(.*x)*y)z", text("xx\n")),
    ]
}
