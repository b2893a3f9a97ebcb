//! The aggregated record of the Kinesis Producer Library: many records under one partition key in one of the service's.
//! Promises the exact form that consumers take apart, written in one pass into memory that is used again, and the
//! checksums of several aggregates computed at once.
//! Leaves how much goes into it, and under which key, to the packer, and the arithmetic to `digests`.
//!
//! `F3 89 9A C2 | AggregatedRecord | MD5 of that`, where `AggregatedRecord` is a protobuf message of the keys (tag `0A`)
//! and, for each record (tag `1A`), the index of its key (`08`) and its data (`1A`). There is one key, so a consumer that
//! compares every record with the range of its shard finds them all where they belong.

use super::body::Body;
use super::digests;
use std::ops::Range;

const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
/// MD5.
pub(super) const TRAILER: usize = 16;
/// Tag and length of the longest key: 1,024 bytes need two bytes of length.
const KEY_FRAME: usize = 3;
/// Two tags with lengths of up to 256 MiB, and the index of the key.
pub(super) const LINE_FRAME: usize = 12;

/// What an aggregate costs beside its records and their frames, when its key has this many bytes.
pub(super) const fn frame(key: usize) -> usize {
    MAGIC.len() + KEY_FRAME + key + TRAILER
}

/// What an aggregate holds unless set otherwise: two PUT payload units of 25 KiB, of which a shard takes twenty a second.
pub(super) const USUAL_BYTES: usize = 51_200;

/// Aggregates wait for their checksum until they are this many bytes: eight of the usual size, one for each lane. They fit
/// into the cache of a core.
pub(super) const AT_ONCE: usize = 7 * USUAL_BYTES + USUAL_BYTES / 2;

/// An aggregate being written, and those before it that wait for their checksum.
#[derive(Debug, Default)]
pub(super) struct Aggregate {
    /// Magic and message of each that waits, then those of the open one.
    bytes: Vec<u8>,
    /// Where the open one begins; the end between aggregates.
    start: usize,
    waiting: Vec<Waiting>,
}

/// A complete aggregate, in the body but for its checksum.
#[derive(Debug)]
struct Waiting {
    /// Its magic and message in `bytes`.
    range: Range<usize>,
    /// Where its last bytes stand in the body.
    at: usize,
}

impl Aggregate {
    /// Begins an aggregate under this key.
    pub(super) fn begin(&mut self, key: &str) {
        self.bytes.extend_from_slice(&MAGIC);
        self.bytes.push(0x0A);
        push_varint(&mut self.bytes, key.len());
        self.bytes.extend_from_slice(key.as_bytes());
    }

    /// One more record.
    pub(super) fn push(&mut self, data: &[u8]) {
        self.bytes.push(0x1A);
        push_varint(&mut self.bytes, 2 + 1 + varint_bytes(data.len()) + data.len());
        self.bytes.extend_from_slice(&[0x08, 0, 0x1A]);
        push_varint(&mut self.bytes, data.len());
        self.bytes.extend_from_slice(data);
    }

    /// Its size once it is ended, in bytes.
    pub(super) const fn size(&self) -> usize {
        self.bytes.len() - self.start + TRAILER
    }

    /// Ends it as a record of the body; another can be begun. Answers its size.
    pub(super) fn end(&mut self, body: &mut Body) -> usize {
        let (size, range) = (self.size(), self.start..self.bytes.len());
        let at = body.record_to_be_filled::<TRAILER>(&self.bytes[range.clone()]);
        self.start = range.end;
        self.waiting.push(Waiting { range, at });
        if self.bytes.len() >= AT_ONCE {
            self.complete(body);
        }
        size
    }

    /// Writes the checksums that wait; no aggregate is open.
    pub(super) fn complete(&mut self, body: &mut Body) {
        assert!(self.start == self.bytes.len(), "an aggregate is open");
        let (bytes, waiting) = (&self.bytes, &self.waiting);
        let messages: Vec<&[u8]> =
            waiting.iter().map(|one| &bytes[one.range.start + MAGIC.len()..one.range.end]).collect();
        digests::md5(&messages, |index, digest| {
            let one = &waiting[index];
            body.fill(one.at, &bytes[one.range.clone()], digest);
        });
        self.bytes.clear();
        self.waiting.clear();
        self.start = 0;
    }

    /// Memory that it holds, in bytes.
    pub(super) const fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// The memory when the open aggregate has grown to this many bytes.
    pub(super) fn memory_with(&self, open: usize) -> usize {
        let needed = self.start + open;
        if needed <= self.bytes.capacity() { self.bytes.capacity() } else { 2 * needed }
    }

