//! What rotation, archives, links and copies do to the real agent: each layout that once lost lines or sent them twice.
//! Promises for each the exact lines that arrive, and the one log line where something is left out on purpose.
//! Leaves random mixtures to `tail_actions` and `kill`, and filesystems that lie to the worlds of the tail core.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;

use host::{Agent, Host, PATIENCE, holds_within};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

const STREAM: &str = "rotated";

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// Lines long enough that none is equal to another by chance.
fn lines(label: &str, numbers: std::ops::Range<usize>) -> String {
    numbers.map(|number| format!("{label} {number:06} {}\n", "some words of a log line ".repeat(3))).collect()
}

/// How often each line arrived.
fn arrived(host: &Host) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for line in String::from_utf8_lossy(&host.payload(STREAM)).lines() {
        *lines.entry(line.to_owned()).or_default() += 1;
    }
    lines
}

/// Waits until all lines of the text have arrived, then until what is appended to `sentinel` has arrived, too: whatever
/// should not come had its time. Every line must have come once, and no other.
#[track_caller]
fn exactly(host: &Host, expected: &str, sentinel: &Path) {
    let expected: Vec<&str> = expected.lines().collect();
    let missing = || {
        let arrived = arrived(host);
        expected.iter().filter(|line| !arrived.contains_key(**line)).count()
    };
    let complete = holds_within(PATIENCE, || missing() == 0);
    assert!(complete, "of {} lines {} are missing", expected.len(), missing());
    append(sentinel, b"the end\n");
    assert!(holds_within(PATIENCE, || arrived(host).contains_key("the end")), "the end never arrives");
    let mut arrived = arrived(host);
    arrived.remove("the end");
    let twice: Vec<_> = arrived.iter().filter(|(_, times)| **times > 1).take(3).collect();
    assert!(twice.is_empty(), "{} lines came twice, such as {twice:?}", arrived.values().filter(|n| **n > 1).count());
    let strange: Vec<_> = arrived.keys().filter(|line| !expected.contains(&line.as_str())).take(3).collect();
    assert!(strange.is_empty(), "never written: {strange:?}");
}

#[track_caller]
fn until_arrived(host: &Host, text: &str) {
    let complete = holds_within(PATIENCE, || {
        let arrived = arrived(host);
        text.lines().all(|line| arrived.contains_key(line))
    });
    assert!(complete, "not everything arrived before the next step");
}

/// Waits until everything that arrived is saved as settled, so that a stop has nothing to repeat.
fn stop(agent: &mut Agent) {
    assert_eq!(agent.stop(), 0);
}

fn gzip(path: &Path) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&std::fs::read(path).unwrap()).unwrap();
    encoder.finish().unwrap()
}

fn xz(path: &Path) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(&std::fs::read(path).unwrap()).unwrap();
    encoder.finish().unwrap()
}

fn copy_and_truncate(live: &Path, to: &Path) {
    std::fs::copy(live, to).unwrap();
    OpenOptions::new().write(true).truncate(true).open(live).unwrap();
}

