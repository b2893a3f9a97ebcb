//! The agent as a daemon, seen from outside: exit codes, signals, systemd, the log, the configuration's folder.
//! Promises that what the operator's documentation says of them is true of the real program.
//! Leaves crashes, bad input and hard times to their own suites.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;

use host::{Host, PATIENCE, holds_within, until};
use local_lake::Fault;
use rustix::process::Signal;
use serde_json::json;
use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Output;

const STREAM: &str = "logs";
/// A batch never gets so old that it is sent: only a stop sends it.
const NEVER: u64 = 900_000;

/// `count` numbered lines.
fn lines(first: usize, count: usize) -> String {
    (first..first + count).map(|number| format!("line {number}\n")).collect()
}

fn append(path: &Path, text: &str) {
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// What the service manager is told.
struct Manager {
    socket: UnixDatagram,
    heard: RefCell<Vec<String>>,
}

impl Manager {
    /// Listens, and tells the agents of this host where.
    fn of(host: &mut Host) -> Self {
        let path = host.root().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
        socket.set_nonblocking(true).unwrap();
        host.environment.push(("NOTIFY_SOCKET".to_owned(), path.display().to_string()));
        Self { socket, heard: RefCell::default() }
    }

    /// Everything heard so far, one assignment each.
    fn heard(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            self.heard.borrow_mut().extend(text.lines().map(str::to_owned));
        }
        self.heard.borrow().clone()
    }

    fn count(&self, assignment: &str) -> usize {
        self.heard().iter().filter(|heard| *heard == assignment).count()
    }

    /// Waits until the newest status holds these words.
    #[track_caller]
    fn wait_for_status(&self, words: &str) {
        let newest = || self.heard().iter().rev().find(|heard| heard.starts_with("STATUS=")).cloned();
        let told = holds_within(PATIENCE, || newest().is_some_and(|status| status.contains(words)));
        assert!(told, "the status never says `{words}`: {:?}", self.heard());
    }
}

