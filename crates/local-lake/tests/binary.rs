//! The binary as a user starts it: real process, real signals, real files.
//! Promises nothing beyond what it shows.
//! Leaves the wire to the other suite.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

#[path = "http/client.rs"]
#[expect(dead_code, reason = "this suite needs only a part of the client")]
mod client;

use client::Client;
use flate2::read::MultiGzDecoder;

fn start(root: &Path, arguments: &[&str]) -> (Child, BufReader<std::process::ChildStdout>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_local-lake"))
        .arg("--root")
        .arg(root)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut endpoint = String::new();
    output.read_line(&mut endpoint).unwrap();
    (child, output, endpoint.trim_end().to_owned())
}

fn client(endpoint: &str) -> Client {
    Client::connect(endpoint.strip_prefix("http://").unwrap().parse().unwrap())
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap().success());
}

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.to_str().unwrap().to_owned());
        }
    }
    found
}

#[test]
fn the_first_line_is_the_endpoint_and_a_signal_writes_what_is_buffered() {
    for name in ["TERM", "INT"] {
        let root = tempfile::tempdir().unwrap();
        let (port_file, stats_file) = (root.path().join("port"), root.path().join("stats.json"));
        let lake = root.path().join("lake");
        let (mut child, mut output, endpoint) = start(
            &lake,
            &[
                "--flush-interval-millis",
                "3600000",
                "--fault-seed",
                "7",
                "--port-file",
                port_file.to_str().unwrap(),
                "--stats-file",
                stats_file.to_str().unwrap(),
            ],
        );
        let answer = client(&endpoint).put("logs", &[b"one\n", b"two\n"]).unwrap();
        assert_eq!(answer.status, 200);
        assert!(files(&lake).is_empty(), "nothing is due for an hour");
        let port = std::fs::read_to_string(&port_file).unwrap();
        assert!(endpoint.ends_with(&format!(":{}", port.trim())));
        signal(&child, name);
        assert!(child.wait().unwrap().success());
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("fault seed 7\n") && rest.contains("2 records, 8 bytes"), "{rest}");
        let objects = files(&lake);
        assert_eq!(objects.len(), 1, "{objects:?}");
        assert!(objects[0].contains("/raw/v0/logs/dt=20"), "{objects:?}");
        let mut plain = String::new();
        MultiGzDecoder::new(std::fs::File::open(&objects[0]).unwrap()).read_to_string(&mut plain).unwrap();
        assert_eq!(plain, "one\ntwo\n");
        let stats: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&stats_file).unwrap()).unwrap();
        assert_eq!((&stats["objects"], &stats["streams"]["logs"]["records"]), (&1.into(), &2.into()));
    }
}

#[test]
fn the_sink_log_holds_a_record_before_its_answer_and_outlives_the_process() {
    let root = tempfile::tempdir().unwrap();
    let log = root.path().join("s.log");
    for round in 1..=2 {
        let (mut child, _output, endpoint) = start(root.path(), &["--mode", "sink-log"]);
        assert_eq!(client(&endpoint).put("s", &[b"a\n", b"b\n"]).unwrap().status, 200);
        assert_eq!(std::fs::read(&log).unwrap(), b"a\nb\n".repeat(round));
        signal(&child, "KILL");
        child.wait().unwrap();
    }
}

#[test]
fn an_option_that_cannot_be_meant_is_refused_with_the_reason() {
    let root = tempfile::tempdir().unwrap();
    for (arguments, reason) in [
        (["--throttle", "2"].as_slice(), "the chance of throttle is 2"),
        (&["--prefix", "!{timestamp:YYYY}/"], "'YYYY'"),
        (&["--time-zone", "Mars/Olympus"], "Mars/Olympus"),
        (&["--streams", "a/b"], "'a/b' cannot be the name of a stream"),
    ] {
        let (child, _output, _) = start(root.path(), arguments);
        let ended = child.wait_with_output().unwrap();
        assert!(!ended.status.success(), "{arguments:?}");
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(said.contains(reason), "{said}");
    }
}
