//! Records changed, dropped and given up on their way, by the real agent from real files to a lake.
//! Promises that what the documentation says of `dataProcessingOptions`, `onFailure`, `preview` and a replay is true of
//! the real program.
//! Leaves each option's output to the conformance suite, and worlds of faults to the simulation.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;

use host::{Agent, Host, until};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

const STREAM: &str = "processed";

fn append(path: &Path, text: &str) {
    File::options().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Words become fields; what has other signs in it does not fit, and what begins with `debug` is not wanted.
fn words() -> Value {
    json!([
        {"optionName": "FILTER", "exclude": ["^debug"]},
        {"optionName": "LOGTOJSON", "logFormat": "SYSLOG", "matchPattern": "(\\w+) (\\w+)", "customFieldNames": ["first", "second"]},
    ])
}

fn host(more: Value) -> Host {
    let mut keys = json!({"dataProcessingOptions": words()});
    for (key, value) in more.as_object().unwrap() {
        keys[key] = value.clone();
    }
    Host::new().flow("*.log", STREAM, keys)
}

fn command(host: &Host, arguments: &[&str], input: &str) -> Output {
    let mut child = host
        .program()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn quarantine(host: &Host, more: &[&str]) -> String {
    let (code, said) = quarantine_ends(host, more);
    assert_eq!(code, Some(0), "{more:?}: {said}");
    said
}

/// The exit code, and what was said on standard output.
fn quarantine_ends(host: &Host, more: &[&str]) -> (Option<i32>, String) {
    let config = host.configure();
    let arguments = [&["quarantine"], &more[..1], &["--config", config.to_str().unwrap()], &more[1..]].concat();
    let output = command(host, &arguments, "");
    (output.status.code(), text(&output.stdout))
}

#[track_caller]
fn arrives(host: &Host, expected: &str) {
    until("everything arrives", || host.payload(STREAM).len() >= expected.len());
    assert_eq!(text(&host.payload(STREAM)), expected);
}

#[track_caller]
fn stop(mut agent: Agent) {
    assert_eq!(agent.stop(), 0);
}

const A_B: &str = "{\"first\":\"a\",\"second\":\"b\"}\n";
const C_D: &str = "{\"first\":\"c\",\"second\":\"d\"}\n";

#[test]
fn records_are_changed_dropped_and_kept_in_quarantine_and_none_is_sent_again_after_a_restart() {
    let host = host(json!({}));
    append(&host.log("a.log"), "a b\ndebug x\n-- no words --\nc d\n");
    let agent = host.run();
    arrives(&host, &[A_B, C_D].concat());
    until("the record is kept", || quarantine(&host, &["list"]).contains("a.log"));
    let listed = quarantine(&host, &["list"]);
    assert!(listed.contains("processing: step 2: the line does not match `matchPattern`"), "{listed}");
    let told = agent.wait_for("records do not fit `dataProcessingOptions`");
    assert_eq!((told["quarantined"].as_u64(), told["raw"].as_u64()), (Some(1), Some(0)), "{told}");
    stop(agent);
    let agent = host.run();
    append(&host.log("a.log"), "e f\n");
    arrives(&host, &[A_B, C_D, "{\"first\":\"e\",\"second\":\"f\"}\n"].concat());
    stop(agent);
    assert_eq!(quarantine(&host, &["list"]).lines().count(), 2, "once, and below a header");
}

#[test]
fn a_flow_may_send_what_does_not_fit_as_it_is_or_drop_it() {
    for (word, more) in [("raw", "-- no words --\n"), ("drop", "")] {
        let host = host(json!({"onFailure": word}));
        append(&host.log("a.log"), "a b\ndebug x\n-- no words --\nc d\n");
        let agent = host.run();
        arrives(&host, &[A_B, more, C_D].concat());
        let told = agent.wait_for("records do not fit");
        let counted = told[if word == "raw" { "raw" } else { "dropped" }].as_u64();
        assert_eq!((counted, told["quarantined"].as_u64()), (Some(1), Some(0)), "{told}");
        stop(agent);
        assert_eq!(quarantine(&host, &["list"]), "no records wait in quarantine\n");
    }
}

#[test]
fn a_replay_takes_records_through_the_options_of_now() {
    let mut host = host(json!({"compression": "gzip"}));
    append(&host.log("a.log"), "a b\none,two\n");
    let agent = host.run();
    until("the record is kept", || quarantine(&host, &["list"]).contains("a.log"));
    until("the other arrives", || !host.payload(STREAM).is_empty());
    stop(agent);
    // It fails as long as nothing is corrected, and a script must see that.
    let (code, said) = quarantine_ends(&host, &["replay"]);
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("fails again: ") && said.contains("0 delivered, 1 refused again"), "{said}");
    let (code, said) = quarantine_ends(&host, &["replay", "--json"]);
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (code, &lines[0]["event"], &lines[1]["refused"]),
        (Some(75), &json!("fails again"), &json!(1)),
        "{said}"
    );
    let mended = json!([
        {"optionName": "LOGTOJSON", "logFormat": "SYSLOG", "matchPattern": "(\\w+)[ ,](\\w+)", "customFieldNames": ["first", "second"]},
        {"optionName": "ADDPROVENANCE", "prefix": ""},
    ]);
    let more = json!({"compression": "gzip", "dataProcessingOptions": mended});
    host = host.without_flows().flow("*.log", STREAM, more);
    let said = quarantine(&host, &["replay"]);
    assert!(said.contains("1 delivered, 0 refused again"), "{said}");
    let records = host.lake.arrived(STREAM);
    let mut sent = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&records.last().unwrap().data[..]), &mut sent)
        .unwrap();
    let sent: Value = serde_json::from_str(&sent).unwrap();
    assert_eq!((&sent["first"], &sent["second"], &sent["offset"]), (&json!("one"), &json!("two"), &json!(4)), "{sent}");
    assert_eq!(quarantine(&host, &["list"]), "no records wait in quarantine\n");
}

