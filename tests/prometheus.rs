//! Metrics as Prometheus and probes get them: the real agent, asked over its socket and its port.
//! Promises that what is served adds up to what was delivered, that a bad client slows no flow, and that alert rules and
//! dashboard name only what is served. Leaves the form of each number to the unit tests.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;

use host::{Host, skipped, until};
use local_lake::Fault;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const STREAM: &str = "logs";

/// A host that serves metrics on a socket.
fn host() -> (Host, PathBuf) {
    let host = Host::new().flow("*.log", STREAM, json!({"name": "app"}));
    let socket = host.root().join("metrics.sock");
    let listen = json!(socket.to_str().unwrap());
    (host.top("prometheus.listen", listen), socket)
}

/// Status and body of an answer.
fn ask(mut stream: impl Read + Write, path: &str) -> (u16, String) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn ask_socket(socket: &Path, path: &str) -> (u16, String) {
    ask(UnixStream::connect(socket).unwrap(), path)
}

/// The value of a series of the flow.
fn value(text: &str, name: &str) -> f64 {
    let begin = format!("datalake_agent_{name}{{flow=\"app\",stream=\"logs\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&begin));
    line.unwrap_or_else(|| panic!("{name} is missing in {text}")).parse().unwrap()
}

#[test]
fn what_is_served_adds_up_to_what_was_delivered() {
    let (host, socket) = host();
    std::fs::write(host.log("a.log"), "one\ntwo\nthree\n").unwrap();
    let mut agent = host.run();
    host.arrived(STREAM, 14);
    until("settled", || value(&ask_socket(&socket, "/metrics").1, "delivered_bytes_total") == 14.0);
    let (status, text) = ask_socket(&socket, "/metrics");
    assert_eq!(status, 200);
    for (name, expected) in [
        ("read_bytes_total", 14.0),
        ("delivered_lines_total", 3.0),
        ("backlog_bytes", 0.0),
        ("oldest_unsettled_seconds", 0.0),
        ("files", 1.0),
        ("paused", 0.0),
        ("quarantined_records_total", 0.0),
        ("destroyed_unread_bytes", 0.0),
    ] {
        assert_eq!(value(&text, name), expected, "{name} in {text}");
    }
    assert!(
        text.contains(&format!("version=\"{}\"", env!("CARGO_PKG_VERSION"))) && text.ends_with("# EOF\n"),
        "{text}"
    );
    assert_eq!(ask_socket(&socket, "/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(ask_socket(&socket, "/healthz"), (200, "delivering\n".to_owned()));
    assert_eq!(ask_socket(&socket, "/").0, 404);
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660, "its group may ask");
    assert_eq!(agent.stop(), 0);
    assert!(!socket.exists(), "it goes with the agent");
}

#[test]
fn the_hash_of_the_configuration_is_that_of_its_files() {
    let (host, socket) = host();
    let hash = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("datalake_agent_configuration_info")).unwrap();
        line.split('"').nth(1).unwrap().to_owned()
    };
    let mut seen = Vec::new();
    for timeout in [1000, 1000, 2000] {
        let config = host.configure();
        let mut written: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
        written["shutdownTimeoutMillis"] = json!(timeout);
        std::fs::write(&config, written.to_string()).unwrap();
        let mut agent = host.start_with(&["run", "--config", config.to_str().unwrap(), "--log-format", "json"]);
        agent.wait_for("running");
        agent.wait_for("metrics for Prometheus are served");
        seen.push(hash(&ask_socket(&socket, "/metrics").1));
        assert_eq!(agent.stop(), 0);
    }
    assert_eq!(seen[0].len(), 16);
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[0], seen[2]);
}

#[test]
fn a_flow_that_waits_for_the_operator_is_paused_and_needs_no_restart() {
    let (host, socket) = host();
    host.lake.faults().always(Some(Fault::AccessDenied));
    std::fs::write(host.log("a.log"), "one\n").unwrap();
    let agent = host.run();
    agent.wait_for("flow paused");
    until("paused", || ask_socket(&socket, "/healthz").1.starts_with("paused\n"));
    let (status, text) = ask_socket(&socket, "/healthz");
    assert_eq!(status, 200, "a restart would not help");
    assert!(text.contains("app: waits: "), "{text}");
    let text = ask_socket(&socket, "/metrics").1;
    assert_eq!(value(&text, "paused"), 1.0);
    assert_eq!(value(&text, "delivered_bytes_total"), 0.0);
    assert_eq!(value(&text, "backlog_bytes"), 4.0);
}

