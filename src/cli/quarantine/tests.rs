//! The commands on real files, against a service that is scripted.

use super::*;
use crate::cli::reprocess::Reprocess;
use crate::deliver::quarantine;
use crate::deliver::quarantine::Quarantine;
use crate::deliver::{Answer, Call, Fault, GivenUp, Meaning, Outcome, Service};
use datalake_base::record::{FileKey, OriginInfo, Position};
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Refuses records that hold `bad`; fails as the script says before that.
#[derive(Default)]
struct Scripted {
    failures: Mutex<Vec<Answer>>,
    seen: Mutex<Vec<String>>,
}

fn fault(meaning: Meaning) -> Fault {
    Fault { meaning, code: "Code".into(), message: "why".into() }
}

impl Service for Scripted {
    async fn put(&self, call: Call) -> Answer {
        if let Some(failure) = self.failures.lock().unwrap().pop() {
            return failure;
        }
        let body: serde_json::Value = serde_json::from_slice(&call.body).unwrap();
        let data = body["Records"][0]["Data"].as_str().unwrap();
        let text = String::from_utf8(base64_simd::STANDARD.decode_to_vec(data).unwrap()).unwrap();
        let refused = text.contains("bad");
        self.seen.lock().unwrap().push(format!("{}:{text}", body["DeliveryStreamName"].as_str().unwrap()));
        if refused { Answer::Failed(fault(Meaning::Poison)) } else { Answer::Accepted }
    }
}

fn state(payloads: &[(&str, &str)]) -> tempfile::TempDir {
    let state = tempfile::tempdir().unwrap();
    for (stream, payload) in payloads {
        let info = OriginInfo::new(PathBuf::from("/var/log/a\tb.log"), FileKey::default());
        let given_up = GivenUp {
            payload: payload.as_bytes().to_vec(),
            partition_key: None,
            lines: 1,
            extents: vec![(Arc::new(info), Position(5), Position(9))],
            fault: fault(Meaning::Poison),
            unprocessed: false,
        };
        Quarantine::new(state.path(), stream, "flow").keep(std::slice::from_ref(&given_up), 1_795_262_400_000).unwrap();
    }
    state
}

fn of_stream(stream: &str) -> Selection {
    Selection { stream: Some(stream.to_owned()), ..Selection::default() }
}

/// Replays everything; what was said is appended to `said`.
async fn replayed(
    state: &Path,
    reprocess: &mut Reprocess,
    service: &Scripted,
    said: &mut Vec<u8>,
) -> Result<Replayed, CommandError> {
    let mut road = Road { reprocess, firehose: service, kinesis: service };
    replay(state, &Selection::default(), &mut road, false, said).await
}

