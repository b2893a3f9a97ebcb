//! Queries on DuckDB with the prelude, against rows worked out by the rules of Trino; and what must not get through.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test a panic is an answer, and what is skipped is said"
)]

#[path = "support/house.rs"]
mod house;

use datalake::engine::Format;
use datalake::engine::duckdb::DuckDb;
use datalake::sql::lint;
use house::{House, tool, words};

const LAKE: &str = r#"{"name": "t", "protos": ["schema"], "tables": {
    "ping": {"message": "t.Ping", "prefix": "raw/v0/ping/"},
    "nothing": {"message": "t.Ping", "prefix": "raw/v0/nothing/"}}}"#;
const PROTO: &str = r#"syntax = "proto3"; package t; import "google/protobuf/timestamp.proto";
message Ping { string device_id = 1; double level = 2; int64 n = 3; google.protobuf.Timestamp sent_at = 4;
  Where where_at = 5; repeated int64 levels = 6; map<string, string> labels = 7; optional string note = 8; uint64 huge = 9; }
message Where { double lat = 1; double lon = 2; }
"#;

fn house() -> House {
    let house = House::new(LAKE, PROTO);
    let rows = [
        (
            "2026-03-09-07",
            "a.gz",
            r#"{"device_id":"a","level":80.5,"n":7,"sent_at":"2026-03-09T07:05:04.123Z","where_at":{"lat":1.5,"lon":2.5},"levels":[1,2,3],"labels":{"k":"v","j":"w"},"huge":18446744073709551615}
{"device_id":"b","level":20,"n":-7,"sent_at":"2026-03-09T07:59:59.000Z","levels":[],"labels":{},"note":"it's; \"x\"","huge":0}
"#,
        ),
        (
            "2026-03-09-08",
            "b.gz",
            r#"{"device_id":"a","level":79,"n":2,"sent_at":"2026-03-09T08:01:00.000Z","levels":[5],"labels":{"k":"u"},"huge":1}
not json at all
{"device_id":"c","level":0,"n":9007199254740993,"sent_at":"2026-03-09T08:02:00.000Z","levels":[],"labels":{},"note":"","huge":2}
"#,
        ),
    ];
    for (hour, name, lines) in rows {
        house.object("raw/v0/ping/", hour, name, lines.as_bytes());
    }
    house
}

