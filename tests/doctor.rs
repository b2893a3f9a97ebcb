//! `doctor` against services on loopback that answer, deny, lie about the time, cannot be reached or never answer.
//! Promises that each probe is a line of its own, that one which fails hides no other, and that no record is sent.
//! Leaves what a description of a stream means to the unit tests, and messages of mistakes to `mistakes`.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/answers.rs"]
mod answers;
#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/authority.rs"]
mod authority;
#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;
#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/proxy.rs"]
mod proxy;

use answers::{Answers, Said};
use authority::Authority;
use host::Host;
use local_lake::{Fault, Lake, Mode};
use proxy::{Act, Proxy};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::time::{Duration, UNIX_EPOCH};

const STREAM: &str = "logs";

/// The exit code, and the lines as `outcome probe: message; help`.
fn doctor(host: &Host, more: &[&str]) -> (i32, Vec<String>) {
    let config = host.configure();
    let output = host.program().args(["doctor", config.to_str().unwrap(), "--json"]).args(more).output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stdout)));
    let text = |probe: &Value, key: &str| probe[key].as_str().unwrap().to_owned();
    let line = |probe: &Value| {
        let [outcome, name, message, help] = ["outcome", "probe", "message", "help"].map(|key| text(probe, key));
        format!("{outcome} {name}: {message}; {help}")
    };
    let lines = value["probes"].as_array().unwrap().iter().map(line).collect();
    assert_eq!(value["exitCode"], output.status.code().unwrap());
    (output.status.code().unwrap(), lines)
}

/// The only line of this probe.
#[track_caller]
fn only<'a>(lines: &'a [String], probe: &str) -> &'a str {
    let found: Vec<&String> =
        lines.iter().filter(|line| line.split(' ').nth(1) == Some(&format!("{probe}:"))).collect();
    assert_eq!(found.len(), 1, "{probe}: {lines:#?}");
    found[0]
}

fn with_a_file(host: Host) -> Host {
    std::fs::write(host.log("a.log"), "line\n").unwrap();
    host
}

fn sending() -> Host {
    with_a_file(Host::new().flow("*.log", STREAM, json!({})))
}

#[test]
fn where_all_is_well_each_probe_says_so_and_nothing_is_sent() {
    let authority = Authority::start();
    let host = sending().top("sts.endpoint", json!(authority.endpoint()));
    let (code, lines) = doctor(&host, &["--deny-warnings"]);
    assert_eq!(code, 0, "{lines:#?}");
    for (probe, words) in [
        ("config", "1 flow, 1 file"),
        ("inotify", "1 folder to watch"),
        ("dns", "127.0.0.1 is an address"),
        ("connect", "is reached"),
        ("clock", "within 1 s"),
        ("credentials", "arn:aws:sts::111122223333:assumed-role/logs/host (account 111122223333)"),
        ("stream", "is there and takes what the flow sends"),
    ] {
        let line = only(&lines, probe);
        assert!(line.starts_with("ok ") && line.contains(words), "{line}");
    }
    assert_eq!(host.lake.stats().calls, 0);
    assert!(std::fs::read_dir(host.state()).unwrap().next().is_none(), "nothing was touched");
    // For people: one line each.
    let config = host.configure();
    let output = host.program().args(["doctor", config.to_str().unwrap()]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), lines.len(), "{text}");
    assert!(text.lines().all(|line| line.starts_with("ok ") || line.starts_with("skipped ")), "{text}");
}

#[test]
fn a_service_that_denies_questions_is_no_failure() {
    let host = sending();
    host.lake.faults().describing(Some(Fault::AccessDenied));
    let (code, lines) = doctor(&host, &["--deny-warnings"]);
    assert_eq!(code, 0, "{lines:#?}");
    let line = only(&lines, "stream");
    assert!(
        line.starts_with("skipped") && line.contains("may not ask about it") && line.contains("--doctor"),
        "{line}"
    );
    assert!(only(&lines, "credentials").contains("AWS is not asked"), "the streams are on this machine: {lines:#?}");
}

