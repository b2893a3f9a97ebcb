//! The quick start as whoever tries the agent meets it: a subprocess, real files, a real lake in a folder.
//! Checked by unpacking every object: each line is there, once, whatever was stopped and started in between.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]

use flate2::read::MultiGzDecoder;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The example, which cargo builds along with the tests of a package.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let program = profile.join("examples/quickstart");
    assert!(
        program.exists(),
        "{} is not there; plain `cargo test` builds it, and so does `cargo build --example quickstart`",
        program.display()
    );
    program
}

fn command(house: &Path) -> Command {
    let mut command = Command::new(program());
    // A proxy that nobody answers at: the lake is on this machine, so it must not be asked.
    command.current_dir(house).env("HTTP_PROXY", "http://127.0.0.1:9").env_remove("NO_PROXY").stdin(Stdio::null());
    command
}

fn ship(house: &Path, files: &[impl AsRef<OsStr>]) -> (bool, String) {
    let child = command(house).args(files).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let Output { status, stdout, stderr } = wait(child);
    let text = [stdout, stderr].concat();
    (status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// The objects below the folder, each unpacked.
fn objects(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(objects(&path));
        } else if path.extension().is_some_and(|ending| ending == "gz") {
            let mut unpacked = Vec::new();
            MultiGzDecoder::new(File::open(&path).unwrap()).read_to_end(&mut unpacked).unwrap();
            found.insert(path, unpacked);
        }
    }
    found
}

/// How often each line is in the lake.
fn lake(house: &Path) -> BTreeMap<Vec<u8>, usize> {
    let mut lines = BTreeMap::new();
    for content in objects(&house.join("quickstart-data/lake")).values() {
        count_lines(content, &mut lines);
    }
    lines
}

fn count_lines(content: &[u8], lines: &mut BTreeMap<Vec<u8>, usize>) {
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        *lines.entry(line.to_vec()).or_default() += 1;
    }
}

/// How often each complete line is in the files.
fn complete_lines(files: &[PathBuf]) -> BTreeMap<Vec<u8>, usize> {
    let mut lines = BTreeMap::new();
    for file in files {
        let content = fs::read(file).unwrap();
        let end = memchr::memrchr(b'\n', &content).map_or(0, |newline| newline + 1);
        count_lines(&content[..end], &mut lines);
    }
    lines
}

/// Files as they are met on machines; no line of one is a line of another.
fn machine_logs(folder: &Path) -> Vec<PathBuf> {
    let write = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let lines = |count: u32, line: &dyn Fn(u32) -> Vec<u8>| (0..count).flat_map(line).collect::<Vec<u8>>();
    vec![
        write(
            "dpkg.log",
            &lines(20_000, &|n| format!("2026-11-21 12:00:00 status installed package-{n}\n").into_bytes()),
        ),
        write("with space [1].log", &lines(50, &|n| format!("carriage return {n}\r\n").into_bytes())),
        write("latin-1.log", &lines(50, &|n| [b"caf\xe9 \x00 ".as_slice(), n.to_string().as_bytes(), b"\n"].concat())),
        write("long.log", &lines(3, &|n| format!("{n} {}\n", "x".repeat(700_000)).into_bytes())),
        write("unfinished.log", b"first of unfinished\nbegun, not com"),
        write("empty.log", b""),
    ]
}

#[test]
fn every_line_of_the_given_files_is_in_the_lake_once_and_a_second_run_sends_nothing() {
    let house = tempfile::tempdir().unwrap();
    let files = machine_logs(house.path());
    let (success, text) = ship(house.path(), &files);
    assert!(success, "{text}");
    assert_eq!(difference(&complete_lines(&files), &lake(house.path())), "", "{text}");
    for words in ["shipping 6 files", "delivered 20,104 new lines", ".gz  ", "the first lines of", "14 B at the end of"]
    {
        assert!(text.contains(words), "{words:?} is missing in {text}");
    }

    let before = objects(&house.path().join("quickstart-data/lake"));
    let (success, text) = ship(house.path(), &files);
    assert!(success, "{text}");
    assert!(text.contains("resuming") && text.contains("0 new lines; everything was delivered before"), "{text}");
    assert_eq!(objects(&house.path().join("quickstart-data/lake")), before, "{text}");

    // Only what is new goes out, and a line that was begun goes out whole.
    let mut unfinished = OpenOptions::new().append(true).open(&files[4]).unwrap();
    unfinished.write_all(b"plete before\nnew\n").unwrap();
    let (success, text) = ship(house.path(), &files);
    assert!(success && text.contains("delivered 2 new lines"), "{text}");
    assert_eq!(difference(&complete_lines(&files), &lake(house.path())), "", "{text}");
}

