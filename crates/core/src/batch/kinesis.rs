//! What only calls of `PutRecords` have: its limits, partition keys, aggregates, and order within a key.
//! Promises that every record of a batch has a key, that an aggregate has one, and that in an ordered flow no key stands
//! twice in a batch. Leaves the making of keys to `key` and the form of an aggregate to `kpl`.

use super::body::{self, Body};
use super::key::{self, PartitionKey};
use super::kpl::{self, Aggregate};
use super::{Lines, Space};
use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::path::Path;

/// Records in one call (API reference of `PutRecords`).
pub const CALL_RECORDS: usize = 500;
/// Bytes of one record, its partition key included, that every stream takes: 1 MiB (API reference).
pub const RECORD_BYTES: usize = 1 << 20;
/// The same for a stream that is set to the most (`MaxRecordSizeInKiB`): 10 MiB.
pub const LARGEST_RECORD_BYTES: usize = 10 << 20;
/// Bytes of one call, partition keys included, that every stream takes: 5 MiB (API reference before larger records came).
pub const CALL_BYTES: usize = 5 << 20;
/// The same for a stream that takes larger records: 10 MiB (API reference).
pub const LARGEST_CALL_BYTES: usize = 10 << 20;
/// A stream on demand bills each record rounded up to a multiple of this (pricing page).
pub const BILLING_STEP: usize = 1024;
/// What an aggregate holds unless set otherwise: two PUT payload units of 25 KiB, of which a shard takes twenty a second.
pub const AGGREGATE_BYTES: usize = kpl::USUAL_BYTES;

/// How records are made for a stream of Kinesis Data Streams.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where partition keys come from.
    pub partition_key: PartitionKey,
    /// Packed lines are written as the aggregated record of the Kinesis Producer Library, not one after the other.
    pub kpl: bool,
    /// The order of lines is kept within each partition key.
    pub ordered: bool,
    /// The most bytes of a record, its partition key included: [`RECORD_BYTES`] to [`LARGEST_RECORD_BYTES`].
    pub record_bytes: usize,
}

/// What stands before the records.
pub(super) fn opening(stream: &str) -> Vec<u8> {
    let name = serde_json::to_string(stream).expect("a string is valid JSON");
    format!(r#"{{"StreamName":{name},"Records":["#).into_bytes()
}

/// What closes a record with the longest key that is drawn or hashed.
pub(super) const USUAL_CLOSE: &[u8] = br#"","PartitionKey":"0000000000000000"}"#;

/// The longest body of a call with this many bytes before base64 in this many records.
#[must_use]
pub const fn body_bytes(payload: usize, records: usize) -> usize {
    body::bytes(payload, records, USUAL_CLOSE.len())
}

impl Settings {
    /// The most bytes of a call, partition keys included.
    #[must_use]
    pub const fn call_bytes(&self) -> usize {
        if self.record_bytes > RECORD_BYTES { LARGEST_CALL_BYTES } else { CALL_BYTES }
    }

    /// What of a record's and a call's bytes is not free for lines, in a record of one line.
    pub(super) fn frame(&self) -> usize {
        let key = self.partition_key.longest();
        key + if self.kpl { kpl::frame(key) + kpl::LINE_FRAME } else { 0 }
    }

    /// What a record costs beside its lines and their frames.
    fn record_frame(&self) -> usize {
        let key = self.partition_key.longest();
        key + if self.kpl { kpl::frame(key) } else { 0 }
    }

    /// Whether a line can end the open record because its key is another.
    fn can_change(&self) -> bool {
        !matches!(self.partition_key, PartitionKey::Random)
    }
}

/// The open record's key and, when lines are aggregated, the aggregate; and the keys of the open batch.
#[derive(Debug)]
pub(super) struct Keyed {
    settings: Settings,
    random: fastrand::Rng,
    /// The key of the open record.
    key: String,
    /// The key of the lines that come next.
    next: String,
    /// The open record's key was drawn because its lines name none.
    drawn: bool,
    aggregate: Aggregate,
    /// Bytes of a line as a rule, as it was lately.
    usual_line: usize,
    /// In an ordered flow, hashes of the keys of the batch's records. Two keys with one hash only end a batch early.
    taken: HashSet<u64, BuildHasherDefault<DefaultHasher>>,
}

/// How much a batch may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    pub(super) records: usize,
    /// Before base64.
    pub(super) bytes: usize,
}

/// How much is in the open batch and its open record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filled {
    /// Records that are complete.
    pub(super) count: usize,
    /// Their bytes, keys included.
    pub(super) payload: usize,
    /// Bytes of the open record, frames of lines included.
    pub(super) open: usize,
}

impl Keyed {
    pub(super) fn new(settings: Settings, random: fastrand::Rng) -> Self {
        Self {
            settings,
            random,
            key: String::new(),
            next: String::new(),
            drawn: false,
            aggregate: Aggregate::default(),
            usual_line: 128,
            taken: HashSet::default(),
        }
    }

    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn key_of_path(&self, path: &Path) -> Option<String> {
        match &self.settings.partition_key {
            PartitionKey::Path(pattern) => Some(key::of_path(pattern, path)),
            _ => None,
        }
    }

