//! Schemas, lines and objects that are made to do harm, or happen to: each is refused in words, within the memory and the
//! time of an ordinary one, and keeps nothing else from being done.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test a panic is an answer, and what is skipped is said"
)]

#[path = "support/house.rs"]
mod house;

use house::{House, duckdb, words};
use std::fmt::Write as _;

const LAKE: &str = r#"{"name": "t", "agent": "agent.json", "protos": ["schema"], "tables": {
    "ping": {"message": "t.Ping", "stream": "ping", "prefix": "raw/v0/ping/"}}}"#;
const PING: &str = "syntax = \"proto3\"; package t; message Ping { string device_id = 1; double level = 2; }";

/// Messages that each hold the one before, so often.
fn chain(length: usize, times: usize) -> String {
    let mut text =
        format!("syntax = \"proto3\"; package t; message Ping {{ M{length} a = 1; }} message M0 {{ string x = 1; }}");
    for number in 1..=length {
        write!(text, "message M{number} {{").unwrap();
        for field in 1..=times {
            write!(text, " M{} f{field} = {field};", number - 1).unwrap();
        }
        text.push('}');
    }
    text
}

/// The type of a column is written out in full. Thirty messages that each held the next one twice, a kilobyte of schema,
/// were a type of gigabytes, and three thousand that each held one were deeper than the stack.
#[test]
fn a_small_schema_of_a_huge_or_deep_type_is_refused_where_it_stands() {
    for (schema, reason) in [
        (chain(30, 2), "the type of `ping.a` has "),
        (chain(3000, 1), "messages are nested more than 64 deep here"),
        (chain(64, 1), "messages are nested more than 64 deep here"),
    ] {
        let house = House::new(LAKE, &schema);
        for command in [&["schema", "ping", "--as", "glue"][..], &["schema", "compile"], &["check"]] {
            let output = house.run(command, "");
            let printed = words(&output);
            assert_eq!(output.status.code(), Some(1), "{command:?}: {printed}");
            assert!(printed.contains(reason) && printed.contains("t.proto:1:"), "{command:?}: {printed}");
        }
    }
    let house = House::new(LAKE, &chain(60, 1));
    assert!(house.run(&["schema", "ping", "--as", "athena"], "").status.success(), "64 levels are enough for everyone");
    // The levels of another table's messages, which were gone into before, count too.
    let two = LAKE.replace("\"tables\": {", "\"tables\": {\"first\": {\"message\": \"t.M40\"},");
    let house = House::new(&two, &chain(70, 1));
    let printed = words(&house.run(&["check"], ""));
    assert!(printed.contains("nested more than 64 deep"), "{printed}");
}

#[test]
fn a_message_of_many_fields_is_a_table_and_one_of_too_many_is_refused() {
    let mut fields = String::new();
    for number in (1..30_000).filter(|number| !(19_000..20_000).contains(number)) {
        writeln!(fields, "  // Number {number}.\n  string f{number} = {number};").unwrap();
    }
    let house = House::new(LAKE, &format!("syntax = \"proto3\"; package t;\nmessage Ping {{\n{fields}}}\n"));
    let output = house.run(&["schema", "ping", "--as", "athena"], "");
    assert!(output.status.success() && words(&output).contains("`f29999` string COMMENT 'Number 29999.'"));
    let wide = "string s0 = 1;".replace("s0", &"n".repeat(200));
    let mut schema = format!("syntax = \"proto3\"; package t; message Wide {{ {wide} }} message Ping {{");
    for number in (1..30_000).filter(|number| !(19_000..20_000).contains(number)) {
        write!(schema, " Wide f{number} = {number};").unwrap();
    }
    let house = House::new(LAKE, &(schema + " }"));
    let printed = words(&house.run(&["check"], ""));
    assert!(
        printed.contains("the types of the columns of `ping` have") && printed.contains("lake.json:2:"),
        "{printed}"
    );
}

#[test]
fn what_nobody_sees_in_a_schema_is_said() {
    let house = House::new(LAKE, &format!("\u{feff}{PING}"));
    assert!(words(&house.run(&["check"], "")).contains("begins with a byte order mark"));
    let house = House::new(LAKE, "");
    assert!(words(&house.run(&["check"], "")).contains("the files of `protos` have no message at all"));
}

/// A line of 50 MB filled the screen, and counted as four lines.
#[test]
fn a_line_longer_than_any_record_is_one_refused_line_and_is_not_shown_whole() {
    let house = House::new(LAKE, PING);
    let lines = format!(
        "{{\"device_id\":\"{}\"}}\n{}\n{{\"device_id\":\"\u{202e}\u{9b}a\"}}\n",
        "x".repeat(100_000),
        "y".repeat(20 << 20)
    );
    let output = house.run(&["validate", "ping"], &lines);
    let printed = words(&output);
    assert!(printed.contains("3 lines: 2 get another form, 1 are refused"), "{} bytes", printed.len());
    assert!(printed.contains("2: yyy") && printed.contains("REFUSED: longer than 16 MiB"));
    assert!(printed.len() < 40_000 && printed.contains("… (100017 bytes)"), "{} bytes", printed.len());
    assert!(!printed.contains('\u{202e}') && !printed.contains('\u{9b}'), "nothing steers the terminal");
    assert_eq!(output.status.code(), Some(1));
}

