//! Another configuration while the agent runs: the real agent, asked by the command and by signals.
//! Promises that every line is counted from outside, whatever is reloaded or killed meanwhile.
//! Leaves which flows are concerned by a difference to the unit tests.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;

use host::{Agent, Host, say, until};
use local_lake::Fault;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn append(path: &Path, text: &str) {
    File::options().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// Writes these flows as the configuration, at once and as a whole.
fn configure(host: &Host, flows: &[Value]) {
    let path = host.configure();
    let mut written: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    written["flows"] = json!(flows);
    replace(&path, &written.to_string());
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

/// The command, its exit code, and what it said.
fn reload(host: &Host) -> (i32, String) {
    let config = host.root().join("etc/agent.json");
    let output = host.program().args(["reload", "--config", config.to_str().unwrap()]).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code().unwrap(), said)
}

#[track_caller]
fn reloaded(host: &Host, flows: &[Value]) -> String {
    configure(host, flows);
    let (code, said) = reload(host);
    assert_eq!(code, 0, "{said}");
    said
}

/// Starts the agent with these flows.
fn run(host: &Host, flows: &[Value]) -> Agent {
    configure(host, flows);
    let config = host.root().join("etc/agent.json");
    let agent = host.start_with(&["run", "--config", config.to_str().unwrap(), "--log-format", "json"]);
    agent.wait_for("running");
    agent
}

fn text(host: &Host, stream: &str) -> String {
    String::from_utf8(host.payload(stream)).unwrap()
}

/// What the agent serves to Prometheus about this flow.
fn metric(host: &Host, name: &str, flow: &str) -> Option<f64> {
    let mut stream = UnixStream::connect(host.root().join("metrics.sock")).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let begin = format!("datalake_agent_{name}{{flow=\"{flow}\",");
    answer.lines().find(|line| line.starts_with(&begin))?.split(' ').nth(1)?.parse().ok()
}

/// A host that serves metrics.
fn watched() -> Host {
    let host = Host::new();
    let socket = host.root().join("metrics.sock");
    host.top("prometheus.listen", json!(socket.to_str().unwrap()))
}

#[test]
fn a_flow_that_is_added_starts_and_the_others_notice_nothing() {
    let host = watched();
    append(&host.log("a.log"), "a1\n");
    append(&host.log("b.log"), "b1\n");
    let a = host.flow_json("a.log", "a", json!({}));
    let b = host.flow_json("b.log", "b", json!({}));
    let mut agent = run(&host, std::slice::from_ref(&a));
    host.arrived("a", 3);
    until("counted", || metric(&host, "delivered_bytes_total", "a") == Some(3.0));
    assert_eq!(metric(&host, "delivered_bytes_total", "b"), None);
    let said = reloaded(&host, &[b.clone(), a.clone()]);
    assert!(said.contains("added      b\n") && said.contains("unchanged  1\n"), "{said}");
    host.arrived("b", 3);
    assert_eq!(metric(&host, "delivered_bytes_total", "a"), Some(3.0), "its numbers go on");
    append(&host.log("a.log"), "a2\n");
    append(&host.log("b.log"), "b2\n");
    host.arrived("a", 6);
    host.arrived("b", 6);
    // The same again is nothing to do.
    let said = reloaded(&host, &[b, a]);
    assert!(!said.contains("added") && said.contains("unchanged  2\n"), "{said}");
    assert_eq!(agent.stop(), 0);
    assert_eq!((text(&host, "a"), text(&host, "b")), ("a1\na2\n".to_owned(), "b1\nb2\n".to_owned()));
}

#[test]
fn a_flow_that_is_removed_delivers_what_it_read_and_goes_on_where_it_was_when_it_comes_back() {
    let host = watched();
    let a = host.flow_json("a.log", "a", json!({}));
    // Only a stop sends.
    let b = host.flow_json("b.log", "b", json!({"maxBufferAgeMillis": 900_000}));
    let mut agent = run(&host, &[a.clone(), b.clone()]);
    append(&host.log("b.log"), "b1\n");
    until("read", || metric(&host, "read_bytes_total", "b") == Some(3.0));
    assert!(text(&host, "b").is_empty());
    let said = reloaded(&host, std::slice::from_ref(&a));
    assert!(said.contains("removed    b\n") && said.contains("unchanged  1\n"), "{said}");
    assert_eq!(text(&host, "b"), "b1\n", "it was drained before the command ended");
    append(&host.log("b.log"), "b2\n");
    append(&host.log("a.log"), "a1\n");
    host.arrived("a", 3);
    reloaded(&host, &[a, b]);
    until("read", || metric(&host, "read_bytes_total", "b") == Some(3.0));
    assert_eq!(agent.stop(), 0);
    assert_eq!(text(&host, "b"), "b1\nb2\n", "nothing is lost, and nothing is sent twice");
}

#[test]
fn another_stream_is_a_new_pair_of_file_and_stream_as_at_a_restart() {
    let host = Host::new();
    append(&host.log("a.log"), "1\n");
    let flow =
        |stream: &str, initial: &str| host.flow_json("a.log", stream, json!({"name": "f", "initialPosition": initial}));
    let mut agent = run(&host, &[flow("old", "START_OF_FILE")]);
    host.arrived("old", 2);
    let said = reloaded(&host, &[flow("end", "END_OF_FILE")]);
    assert!(said.contains("changed    f\n"), "{said}");
    append(&host.log("a.log"), "2\n");
    host.arrived("end", 2);
    reloaded(&host, &[flow("start", "START_OF_FILE")]);
    host.arrived("start", 4);
    append(&host.log("a.log"), "3\n");
    host.arrived("start", 6);
    // Back where it was: what came since is not lost.
    reloaded(&host, &[flow("old", "END_OF_FILE")]);
    host.arrived("old", 6);
    assert_eq!(agent.stop(), 0);
    assert_eq!(text(&host, "old"), "1\n2\n3\n");
    assert_eq!(text(&host, "end"), "2\n");
    assert_eq!(text(&host, "start"), "1\n2\n3\n");
}

#[test]
fn changed_options_count_from_the_reload_on_and_each_line_is_sent_once() {
    let host = Host::new();
    let flow = |fields: Value| {
        let options = json!([{"optionName": "ADDFIELDS", "fields": fields}]);
        host.flow_json("a.log", "a", json!({"dataProcessingOptions": options}))
    };
    append(&host.log("a.log"), "{\"n\":1}\n");
    let mut agent = run(&host, &[flow(json!({"v": "old"}))]);
    let one = "{\"n\":1,\"v\":\"old\"}\n";
    host.arrived("a", one.len());
    reloaded(&host, &[flow(json!({"v": "new"}))]);
    append(&host.log("a.log"), "{\"n\":2}\n");
    host.arrived("a", 2 * one.len());
    assert_eq!(agent.stop(), 0);
    assert_eq!(text(&host, "a"), "{\"n\":1,\"v\":\"old\"}\n{\"n\":2,\"v\":\"new\"}\n");
}

#[test]
fn flows_to_the_same_stream_start_again_together_and_lose_nothing() {
    let host = Host::new();
    let (a, b) =
        (host.flow_json("a.log", "s", json!({"name": "a"})), host.flow_json("b.log", "s", json!({"name": "b"})));
    append(&host.log("a.log"), "a1\n");
    append(&host.log("b.log"), "b1\n");
    let mut agent = run(&host, std::slice::from_ref(&a));
    host.arrived("s", 3);
    let said = reloaded(&host, &[a.clone(), b]);
    assert!(said.contains("added      b\n") && said.contains("restarted  a\n"), "{said}");
    host.arrived("s", 6);
    append(&host.log("a.log"), "a2\n");
    host.arrived("s", 9);
    assert_eq!(agent.stop(), 0);
    let sent = text(&host, "s");
    let mut lines: Vec<&str> = sent.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["a1", "a2", "b1"]);
}

