//! The packer against what the service would decode: every byte, in order, within every limit.

use super::*;
use crate::record::{Origin, Position, Receipt};
use proptest::prelude::*;
use std::io::Read as _;

fn settings() -> Settings {
    Settings {
        stream: "s".to_owned(),
        max_age: Duration::from_secs(60),
        max_bytes: firehose::CALL_BYTES,
        max_records: 500,
        aggregated_record_bytes: Some(firehose::RECORD_BYTES),
        max_lines_per_record: None,
        compression: Compression::None,
    }
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
        packer.append(Lines { bytes: line, input: line.len() as u64, count: 1, read_at: now }, |_| {
            Some(Claim { receipt: Receipt::new(Origin::new(1), serial as u64), start: position, end })
        });
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
    let sealed = pack(&mut Packer::new(settings()), &lines, Instant::now());
    let first = &sealed[0];
    assert_eq!(
        first.records().iter().map(|record| record.payload / 113).collect::<Vec<_>>(),
        [9061, 9061, 9061, 9061, 864]
    );
    let billed: u64 = first.records().iter().map(Record::billed).sum();
    assert!((billed as f64) < first.payload() as f64 * 1.005, "{billed} billed for {}", first.payload());
}

#[test]
fn one_line_a_record_seals_at_five_hundred_records() {
    let one = Settings { aggregated_record_bytes: None, ..settings() };
    let lines: Vec<_> = (0..1001).map(|_| line(20, b'x')).collect();
    let sealed = pack(&mut Packer::new(one), &lines, Instant::now());
    assert_eq!(sealed.iter().map(Sealed::count).collect::<Vec<_>>(), [500, 500, 1]);
}

#[test]
fn a_batch_is_due_when_its_oldest_byte_is_as_old_as_allowed() {
    let now = Instant::now();
    let mut packer = Packer::new(settings());
    assert_eq!(packer.due(), None);
    packer.append(Lines { bytes: b"a\n", input: 2, count: 1, read_at: now }, |_| None);
    packer.append(Lines { bytes: b"b\n", input: 2, count: 1, read_at: now + Duration::from_secs(9) }, |_| None);
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
    let sealed = pack(&mut Packer::new(gzip.clone()), &noise, Instant::now());
    let mut output = Vec::new();
    for batch in &sealed {
        check_limits(batch, &gzip);
        for record in decode(&batch.body()) {
            flate2::read::GzDecoder::new(record.as_slice()).read_to_end(&mut output).unwrap();
        }
    }
    assert!(output == noise.concat());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

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
        let mut packer = Packer::new(settings.clone());
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
                let before = batch.claims_of(index).count();
                if !packer.adopt(&mut batch, index) {
                    moved.extend(packer.seal().into_iter().flatten());
                    prop_assert!(packer.adopt(&mut batch, index));
                }
                prop_assert_eq!(batch.claims_of(index).count(), 0);
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
}
