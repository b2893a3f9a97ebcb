use super::table::table;
use super::*;
use crate::saved::Counters;
use crate::status::{LastError, Limit};

fn flow() -> FlowStatus {
    let mut flow = FlowStatus {
        name: "orders".into(),
        service: "Firehose".into(),
        stream: "raw".into(),
        state: State::Delivering,
        files: 3,
        rate: 5.0 * 1024.0 * 1024.0,
        written_rate: 12.0 * 1024.0 * 1024.0,
        behind_bytes: 40 << 20,
        behind_millis: 4_000,
        limit: Some(Limit { stage: "quota".into(), percent: 88, remedy: "ask for more".into() }),
        oldest: Some(Oldest::default()),
        ..FlowStatus::default()
    };
    flow.sent.call_bytes = 4_000_000;
    let counters = Counters {
        delivered: 1_000_000_000,
        filtered: 10,
        quarantined: 5,
        payload: 1_000_000_000,
        billed: 1_100_000_000,
        records: 1_000,
        calls: 500,
        lines: 7_000_000,
        ..Counters::default()
    };
    flow.count(&counters, 100);
    flow
}

fn picture(flow: FlowStatus, loss: Loss) -> Picture {
    let status = Status {
        running: true,
        version: "0.1.0".into(),
        pid: Some(7),
        started_at: Some(clock::now_ms()),
        flows: vec![flow],
        ..Status::default()
    };
    Picture { status, files: None, losses: vec![loss], configuration_is_wrong: false }
}

#[test]
fn a_flow_that_falls_behind_says_how_fast_how_far_why_and_what_to_ask_for() {
    let text = table(&picture(flow(), Loss::In(Duration::from_secs(7_200))));
    for words in [
        "runs as process 7 for 0 s",
        "orders  delivering  5.0 MiB/s  40 MiB  4 s  quota 88 %  3\n",
        "→ Firehose raw",
        "! needs 12 MiB/s, gets 5: ask for a quota of 15 MiB/s",
        "rotation deletes what is not sent in about 2 h",
        "read 954 MiB = delivered 954 MiB + pending 100 B + filtered 10 B + quarantined 5 B\n",
        "7000000 lines in 1000 records of 977 KiB and 500 calls, 50 % full; $0.032 a GB",
    ] {
        assert!(text.contains(words), "`{words}` is missing in {text}");
    }
}

#[test]
fn a_paused_flow_names_the_cause_and_fails_the_exit_code_and_a_stalled_one_too() {
    let mut paused = flow();
    (paused.state, paused.reason) = (State::Paused, Some("no credentials: attach a role".into()));
    let picture = picture(paused, Loss::Unknown);
    let text = table(&picture);
    assert!(text.contains("! no credentials: attach a role"), "{text}");
    assert!(text.contains("unknown until two rotations were seen"), "{text}");
    assert_eq!(verdict(&picture.status), Exit::NotYet);
    let with = |state, running| {
        let flows = vec![FlowStatus { state, ..flow() }];
        verdict(&Status { running, flows, ..Status::default() })
    };
    assert_eq!(with(State::Stalled, true), Exit::NotYet);
    assert_eq!(with(State::Throttled, true), Exit::Success, "the agent copes by itself");
    assert_eq!(with(State::Stopped, false), Exit::NotRunning);
}

#[test]
fn an_error_that_is_over_is_told_as_one() {
    let last = LastError { at: clock::now_ms() - 65_000, reason: "connection refused".into() };
    let text = table(&picture(FlowStatus { last_error: Some(last), ..flow() }, Loss::Nothing));
    assert!(text.contains("over since, begun 65 s ago: connection refused"), "{text}");
}

#[test]
fn hostile_names_and_reasons_forge_no_line_and_json_keeps_their_values() {
    let hostile = "a\n2026 ERROR forged\u{1b}[2J\u{202e}";
    let mut flow = flow();
    (flow.name, flow.reason, flow.stream) = (hostile.into(), Some(hostile.into()), hostile.into());
    let mut picture = picture(flow, Loss::Nothing);
    let path = crate::local::PathText(hostile.into());
    picture.files = Some(vec![FileStatus { path: Some(path), flow: Some(hostile.into()), ..FileStatus::default() }]);
    let text = table(&picture);
    assert!(!text.chars().any(|c| datalake_base::shown::steers(c) && c != '\n'), "{text}");
    assert!(!text.lines().any(|line| line.starts_with("2026")), "{text}");
    let json = json_lines(&as_json(&picture), true);
    assert!(!json.chars().any(|c| datalake_base::shown::steers(c) && c != '\n'), "{json}");
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&value["flows"][0]["name"], &value["files"][0]["path"]), (&json!(hostile), &json!(hostile)));
    assert_eq!(value["exitCode"], 0);
    assert_eq!(json_lines(&as_json(&picture), false).lines().count(), 1);
}
