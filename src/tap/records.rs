//! Records out of the body of a call, which may be cut: as lines again, where they were packed or compressed.
//! Promises an end and no panic, whatever the bytes, and to say where something is missing.
//! Leaves printing to the command.

use datalake_archive::{Decoder, Format, Kind, Limits, Pause, recognise};

/// A record is unpacked up to this length.
const LONGEST: usize = 64 * 1024;
/// Before each value of a record.
const DATA: &[u8] = b"\"Data\":\"";
/// What an aggregate of the Kinesis Producer Library begins with, and the length of the hash at its end.
const AGGREGATE: &[u8] = &[0xf3, 0x89, 0x9a, 0xc2];
const HASH: usize = 16;

/// A record as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its bytes, unpacked.
    pub bytes: Vec<u8>,
    /// There is more of it.
    pub cut: bool,
}

/// The records of a body, as far as it goes.
#[must_use]
pub fn records(body: &[u8]) -> Vec<Record> {
    let mut found = Vec::new();
    let mut rest = body;
    while let Some(at) = memchr::memmem::find(rest, DATA) {
        let value = &rest[at + DATA.len()..];
        let end = memchr::memchr(b'"', value);
        let digits = &value[..end.unwrap_or(value.len())];
        let whole = if end.is_some() { digits } else { &digits[..digits.len() / 4 * 4] };
        if let Ok(bytes) = base64_simd::STANDARD.decode_to_vec(whole) {
            found.extend(unpacked(bytes, end.is_none()));
        }
        rest = &value[digits.len()..];
    }
    found
}

fn unpacked(bytes: Vec<u8>, cut: bool) -> Vec<Record> {
    if let Some(aggregate) = bytes.strip_prefix(AGGREGATE) {
        let message = if cut { aggregate } else { &aggregate[..aggregate.len().saturating_sub(HASH)] };
        let mut members = members(message);
        if let (true, Some(last)) = (cut, members.last_mut()) {
            last.cut = true;
        }
        return members;
    }
    match recognise(&bytes) {
        Kind::Packed(Format::Gzip) => vec![gunzipped(&bytes, cut)],
        _ => {
            let long = bytes.len() > LONGEST;
            vec![Record { bytes: bytes[..bytes.len().min(LONGEST)].to_vec(), cut: cut || long }]
        }
    }
}

fn gunzipped(packed: &[u8], cut: bool) -> Record {
    let mut decoder = Decoder::new(Format::Gzip, Limits::default());
    let mut bytes = vec![0; LONGEST];
    let (mut taken, mut given) = (0, 0);
    while given < LONGEST {
        match decoder.step(&packed[taken..], &mut bytes[given..]) {
            Ok(step) => {
                (taken, given) = (taken + step.taken, given + step.given);
                if step.taken == 0 && step.given == 0 || (step.pause == Pause::Hungry && taken == packed.len()) {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    bytes.truncate(given);
    Record { bytes, cut: cut || !decoder.is_whole() }
}

/// The members of an aggregate: field 3 of the message holds each, and field 3 of that its bytes.
fn members(message: &[u8]) -> Vec<Record> {
    let record = |member: &[u8]| {
        let data = fields(member).into_iter().find(|(number, _)| *number == 3);
        data.map(|(_, bytes)| Record { bytes: bytes.to_vec(), cut: false })
    };
    fields(message).into_iter().filter(|(number, _)| *number == 3).filter_map(|(_, member)| record(member)).collect()
}

/// The fields of a message that have a length; a last one that is cut counts as far as it goes.
fn fields(mut message: &[u8]) -> Vec<(u64, &[u8])> {
    let mut found = Vec::new();
    while let Some(key) = varint(&mut message) {
        match key & 7 {
            0 => _ = varint(&mut message),
            2 => {
                let Some(length) = varint(&mut message) else { break };
                let length = usize::try_from(length).unwrap_or(usize::MAX).min(message.len());
                found.push((key >> 3, &message[..length]));
                message = &message[length..];
            }
            _ => break,
        }
    }
    found
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn body(records: &[&[u8]]) -> Vec<u8> {
        let record = |bytes: &&[u8]| format!("{{\"Data\":\"{}\"}}", base64_simd::STANDARD.encode_to_string(bytes));
        let records: Vec<String> = records.iter().map(record).collect();
        format!("{{\"DeliveryStreamName\":\"x\",\"Records\":[{}]}}", records.join(",")).into_bytes()
    }

    fn whole(bytes: &[u8]) -> Record {
        Record { bytes: bytes.to_vec(), cut: false }
    }

    #[test]
    fn records_come_out_as_they_were_made_compressed_or_not() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"packed\nlines\n").unwrap();
        let gzip = gzip.finish().unwrap();
        let found = records(&body(&[b"one\ntwo\n", &gzip, b""]));
        assert_eq!(found, [whole(b"one\ntwo\n"), whole(b"packed\nlines\n"), whole(b"")]);
    }

    #[test]
    fn members_of_an_aggregate_come_out_one_by_one() {
        let member = |data: &[u8]| [&[0x08, 0x00, 0x1a, data.len() as u8], data].concat();
        let mut message = vec![0x0a, 1, b'k'];
        for data in [&b"one\n"[..], b"two\n"] {
            let member = member(data);
            message.extend([0x1a, member.len() as u8]);
            message.extend(member);
        }
        let aggregate = [AGGREGATE, &message, &[0; HASH]].concat();
        assert_eq!(records(&body(&[&aggregate])), [whole(b"one\n"), whole(b"two\n")]);
    }

    #[test]
    fn any_cut_of_a_body_is_a_beginning_of_its_records_and_no_panic() {
        let whole = body(&[b"one\ntwo\n", b"three\n"]);
        for end in 0..whole.len() {
            let found = records(&whole[..end]);
            assert!(found.len() <= 2);
            assert!(found.first().is_none_or(|first| b"one\ntwo\n".starts_with(&first.bytes)), "{end}: {found:?}");
        }
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let bytes: Vec<u8> = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
            let body = body(&[&[AGGREGATE, &bytes].concat(), &[&[0x1f, 0x8b, 8, 0], &bytes[..]].concat(), &bytes]);
            let _found = records(&body[..random.usize(..=body.len())]);
        }
    }
}