fn folder(host: &Host, name: &str) -> PathBuf {
    let path = host.root().join(name);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Every Kubernetes and Docker host: the matched name is a link, and what it leads to is rotated in a folder of its own.
#[test]
fn behind_a_link_every_rotation_of_the_target_is_read_live_and_while_the_agent_is_down() {
    let host = Host::new().flow("*.log", STREAM, json!({}));
    let target = folder(&host, "t").join("c.log");
    let link = host.log("c.log");
    let mut all = lines("first", 0..20);
    append(&target, all.as_bytes());
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let mut agent = host.run();
    until_arrived(&host, &all);
    let rotate = |round: usize| {
        for number in (0..round).rev() {
            let from = if number == 0 { target.clone() } else { target.with_file_name(format!("c.log.{number}")) };
            if from.exists() {
                std::fs::rename(&from, target.with_file_name(format!("c.log.{}", number + 1))).unwrap();
            }
        }
    };
    // Two within a second.
    for round in 1..=3 {
        let new = lines(&format!("live {round}"), 0..20);
        append(&target, new.as_bytes());
        all += &new;
        if round < 3 {
            rotate(round);
        }
    }
    until_arrived(&host, &all);
    stop(&mut agent);
    for round in 3..=5 {
        let new = lines(&format!("down {round}"), 0..20);
        append(&target, new.as_bytes());
        all += &new;
        rotate(round);
    }
    let new = lines("last", 0..20);
    append(&target, new.as_bytes());
    all += &new;
    let mut agent = host.run();
    exactly(&host, &all, &target);
    stop(&mut agent);
}

#[test]
fn a_chain_of_links_is_followed_hop_by_hop_to_where_each_target_is_rotated() {
    let host = Host::new().flow("*.log", STREAM, json!({}));
    let (pods, runtime) = (folder(&host, "pods"), folder(&host, "runtime"));
    let target = runtime.join("json.log");
    let mut all = lines("first", 0..20);
    append(&target, all.as_bytes());
    std::os::unix::fs::symlink(&target, pods.join("0.log")).unwrap();
    std::os::unix::fs::symlink(pods.join("0.log"), host.log("x.log")).unwrap();
    let mut agent = host.run();
    until_arrived(&host, &all);
    for round in 0..2 {
        let new = lines(&format!("round {round}"), 0..20);
        append(&target, new.as_bytes());
        all += &new;
        // As the kubelet does: rename, then compress under a temporary name, then rename that.
        let rotated = runtime.join(format!("json.log.2026112{round}"));
        std::fs::rename(&target, &rotated).unwrap();
        let packed = rotated.with_extension(format!("2026112{round}.tmp"));
        std::fs::write(&packed, gzip(&rotated)).unwrap();
        std::fs::rename(&packed, runtime.join(format!("json.log.2026112{round}.gz"))).unwrap();
        std::fs::remove_file(&rotated).unwrap();
        if round == 0 {
            stop(&mut agent);
        } else {
            let new = lines("last", 0..20);
            append(&target, new.as_bytes());
            all += &new;
        }
    }
    let mut agent = host.run();
    exactly(&host, &all, &target);
    stop(&mut agent);
}

/// Every deployment sets `current` to the folder of its release. The pattern names that link, so no folder with a wildcard
/// was watched in which it changes: what the new release wrote was read up to two minutes later, or never, when another
/// release came first.
#[test]
fn a_link_to_a_folder_that_is_set_to_another_one_is_followed_at_once_also_in_the_middle_of_a_chain() {
    let host = Host::new();
    let (current, stable) = (host.root().join("current"), host.root().join("channels/stable"));
    folder(&host, "channels");
    std::os::unix::fs::symlink("channels/stable", &current).unwrap();
    let host = host.flow("", STREAM, json!({"filePattern": format!("{}/*.log", current.display())}));
    let deploy = |release: usize| {
        let target = folder(&host, &format!("releases/{release}"));
        let text = lines(&format!("release {release}"), 0..20);
        append(&target.join("app.log"), text.as_bytes());
        let new = host.root().join("channels/.new");
        std::os::unix::fs::symlink(&target, &new).unwrap();
        std::fs::rename(&new, &stable).unwrap();
        text
    };
    let mut all = deploy(0);
    let mut agent = host.run();
    until_arrived(&host, &all);
    for release in 1..=3 {
        let before = host.root().join(format!("releases/{}/app.log", release - 1));
        let last = lines(&format!("the last of {}", release - 1), 0..20);
        append(&before, last.as_bytes());
        all += &last;
        all += &deploy(release);
        until_arrived(&host, &all);
    }
    exactly(&host, &all, &current.join("app.log"));
    stop(&mut agent);
}

/// `releases/*/log` are links to `shared/log`, as Capistrano makes them, and the patterns match both. The kernel has one watch
/// for all names of a folder: events came for one of them only, and none at all once an old release was removed.
#[test]
fn a_folder_that_patterns_match_by_several_names_is_followed_by_each_and_when_one_of_them_goes() {
    const OTHER: &str = "other";
    let host = Host::new();
    let (shared, releases) = (folder(&host, "shared"), folder(&host, "releases"));
    for release in ["1", "2"] {
        std::os::unix::fs::symlink(&shared, releases.join(release)).unwrap();
    }
    let pattern = |folder: &Path, name: &str| json!({"filePattern": format!("{}/{name}", folder.display())});
    let host = host.flow("", STREAM, pattern(&shared, "*.log")).flow("", OTHER, pattern(&releases, "*/*.log"));
    let mut all = String::new();
    let mut agent = None;
    let write = |name: &str, all: &mut String| {
        let text = lines(name, 0..20);
        append(&shared.join(name), text.as_bytes());
        *all += &text;
    };
    let both_have = |all: &String| {
        until_arrived(&host, all);
        let complete = || {
            let payload = String::from_utf8_lossy(&host.payload(OTHER)).into_owned();
            all.lines().all(|line| payload.contains(line))
        };
        assert!(holds_within(PATIENCE, complete), "the flow of the releases does not get everything");
    };
    for name in ["first.log", "while both are watched.log", "after one name went.log"] {
        write(name, &mut all);
        let agent = agent.get_or_insert_with(|| host.run());
        both_have(&all);
        if name.starts_with("while") {
            std::fs::remove_file(releases.join("1")).unwrap();
            // Whatever follows from that has been done when the next folder is known.
            let third = releases.join("3");
            std::fs::create_dir(&third).unwrap();
            append(&third.join("a.log"), b"of the third release\n");
            let known = || String::from_utf8_lossy(&host.payload(OTHER)).contains("of the third release");
            assert!(holds_within(PATIENCE, known), "{}", agent.log_text());
        }
    }
    let more = lines("first.log", 20..40);
    append(&shared.join("first.log"), more.as_bytes());
    all += &more;
    exactly(&host, &all, &shared.join("first.log"));
    stop(&mut agent.unwrap());
}

/// Elastic Beanstalk and every `olddir`: a copy is taken, packed into another folder, and the log is truncated.
#[test]
fn a_copy_that_is_packed_into_another_folder_is_read_once_live_and_while_the_agent_is_down() {
    for (with_folder, named) in [(false, true), (false, false), (true, false)] {
        let mut host = Host::new();
        let rotated = match named {
            true => folder(&host, "elsewhere"),
            // Where it is sought by itself.
            false => folder(&host, "logs/rotated"),
        };
        let more = if named { json!({"rotatedTo": rotated.display().to_string()}) } else { json!({}) };
        let log = host.log("web.stdout.log");
        let patterns = match with_folder {
            true => json!([log.display().to_string(), format!("{}/*", rotated.display())]),
            false => json!(log.display().to_string()),
        };
        let mut flow = more;
        flow["filePattern"] = patterns;
        host = host.flow("web.stdout.log", STREAM, flow);
        let rotate = |stamp: &str| {
            let copy = host.root().join("copy");
            copy_and_truncate(&log, &copy);
            std::fs::write(rotated.join(format!("web.stdout.log{stamp}.gz")), gzip(&copy)).unwrap();
            std::fs::remove_file(copy).unwrap();
        };
        let mut all = lines("first", 0..100);
        append(&log, all.as_bytes());
        let mut agent = host.run();
        until_arrived(&host, &all);
        let new = lines("live", 0..200);
        append(&log, new.as_bytes());
        all += &new;
        until_arrived(&host, &all);
        rotate("1795867668");
        let new = lines("second", 0..100);
        append(&log, new.as_bytes());
        all += &new;
        until_arrived(&host, &all);
        stop(&mut agent);
        let new = lines("down", 0..100);
        append(&log, new.as_bytes());
        all += &new;
        rotate("1795871268");
        let new = lines("third", 0..100);
        append(&log, new.as_bytes());
        all += &new;
        let mut agent = host.run();
        exactly(&host, &all, &log);
        stop(&mut agent);
    }
}

/// Big files are deleted gently, a piece after the other: what is left of them was sent.
#[test]
fn a_delivered_file_that_is_truncated_step_by_step_is_not_sent_again() {
    let host = Host::new().flow("*.log", STREAM, json!({}));
    let log = host.log("app.log");
    let all = lines("line", 0..5_000);
    append(&log, all.as_bytes());
    let mut agent = host.run();
    until_arrived(&host, &all);
    let file = OpenOptions::new().write(true).open(&log).unwrap();
    for step in (1..10).rev() {
        file.set_len(all.len() as u64 * step / 10).unwrap();
        // So that each step is seen, whatever comes of it.
        append(&host.log("other.log"), format!("step {step}\n").as_bytes());
        until_arrived(&host, &format!("step {step}\n"));
    }
    file.set_len(0).unwrap();
    let steps: String = (1..10).map(|step| format!("step {step}\n")).collect();
    exactly(&host, &(all + &steps), &host.log("other.log"));
    stop(&mut agent);
}

/// rsync and restores put a longer copy in the place of the log: another file, the same content and more.
#[test]
fn a_log_that_is_replaced_by_a_longer_copy_of_itself_goes_on_where_it_was() {
    for down in [false, true] {
        let host = Host::new().flow("*.log", STREAM, json!({}));
        let log = host.log("app.log");
        let mut all = lines("line", 0..100);
        append(&log, all.as_bytes());
        let mut agent = host.run();
        for round in 1..=3 {
            until_arrived(&host, &all);
            if down {
                stop(&mut agent);
            }
            let new = lines(&format!("round {round}"), 0..100);
            all += &new;
            let copy = host.log(".app.log.Xy12");
            std::fs::write(&copy, &all).unwrap();
            std::fs::rename(&copy, &log).unwrap();
            if down {
                agent = host.run();
            }
        }
        exactly(&host, &all, &log);
        stop(&mut agent);
    }
}

#[test]
fn an_archive_is_known_by_its_bytes_and_read_once_or_skipped_and_named_but_never_shipped_as_it_is() {
    for kind in ["xz", "zip", "lz4"] {
        let host = Host::new().flow("app.log*", STREAM, json!({}));
        let log = host.log("app.log");
        let mut all = lines("line", 0..200);
        append(&log, all.as_bytes());
        let mut agent = host.run();
        until_arrived(&host, &all);
        stop(&mut agent);
        let unread = lines("unread", 0..100);
        append(&log, unread.as_bytes());
        let packed = match kind {
            "xz" => {
                all += &unread;
                xz(&log)
            }
            "zip" => [&b"PK\x03\x04\x14\0\0\0\x08\0"[..], &gzip(&log)].concat(),
            _ => [&b"\x04\x22\x4d\x18\x64\x40\xa7"[..], &gzip(&log)].concat(),
        };
        // The name says nothing.
        std::fs::write(host.log("app.log.1"), packed).unwrap();
        std::fs::remove_file(&log).unwrap();
        let new = lines("new", 0..10);
        append(&log, new.as_bytes());
        all += &new;
        let mut agent = host.run();
        if kind != "xz" {
            let line = agent.wait_for("archive is not read");
            assert!(
                line["file"].as_str().unwrap().ends_with("app.log.1") && line["bytes"].as_u64().unwrap() > 0,
                "{line}"
            );
        }
        exactly(&host, &all, &log);
        assert!(agent.logged("archive is not read").len() <= 1, "{kind}: more than one line");
        stop(&mut agent);
    }
}

/// The kubelet writes the archive under a name that matches, and renames it when it is whole. Killed in between, the agent
/// took a position in packed bytes for one in unpacked bytes.
#[test]
fn an_archive_that_is_seen_while_it_is_written_is_read_once_whatever_kills_come_between() {
    let host = Host::new().flow("0.log*", STREAM, json!({}));
    let log = host.log("0.log");
    let mut all = lines("line", 0..3_000);
    append(&log, all.as_bytes());
    let mut agent = host.run();
    until_arrived(&host, &all);
    stop(&mut agent);
    let unread = lines("unread", 0..3_000);
    append(&log, unread.as_bytes());
    all += &unread;
    let packed = gzip(&log);
    std::fs::remove_file(&log).unwrap();
    let temporary = host.log("0.log.20261128-101112.tmp");
    for piece in packed.chunks(packed.len() / 4 + 1) {
        append(&temporary, piece);
        host.run().kill();
    }
    std::fs::rename(&temporary, host.log("0.log.20261128-101112.gz")).unwrap();
    let mut agent = host.run();
    let complete = holds_within(PATIENCE, || {
        let arrived = arrived(&host);
        all.lines().all(|line| arrived.contains_key(line))
    });
    assert!(complete, "lines are missing");
    let arrived = arrived(&host);
    let strange: Vec<_> = arrived.keys().filter(|line| !all.contains(&format!("{line}\n"))).take(3).collect();
    assert!(strange.is_empty(), "never written: {strange:?}");
    stop(&mut agent);
}

#[test]
fn rotations_to_names_with_letters_while_the_agent_is_down_are_read() {
    let host = Host::new().flow("app.log", STREAM, json!({}));
    let log = host.log("app.log");
    let mut all = lines("line", 0..10);
    append(&log, all.as_bytes());
    let mut agent = host.run();
    until_arrived(&host, &all);
    stop(&mut agent);
    for day in ["26Nov2026", "27Nov2026"] {
        let new = lines(day, 0..10);
        append(&log, new.as_bytes());
        all += &new;
        std::fs::rename(&log, host.log(&format!("app.log.{day}"))).unwrap();
    }
    let new = lines("today", 0..10);
    append(&log, new.as_bytes());
    all += &new;
    let mut agent = host.run();
    exactly(&host, &all, &log);
    stop(&mut agent);
}

/// The agent hung, ignored SIGTERM, and hung again after every start.
#[test]
fn an_archive_of_nothing_without_end_holds_up_neither_other_flows_nor_a_stop() {
    for kind in ["frames to skip", "empty streams"] {
        let host = Host::new().flow("app.log*", STREAM, json!({})).flow("other.log", "other", json!({}));
        let (log, archive) = (host.log("app.log"), host.log("app.log.1"));
        append(&log, lines("line", 0..50).as_bytes());
        let mut agent = host.run();
        until_arrived(&host, &lines("line", 0..50));
        append(&log, lines("unread", 0..1).as_bytes());
        match kind {
            "frames to skip" => {
                let mut file = File::create(&archive).unwrap();
                // 240 frames of 4 GiB that take no room on the disk.
                for frame in 0..240_u64 {
                    file.seek(SeekFrom::Start(frame << 32)).unwrap();
                    if file.write_all(b"\x50\x2a\x4d\x18\xf8\xff\xff\xff").is_err() {
                        break;
                    }
                }
            }
            _ => {
                let empty = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best()).finish().unwrap();
                std::fs::write(&archive, empty.repeat(200_000)).unwrap();
            }
        }
        std::fs::remove_file(&log).unwrap();
        for round in 0..5 {
            append(&host.log("other.log"), format!("other {round}\n").as_bytes());
            let seen = holds_within(PATIENCE, || {
                String::from_utf8_lossy(&host.payload("other")).contains(&format!("other {round}\n"))
            });
            assert!(seen, "{kind}: the other flow stands still");
        }
        let line = agent.wait_for("archive is not read");
        assert!(line["reason"].as_str().unwrap().contains("hold no content"), "{line}");
        assert_eq!(agent.stop(), 0, "{kind}");
    }
}

