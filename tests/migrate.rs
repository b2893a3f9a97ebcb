//! Moving over from the Kinesis Agent with the real program: databases made by the test, lines counted outside.
//! Promises that no line is sent twice and none is skipped, wherever its file went, and that a dry run writes nothing.
//! Leaves the words about odd configurations to tests/migrate_words.rs.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;
#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/kinesis_agent.rs"]
mod kinesis_agent;

use host::{Host, until};
use kinesis_agent::{KinesisAgent, Row, lines};
use std::path::Path;
use std::process::Command;

const STREAM: &str = "logs";

/// What arrived, as sorted lines.
fn sorted(payload: &[u8]) -> Vec<String> {
    let mut lines: Vec<String> = String::from_utf8(payload.to_vec()).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Starts the agent on what was migrated and asserts that exactly these lines arrive.
#[track_caller]
fn assert_arrive(old: &KinesisAgent, host: &Host, mut expected: Vec<String>) {
    expected.sort();
    let mut agent = host.start_with(&["run", "--config", old.new_config().to_str().unwrap(), "--log-format", "json"]);
    agent.wait_for("running");
    let bytes: usize = expected.iter().map(|line| line.len() + 1).sum();
    host.arrived(STREAM, bytes);
    // What must not come would have come before a line that is written now.
    let marker = format!("marker {}\n", fastrand::u64(..));
    append(&host.log("app.log"), &marker);
    let has_marker = || String::from_utf8_lossy(&host.payload(STREAM)).contains(&marker);
    until("the last line arrived", has_marker);
    assert_eq!(agent.stop(), 0);
    let mut arrived = sorted(&host.payload(STREAM));
    arrived.retain(|line| !line.starts_with("marker"));
    assert_eq!(arrived, expected);
}

fn texts(lines: &str) -> Vec<String> {
    lines.lines().map(str::to_owned).collect()
}

#[test]
fn reading_goes_on_exactly_where_the_kinesis_agent_was() {
    let host = Host::new();
    let old = KinesisAgent::on(&host, &[("app.log*", STREAM)]);
    let log = host.log("app.log");
    let (sent, rest) = (lines("a", 0, 400), lines("a", 400, 600));
    std::fs::write(&log, format!("{sent}{rest}")).unwrap();
    old.save(&[Row::of(&old.id("app.log*", STREAM), &log, sent.len())]);
    let (code, told) = old.migrate(&host, &["--write"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains(&format!("goes on at byte {}", sent.len())), "{told}");
    let later = lines("b", 0, 100);
    append(&log, &later);
    assert_arrive(&old, &host, texts(&(rest + &later)));
}

#[test]
fn a_file_that_was_rotated_since_goes_on_and_the_new_one_begins() {
    let host = Host::new();
    // The second flow's pattern names the live file alone.
    for pattern in ["app.log*", "app.log"] {
        let old = KinesisAgent::on(&host, &[(pattern, STREAM)]);
        let log = host.log("app.log");
        let (sent, rest) = (lines("a", 0, 300), lines("a", 300, 50));
        std::fs::write(&log, format!("{sent}{rest}")).unwrap();
        old.save(&[Row::of(&old.id(pattern, STREAM), &log, sent.len())]);
        kinesis_agent::later();
        std::fs::rename(&log, host.log("app.log.1")).unwrap();
        let new = lines("b", 0, 80);
        std::fs::write(&log, &new).unwrap();
        let (code, told) = old.migrate(&host, &["--write"]);
        assert_eq!(code, 0, "{told}");
        assert!(told.contains("app.log.1") && told.contains("which was"), "{told}");
        assert_arrive(&old, &host, texts(&(rest + &new)));
        old.wipe(&host);
    }
}

#[test]
fn older_files_and_archives_are_not_sent_again() {
    let host = Host::new();
    let old = KinesisAgent::on(&host, &[("app*", STREAM)]);
    std::fs::write(host.log("app-1.log"), lines("old", 0, 500)).unwrap();
    let archive = host.log("app-0.log.gz");
    let packed = Command::new("gzip").arg("-c").arg(host.log("app-1.log")).output().unwrap();
    std::fs::write(&archive, packed.stdout).unwrap();
    kinesis_agent::later();
    let log = host.log("app-2.log");
    let (sent, rest) = (lines("a", 0, 10), lines("a", 10, 10));
    std::fs::write(&log, format!("{sent}{rest}")).unwrap();
    let id = old.id("app*", STREAM);
    // Of the older file the last batch was saved with the position in the newer one.
    old.save(&[Row::of(&id, &host.log("app-1.log"), 100).aged(60), Row::of(&id, &log, sent.len())]);
    let (code, told) = old.migrate(&host, &["--write"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("read to its end"), "{told}");
    assert_arrive(&old, &host, texts(&rest));
}

#[test]
fn files_that_cannot_be_placed_are_listed_and_what_came_later_is_sent() {
    let host = Host::new();
    let old = KinesisAgent::on(&host, &[("app.log*", STREAM)]);
    let gone = host.log("app.log");
    std::fs::write(&gone, lines("gone", 0, 20)).unwrap();
    let row = Row::of(&old.id("app.log*", STREAM), &gone, 60);
    // The inode must not be given to the next file.
    std::fs::rename(&gone, host.root().join("elsewhere")).unwrap();
    let mut row_without_file = row;
    row_without_file.inode = u64::from(u32::MAX);
    old.save(&[row_without_file]);
    kinesis_agent::later();
    let new = lines("new", 0, 30);
    std::fs::write(&gone, &new).unwrap();
    let (code, told) = old.migrate(&host, &["--write"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("app.log: could not be placed (byte 60)"), "{told}");
    assert_arrive(&old, &host, texts(&new));
}

#[test]
fn a_file_moved_to_another_folder_is_found_and_named() {
    let host = Host::new();
    let old = KinesisAgent::on(&host, &[("app.log", STREAM)]);
    let log = host.log("app.log");
    std::fs::write(&log, lines("a", 0, 20)).unwrap();
    old.save(&[Row::of(&old.id("app.log", STREAM), &log, lines("a", 0, 5).len())]);
    std::fs::create_dir(host.log("old")).unwrap();
    std::fs::rename(&log, host.log("old/app.log.1")).unwrap();
    let (code, told) = old.migrate(&host, &[]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("old/app.log.1") && told.contains("added to `filePattern`"), "{told}");
}

#[test]
fn a_dry_run_and_every_refusal_write_nothing() {
    let host = Host::new();
    let old = KinesisAgent::on(&host, &[("app.log*", STREAM)]);
    let log = host.log("app.log");
    std::fs::write(&log, lines("a", 0, 10)).unwrap();
    old.save(&[Row::of(&old.id("app.log*", STREAM), &log, 0)]);
    let before = std::fs::read(old.database()).unwrap();
    let untouched = |what: &str| {
        assert!(!old.new_config().exists(), "{what} wrote a configuration");
        assert_eq!(std::fs::read_dir(host.state()).unwrap().count(), 0, "{what} wrote positions");
    };
    let (code, told) = old.migrate(&host, &[]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("--write when all of this is right"), "{told}");
    untouched("a dry run");
    for (bytes, words) in [
        (&b"no database"[..], "is no SQLite database"),
        (&before[..600], "damaged"),
        (b"SQLite format 3\0", "checkpoints"),
        (b"", "it is empty"),
    ] {
        std::fs::write(old.database(), bytes).unwrap();
        let (code, told) = old.migrate(&host, &["--write"]);
        assert_eq!(code, 74, "{told}");
        assert!(told.contains(words) && told.contains("nothing was written"), "{told}");
        untouched(words);
    }
    std::fs::remove_file(old.database()).unwrap();
    let (code, told) = old.migrate(&host, &["--write"]);
    assert!(code == 74 && told.contains("--without-checkpoints"), "{told}");
    untouched("a missing database");
    let (code, told) = old.migrate(&host, &["--write", "--without-checkpoints"]);
    assert_eq!(code, 0, "{told}");
    assert!(old.new_config().exists());
}

#[test]
fn neither_agent_may_be_running() {
    let host = Host::new();
    let old = KinesisAgent::on(&host, &[("app.log*", STREAM)]);
    let log = host.log("app.log");
    std::fs::write(&log, lines("a", 0, 10)).unwrap();
    old.save(&[Row::of(&old.id("app.log*", STREAM), &log, 0)]);
    let running = old.pretend_to_run();
    let (code, told) = old.migrate(&host, &["--write"]);
    assert_eq!(code, 73, "{told}");
    assert!(told.contains(&format!("pid {}", running.pid())) && told.contains("systemctl disable"), "{told}");
    assert_eq!(old.migrate(&host, &[]).0, 0, "a dry run may look");
    drop(running);
    assert_eq!(old.migrate(&host, &["--write"]).0, 0);
    let agent = host.start_with(&["run", "--config", old.new_config().to_str().unwrap(), "--log-format", "json"]);
    agent.wait_for("running");
    let (code, told) = old.migrate(&host, &["--write"]);
    assert_eq!(code, 73, "{told}");
    assert!(told.contains("another agent"), "{told}");
}

#[test]
fn what_was_there_is_kept_and_a_later_position_of_ours_stays() {
    let host = Host::new();
    let old = KinesisAgent::on(&host, &[("app.log*", STREAM)]);
    let log = host.log("app.log");
    let all = lines("a", 0, 50);
    std::fs::write(&log, &all).unwrap();
    old.save(&[Row::of(&old.id("app.log*", STREAM), &log, 0).aged(10)]);
    std::fs::create_dir_all(old.new_config().parent().unwrap()).unwrap();
    std::fs::write(old.new_config(), "{\"flows\": []}").unwrap();
    let (code, told) = old.migrate(&host, &["--write"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("agent.json.orig"), "{told}");
    assert_arrive(&old, &host, texts(&all));
    // Once more, with the same old database: nothing is taken back.
    let (code, told) = old.migrate(&host, &["--write"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("saved later itself") && told.contains("is as it should be"), "{told}");
    assert_arrive(&old, &host, texts(&all));
}

#[test]
fn what_an_interrupted_write_left_behind_is_undone_in_a_copy() {
    let host = Host::new();
    let old = KinesisAgent::on(&host, &[("app.log*", STREAM)]);
    let log = host.log("app.log");
    let (sent, rest) = (lines("a", 0, 10), lines("a", 10, 10));
    std::fs::write(&log, format!("{sent}{rest}")).unwrap();
    old.save(&[Row::of(&old.id("app.log*", STREAM), &log, sent.len())]);
    old.interrupt_a_write();
    let before = std::fs::read(old.database()).unwrap();
    let (code, told) = old.migrate(&host, &["--write"]);
    assert_eq!(code, 0, "{told}");
    assert_eq!(std::fs::read(old.database()).unwrap(), before, "the database was written to");
    assert_arrive(&old, &host, texts(&rest));
}

#[test]
fn flows_that_cannot_move_are_left_out_only_when_asked_for() {
    let host = Host::new();
    let old = KinesisAgent::on(&host, &[("app.log*", STREAM), ("web.log", "web")]);
    old.edit(|config| {
        config["flows"][1]["dataProcessingOptions"] =
            serde_json::json!([{"optionName": "USINGPLUGGIN", "className": "a.B"}]);
    });
    std::fs::write(host.log("app.log"), lines("a", 0, 5)).unwrap();
    old.save(&[Row::of(&old.id("app.log*", STREAM), &host.log("app.log"), 0)]);
    let (code, told) = old.migrate(&host, &["--write"]);
    assert_eq!(code, 78, "{told}");
    assert!(told.contains("cannot move") && told.contains("--leave-out") && !old.new_config().exists(), "{told}");
    let (code, told) = old.migrate(&host, &["--write", "--leave-out"]);
    assert_eq!(code, 0, "{told}");
    let written = std::fs::read_to_string(old.new_config()).unwrap();
    assert!(written.contains("app.log*") && !written.contains("web.log"), "{written}");
}

#[test]
fn side_by_side_both_agents_come_to_the_same_position() {
    let host = Host::new();
    let old = KinesisAgent::on(&host, &[("app.log*", STREAM)]);
    let log = host.log("app.log");
    let sent = lines("a", 0, 10);
    std::fs::write(&log, lines("a", 0, 20)).unwrap();
    let id = old.id("app.log*", STREAM);
    old.save(&[Row::of(&id, &log, sent.len())]);
    let shadow = old.spawn(&host, &["--shadow", "--patience", "60"]);
    // The Kinesis Agent reads on, over a rotation.
    kinesis_agent::later();
    std::fs::rename(&log, host.log("app.log.1")).unwrap();
    std::fs::write(&log, lines("b", 0, 7)).unwrap();
    old.save(&[Row::of(&id, &log, lines("b", 0, 7).len())]);
    let (code, told) = KinesisAgent::ended(shadow);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("the same") && told.contains("1 flow compared, 0 with a difference"), "{told}");
    assert_eq!(std::fs::read_dir(host.state()).unwrap().count(), 0, "it wrote positions");
    assert!(host.payload(STREAM).is_empty(), "it sent something");
}

#[test]
fn side_by_side_a_position_that_this_agent_would_not_reach_is_told() {
    let host = Host::new();
    let old = KinesisAgent::on(&host, &[("app.log*", STREAM)]);
    let log = host.log("app.log");
    std::fs::write(&log, lines("a", 0, 20)).unwrap();
    let id = old.id("app.log*", STREAM);
    old.save(&[Row::of(&id, &log, 0)]);
    let shadow = old.spawn(&host, &["--shadow", "--patience", "4"]);
    kinesis_agent::later();
    // In the middle of a line.
    old.save(&[Row::of(&id, &log, 15)]);
    let (code, told) = KinesisAgent::ended(shadow);
    assert_eq!(code, 65, "{told}");
    assert!(told.contains("DIFFERS"), "{told}");
}

/// A life of the Kinesis Agent with rotations, cut off at any moment; then ours goes on.
#[test]
fn after_any_history_of_rotations_each_line_arrives_exactly_once() {
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    let rounds = std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    println!("SEED={seed} ROUNDS={rounds}");
    let host = Host::new();
    for round in 0..rounds {
        let mut random = fastrand::Rng::with_seed(seed.wrapping_add(round));
        let pattern = if random.bool() { "app.log*" } else { "app.log" };
        let old = KinesisAgent::on(&host, &[(pattern, STREAM)]);
        let id = old.id(pattern, STREAM);
        let log = host.log("app.log");
        // Rotations before the last position was saved: read, accepted and left.
        for file in 0..random.usize(..3) {
            std::fs::write(&log, lines(&format!("seen{file}-"), 0, random.usize(1..50))).unwrap();
            kinesis_agent::later();
            rotate(&host);
        }
        let count = random.usize(1..100);
        let accepted = random.usize(..=count);
        std::fs::write(&log, lines("live", 0, count)).unwrap();
        kinesis_agent::later();
        old.save(&[Row::of(&id, &log, lines("live", 0, accepted).len())]);
        let mut expected = texts(&lines("live", accepted, count - accepted));
        kinesis_agent::later();
        // And after it, while nobody read.
        for file in 0..random.usize(..3) {
            rotate(&host);
            let count = random.usize(1..50);
            std::fs::write(&log, lines(&format!("new{file}-"), 0, count)).unwrap();
            expected.extend(texts(&lines(&format!("new{file}-"), 0, count)));
            kinesis_agent::later();
        }
        let (code, told) = old.migrate(&host, &["--write"]);
        assert_eq!(code, 0, "round {round}: {told}");
        println!("round {round}: {pattern}\n{told}");
        assert_arrive(&old, &host, expected);
        old.wipe(&host);
    }
}

/// logrotate: every number grows by one.
fn rotate(host: &Host) {
    for number in (1..9).rev() {
        let (from, to) = (host.log(&format!("app.log.{number}")), host.log(&format!("app.log.{}", number + 1)));
        std::fs::rename(from, to).ok();
    }
    std::fs::rename(host.log("app.log"), host.log("app.log.1")).unwrap();
}

fn append(path: &Path, text: &str) {
    use std::io::Write;
    std::fs::File::options().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}
