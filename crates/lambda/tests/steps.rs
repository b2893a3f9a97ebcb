//! Functions that stand for programs on AWS: what they are called with, what becomes of what they write, and that a
//! reaction has one result whatever they do. The functions of the lake run as Lambda starts them; Athena, S3 and the API
//! of Lambda are on loopback.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test a panic is an answer, and what is skipped is said"
)]

#[path = "../../lake/tests/support/house.rs"]
mod house;
#[path = "support/loopback.rs"]
mod loopback;

use house::{House, unpacked};
use local_lake::{Function, created};
use loopback::{Loopback, writes};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

const PROTO: &str = "syntax = \"proto3\"; package t; message Ping { string device_id = 1; double level = 2; }";
const KEY: &str = "raw/v0/ping/dt=2026-03-09-07/a b.gz";
const ETAG: &str = "0123456789abcdef0123456789abcdef";
const ROWS: &[(&str, &str)] = &[("a", "5"), ("b", "7.5")];
const PATIENCE: Duration = Duration::from_secs(60);

/// A lake with these reactions on pings.
fn house(reactions: &str) -> House {
    let lake = format!(
        r#"{{"name": "t", "protos": ["schema"], "athena": {{"bucket": "farm-lake", "region": "us-east-1"}},
            "tables": {{"ping": {{"message": "t.Ping", "stream": "ping"}},
                "low": {{"message": "t.Ping", "prefix": "processed/v0/low/"}}}}, "reactions": [{reactions}]}}"#
    );
    let house = House::new(&lake, PROTO);
    house.file("q.sql", "SELECT device_id, level FROM ping WHERE dt = '{dt}'\n");
    let (_, schema) = house.lake();
    std::fs::write(house.path().join("lake.plan.json"), schema.plan.to_file()).unwrap();
    house
}

fn react(house: &House, loopback: &Loopback) -> Function {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootstrap"));
    command.env("DATALAKE_ROLE", "react").env("LAMBDA_TASK_ROOT", house.path());
    command.env("AWS_ENDPOINT_URL", &loopback.endpoint).env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    Function::start(command, PATIENCE).unwrap()
}

fn event() -> Vec<u8> {
    created("farm-lake", KEY, ETAG, 5).to_string().into_bytes()
}

/// The identity that a laptop gives the first reaction.
fn identity(house: &House) -> datalake_react::Identity {
    let (lake, _) = house.lake();
    let reaction = &lake.reactions[0];
    let version = reaction.version(&datalake::react::read_query(reaction).unwrap());
    datalake_react::Identity::of(&reaction.name, &version, KEY, ETAG)
}

const REPORT: &str =
    r#"{"name": "report", "on": "ping", "query": "q.sql", "function": "farm-low", "to": "reports/low/"}"#;

#[test]
fn a_function_gets_its_rows_and_its_output_becomes_the_one_result_under_the_name_of_the_laptop() {
    let house = house(REPORT);
    let loopback = Loopback::start(ROWS, writes("2 devices\n"));
    let function = react(&house, &loopback);
    let answer = function.invoke(&event()).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "{\"done\":1}");
    let id = identity(&house);
    let result = format!("reports/low/dt=2026-03-09-07/report-{}.txt", id.short());
    assert_eq!(loopback.keys("reports/"), [result.as_str()]);
    assert_eq!(loopback.object(&result), b"2 devices\n");
    // The event is a promise to those who write functions.
    let (name, mut called) = loopback.state.lock().unwrap().calls[0].clone();
    assert_eq!(name, "farm-low");
    let output = called["output"]["key"].take();
    let stem = format!("athena-results/steps/report-{}", id.short());
    assert!(output.as_str().unwrap().starts_with(&format!("{stem}-")), "{output}");
    let expected = json!({
        "version": 1, "rule": "report", "id": id.to_string(), "hour": "2026-03-09-07",
        "trigger": {"bucket": "farm-lake", "key": KEY, "etag": ETAG},
        "rows": {"bucket": "farm-lake", "key": format!("{stem}.jsonl"), "count": 2},
        "output": {"bucket": "farm-lake", "key": null},
    });
    assert_eq!(called, expected);
    let rows = String::from_utf8(loopback.object(&format!("{stem}.jsonl"))).unwrap();
    assert_eq!(rows.replace(".0}", "}"), "{\"device_id\":\"a\",\"level\":5}\n{\"device_id\":\"b\",\"level\":7.5}\n");

    // Late, twice, and by another instance: the function has nothing to do any more.
    function.invoke(&event()).unwrap();
    react(&house, &loopback).invoke(&event()).unwrap();
    assert_eq!((loopback.calls(), loopback.keys("reports/").len()), (1, 1));
}