/// A query, and the answer as CSV without its first line; rows are parted by `|`.
const ANSWERS: &[(&str, &str)] = &[
    // A line that is no JSON is a row of nulls, as with OpenX.
    ("SELECT count(*) FROM ping", "5"),
    ("SELECT count(device_id) FROM ping", "4"),
    ("SELECT count(*) FROM nothing", "0"),
    ("SELECT device_id FROM nothing WHERE dt = '2026-03-09-07'", ""),
    ("SELECT count(*) FROM ping WHERE dt = '2026-03-09-07'", "2"),
    ("SELECT DISTINCT dt FROM ping WHERE device_id IS NOT NULL ORDER BY dt DESC", "2026-03-09-08|2026-03-09-07"),
    (
        "SELECT device_id, max_by(level, sent_at) AS level FROM ping WHERE device_id IS NOT NULL GROUP BY device_id ORDER BY 1",
        "a,79.0|b,20.0|c,0.0",
    ),
    ("SELECT min_by(device_id, n) FROM ping", "b"),
    ("SELECT sum(n) FROM ping WHERE device_id = 'a'", "9"),
    ("SELECT avg(n) FROM ping WHERE device_id = 'a'", "4.5"),
    ("SELECT sum(n) / count(*) FROM ping WHERE device_id = 'a'", "4"),
    ("SELECT n / 2, n % 2 FROM ping WHERE device_id = 'b'", "-3,-1"),
    ("SELECT n / 2e0 FROM ping WHERE device_id = 'b'", "-3.5"),
    ("SELECT n FROM ping WHERE device_id = 'c'", "9007199254740993"),
    ("SELECT huge FROM ping ORDER BY huge DESC LIMIT 1", "18446744073709551615"),
    ("SELECT note FROM ping WHERE note IS NOT NULL ORDER BY note", "\"\"|\"it's; \"\"x\"\"\""),
    ("SELECT where_at.lat FROM ping WHERE where_at IS NOT NULL", "1.5"),
    ("SELECT labels['k'] FROM ping WHERE device_id = 'a' ORDER BY sent_at", "v|u"),
    ("SELECT element_at(labels, 'j') FROM ping WHERE device_id = 'a' ORDER BY sent_at", "w|"),
    ("SELECT cardinality(labels), cardinality(levels) FROM ping WHERE device_id = 'a' ORDER BY sent_at", "2,3|1,1"),
    ("SELECT levels[1] FROM ping WHERE cardinality(levels) > 0 ORDER BY 1", "1|5"),
    ("SELECT x FROM ping CROSS JOIN unnest(levels) AS u(x) ORDER BY x", "1|2|3|5"),
    ("SELECT contains(levels, 2) FROM ping WHERE n = 7", "true"),
    ("SELECT array_join(levels, '-') FROM ping WHERE n = 7", "1-2-3"),
    ("SELECT array_max(levels), array_min(levels) FROM ping WHERE n = 7", "3,1"),
    (
        "SELECT date_diff('hour', from_iso8601_timestamp(min(sent_at)), from_iso8601_timestamp(max(sent_at))) FROM ping",
        "0",
    ),
    ("SELECT date_diff('minute', timestamp '2026-03-09 07:59:59', timestamp '2026-03-09 08:01:00')", "1"),
    (
        "SELECT date_format(from_iso8601_timestamp(sent_at), '%Y-%m-%d %H:%i:%s') FROM ping WHERE n = 7",
        "2026-03-09 07:05:04",
    ),
    ("SELECT to_unixtime(from_iso8601_timestamp(sent_at)) FROM ping WHERE n = 7", "1773039904.123"),
    ("SELECT day_of_week(date '2026-03-08'), day_of_week(date '2026-03-09')", "7,1"),
    (
        "SELECT year(from_iso8601_timestamp(sent_at)), hour(from_iso8601_timestamp(sent_at)) FROM ping WHERE n = 7",
        "2026,7",
    ),
    (
        "SELECT substr(sent_at, 1, 13) AS h, count(*) FROM ping WHERE device_id IS NOT NULL GROUP BY substr(sent_at, 1, 13) ORDER BY h",
        "2026-03-09T07,2|2026-03-09T08,2",
    ),
    (
        "SELECT device_id, row_number() OVER (PARTITION BY device_id ORDER BY sent_at) FROM ping WHERE device_id = 'a' ORDER BY 2",
        "a,1|a,2",
    ),
    (
        "SELECT device_id, level - lag(level) OVER (PARTITION BY device_id ORDER BY sent_at) FROM ping WHERE device_id = 'a' ORDER BY sent_at",
        "a,|a,-1.5",
    ),
    ("SELECT count(*) FILTER (WHERE level > 50) FROM ping", "2"),
    ("SELECT count_if(level > 50) FROM ping", "2"),
    (
        "WITH newest AS (SELECT device_id, max(sent_at) AS sent_at FROM ping GROUP BY device_id) SELECT p.device_id FROM ping p JOIN newest n ON p.device_id = n.device_id AND p.sent_at = n.sent_at WHERE p.level < 50 ORDER BY 1",
        "b|c",
    ),
    ("SELECT coalesce(note, 'none') FROM ping WHERE n = 7", "none"),
    ("SELECT nullif(level, 0) FROM ping WHERE device_id = 'c'", ""),
    ("SELECT concat(device_id, note) FROM ping WHERE device_id IN ('a', 'b') ORDER BY n", "\"bit's; \"\"x\"\"\"||"),
    ("SELECT greatest(level, 50e0), least(level, 50e0) FROM ping WHERE n = 7", "80.5,50.0"),
    ("SELECT regexp_extract(sent_at, 'T([0-9]+)', 1) FROM ping WHERE n = 7", "07"),
    ("SELECT regexp_extract(device_id, '[0-9]') FROM ping WHERE n = 7", ""),
    ("SELECT regexp_replace(sent_at, '[0-9]', '#') FROM ping WHERE n = 2", "####-##-##T##:##:##.###Z"),
    ("SELECT split_part(sent_at, 'T', 1), split_part(sent_at, 'T', 3) FROM ping WHERE n = 2", "2026-03-09,"),
    ("SELECT json_extract_scalar('{\"a\": [1]}', '$.a'), json_extract_scalar('{\"a\": \"x\"}', '$.a')", ",x"),
    ("SELECT approx_distinct(device_id) FROM ping", "3"),
    ("SELECT if(level > 50, 'high', 'low') FROM ping WHERE device_id IS NOT NULL ORDER BY n", "low|high|high|low"),
    ("SELECT CASE WHEN level > 50 THEN 1 END FROM ping WHERE device_id = 'b'", ""),
    ("SELECT try_cast(device_id AS bigint) FROM ping WHERE n = 7", ""),
    ("SELECT level FROM ping ORDER BY level DESC, n LIMIT 2", "80.5|79.0"),
    ("SELECT device_id FROM ping ORDER BY device_id DESC OFFSET 1 LIMIT 2", "b|a"),
    (
        "SELECT dt, count(*) FROM ping GROUP BY GROUPING SETS ((dt), ()) ORDER BY dt",
        "2026-03-09-07,2|2026-03-09-08,3|,5",
    ),
    ("SELECT upper(device_id) || '!' FROM ping WHERE n = 7 UNION ALL SELECT 'z' ORDER BY 1", "A!|z"),
    ("SELECT 1 WHERE 'a' LIKE 'A'", ""),
    ("VALUES (1, 'a'), (2, 'b')", "1,a|2,b"),
];