fn listed(state: &Path) -> String {
    let mut out = Vec::new();
    list(state, &Selection::default(), false, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_list_says_what_waits_where_and_why() {
    let state = state(&[("logs", "one"), ("other", "three")]);
    let text = listed(state.path());
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 3, "{text}");
    assert!(rows.iter().all(|row| row.len() == 8), "{text}");
    assert_eq!(rows[1][1..], ["1", "2026-11-21T12:00:00Z", "logs", "/var/log/a\\tb.log", "5", "Code: why", "3"]);
    let mut out = Vec::new();
    assert_eq!(list(state.path(), &of_stream("other"), false, &mut out).unwrap(), 1);
}

#[test]
fn an_empty_quarantine_says_so() {
    let state = tempfile::tempdir().unwrap();
    assert_eq!(listed(state.path()), "no records wait in quarantine\n");
}

#[tokio::test]
async fn a_replay_delivers_what_is_taken_and_keeps_what_is_refused_again() {
    let state = state(&[("logs", "one"), ("logs", "bad"), ("other", "two")]);
    let service = Scripted::default();
    let mut out = Vec::new();
    let done = replayed(state.path(), &mut Reprocess::default(), &service, &mut out).await.unwrap();
    assert_eq!(done, Replayed { delivered: 2, refused: 1, ..Replayed::default() });
    assert_eq!(*service.seen.lock().unwrap(), ["logs:one", "logs:bad", "other:two"]);
    assert!(!done.is_complete());
    conclude(done, false, &mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().contains("2 delivered, 1 refused again"));
    assert_eq!(listed(state.path()).lines().count(), 2);
    assert_eq!(quarantine::files(state.path()).unwrap().len(), 1, "emptied files are removed");
}

#[tokio::test]
async fn what_passes_by_itself_is_tried_again() {
    let state = state(&[("logs", "one")]);
    let again = Answer::PerRecord(vec![Outcome::Again { throttled: false, code: "InternalFailure".into() }]);
    let failures = Mutex::new(vec![Answer::Failed(fault(Meaning::SlowDown)), again]);
    let service = Scripted { failures, ..Scripted::default() };
    let done = replayed(state.path(), &mut Reprocess::default(), &service, &mut Vec::new()).await.unwrap();
    assert_eq!(done.delivered, 1);
}

#[tokio::test]
async fn a_service_that_takes_nothing_ends_the_replay_and_everything_stays() {
    let state = state(&[("logs", "one"), ("logs", "two")]);
    let failures = Mutex::new(vec![Answer::Failed(fault(Meaning::Hold))]);
    let service = Scripted { failures, ..Scripted::default() };
    let error = replayed(state.path(), &mut Reprocess::default(), &service, &mut Vec::new()).await.unwrap_err();
    assert!(matches!(error, CommandError::Unavailable(_)), "{error}");
    assert_eq!(listed(state.path()).lines().count(), 3);
}

/// The flow `flow` of a configuration with these keys.
fn reprocess(keys: &str, raw: bool) -> Reprocess {
    let text = format!(r#"{{"flows": [{{"name": "flow", "filePattern": "/a", "deliveryStream": "logs", {keys}}}]}}"#);
    let plan = crate::config::from_text(&[("agent.json", &text)]).unwrap_or_else(|report| panic!("{report}"));
    Reprocess::new(&plan.flows, raw, None).unwrap()
}

fn unprocessed(payloads: &[&str]) -> tempfile::TempDir {
    let state = tempfile::tempdir().unwrap();
    let info = Arc::new(OriginInfo::new(PathBuf::from("/var/log/a.log"), FileKey::default()));
    let given_up = |payload: &&str| GivenUp {
        partition_key: None,
        payload: payload.as_bytes().to_vec(),
        lines: 1,
        extents: vec![(info.clone(), Position(5), Position(9))],
        fault: Fault { meaning: Meaning::Poison, code: "processing".into(), message: "step 1: no".into() },
        unprocessed: true,
    };
    let given_up: Vec<GivenUp> = payloads.iter().map(given_up).collect();
    Quarantine::new(state.path(), "logs", "flow").keep(&given_up, 1_795_262_400_000).unwrap();
    state
}

#[tokio::test]
async fn what_options_failed_on_goes_through_the_options_of_now() {
    let state = unprocessed(&["one\n", "two words\n", "drop\n"]);
    assert!(listed(state.path()).contains("processing: step 1: no"));
    let keys = r#""dataProcessingOptions": [{"optionName": "FILTER", "exclude": "^drop"},
        {"optionName": "LOGTOJSON", "logFormat": "SYSLOG", "matchPattern": "(\\w+)", "customFieldNames": ["w"]}]"#;
    let (service, mut out) = (Scripted::default(), Vec::new());
    let done = replayed(state.path(), &mut reprocess(keys, false), &service, &mut out).await.unwrap();
    assert_eq!(done, Replayed { delivered: 1, refused: 1, dropped: 1, ..Replayed::default() });
    assert_eq!(*service.seen.lock().unwrap(), ["logs:{\"w\":\"one\"}\n"]);
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("record 2: fails again: step 2: the line does not match"), "{out}");
    let done = replayed(state.path(), &mut reprocess(keys, true), &service, &mut Vec::new()).await.unwrap();
    assert_eq!(done.delivered, 1, "as it is, when that is asked for");
    assert_eq!(service.seen.lock().unwrap()[1], "logs:two words\n");
}

#[tokio::test]
async fn what_options_failed_on_stays_where_its_flow_is_gone() {
    let state = unprocessed(&["one\n"]);
    let (service, mut out) = (Scripted::default(), Vec::new());
    let done = replayed(state.path(), &mut Reprocess::default(), &service, &mut out).await.unwrap();
    assert_eq!(done, Replayed { refused: 1, ..Replayed::default() });
    assert!(String::from_utf8(out).unwrap().contains("no flow `flow` any more"));
    assert_eq!(listed(state.path()).lines().count(), 2);
}

fn json_lines(text: &[u8]) -> Vec<Value> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// A path with a newline and an escape sequence forged lines and steered the terminal.
#[test]
fn for_a_program_each_record_is_one_line_whatever_its_path() {
    let state = tempfile::tempdir().unwrap();
    let info = OriginInfo::new(PathBuf::from("/var/log/a\n{}\u{1b}[2J\u{202e}.log"), FileKey::default());
    let given_up = GivenUp {
        payload: b"x\n".to_vec(),
        partition_key: Some("k".to_owned()),
        lines: 1,
        extents: vec![(Arc::new(info), Position(5), Position(7))],
        fault: fault(Meaning::Poison),
        unprocessed: false,
    };
    Quarantine::new(state.path(), "logs", "flow").keep(&[given_up], 1_795_262_400_000).unwrap();
    let mut out = Vec::new();
    assert_eq!(list(state.path(), &Selection::default(), true, &mut out).unwrap(), 1);
    assert!(!String::from_utf8(out.clone()).unwrap().trim_end().chars().any(datalake_base::shown::steers));
    let [line] = &json_lines(&out)[..] else { panic!("{}", String::from_utf8_lossy(&out)) };
    assert_eq!(line["origins"][0]["path"], "/var/log/a\n{}\u{1b}[2J\u{202e}.log");
    assert_eq!((&line["bytes"], &line["partitionKey"], &line["code"]), (&json!(2), &json!("k"), &json!("Code")));
    out.clear();
    assert_eq!(list(state.path(), &of_stream("other"), true, &mut out).unwrap(), 0);
    assert_eq!(out, b"", "no line for no record");
}