#[test]
fn many_archives_are_unpacked_two_at_a_time_and_stay_within_the_memory() {
    let host = Host::new().flow("app.log*", STREAM, json!({}));
    let mut all = String::new();
    for number in 0..300 {
        let text = lines(&format!("archive {number}"), 0..3);
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
        encoder.write_all(text.as_bytes()).unwrap();
        std::fs::write(host.log(&format!("app.log.{number}.bz2")), encoder.finish().unwrap()).unwrap();
        all += &text;
    }
    let log = host.log("app.log");
    append(&log, b"live\n");
    let mut agent = host.run();
    exactly(&host, &(all + "live\n"), &log);
    let peak = agent.peak_memory() >> 20;
    assert!(peak < 128, "{peak} MiB at the peak");
    stop(&mut agent);
}

/// No descriptor was free while an archive was looked at: it was forgotten without a word. None was free while a file was
/// opened to compare: it counted as other content, and was sent again.
#[test]
fn without_a_free_descriptor_archives_and_copies_are_tried_again() {
    let host =
        Host::new().flow("app.log*", STREAM, json!({})).through(&["sh", "-c", "ulimit -n 31; exec \"$@\"", "sh"]);
    let log = host.log("app.log");
    let mut all = lines("line", 0..50);
    append(&log, all.as_bytes());
    let mut agent = host.run();
    until_arrived(&host, &all);
    // Copies of what was sent, among them some that are packed, and much that is new.
    for number in 0..10 {
        std::fs::copy(&log, host.log(&format!("app.log-copy{number}"))).unwrap();
        std::fs::write(host.log(&format!("app.log-packed{number}")), gzip(&log)).unwrap();
    }
    for number in 0..40 {
        let text = lines(&format!("file {number}"), 0..5);
        append(&host.log(&format!("app.log-x{number}")), text.as_bytes());
        all += &text;
    }
    for number in 0..20 {
        let text = lines(&format!("archive {number}"), 0..50);
        let plain = host.root().join("plain");
        std::fs::write(&plain, &text).unwrap();
        std::fs::write(host.log(&format!("app.log.{number}.gz")), gzip(&plain)).unwrap();
        all += &text;
    }
    exactly(&host, &all, &log);
    stop(&mut agent);
}

