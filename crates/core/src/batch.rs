//! Runs in, sealed calls in their wire form out: the JSON body is written once, as the bytes arrive.
//! Promises that no record and no call is ever over the service's limits, and that no record splits a line.
//! Leaves when to send, and what to do with the answer, to the flow core.

/// The JSON of a call, written once.
mod body;
/// The bytes of a full record made smaller; the choice of compressor stays in this one file.
mod compress;
/// Several checksums at once.
mod digests;
/// The packer's side of lines that are a record each.
mod each;
/// The wire form of `PutRecordBatch` and its limits.
pub mod firehose;
/// Where a record's partition key comes from.
mod key;
/// The limits of `PutRecords`, and what only its records have: keys, aggregates, order within a key.
pub mod kinesis;
/// Many records in one, as the Kinesis Producer Library writes them.
mod kpl;
/// The packer's side of records with partition keys.
mod keyed;
/// A call that is sealed: its records, their claims, and how it is taken apart again.
mod sealed;
/// What the configuration says about batches.
mod settings;

pub use key::PartitionKey;
pub use sealed::{Extent, Record, Sealed};
pub use settings::{Compression, Form, Settings};

use body::Body;
use compress::Compressor;
use datalake_base::record::Claim;
use kinesis::Keyed;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// How much the open record still takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes.
    pub bytes: usize,
    /// Lines; at least 1 wherever there are bytes.
    pub lines: usize,
}

/// Lines on their way into the open record.
#[derive(Clone, Copy, Debug)]
pub struct Lines<'a> {
    /// The bytes to send.
    pub bytes: &'a [u8],
    /// Bytes of input they stand for.
    pub input: u64,
    /// How many lines.
    pub count: usize,
    /// When they were read.
    pub read_at: Instant,
    /// The partition key of their file, where keys come from paths: [`Packer::key_of_path`].
    pub key: Option<&'a str>,
}

/// The open batch and, in it, the open record.
///
/// Invariants: `payload + open.bytes <= settings.max_bytes` (without compression), `count <= settings.max_records`,
/// and each record of the service is at most [`Form::record_bytes`].
#[derive(Debug)]
pub struct Packer {
    settings: Arc<Settings>,
    record_limit: usize,
    line_limit: usize,
    body: Body,
    records: Vec<Record>,
    /// How many the last batch had.
    usual_records: usize,
    claims: Vec<Option<Claim>>,
    /// Records as the service counts them: one per [`Record`], more where a compressed one had to be cut.
    count: usize,
    /// Bytes of the sealed records before base64.
    payload: usize,
    oldest: Option<Instant>,
    open: Open,
    mode: Mode,
}

/// How lines become a record. What only some flows need is boxed: most send lines as they are.
#[derive(Debug)]
enum Mode {
    /// One line after the other.
    Packed,
    /// Each line is one.
    Each,
    /// They are gathered, and compressed when the record is full.
    Compressed(Box<Compressor>),
    /// Under partition keys, for Kinesis.
    Keyed(Box<Keyed>),
}

/// The record being filled.
#[derive(Debug, Default)]
struct Open {
    bytes: usize,
    lines: usize,
    input: u64,
    read_at: Option<Instant>,
    /// Where its claims begin in `claims`.
    claims_from: usize,
    /// Its bytes, where they are compressed when the record is full.
    raw: Vec<u8>,
}