#[test]
fn a_wrong_configuration_leaves_the_old_one_running_and_says_what_check_says() {
    let host = Host::new();
    let a = host.flow_json("a.log", "a", json!({}));
    let mut agent = run(&host, std::slice::from_ref(&a));
    let config = host.root().join("etc/agent.json");
    configure(&host, &[a.clone(), host.flow_json("b.log", "no stream", json!({}))]);
    let (code, said) = reload(&host);
    assert_eq!(code, 78, "{said}");
    let check = host.program().args(["check", "--config", config.to_str().unwrap()]).output().unwrap();
    let report = String::from_utf8(check.stdout).unwrap();
    assert!(said.contains(report.trim_end()) && said.contains("goes on"), "{said}\n--\n{report}");
    // Who sends the signal finds it in the log.
    agent.signal(Signal::HUP);
    let line = agent.wait_for("the new configuration is not applied");
    assert!(line["reason"].as_str().unwrap().contains("no stream"), "{line}");
    append(&host.log("a.log"), "a1\n");
    host.arrived("a", 3);
    replace(&config, "{\"flows\": [");
    assert_eq!(reload(&host).0, 78);
    std::fs::remove_file(&config).unwrap();
    assert_eq!(reload(&host).0, 78);
    reloaded(&host, &[a]);
    append(&host.log("a.log"), "a2\n");
    host.arrived("a", 6);
    assert_eq!(agent.stop(), 0);
    assert_eq!(text(&host, "a"), "a1\na2\n");
}