#[test]
fn what_costs_far_more_than_it_holds_is_bounded_and_said() {
    let host = Host::new().flow("*.log*", STREAM, json!({"maxArchiveOutputBytes": "1 MiB"}));
    let zeros = zstd::encode_all(std::io::Read::take(std::io::repeat(b'\n'), 64 << 20), 19).unwrap();
    std::fs::write(host.log("app.log.1.zst"), &zeros).unwrap();
    let mut agent = host.run();
    let line = agent.wait_for("archive is not read");
    assert!(line["reason"].as_str().unwrap().contains("maxArchiveOutputBytes"), "{line}");
    // A sparse file: two lines, and between them what was never written.
    let mut file = File::create(host.log("sparse.log")).unwrap();
    file.write_all(b"before the hole\n").unwrap();
    let sparse = file.seek(SeekFrom::Start(1 << 40)).and_then(|_| file.write_all(b"\nbehind the hole\n")).is_ok();
    let line = agent.wait_for("skipped a hole");
    assert!(!sparse || line["bytes"].as_u64().unwrap() > (1 << 40) - (1 << 20), "{line}");
    assert!(holds_within(PATIENCE, || {
        String::from_utf8_lossy(&host.payload(STREAM)).lines().any(|line| line == "behind the hole")
    }));
    let sent = host.payload(STREAM).len();
    assert!(sent < 8 << 20, "{sent} bytes were sent");
    stop(&mut agent);
}

