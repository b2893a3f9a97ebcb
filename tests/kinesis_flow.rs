//! Flows to Kinesis Data Streams from end to end: the real agent, real files, and a lake with shards.
//! Promises that every line arrives under the key that the configuration asks for, in its order where that is promised.
//! Leaves single answers to `kinesis_wire`, and crashes and files to the suites of those.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;

use host::{Host, until};
use local_lake::{Arrived, Builder, Fault, FaultPlan, Lake, Mode};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const STREAM: &str = "orders";

fn host(lake: Builder) -> Host {
    Host::with(lake.mode(Mode::Collect).start_blocking().unwrap())
}

/// What a consumer finds in a record: aggregates taken apart, everything else as it is.
fn consumed(arrived: &Arrived) -> Vec<u8> {
    let Some(message) = arrived.data.strip_prefix(&[0xF3, 0x89, 0x9A, 0xC2]) else { return arrived.data.to_vec() };
    let mut rest = &message[..message.len() - 16];
    let key = arrived.partition_key.as_ref().unwrap();
    assert_eq!(value(&mut rest, 0x0A), key.as_bytes());
    let mut lines = Vec::new();
    while !rest.is_empty() {
        let mut record = &value(&mut rest, 0x1A)[2..];
        lines.extend_from_slice(value(&mut record, 0x1A));
    }
    lines
}

fn value<'a>(rest: &mut &'a [u8], tag: u8) -> &'a [u8] {
    assert_eq!(rest[0], tag);
    let (mut length, mut at) = (0, 1);
    loop {
        length |= usize::from(rest[at] & 0x7F) << (7 * (at - 1));
        at += 1;
        if rest[at - 1] < 0x80 {
            break;
        }
    }
    let (value, after) = rest[at..].split_at(length);
    *rest = after;
    value
}

fn text(host: &Host) -> Vec<u8> {
    host.lake.arrived(STREAM).iter().flat_map(consumed).collect()
}