#[test]
fn what_needs_a_restart_is_named_and_nothing_else_is_applied() {
    let host = Host::new();
    let (a, b) = (host.flow_json("a.log", "a", json!({})), host.flow_json("b.log", "b", json!({})));
    append(&host.log("b.log"), "b1\n");
    let mut agent = run(&host, std::slice::from_ref(&a));
    let config = host.root().join("etc/agent.json");
    let mut written: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    written["flows"] = json!([a, b]);
    written["stateDirectory"] = json!(host.root().join("elsewhere").to_str().unwrap());
    replace(&config, &written.to_string());
    agent.signal(Signal::HUP);
    let line = agent.wait_for("the new configuration is not applied");
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.contains("stateDirectory") && reason.contains("restart the agent"), "{line}");
    let (code, said) = reload(&host);
    assert_eq!(code, 75, "{said}");
    assert!(said.contains("no agent runs") && said.contains("restart"), "{said}");
    append(&host.log("a.log"), "a1\n");
    host.arrived("a", 3);
    assert_eq!(agent.stop(), 0);
    assert!(text(&host, "b").is_empty(), "nothing of it was applied");
}

#[test]
fn without_an_agent_the_command_says_so() {
    let host = Host::new();
    let a = host.flow_json("a.log", "a", json!({}));
    configure(&host, std::slice::from_ref(&a));
    let (code, said) = reload(&host);
    assert_eq!(code, 75, "{said}");
    assert!(said.contains("no agent runs") && said.contains(host.state().to_str().unwrap()), "{said}");
    // A lock that a killed agent left is nobody's.
    run(&host, &[a]).kill();
    assert_eq!(reload(&host).0, 75);
}

#[test]
fn a_flow_that_is_paused_or_retries_is_reloaded_all_the_same() {
    let host = Host::new().top("shutdownTimeoutMillis", json!(500));
    append(&host.log("a.log"), "a1\n");
    let flow = |age: u64| host.flow_json("a.log", "a", json!({"maxBufferAgeMillis": age}));
    for (fault, words) in [(Fault::AccessDenied, "flow paused"), (Fault::InternalFailure, "calls fail")] {
        host.lake.faults().always(Some(fault));
        std::fs::remove_dir_all(host.state()).unwrap();
        let mut agent = run(&host, &[flow(50)]);
        agent.wait_for(words);
        reloaded(&host, &[flow(60)]);
        host.lake.faults().always(None);
        until("delivered", || text(&host, "a").contains("a1\n"));
        assert_eq!(agent.stop(), 0);
    }
}