/// A free port of the loopback; somebody else may take it before the agent does, so tests try again.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn clients_that_say_nothing_or_read_nothing_hold_up_no_flow_and_not_each_other_for_ever() {
    for _ in 0..5 {
        let port = free_port();
        let host = Host::new().flow("*.log", STREAM, json!({"name": "app"}));
        let host = host.top("prometheus.listen", json!(format!("127.0.0.1:{port}")));
        let agent = host.run();
        if !agent.logged("metrics for Prometheus cannot be served").is_empty() {
            continue;
        }
        agent.wait_for("metrics for Prometheus are served");
        let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
        // Twice as many as are answered at a time: half a question each, and the answers unread.
        let silent: Vec<TcpStream> = (0..16).map(|_| connect()).collect();
        for (number, mut stream) in silent.iter().enumerate() {
            let question = if number % 2 == 0 { "GET /met" } else { "GET /metrics HTTP/1.1\r\n\r\n" };
            stream.write_all(question.as_bytes()).unwrap();
        }
        std::fs::write(host.log("a.log"), "one\n").unwrap();
        host.arrived(STREAM, 4);
        // Behind them in the queue of the kernel, and answered once their time is over.
        let stream = connect();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let (status, text) = ask(stream, "/metrics");
        assert_eq!(status, 200);
        assert_eq!(value(&text, "read_bytes_total"), 4.0);
        return;
    }
    panic!("five free ports were taken by others");
}

#[test]
fn an_address_that_is_taken_stops_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let host = Host::new().top("prometheus.listen", json!(address)).flow("*.log", STREAM, json!({}));
    std::fs::write(host.log("a.log"), "one\n").unwrap();
    let mut agent = host.run();
    let line = agent.wait_for("metrics for Prometheus cannot be served");
    assert!(line["reason"].as_str().unwrap().contains("in use"), "{line}");
    host.arrived(STREAM, 4);
    assert_eq!(agent.stop(), 0);
}

#[test]
fn an_address_that_other_machines_reach_is_a_fault_that_says_why() {
    for listen in ["0.0.0.0:9464", ":9464", "example.com:9464"] {
        let host = Host::new().top("prometheus.listen", json!(listen)).flow("*.log", STREAM, json!({}));
        let config = host.configure();
        let check = host.program().args(["check", "--config", config.to_str().unwrap()]).output().unwrap();
        let report = String::from_utf8(check.stdout).unwrap();
        assert_eq!(check.status.code(), Some(78), "{report}");
        for words in ["prometheus.listen", listen, "which other machines can reach", "127.0.0.1:9464"] {
            assert!(report.contains(words), "`{words}` is missing in {report}");
        }
    }
}

/// Names of metrics in a text, without what is added to the name of a family.
fn names(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in text.split("datalake_agent_").skip(1) {
        let end = part.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
        found.insert(part[..end.unwrap_or(part.len())].to_owned());
    }
    found
}

#[test]
fn alert_rules_dashboard_and_documentation_name_only_metrics_that_are_served_and_the_documentation_all() {
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let (host, socket) = host();
    let _agent = host.run();
    let text = ask_socket(&socket, "/metrics").1;
    let series: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    let served = names(&series);
    assert!(served.len() > 25, "{served:?}");
    let read = |name: &str| std::fs::read_to_string(documents.join(name)).unwrap();
    // These come with a flow that receives messages.
    let messages = |name: &&String| name.starts_with("mqtt_");
    for name in ["prometheus/alerts.yaml", "prometheus/dashboard.json", "metrics.md"] {
        let named = names(&read(name));
        assert!(!named.is_empty(), "{name}");
        let unknown: Vec<&String> = named.difference(&served).filter(|name| !messages(name)).collect();
        assert!(unknown.is_empty(), "{name} names {unknown:?}, which nobody serves");
    }
    let documented = names(&read("metrics.md"));
    let missing: Vec<&String> = served.difference(&documented).collect();
    assert!(missing.is_empty(), "metrics.md lacks {missing:?}");
    let dashboard: Value = serde_json::from_str(&read("prometheus/dashboard.json")).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 10);
}

#[test]
fn alert_rules_fire_when_they_should_and_not_before() {
    let program = std::env::var_os("PROMTOOL").unwrap_or_else(|| "promtool".into());
    let run = |arguments: &[&str]| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/prometheus");
        Command::new(&program).args(arguments).current_dir(folder).output()
    };
    let Ok(checked) = run(&["check", "rules", "alerts.yaml"]) else {
        return skipped(
            "promtool (Debian's package prometheus, or PROMTOOL=) is not here; the alert rules were not tested",
        );
    };
    let tested = run(&["test", "rules", "alerts_test.yaml"]).unwrap();
    for output in [checked, tested] {
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{said}");
    }
    // What is served is well-formed. The linter reads the older form, in which a counter's family is named as its series.
    let (host, socket) = host();
    let _agent = host.run();
    let mut text = ask_socket(&socket, "/metrics").1.replace("# EOF\n", "");
    let counters = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"));
    for name in counters.map(str::to_owned).collect::<Vec<_>>() {
        text = text.replace(&format!("# HELP {name} "), &format!("# HELP {name}_total "));
        text = text.replace(&format!("# TYPE {name} "), &format!("# TYPE {name}_total "));
    }
    let mut linter = Command::new(&program);
    linter.args(["check", "metrics"]).stdin(std::process::Stdio::piped());
    let mut linter = linter.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    linter.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = linter.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
}
