//! The packer against what the service would decode: every byte, in order, within every limit.

use super::*;
use datalake_base::record::{Claim, Origin, Position};
use proptest::prelude::*;
use std::io::Read as _;
use std::time::Duration;

fn settings() -> Settings {
    Settings {
        stream: "s".to_owned(),
        form: Form::Firehose,
        max_age: Duration::from_secs(60),
        max_bytes: firehose::CALL_BYTES,
        max_records: 500,
        aggregated_record_bytes: Some(firehose::RECORD_BYTES),
        max_lines_per_record: None,
        compression: Compression::None,
    }
}

fn packer(settings: Settings) -> Packer {
    Packer::new(settings, fastrand::Rng::with_seed(5))
}

/// Feeds one origin's bytes as the core does and returns the sealed batches.
fn pack(packer: &mut Packer, lines: &[Vec<u8>], now: Instant) -> Vec<Sealed> {
    let mut sealed = Vec::new();
    let mut position = Position::START;
    for (serial, line) in lines.iter().enumerate() {
        let end = position + line.len();
        if line.len() > packer.packing_space().bytes {
            sealed.extend(packer.seal_record());
        }
        if line.len() > packer.space().bytes {
            sealed.extend(packer.seal().into_iter().flatten());
        }
        let lines = Lines { bytes: line, input: line.len() as u64, count: 1, read_at: now, key: Some("path") };
        sealed.extend(packer.append(lines, |_| Some(Claim::new(Origin::new(1), serial as u64, 1, position, end))));
        position = end;
        if packer.record_is_full() {
            sealed.extend(packer.seal_record());
        }
        if packer.is_full() {
            sealed.extend(packer.seal().into_iter().flatten());
        }
    }
    sealed.extend(packer.seal().into_iter().flatten());
    sealed
}

/// What a service sees in a body.
fn decode(body: &[u8]) -> Vec<Vec<u8>> {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    assert_eq!(body["DeliveryStreamName"], "s");
    let records = body["Records"].as_array().unwrap();
    records
        .iter()
        .map(|record| base64_simd::STANDARD.decode_to_vec(record["Data"].as_str().unwrap()).unwrap())
        .collect()
}

fn check_limits(sealed: &Sealed, settings: &Settings) {
    let records = decode(&sealed.body());
    assert_eq!(records.len(), sealed.count());
    assert!(records.len() <= settings.max_records);
    assert!(records.iter().all(|record| record.len() <= firehose::RECORD_BYTES && !record.is_empty()));
    assert_eq!(records.iter().map(Vec::len).sum::<usize>(), sealed.payload());
    assert!(sealed.payload() <= settings.max_bytes);
}

fn line(length: usize, byte: u8) -> Vec<u8> {
    let mut line = vec![byte; length.max(1) - 1];
    line.push(b'\n');
    line
}

#[test]
fn full_records_are_just_below_the_record_limit_and_a_full_call_holds_four_of_them() {
    let lines: Vec<_> = (0..90_000).map(|_| line(113, b'x')).collect();
    let sealed = pack(&mut packer(settings()), &lines, Instant::now());
    let first = &sealed[0];
    assert_eq!(
        first.records().iter().map(|record| record.payload / 113).collect::<Vec<_>>(),
        [9061, 9061, 9061, 9061, 864]
    );
    let billed: u64 = first.records().iter().map(|record| record.billed).sum();
    assert!((billed as f64) < first.payload() as f64 * 1.005, "{billed} billed for {}", first.payload());
}

#[test]
fn one_line_a_record_seals_at_five_hundred_records() {
    let one = Settings { aggregated_record_bytes: None, ..settings() };
    let lines: Vec<_> = (0..1001).map(|_| line(20, b'x')).collect();
    let sealed = pack(&mut packer(one), &lines, Instant::now());
    assert_eq!(sealed.iter().map(Sealed::count).collect::<Vec<_>>(), [500, 500, 1]);
}

#[test]
fn a_batch_is_due_when_its_oldest_byte_is_as_old_as_allowed() {
    let now = Instant::now();
    let mut packer = packer(settings());
    assert_eq!(packer.due(), None);
    for (bytes, read_at) in [(b"a\n", now), (b"b\n", now + Duration::from_secs(9))] {
        let before = packer.append(Lines { bytes, input: 2, count: 1, read_at, key: None }, |_| None);
        assert!(before.is_none());
    }
    assert_eq!(packer.due(), Some(now + Duration::from_secs(60)));
}