#[test]
fn the_service_manager_hears_of_each_reload_and_of_its_end() {
    let mut host = Host::new();
    let path = host.root().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    host.environment.push(("NOTIFY_SOCKET".to_owned(), path.display().to_string()));
    let a = host.flow_json("a.log", "a", json!({}));
    let mut agent = run(&host, std::slice::from_ref(&a));
    reloaded(&host, &[a.clone(), host.flow_json("b.log", "b", json!({}))]);
    configure(&host, &[host.flow_json("b.log", "no stream", json!({}))]);
    agent.signal(Signal::HUP);
    agent.wait_for("the new configuration is not applied");
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    until("all is said", || {
        while let Ok(length) = socket.recv(&mut buffer) {
            heard.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
        heard.iter().filter(|message| message.starts_with("READY=1")).count() == 3
    });
    let said: Vec<&str> = heard.iter().filter_map(|message| message.lines().next()).collect();
    let said: Vec<&str> = said.into_iter().filter(|line| !line.starts_with("STATUS")).collect();
    assert_eq!(said, ["READY=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1"]);
    for message in heard.iter().filter(|message| message.starts_with("RELOADING")) {
        assert!(message.contains("MONOTONIC_USEC="), "Type=notify-reload wants the time: {message}");
    }
    assert_eq!(agent.stop(), 0);
}

#[test]
fn status_goes_on_counting_and_shows_the_flows_that_run_now() {
    let host = Host::new();
    let flow = |age: u64| host.flow_json("a.log", "a", json!({"maxBufferAgeMillis": age}));
    append(&host.log("a.log"), "a1\n");
    let mut agent = run(&host, &[flow(50)]);
    host.arrived("a", 3);
    reloaded(&host, &[flow(60), host.flow_json("b.log", "b", json!({}))]);
    append(&host.log("a.log"), "a2\n");
    host.arrived("a", 6);
    let status = || {
        let config = host.root().join("etc/agent.json");
        let arguments = ["status", "--json", "--config", config.to_str().unwrap()];
        let output = host.program().args(arguments).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default()
    };
    until("both lives are counted", || status()["flows"][0]["accounting"]["delivered"] == 6);
    let names: Vec<Value> = status()["flows"].as_array().unwrap().iter().map(|flow| flow["name"].clone()).collect();
    assert_eq!(names, ["a", "b"]);
    reloaded(&host, &[host.flow_json("b.log", "b", json!({}))]);
    assert_eq!(status()["flows"].as_array().unwrap().len(), 1);
    assert_eq!(agent.stop(), 0);
}

#[test]
fn metrics_move_to_their_new_address_and_say_what_runs_and_what_was_refused() {
    let host = watched();
    let a = host.flow_json("a.log", "a", json!({}));
    let mut agent = run(&host, std::slice::from_ref(&a));
    let (old, new) = (host.root().join("metrics.sock"), host.root().join("other.sock"));
    until("served", || old.exists());
    let asked = |socket: &Path| {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let number = answer.lines().find_map(|line| line.strip_prefix("datalake_agent_reload_failed "));
        let hash = answer.lines().find(|line| line.starts_with("datalake_agent_configuration_info"));
        (number.unwrap().to_owned(), hash.unwrap().to_owned())
    };
    let before = asked(&old);
    assert_eq!(before.0, "0.0");
    let config = host.root().join("etc/agent.json");
    let good = std::fs::read_to_string(&config).unwrap();
    replace(&config, "{");
    agent.signal(Signal::HUP);
    until("refused", || asked(&old) == ("1.0".to_owned(), before.1.clone()));
    replace(&config, &good.replace("metrics.sock", "other.sock"));
    let (code, said) = reload(&host);
    assert!(code == 0 && said.contains("unchanged  1\n"), "{said}");
    until("served elsewhere", || new.exists());
    let after = asked(&new);
    assert_eq!(after.0, "0.0");
    assert_ne!(after.1, before.1, "another configuration has another hash");
    assert!(!old.exists());
    assert_eq!(agent.stop(), 0);
}

/// Lines in a number of files, numbered in each, written until it is dropped.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<Vec<usize>>>,
}