/// DuckDB advised to raise a setting that nobody can raise here.
#[test]
fn an_object_with_a_line_that_no_row_has_is_named() {
    let Some(duckdb) = duckdb() else { return };
    let house = House::new(LAKE, PING);
    house.object(
        "raw/v0/ping/",
        "2026-03-09-07",
        "bomb.gz",
        format!("{{\"device_id\":\"{}\"}}\n", "x".repeat(40 << 20)).as_bytes(),
    );
    let duckdb = duckdb.display().to_string();
    let output = house.run(&["query", "SELECT count(device_id) AS n FROM ping", "--duckdb", &duckdb], "");
    let printed = words(&output);
    assert!(
        printed.contains("the object raw/v0/ping/dt=2026-03-09-07/bomb.gz has a line of more than 16 MiB"),
        "{printed}"
    );
    assert!(!printed.contains("Try increasing"), "{printed}");
}

/// One truncated object hid all others, and of one that unpacked to more than the limit the beginning passed for the whole:
/// a replay would have moved the rest away unsent.
#[test]
fn an_object_of_failed_records_that_is_damaged_or_a_bomb_is_said_and_hides_no_other() {
    let house = House::new(LAKE, PING);
    let folder = house.path().join("lake/errors/ping/processing-failed/dt=2026-03-09-07");
    std::fs::create_dir_all(&folder).unwrap();
    let pack = |bytes: &mut dyn std::io::Read| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::copy(bytes, &mut packer).unwrap();
        packer.finish().unwrap()
    };
    let line = b"{\"errorCode\":\"x\",\"errorMessage\":\"\\u001b[31my\",\"rawData\":\"YQ==\"}\n";
    let whole = pack(&mut &line[..]);
    std::fs::write(folder.join("b-good.gz"), &whole).unwrap();
    std::fs::write(folder.join("a-cut.gz"), &whole[..whole.len() - 5]).unwrap();
    std::fs::write(folder.join("c-bomb.gz"), pack(&mut std::io::Read::take(std::io::repeat(b'\n'), (512 << 20) + 1)))
        .unwrap();
    let output = house.run(&["errors", "list"], "");
    let printed = words(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(
        printed.contains("b-good.gz: 1 records of `ping`") && printed.contains("1 records in 1 objects"),
        "{printed}"
    );
    assert!(printed.contains("cannot read") && printed.contains("a-cut.gz"), "{printed}");
    assert!(printed.contains("c-bomb.gz holds more than 512 MiB"), "{printed}");
    assert!(printed.contains("2 objects cannot be read") && !printed.contains('\u{1b}'), "{printed}");
}

/// A user who takes MQTT with the defaults and adds SCHEMA had a lake of rows with nothing but defaults.
#[test]
fn messages_in_an_envelope_that_the_schema_does_not_have_are_a_fault() {
    let house = House::new(LAKE, PING);
    let agent = |mqtt: &str| {
        format!(
            r#"{{"flows": [{{"mqtt": {{"broker": "mqtt://x", "topics": ["a/{{device_id}}"]{mqtt}}}, "deliveryStream": "ping",
                "dataProcessingOptions": [{{"optionName": "SCHEMA", "plan": "p", "table": "ping"}}]}}]}}"#
        )
    };
    for (mqtt, is_faulty) in [
        ("", true),
        (", \"envelope\": true", true),
        (", \"payloadFormat\": \"auto\"", true),
        (", \"payloadFormat\": \"protobuf\", \"envelope\": true", true),
        (", \"envelope\": false", false),
        (", \"payloadFormat\": \"protobuf\"", false),
        (", \"payloadFormat\": \"raw\"", false),
    ] {
        house.file("agent.json", &agent(mqtt));
        let printed = words(&house.run(&["check"], ""));
        assert_eq!(printed.contains("add \"envelope\": false to `mqtt`"), is_faulty, "{mqtt}: {printed}");
    }
    house.file("agent.json", &agent(""));
    house.file(
        "schema/t.proto",
        &PING
            .replace("double level = 2;", "Inner payload = 2;")
            .replace("; message", "; message Inner { double level = 1; } message"),
    );
    let printed = words(&house.run(&["check"], ""));
    assert!(!printed.contains("envelope"), "{printed}");
}

#[test]
fn a_service_that_cannot_be_reached_is_said_in_words() {
    let house = House::new(LAKE, PING);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_datalake"));
    command.args(["query", "--engine", "athena", "SELECT 1 AS a"]).current_dir(house.path());
    command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9").env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "a").env("AWS_SECRET_ACCESS_KEY", "b");
    let printed = words(&command.output().unwrap());
    assert!(printed.contains("it does not answer: ") && printed.contains("Connection refused"), "{printed}");
    assert!(!printed.contains("ConnectorError") && !printed.contains('{'), "{printed}");
}

/// A step that talks without end had its whole log read for the last line of it.
#[test]
fn of_a_program_that_says_too_much_the_last_words_are_kept() {
    let Some(duckdb) = duckdb() else { return };
    let reactions = r#""reactions": [{"name": "loud", "on": "ping", "query": "q.sql", "run": ["sh", "-c", "yes | head -c 50000000; echo; echo the end >&2; exit 3"]}]"#;
    let house = House::new(
        &LAKE.replace("\"agent\": \"agent.json\", ", "").replace("}}}", &format!("}}}}, {reactions}}}")),
        PING,
    );
    house.file("q.sql", "SELECT device_id FROM ping\n");
    house.object("raw/v0/ping/", "2026-03-09-07", "a.gz", b"{\"device_id\":\"a\"}\n");
    let printed = words(&house.run(&["react", "--once", "--duckdb", &duckdb.display().to_string()], ""));
    assert!(printed.contains("`sh` failed (exit status: 3): the end"), "{printed}");
    let left = std::fs::read_dir(house.path().join("lake/.reactions")).unwrap().flatten();
    assert!(left.into_iter().all(|entry| entry.path().extension().is_none_or(|ending| ending != "log")));
}
