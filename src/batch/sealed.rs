//! A call that is sealed: its records, their claims, and how it is taken apart again.
//! Promises that every claim leaves it exactly once.
//! Leaves what an answer means for a record to the flow core.

use crate::record::{Origin, Position};
use bytes::Bytes;
use std::time::Instant;

/// A stretch of an origin that a record holds. `receipt` is whatever the flow's ledger gave for it.
#[derive(Debug)]
pub struct Claim {
    /// The ledger's receipt.
    pub receipt: crate::record::Receipt,
    /// Where the stretch begins; for the operator, in quarantine files.
    pub start: Position,
    /// Where it ends.
    pub end: Position,
}

impl Claim {
    /// The origin it is a stretch of.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        self.receipt.origin()
    }
}

/// One record of a batch, sizes as the service counts them.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub(super) wire_start: usize,
    pub(super) wire_end: usize,
    /// Records of the service that it is: 1, or more where a compressed record had to be cut. It is delivered
    /// when all of them are.
    pub parts: usize,
    /// Bytes before base64, its partition key included.
    pub payload: usize,
    /// What the service bills for it, in bytes.
    pub billed: u64,
    /// Bytes of input it stands for.
    pub input: u64,
    /// Lines in it.
    pub lines: usize,
    /// How often it was sent and not accepted.
    pub attempts: u32,
    pub(super) claims_end: usize,
}

/// One record of the service as it stands in a body.
#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wire {
    data: String,
    partition_key: Option<String>,
}

/// A batch in its wire form, with the records it is made of.
#[derive(Debug)]
pub struct Sealed {
    pub(super) body: Bytes,
    pub(super) records: Vec<Record>,
    /// The claims of record `i` are `claims[records[i - 1].claims_end..records[i].claims_end]`; each is taken once.
    pub(super) claims: Vec<Option<Claim>>,
    pub(super) count: usize,
    pub(super) payload: usize,
    pub(super) oldest: Instant,
    pub(super) memory: usize,
}

impl Sealed {
    /// The request body; cloning it copies nothing.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.body.clone()
    }

    /// Its records. Never empty.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Records as the service counts them.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Bytes before base64.
    #[must_use]
    pub const fn payload(&self) -> usize {
        self.payload
    }

    /// When the oldest byte in it was read.
    #[must_use]
    pub const fn oldest(&self) -> Instant {
        self.oldest
    }

    /// Bytes of input it stands for.
    #[must_use]
    pub fn input(&self) -> u64 {
        self.records.iter().map(|record| record.input).sum()
    }

    /// Memory that it holds, in bytes.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.memory
    }

    /// One record as it stands in the body.
    #[must_use]
    pub fn wire(&self, index: usize) -> &[u8] {
        let record = &self.records[index];
        &self.body[record.wire_start..record.wire_end]
    }

    /// The bytes of one record, decoded again.
    #[must_use]
    pub fn payload_of(&self, index: usize) -> Vec<u8> {
        let decode = |part: Wire| base64_simd::STANDARD.decode_to_vec(part.data).expect("the body was written here");
        self.parts(index).into_iter().flat_map(decode).collect()
    }

    /// The partition key of one record, where it has one.
    #[must_use]
    pub fn partition_key_of(&self, index: usize) -> Option<String> {
        self.parts(index).into_iter().find_map(|part| part.partition_key)
    }

    fn parts(&self, index: usize) -> Vec<Wire> {
        let parts = [b"[", self.wire(index), b"]"].concat();
        serde_json::from_slice(&parts).expect("the body was written here")
    }

    /// The claims of one record; the caller settles them. Empty when they were taken before.
    pub fn take_claims(&mut self, index: usize) -> Vec<Claim> {
        let start = if index == 0 { 0 } else { self.records[index - 1].claims_end };
        self.claims[start..self.records[index].claims_end].iter_mut().filter_map(Option::take).collect()
    }

    /// All claims that are left, in reading order; the caller settles them.
    pub fn take_all_claims(&mut self) -> impl Iterator<Item = Claim> + use<> {
        std::mem::take(&mut self.claims).into_iter().flatten()
    }

    /// The claims of one record without taking them.
    pub fn claims_of(&self, index: usize) -> impl Iterator<Item = &Claim> {
        let start = if index == 0 { 0 } else { self.records[index - 1].claims_end };
        self.claims[start..self.records[index].claims_end].iter().flatten()
    }

    /// Notes that the record was sent and not accepted.
    pub fn count_attempt(&mut self, index: usize) {
        self.records[index].attempts = self.records[index].attempts.saturating_add(1);
    }

    /// A batch of these records alone, in order. The claims of the others must have been taken.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    pub fn only(mut self, indexes: &[usize]) -> Self {
        let opening = self.records[0].wire_start;
        let length: usize = indexes.iter().map(|index| self.wire(*index).len() + 1).sum();
        let mut body = Vec::with_capacity(opening + length + 2);
        body.extend_from_slice(&self.body[..opening]);
        let (mut records, mut claims) = (Vec::with_capacity(indexes.len()), Vec::new());
        for index in indexes {
            if !records.is_empty() {
                body.push(b',');
            }
            let wire_start = body.len();
            body.extend_from_slice(self.wire(*index));
            claims.extend(self.take_claims(*index).into_iter().map(Some));
            let (wire_end, claims_end) = (body.len(), claims.len());
            records.push(Record { wire_start, wire_end, claims_end, ..self.records[*index] });
        }
        assert!(
            !records.is_empty() && self.claims.iter().all(Option::is_none),
            "a record was left out with its claims"
        );
        body.extend_from_slice(b"]}");
        Self {
            memory: body.capacity(),
            body: Bytes::from(body),
            claims,
            count: records.iter().map(|record| record.parts).sum(),
            payload: records.iter().map(|record| record.payload).sum(),
            oldest: self.oldest,
            records,
        }
    }

    /// Two batches with half of the records each, in order.
    ///
    /// # Panics
    /// When there is only one record, or when claims were taken already.
    #[must_use]
    pub fn halve(self) -> (Self, Self) {
        let middle = self.records.len() / 2;
        assert!(middle > 0, "a single record cannot be halved");
        let opening = self.records[0].wire_start;
        let claims_middle = self.records[middle - 1].claims_end;
        let mut first_claims = self.claims;
        let second_claims = first_claims.split_off(claims_middle);
        let part = |records: &[Record], claims: Vec<Option<Claim>>, claims_before: usize| {
            let (start, end) = (records[0].wire_start, records[records.len() - 1].wire_end);
            let body = [&self.body[..opening], &self.body[start..end], b"]}"].concat();
            let shift = start - opening;
            let moved = |record: &Record| Record {
                wire_start: record.wire_start - shift,
                wire_end: record.wire_end - shift,
                claims_end: record.claims_end - claims_before,
                ..*record
            };
            Self {
                memory: body.len(),
                body: Bytes::from(body),
                claims,
                count: records.iter().map(|record| record.parts).sum(),
                payload: records.iter().map(|record| record.payload).sum(),
                oldest: self.oldest,
                records: records.iter().map(moved).collect(),
            }
        };
        let (first, second) = self.records.split_at(middle);
        (part(first, first_claims, 0), part(second, second_claims, claims_middle))
    }

    /// The buffer of the body, if nobody else holds it any more.
    #[must_use]
    pub fn into_buffer(self) -> Option<Vec<u8>> {
        assert!(self.claims.iter().all(Option::is_none), "a batch was dropped with open claims");
        self.body.try_into_mut().ok().map(Vec::from)
    }
}