/// A host whose agent reads everything and sends nothing before it is stopped.
fn hoarder() -> (Host, Manager) {
    let mut host = Host::new().flow("*.log", STREAM, json!({"maxBufferAgeMillis": NEVER}));
    let manager = Manager::of(&mut host);
    (host, manager)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn output(host: &Host, arguments: &[&str]) -> Output {
    host.program().args(arguments).output().unwrap()
}

#[test]
fn a_wrong_command_line_ends_with_64_and_help_with_0() {
    let host = Host::new().flow("*.log", STREAM, json!({}));
    let config = host.configure();
    let config = config.to_str().unwrap();
    for arguments in [
        &[][..],
        &["serve"],
        &["run", "--nonsense"],
        &["run", "--config"],
        &["run", "--config", config, "--log-format", "xml"],
        &["run", "--config", config, "--log-level", "datalake_agent=loud"],
        &["quarantine", "burn"],
    ] {
        let output = output(&host, arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", text(&output.stderr));
        assert!(!output.stderr.is_empty(), "{arguments:?} is refused without a word");
    }
    for arguments in [&["--help"][..], &["run", "--help"], &["--version"]] {
        let output = output(&host, arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(text(&output.stdout).contains("datalake-agent"), "{arguments:?}: {}", text(&output.stdout));
    }
}

#[test]
fn a_wrong_configuration_ends_with_78_and_a_report_of_all_that_is_wrong() {
    let host =
        Host::new().top("shutdownTimeoutMilis", json!(1)).flow("*.log", "no stream", json!({"maxBufferAgeMillis": 1}));
    let config = host.configure();
    let config = config.to_str().unwrap();
    let run = output(&host, &["run", "--config", config]);
    assert_eq!(run.status.code(), Some(78));
    let report = text(&run.stderr);
    for words in ["agent.json:", "shutdownTimeoutMillis", "no stream", "maxBufferAgeMillis"] {
        assert!(report.contains(words), "`{words}` is missing in {report}");
    }
    assert!(std::fs::read_dir(host.state()).unwrap().next().is_none(), "nothing was touched");
    let check = output(&host, &["check", "--config", config]);
    assert_eq!(check.status.code(), Some(78));
    assert_eq!(text(&check.stdout), report, "check says the same");
    let missing = output(&host, &["run", "--config", "/nowhere/agent.json"]);
    assert_eq!(missing.status.code(), Some(78));
    assert!(text(&missing.stderr).contains("/nowhere/agent.json"), "{}", text(&missing.stderr));
}

#[test]
fn check_describes_a_good_configuration_and_touches_nothing() {
    let host = Host::new().flow("*.log", STREAM, json!({"compression": "gzip"}));
    append(&host.log("a.log"), "line\n");
    let check = output(&host, &["check", "--config", host.configure().to_str().unwrap()]);
    let shown = text(&check.stdout);
    assert_eq!(check.status.code(), Some(0), "{shown}");
    for words in ["configuration is good: 1 flow", STREAM, "*.log", "gzip", host.state().to_str().unwrap()] {
        assert!(shown.contains(words), "`{words}` is missing in {shown}");
    }
    assert!(std::fs::read_dir(host.state()).unwrap().next().is_none());
    assert_eq!(host.lake.stats().calls, 0);
}

#[test]
fn a_second_agent_on_the_same_state_folder_ends_with_73_and_names_the_first_which_goes_on() {
    let host = Host::new().flow("*.log", STREAM, json!({}));
    let mut first = host.run();
    let second = output(&host, &["run", "--config", host.configure().to_str().unwrap(), "--log-format", "json"]);
    assert_eq!(second.status.code(), Some(73));
    let said = text(&second.stderr);
    let names = format!("pid {}", first.pid());
    assert!(said.contains(&names) && said.contains(host.state().to_str().unwrap()), "{said}");
    append(&host.log("a.log"), "line\n");
    assert_eq!(host.arrived(STREAM, 5), b"line\n");
    assert_eq!(first.stop(), 0);
}

#[test]
fn a_state_folder_that_cannot_be_written_ends_with_73_until_it_can() {
    let host = Host::new().unprivileged().flow("*.log", STREAM, json!({}));
    append(&host.log("a.log"), "line\n");
    std::fs::set_permissions(host.state(), PermissionsExt::from_mode(0o555)).unwrap();
    let mut refused = host.start();
    assert_eq!(refused.exit_code(), 73);
    let said = refused.log_text();
    assert!(said.contains(host.state().to_str().unwrap()) && said.contains("ermission denied"), "{said}");
    std::fs::set_permissions(host.state(), PermissionsExt::from_mode(0o755)).unwrap();
    let mut agent = host.run();
    assert_eq!(host.arrived(STREAM, 5), b"line\n");
    assert_eq!(agent.stop(), 0);
}

#[test]
fn a_signal_delivers_what_was_read_and_ends_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let (host, manager) = hoarder();
        append(&host.log("a.log"), &lines(0, 1000));
        let mut agent = host.run();
        manager.wait_for_status("oldest");
        assert_eq!(host.lake.stats().calls, 0, "nothing was due");
        agent.signal(signal);
        assert_eq!(agent.exit_code(), 0, "{signal:?}");
        assert_eq!(text(&host.payload(STREAM)), lines(0, 1000), "{signal:?}");
        assert_eq!(agent.logged("stopped; everything that was read is delivered").len(), 1);
    }
}

#[test]
fn a_stop_gives_up_at_its_deadline_and_the_next_start_delivers_the_rest() {
    let (host, manager) = hoarder();
    let host = host.top("shutdownTimeoutMillis", json!(300));
    append(&host.log("a.log"), &lines(0, 1000));
    host.lake.faults().always(Some(Fault::Unavailable));
    let mut agent = host.run();
    manager.wait_for_status("oldest");
    assert_eq!(agent.stop(), 0);
    assert_eq!(agent.logged("stopped before all was delivered")[0]["left"], json!(lines(0, 1000).len()));
    assert!(host.payload(STREAM).is_empty());
    host.lake.faults().clear();
    let mut agent = host.run();
    manager.wait_for_status("oldest");
    assert_eq!(agent.stop(), 0);
    assert_eq!(text(&host.payload(STREAM)), lines(0, 1000));
}

#[test]
fn a_second_signal_cuts_the_drain_short() {
    let (host, manager) = hoarder();
    let host = host.top("shutdownTimeoutMillis", json!(600_000));
    append(&host.log("a.log"), &lines(0, 10));
    host.lake.faults().always(Some(Fault::Hang));
    let mut agent = host.run();
    manager.wait_for_status("oldest");
    agent.signal(Signal::TERM);
    agent.wait_for("stopping");
    until("a call hangs", || host.lake.stats().hung > 0);
    agent.signal(Signal::TERM);
    assert_eq!(agent.exit_code(), 0);
    assert_eq!(agent.logged("stopped before all was delivered").len(), 1);
}

#[test]
fn the_service_manager_hears_ready_the_state_in_words_signs_of_life_and_stopping() {
    let mut host = Host::new().flow("*.log", STREAM, json!({}));
    host.environment.push(("WATCHDOG_USEC".to_owned(), "200000".to_owned()));
    let manager = Manager::of(&mut host);
    append(&host.log("a.log"), "line\n");
    let mut agent = host.start();
    until("ready", || manager.count("READY=1") == 1);
    manager.wait_for_status("1 flow, 1 file, nothing behind");
    let idle = manager.count("WATCHDOG=1");
    until("fed while idle", || manager.count("WATCHDOG=1") >= idle + 5);
    // A flow that waits for a person says so, and is as alive as any.
    host.lake.faults().always(Some(Fault::AccessDenied));
    append(&host.log("a.log"), "more\n");
    manager.wait_for_status("holding: logs (AccessDeniedException");
    let holding = manager.count("WATCHDOG=1");
    until("fed while holding", || manager.count("WATCHDOG=1") >= holding + 5);
    host.lake.faults().clear();
    manager.wait_for_status("nothing behind");
    assert_eq!(agent.stop(), 0);
    let heard = manager.heard();
    assert_eq!(heard[0], "READY=1", "{heard:?}");
    let stopping = heard.iter().position(|heard| heard == "STOPPING=1").unwrap();
    assert!(heard[stopping..].iter().all(|heard| heard != "READY=1"), "{heard:?}");
    assert_eq!(text(&host.payload(STREAM)), "line\nmore\n");
}

#[test]
fn the_json_log_has_one_line_for_each_change_with_flow_stream_and_reason() {
    let host = Host::new().flow("*.log", STREAM, json!({"name": "orders"}));
    host.lake.faults().always(Some(Fault::ResourceNotFound));
    append(&host.log("a.log"), "line\n");
    let mut agent = host.run();
    let holds = agent.wait_for("flow paused");
    assert_eq!(
        (&holds["level"], &holds["flow"], &holds["stream"]),
        (&json!("ERROR"), &json!("orders"), &json!(STREAM))
    );
    let reason = holds["reason"].as_str().unwrap();
    assert!(reason.contains("ResourceNotFoundException") && reason.contains(STREAM), "{reason}");
    let calls = host.lake.stats().calls;
    until("tried again", || host.lake.stats().calls > calls);
    host.lake.faults().clear();
    agent.wait_for("accepts records again");
    assert_eq!(agent.stop(), 0);
    assert_eq!(agent.logged("flow paused").len(), 1, "once, however often it is tried");
    assert_eq!(text(&host.payload(STREAM)), "line\n");
    for line in agent.log_text().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(), "{line}");
    }
}