impl Packer {
    /// An empty batch; `random` draws the partition keys.
    ///
    /// # Panics
    /// When the settings exceed the service's limits: the plan has checked them.
    #[must_use]
    pub fn new(settings: impl Into<Arc<Settings>>, random: fastrand::Rng) -> Self {
        let settings = settings.into();
        let form = &settings.form;
        assert!(settings.max_bytes <= form.call_bytes() && settings.max_records <= form.call_records());
        assert!(settings.max_records > 0 && settings.longest_line() > 1, "a batch must hold a line");
        assert!(settings.aggregated_record_bytes.is_none_or(|bytes| (1..=form.record_bytes()).contains(&bytes)));
        let limit = form.body_bytes(settings.max_bytes, settings.max_records);
        let most = form.record_bytes().min(settings.max_bytes);
        let record_limit = settings.aggregated_record_bytes.unwrap_or(most).min(most);
        let line_limit = match (settings.aggregated_record_bytes, settings.max_lines_per_record) {
            (None, _) => 1,
            (Some(_), None) => usize::MAX,
            (Some(_), Some(lines)) => lines.max(1) as usize,
        };
        let (mode, body) = match (form, settings.compression) {
            (Form::Kinesis(only), compression) => {
                assert!(compression == Compression::None && (!only.kpl || settings.aggregated_record_bytes.is_some()));
                let body = Body::new(kinesis::opening(&settings.stream), kinesis::USUAL_CLOSE, limit);
                (Mode::Keyed(Box::new(Keyed::new(only.clone(), random))), body)
            }
            (Form::Firehose, compression) => {
                let mode = match compression {
                    Compression::Gzip { level } => Mode::Compressed(Box::new(Compressor::new(level))),
                    Compression::None if line_limit == 1 => Mode::Each,
                    Compression::None => Mode::Packed,
                };
                (mode, Body::new(firehose::opening(&settings.stream), firehose::RECORD_CLOSE, limit))
            }
        };
        Self {
            settings,
            record_limit,
            line_limit,
            body,
            records: Vec::new(),
            usual_records: 0,
            claims: Vec::new(),
            count: 0,
            payload: 0,
            oldest: None,
            open: Open::default(),
            mode,
        }
    }

    /// The partition key of all lines of a file, where keys come from paths; to be given back with its lines.
    #[must_use]
    pub fn key_of_path(&self, path: &Path) -> Option<String> {
        self.keyed().and_then(|keyed| keyed.key_of_path(path))
    }

    /// What the open record still takes. An empty batch takes any line of [`Settings::longest_line`].
    #[must_use]
    pub fn space(&self) -> Space {
        let (in_record, in_batch) = match &self.mode {
            Mode::Keyed(keyed) => return self.keyed_space(keyed, false),
            _ if self.count >= self.settings.max_records => return Space { bytes: 0, lines: 1 },
            // The compressed size is what counts, and is known only later; the target follows the ratio seen so far.
            Mode::Compressed(compressor) => (self.raw_target(compressor), usize::MAX),
            Mode::Packed | Mode::Each => (self.record_limit, self.settings.max_bytes - self.payload - self.open.bytes),
        };
        // A line longer than a packed record should be is a record of its own.
        let in_record = if self.open.bytes == 0 { in_record.max(self.settings.longest_line()) } else { in_record };
        let bytes = in_record.saturating_sub(self.open.bytes).min(in_batch);
        Space { bytes, lines: self.line_limit - self.open.lines }
    }

    /// How many bytes of *several* lines the open record still takes; less than [`Packer::space`] where only a
    /// single long line may fill a record beyond its usual size.
    #[must_use]
    pub fn packing_space(&self) -> Space {
        let in_record = match &self.mode {
            Mode::Keyed(keyed) => return self.keyed_space(keyed, true),
            Mode::Compressed(compressor) => self.raw_target(compressor),
            Mode::Packed | Mode::Each => self.record_limit,
        };
        let space = self.space();
        Space { bytes: space.bytes.min(in_record.saturating_sub(self.open.bytes)), ..space }
    }

    /// Adds lines to the open record, or where their partition key is another to one after it. `claim` is asked to let
    /// the open record's newest claim stand for these bytes too (and then returns `None`), or to make another. A batch
    /// that had to be completed before, because it holds the key already, is returned.
    ///
    /// # Panics
    /// When there is no space for them.
    #[must_use]
    pub fn append(
        &mut self,
        lines: Lines<'_>,
        claim: impl FnOnce(Option<&mut Claim>) -> Option<Claim>,
    ) -> Option<Sealed> {
        assert!(self.takes(&lines) && !lines.bytes.is_empty(), "lines were put where no space is");
        let mut before = None;
        let mut size = self.open.bytes + lines.bytes.len();
        match self.mode {
            Mode::Keyed(_) => {
                before = self.append_keyed(&lines);
                size = self.open.bytes;
            }
            Mode::Compressed(_) => {
                let capacity = self.raw_capacity_with(lines.bytes.len());
                self.open.raw.reserve_exact(capacity - self.open.raw.len());
                self.open.raw.extend_from_slice(lines.bytes);
            }
            Mode::Each => self.body.whole_record(lines.bytes),
            Mode::Packed => {
                if self.open.bytes == 0 {
                    self.body.begin_record();
                }
                self.body.write(lines.bytes);
            }
        }
        self.open.bytes = size;
        self.open.lines += lines.count;
        self.open.input += lines.input;
        self.open.read_at = self.open.read_at.or(Some(lines.read_at));
        let held = self.claims.len() > self.open.claims_from;
        let newest = if held { self.claims.last_mut().and_then(Option::as_mut) } else { None };
        if let Some(claim) = claim(newest) {
            self.claims.push(Some(claim));
        }
        before
    }