    /// Gives its memory back; no aggregate waits, and none is open.
    pub(super) fn rest(&mut self) {
        assert!(self.bytes.is_empty(), "aggregates would be lost");
        self.bytes = Vec::new();
        self.waiting = Vec::new();
    }
}

fn push_varint(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

const fn varint_bytes(value: usize) -> usize {
    let mut bytes = 1;
    let mut rest = value >> 7;
    while rest > 0 {
        bytes += 1;
        rest >>= 7;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use md5::{Digest, Md5};

    fn body() -> Body {
        Body::new(b"[".to_vec(), b"\"}", 1 << 20)
    }

    /// The records of a body.
    fn records(mut body: Body) -> Vec<Vec<u8>> {
        let (bytes, _) = body.finish();
        let text = std::str::from_utf8(&bytes).unwrap().strip_suffix('}').unwrap().to_owned();
        let records: Vec<std::collections::BTreeMap<String, String>> = serde_json::from_str(&text).unwrap();
        records.iter().map(|record| base64_simd::STANDARD.decode_to_vec(&record["Data"]).unwrap()).collect()
    }

    #[test]
    fn an_aggregate_is_byte_for_byte_what_the_format_says() {
        let (mut aggregate, mut body) = (Aggregate::default(), body());
        aggregate.begin("k");
        aggregate.push(b"a\n");
        aggregate.push(&[b'x'; 200]);
        let message = [
            &[0x0A, 1, b'k'][..],
            &[0x1A, 6, 0x08, 0, 0x1A, 2, b'a', b'\n'],
            // 200 is C8 01, and the record around it 205: CD 01.
            &[0x1A, 0xCD, 0x01, 0x08, 0, 0x1A, 0xC8, 0x01],
            &[b'x'; 200],
        ]
        .concat();
        let expected = [&MAGIC[..], &message, &Md5::digest(&message)].concat();
        assert_eq!(aggregate.size(), expected.len());
        assert_eq!(aggregate.end(&mut body), expected.len());
        aggregate.complete(&mut body);
        assert_eq!(records(body), [expected]);
    }

    #[test]
    fn a_frame_is_never_larger_than_is_reckoned_with() {
        for (length, key) in [(1, 1), (127, 16), (128, 127), (16_383, 128), (16_384, 1_024), (1 << 20, 1_024)] {
            let mut aggregate = Aggregate::default();
            aggregate.begin(&"k".repeat(key));
            assert!(aggregate.size() <= frame(key), "{key}");
            let before = aggregate.size();
            aggregate.push(&vec![0; length]);
            assert!(aggregate.size() - before <= length + LINE_FRAME, "{length}");
        }
    }

    #[test]
    fn aggregates_that_wait_together_get_each_its_own_checksum() {
        // Every length of the last group of base64, and more than wait at once.
        for lengths in [vec![0, 1, 2, 3, 4, 5, 6], vec![51_000; 20], vec![400_000, 1, 400_000]] {
            let (mut aggregate, mut body, mut expected) = (Aggregate::default(), body(), Vec::new());
            for (number, length) in lengths.into_iter().enumerate() {
                let key = format!("key {number}");
                aggregate.begin(&key);
                aggregate.push(&vec![number as u8; length]);
                let size = aggregate.end(&mut body);
                expected.push((key, size));
                assert!(aggregate.bytes.len() < AT_ONCE, "{} bytes wait", aggregate.bytes.len());
            }
            aggregate.complete(&mut body);
            let records = records(body);
            assert_eq!(records.len(), expected.len());
            for (record, (key, size)) in records.iter().zip(&expected) {
                let (message, checksum) = record[MAGIC.len()..].split_at(size - MAGIC.len() - TRAILER);
                assert_eq!(checksum, &Md5::digest(message)[..], "{key}");
                assert_eq!(&message[2..2 + key.len()], key.as_bytes());
            }
        }
    }

    #[test]
    fn memory_is_used_again_and_known_before_it_is_taken() {
        let (mut aggregate, mut body) = (Aggregate::default(), body());
        for length in [10, 50_000, 50_000, 3_000, 500_000, 10] {
            let expected = aggregate.memory_with(length + frame(5) + LINE_FRAME);
            aggregate.begin("first");
            aggregate.push(&vec![0; length]);
            assert!(aggregate.memory() <= expected, "{} of {expected}", aggregate.memory());
            aggregate.end(&mut body);
        }
        let held = aggregate.memory();
        aggregate.complete(&mut body);
        assert_eq!(aggregate.memory(), held);
        aggregate.rest();
        assert_eq!(aggregate.memory(), 0);
    }
}
