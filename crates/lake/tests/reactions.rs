//! Reactions as an operator has them: rules of lake.json, `datalake react`, and what lies in the lake afterwards.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test a panic is an answer, and what is skipped is said"
)]

#[path = "support/house.rs"]
mod house;

use datalake_react::{Hour, Identity, result_key};
use house::{House, duckdb, tree, unpacked, words};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LAKE: &str = r#"{"name": "farm", "protos": ["schema"],
    "tables": {
        "ping": {"message": "t.Ping", "prefix": "raw/v0/ping/"},
        "battery": {"message": "t.Battery", "prefix": "processed/v0/battery/"},
        "total": {"message": "t.Total", "prefix": "processed/v0/total/"}},
    "reactions": [
        {"name": "total", "on": "battery", "query": "sql/total.sql", "into": "total"},
        {"name": "battery", "on": "ping", "query": "sql/battery.sql", "into": "battery"},
        {"name": "week", "on": "battery",
            "chart": {"query": "sql/week.sql", "time": "sent_at", "value": "level", "series": "device_id", "to": "charts/week.svg"}},
        {"name": "step", "on": "battery", "query": "sql/battery.sql",
            "run": ["sh", "-c", "read -r line; echo \"$LAKE_HOUR $line\" > \"$LAKE_OUT\""], "to": "reports/step/"}]}"#;
const PROTO: &str = r#"syntax = "proto3"; package t; import "google/protobuf/timestamp.proto";
    message Ping { string device_id = 1; google.protobuf.Timestamp sent_at = 2; double level = 3; }
    message Battery { string device_id = 1; google.protobuf.Timestamp sent_at = 2; double level = 3; }
    message Total { string hour = 1; int64 devices = 2; }"#;
const BATTERY: &str = "SELECT device_id, max_by(level, sent_at) AS level, max(sent_at) AS sent_at\nFROM ping\n\
    WHERE device_id IS NOT NULL AND dt BETWEEN '{dt-7d}' AND '{dt}'\nGROUP BY device_id ORDER BY device_id\n";
const TOTAL: &str = "SELECT '{dt}' AS hour, count(DISTINCT device_id) AS devices FROM battery WHERE dt = '{dt}'\n";
const WEEK: &str = "SELECT device_id, sent_at, level FROM battery WHERE dt BETWEEN '{dt-7d}' AND '{dt}'\n";
/// Nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

fn house() -> House {
    let house = House::new(LAKE, PROTO);
    for (name, query) in [("battery", BATTERY), ("total", TOTAL), ("week", WEEK)] {
        house.file(&format!("sql/{name}.sql"), query);
    }
    house
}

fn ping(house: &House, hour: &str, name: &str, device: &str, level: u32) -> PathBuf {
    let day = &hour[..10];
    let line =
        format!("{{\"device_id\":\"{device}\",\"sent_at\":\"{day}T{}:00:00.000Z\",\"level\":{level}}}\n", &hour[11..]);
    house.object("raw/v0/ping/", hour, name, line.as_bytes())
}

/// `datalake react --once`; whether it succeeded, and what it said.
fn once(house: &House, duckdb: &Path) -> (bool, String) {
    let output = house.run(&["react", "--once", "--duckdb", &duckdb.display().to_string()], "");
    (output.status.success(), words(&output))
}

/// Keys below a prefix, without hidden names.
fn keys(house: &House, prefix: &str) -> BTreeSet<String> {
    let root = house.path().join("lake");
    let files = tree(&root.join(prefix)).into_keys();
    files.map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned()).collect()
}

/// What must lie below the prefixes of results: one object for each trigger, under the name that its identity gives it.
fn expected(house: &House) -> BTreeMap<&'static str, BTreeSet<String>> {
    let (lake, _) = house.lake();
    let results = |rule: &str, on: &str, prefix: &str, stem: &str, ending: &str| -> BTreeSet<String> {
        let reaction = lake.reactions.iter().find(|reaction| reaction.name == rule).unwrap();
        let version = reaction.version(&datalake::react::read_query(reaction).unwrap());
        let one = |key: String| {
            let bytes = std::fs::read(house.path().join("lake").join(&key)).unwrap();
            let etag: String =
                <md5::Md5 as md5::Digest>::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            let identity = Identity::of(rule, &version, &key, &etag);
            let hour = Hour::parse(datalake_react::partition(on, &key).unwrap()).unwrap();
            result_key(prefix, &hour, stem, &identity, ending)
        };
        keys(house, on).into_iter().map(one).collect()
    };
    let (raw, battery, total) = ("raw/v0/ping/", "processed/v0/battery/", "processed/v0/total/");
    [
        (battery, results("battery", raw, battery, "battery", "gz")),
        (total, results("total", battery, total, "total", "gz")),
        ("reports/step/", results("step", battery, "reports/step/", "step", "txt")),
    ]
    .into()
}