#[test]
fn a_stream_that_is_not_there_and_one_that_cannot_take_packed_lines_are_named() {
    let lake = Lake::builder().mode(Mode::Collect).streams(["other"]).start_blocking().unwrap();
    let host = with_a_file(Host::with(lake).flow("*.log", STREAM, json!({})));
    let (code, lines) = doctor(&host, &[]);
    let line = only(&lines, "stream");
    assert!(code == 69 && line.starts_with("failed") && line.contains("no delivery stream `logs`"), "{line}");
    let iceberg = json!({"Destinations": [{"DestinationId": "d", "IcebergDestinationDescription": {}}]});
    let lake = Lake::builder().mode(Mode::Collect).describes_delivery_streams_with(iceberg).start_blocking().unwrap();
    let host = with_a_file(Host::with(lake).flow("*.log", STREAM, json!({})));
    let (code, lines) = doctor(&host, &[]);
    let line = only(&lines, "stream");
    assert!(code == 0 && line.starts_with("warning") && line.contains("Iceberg tables"), "{line}");
    assert_eq!(doctor(&host, &["--deny-warnings"]).0, 69);
}

#[test]
fn channels_that_cannot_take_aggregates_are_named() {
    let channel = json!({"ChannelName": "to-s3", "ChannelStatus": "ACTIVE",
        "StreamConfigurationList": [{"RecordConfiguration": {"RecordFormatType": "STRING"}}]});
    let lake = Lake::builder().mode(Mode::Collect).channels([channel]).start_blocking().unwrap();
    let host = with_a_file(Host::with(lake).flow_to_kinesis("*.log", STREAM, json!({})));
    let (_, lines) = doctor(&host, &[]);
    let line = only(&lines, "stream");
    assert!(line.starts_with("warning") && line.contains("channel to-s3 does not take apart"), "{line}");
}

/// A date of HTTP, so many seconds from now.
fn date(from_now: i64) -> String {
    let now = i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let at = aws_smithy_types::DateTime::from_secs(now + from_now);
    at.fmt(aws_smithy_types::date_time::Format::HttpDate).unwrap()
}

#[test]
fn a_clock_that_is_wrong_is_warned_of_and_fails_where_signatures_do() {
    for (from_now, outcome, words) in [
        (-3600, "failed", "60 min ahead of Firehose's; signatures are refused from 5 min on"),
        (130, "warning", "min behind Firehose's"),
        (2, "ok", "within"),
    ] {
        let service = Answers::with(move |_| Said::error(404, "UnknownOperationException", "").at(&date(from_now)));
        let host = sending().top("firehose.endpoint", json!(service.endpoint()));
        let (_, lines) = doctor(&host, &[]);
        let line = only(&lines, "clock");
        assert!(
            line.starts_with(outcome) && (line.contains(words) || line.contains("119 s") || line.contains("2 min")),
            "{line}"
        );
        assert!(only(&lines, "stream").starts_with("skipped"), "{lines:#?}");
    }
}

#[test]
fn what_lies_between_is_named_and_hides_no_other_probe() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tls = Lake::builder().mode(Mode::Collect).tls(true).start_blocking().unwrap();
    for (endpoint, probe, words) in [
        (format!("http://{closed}"), "connect", "cannot connect to http://127.0.0.1"),
        (tls.endpoint(), "tls", "is not trusted"),
        ("https://firehose.lake.invalid".to_owned(), "dns", "firehose.lake.invalid cannot be resolved"),
    ] {
        // The other service is well.
        let host = sending().flow_to_kinesis("*.log", "clicks", json!({"aggregation": "lines"}));
        let host = host.top("firehose.endpoint", json!(endpoint));
        let (code, lines) = doctor(&host, &[]);
        assert_eq!(code, 69, "{lines:#?}");
        let failed: Vec<&String> = lines.iter().filter(|line| line.starts_with("failed")).collect();
        assert!(
            failed.iter().any(|line| line.starts_with(&format!("failed {probe}: ")) && line.contains(words)),
            "{failed:#?}"
        );
        assert!(lines.iter().any(|line| line.starts_with("ok stream: Kinesis clicks")), "{lines:#?}");
        assert!(lines.iter().any(|line| line.starts_with("ok config: ")), "{lines:#?}");
    }
}