/// Every distinct line that arrived.
fn lines(host: &Host) -> BTreeSet<Vec<u8>> {
    text(host).split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

#[test]
fn lines_are_aggregated_as_the_producer_library_does_and_spread_over_the_shards() {
    let host = host(Lake::builder()).flow_to_kinesis("*.log", STREAM, json!({}));
    let text_written: String = (0..20_000).map(|number| format!("{number} {}\n", "x".repeat(number % 90))).collect();
    std::fs::write(host.log("a.log"), &text_written).unwrap();
    let mut agent = host.run();
    until("all lines arrive", || text(&host).len() >= text_written.len());
    assert_eq!(agent.stop(), 0);
    assert!(text(&host) == text_written.as_bytes(), "the lines are not those of the file");
    let arrived = host.lake.arrived(STREAM);
    assert!(arrived.iter().all(|record| record.data.starts_with(&[0xF3, 0x89, 0x9A, 0xC2])));
    assert!(arrived.len() < 40, "{} records", arrived.len());
    let shards: BTreeSet<_> = arrived.iter().map(|record| record.shard).collect();
    assert!(shards.len() > 1, "all aggregates went to one shard");
}

#[test]
fn a_hashed_key_is_of_the_record_and_each_line_is_one() {
    let flow = json!({"partitionKeyOption": "DETERMINISTIC"});
    let host = host(Lake::builder()).flow_to_kinesis("*.log", STREAM, flow);
    std::fs::write(host.log("a.log"), "one\ntwo\none\n").unwrap();
    let mut agent = host.run();
    until("all lines arrive", || host.lake.records(STREAM).len() == 3);
    assert_eq!(agent.stop(), 0);
    let arrived = host.lake.arrived(STREAM);
    assert_eq!(arrived.iter().map(|record| &record.data[..]).collect::<Vec<_>>(), [b"one\n", b"two\n", b"one\n"]);
    assert_eq!((&arrived[0].partition_key, arrived[0].shard), (&arrived[2].partition_key, arrived[2].shard));
    assert_ne!(arrived[0].partition_key, arrived[1].partition_key);
}

#[test]
fn a_group_of_the_path_is_the_key_of_all_lines_of_a_file() {
    let flow = json!({"partitionKeyOption": {"path": "/logs/([a-z]+)-"}, "aggregation": "lines"});
    let host = host(Lake::builder()).flow_to_kinesis("*.log", STREAM, flow);
    std::fs::write(host.log("shop-1.log"), "one\ntwo\n").unwrap();
    std::fs::write(host.log("shop-2.log"), "three\n").unwrap();
    std::fs::write(host.log("bank-1.log"), "four\n").unwrap();
    let mut agent = host.run();
    until("all lines arrive", || host.payload(STREAM).len() == 19);
    assert_eq!(agent.stop(), 0);
    let mut by_key: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for record in host.lake.arrived(STREAM) {
        by_key.entry(record.partition_key.unwrap()).or_default().extend_from_slice(&record.data);
    }
    assert_eq!(by_key.keys().collect::<Vec<_>>(), ["bank", "shop"]);
    assert_eq!(by_key["bank"], b"four\n");
    assert_eq!(by_key["shop"].len(), 14);
}

#[test]
fn lines_of_one_key_keep_their_order_whatever_is_refused() {
    let seed = fastrand::u64(..);
    host::say(&format!("fault seed {seed}"));
    let faults =
        FaultPlan { seed, partial: 0.6, partial_share: 0.4, throttle: 0.05, answer_lost: 0.05, ..FaultPlan::default() };
    let flow = json!({"partitionKeyOption": {"field": "user"}, "ordered": true});
    let host = host(Lake::builder().faults(faults)).flow_to_kinesis("*.log", STREAM, flow);
    let count = 400;
    let written: String =
        (0..count).map(|number| format!("{{\"n\":{number},\"user\":\"u{}\"}}\n", number * 7 % 23)).collect();
    std::fs::write(host.log("a.log"), &written).unwrap();
    let mut agent = host.run();
    until("records are refused, some again and again", || host.lake.stats().failed_records >= 12);
    host.lake.faults().clear();
    until("all lines arrive", || lines(&host).len() == count);
    assert_eq!(agent.stop(), 0);
    for shard in 0..4 {
        let mut seen = BTreeSet::new();
        let mut newest: BTreeMap<String, u64> = BTreeMap::new();
        for record in host.lake.shard(STREAM, shard) {
            let line: serde_json::Value = serde_json::from_slice(&record.data).unwrap();
            let (number, key) = (line["n"].as_u64().unwrap(), record.partition_key.unwrap());
            assert_eq!(line["user"], key.as_str());
            if seen.insert(number) {
                let before = newest.insert(key, number);
                assert!(before.is_none_or(|before| before < number), "{number} came after {before:?} (seed {seed})");
            }
        }
    }
}

#[test]
fn a_full_shard_costs_time_and_nothing_else() {
    let flow = json!({"aggregation": "none"});
    let host = host(Lake::builder().shards(1).shard_limits(true)).flow_to_kinesis("*.log", STREAM, flow);
    let count = 2_600;
    let written: String = (0..count).map(|number| format!("line {number}\n")).collect();
    std::fs::write(host.log("a.log"), &written).unwrap();
    let mut agent = host.run();
    agent.wait_for("throttled");
    until("all lines arrive", || host.lake.records(STREAM).len() >= count);
    assert_eq!(agent.stop(), 0);
    assert_eq!((host.lake.records(STREAM).len(), lines(&host).len()), (count, count), "each line arrives once");
}

#[test]
fn aggregates_are_held_back_from_a_stream_whose_consumers_would_drop_them() {
    let host = host(Lake::builder().distributes_itself(true))
        .flow_to_kinesis("*.log", STREAM, json!({}))
        .flow_to_kinesis("*.log", "plain", json!({"aggregation": "lines"}));
    std::fs::write(host.log("a.log"), "one\n").unwrap();
    let agent = host.run();
    let held = agent.wait_for("flow paused");
    assert!(held["fields"].to_string().contains("aggregation") || held.to_string().contains("AUTO"), "{held}");
    assert_eq!(host.arrived("plain", 4), b"one\n");
    assert!(host.lake.records(STREAM).is_empty());
}

#[test]
fn a_question_that_is_not_allowed_is_told_once_and_lines_flow() {
    let host = host(Lake::builder()).flow_to_kinesis("*.log", STREAM, json!({}));
    host.lake.faults().describing(Some(Fault::AccessDenied));
    std::fs::write(host.log("a.log"), "one\n").unwrap();
    let mut agent = host.run();
    until("the first line arrives", || text(&host) == b"one\n");
    std::fs::write(host.log("b.log"), "two\n").unwrap();
    until("the second line arrives", || text(&host) == b"one\ntwo\n");
    assert_eq!(agent.stop(), 0);
    assert_eq!(agent.logged("cannot see how the stream distributes its records").len(), 1);
}

#[test]
fn a_quarantined_record_is_replayed_under_its_key() {
    let poison = FaultPlan { poison: Some(b"bad".to_vec()), ..FaultPlan::default() };
    let flow = json!({"partitionKeyOption": {"field": "user"}});
    let host = host(Lake::builder().faults(poison)).flow_to_kinesis("*.log", STREAM, flow);
    let bad = "{\"user\":\"ann\",\"text\":\"bad\"}\n";
    let good = "{\"user\":\"bob\",\"text\":\"good\"}\n";
    std::fs::write(host.log("a.log"), format!("{bad}{good}")).unwrap();
    let mut agent = host.run();
    agent.wait_for("the service rejects records for good");
    until("the good line arrives", || host.payload(STREAM) == good.as_bytes());
    assert_eq!(agent.stop(), 0);
    let config = host.configure();
    let run = |act: &str| {
        let output = host.program().args(["quarantine", act, "--config", config.to_str().unwrap()]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let listed = run("list");
    assert!(listed.contains(STREAM) && listed.contains("a.log"), "{listed}");
    host.lake.faults().clear();
    assert!(run("replay").contains("1 delivered"));
    let arrived = host.lake.arrived(STREAM);
    assert_eq!((&arrived[1].data[..], arrived[1].partition_key.as_deref()), (bad.as_bytes(), Some("ann")));
    assert!(run("list").contains("no records wait"));
}

/// Lines of 3 MiB and a short one after each.
fn long_lines(host: &Host) -> Vec<u8> {
    let text = [vec![b'a'; 3 << 20], b"\nshort\n".to_vec()].concat();
    std::fs::write(host.log("a.log"), &text).unwrap();
    text
}

#[test]
fn a_stream_that_takes_larger_records_gets_them_whole() {
    let flow = json!({"maxRecordSizeBytes": "10MiB", "aggregation": "none"});
    let host = host(Lake::builder().largest_kinesis_record(10 << 20)).flow_to_kinesis("*.log", STREAM, flow);
    let text = long_lines(&host);
    let mut agent = host.run();
    until("all bytes arrive", || host.payload(STREAM).len() == text.len());
    assert_eq!(agent.stop(), 0);
    let sizes: Vec<usize> = host.lake.records(STREAM).iter().map(|record| record.len()).collect();
    assert_eq!(sizes, [(3 << 20) + 1, 6]);
}

#[test]
fn a_stream_that_does_not_say_that_it_takes_larger_records_gets_usual_ones() {
    for (largest, fault, words) in [
        (1 << 20, None, "the stream takes smaller records"),
        (10 << 20, Some(Fault::AccessDenied), "cannot see how large the stream's records may be"),
    ] {
        let flow = json!({"maxRecordSizeBytes": "10MiB"});
        let host = host(Lake::builder().largest_kinesis_record(largest)).flow_to_kinesis("*.log", STREAM, flow);
        host.lake.faults().describing(fault);
        let written = long_lines(&host);
        let mut agent = host.run();
        // A long line is cut into pieces that end in a newline each.
        let without_ends = |bytes: &[u8]| bytes.iter().filter(|byte| **byte != b'\n').count();
        until("all bytes arrive", || without_ends(&text(&host)) == without_ends(&written));
        assert_eq!(agent.stop(), 0);
        assert_eq!(agent.logged(words).len(), 1, "{words}");
        assert!(host.lake.arrived(STREAM).iter().all(|record| record.data.len() <= 1 << 20));
    }
}
