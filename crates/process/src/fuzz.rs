//! Doors for fuzzers: each takes any bytes and panics where a promise is broken.
//! Promises that what holds for all input is written down once, for the fuzzer and for the tests.
//! Leaves making up input to the caller.

use super::java::Pattern;
use super::json::edit::{Act, Edits, Scratch, path};
use super::json::{print, scan};
use super::redact::detect::{Kinds, Search};
use super::time::parse::TimeFormat;
use super::{Place, Processor, Settings, Surroundings, Verdict};
use datalake_base::record::{FileKey, Position};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

/// A door, by the name of what stands behind it.
pub type Door = (&'static str, fn(&[u8]));

/// All doors.
pub const DOORS: [Door; 9] = [
    ("singleline", singleline),
    ("csv", csv),
    ("log", log),
    ("metadata", metadata),
    ("json", json_text),
    ("edit", edit),
    ("redact", redact),
    ("options", options),
    ("time", time),
];

thread_local! {
    /// What the doors' options have made. To make it takes a hundred times as long as to work on a short record, and it has a
    /// door of its own. As in a flow, the records before leave no trace in the next.
    static MADE: RefCell<HashMap<&'static str, Processor>> = RefCell::default();
}

/// The options, run on one record: the verdict and what came out.
fn run(options: &'static str, record: &[u8]) -> (Verdict, Vec<u8>) {
    MADE.with_borrow_mut(|made| {
        let processor = made.entry(options).or_insert_with(|| {
            let options = serde_json::from_str(options).expect("the options of the doors are JSON");
            let settings = Settings::parse(&options).expect("the options of the doors are valid");
            Processor::new(&settings, &surroundings()).expect("the options of the doors name no variables")
        });
        twice(processor, record)
    })
}

fn surroundings() -> Surroundings {
    Surroundings { host: "host".into(), variables: [].into(), instance: None, max_record_bytes: 64 << 20 }
}

/// The same record, two times.
fn twice(processor: &mut Processor, record: &[u8]) -> (Verdict, Vec<u8>) {
    let place = Place {
        path: Path::new("/var/log/app.log"),
        file: FileKey { device: 1, inode: 2, born: 3 },
        generation: Some(4),
        position: Position(7),
        input: record.len() as u64,
        now_ms: 1_539_002_096_789,
    };
    let mut out = b"before".to_vec();
    let verdict = processor.process(record, &place, &mut out);
    let mut again = b"before".to_vec();
    assert_eq!(processor.process(record, &place, &mut again), verdict, "the second time is another verdict");
    assert_eq!(out, again, "the second time is another result");
    let out = out.strip_prefix(b"before").expect("what was there before stays").to_vec();
    match verdict {
        Verdict::Kept => {}
        Verdict::KeptRaw(_) => assert_eq!(out, record, "raw is what came in"),
        Verdict::Dropped(_) | Verdict::Failed(_) => assert!(out.is_empty(), "a record that is not sent left a trace"),
    }
    (verdict, out)
}

/// That a line is one JSON object and a newline, by the account of another reader.
fn one_line(out: &[u8]) -> Value {
    let line = out.strip_suffix(b"\n").expect("a line ends in a newline");
    assert!(!line.contains(&b'\n') && !line.contains(&b'\r'), "a line is one line");
    let value: Value = serde_json::from_slice(line).expect("a line is JSON");
    assert!(value.is_object(), "a line is an object");
    value
}

/// SINGLELINE.
pub fn singleline(record: &[u8]) {
    for options in [
        r#"[{"optionName": "SINGLELINE"}]"#,
        r#"[{"optionName": "SINGLELINE", "parseOptions": ["NO_TRIM"]}]"#,
        r#"[{"optionName": "SINGLELINE", "parseOptions": ["ESCAPE_NEW_LINE"]}]"#,
    ] {
        let (verdict, out) = run(options, record);
        assert_eq!(verdict, Verdict::Kept);
        assert_eq!(memchr::memchr_iter(b'\n', &out).count(), 1, "one line comes out");
    }
}

/// CSVTOJSON.
pub fn csv(record: &[u8]) {
    for options in [
        r#"[{"optionName": "CSVTOJSON", "customFieldNames": ["a", "b", "c"], "delimiter": ",", "quotes": "standard"}]"#,
        r#"[{"optionName": "CSVTOJSON", "customFieldNames": ["a", "b", "c"], "delimiter": ",", "quotes": "none"}]"#,
        r#"[{"optionName": "CSVTOJSON", "customFieldNames": ["a", "b", "c"], "delimiter": "\\s*[;,]\\s*", "quotes": "standard"}]"#,
        r#"[{"optionName": "CSVTOJSON", "customFieldNames": ["a", "b", "c"], "delimiter": "::", "quotes": "standard"}]"#,
    ] {
        let (verdict, out) = run(options, record);
        assert_eq!(verdict, Verdict::Kept);
        assert_eq!(one_line(&out).as_object().map(serde_json::Map::len), Some(3));
    }
}

/// LOGTOJSON.
pub fn log(record: &[u8]) {
    for options in [
        r#"[{"optionName": "LOGTOJSON", "logFormat": "COMMONAPACHELOG"}]"#,
        r#"[{"optionName": "LOGTOJSON", "logFormat": "COMBINEDAPACHELOG"}]"#,
        r#"[{"optionName": "LOGTOJSON", "logFormat": "APACHEERRORLOG"}]"#,
        r#"[{"optionName": "LOGTOJSON", "logFormat": "SYSLOG"}]"#,
        r#"[{"optionName": "LOGTOJSON", "logFormat": "RFC3339SYSLOG"}]"#,
        r#"[{"optionName": "LOGTOJSON", "logFormat": "SYSLOG", "matchPattern": "(\\S*) ?(.*)", "customFieldNames": ["a", "b"]}]"#,
    ] {
        let (verdict, out) = run(options, record);
        if verdict == Verdict::Kept {
            one_line(&out);
        }
    }
}

/// ADDMETADATA: what went in comes out again when it is read back.
pub fn metadata(record: &[u8]) {
    let (verdict, out) = run(r#"[{"optionName": "ADDMETADATA", "metadata": {"a": 1}}]"#, record);
    assert_eq!(verdict, Verdict::Kept);
    let text = String::from_utf8_lossy(&record[..record.len() - super::line_end(record, b"")]).into_owned();
    assert_eq!(one_line(&out)["data"], Value::String(text), "reading inverts writing");
}

/// The reader and the printer of JSON, held against another reader.
pub fn json_text(record: &[u8]) {
    let Ok((start, end)) = scan::document(record) else { return };
    let ours = |format| {
        let mut out = Vec::new();
        assert_eq!(print::value(record, start, format, 0, 0, &mut out), Ok(end));
        out
    };
    let (compact, pretty) = (ours(print::Format::Compact), ours(print::Format::PrettyPrint));
    assert!(!compact.contains(&b'\n'), "compact is one line");
    let mut back = Vec::new();
    assert_eq!(print::value(&pretty, 0, print::Format::Compact, 0, 0, &mut back), Ok(pretty.len()));
    assert_eq!(back, compact, "compacting inverts laying out");
    // Lone surrogates and numbers beyond a double are JSON to us and errors to the other.
    if let Ok(value) = serde_json::from_slice::<Value>(&record[start..end]) {
        assert_eq!(serde_json::from_slice::<Value>(&compact).ok(), Some(value), "printing changes no value");
    }
}

/// Edits in place.
pub fn edit(record: &[u8]) {
    let mut edits = Edits::default();
    for (place, act) in [
        ("a", Act::Remove),
        ("b", Act::Rename(b"\"renamed\"".as_slice().into())),
        ("c.d", Act::Replace(b"[1,2]".as_slice().into())),
        ("c.e", Act::Remove),
    ] {
        edits.paths.insert(&path(place), act);
    }
    edits.anywhere.insert(&path("secret"), Act::Replace(b"\"hidden\"".as_slice().into()));
    let mut out = Vec::new();
    let edited = edits.apply(record, &(), &mut Scratch::default(), &mut out);
    assert_eq!(edited.is_ok(), scan::object(record).is_ok(), "what can be edited is what is an object");
    if edited.is_ok() {
        assert!(scan::object(&out).is_ok(), "an edited object is an object");
    }
    for options in [r#"[{"optionName": "ADDPROVENANCE"}]"#, r#"[{"optionName": "ADDFIELDS", "fields": {"x": 1}}]"#] {
        let (verdict, out) = run(options, record);
        assert_eq!(verdict == Verdict::Kept, edited.is_ok());
        assert_eq!(verdict == Verdict::Kept, scan::object(&out).is_ok());
    }
    let removed = r#"[{"optionName": "REMOVEFIELDS", "fields": ["a"]}, {"optionName": "FILTER", "keepWhen": {"field": "a", "exists": false}}]"#;
    let (verdict, _) = run(removed, record);
    assert!(verdict != Verdict::Kept || edited.is_ok());
}

/// REDACT: what was replaced is not found again, and JSON stays JSON.
pub fn redact(record: &[u8]) {
    let (verdict, out) = run(
        r##"[{"optionName": "REDACT", "patterns": ["CARD_NUMBER", "EMAIL", "BEARER_TOKEN"], "replacement": "#"}]"##,
        record,
    );
    assert_eq!(verdict, Verdict::Kept);
    // A bare number is a text that consists of digits.
    if scan::document(record).is_ok_and(|(start, _)| matches!(record[start], b'{' | b'[' | b'"')) {
        assert!(scan::document(&out).is_ok(), "JSON stays JSON");
    }
    let mut search = Search::new(Kinds { card_number: true, email: true, bearer_token: true });
    let mut from = 0;
    while let Some((start, end)) = search.next(record, from) {
        assert!(from <= start && start < end && end <= record.len(), "hits come in order");
        from = end;
    }
}

/// Options as an operator may write them, and the patterns in them.
pub fn options(text: &[u8]) {
    if let Ok(text) = std::str::from_utf8(text)
        && let Ok(mut pattern) = Pattern::whole(text)
    {
        let mut groups = pattern.room();
        let _matched = pattern.captures("10/Oct/2000 \"GET / HTTP\" é", &mut groups);
    }
    if let Ok(value) = serde_json::from_slice::<Value>(text) {
        match Settings::parse(&value) {
            Ok(settings) => {
                if let Ok(mut processor) = Processor::new(&settings, &surroundings()) {
                    let _ended = twice(&mut processor, b"{\"a\":1}\n");
                }
            }
            Err(errors) => assert!(!errors.is_empty(), "a refusal has reasons"),
        }
    }
}

/// Formats of time and texts: the first line is the format.
pub fn time(text: &[u8]) {
    let split = memchr::memchr(b'\n', text).unwrap_or(text.len());
    let (format, rest) = text.split_at(split);
    if let Ok(format) = TimeFormat::new(&String::from_utf8_lossy(format), 0) {
        let _moment = format.parse(rest.strip_prefix(b"\n").unwrap_or(rest), 1_539_002_096_789);
    }
}
