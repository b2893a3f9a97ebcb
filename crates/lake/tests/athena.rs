//! `datalake query --engine athena` against MiniStack, which stands in for S3, Glue and Athena on loopback: the table is the
//! one that `datalake schema --as glue` prints, and the answers are those of the folder.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test a panic is an answer, and what is skipped is said"
)]

#[path = "support/house.rs"]
mod house;
#[path = "support/ministack.rs"]
mod ministack;

use house::{House, tool, words};
use ministack::MiniStack;

const LAKE: &str = r#"{"name": "t", "protos": ["schema"], "athena": {"bucket": "farm-lake", "region": "us-east-1"},
    "tables": {"ping": {"message": "t.Ping", "prefix": "raw/v0/ping/"}}}"#;
const PROTO: &str =
    "syntax = \"proto3\"; package t; message Ping { string device_id = 1; double level = 2; int64 n = 3; }";
const LINES: &[u8] =
    b"{\"device_id\":\"a\",\"level\":80.5,\"n\":9007199254740993}\n{\"device_id\":\"b,\\\"\",\"level\":20,\"n\":1}\n";
#[test]
fn athena_answers_as_the_folder_does_and_says_what_it_scanned() {
    let Some(stack) = MiniStack::start() else { return };
    let house = House::new(LAKE, PROTO);
    let object = house.object("raw/v0/ping/", "2026-03-09-07", "a.gz", LINES);
    let packed = std::fs::read(object).unwrap();
    stack.call("s3", "PUT", "/farm-lake", "", b"");
    let path = "/farm-lake/raw/v0/ping/dt%3D2026-03-09-07/a.gz";
    stack.call("s3", "PUT", path, "content-encoding: gzip\r\n", &packed);
    stack.glue("CreateDatabase", &serde_json::json!({"DatabaseInput": {"Name": "t"}}));
    let shown = house.run(&["schema", "ping", "--as", "glue"], "");
    let table: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    stack.glue("CreateTable", &serde_json::json!({"DatabaseName": "t", "TableInput": table}));

    let query = "SELECT device_id, level, n FROM ping WHERE dt = '2026-03-09-07' ORDER BY device_id";
    let output = stack.query(&house, query, "jsonl");
    let expected = "{\"device_id\":\"a\",\"level\":80.5,\"n\":9007199254740993}\n\
                    {\"device_id\":\"b,\\\"\",\"level\":20.0,\"n\":1}\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", words(&output));
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(printed.contains("scanned ") && printed.contains("at $5 a TB"), "{printed}");
    let output = stack.query(&house, query, "csv");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "device_id,level,n\na,80.5,9007199254740993\n\"b,\"\"\",20.0,1\n"
    );

    if let Some(duckdb) = tool("duckdb") {
        let duckdb = duckdb.display().to_string();
        let folder = house.run(&["query", query, "--format", "jsonl", "--duckdb", &duckdb], "");
        assert_eq!(String::from_utf8_lossy(&folder.stdout), expected, "{}", words(&folder));
    }

    let output = stack.query(&house, "SELECT no_such_column FROM ping", "csv");
    assert!(!output.status.success() && words(&output).contains("the query failed"), "{}", words(&output));
    let output = stack.query(&house, "SELECT 1; DROP TABLE ping", "csv");
    assert!(!output.status.success() && words(&output).contains("a second statement"), "{}", words(&output));
}
