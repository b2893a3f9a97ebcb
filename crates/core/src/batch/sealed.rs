//! A call that is sealed: its records, their claims, and how it is taken apart again.
//! Promises that every claim leaves it exactly once.
//! Leaves what an answer means for a record to the flow core.

use bytes::Bytes;
use datalake_base::record::{Claim, Origin, Position};
use std::time::Instant;

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
    /// It has a part of the claim of the record before it, and no claim of its own.
    pub(super) joined: bool,
    /// Its claims, or its part of one, were taken.
    pub(super) taken: bool,
}

/// Which stretch of which origin a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The origin.
    pub origin: Origin,
    /// Where the stretch begins.
    pub start: Position,
    /// Where it ends.
    pub end: Position,
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
    /// The claims of record `i` are `claims[records[i - 1].claims_end..records[i].claims_end]`; each is taken once. Where
    /// records share a claim, it has a part for each of those that are not taken: the first of them and all that are
    /// `joined` behind it, which hold one stretch without a gap.
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
        if std::mem::replace(&mut self.records[index].taken, true) {
            return Vec::new();
        }
        let held = self.held(index);
        if !self.shares(index) {
            return self.claims[held].iter_mut().filter_map(Option::take).collect();
        }
        let Extent { start, end, .. } = self.shared_extent(index);
        let slot = &mut self.claims[held.start];
        let part = match slot {
            Some(claim) if claim.parts() > 1 => claim.split_off(1),
            _ => slot.take().expect("there is a part for each record that was not taken"),
        };
        vec![part.over(start, end)]
    }

    /// Where the claims of a record are.
    fn held(&self, index: usize) -> std::ops::Range<usize> {
        let end = self.records[index].claims_end;
        if self.records[index].joined {
            return end - 1..end;
        }
        let start = if index == 0 { 0 } else { self.records[index - 1].claims_end };
        start..end
    }

    /// Whether it has a claim together with others.
    fn shares(&self, index: usize) -> bool {
        self.records[index].joined || self.records.get(index + 1).is_some_and(|next| next.joined)
    }

    /// The stretch of a record that shares its claim, which was not taken whole: the records of a claim follow each other
    /// without a gap.
    fn shared_extent(&self, index: usize) -> Extent {
        let first = (0..=index).rfind(|first| !self.records[*first].joined).expect("a batch begins with its own claim");
        let claim = self.claims[self.held(index).start].as_ref().expect("not taken whole");
        let before: u64 = self.records[first..index].iter().map(|record| record.input).sum();
        let start = Position(claim.start.0 + before);
        Extent { origin: claim.origin(), start, end: Position(start.0 + self.records[index].input) }
    }

    /// All claims that are left, in reading order; the caller settles them.
    pub fn take_all_claims(&mut self) -> impl Iterator<Item = Claim> + use<> {
        std::mem::take(&mut self.claims).into_iter().flatten()
    }

    /// What one record holds, as far as its claims were not taken.
    #[must_use]
    pub fn extents_of(&self, index: usize) -> Vec<Extent> {
        if self.records[index].taken {
            return Vec::new();
        }
        if self.shares(index) {
            return vec![self.shared_extent(index)];
        }
        let claims = self.claims[self.held(index)].iter().flatten();
        claims.map(|claim| Extent { origin: claim.origin(), start: claim.start, end: claim.end }).collect()
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
            let own = Record { joined: false, taken: false, ..self.records[*index] };
            records.push(Record { wire_start, wire_end, claims_end, ..own });
        }
        assert!(
            !records.is_empty() && self.claims.iter().all(Option::is_none),
            "a record was left out with its claims"
        );
        body.extend_from_slice(b"]}");
        Self::of(body, records, claims, self.oldest)
    }

    /// A batch of records that were written before.
    fn of(body: Vec<u8>, records: Vec<Record>, claims: Vec<Option<Claim>>, oldest: Instant) -> Self {
        let count = records.iter().map(|record| record.parts).sum();
        let payload = records.iter().map(|record| record.payload).sum();
        Self { memory: body.capacity(), body: Bytes::from(body), records, claims, count, payload, oldest }
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
        let joined = self.records[middle..].iter().take_while(|record| record.joined).count();
        let seam = (joined > 0).then(|| self.shared_extent(middle).start);
        let mut first_claims = self.claims;
        let mut second_claims = first_claims.split_off(claims_middle);
        if let Some(seam) = seam {
            // The claim that both halves share is divided.
            let shared = first_claims.last_mut().and_then(Option::as_mut).expect("no claim was taken");
            let part = shared.split_off(joined as u32);
            let end = std::mem::replace(&mut shared.end, seam);
            second_claims.insert(0, Some(part.over(seam, end)));
        }
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
            let mut records: Vec<Record> = records.iter().map(moved).collect();
            records[0].joined = false;
            Self::of(body, records, claims, self.oldest)
        };
        let (first, second) = self.records.split_at(middle);
        (part(first, first_claims, 0), part(second, second_claims, claims_middle - usize::from(joined > 0)))
    }

    /// The buffer of the body, if nobody else holds it any more.
    #[must_use]
    pub fn into_buffer(self) -> Option<Vec<u8>> {
        assert!(self.claims.iter().all(Option::is_none), "a batch was dropped with open claims");
        self.body.try_into_mut().ok().map(Vec::from)
    }
}