/// Half of the log was settled when the kill came; then it was renamed, packed and unlinked. The archive counted as done,
/// and the rest as destroyed.
#[test]
fn the_rest_of_a_log_that_was_half_delivered_comes_out_of_its_archive() {
    for matches in [true, false] {
        let host = Host::new();
        let pattern = if matches { "w.log*" } else { "w.log" };
        // One small call at a time, so that a kill comes in the middle.
        let more =
            json!({"maxBufferSizeBytes": 64 << 10, "aggregatedRecordSizeBytes": 4096, "maxConcurrentRequests": 1});
        let host = host.flow(pattern, STREAM, more);
        let log = host.log("w.log");
        let all = lines("line", 0..8_000);
        append(&log, all.as_bytes());
        let agent = host.run();
        assert!(holds_within(PATIENCE, || host.payload(STREAM).len() > 100_000), "nothing arrives");
        agent.kill();
        let cut = host.payload(STREAM).len();
        std::fs::rename(&log, host.log("w.log.2")).unwrap();
        std::fs::write(host.log("w.log.2.gz"), gzip(&host.log("w.log.2"))).unwrap();
        std::fs::remove_file(host.log("w.log.2")).unwrap();
        append(&log, lines("new", 0..10).as_bytes());
        let mut agent = host.run();
        until_arrived(&host, &(all.clone() + &lines("new", 0..10)));
        assert_eq!(agent.logged("destroyed").len(), 0, "cut at {cut}");
        stop(&mut agent);
    }
}