fn assert_one_result_each(house: &House, context: &str) {
    for (prefix, expected) in expected(house) {
        assert_eq!(keys(house, prefix), expected, "{prefix}: {context}");
    }
}

#[test]
fn each_object_is_answered_once_by_each_rule_and_without_news_no_byte_is_written() {
    let Some(duckdb) = duckdb() else { return };
    let house = house();
    ping(&house, "2026-03-09-07", "a.gz", "a", 80);
    ping(&house, "2026-03-09-08", "b.gz", "b", 60);
    let (good, printed) = once(&house, &duckdb);
    assert!(good && printed.contains("7 done, 0 failed"), "{printed}");
    assert_one_result_each(&house, &printed);
    let rows = |hour: &str| {
        let folder = format!("processed/v0/battery/dt={hour}/");
        let found = tree(&house.path().join("lake").join(folder)).into_values();
        found.map(|bytes| unpacked(&bytes)).collect::<String>()
    };
    // Device a is absent from the newer object and yet in its result: all devices, not those of the object alone.
    assert_eq!(
        rows("2026-03-09-08"),
        "{\"device_id\":\"a\",\"sent_at\":\"2026-03-09T07:00:00.000Z\",\"level\":80.0}\n\
         {\"device_id\":\"b\",\"sent_at\":\"2026-03-09T08:00:00.000Z\",\"level\":60.0}\n"
    );
    let chart = house.path().join("lake/charts/week.svg");
    assert!(std::fs::read_to_string(&chart).unwrap().contains("<title>a"), "{printed}");

    let before = tree(house.path());
    let (good, printed) = once(&house, &duckdb);
    assert!(good && printed.contains("0 done, 0 failed"), "{printed}");
    assert_eq!(tree(house.path()), before, "{printed}");

    // The same bytes written again are the same object; a late one in an hour of long ago is news.
    ping(&house, "2026-03-09-07", "a.gz", "a", 80);
    let (good, printed) = once(&house, &duckdb);
    assert!(good && printed.contains("0 done, 0 failed"), "{printed}");
    ping(&house, "2026-03-01-00", "late.gz", "c", 10);
    let (good, printed) = once(&house, &duckdb);
    assert!(good && printed.contains("4 done, 0 failed"), "{printed}");
    assert_one_result_each(&house, &printed);

    // All that is remembered besides the results may be lost.
    std::fs::remove_dir_all(house.path().join("lake/.reactions")).unwrap();
    let before = keys(&house, "processed/");
    let (good, printed) = once(&house, &duckdb);
    assert!(good && keys(&house, "processed/") == before, "{printed}");
}

#[test]
fn a_rule_that_fails_holds_up_no_other_one_and_status_says_what_waits_and_why() {
    let Some(duckdb) = duckdb() else { return };
    let house = house();
    house.file("sql/total.sql", "SELECT 1 AS no_such_column\n");
    ping(&house, "2026-03-09-07", "a.gz", "a\u{1b}[31m", 80);
    let status = || words(&house.run(&["status"], ""));
    let line = |printed: &str, rule: &str| {
        printed.lines().find(|line| line.starts_with(rule) && line.contains("  ")).unwrap().to_owned()
    };
    let printed = status();
    let reactions = &printed[printed.find("reaction").unwrap()..];
    assert!(line(reactions, "battery").contains("1      `datalake react` is not running"), "{printed}");
    let (good, printed) = once(&house, &duckdb);
    assert!(!good && printed.contains("total: FAILED") && printed.contains("no_such_column"), "{printed}");
    assert!(
        house.path().join("lake/charts/week.svg").is_file() && keys(&house, "reports/step/").len() == 1,
        "{printed}"
    );
    let printed = status();
    let reactions = &printed[printed.find("reaction").unwrap()..];
    assert!(line(reactions, "total").contains("no_such_column"), "{printed}");
    assert!(line(reactions, "battery").ends_with("0      -"), "{printed}");
    assert!(!printed.contains('\u{1b}'), "{printed:?}");
    house.file("sql/total.sql", TOTAL);
    let (good, printed) = once(&house, &duckdb);
    assert!(good, "{printed}");
    assert_one_result_each(&house, &printed);
}