#[test]
fn a_summary_adds_up_what_differs_in_places_only() {
    let state = tempfile::tempdir().unwrap();
    let given_up = |code: &str, message: &str| GivenUp {
        payload: b"12345".to_vec(),
        partition_key: None,
        lines: 2,
        extents: Vec::new(),
        fault: Fault { meaning: Meaning::Poison, code: code.to_owned(), message: message.to_owned() },
        unprocessed: false,
    };
    let records = [
        given_up("processing", "step 1: no JSON at byte 7"),
        given_up("Invalid", "record 3"),
        given_up("processing", "step 1: no JSON at byte 1234"),
        given_up("processing", "step 1: no JSON at byte 99"),
    ];
    Quarantine::new(state.path(), "logs", "flow").keep(&records, 1_795_262_400_000).unwrap();
    let mut out = Vec::new();
    assert_eq!(summary(state.path(), &Selection::default(), false, &mut out).unwrap(), 4);
    let text = String::from_utf8(out).unwrap();
    let expected = "RECORDS\tLINES\tBYTES\tFIRST\tLAST\tSTREAM\tFLOW\tREASON\n\
        3\t6\t15\t2026-11-21T12:00:00Z\t2026-11-21T12:00:00Z\tlogs\tflow\tprocessing: step 1: no JSON at byte 7\n\
        1\t2\t5\t2026-11-21T12:00:00Z\t2026-11-21T12:00:00Z\tlogs\tflow\tInvalid: record 3\n";
    assert_eq!(text, expected);
    let mut out = Vec::new();
    let only = Selection { code: Some("Invalid".to_owned()), ..Selection::default() };
    summary(state.path(), &only, true, &mut out).unwrap();
    let value = &json_lines(&out)[0];
    assert_eq!((&value["records"], &value["reasons"][0]["example"]), (&json!(1), &json!("record 3")));
}

#[test]
fn an_export_holds_the_bytes_as_they_are_and_changes_nothing() {
    let state = state(&[("logs", "one\n"), ("logs", "\u{1b}\u{0}two\n"), ("other", "three\n")]);
    let before = listed(state.path());
    let mut out = Vec::new();
    let exported = export(state.path(), &of_stream("logs"), false, &mut out).unwrap();
    assert_eq!((exported.records, exported.bytes, out), (2, 10, b"one\n\x1b\0two\n".to_vec()));
    let mut out = Vec::new();
    export(state.path(), &of_stream("other"), true, &mut out).unwrap();
    let line = &json_lines(&out)[0];
    assert_eq!((&line["data"], &line["stream"]), (&json!("dGhyZWUK"), &json!("other")));
    assert_eq!(listed(state.path()), before);
}

#[test]
fn what_is_dropped_is_what_was_selected_and_only_once_it_is_confirmed() {
    let state = state(&[("logs", "one"), ("logs", "two"), ("other", "three")]);
    let path = &quarantine::files(state.path()).unwrap()[0];
    let mut file = std::fs::File::options().append(true).open(path).unwrap();
    file.write_all(b"no record\n").unwrap();
    let owner = file.metadata().unwrap().uid();
    let drops = |selection: &Selection, damaged, confirmed| {
        drop(state.path(), selection, damaged, confirmed, &mut Vec::new()).unwrap()
    };
    let both = Dropped { records: 2, lines: 2, bytes: 6, ..Dropped::default() };
    assert_eq!(drops(&of_stream("logs"), false, false), both);
    assert_eq!(listed(state.path()).lines().count(), 5, "nothing was dropped yet");
    assert_eq!(drops(&of_stream("logs"), false, true), both);
    let left = listed(state.path());
    assert!(left.contains("damaged: ") && left.contains("other") && left.lines().count() == 3, "{left}");
    assert_eq!(std::fs::metadata(path).unwrap().uid(), owner);
    assert_eq!(drops(&of_stream("logs"), true, true), Dropped { damaged: 1, ..Dropped::default() });
    assert!(!path.exists(), "an emptied file is removed");
    assert_eq!(drops(&Selection::default(), false, true).records, 1);
    assert_eq!(listed(state.path()), "no records wait in quarantine\n");
}

#[test]
fn a_file_that_another_process_uses_is_not_dropped() {
    let state = state(&[("logs", "one")]);
    let path = &quarantine::files(state.path()).unwrap()[0];
    let held = quarantine::open(path).unwrap().unwrap();
    let dropped = drop(state.path(), &Selection::default(), false, true, &mut Vec::new()).unwrap();
    assert_eq!(dropped, Dropped { in_use: 1, ..Dropped::default() });
    std::mem::drop(held);
    assert_eq!(listed(state.path()).lines().count(), 2);
}