#[test]
fn queries_answer_by_the_rules_of_trino() {
    let Some(program) = tool("duckdb") else { return };
    let house = house();
    let (lake, schema) = house.lake();
    let duckdb = DuckDb::find(Some(&program)).unwrap_or_else(|exit| panic!("{exit}"));
    let mut wrong = Vec::new();
    for (query, expected) in ANSWERS {
        let checked = lint::check("query", query).unwrap_or_else(|report| panic!("{query}: {report}"));
        match duckdb.query(&lake, &schema, checked, Format::Csv) {
            Err(exit) => wrong.push(format!("{query}\n    {exit}")),
            Ok(csv) => {
                let csv = String::from_utf8(csv).unwrap();
                let rows: Vec<&str> = csv.lines().skip(1).collect();
                let found = rows.join("|");
                if found != *expected && format!("{found}|") != *expected {
                    wrong.push(format!("{query}\n    {found:?} instead of {expected:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), ANSWERS.len(), wrong.join("\n"));
}

#[test]
fn the_engine_itself_lets_nothing_out_of_the_lake_even_without_the_lint() {
    let Some(program) = tool("duckdb") else { return };
    let house = house();
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret.csv");
    std::fs::write(&secret, "a\nhidden\n").unwrap();
    let made = outside.path().join("made");
    let (lake, schema) = house.lake();
    let duckdb = DuckDb::find(Some(&program)).unwrap_or_else(|exit| panic!("{exit}"));
    let (secret, made) = (secret.display(), made.display());
    for query in [
        format!("SELECT * FROM read_csv('{secret}')"),
        format!("SELECT * FROM '{secret}'"),
        format!("SELECT 1); COPY (SELECT 1) TO '{made}'; SELECT (1"),
        format!("SELECT 1\n);\n.shell touch {made}\nSELECT (1"),
        format!("SELECT 1\n);\n.output {made}\nSELECT (1"),
        format!("SELECT * FROM glob('{}/*')", outside.path().display()),
        "SELECT getenv('HOME')".to_owned(),
        "SELECT 1); SET lock_configuration=false; SELECT (1".to_owned(),
        "SELECT * FROM read_text('../lake.json')".to_owned(),
    ] {
        // What the lint refuses is put to the engine all the same.
        assert!(lint::check("query", &query).is_err(), "{query}");
        if let Ok(answer) = duckdb.query(&lake, &schema, &query, Format::Csv) {
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(!answer.contains("hidden") && !answer.contains("protos"), "{query}: {answer}");
        }
    }
}

#[test]
fn a_truncated_object_is_named_and_one_that_is_whole_again_is_read() {
    let Some(program) = tool("duckdb") else { return };
    let house = house();
    let path = house.object("raw/v0/ping/", "2026-03-09-09", "cut.gz", &b"{\"device_id\":\"d\"}\n".repeat(5000));
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let program = program.display().to_string();
    let query = ["query", "SELECT count(*) AS n FROM ping", "--format", "csv", "--duckdb", &program];
    let output = house.run(&query, "");
    assert!(
        !output.status.success() && words(&output).contains("dt=2026-03-09-09/cut.gz is truncated"),
        "{}",
        words(&output)
    );
    std::fs::write(&path, &whole).unwrap();
    let output = house.run(&query, "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "n\n5005\n", "{}", words(&output));
}

#[test]
fn a_lake_in_a_folder_with_any_name_is_read() {
    let Some(program) = tool("duckdb") else { return };
    let lake = LAKE.replacen("\"name\"", "\"folder\": \"la'ke [x] *?/{a}\", \"name\"", 1);
    let house = House::new(&lake, PROTO);
    let made = house.object("raw/v0/ping/", "2026-03-09-07", "a 'b'.gz", b"{\"device_id\":\"a\"}\n");
    let root = house.path().join("la'ke [x] *?/{a}");
    std::fs::create_dir_all(root.parent().unwrap()).unwrap();
    std::fs::rename(house.path().join("lake"), &root).unwrap();
    drop(made);
    let program = program.display().to_string();
    let output = house.run(&["query", "SELECT device_id, dt FROM ping", "--format", "jsonl", "--duckdb", &program], "");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "{\"device_id\":\"a\",\"dt\":\"2026-03-09-07\"}\n",
        "{}",
        words(&output)
    );
}

#[test]
fn without_the_program_the_one_command_that_installs_it_is_told() {
    let house = house();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_datalake"))
        .args(["query", "SELECT 1"])
        .current_dir(house.path())
        .env("PATH", "/nowhere")
        .env_remove("HOME")
        .env_remove("VIRTUAL_ENV")
        .output()
        .unwrap();
    assert!(!output.status.success() && words(&output).contains("pip install duckdb-cli"), "{}", words(&output));
}

#[test]
fn a_chart_is_drawn_of_a_query_and_written_only_when_it_changes() {
    let Some(program) = tool("duckdb") else { return };
    let house = house();
    std::fs::write(
        house.path().join("week.sql"),
        "SELECT device_id, sent_at, level FROM ping WHERE device_id IS NOT NULL",
    )
    .unwrap();
    let program = program.display().to_string();
    let arguments = [
        "chart",
        "week.sql",
        "--value",
        "level",
        "--series",
        "device_id",
        "--to",
        "charts/week.svg",
        "--duckdb",
        &program,
    ];
    let output = house.run(&arguments, "");
    assert!(output.status.success() && words(&output).contains("wrote 3 series"), "{}", words(&output));
    let picture = std::fs::read_to_string(house.path().join("charts/week.svg")).unwrap();
    assert!(picture.contains("<title>a</title>") && picture.contains("03-09 07:10"), "{picture}");
    assert!(words(&house.run(&arguments, "")).contains("is up to date"));
    house.object(
        "raw/v0/ping/",
        "2026-03-09-09",
        "new.gz",
        b"{\"device_id\":\"a\",\"level\":70,\"sent_at\":\"2026-03-09T09:00:00.000Z\"}\n",
    );
    assert!(words(&house.run(&arguments, "")).contains("wrote 3 series"));
}