/// What is missing or too much, in a few words.
fn difference(expected: &BTreeMap<Vec<u8>, usize>, found: &BTreeMap<Vec<u8>, usize>) -> String {
    let lines: BTreeSet<&Vec<u8>> = expected.keys().chain(found.keys()).collect();
    let times = |lines: &BTreeMap<Vec<u8>, usize>, line: &Vec<u8>| lines.get(line).copied().unwrap_or(0);
    let wrong = lines.into_iter().filter(|line| times(expected, line) != times(found, line));
    let words = |line: &Vec<u8>| {
        let shown = String::from_utf8_lossy(&line[..line.len().min(60)]).into_owned();
        format!("{} times instead of {}: {shown:?}\n", times(found, line), times(expected, line))
    };
    wrong.take(10).map(words).collect()
}

#[test]
fn what_cannot_be_shipped_is_told_with_what_to_do() {
    let house = tempfile::tempdir().unwrap();
    let good = house.path().join("good.log");
    fs::write(&good, "one\n").unwrap();
    fs::write(house.path().join("old.log.1.gz"), "packed").unwrap();

    let (success, text) = ship(house.path(), &["no-such.log"]);
    assert!(!success && text.contains("there is no file no-such.log; check the name"), "{text}");
    let (success, text) = ship(house.path(), &["."]);
    assert!(!success && text.contains("is a folder; name the files in it"), "{text}");
    assert!(!house.path().join("quickstart-data").exists(), "nothing was to be done, so nothing was made");

    let (success, text) = ship(house.path(), &["old.log.1.gz", "good.log"]);
    assert!(success && text.contains("skipped: ") && text.contains("is packed; unpack it first"), "{text}");
    assert_eq!(lake(house.path()), BTreeMap::from([(b"one\n".to_vec(), 1)]), "{text}");
}