impl Writer {
    fn start(host: &Host, files: &[&str]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let names: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        let folder = host.logs();
        let thread = std::thread::spawn(move || {
            let mut written = vec![0_usize; names.len()];
            while !stopped.load(Ordering::Relaxed) {
                for (name, count) in names.iter().zip(&mut written) {
                    let lines: String = (0..20).map(|more| format!("{name} {}\n", *count + more)).collect();
                    append(&folder.join(name), &lines);
                    *count += 20;
                }
                // A rotation, every so often, so that files are renamed while flows come and go.
                if written[0].is_multiple_of(8_000) {
                    let name = &names[0];
                    std::fs::rename(folder.join(name), folder.join(format!("{name}.{}", written[0]))).unwrap();
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            written
        });
        Self { stop, thread: Some(thread) }
    }

    /// How many lines there are in each file.
    fn finish(mut self) -> Vec<usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

/// How often each line arrived.
fn counted(sent: &str, file: &str) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for line in sent.lines() {
        let number = line.strip_prefix(file).and_then(|rest| rest.strip_prefix(' ')).and_then(|rest| rest.parse().ok());
        *counts.entry(number.unwrap_or_else(|| panic!("a line that nobody wrote: {line:?}"))).or_default() += 1;
    }
    counts
}

/// Configurations in turn: flow `a` never changes, `b` does, `c` comes and goes, and some are wrong.
fn storm(host: &Host, round: usize) {
    let a = host.flow_json("a.log", "a", json!({}));
    let b = host.flow_json("b.log", "b", json!({"maxBufferAgeMillis": 20 + round % 3 * 10}));
    let c = host.flow_json("c.log", "c", json!({}));
    match round % 5 {
        0 => configure(host, &[a, b, c]),
        1 => configure(host, &[b, a]),
        2 => configure(host, &[a, b, host.flow_json("c.log", "no stream", json!({}))]),
        3 => configure(host, &[c, a, b]),
        _ => replace(&host.root().join("etc/agent.json"), "{\"flows\": ["),
    }
}

#[test]
fn a_storm_of_reloads_under_load_loses_no_line_and_repeats_none() {
    outlives_a_storm(&watched());
}

/// Where the files lie on a filesystem of the network, what is settled comes from another thread than what is read.
#[test]
fn a_storm_of_reloads_loses_no_line_either_where_files_are_read_on_a_thread_of_their_own() {
    let mut host = watched();
    host.environment.push(("DATALAKE_TAILER".to_owned(), "thread".to_owned()));
    outlives_a_storm(&host);
}

/// Whether the agent has a thread for the files.
fn reads_on_a_thread(agent: &Agent) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap();
    let name = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
    threads.map(|thread| name(thread.unwrap())).any(|name| name.trim() == "tail")
}

#[track_caller]
fn outlives_a_storm(host: &Host) {
    let all = |host: &Host| ["a", "b", "c"].map(|name| host.flow_json(&format!("{name}.log"), name, json!({})));
    let mut agent = run(host, &all(host));
    let wanted = host.environment.iter().any(|(name, _)| name == "DATALAKE_TAILER");
    assert_eq!(reads_on_a_thread(&agent), wanted);
    let writer = Writer::start(host, &["a.log", "b.log", "c.log"]);
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    say(&format!("SEED={seed}"));
    for round in 0..60 {
        storm(host, round);
        agent.signal(Signal::HUP);
        std::thread::sleep(Duration::from_millis(random.u64(0..25)));
    }
    reloaded(host, &all(host));
    let written = writer.finish();
    for (name, lines) in ["a", "b", "c"].iter().zip(&written) {
        let file = format!("{name}.log");
        until("everything arrived", || counted(&text(host, name), &file).len() == *lines);
    }
    let all_of_a = text(host, "a").len() as f64;
    until("flow a has counted all of it", || metric(host, "delivered_bytes_total", "a") == Some(all_of_a));
    assert_eq!(agent.stop(), 0);
    for (name, lines) in ["a", "b", "c"].iter().zip(&written) {
        let counts = counted(&text(host, name), &format!("{name}.log"));
        assert_eq!(counts.len(), *lines, "{name}");
        let twice = counts.values().filter(|count| **count > 1).count();
        assert_eq!(twice, 0, "{name}: {twice} of {lines} lines arrived more than once");
    }
    say(&format!("{written:?} lines, each once"));
}

#[test]
fn kills_in_the_middle_of_reloads_lose_no_line() {
    let host = Host::new();
    let all = |host: &Host| ["a", "b", "c"].map(|name| host.flow_json(&format!("{name}.log"), name, json!({})));
    let mut agent = run(&host, &all(&host));
    let writer = Writer::start(&host, &["a.log", "b.log", "c.log"]);
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    say(&format!("SEED={seed}"));
    for _ in 0..8 {
        for round in 0..random.usize(1..6) {
            storm(&host, round);
            agent.signal(Signal::HUP);
            std::thread::sleep(Duration::from_millis(random.u64(0..15)));
        }
        agent.kill();
        // What a start needs is a good configuration; which of them is chance.
        storm(&host, [0, 1, 3][random.usize(0..3)]);
        let config = host.root().join("etc/agent.json");
        agent = host.start_with(&["run", "--config", config.to_str().unwrap(), "--log-format", "json"]);
        agent.wait_for("running");
    }
    reloaded(&host, &all(&host));
    let written = writer.finish();
    for (name, lines) in ["a", "b", "c"].iter().zip(&written) {
        let file = format!("{name}.log");
        until("everything arrived", || counted(&text(&host, name), &file).len() == *lines);
    }
    assert_eq!(agent.stop(), 0);
    say(&format!("{written:?} lines, none lost"));
}

fn seed() -> u64 {
    std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..))
}