    /// Whether the open record has as many lines as a record may have.
    #[must_use]
    pub fn record_is_full(&self) -> bool {
        self.open.lines >= self.line_limit
    }

    /// Completes the open record. A compressed record that does not fit completes the batch before it; that batch
    /// is returned.
    pub fn seal_record(&mut self) -> Option<Sealed> {
        if self.open.bytes == 0 {
            return None;
        }
        let mut payload = self.open.bytes;
        let wire = match &mut self.mode {
            Mode::Compressed(_) => return self.seal_compressed(),
            Mode::Each => self.body.last_record(),
            Mode::Packed => self.body.end_record(),
            Mode::Keyed(keyed) => {
                let kpl = keyed.settings().kpl;
                if kpl {
                    payload = keyed.end(&mut self.body);
                }
                payload += keyed.close();
                if kpl || self.line_limit == 1 { self.body.last_record() } else { self.body.end_record() }
            }
        };
        self.close_record(wire, 1, payload);
        None
    }

    /// Completes the record and the batch: one batch as a rule, two where a compressed record did not fit, none
    /// where there was nothing.
    pub fn seal(&mut self) -> [Option<Sealed>; 2] {
        [self.seal_record(), self.take_batch()]
    }

    /// Adds a record that was sealed before and not accepted, still encoded, to the batch; `false` if it does not
    /// fit. Its claims move with it.
    ///
    /// # Panics
    /// When a record is open.
    pub fn adopt(&mut self, from: &mut Sealed, index: usize) -> bool {
        assert!(self.open.bytes == 0, "a record is open");
        let record = from.records[index];
        let fits = self.count + record.parts <= self.settings.max_records
            && self.payload + record.payload <= self.settings.max_bytes;
        if fits {
            let wire = self.body.adopt(from.wire(index));
            self.claims.extend(from.take_claims(index).into_iter().map(Some));
            self.count += record.parts;
            self.payload += record.payload;
            self.records.push(Record {
                wire_end: wire.end,
                wire_start: wire.start,
                claims_end: self.claims.len(),
                joined: false,
                taken: false,
                ..record
            });
            self.open.claims_from = self.claims.len();
            self.age(from.oldest);
        }
        fits
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.open.bytes == 0
    }