#[test]
fn after_clean_stops_every_line_arrives_once_and_in_order() {
    let host = Host::new().flow("a.log", STREAM, json!({}));
    let mut written = 0;
    for round in 0..5 {
        let mut agent = host.run();
        append(&host.log("a.log"), &lines(written, 300));
        written += 300;
        if round != 2 {
            // Otherwise it is stopped in the middle of it.
            let so_far = lines(0, written).len();
            host.arrived(STREAM, so_far);
        }
        assert_eq!(agent.stop(), 0);
        // Written, and in one round rotated, while nobody looks.
        append(&host.log("a.log"), &lines(written, 100));
        written += 100;
        if round == 1 {
            std::fs::rename(host.log("a.log"), host.log("a.log.1")).unwrap();
        }
    }
    let mut agent = host.run();
    let all = lines(0, written);
    host.arrived(STREAM, all.len());
    assert_eq!(agent.stop(), 0);
    let arrived = text(&host.payload(STREAM));
    let mut sorted: Vec<&str> = arrived.lines().collect();
    if arrived != all {
        sorted.sort_by_key(|line| line[5..].parse::<usize>().unwrap());
        assert_eq!(sorted, all.lines().collect::<Vec<_>>(), "missing or twice");
        panic!("all lines are there, but out of order");
    }
}

