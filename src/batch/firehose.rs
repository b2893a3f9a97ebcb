//! The wire form of `PutRecordBatch` and its limits.
//! Promises that each byte is encoded once, as it arrives, into the body that is signed and sent.
//! Leaves which bytes make a record, and when the body is complete, to the packer.

use bytes::Bytes;
use std::ops::Range;

/// Records in one call (API reference of `PutRecordBatch`).
pub const CALL_RECORDS: usize = 500;
/// Bytes of one record before base64: 1,000 KiB (API reference of `Record`).
pub const RECORD_BYTES: usize = 1_024_000;
/// Bytes of one call before base64: 4 MiB (quota page), less 1 KiB of caution.
pub const CALL_BYTES: usize = 4 * 1024 * 1024 - 1024;
/// Each record is billed rounded up to a multiple of this (pricing page).
pub const BILLING_STEP: usize = 5 * 1024;

const RECORD_OPEN: &[u8] = br#"{"Data":""#;
const RECORD_CLOSE: &[u8] = br#""}"#;
const BODY_CLOSE: &[u8] = b"]}";

/// What a record costs in the body beside its base64: quotes, key, comma, padding.
pub const RECORD_OVERHEAD: usize = RECORD_OPEN.len() + RECORD_CLOSE.len() + 1 + 4;

/// The longest body of a call with so many bytes before base64 in so many records.
#[must_use]
pub const fn body_bytes(payload: usize, records: usize) -> usize {
    payload / 3 * 4 + records * RECORD_OVERHEAD + 128
}

/// No body is begun with less, in bytes.
const SMALLEST: usize = 16 * 1024;

/// A request body being written.
///
/// Invariant: `bytes` is the beginning of a valid body, but for `carry`: the last bytes of the open record that do
/// not fill a group of three.
#[derive(Debug)]
pub(super) struct Body {
    opening: Vec<u8>,
    limit: usize,
    bytes: Vec<u8>,
    spare: Vec<Vec<u8>>,
    carry: [u8; 2],
    carried: usize,
    record_start: usize,
}

impl Body {
    pub(super) fn new(stream: &str, limit: usize) -> Self {
        let name = serde_json::to_string(stream).expect("a string is valid JSON");
        let opening = format!(r#"{{"DeliveryStreamName":{name},"Records":["#).into_bytes();
        Self { opening, limit, bytes: Vec::new(), spare: Vec::new(), carry: [0; 2], carried: 0, record_start: 0 }
    }

    pub(super) fn begin_record(&mut self) {
        assert!(self.carried == 0, "the last record was not ended");
        self.separate(RECORD_OPEN.len());
        self.record_start = self.bytes.len();
        self.bytes.extend_from_slice(RECORD_OPEN);
    }

    /// Encodes the bytes onto the open record.
    pub(super) fn write(&mut self, mut payload: &[u8]) {
        if self.carried > 0 {
            let wanted = (3 - self.carried).min(payload.len());
            let mut group = [self.carry[0], self.carry[1], 0];
            group[self.carried..self.carried + wanted].copy_from_slice(&payload[..wanted]);
            payload = &payload[wanted..];
            if self.carried + wanted < 3 {
                self.carry = [group[0], group[1]];
                self.carried += wanted;
                return;
            }
            self.carried = 0;
            self.encode(&group);
        }
        let whole = payload.len() - payload.len() % 3;
        self.encode(&payload[..whole]);
        let rest = &payload[whole..];
        self.carry[..rest.len()].copy_from_slice(rest);
        self.carried = rest.len();
    }

    /// Ends the open record; the range is where it stands in the body.
    pub(super) fn end_record(&mut self) -> Range<usize> {
        let (carry, carried) = (self.carry, std::mem::take(&mut self.carried));
        self.encode(&carry[..carried]);
        self.bytes.extend_from_slice(RECORD_CLOSE);
        self.record_start..self.bytes.len()
    }

    /// A record of these bytes and no others: one encoding, no carrying over. A third of the cost for short lines.
    pub(super) fn whole_record(&mut self, payload: &[u8]) {
        self.separate(payload.len().div_ceil(3) * 4 + RECORD_OVERHEAD);
        self.record_start = self.bytes.len();
        self.bytes.extend_from_slice(RECORD_OPEN);
        base64_simd::STANDARD.encode_append(payload, &mut self.bytes);
        self.bytes.extend_from_slice(RECORD_CLOSE);
    }

    /// Where the record that was written last stands in the body.
    pub(super) fn last_record(&self) -> Range<usize> {
        self.record_start..self.bytes.len()
    }

    /// Copies a record that is encoded already.
    pub(super) fn adopt(&mut self, wire: &[u8]) -> Range<usize> {
        self.separate(wire.len());
        let start = self.bytes.len();
        self.bytes.extend_from_slice(wire);
        start..self.bytes.len()
    }

    /// The complete body and the memory that it holds; a new one is begun with the next record.
    pub(super) fn finish(&mut self) -> (Bytes, usize) {
        assert!(self.carried == 0 && self.bytes.len() > self.opening.len(), "an unfinished body was sealed");
        self.bytes.extend_from_slice(BODY_CLOSE);
        let next = self.spare.pop().unwrap_or_default();
        let memory = self.bytes.capacity();
        (Bytes::from(std::mem::replace(&mut self.bytes, next)), memory)
    }

    pub(super) fn reuse(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        if self.bytes.capacity() == 0 {
            self.bytes = buffer;
        } else if self.spare.is_empty() {
            self.spare.push(buffer);
        }
    }

    pub(super) fn rest(&mut self) {
        self.spare.clear();
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }

    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + self.spare.iter().map(Vec::capacity).sum::<usize>()
    }

    /// The memory after so many more bytes before base64, in so many records.
    pub(super) fn memory_with(&self, payload: usize, records: usize) -> usize {
        let more = body_bytes(payload + 2, records) + self.opening.len();
        self.memory() - self.bytes.capacity() + self.capacity_with(more)
    }

    /// Makes room for a record and puts what stands before it.
    fn separate(&mut self, record: usize) {
        self.grow(self.opening.len() + record + RECORD_OVERHEAD + BODY_CLOSE.len());
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(&self.opening);
        } else {
            self.bytes.push(b',');
        }
    }

    fn encode(&mut self, payload: &[u8]) {
        self.grow(payload.len().div_ceil(3) * 4 + RECORD_CLOSE.len() + BODY_CLOSE.len());
        base64_simd::STANDARD.encode_append(payload, &mut self.bytes);
    }

    /// Doubles as a vector does, but never beyond the longest body: a full batch must not cost twice its size.
    fn grow(&mut self, more: usize) {
        let capacity = self.capacity_with(more);
        if capacity > self.bytes.capacity() {
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
    }

    fn capacity_with(&self, more: usize) -> usize {
        let (needed, capacity) = (self.bytes.len() + more, self.bytes.capacity());
        if needed <= capacity { capacity } else { needed.max((capacity * 2).min(self.limit)).max(SMALLEST) }
    }
}
