//! Aggregated records against a program that we did not write: AWS's module for taking them apart.
//! Promises that it finds every line, under its key, or that the test says aloud that it was not asked.
//! Leaves installing it to `tests/second-opinion/run`, which starts this test.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]

use datalake_base::record::{Claim, Origin, Position};
use datalake_core::batch::{Compression, Form, Lines, Packer, PartitionKey, Settings, kinesis};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Everything that a packer makes of these lines, as objects of `PutRecords`.
fn packed(lines: &[Vec<u8>], partition_key: PartitionKey, bytes: usize) -> Vec<Value> {
    let settings = Settings {
        stream: "s".to_owned(),
        form: Form::Kinesis(kinesis::Settings {
            partition_key,
            kpl: true,
            ordered: false,
            record_bytes: kinesis::RECORD_BYTES,
        }),
        max_age: Duration::from_secs(1),
        max_bytes: kinesis::CALL_BYTES,
        max_records: kinesis::CALL_RECORDS,
        aggregated_record_bytes: Some(bytes),
        max_lines_per_record: None,
        compression: Compression::None,
    };
    let mut packer = Packer::new(settings, fastrand::Rng::with_seed(11));
    let (mut records, now) = (Vec::new(), Instant::now());
    let mut keep = |sealed: Option<datalake_core::batch::Sealed>| {
        if let Some(mut sealed) = sealed {
            let body: Value = serde_json::from_slice(&sealed.body()).unwrap();
            records.extend(body["Records"].as_array().unwrap().iter().cloned());
            drop(sealed.take_all_claims().collect::<Vec<_>>());
        }
    };
    for line in lines {
        if line.len() > packer.packing_space().bytes {
            keep(packer.seal_record());
        }
        if line.len() > packer.space().bytes {
            packer.seal().into_iter().for_each(&mut keep);
        }
        let claim = |_: Option<&mut Claim>| Some(Claim::new(Origin::new(1), 1, 1, Position::START, Position::START));
        keep(packer.append(Lines { bytes: line, input: 1, count: 1, read_at: now, key: Some("path") }, claim));
    }
    packer.seal().into_iter().for_each(&mut keep);
    records
}

/// The lines, each with its key, that the other program finds in the records.
fn taken_apart(python: &str, records: &[Value]) -> Vec<(String, Vec<u8>, bool)> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second-opinion/take_apart.py");
    let mut program = Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = program.stdin.take().unwrap();
    let text: String = records.iter().map(|record| format!("{record}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
    let output = program.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "the other program failed");
    let found = |line: &str| {
        let found: Value = serde_json::from_str(line).unwrap();
        let data = base64_simd::STANDARD.decode_to_vec(found["data"].as_str().unwrap()).unwrap();
        (found["partitionKey"].as_str().unwrap().to_owned(), data, found["aggregated"] == true)
    };
    String::from_utf8(output.stdout).unwrap().lines().map(found).collect()
}

#[test]
fn aggregates_are_taken_apart_into_the_lines_that_were_put_in() {
    let Ok(python) = std::env::var("SECOND_OPINION_PYTHON") else {
        let reason = "SKIPPED: no other program to take aggregated records apart; tests/second-opinion/run brings one";
        writeln!(std::io::stderr().lock(), "{reason}").unwrap();
        return;
    };
    let mut random = fastrand::Rng::with_seed(3);
    // Lengths around where a length needs another byte, and bytes of every kind.
    let mut lengths = vec![1, 2, 120, 121, 122, 123, 127, 128, 129, 16_376, 16_384, 16_385, 60_000, 1_000_000];
    lengths.extend((0..500).map(|_| random.usize(1..400)));
    let lines: Vec<Vec<u8>> = lengths
        .iter()
        .map(|length| {
            let mut line: Vec<u8> = (1..*length).map(|_| random.u8(..)).collect();
            line.push(b'\n');
            line
        })
        .collect();
    let path = PartitionKey::Path(regex::Regex::new(".*").unwrap());
    for (key, bytes) in [(PartitionKey::Random, kinesis::AGGREGATE_BYTES), (path, 1 << 20), (PartitionKey::Random, 500)]
    {
        let records = packed(&lines, key, bytes);
        let found = taken_apart(&python, &records);
        assert!(found.iter().all(|(.., aggregated)| *aggregated), "a record was not seen as an aggregate");
        assert_eq!(found.iter().map(|(_, line, _)| line).collect::<Vec<_>>(), lines.iter().collect::<Vec<_>>());
        // Whatever is in an aggregate lies where the aggregate itself went.
        let mut keys: Vec<&str> = found.iter().map(|(key, ..)| key.as_str()).collect();
        let mut outer: Vec<&str> = records.iter().map(|record| record["PartitionKey"].as_str().unwrap()).collect();
        keys.dedup();
        outer.dedup();
        assert_eq!(keys, outer);
    }
}