#[test]
fn a_replay_can_send_what_does_not_fit_as_it_is() {
    let host = host(json!({}));
    append(&host.log("a.log"), "no, words\n");
    let agent = host.run();
    until("the record is kept", || quarantine(&host, &["list"]).contains("a.log"));
    stop(agent);
    assert!(quarantine(&host, &["replay", "--raw"]).contains("1 delivered"));
    assert_eq!(text(&host.payload(STREAM)), "no, words\n");
}

#[test]
fn what_waits_can_be_summed_up_exported_and_dropped() {
    let host = host(json!({}));
    append(&host.log("a.log"), "no, words\n--\n");
    let agent = host.run();
    until("the records are kept", || quarantine(&host, &["list"]).lines().count() == 3);
    stop(agent);
    let sums = quarantine(&host, &["summary"]);
    assert!(sums.contains("\n2\t2\t13\t") && sums.contains("processing: step 2: the line does not match"), "{sums}");
    assert_eq!(quarantine(&host, &["export", "--code", "processing"]), "no, words\n--\n");
    let file = host.root().join("exported.log");
    let name = file.to_str().unwrap();
    assert_eq!(quarantine(&host, &["export", name]), "");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "no, words\n--\n");
    assert_eq!(quarantine_ends(&host, &["export", name]).0, Some(74), "nothing is written over");
    assert!(quarantine(&host, &["drop", "--code", "processing"]).contains("would drop 2 records"));
    assert_eq!(quarantine(&host, &["drop", "--code", "other", "--yes"]).split(" (").next(), Some("dropped 0 records"));
    assert_eq!(quarantine(&host, &["list", "--json"]).lines().count(), 2);
    assert!(
        quarantine(&host, &["drop", "--code", "processing", "--yes"]).starts_with("dropped 2 records (2 lines, 13")
    );
    assert_eq!(quarantine(&host, &["list"]), "no records wait in quarantine\n");
    assert_eq!(host.lake.stats().calls, 0);
}

