//! The aggregated record of the Kinesis Producer Library: many records under one partition key in one of the service's.
//! Promises the exact form that consumers take apart, written in one pass into memory that is used again.
//! Leaves how much goes into it, and under which key, to the packer.
//!
//! `F3 89 9A C2 | AggregatedRecord | MD5 of that`, where `AggregatedRecord` is a protobuf message of the keys (tag `0A`)
//! and, for each record (tag `1A`), the index of its key (`08`) and its data (`1A`). There is one key, so a consumer that
//! compares every record with the range of its shard finds them all where they belong.

use md5::{Digest, Md5};

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

/// An aggregate being written.
#[derive(Debug, Default)]
pub(super) struct Aggregate {
    /// Magic and message; empty between aggregates.
    bytes: Vec<u8>,
}

impl Aggregate {
    /// Begins an aggregate under this key.
    pub(super) fn begin(&mut self, key: &str) {
        self.bytes.clear();
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
        self.bytes.len() + TRAILER
    }

    /// Ends it; another can be begun.
    pub(super) fn end(&mut self) -> &[u8] {
        let digest = Md5::digest(&self.bytes[MAGIC.len()..]);
        self.bytes.extend_from_slice(&digest);
        &self.bytes
    }

    /// Memory that it holds, in bytes.
    pub(super) const fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Gives its memory back.
    pub(super) fn rest(&mut self) {
        self.bytes = Vec::new();
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

    #[test]
    fn an_aggregate_is_byte_for_byte_what_the_format_says() {
        let mut aggregate = Aggregate::default();
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
        assert_eq!(aggregate.end(), expected);
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
    fn memory_is_used_again() {
        let mut aggregate = Aggregate::default();
        aggregate.begin("first");
        aggregate.push(b"one");
        let first = aggregate.end().to_vec();
        aggregate.begin("first");
        aggregate.push(b"one");
        assert_eq!(aggregate.end(), first);
    }
}