#[test]
fn a_program_that_fails_hangs_or_writes_rows_that_are_none_leaves_no_result() {
    let Some(duckdb) = duckdb() else { return };
    for (program, reason) in [
        (r#"["sh", "-c", "echo out > \"$LAKE_OUT\"; echo it broke >&2; exit 3"], "to": "reports/step/""#, "it broke"),
        (r#"["sh", "-c", "exec sleep 60"], "timeoutSeconds": 1, "to": "reports/step/""#, "ran longer than 1 s"),
        (r#"["sh", "-c", "echo '{\"devices\": \"many\"}' > \"$LAKE_OUT\""], "into": "total""#, "in `devices`"),
        (r#"["no-such-program-here"], "to": "reports/step/""#, "cannot run `no-such-program-here`"),
    ] {
        let house = house();
        let rule =
            format!("{{\"name\": \"step\", \"on\": \"ping\", \"query\": \"sql/battery.sql\", \"run\": {program}}}");
        let begin = LAKE.find("\"reactions\"").unwrap();
        house.file("lake.json", &format!("{}\"reactions\": [{rule}]}}", &LAKE[..begin]));
        ping(&house, "2026-03-09-07", "a.gz", "a", 80);
        let (good, printed) = once(&house, &duckdb);
        assert!(!good && printed.contains(reason), "{reason}: {printed}");
        assert!(keys(&house, "reports/").is_empty() && keys(&house, "processed/").is_empty(), "{printed}");
    }
}

#[test]
fn two_programs_on_one_lake_are_one_too_many() {
    let Some(duckdb) = duckdb() else { return };
    let house = house();
    std::fs::create_dir(house.path().join("lake")).unwrap();
    let _lock = datalake::react::journal::Lock::take(&house.path().join("lake")).unwrap();
    let (good, printed) = once(&house, &duckdb);
    assert!(!good && printed.contains("another `datalake react` is at work"), "{printed}");
}

#[test]
fn check_knows_whether_queries_give_what_reactions_do_with_them() {
    let Some(duckdb) = duckdb() else { return };
    let house = house();
    let check = |query: &str, text: &str| {
        house.file(query, text);
        let printed = words(&house.run(&["check", "--duckdb", &duckdb.display().to_string()], ""));
        for (name, text) in [("battery", BATTERY), ("total", TOTAL), ("week", WEEK)] {
            house.file(&format!("sql/{name}.sql"), text);
        }
        printed
    };
    assert!(check("sql/week.sql", WEEK).contains("3 tables and 3 queries and 4 reactions are good"));
    let printed = check("sql/battery.sql", "SELECT device_id AS device FROM ping\n");
    assert!(printed.contains("the reaction `battery`: `t.Battery` has no column `device`"), "{printed}");
    let printed = check("sql/week.sql", "SELECT device_id, sent_at FROM battery\n");
    assert!(printed.contains("the reaction `week`: the query gives no column `level`"), "{printed}");
    let printed = check("sql/week.sql", "SELECT device_id FROM battery WHERE dt > '{dt-7}'\n");
    assert!(printed.contains("is no placeholder"), "{printed}");
}

/// `datalake react` at work.
fn start(house: &House, duckdb: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_datalake"));
    command.args(["react", "--duckdb"]).arg(duckdb).current_dir(house.path());
    command.env("XDG_CACHE_HOME", house.path().join("cache"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn killed_a_hundred_times_each_object_still_has_one_result_of_each_rule() {
    let Some(duckdb) = duckdb() else { return };
    let seed = std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let kills: u32 = std::env::var("KILLS").map_or(100, |kills| kills.parse().unwrap());
    println!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let house = house();
    let mut written = 0;
    for round in 0..kills {
        if random.u32(..3) == 0 || round == 0 {
            let hour = format!("2026-03-{:02}-{:02}", random.u32(1..20), random.u32(..24));
            ping(&house, &hour, &format!("{round}.gz"), &format!("d{}", random.u32(..5)), random.u32(..100));
            written += 1;
        }
        let mut child = start(&house, &duckdb);
        std::thread::sleep(Duration::from_millis(random.u64(..600)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    let printed = loop {
        let (good, printed) = once(&house, &duckdb);
        if good {
            break printed;
        }
        assert!(Instant::now() < deadline, "SEED={seed}: {printed}");
    };
    assert_eq!(keys(&house, "processed/v0/battery/").len(), written, "SEED={seed}: {printed}");
    assert_one_result_each(&house, &format!("SEED={seed}: {printed}"));
    for (path, bytes) in tree(&house.path().join("lake/processed")) {
        assert!(!unpacked(&bytes).is_empty(), "SEED={seed}: {}", path.display());
    }
    let before = tree(house.path());
    let (good, printed) = once(&house, &duckdb);
    assert!(good && tree(house.path()) == before, "SEED={seed}: {printed}");
}