    /// Bytes, frames of lines included, that the open record or one after it takes, whatever the next line's key is.
    /// `record` is how many bytes a record may have, its key included.
    pub(super) fn room(&self, filled: Filled, record: usize, most: Most) -> usize {
        let settings = &self.settings;
        let (key, frame) = (settings.partition_key.longest(), settings.record_frame());
        let open = filled.open > 0;
        let another = !open || settings.can_change();
        if another && filled.count + usize::from(open) >= most.records {
            return 0;
        }
        let trailer = if settings.kpl { kpl::TRAILER } else { 0 };
        let held =
            filled.payload + if open { filled.open + key + trailer } else { 0 } + if another { frame } else { 0 };
        let in_record = match open {
            true => record.saturating_sub(filled.open + key + trailer),
            false => record.saturating_sub(frame),
        };
        in_record.min(most.bytes.saturating_sub(held))
    }

    /// The room as bytes and lines. With frames around lines, what this many lines take depends on their length; it is
    /// reckoned with lines as they were lately, and asked again for what is left.
    pub(super) fn space(&self, room: usize, lines: usize) -> Space {
        let lines = if self.settings.partition_key.differs_by_line() { 1 } else { lines };
        if !self.settings.kpl {
            return Space { bytes: room, lines };
        }
        let lines = lines.min(room / (self.usual_line + kpl::LINE_FRAME)).max(1);
        Space { bytes: room.saturating_sub(lines * kpl::LINE_FRAME), lines }
    }

    /// What these lines take of the room.
    pub(super) const fn cost(&self, lines: &Lines<'_>) -> usize {
        lines.bytes.len() + if self.settings.kpl { lines.count * kpl::LINE_FRAME } else { 0 }
    }

    /// Whether these lines need a record of their own key; `open`: there is a record that might go on.
    pub(super) fn choose(&mut self, lines: &Lines<'_>, open: bool) -> bool {
        let named = match &self.settings.partition_key {
            PartitionKey::Random => false,
            PartitionKey::Deterministic => {
                key::hash(lines.bytes, &mut self.next);
                true
            }
            PartitionKey::Field(name) => {
                key::field(lines.bytes, name).is_some_and(|value| key::of_value(&value, &mut self.next))
            }
            PartitionKey::Path(_) => lines.key.is_some_and(|value| key::of_value(value, &mut self.next)),
        };
        if open && (if named { !self.drawn && self.next == self.key } else { self.drawn }) {
            return false;
        }
        if !named {
            key::draw(&mut self.random, &mut self.next);
        }
        self.drawn = !named;
        true
    }

    /// Whether the chosen key stands in the batch already, where it must not twice.
    pub(super) fn is_taken(&self) -> bool {
        self.settings.ordered && self.taken.contains(&self.hash_of(&self.next))
    }

    /// Begins a record under the chosen key and writes what closes it in the body.
    pub(super) fn begin(&mut self, close: &mut Vec<u8>) {
        std::mem::swap(&mut self.key, &mut self.next);
        close.clear();
        close.extend_from_slice(br#"","PartitionKey":"#);
        serde_json::to_writer(&mut *close, &self.key).expect("a text can be written to memory");
        close.push(b'}');
        if self.settings.kpl {
            self.aggregate.begin(&self.key);
        }
    }

    /// Adds lines to the open aggregate; answers its bytes so far.
    pub(super) fn push(&mut self, lines: &Lines<'_>) -> usize {
        let count = lines.count.max(1);
        self.usual_line = (7 * self.usual_line + lines.bytes.len() / count) / 8;
        if count == 1 {
            // Perhaps several lines that were joined: they stay one record.
            self.aggregate.push(lines.bytes);
        } else {
            let mut start = 0;
            for newline in memchr::memchr_iter(b'\n', lines.bytes) {
                self.aggregate.push(&lines.bytes[start..=newline]);
                start = newline + 1;
            }
            assert!(start == lines.bytes.len(), "a run of several lines ends in a newline");
        }
        self.aggregate.size() - kpl::TRAILER
    }

    /// Ends the aggregate as a record of the body; answers its bytes.
    pub(super) fn end(&mut self, body: &mut Body) -> usize {
        self.aggregate.end(body)
    }

    /// The open record is complete; answers the bytes of its key, which count.
    pub(super) fn close(&mut self) -> usize {
        if self.settings.ordered {
            self.taken.insert(self.hash_of(&self.key));
        }
        self.key.len()
    }

    /// The batch is complete, but for the checksums that wait.
    pub(super) fn complete(&mut self, body: &mut Body) {
        self.aggregate.complete(body);
        self.taken.clear();
    }

    /// Bytes that this many bytes of lines become.
    pub(super) fn framed(&self, bytes: usize) -> usize {
        if self.settings.kpl { bytes + bytes / self.usual_line.max(1) * kpl::LINE_FRAME + 1024 } else { bytes }
    }

    pub(super) const fn memory(&self) -> usize {
        self.aggregate.memory()
    }

    /// The memory when this many bytes more are in the open aggregate, which has `open`.
    pub(super) fn memory_with(&self, open: usize) -> usize {
        self.aggregate.memory_with(open)
    }

    /// Gives memory back; no record is open.
    pub(super) fn rest(&mut self, body: &mut Body) {
        self.aggregate.complete(body);
        self.aggregate.rest();
    }

    fn hash_of(&self, key: &str) -> u64 {
        self.taken.hasher().hash_one(key)
    }
}