#[test]
fn a_proxy_is_named_and_so_is_its_refusal() {
    let host = sending().top("firehose.endpoint", json!("https://firehose.lake.test"));
    let proxy = Proxy::to(host.lake.address(), Act::Refuse("403 Forbidden"));
    let mut host = host;
    host.environment.push(("HTTPS_PROXY".to_owned(), format!("http://me:hush@{}", proxy.address())));
    let (code, lines) = doctor(&host, &[]);
    assert_eq!(code, 69, "{lines:#?}");
    assert!(
        lines.iter().any(|line| line.starts_with("ok proxy: Firehose is called through the proxy http://127")),
        "{lines:#?}"
    );
    assert!(
        lines.iter().any(|line| line.starts_with("failed proxy: ") && line.contains("does not let the agent through")),
        "{lines:#?}"
    );
    assert!(!lines.iter().any(|line| line.contains("hush")), "{lines:#?}");
}

#[test]
fn credentials_that_are_missing_or_refused_are_named() {
    let mut host = sending();
    host.environment
        .extend(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| (name.to_owned(), String::new())));
    let authority = Authority::start();
    let mut host = host.top("sts.endpoint", json!(authority.endpoint()));
    let (code, lines) = doctor(&host, &[]);
    let line = only(&lines, "credentials");
    assert!(code == 69 && line.starts_with("failed") && line.contains("give the agent credentials"), "{line}");
    host.environment.clear();
    let refuses = Answers::with(|_| {
        let text = "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code>\
                    <Message>The security token is invalid</Message></Error></ErrorResponse>";
        Said(403, vec![("content-type", "text/xml".to_owned())], text.to_owned())
    });
    let host = host.top("sts.endpoint", json!(refuses.endpoint()));
    let (code, lines) = doctor(&host, &[]);
    let line = only(&lines, "credentials");
    assert!(code == 69 && line.starts_with("failed") && line.contains("InvalidClientTokenId"), "{line}");
}

#[test]
fn a_service_that_never_answers_ends_the_probe_and_no_other() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let host = sending().flow_to_kinesis("*.log", "clicks", json!({"aggregation": "lines"}));
    let host = host.top("firehose.endpoint", json!(endpoint));
    let (code, lines) = doctor(&host, &[]);
    assert_eq!(code, 69, "{lines:#?}");
    assert!(
        lines.iter().any(|line| line.starts_with("failed connect: ") && line.contains("no answer within")),
        "{lines:#?}"
    );
    assert!(lines.iter().any(|line| line.starts_with("ok stream: Kinesis clicks")), "{lines:#?}");
}

#[test]
fn what_rotation_keeps_is_held_against_what_waits() {
    let host = sending();
    let mut agent = host.run();
    host.arrived(STREAM, 5);
    assert_eq!(agent.stop(), 0);
    // Rotated once an hour, three of them kept.
    let now = UNIX_EPOCH + Duration::from_secs(UNIX_EPOCH.elapsed().unwrap().as_secs());
    let hour = |ago: u64| now - Duration::from_secs(ago * 3600);
    for (name, ago) in [("a.log.1", 1), ("a.log.2", 2), ("a.log.3", 3)] {
        let file = std::fs::File::create(host.log(name)).unwrap();
        file.set_modified(hour(ago)).unwrap();
    }
    let (_, lines) = doctor(&host, &[]);
    let line = only(&lines, "retention");
    assert!(line.starts_with("ok ") && line.contains("nothing waits, and rotation keeps about 3 h"), "{line}");
    let mut file = std::fs::File::options().append(true).open(host.log("a.log")).unwrap();
    std::io::Write::write_all(&mut file, b"a line that waits\n").unwrap();
    let (_, lines) = doctor(&host, &[]);
    let line = only(&lines, "retention");
    assert!(line.starts_with("ok ") && line.contains("is 18 B behind, and rotation keeps about 3 h"), "{line}");
    std::fs::remove_file(host.log("a.log.2")).unwrap();
    std::fs::remove_file(host.log("a.log.3")).unwrap();
    let (_, lines) = doctor(&host, &[]);
    let line = only(&lines, "retention");
    assert!(line.starts_with("skipped ") && line.contains("unknown until two were rotated"), "{line}");
}

#[test]
fn a_configuration_that_cannot_run_is_all_there_is_to_say() {
    let host = Host::new().flow("*.log", "no stream", json!({}));
    let config = host.configure();
    let output = host.program().args(["doctor", config.to_str().unwrap()]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(78) && text.contains("error[bad-name]"), "{text}");
}