#[test]
fn what_is_written_once_the_agent_is_ready_is_never_taken_for_what_was_there_before() {
    for _ in 0..5 {
        let mut host = Host::new().flow("*.log", STREAM, json!({"initialPosition": "END_OF_FILE"}));
        append(&host.log("old.log"), "before\n");
        let manager = Manager::of(&mut host);
        let agent = host.start();
        until("ready", || manager.count("READY=1") == 1);
        append(&host.log("old.log"), "appended\n");
        append(&host.log("new.log"), "created\n");
        // Before it can have saved much.
        agent.kill();
        let mut agent = host.run();
        until("both lines", || {
            let arrived = text(&host.payload(STREAM));
            arrived.contains("appended\n") && arrived.contains("created\n")
        });
        assert_eq!(agent.stop(), 0);
        assert!(!text(&host.payload(STREAM)).contains("before"), "{}", text(&host.payload(STREAM)));
    }
}

#[test]
fn flows_of_agent_d_run_beside_those_of_the_main_file_and_a_broken_one_is_named() {
    let host = Host::new().flow("main.log", "main", json!({}));
    host.configure();
    let folder = host.root().join("etc/agent.d");
    std::fs::create_dir(&folder).unwrap();
    for name in ["one", "two"] {
        let flow = host.flow_json(&format!("{name}.log"), name, json!({}));
        std::fs::write(folder.join(format!("{name}.json")), json!({"flows": [flow]}).to_string()).unwrap();
    }
    std::fs::write(folder.join("three.json.rpmsave"), "no configuration at all").unwrap();
    for name in ["main", "one", "two"] {
        append(&host.log(&format!("{name}.log")), &format!("{name}\n"));
    }
    let mut agent = host.run();
    for name in ["main", "one", "two"] {
        until(name, || text(&host.payload(name)) == format!("{name}\n"));
    }
    assert_eq!(agent.stop(), 0);
    std::fs::write(folder.join("three.json"), "{\"flows\": [").unwrap();
    let mut refused = host.start();
    assert_eq!(refused.exit_code(), 78);
    assert!(refused.log_text().contains("agent.d/three.json:1:"), "{}", refused.log_text());
}

#[test]
fn a_record_that_is_refused_for_good_can_be_listed_and_sent_again() {
    let host = Host::new().flow("*.log", STREAM, json!({"aggregatedRecordSizeBytes": 0}));
    let poison = Some(b"poison".to_vec());
    host.lake.faults().set(local_lake::FaultPlan { poison, ..Default::default() }).unwrap();
    append(&host.log("a.log"), "before\npoison\nafter\n");
    let mut agent = host.run();
    agent.wait_for("the service rejects records for good");
    until("the good ones", || text(&host.payload(STREAM)) == "before\nafter\n");
    assert_eq!(agent.stop(), 0);
    let config = host.configure();
    let act = |act: &str| output(&host, &["quarantine", act, "--config", config.to_str().unwrap()]);
    let listed = act("list");
    assert_eq!(listed.status.code(), Some(0));
    let shown = text(&listed.stdout);
    assert!(shown.contains("a.log") && shown.contains(STREAM), "{shown}");
    // Nothing of it comes back by itself.
    let mut agent = host.run();
    assert_eq!(agent.stop(), 0);
    assert_eq!(text(&host.payload(STREAM)), "before\nafter\n");
    host.lake.faults().clear();
    assert_eq!(act("replay").status.code(), Some(0));
    assert_eq!(text(&host.payload(STREAM)), "before\nafter\npoison\n");
    assert!(!text(&act("list").stdout).contains("a.log"), "nothing waits any more");
}
