//! A service, or what stands before it, that refuses calls: the agent's program against a lake that does so on request.
//! Promises that no record is given up without evidence against it, that the log says what happens once, and that a paused
//! agent stops at once. Leaves the meaning of single answers to the wire suites and the search to the flow's own tests.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;

use host::{Agent, Host, until};
use local_lake::{Fault, FaultPlan};
use serde_json::{Value, json};

const STREAM: &str = "logs";

fn host(flow: Value) -> Host {
    // A stop that waited for this would never end in time.
    Host::new().top("shutdownTimeoutMillis", json!(600_000)).flow("*.log", STREAM, flow)
}

fn lines(count: usize) -> String {
    (0..count).map(|number| format!("line {number}\n")).collect()
}

fn waits_in_quarantine(host: &Host) -> bool {
    let config = host.configure();
    let listed = host.program().args(["quarantine", "list", "--config", config.to_str().unwrap()]).output().unwrap();
    !String::from_utf8(listed.stdout).unwrap().contains("no records wait in quarantine")
}

/// The only line about a pause, and that the end of it is said once.
#[track_caller]
fn paused_once(agent: &Agent) -> Value {
    agent.wait_for("the stream accepts records again");
    let paused = agent.logged("flow paused");
    assert_eq!(paused.len(), 1, "{paused:?}");
    assert_eq!(paused[0]["level"], "ERROR");
    paused[0].clone()
}

/// Within half a second 97 % of a log lay in the quarantine, with a line in the log for each record.
#[test]
fn a_proxy_that_takes_no_call_of_this_size_pauses_the_flow_and_no_record_is_given_up() {
    let host = host(json!({"aggregatedRecordSizeBytes": 0}));
    host.lake.faults().always(Some(Fault::TooLarge));
    let text = lines(200);
    std::fs::write(host.log("a.log"), &text).unwrap();
    let mut agent = host.run();
    let reason = agent.wait_for("flow paused")["reason"].as_str().unwrap().to_owned();
    let words = [&host.lake.endpoint(), "no answer of Firehose", "`maxBufferSizeBytes`"];
    assert!(words.iter().all(|word| reason.contains(word)), "{reason}");
    assert!(!waits_in_quarantine(&host));
    host.lake.faults().clear();
    assert_eq!(host.arrived(STREAM, text.len()), text.as_bytes());
    paused_once(&agent);
    assert_eq!(agent.stop(), 0);
    assert!(!waits_in_quarantine(&host));
}

/// A stream whose source is another one refuses every put as if its arguments were bad.
#[test]
fn a_stream_that_refuses_every_call_costs_no_record_and_is_not_hammered() {
    for packed in [0, 1_024_000] {
        let host = host(json!({"aggregatedRecordSizeBytes": packed}));
        host.lake.faults().always(Some(Fault::InvalidArgument));
        let text = lines(200);
        std::fs::write(host.log("a.log"), &text).unwrap();
        let mut agent = host.run();
        let reason = agent.wait_for("flow paused")["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("no record is blamed") && reason.contains("InvalidArgumentException"), "{reason}");
        assert!(host.lake.stats().calls < 40, "{} calls", host.lake.stats().calls);
        assert!(!waits_in_quarantine(&host));
        host.lake.faults().clear();
        let mut arrived: Vec<String> =
            String::from_utf8(host.arrived(STREAM, text.len())).unwrap().lines().map(str::to_owned).collect();
        arrived.sort_unstable();
        let mut written: Vec<&str> = text.lines().collect();
        written.sort_unstable();
        assert_eq!(arrived, written);
        paused_once(&agent);
        assert_eq!(agent.stop(), 0);
        assert!(!waits_in_quarantine(&host));
    }
}

#[test]
fn bad_records_among_good_ones_are_found_and_told_in_sums() {
    let host = host(json!({"aggregatedRecordSizeBytes": 0}));
    let poison = Some(b"bad".to_vec());
    host.lake.faults().set(FaultPlan { poison, ..FaultPlan::default() }).unwrap();
    let good: String = lines(200);
    let text: String = good.lines().map(|line| format!("{line}\nbad {line}\n")).collect();
    std::fs::write(host.log("a.log"), &text).unwrap();
    let mut agent = host.run();
    until("the good ones arrive", || host.payload(STREAM).len() >= good.len());
    until("the bad ones are kept", || {
        let folder = host.state().join("quarantine").join(STREAM);
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        files.map(|file| std::fs::read_to_string(file.path()).unwrap().lines().count()).sum::<usize>() == 200
    });
    assert_eq!(agent.stop(), 0);
    let told = agent.logged("the service rejects records for good");
    let records: u64 = told.iter().map(|line| line["records"].as_u64().unwrap()).sum();
    assert_eq!((told.len(), records), (2, 200), "the first at once, the others in a sum");
    assert_eq!(host.payload(STREAM).len(), good.len());
}

#[test]
fn a_paused_agent_stops_at_once_and_goes_on_at_the_next_start() {
    for fault in [Fault::AccessDenied, Fault::TooLarge, Fault::InvalidArgument] {
        let label = format!("{fault:?}");
        let host = host(json!({}));
        host.lake.faults().always(Some(fault));
        std::fs::write(host.log("a.log"), "one\ntwo\n").unwrap();
        let mut agent = host.run();
        agent.wait_for("flow paused");
        assert_eq!(agent.stop(), 0, "{label}");
        agent.wait_for("stopped while paused");
        host.lake.faults().clear();
        let mut agent = host.run();
        assert_eq!(host.arrived(STREAM, 8), b"one\ntwo\n", "{label}");
        assert_eq!(agent.stop(), 0, "{label}");
        assert_eq!(agent.logged("everything that was read is delivered").len(), 1, "{label}");
    }
}

#[test]
fn calls_that_are_accepted_and_throttled_in_turn_are_one_line() {
    let host = host(json!({"aggregatedRecordSizeBytes": 0, "maxBufferSizeRecords": 10}));
    host.lake.faults().next((0..8).map(|number| match number % 2 {
        0 => Fault::Partial { indices: vec![3] },
        _ => Fault::None,
    }));
    let text = lines(80);
    std::fs::write(host.log("a.log"), &text).unwrap();
    let mut agent = host.run();
    until("all lines arrive", || host.payload(STREAM).len() >= text.len());
    assert_eq!(host.lake.faults().dictated(), 0);
    agent.wait_for("the stream accepts records again");
    assert_eq!(agent.stop(), 0);
    let told = agent.logged("is throttled").len() + agent.logged("accepts records again").len();
    assert_eq!(told, 2, "{}", agent.log_text());
}