#[test]
fn bytes_that_do_not_compress_are_cut_between_lines_to_stay_within_the_record_limit() {
    let gzip = Settings { compression: Compression::Gzip { level: 1 }, ..settings() };
    let mut random = fastrand::Rng::with_seed(7);
    let noise: Vec<_> = (0..8)
        .map(|_| {
            let mut line: Vec<u8> = (0..compress::LONGEST_LINE - 1).map(|_| random.u8(11..)).collect();
            line.push(b'\n');
            line
        })
        .collect();
    let sealed = pack(&mut packer(gzip.clone()), &noise, Instant::now());
    let mut output = Vec::new();
    for batch in &sealed {
        check_limits(batch, &gzip);
        for record in decode(&batch.body()) {
            flate2::read::GzDecoder::new(record.as_slice()).read_to_end(&mut output).unwrap();
        }
    }
    assert!(output == noise.concat());
}

/// A record of Kinesis as a consumer sees it: its key and the bytes of the lines in it, aggregates taken apart.
fn consumed(body: &[u8]) -> Vec<(String, usize, Vec<Vec<u8>>)> {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    assert_eq!(body["StreamName"], "s");
    let record = |record: &serde_json::Value| {
        let data = base64_simd::STANDARD.decode_to_vec(record["Data"].as_str().unwrap()).unwrap();
        let key = record["PartitionKey"].as_str().unwrap().to_owned();
        let size = data.len() + key.len();
        let records = match data.strip_prefix(&[0xF3, 0x89, 0x9A, 0xC2]) {
            Some(message) => taken_apart(&message[..message.len() - 16], &key),
            None => vec![data],
        };
        (key, size, records)
    };
    body["Records"].as_array().unwrap().iter().map(record).collect()
}

/// The records of an aggregate; all of its one key.
fn taken_apart(mut message: &[u8], key: &str) -> Vec<Vec<u8>> {
    fn field<'a>(message: &mut &'a [u8], tag: u8) -> &'a [u8] {
        assert_eq!(message[0], tag);
        let (mut length, mut at) = (0, 1);
        loop {
            length |= usize::from(message[at] & 0x7F) << (7 * (at - 1));
            at += 1;
            if message[at - 1] < 0x80 {
                break;
            }
        }
        let (value, rest) = message[at..].split_at(length);
        *message = rest;
        value
    }
    assert_eq!(field(&mut message, 0x0A), key.as_bytes());
    let mut records = Vec::new();
    while !message.is_empty() {
        let mut record = field(&mut message, 0x1A);
        assert_eq!(record[..2], [0x08, 0]);
        record = &record[2..];
        records.push(field(&mut record, 0x1A).to_vec());
        assert!(record.is_empty());
    }
    records
}

fn kinesis_settings(partition_key: PartitionKey, packed: Option<usize>, kpl: bool, ordered: bool) -> Settings {
    Settings {
        form: Form::Kinesis(kinesis::Settings { partition_key, kpl, ordered, record_bytes: kinesis::RECORD_BYTES }),
        max_bytes: kinesis::CALL_BYTES,
        aggregated_record_bytes: packed,
        ..settings()
    }
}

#[test]
fn aggregates_are_two_payload_units_and_a_full_call_is_full_of_them() {
    let lines: Vec<_> = (0..90_000).map(|_| line(113, b'x')).collect();
    let settings = kinesis_settings(PartitionKey::Random, Some(kinesis::AGGREGATE_BYTES), true, false);
    let sealed = pack(&mut packer(settings), &lines, Instant::now());
    let first = consumed(&sealed[0].body());
    assert!(first[..first.len() - 1].iter().all(|(_, size, _)| (51_200 - 128..=51_200).contains(size)));
    assert!(sealed[0].payload() > kinesis::CALL_BYTES - 52_000, "{}", sealed[0].payload());
    let keys: std::collections::BTreeSet<_> = first.iter().map(|(key, ..)| key).collect();
    assert_eq!(keys.len(), first.len(), "each aggregate has a key of its own");
    let billed: u64 = sealed[0].records().iter().map(|record| record.billed).sum();
    assert!((billed as f64) < sealed[0].payload() as f64 * 1.02);
}

