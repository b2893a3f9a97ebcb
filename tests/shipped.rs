//! `shipped`, `explain`, `positions` and `tap` against the real agent: rotated, packed and copied files, stopped agents.
//! Promises that "shipped" is never said of a byte that did not arrive. Leaves `status` and the socket to `live`.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;

use datalake_base::shown::steers;
use host::{HOSTILE, Host, append, is_root, skipped, until};
use local_lake::FaultPlan;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

const STREAM: &str = "logs";

fn lines(name: &str, count: usize) -> String {
    (0..count).map(|number| format!("line {number} of {name}\n")).collect()
}

/// A command of the agent, with the configuration of the host.
fn run(host: &Host, arguments: &[&OsStr]) -> Output {
    host.program().args(arguments).arg("--config").arg(host.configured()).output().unwrap()
}

/// The exit code, and all that was printed.
fn ran(host: &Host, arguments: &[&str]) -> (i32, String) {
    let arguments: Vec<&OsStr> = arguments.iter().map(|word| OsStr::new(*word)).collect();
    let output = run(host, &arguments);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn shipped(host: &Host, file: &Path, more: &[&str]) -> (i32, String) {
    ran(host, &[&["shipped", file.to_str().unwrap()], more].concat())
}

#[track_caller]
fn is_safe(what: &str, output: &Output) {
    for printed in [&output.stdout, &output.stderr] {
        let printed = std::str::from_utf8(printed).unwrap_or_else(|error| panic!("{what}: {error}: {output:?}"));
        let raw: Vec<char> = printed.chars().filter(|c| steers(*c) && *c != '\n' && *c != '\t').collect();
        assert!(raw.is_empty(), "{what} prints {raw:?} raw: {printed}");
        assert!(!printed.lines().any(|line| line.starts_with("2026 ERROR forged")), "{what} lets a name forge a line");
    }
    assert!(!(output.stdout.is_empty() && output.stderr.is_empty()), "{what} says nothing");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// The service takes nothing.
fn refuse(host: &Host) {
    host.lake.faults().set(FaultPlan { unavailable: 1.0, ..FaultPlan::default() }).unwrap();
}

#[test]
fn a_file_is_shipped_when_its_last_byte_was_accepted_and_not_a_moment_before() {
    let host = Host::new().flow("*.log", STREAM, json!({}));
    refuse(&host);
    let log = host.log("a.log");
    append(&log, &lines("a", 50));
    let size = log.metadata().unwrap().len() as usize;
    assert_eq!(shipped(&host, &log, &[]).0, 1, "no agent was ever there");
    let mut agent = host.run();
    let (code, said) = shipped(&host, &log, &["--wait", "1"]);
    assert_eq!((code, said.contains("not yet")), (1, true), "{said}");
    host.lake.faults().set(FaultPlan::default()).unwrap();
    let (code, said) = shipped(&host, &log, &["--wait", "60"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(host.payload(STREAM).len(), size, "it was said before it was true");
    assert_eq!(ran(&host, &["shipped", "--all"]).0, 0);
    append(&log, "begun");
    let (code, said) = shipped(&host, &log, &[]);
    assert_eq!(code, 1, "a line without its end was never sent: {said}");
    assert_eq!(shipped(&host, &log, &["--whole-lines"]).0, 0);
    until("the begun line is read", || ran(&host, &["shipped", "--all"]).0 == 1);
    assert_eq!(ran(&host, &["shipped", "--all", "--whole-lines", "--wait", "20"]).0, 0);
    assert_eq!(agent.stop(), 0);
    assert_eq!((shipped(&host, &log, &[]).0, shipped(&host, &log, &["--whole-lines"]).0), (1, 0), "stopped");
    append(&log, " and ended\n");
    assert_eq!(shipped(&host, &log, &["--whole-lines"]).0, 1);
}

#[test]
fn rotated_packed_and_copied_files_count_as_what_was_read_running_and_stopped() {
    let host = Host::new().flow("app.log", STREAM, json!({}));
    let log = host.log("app.log");
    let first = lines("the first", 200);
    append(&log, &first);
    let mut agent = host.run();
    host.arrived(STREAM, first.len());
    std::fs::rename(&log, host.log("app.log.1")).unwrap();
    let second = lines("the second", 200);
    append(&log, &second);
    host.arrived(STREAM, first.len() + second.len());
    std::fs::write(host.log("app.log.2.gz"), gzip(first.as_bytes())).unwrap();
    let elsewhere = host.root().join("backup");
    append(&elsewhere, &first);
    let archive = host.root().join("backup.gz");
    std::fs::write(&archive, gzip(first.as_bytes())).unwrap();
    let longer = host.root().join("longer");
    append(&longer, &(first.clone() + "one more line that nobody read\n"));
    let stranger = host.root().join("stranger");
    append(&stranger, &lines("something else", 200));
    let check = |when: &str| {
        for (path, wanted) in [
            (&log, 0),
            (&host.log("app.log.1"), 0),
            (&host.log("app.log.2.gz"), 0),
            (&elsewhere, 0),
            (&archive, 0),
            (&longer, 1),
            (&stranger, 2),
            (&host.log("nowhere"), 2),
        ] {
            let (code, said) = shipped(&host, path, &["--wait", "5"]);
            assert_eq!(code, wanted, "{when}: {} {said}", path.display());
        }
    };
    check("running");
    assert_eq!(agent.stop(), 0);
    check("stopped");
    let both = [log.to_str().unwrap(), stranger.to_str().unwrap()];
    let (code, said) = ran(&host, &["shipped", both[0], both[1]]);
    assert_eq!((code, said.lines().count()), (2, 2), "the worst of them counts: {said}");
}

/// `copytruncate` leaves a copy that no pattern matches; other packers than gzip leave other archives.
#[test]
fn copies_of_copytruncate_and_archives_of_every_kind_count_as_what_was_read() {
    let host = Host::new().flow("app.log", STREAM, json!({}));
    let log = host.log("app.log");
    let first = lines("the first", 200);
    append(&log, &first);
    let mut agent = host.run();
    host.arrived(STREAM, first.len());
    std::fs::copy(&log, host.log("app.log.1")).unwrap();
    File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
    let second = lines("the second", 100);
    append(&log, &second);
    host.arrived(STREAM, first.len() + second.len());
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(first.as_bytes()).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(first.as_bytes()).unwrap();
    let archives = [
        ("app.log.2.zst", zstd::encode_all(first.as_bytes(), 1).unwrap()),
        ("app.log.2.bz2", bzip2.finish().unwrap()),
        ("app.log.2.xz", xz.finish().unwrap()),
    ];
    for (name, packed) in &archives {
        std::fs::write(host.root().join(name), packed).unwrap();
        std::fs::write(host.root().join(format!("cut-{name}")), &packed[..packed.len() - 9]).unwrap();
    }
    for running in [true, false] {
        for path in [log.clone(), host.log("app.log.1")] {
            let (code, said) = shipped(&host, &path, &["--wait", "20"]);
            assert_eq!(code, 0, "running: {running}: {said}");
        }
        for (name, _) in &archives {
            let (code, said) = shipped(&host, &host.root().join(name), &[]);
            assert_eq!(code, 0, "running: {running}: {said}");
            let (code, said) = shipped(&host, &host.root().join(format!("cut-{name}")), &[]);
            assert_ne!(code, 0, "running: {running}: a damaged archive is no proof: {said}");
        }
        if running {
            assert_eq!(agent.stop(), 0);
        }
    }
    assert_eq!(host.payload(STREAM).len(), first.len() + second.len(), "nothing was sent twice");
}

/// What lies at the position of a file that was written anew was never read.
#[test]
fn a_file_that_was_rewritten_is_not_shipped_for_what_it_held_before() {
    let host = Host::new().flow("*.log", STREAM, json!({}));
    let log = host.log("a.log");
    let first = lines("the first", 100);
    append(&log, &first);
    let mut agent = host.run();
    host.arrived(STREAM, first.len());
    assert_eq!(shipped(&host, &log, &["--wait", "20"]).0, 0);
    assert_eq!(agent.stop(), 0);
    std::fs::write(&log, lines("THE FIRST", 100)).unwrap();
    let (code, said) = shipped(&host, &log, &[]);
    assert_eq!(code, 1, "same name, same inode, same size, other lines: {said}");
    std::fs::write(&log, "").unwrap();
    assert_eq!(shipped(&host, &log, &[]).0, 0, "nothing is in it");
}

#[test]
fn a_file_that_two_streams_read_is_shipped_when_both_have_it() {
    let host = Host::new().flow("*.log", "one", json!({})).flow("*.log", "two", json!({"maxBufferAgeMillis": 900_000}));
    let log = host.log("a.log");
    append(&log, &lines("a", 30));
    let mut agent = host.run();
    host.arrived("one", log.metadata().unwrap().len() as usize);
    let (code, said) = shipped(&host, &log, &[]);
    assert_eq!((code, said.contains("flow two")), (1, true), "{said}");
    assert_eq!(shipped(&host, &log, &["--flow", "one", "--wait", "20"]).0, 0);
    assert_eq!(agent.stop(), 0);
    assert_eq!(shipped(&host, &log, &[]).0, 0, "the stop delivered it");
}

#[test]
fn explain_says_which_pattern_which_rule_and_which_right_decides() {
    let host = Host::new();
    let exclude = format!("{}/debug*", host.logs().display());
    let host = host.flow("*.log", STREAM, json!({"name": "app", "exclude": exclude}));
    let log = host.log("a.log");
    append(&log, &lines("a", 30));
    append(&host.log("debug.log"), "line\n");
    append(&host.log("a.txt"), "line\n");
    std::fs::write(host.log("old.log"), b"PK\x03\x04 a zip is no log").unwrap();
    symlink(&log, host.root().join("link.txt")).unwrap();
    let mut agent = host.run();
    until("read", || shipped(&host, &log, &[]).0 == 0);
    std::fs::rename(&log, host.log("a.log.1")).unwrap();
    append(&log, &lines("another", 30));
    until("read again", || shipped(&host, &log, &[]).0 == 0);
    for running in [true, false] {
        let explain = |name: &str| ran(&host, &["explain", host.log(name).to_str().unwrap()]);
        for (name, wanted, words) in [
            ("a.log", 0, &["flow app: pattern ", "matches it", "read by flow app: position ", "0 B in flight"][..]),
            ("a.log.1", 0, &["it may be a rotation of ", "position ", "it began as ", "a.log.1"]),
            ("debug.log", 2, &["debug* takes it out"]),
            ("a.txt", 2, &["no pattern matches it", "nothing of it is known"]),
            ("old.log", 0, &["never read (zip"]),
            ("missing.log", 2, &["it cannot be seen", "there is nothing now"]),
        ] {
            let (code, said) = explain(name);
            for words in words {
                assert!(said.contains(words), "running: {running}: `{words}` is missing in {said}");
            }
            assert!(code == wanted || name == "old.log", "running: {running}: {name} ends with {code}: {said}");
        }
        let (_, said) = ran(&host, &["explain", host.root().join("link.txt").to_str().unwrap()]);
        assert!(said.contains("a link to "), "{said}");
        if running {
            assert_eq!(agent.stop(), 0);
        }
    }
}

/// `reload` said that no agent runs, `quarantine summary` that the disk cannot be written, `shipped` that the file is none
/// of the agent's.
#[test]
fn a_user_who_may_not_ask_the_agent_is_referred_to_its_user_by_every_command() {
    if !is_root() {
        return skipped("only root can be somebody else");
    }
    let host = Host::new().flow("*.log", STREAM, json!({}));
    let log = host.log("a.log");
    append(&log, &lines("a", 30));
    let mut agent = host.run();
    until("read", || shipped(&host, &log, &[]).0 == 0);
    for (path, mode) in [(host.root(), 0o755), (&log, 0o600), (&host.state(), 0o700)] {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let file = log.to_str().unwrap();
    for words in [
        &["reload"][..],
        &["quarantine", "summary"],
        &["quarantine", "list"],
        &["shipped", file],
        &["explain", file],
        &["positions", "list"],
        &["status"],
        &["tap", STREAM],
    ] {
        let output = host.program().args(words).arg("--config").arg(host.configured()).uid(65534).gid(65534).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(74), "{words:?}: {said}");
        assert!(said.contains("ermission denied") && said.contains("root"), "{words:?}: {said}");
    }
    assert_eq!(agent.stop(), 0);
}

/// `explain ../logs/a.log` said that no pattern matches a file that it named as read.
#[test]
fn a_file_named_with_dots_is_the_file_that_the_patterns_match() {
    let host = Host::new().flow("*.log", STREAM, json!({"name": "app"}));
    let log = host.log("a.log");
    append(&log, &lines("a", 30));
    let mut agent = host.run();
    until("read", || shipped(&host, &log, &[]).0 == 0);
    assert_eq!(agent.stop(), 0);
    let dotted = host.logs().join("../logs/./a.log");
    for command in [&["explain"][..], &["positions", "reset"]] {
        let (code, said) = ran(&host, &[command, &[dotted.to_str().unwrap()]].concat());
        assert_eq!(code, 0, "{said}");
        assert!(said.contains(log.to_str().unwrap()) && !said.contains("no pattern matches"), "{said}");
    }
    // Not sent, for the agent is stopped; and a pattern will read it.
    append(&host.log("b.log"), &lines("b", 30));
    let (code, said) = shipped(&host, &host.logs().join("../logs/b.log"), &[]);
    assert_eq!((code, said.contains("not read yet")), (1, true), "{said}");
    let (_, said) = ran(&host, &["explain", host.logs().to_str().unwrap()]);
    assert!(said.contains("a folder of ") && said.contains("; folders are not read"), "{said}");
}

#[test]
fn positions_are_listed_and_reset_only_on_a_plain_yes_while_no_agent_runs() {
    let host = Host::new().flow("*.log", STREAM, json!({"name": "app"}));
    let (one, two) = (host.log("one.log"), host.log("two.log"));
    append(&one, &lines("one", 30));
    append(&two, &lines("two", 30));
    let both = (one.metadata().unwrap().len() + two.metadata().unwrap().len()) as usize;
    let mut agent = host.run();
    host.arrived(STREAM, both);
    until("settled", || ran(&host, &["shipped", "--all"]).0 == 0);
    let one_path = one.to_str().unwrap();
    let (code, said) = ran(&host, &["positions", "reset", one_path, "--yes"]);
    assert_eq!((code, said.contains("another agent")), (73, true), "{said}");
    assert_eq!(agent.stop(), 0);
    let (code, said) = ran(&host, &["positions", "list"]);
    assert_eq!((code, said.lines().count()), (0, 3), "{said}");
    let (_, said) = ran(&host, &["positions", "list", "--json"]);
    let listed: Value = serde_json::from_str(&said).unwrap();
    let size = one.metadata().unwrap().len();
    let rows = listed["positions"].as_array().unwrap();
    assert!(
        rows.iter().any(|row| row["file"] == one_path && row["position"] == size && row["flow"] == "app"),
        "{said}"
    );

    let (code, said) = ran(&host, &["positions", "reset", one_path]);
    assert_eq!((code, said.contains("nothing was changed")), (0, true), "{said}");
    assert_eq!(ran(&host, &["positions", "reset"]).0, 64, "which ones must be said");
    assert_eq!(ran(&host, &["positions", "reset", "/nowhere", "--yes"]).0, 2);
    let (code, said) = ran(&host, &["positions", "reset", one_path, "--yes"]);
    assert_eq!((code, said.contains("are sent again")), (0, true), "{said}");
    let mut agent = host.run();
    let arrived = host.arrived(STREAM, both + size as usize);
    assert_eq!(agent.stop(), 0);
    let text = String::from_utf8(arrived).unwrap();
    assert_eq!(text.matches("line 7 of one\n").count(), 2, "what was reset comes again");
    assert_eq!(text.matches("line 7 of two\n").count(), 1, "and nothing else does");
}

#[test]
fn a_tap_shows_what_is_sent_and_ends_with_its_count_and_with_the_agent() {
    let host = Host::new().flow("*.log", STREAM, json!({"name": "app", "compression": "gzip"}));
    let log = host.log("a.log");
    let tap = |more: &[&str]| {
        let mut command = host.program();
        command.args(["tap", "app"]).args(more).arg("--config").arg(host.configured()).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    assert_eq!(ran(&host, &["tap", "app"]).0, 3, "no agent runs");
    let mut agent = host.run();
    assert_eq!(ran(&host, &["tap", "nobody"]).0, 64);
    let mut counted = tap(&["--records", "1"]);
    let mut endless = tap(&[]);
    let mut seen = BufReader::new(endless.stdout.take().unwrap());
    // Both watch as soon as one line is seen by each; until then lines are sent that nobody sees.
    let mut number = 0;
    until("the counted tap ends", || {
        append(&log, &format!("line {number}\u{1b}[2J\n"));
        number += 1;
        std::thread::sleep(std::time::Duration::from_millis(100));
        counted.try_wait().unwrap().is_some()
    });
    let counted = counted.wait_with_output().unwrap();
    assert_eq!(counted.status.code(), Some(0));
    is_safe("tap --records 1", &counted);
    assert!(String::from_utf8(counted.stdout).unwrap().starts_with("line "), "the record is unpacked");
    let mut line = String::new();
    seen.read_line(&mut line).unwrap();
    assert!(line.starts_with("line ") && line.ends_with("\\x1b[2J\n"), "{line}");
    assert_eq!(agent.stop(), 0);
    assert_eq!(endless.wait().unwrap().code(), Some(0), "it ends with the agent");
}

/// A watcher that does not read must not hold up the flow that it watches.
#[test]
fn a_tap_that_nobody_reads_slows_nothing() {
    let host = Host::new().flow("*.log", STREAM, json!({"name": "app", "maxBufferSizeRecords": 1}));
    let mut agent = host.run();
    let mut watcher = host.program();
    let mut watcher =
        watcher.args(["tap", "app", "--config"]).arg(host.configured()).stdout(Stdio::piped()).spawn().unwrap();
    let mut expected = 0;
    for _ in 0..40 {
        let text = "x".repeat(60_000) + "\n";
        append(&host.log("a.log"), &text);
        expected += text.len();
    }
    host.arrived(STREAM, expected);
    assert_eq!(agent.stop(), 0);
    watcher.kill().unwrap();
    watcher.wait().unwrap();
}

#[test]
fn no_command_about_files_prints_a_raw_control_whatever_they_are_called() {
    let host = Host::new().flow("*.log", STREAM, json!({"name": "app"}));
    let hostile = host.logs().join(OsStr::from_bytes(HOSTILE));
    append(&hostile, "line \u{1b}[2J\u{202e}\n");
    let mut agent = host.run();
    host.arrived(STREAM, 10);
    let word = |text: &'static str| OsStr::new(text);
    for running in [true, false] {
        for arguments in [
            vec![word("shipped"), hostile.as_os_str()],
            vec![word("shipped"), OsStr::from_bytes(HOSTILE)],
            vec![word("shipped"), word("--flow"), OsStr::from_bytes(HOSTILE), hostile.as_os_str()],
            vec![word("explain"), hostile.as_os_str()],
            vec![word("explain"), OsStr::from_bytes(HOSTILE)],
            vec![word("positions"), word("list")],
            vec![word("positions"), word("list"), word("--json")],
            vec![word("positions"), word("reset"), hostile.as_os_str()],
            vec![word("tap"), word("x\n2026 ERROR forged\u{1b}[2J")],
            vec![word("status"), word("--flow"), word("x\n2026 ERROR forged\u{1b}[2J")],
        ] {
            is_safe(&format!("{arguments:?}, running: {running}"), &run(&host, &arguments));
        }
        if running {
            assert_eq!(agent.stop(), 0);
        }
    }
}

/// One stream had all of it, and the other had never seen it.
#[test]
fn a_file_that_one_of_its_streams_has_never_seen_is_not_shipped() {
    let host = Host::new().flow("*.log", "one", json!({}));
    let log = host.log("a.log");
    append(&log, &lines("a", 30));
    let mut agent = host.run();
    assert_eq!(shipped(&host, &log, &["--wait", "60"]).0, 0);
    assert_eq!(agent.stop(), 0);
    let host = host.flow("*.log", "two", json!({}));
    host.configure();
    assert_eq!(shipped(&host, &log, &[]).0, 1);
    let mut agent = host.run();
    assert_eq!(shipped(&host, &log, &["--wait", "60"]).0, 0);
    assert_eq!(host.payload("two"), host.payload("one"));
    assert_eq!(agent.stop(), 0);
}

/// What a deletion job does: it asks, and deletes on 0. Whatever rotation, refusals and kills do meanwhile, every line must
/// have arrived that is no longer anywhere.
#[test]
fn who_deletes_what_is_shipped_loses_nothing_whatever_happens_meanwhile() {
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    eprintln!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let host = Host::new().flow("app.log", STREAM, json!({}));
    let faults = FaultPlan {
        seed,
        throttle: 0.05,
        reset: 0.05,
        answer_lost: 0.05,
        internal_failure: 0.05,
        ..FaultPlan::default()
    };
    host.lake.faults().set(faults).unwrap();
    let log = host.log("app.log");
    let (mut agent, mut written, mut rotated) = (host.run(), String::new(), Vec::<PathBuf>::new());
    let mut deleted = 0;
    for round in 0..40 {
        let text = lines(&format!("round {round}"), random.usize(20..400));
        append(&log, &text);
        written.push_str(&text);
        match random.u8(..5) {
            0 | 1 => {
                rotated.push(host.log(&format!("app.log.{round}")));
                std::fs::rename(&log, rotated.last().unwrap()).unwrap();
            }
            2 => {
                // As `compress` does, some time after the rotation.
                if let Some(plain) = rotated.iter_mut().find(|path| path.extension().is_some_and(|it| it != "gz")) {
                    let packed = PathBuf::from(format!("{}.gz", plain.display()));
                    std::fs::write(&packed, gzip(&std::fs::read(&plain).unwrap())).unwrap();
                    std::fs::remove_file(&plain).unwrap();
                    *plain = packed;
                }
            }
            3 => {
                agent.kill();
                agent = host.run();
            }
            _ => {}
        }
        rotated.retain(|path| {
            let (code, said) = shipped(&host, path, &[]);
            assert!(code == 0 || code == 1, "seed {seed}: ends with {code}: {said}");
            if code == 0 {
                std::fs::remove_file(path).unwrap();
                deleted += 1;
            }
            code != 0
        });
    }
    // What is left then arrives: the delays after several failures in a row are long.
    host.lake.faults().set(FaultPlan::default()).unwrap();
    for path in rotated.iter().chain([&log]).filter(|path| path.exists()) {
        let (code, said) = shipped(&host, path, &["--wait", "90"]);
        assert_eq!(code, 0, "seed {seed}: {said}");
        std::fs::remove_file(path).unwrap();
    }
    let arrived = String::from_utf8(host.payload(STREAM)).unwrap();
    let arrived: std::collections::BTreeSet<&str> = arrived.lines().collect();
    let lost: Vec<&str> = written.lines().filter(|line| !arrived.contains(line)).collect();
    assert!(lost.is_empty(), "seed {seed}: {} lines were called shipped and never arrived: {:?}", lost.len(), lost[0]);
    assert!(deleted > 0, "seed {seed}: nothing was deleted meanwhile, so nothing was tried");
    assert_eq!(agent.stop(), 0);
}