/// Ends the child at the deadline, so that a hang is a failure and not a wait. What it prints fits into a pipe.
fn wait(mut child: Child) -> Output {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

/// Lines of the sample logs by log and run: each number with how often it is in the lake.
fn samples(house: &Path) -> BTreeMap<(String, u64), BTreeMap<u64, usize>> {
    let mut samples: BTreeMap<(String, u64), BTreeMap<u64, usize>> = BTreeMap::new();
    for (line, times) in lake(house) {
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        let (log, run) = (line["log"].as_str().unwrap().to_owned(), line["run"].as_u64().unwrap());
        *samples.entry((log, run)).or_default().entry(line["line"].as_u64().unwrap()).or_default() += times;
    }
    samples
}

#[test]
fn sample_logs_survive_rotation_an_interrupt_and_a_second_run() {
    let house = tempfile::tempdir().unwrap();
    let output = File::create(house.path().join("output")).unwrap();
    let child = command(house.path()).stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
    let pid = Pid::from_child(&child);
    // The last of the three ways of rotation has just happened.
    let rotated = house.path().join("quickstart-data/logs/worker.log.1.gz");
    let deadline = Instant::now() + PATIENCE;
    while !rotated.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    kill_process(pid, Signal::INT).unwrap();
    let status = wait(child).status;
    let text = fs::read_to_string(house.path().join("output")).unwrap();
    assert!(status.success(), "{status}: {text}");
    assert!(text.contains("stopped before the end; run it again to go on from here"), "{text}");
    assert!(!lake(house.path()).is_empty(), "{text}");

    let Output { status, stdout, stderr } = wait(
        command(house.path())
            .env("QUICKSTART_SECONDS", "4")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let text = format!("{text}{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{status}: {text}");
    let samples = samples(house.path());
    assert_eq!(samples.len(), 6, "three logs, two runs: {text}");
    for ((log, run), lines) in &samples {
        let gap = (0..lines.len() as u64).find(|number| lines.get(number) != Some(&1));
        assert_eq!(gap, None, "line of {log}, run {run}, not in the lake exactly once: {text}");
    }
    let shipped: usize = samples.values().map(BTreeMap::len).sum();
    let written: usize = text
        .lines()
        .filter_map(|line| line.strip_prefix("written ")?.split(' ').next())
        .map(|number| number.replace(',', "").parse::<usize>().unwrap())
        .sum();
    assert_eq!(shipped, written, "{text}");
}

#[test]
fn messages_of_simulated_devices_are_in_the_lake_each_once_with_the_device_as_a_field() {
    // A mosquitto of this machine where there is one, and what stands in for it.
    receive("any");
    receive("embedded");
}

fn receive(broker: &str) {
    let house = tempfile::tempdir().unwrap();
    let output = command(house.path())
        .arg("--mqtt")
        .env("QUICKSTART_SECONDS", "2")
        .env("QUICKSTART_BROKER", broker)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let Output { status, stdout, stderr } = wait(output);
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{status}: {text}");
    let published = text.lines().find_map(|line| line.strip_prefix("published ")?.split(' ').next());
    let published: usize = published.unwrap().replace(',', "").parse().unwrap();
    let lines = lake(house.path());
    assert!(published > 100 && lines.len() == published, "{} of {published}: {text}", lines.len());
    for (line, times) in lines {
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(times, 1);
        assert!(
            line["device_id"].as_str().unwrap().starts_with("sensor-") && line["payload"]["battery_level"].is_number()
        );
    }
    let objects = objects(&house.path().join("quickstart-data/lake/raw/v0/messages"));
    assert!(!objects.is_empty(), "{text}");
}

#[test]
fn a_schema_and_sql_answer_for_every_message_that_devices_published() {
    let profile = program().ancestors().nth(2).unwrap().to_owned();
    let datalake = profile.join("datalake");
    if !datalake.exists() {
        println!("SKIPPED: {} is not built; `cargo test --workspace` builds it", datalake.display());
        return;
    }
    let house = tempfile::tempdir().unwrap();
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/lake-tools/bin");
    let path =
        std::env::join_paths([tools].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())));
    let child = command(house.path())
        .arg("--lake")
        .env("QUICKSTART_SECONDS", "2")
        .env("QUICKSTART_BROKER", "embedded")
        .env("DATALAKE", &datalake)
        .env("PATH", path.unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let Output { status, stdout, stderr } = wait(child);
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{status}: {text}");
    let published = text.lines().find_map(|line| line.strip_prefix("published ")?.split(' ').next());
    let published: usize = published.unwrap().replace(',', "").parse().unwrap();
    // The canonical line: the device out of the topic, the fields in the order of the schema.
    let mut raw = BTreeMap::new();
    for content in objects(&house.path().join("quickstart-data/lake/raw/v0/deviceping")).values() {
        count_lines(content, &mut raw);
    }
    let lines: usize = raw
        .iter()
        .map(|(line, times)| {
            assert!(line.starts_with(b"{\"device_id\":\"sensor-"), "{}", String::from_utf8_lossy(line));
            times
        })
        .sum();
    assert!(published > 100 && lines == published, "{lines} of {published}: {text}");
    if text.contains("pip install duckdb-cli") {
        println!("SKIPPED: queries and reactions; there is no duckdb");
        return;
    }
    assert!(text.contains(&format!("│ {published}")), "{text}");
    // Each object of pings has its report of all devices, and the chart shows them.
    let data = house.path().join("quickstart-data/lake");
    let (raw, reports) = (objects(&data.join("raw/v0/deviceping")), objects(&data.join("processed/v0/devicebattery")));
    assert_eq!(reports.len(), raw.len(), "{text}");
    let chart = fs::read_to_string(data.join("charts/battery.svg")).unwrap();
    assert!((0..5).all(|device| chart.contains(&format!("<title>sensor-{device}"))), "{text}");
}