#[test]
fn the_longest_line_of_each_form_is_a_record_at_the_limit() {
    for (key, packed, kpl) in [
        (PartitionKey::Random, None, false),
        (PartitionKey::Random, Some(100), true),
        (PartitionKey::Field("f".to_owned()), Some(51_200), true),
        (PartitionKey::Deterministic, None, false),
    ] {
        let settings = kinesis_settings(key, packed, kpl, false);
        let longest = settings.longest_line();
        let lines = [line(longest, b'x'), line(5, b'x'), line(longest, b'x')];
        let sealed = pack(&mut packer(settings), &lines, Instant::now());
        let records: Vec<_> = sealed.iter().flat_map(|batch| consumed(&batch.body())).collect();
        assert_eq!(records.iter().flat_map(|(.., records)| records.clone()).collect::<Vec<_>>(), lines);
        assert!(records.iter().all(|(_, size, _)| *size <= kinesis::RECORD_BYTES));
    }
}

#[test]
fn an_aggregate_ends_where_the_key_changes_and_lines_without_one_share_a_drawn_key() {
    let settings = kinesis_settings(PartitionKey::Field("u".to_owned()), Some(51_200), true, false);
    let lines: Vec<Vec<u8>> =
        ["{\"u\":1}\n", "{\"u\":1}\n", "none\n", "none\n", "{\"u\":\"\\u0000\"}\n", "{\"u\":1}\n"]
            .map(|line| line.as_bytes().to_vec())
            .to_vec();
    let sealed = pack(&mut packer(settings), &lines, Instant::now());
    let records = consumed(&sealed[0].body());
    let shape: Vec<_> = records.iter().map(|(key, _, records)| (key.as_str(), records.len())).collect();
    assert_eq!((shape[0], shape[2], shape[3]), (("1", 2), ("\0", 1), ("1", 1)));
    assert_eq!((shape[1].0.len(), shape[1].1, shape.len()), (16, 2, 4));
    assert_eq!(sealed[0].partition_key_of(2).as_deref(), Some("\0"));
}

#[test]
fn in_an_ordered_batch_no_key_stands_twice() {
    let settings = kinesis_settings(PartitionKey::Field("u".to_owned()), None, false, true);
    let lines: Vec<Vec<u8>> = [1, 2, 1, 3, 3, 2].map(|key| format!("{{\"u\":{key}}}\n").into_bytes()).to_vec();
    let sealed = pack(&mut packer(settings), &lines, Instant::now());
    let keys: Vec<Vec<String>> =
        sealed.iter().map(|batch| consumed(&batch.body()).into_iter().map(|(key, ..)| key).collect()).collect();
    assert_eq!(keys, [vec!["1", "2"], vec!["1", "3"], vec!["3", "2"]]);
}

#[test]
fn a_batch_of_some_records_alone_keeps_their_order_keys_and_claims() {
    let settings = kinesis_settings(PartitionKey::Deterministic, None, false, false);
    let lines: Vec<_> = (0..5).map(|number| line(10 + number, b'a')).collect();
    let mut sealed = pack(&mut packer(settings), &lines, Instant::now()).remove(0);
    let whole = consumed(&sealed.body());
    for index in [0, 2, 4] {
        assert_eq!(sealed.take_claims(index).len(), 1);
    }
    let mut some = sealed.only(&[1, 3]);
    assert_eq!(consumed(&some.body()), [whole[1].clone(), whole[3].clone()]);
    assert_eq!((some.count(), some.take_all_claims().count()), (2, 2));
}