    /// Whether not even a short line can be added before it is sealed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let open = usize::from(self.open.bytes > 0);
        self.count + open >= self.settings.max_records && (open == 0 || self.record_is_full())
            || self.gathered() >= self.settings.max_bytes
    }

    /// Bytes in it before base64. With compression, those of complete records only.
    #[must_use]
    pub const fn gathered(&self) -> usize {
        let open = if matches!(self.mode, Mode::Compressed(_)) { 0 } else { self.open.bytes };
        self.payload + open
    }

    /// When it must be sealed because of its age.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let oldest = match (self.oldest, self.open.read_at) {
            (Some(batch), Some(record)) => Some(batch.min(record)),
            (batch, record) => batch.or(record),
        };
        oldest.map(|oldest| oldest + self.settings.max_age)
    }

    /// Memory that it holds, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let gathered = match &self.mode {
            Mode::Packed | Mode::Each => 0,
            Mode::Compressed(compressor) => compressor.memory(),
            Mode::Keyed(keyed) => keyed.memory(),
        };
        self.body.memory() + self.open.raw.capacity() + gathered
    }

    /// Memory that it can come to hold, in bytes, when this many bytes more are appended.
    #[must_use]
    pub fn memory_with(&self, bytes: usize) -> usize {
        let records = if self.line_limit == 1 { bytes.min(self.settings.max_records) } else { 2 };
        match &self.mode {
            Mode::Keyed(keyed) => self.memory_keyed_with(keyed, bytes),
            Mode::Packed | Mode::Each => self.body.memory_with(bytes, records) + self.open.raw.capacity(),
            Mode::Compressed(compressor) => {
                let raw = self.open.raw.len() + bytes;
                // Should nothing compress, the body grows by all of it.
                self.raw_capacity_with(bytes) + compressor.memory_with(raw) + self.body.memory_with(raw, records + 4)
            }
        }
    }

    /// Takes back a buffer that was sent, so that steady sending allocates nothing.
    pub fn reuse(&mut self, buffer: Vec<u8>) {
        self.body.reuse(buffer);
    }

    /// Gives memory back to the system that only a busy flow needs.
    pub fn rest(&mut self) {
        self.body.rest();
        if self.open.bytes == 0 {
            self.open.raw = Vec::new();
        }
        match &mut self.mode {
            Mode::Compressed(compressor) => compressor.rest(),
            Mode::Keyed(keyed) if self.open.bytes == 0 => keyed.rest(&mut self.body),
            Mode::Packed | Mode::Each | Mode::Keyed(_) => {}
        }
    }

    const fn keyed(&self) -> Option<&Keyed> {
        if let Mode::Keyed(keyed) = &self.mode { Some(keyed) } else { None }
    }

    const fn keyed_mut(&mut self) -> Option<&mut Keyed> {
        if let Mode::Keyed(keyed) = &mut self.mode { Some(keyed) } else { None }
    }

    /// Bytes that are likely to become a full record when they are compressed.
    fn raw_target(&self, compressor: &Compressor) -> usize {
        compressor.raw_target(self.record_limit, self.settings.max_bytes)
    }

    fn raw_capacity_with(&self, more: usize) -> usize {
        let (needed, capacity) = (self.open.raw.len() + more, self.open.raw.capacity());
        let doubled = (capacity * 2).min(compress::raw_limit(self.settings.max_bytes));
        if needed <= capacity { capacity } else { needed.max(doubled) }
    }

    fn seal_compressed(&mut self) -> Option<Sealed> {
        // Out of the way while the batch is written to.
        let mode = std::mem::replace(&mut self.mode, Mode::Packed);
        let Mode::Compressed(mut compressor) = mode else { unreachable!("asked by seal_record") };
        let members = compressor.compress(&self.open.raw);
        let (payload, parts) = (members.bytes(), members.count());
        let fits = self.payload + payload <= self.settings.max_bytes && self.count + parts <= self.settings.max_records;
        let overflow = if fits { None } else { self.take_all_but_open() };
        let mut wire: Option<std::ops::Range<usize>> = None;
        for member in members.iter() {
            self.body.begin_record();
            self.body.write(member);
            let part = self.body.end_record();
            wire = Some(wire.map_or(part.clone(), |whole| whole.start..part.end));
        }
        self.open.raw.clear();
        self.mode = Mode::Compressed(compressor);
        self.close_record(wire.expect("a record that is not empty has a member"), parts, payload);
        overflow
    }

    fn close_record(&mut self, wire: std::ops::Range<usize>, parts: usize, payload: usize) {
        let raw = std::mem::take(&mut self.open.raw);
        let open = std::mem::replace(&mut self.open, Open { raw, claims_from: self.claims.len(), ..Open::default() });
        self.count += parts;
        self.payload += payload;
        self.records.push(Record {
            wire_start: wire.start,
            wire_end: wire.end,
            parts,
            payload,
            billed: self.settings.form.billed(payload),
            input: open.input,
            lines: open.lines,
            attempts: 0,
            claims_end: self.claims.len(),
            joined: false,
            taken: false,
        });
        if let Some(read_at) = open.read_at {
            self.age(read_at);
        }
    }

    fn age(&mut self, read_at: Instant) {
        self.oldest = Some(self.oldest.map_or(read_at, |oldest| oldest.min(read_at)));
    }

    fn take_all_but_open(&mut self) -> Option<Sealed> {
        let claims = self.claims.split_off(self.open.claims_from);
        let batch = self.take_batch();
        self.claims = claims;
        batch
    }

    fn take_batch(&mut self) -> Option<Sealed> {
        let oldest = self.oldest.take()?;
        let records = std::mem::take(&mut self.records);
        self.usual_records = records.len();
        if let Mode::Keyed(keyed) = &mut self.mode {
            keyed.complete(&mut self.body);
        }
        self.open.claims_from = 0;
        let (body, memory) = self.body.finish();
        let sealed = Sealed {
            body,
            memory,
            claims: std::mem::take(&mut self.claims),
            count: std::mem::take(&mut self.count),
            payload: std::mem::take(&mut self.payload),
            oldest,
            records,
        };
        assert!(!sealed.records.is_empty(), "an empty batch was sealed");
        assert!(
            sealed.payload <= self.settings.max_bytes && sealed.count <= self.settings.max_records,
            "over the limit"
        );
        Some(sealed)
    }
}

#[cfg(test)]
mod tests;