#[test]
fn what_a_function_writes_for_a_table_is_made_canonical_and_a_row_that_does_not_fit_fails_the_rule_alone() {
    let table = REPORT.replace("\"to\": \"reports/low/\"", "\"into\": \"low\"");
    let house = house(&format!(
        "{table}, {{\"name\": \"other\", \"on\": \"ping\", \"query\": \"q.sql\", \"function\": \"x\", \"to\": \"reports/x/\"}}"
    ));
    let loopback = Loopback::start(ROWS, writes("{\"deviceId\":\"a\",\"level\":\"low\"}\n"));
    let function = react(&house, &loopback);
    let failed = function.invoke(&event()).unwrap_err();
    assert!(failed.contains("row 1 is none of the table `low` in `level`: not a number"), "{failed}");
    assert_eq!(loopback.keys("processed/"), Vec::<String>::new());
    assert_eq!(loopback.keys("reports/x/").len(), 1, "the other rule is done");
    // Repaired, and the event comes again.
    loopback.becomes(writes("{\"deviceId\":\"a\",\"level\":\"5\"}\n"));
    function.invoke(&event()).unwrap();
    let result = format!("processed/v0/low/dt=2026-03-09-07/low-{}.gz", identity(&house).short());
    assert_eq!(loopback.keys("processed/"), [result.as_str()]);
    assert_eq!(unpacked(&loopback.object(&result)), "{\"device_id\":\"a\",\"level\":5}\n");
    assert_eq!(loopback.calls(), 3);
}

#[test]
fn a_function_that_fails_is_slow_or_writes_nothing_leaves_nothing_and_is_called_again() {
    let house = house(&REPORT.replace("\"to\"", "\"timeoutSeconds\": 1, \"to\""));
    // It writes and then fails: what a failed call wrote must not pass for the result of a later one.
    let loopback = Loopback::start(ROWS, {
        let mut write = writes("half\n");
        Box::new(move |event, objects| {
            write(event, objects);
            (200, Some("Unhandled"), json!({"errorMessage": "out of \u{1b}[31mpaper", "errorType": "Error"}))
        })
    });
    let function = react(&house, &loopback);
    let failed = function.invoke(&event()).unwrap_err();
    assert!(failed.contains("the function `farm-low` failed: out of \\x1b[31mpaper"), "{failed}");
    for (function_is, reason) in [
        ((200, None, Value::Null), "succeeded, but wrote nothing to athena-results/steps/report-"),
        (
            (404, None, json!({"Message": "Function not found"})),
            "refuses to call the function `farm-low` (HTTP 404): Function not found",
        ),
        ((429, None, json!({"message": "Rate Exceeded."})), "(HTTP 429): Rate Exceeded."),
    ] {
        loopback.becomes(Box::new(move |_, _| function_is.clone()));
        let failed = function.invoke(&event()).unwrap_err();
        assert!(failed.contains(reason), "{reason}: {failed}");
    }
    let (end, wait) = std::sync::mpsc::channel::<()>();
    loopback.becomes(Box::new(move |_, _| {
        wait.recv().ok();
        (200, None, Value::Null)
    }));
    let failed = function.invoke(&event()).unwrap_err();
    assert!(failed.contains("did not answer within 1 s"), "{failed}");
    drop(end);
    assert_eq!(loopback.keys("reports/"), Vec::<String>::new());
    loopback.becomes(writes("whole\n"));
    function.invoke(&event()).unwrap();
    let keys = loopback.keys("reports/");
    assert_eq!((keys.len(), loopback.object(&keys[0])), (1, b"whole\n".to_vec()));
}

#[test]
fn a_function_without_a_result_is_called_once_for_each_object_and_again_when_nobody_could_write_down_that_it_was() {
    let house = house(
        r#"{"name": "mail", "on": "ping", "query": "q.sql", "function": "arn:aws:lambda:us-east-1:000000000000:function:mail:live"}"#,
    );
    let loopback = Loopback::start(
        ROWS,
        Box::new(|event, _| {
            assert!(event["output"].is_null());
            (202, None, Value::Null)
        }),
    );
    let function = react(&house, &loopback);
    for _ in 0..3 {
        function.invoke(&event()).unwrap();
    }
    assert_eq!(loopback.calls(), 1);
    assert_eq!(loopback.state.lock().unwrap().calls[0].0, "arn:aws:lambda:us-east-1:000000000000:function:mail:live");
    let done = format!("athena-results/steps/mail-{}.done", identity(&house).short());
    assert!(loopback.state.lock().unwrap().objects.remove(&done).is_some());
    function.invoke(&event()).unwrap();
    assert_eq!(loopback.calls(), 2, "at least once");
}

#[test]
fn a_program_without_a_function_is_left_to_the_laptop_and_a_function_elsewhere_is_not_called() {
    let local = r#"{"name": "local", "on": "ping", "query": "q.sql", "run": ["true"]}"#;
    let far = REPORT.replace("farm-low", "arn:aws:lambda:eu-west-1:000000000000:function:farm-low");
    let house = house(local);
    let loopback = Loopback::start(ROWS, writes("x"));
    assert_eq!(String::from_utf8_lossy(&react(&house, &loopback).invoke(&event()).unwrap()), "{\"done\":0}");
    // lake.json need not say where the lake is: then only the function itself can know.
    let house = self::house(&far.replace("eu-west-1", "us-east-1"));
    let text = std::fs::read_to_string(house.path().join("lake.json")).unwrap();
    house.file(
        "lake.json",
        &text.replace(", \"region\": \"us-east-1\"", "").replace("lambda:us-east-1", "lambda:eu-west-1"),
    );
    let failed = react(&house, &loopback).invoke(&event()).unwrap_err();
    assert!(failed.contains("lies in eu-west-1, the lake in us-east-1"), "{failed}");
    assert_eq!(loopback.calls(), 0);
}