#[test]
fn while_the_quarantine_cannot_keep_a_record_no_position_passes_it() {
    let host = host(json!({}));
    // In the way of the folder, also for root.
    let blocked = host.state().join("quarantine");
    append(&blocked, "");
    append(&host.log("a.log"), "a b\n-- no words --\nc d\n");
    let agent = host.run();
    agent.wait_for("cannot be kept in the quarantine");
    arrives(&host, &[A_B, C_D].concat());
    agent.kill();
    // Killed before the record was kept, it is read again: at least once, the line after it included.
    std::fs::remove_file(&blocked).unwrap();
    let agent = host.run();
    until("the record is kept", || quarantine(&host, &["list"]).contains("a.log"));
    until("the line after it comes again", || text(&host.payload(STREAM)).matches(C_D).count() >= 2);
    stop(agent);
    let arrived = text(&host.payload(STREAM));
    assert!(arrived.starts_with(&[A_B, C_D].concat()) && arrived.matches(C_D).count() >= 2, "{arrived}");
}

#[test]
fn a_quarantine_that_works_again_is_found_without_a_restart() {
    let host = host(json!({}));
    let blocked = host.state().join("quarantine");
    append(&blocked, "");
    // More than is held at a time: the flow waits with the rest.
    append(&host.log("a.log"), &"-- no words --\n".repeat(3000));
    append(&host.log("a.log"), "a b\n");
    let agent = host.run();
    agent.wait_for("cannot be kept in the quarantine");
    std::fs::remove_file(&blocked).unwrap();
    agent.wait_for("the quarantine keeps records again");
    arrives(&host, A_B);
    until("all records are kept", || quarantine(&host, &["list"]).lines().count() == 3001);
    stop(agent);
}

#[test]
fn options_that_cannot_run_on_this_machine_end_the_start_with_78() {
    let options = json!([{"optionName": "ADDMETADATA", "metadata": {"stage": "${env:STAGE_OF_NOBODY}"}}]);
    let mut host = Host::new().flow("*.log", STREAM, json!({"dataProcessingOptions": options}));
    let mut agent = host.start();
    assert_eq!(agent.exit_code(), 78);
    let log = agent.log_text();
    assert!(log.contains("STAGE_OF_NOBODY") && log.contains(STREAM), "{log}");
    host.environment.push(("STAGE_OF_NOBODY".to_owned(), "test".to_owned()));
    append(&host.log("a.log"), "x\n");
    let agent = host.run();
    arrives(&host, "{\"metadata\":{\"stage\":\"test\"},\"data\":\"x\"}\n");
    stop(agent);
}

#[test]
fn huge_results_arrive_or_are_kept_in_bounded_memory() {
    let options = json!([{"optionName": "ADDMETADATA", "metadata": {}}]);
    let host = Host::new().flow("*.log", STREAM, json!({"dataProcessingOptions": options}));
    // Control signs become six bytes each.
    let (fits, too_long) = ("\u{1}".repeat(150_000), "\u{1}".repeat(400_000));
    append(&host.log("a.log"), &format!("{fits}\n{too_long}\n{fits}\n"));
    let agent = host.run();
    let one = format!("{{\"metadata\":{{}},\"data\":\"{}\"}}\n", "\\u0001".repeat(150_000));
    arrives(&host, &[one.as_str(), &one].concat());
    until("the other is kept", || quarantine(&host, &["list"]).contains("the result is longer than 1024000 bytes"));
    assert!(agent.peak_memory() < 64 << 20, "{} MiB at the most", agent.peak_memory() >> 20);
    stop(agent);
}