#[test]
fn run_once_reads_everything_to_its_end_and_says_what_was_not_accepted() {
    let host = Host::new().flow("*.log", STREAM, json!({}));
    append(&host.log("a.log"), lines("a", 0..500).as_bytes());
    append(&host.log("b.log"), b"one\nno newline at the end");
    let once = |host: &Host| {
        let config = host.configure();
        let mut agent =
            host.start_with(&["run", "--once", "--config", config.to_str().unwrap(), "--log-format", "json"]);
        let code = agent.exit_code();
        (code, agent)
    };
    assert_eq!(once(&host).0, 0);
    let text = String::from_utf8_lossy(&host.payload(STREAM)).into_owned();
    assert_eq!(text.lines().count(), 502, "all of it, once");
    assert!(text.lines().any(|line| line == "no newline at the end"));
    // Another run goes on there.
    append(&host.log("a.log"), b"more\n");
    assert_eq!(once(&host).0, 0);
    assert_eq!(String::from_utf8_lossy(&host.payload(STREAM)).lines().count(), 503);
    // An archive that is not read, and nothing else: it says so.
    append(&host.log("c.log"), b"PK\x03\x04\x14\0\0\0\x08\0zip");
    let (code, agent) = once(&host);
    assert_eq!(code, 75);
    let line = &agent.logged("not everything was accepted")[0];
    assert!(line["bytes_skipped"].as_u64().unwrap() > 0, "{line}");
}

