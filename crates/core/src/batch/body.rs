//! A request body being written: base64 into the JSON that is signed and sent, for either service.
//! Promises that each byte is encoded once, as it arrives.
//! Leaves limits, what opens a body and what closes a record to the service's own file.

use bytes::Bytes;
use std::ops::Range;

const RECORD_OPEN: &[u8] = br#"{"Data":""#;
const BODY_CLOSE: &[u8] = b"]}";

/// The longest body with this many bytes before base64 in this many records, each closed by this many bytes.
pub(super) const fn bytes(payload: usize, records: usize, close: usize) -> usize {
    payload / 3 * 4 + records * overhead(close) + 128
}

/// What a record costs in the body beside its base64: quotes, keys, comma, padding.
const fn overhead(close: usize) -> usize {
    RECORD_OPEN.len() + close + 1 + 4
}

/// What is encoded without padding, and the rest.
const fn groups(payload: &[u8]) -> (&[u8], &[u8]) {
    payload.split_at(payload.len() - payload.len() % 3)
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
    /// What closes the open record: the end of its data and, for Kinesis, its partition key.
    close: Vec<u8>,
    limit: usize,
    bytes: Vec<u8>,
    spare: Vec<Vec<u8>>,
    carry: [u8; 2],
    carried: usize,
    record_start: usize,
}

impl Body {
    /// An empty body that begins with `opening`, whose records end in `close`, and that is `limit` bytes at most.
    pub(super) fn new(opening: Vec<u8>, close: &[u8], limit: usize) -> Self {
        let close = close.to_vec();
        Self { opening, close, limit, bytes: Vec::new(), spare: Vec::new(), carry: [0; 2], carried: 0, record_start: 0 }
    }

    /// What closes the next record, to be written anew; only between records.
    pub(super) fn close_mut(&mut self) -> &mut Vec<u8> {
        &mut self.close
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
        self.bytes.extend_from_slice(&self.close);
        self.record_start..self.bytes.len()
    }

    /// A record of these bytes and no others: one encoding, no carrying over. A third of the cost for short lines.
    pub(super) fn whole_record(&mut self, payload: &[u8]) {
        self.separate(payload.len().div_ceil(3) * 4 + overhead(self.close.len()));
        self.record_start = self.bytes.len();
        self.bytes.extend_from_slice(RECORD_OPEN);
        base64_simd::STANDARD.encode_append(payload, &mut self.bytes);
        self.bytes.extend_from_slice(&self.close);
    }

    /// A record of these bytes and `LATER` more that are not known yet; answers where the last bytes stand, for
    /// [`Body::fill`].
    pub(super) fn record_to_be_filled<const LATER: usize>(&mut self, payload: &[u8]) -> usize {
        self.separate((payload.len() + LATER).div_ceil(3) * 4 + overhead(self.close.len()));
        self.record_start = self.bytes.len();
        self.bytes.extend_from_slice(RECORD_OPEN);
        let (whole, rest) = groups(payload);
        base64_simd::STANDARD.encode_append(whole, &mut self.bytes);
        let at = self.bytes.len();
        base64_simd::STANDARD.encode_append([rest, &[0; LATER]].concat(), &mut self.bytes);
        self.bytes.extend_from_slice(&self.close);
        at
    }

    /// The last bytes of a record, which is otherwise these bytes.
    pub(super) fn fill<const LATER: usize>(&mut self, at: usize, payload: &[u8], last: [u8; LATER]) {
        let tail = [groups(payload).1, &last].concat();
        let encoded = base64_simd::STANDARD.encode_to_string(tail);
        self.bytes[at..at + encoded.len()].copy_from_slice(encoded.as_bytes());
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

    /// The memory after this many more bytes before base64, in this many records.
    pub(super) fn memory_with(&self, payload: usize, records: usize) -> usize {
        let more = bytes(payload + 2, records, self.close.len()) + self.opening.len();
        self.memory() - self.bytes.capacity() + self.capacity_with(more)
    }

    /// Makes room for a record and puts what stands before it.
    fn separate(&mut self, record: usize) {
        self.grow(self.opening.len() + record + overhead(self.close.len()) + BODY_CLOSE.len());
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(&self.opening);
        } else {
            self.bytes.push(b',');
        }
    }

    fn encode(&mut self, payload: &[u8]) {
        self.grow(payload.len().div_ceil(3) * 4 + self.close.len() + BODY_CLOSE.len());
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