#[test]
fn a_line_that_was_made_to_take_long_holds_up_neither_another_flow_nor_a_stop() {
    let hostile = json!([{"optionName": "FILTER", "exclude": r"(\w*)*\1!"}]);
    let host = Host::new().flow("hostile*.log", "hostile", json!({"dataProcessingOptions": hostile})).flow(
        "good*.log",
        STREAM,
        json!({"dataProcessingOptions": words()}),
    );
    // Hundreds of them: the flow would be busy for minutes.
    append(&host.log("hostile.log"), &[&"a".repeat(900_000), "\n"].concat().repeat(200));
    append(&host.log("good.log"), "a b\n");
    let agent = host.run();
    arrives(&host, A_B);
    append(&host.log("good.log"), "c d\n");
    arrives(&host, &[A_B, C_D].concat());
    stop(agent);
    assert!(host.payload("hostile").is_empty(), "nothing of it was sent");
    let agent = host.run();
    append(&host.log("good.log"), "e f\n");
    arrives(&host, &[A_B, C_D, "{\"first\":\"e\",\"second\":\"f\"}\n"].concat());
    stop(agent);
}

#[test]
fn provenance_tells_the_lives_of_a_truncated_file_apart_and_stays_the_same_over_a_restart() {
    let options = json!([{"optionName": "ADDPROVENANCE", "prefix": ""}]);
    let host = Host::new().flow("*.log", STREAM, json!({"dataProcessingOptions": options}));
    let records = || -> Vec<Value> {
        text(&host.payload(STREAM)).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let line = |number: u32| format!("{{\"n\":{number}}}\n");
    append(&host.log("a.log"), &[line(1), line(2)].concat());
    let agent = host.run();
    until("the first life arrives", || records().len() == 2);
    stop(agent);
    let agent = host.run();
    append(&host.log("a.log"), &line(3));
    until("what came after the restart arrives", || records().len() == 3);
    // In place: the file keeps its identity.
    File::options().write(true).truncate(true).open(host.log("a.log")).unwrap();
    append(&host.log("a.log"), &[line(4), line(5)].concat());
    until("the second life arrives", || records().len() == 5);
    stop(agent);
    let records = records();
    let values = |key: &str| records.iter().map(|record| record[key].clone()).collect::<Vec<_>>();
    assert_eq!(values("n"), [1, 2, 3, 4, 5]);
    assert_eq!(values("offset"), [0, 8, 16, 0, 8]);
    let (files, lives) = (values("file_id"), values("generation"));
    assert!(files.iter().all(|file| *file == files[0]), "one identity: {files:?}");
    assert!(lives.iter().all(Value::is_string) && lives[0] != lives[3], "{lives:?}");
    assert_eq!((&lives[..3], &lives[3..]), (&vec![lives[0].clone(); 3][..], &vec![lives[3].clone(); 2][..]));
}

/// Answers as the metadata service of an instance does, or hangs up while `says` is false.
fn metadata_service(says: &'static AtomicBool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut head, mut line) = (String::new(), String::new());
            while stream.read_line(&mut line).unwrap_or(0) > 2 {
                head.push_str(&line);
                line.clear();
            }
            if !says.load(Ordering::SeqCst) {
                continue;
            }
            let body = match head.lines().next().unwrap_or_default() {
                line if line.starts_with("PUT /latest/api/token ") => "token",
                line if line.contains("/instance-identity/document ") => r#"{"instanceId": "i-7"}"#,
                _ => "",
            };
            let status = if body.is_empty() { 404 } else { 200 };
            let text =
                format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            stream.get_mut().write_all(text.as_bytes()).ok();
        }
    });
    address
}