#[test]
fn run_once_on_nothing_ends_at_once_and_where_the_service_refuses_it_ends_with_the_reason() {
    let host = Host::new().flow("*.log", STREAM, json!({})).top("shutdownTimeoutMillis", json!(500));
    let config = host.configure();
    let arguments = ["run", "--once", "--config", config.to_str().unwrap(), "--log-format", "json"];
    assert_eq!(host.start_with(&arguments).exit_code(), 0);
    append(&host.log("a.log"), lines("a", 0..5).as_bytes());
    let broken = local_lake::FaultPlan { unavailable: 1.0, ..local_lake::FaultPlan::default() };
    host.lake.faults().set(broken).unwrap();
    let mut agent = host.start_with(&arguments);
    assert_eq!(agent.exit_code(), 75);
    let line = &agent.logged("not everything was accepted")[0];
    assert!(line["bytes_left"].as_u64().unwrap() > 0 && line["reason"].is_string(), "{line}");
    host.lake.faults().clear();
    assert_eq!(host.start_with(&arguments).exit_code(), 0);
    assert_eq!(String::from_utf8_lossy(&host.payload(STREAM)).lines().count(), 5);
}

/// A link to the agent's own configuration was shipped, with its keys.
#[test]
fn what_belongs_to_the_agent_is_never_shipped() {
    let host = Host::new().flow("*.log", STREAM, json!({}));
    let config = host.configure();
    std::os::unix::fs::symlink(&config, host.log("config.log")).unwrap();
    std::os::unix::fs::symlink(host.state().join("checkpoint.db"), host.log("state.log")).unwrap();
    std::os::unix::fs::symlink(host.root().join("agent.log"), host.log("own.log")).unwrap();
    append(&host.log("app.log"), b"a line\n");
    let mut agent = host.run();
    exactly(&host, "a line\n", &host.log("app.log"));
    let refused = agent.logged("the file is not read");
    assert!(refused.len() >= 3, "{refused:?}");
    stop(&mut agent);
}

#[test]
fn the_tools_of_the_system_agree_about_the_archives_of_this_suite() {
    let plain = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(plain.path(), lines("line", 0..10)).unwrap();
    for (tool, packed) in [("gzip", gzip(plain.path())), ("xz", xz(plain.path()))] {
        let archive = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(archive.path(), packed).unwrap();
        match Command::new(tool).args(["-dc"]).stdin(File::open(archive.path()).unwrap()).output() {
            Ok(output) => assert_eq!(output.stdout, lines("line", 0..10).into_bytes(), "{tool}"),
            Err(error) => host::skipped(&format!("{tool}: {error}")),
        }
    }
}