#[test]
fn a_run_of_lines_becomes_the_same_records_as_its_lines_one_by_one() {
    let settings = Settings { aggregated_record_bytes: None, max_records: 7, ..settings() };
    let lines: Vec<_> = (0..20).map(|number| line(1 + number * 37 % 11, b'a' + number as u8)).collect();
    let one_by_one = pack(&mut packer(settings.clone()), &lines, Instant::now());
    let (mut packer, text, mut at) = (packer(settings), lines.concat(), 0);
    let mut runs: Vec<Sealed> = Vec::new();
    while at < text.len() {
        at += packer.append_each(&text[at..], Instant::now(), |count, bytes| {
            let (start, end) = (Position(at as u64), Position((at + bytes) as u64));
            Claim::new(Origin::new(1), at as u64, count as u32, start, end)
        });
        runs.extend(packer.seal().into_iter().flatten());
    }
    assert_eq!(runs.iter().map(Sealed::count).collect::<Vec<_>>(), [7, 7, 6]);
    for (run, single) in runs.iter().zip(&one_by_one) {
        assert_eq!(run.body(), single.body());
        for index in 0..run.count() {
            assert_eq!(run.extents_of(index), single.extents_of(index));
            let plain = |sealed: &Sealed| {
                let Record { parts, payload, billed, input, lines, attempts, .. } = sealed.records()[index];
                (parts, payload, billed, input, lines, attempts)
            };
            assert_eq!(plain(run), plain(single));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_a_consumer_of_kinesis_takes_apart_is_what_was_put_in_and_within_every_limit(
        lengths in prop::collection::vec((1..400_usize, 0..4_u8), 1..300),
        max_bytes in 3_000..30_000_usize,
        max_records in 1..20_usize,
        packed in prop::option::of(1..5_000_usize),
        max_lines in prop::option::of(1..10_u32),
        option in 0..4_u8,
        kpl: bool,
        ordered: bool,
    ) {
        let partition_key = match option {
            0 => PartitionKey::Random,
            1 => PartitionKey::Deterministic,
            2 => PartitionKey::Field("k".to_owned()),
            _ => PartitionKey::Path(regex::Regex::new(".*").unwrap()),
        };
        let settings = Settings {
            max_bytes,
            max_records,
            max_lines_per_record: max_lines,
            ..kinesis_settings(partition_key, packed, kpl && packed.is_some(), ordered)
        };
        let longest = settings.longest_line();
        let lines: Vec<_> = lengths
            .iter()
            .map(|(length, key)| {
                let mut text = if *key > 0 { format!("{{\"k\":{key}}}").into_bytes() } else { Vec::new() };
                text.resize((*length).max(text.len() + 1).min(longest) - 1, b' ');
                text.push(b'\n');
                text
            })
            .collect();
        let mut packer = packer(settings.clone());
        let mut arrived = Vec::new();
        for mut batch in pack(&mut packer, &lines, Instant::now()) {
            let records = consumed(&batch.body());
            prop_assert_eq!(records.len(), batch.count());
            prop_assert!(records.len() <= max_records);
            let sizes: usize = records.iter().map(|(_, size, _)| size).sum();
            prop_assert_eq!(sizes, batch.payload());
            prop_assert!(sizes <= max_bytes);
            if ordered {
                let keys: std::collections::BTreeSet<_> = records.iter().map(|(key, ..)| key).collect();
                prop_assert_eq!(keys.len(), records.len());
            }
            for (key, size, lines) in records {
                prop_assert!(lines.len() == 1 || packed.is_some_and(|packed| size <= packed) || !kpl);
                if option == 3 {
                    prop_assert_eq!(&key, "path");
                }
                arrived.extend(lines);
            }
            prop_assert!(batch.take_all_claims().count() > 0);
        }
        prop_assert_eq!(arrived.concat(), lines.concat());
    }

    #[test]
    fn what_the_service_decodes_is_what_was_put_in_and_within_every_limit(
        lengths in prop::collection::vec((1..300_usize, any::<u8>()), 1..300),
        max_bytes in 400..5_000_usize,
        max_records in 1..20_usize,
        aggregated in prop::option::of(1..2_000_usize),
        max_lines in prop::option::of(1..10_u32),
        gzip: bool,
        adopt_one_of in 1..5_usize,
    ) {
        let settings = Settings {
            max_bytes,
            max_records,
            aggregated_record_bytes: aggregated,
            max_lines_per_record: max_lines,
            compression: if gzip { Compression::Gzip { level: 1 } } else { Compression::None },
            ..settings()
        };
        let longest = settings.longest_line();
        let lines: Vec<_> = lengths.iter().map(|(length, byte)| line(*length.min(&longest), *byte)).collect();
        let mut packer = packer(settings.clone());
        let mut output = Vec::new();
        let inflate = |records: Vec<Vec<u8>>, output: &mut Vec<u8>| {
            for record in records {
                if gzip {
                    flate2::read::MultiGzDecoder::new(record.as_slice()).read_to_end(output).unwrap();
                } else {
                    output.extend_from_slice(&record);
                }
            }
        };
        let (mut input, mut claimed) = (0, 0);
        for mut batch in pack(&mut packer, &lines, Instant::now()) {
            check_limits(&batch, &settings);
            input += batch.input();
            let payloads: Vec<_> = (0..batch.records().len()).map(|index| batch.payload_of(index)).collect();
            prop_assert_eq!(payloads.concat(), decode(&batch.body()).concat());
            // Some records were refused: they move, encoded, into the next batch, with their claims.
            let mut moved = Vec::new();
            for index in (0..batch.records().len()).step_by(adopt_one_of) {
                let before = batch.extents_of(index).len();
                if !packer.adopt(&mut batch, index) {
                    moved.extend(packer.seal().into_iter().flatten());
                    prop_assert!(packer.adopt(&mut batch, index));
                }
                prop_assert_eq!(batch.extents_of(index).len(), 0);
                claimed += before;
            }
            moved.extend(packer.seal().into_iter().flatten());
            let adopted: Vec<_> = moved.iter().flat_map(|batch| decode(&batch.body())).collect();
            prop_assert!(moved.iter().all(|batch| batch.payload() <= max_bytes && batch.count() <= max_records));
            let expected: Vec<_> = (0..payloads.len()).step_by(adopt_one_of).map(|index| payloads[index].clone()).collect();
            prop_assert_eq!(adopted.concat(), expected.concat());
            claimed += batch.take_all_claims().count();
            inflate(decode(&batch.body()), &mut output);
            for mut batch in moved {
                prop_assert!(batch.take_all_claims().count() > 0);
                packer.reuse(batch.into_buffer().unwrap_or_default());
            }
        }
        prop_assert_eq!(&output, &lines.concat());
        prop_assert_eq!((input, claimed), (output.len() as u64, lines.len()));
    }

    /// Lines in runs under one claim each, then whatever may happen to a batch: every line keeps its own stretch, and the
    /// ledger's watermark reaches the end exactly when the last record is settled.
    #[test]
    fn a_run_under_one_claim_can_be_taken_apart_in_any_way(
        runs in prop::collection::vec(prop::collection::vec(1..40_usize, 1..12), 1..8),
        seed: u64,
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let settings = Settings { aggregated_record_bytes: None, ..settings() };
        let (mut packer, mut ledger) = (packer(settings), crate::ledger::Ledger::default());
        let origin = Origin::new(1);
        ledger.open(origin, Position(7));
        let mut text = Vec::new();
        for run in &runs {
            let from = text.len();
            run.iter().for_each(|length| text.extend(line(*length, b'a')));
            let track = ledger.track(origin).unwrap();
            let end = Position(7) + text.len();
            let bytes = &text[from..];
            if run.len() == 1 {
                let lines =
                    Lines { bytes, input: bytes.len() as u64, count: 1, read_at: Instant::now(), key: None };
                let claim = track.admit(end);
                prop_assert!(packer.append(lines, |_| Some(claim)).is_none());
                prop_assert!(packer.seal_record().is_none());
            } else {
                let taken = packer.append_each(bytes, Instant::now(), |count, _| {
                    track.admit_spread(end, count as u32)
                });
                prop_assert_eq!(taken, bytes.len());
            }
        }
        let total = runs.iter().map(Vec::len).sum::<usize>();
        let mut batches: Vec<Sealed> = packer.seal().into_iter().flatten().collect();
        let (mut settled, mut moved) = (0, None);
        while !batches.is_empty() {
            let mut batch = batches.swap_remove(random.usize(..batches.len()));
            let count = batch.records().len();
            prop_assert_eq!(decode(&batch.body()).len(), count);
            for index in 0..count {
                let [Extent { start, end, .. }] = batch.extents_of(index)[..] else { panic!("not one stretch") };
                prop_assert_eq!(&batch.payload_of(index), &text[start.0 as usize - 7..end.0 as usize - 7]);
            }
            match random.u8(..4) {
                0 if count > 1 => {
                    let (first, second) = batch.halve();
                    batches.extend([first, second]);
                }
                1 => {
                    settled += count;
                    for claim in batch.take_all_claims() {
                        moved = ledger.settle(claim).or(moved);
                    }
                }
                _ => {
                    let (refused, accepted): (Vec<usize>, Vec<usize>) = (0..count).partition(|_| random.bool());
                    settled += accepted.len();
                    for index in accepted {
                        let extents = batch.extents_of(index);
                        let claims = batch.take_claims(index);
                        prop_assert!(batch.take_claims(index).is_empty() && batch.extents_of(index).is_empty());
                        for (claim, extent) in claims.into_iter().zip(extents) {
                            prop_assert_eq!((claim.start, claim.end), (extent.start, extent.end));
                            moved = ledger.settle(claim).or(moved);
                        }
                    }
                    if refused.is_empty() {
                        prop_assert!(batch.into_buffer().is_some());
                    } else if random.bool() {
                        batches.push(batch.only(&refused));
                    } else {
                        prop_assert!(refused.iter().all(|index| packer.adopt(&mut batch, *index)));
                        prop_assert!(batch.into_buffer().is_some());
                        batches.extend(packer.seal().into_iter().flatten());
                    }
                }
            }
            let end = Position(7) + text.len();
            prop_assert_eq!(settled == total, moved == Some(end));
        }
        prop_assert!(ledger.is_settled(origin));
    }
}