#[test]
fn records_pass_unchanged_until_the_machine_says_what_it_is() {
    static SAYS: AtomicBool = AtomicBool::new(false);
    let options = json!([{"optionName": "ADDEC2METADATA", "logFormat": "SYSLOG"}]);
    let mut host = Host::new().flow("*.log", STREAM, json!({"dataProcessingOptions": options}));
    let address = metadata_service(&SAYS);
    for (name, value) in [("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &address)] {
        host.environment.push((name.to_owned(), value.to_owned()));
    }
    append(&host.log("a.log"), "{\"a\":1}\n");
    let agent = host.run();
    arrives(&host, "{\"a\":1}\n");
    agent.wait_for("the machine does not say what it is");
    SAYS.store(true, Ordering::SeqCst);
    agent.wait_for("the machine says what it is");
    append(&host.log("a.log"), "{\"a\":2}\n");
    until("the record is marked", || {
        text(&host.payload(STREAM)).contains("{\"a\":2,\"instanceId\":\"i-7\",\"metadataTimestamp\":\"")
    });
    stop(agent);
}

#[test]
fn a_preview_shows_what_would_be_sent_and_sends_nothing() {
    let host = host(json!({})).flow("/var/log/nobody/*.log", "other", json!({}));
    let config = host.configure();
    let config = config.to_str().unwrap();
    append(&host.log("a.log"), "a b\ndebug x\n-- no words --\n");
    let file = host.log("a.log");
    let file = file.to_str().unwrap();
    let expected = "record 1, offset 0, 4 bytes\n  < a b\n  > {\"first\":\"a\",\"second\":\"b\"}\n\
        record 2, offset 4, 8 bytes\n  < debug x\n  ! dropped by step 1 (FILTER): pattern 1 of `exclude` matches\n\
        record 3, offset 12, 15 bytes\n  < -- no words --\n  ! quarantined by step 2 (LOGTOJSON): the line does not match \
        `matchPattern` from its beginning to its end\n\
        3 records: 1 sent, 1 dropped, 1 quarantined; nothing was sent\n";
    for arguments in
        [&["preview", "--config", config, file][..], &["preview", "--config", config, "--flow", STREAM, file]]
    {
        let output = command(&host, arguments, "");
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(75), expected), "{arguments:?}");
    }
    let piped = command(&host, &["preview", "--config", config, "--flow", STREAM, "--records", "1"], "a b\nc d\n");
    assert!(text(&piped.stdout).starts_with("record 1, offset 0, 4 bytes\n  < a b\n"), "{}", text(&piped.stdout));
    assert!(text(&piped.stdout).contains("1 record: 1 sent"), "{}", text(&piped.stdout));
    for (arguments, code, words) in [
        (
            &["preview", "--config", config][..],
            64,
            "which flow is meant? Say --flow NAME; the configuration has `processed`, `other`",
        ),
        (&["preview", "--config", config, "--flow", "none"], 64, "no flow `none`"),
        (&["preview", "--config", config, "--flow", "other", "/nowhere"], 74, "/nowhere cannot be read"),
        (&["preview", "--config", "/nowhere.json"], 78, "/nowhere.json"),
    ] {
        let output = command(&host, arguments, "");
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(words), "{arguments:?}: {} {said}", output.status);
    }
    assert_eq!(command(&host, &["preview", "--config", config, "--flow", STREAM], "a b\nc d\n").status.code(), Some(0));
    // In a CI: what was printed once, or the lines that are to be sent.
    let (golden, lines) = (host.root().join("golden.txt"), host.root().join("lines.jsonl"));
    std::fs::write(&lines, "{\"first\":\"a\",\"second\":\"b\"}\n").unwrap();
    std::fs::write(&golden, expected).unwrap();
    for wanted in [&golden, &lines] {
        let arguments = ["preview", "--config", config, file, "--expect", wanted.to_str().unwrap()];
        let output = command(&host, &arguments, "");
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
        assert!(said.starts_with("3 records, as "), "{said}");
        std::fs::write(wanted, std::fs::read_to_string(wanted).unwrap().replace("\"b\"", "\"other\"")).unwrap();
        let output = command(&host, &arguments, "");
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(65), "{said}");
        assert!(
            said.contains("differs:\n  - ") && said.contains("\"other\"}\n  + ") && said.contains("\"b\"}"),
            "{said}"
        );
    }
    assert_eq!(host.lake.stats().calls, 0);
    assert!(std::fs::read_dir(host.state()).unwrap().next().is_none(), "nothing was touched");
}
