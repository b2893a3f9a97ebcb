//! What is saved between two starts, as the source and the checkpoint pass it to each other.
//! Promises nothing but the words. Leaves what a row means to the tail core, and the database to the checkpoint.

use datalake_base::accounting::{Accounting, Stage};
use datalake_base::record::{FileKey, Fingerprint, Position};
use datalake_tail::{ContentId, FolderRow, Row};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// What the checkpoint knows at start.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// All contents.
    pub contents: Vec<SavedContent>,
    /// What folders held.
    pub folders: Vec<(Arc<str>, FolderRow)>,
    /// The (stream, pattern) pairs that were started before: `initialPosition` no longer applies to them.
    pub started: Vec<(String, String)>,
    /// What became of the bytes of each flow in earlier lives, by its name.
    pub counters: BTreeMap<String, Counters>,
}

/// A row of the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedContent {
    /// The destination that it was read for, as `firehose:NAME`.
    pub stream: Arc<str>,
    /// What is known of it.
    pub row: Row,
    /// When the row was written, in milliseconds since 1970; for people only.
    pub saved_at: u64,
}

/// What is to be written to the checkpoint, as one transaction.
#[derive(Clone, Debug, Default)]
pub struct CheckpointUpdate {
    /// Rows to insert or replace; `None` deletes. Of two for one content the later counts.
    pub contents: Vec<(Arc<str>, ContentId, Option<Row>)>,
    /// What folders hold: to insert or replace; `None` deletes.
    pub folders: Vec<(Arc<str>, PathBuf, Option<Vec<u64>>)>,
    /// Pairs of stream and pattern whose first start is now done.
    pub started: Vec<(String, String)>,
    /// The newest counters of flows, by their names.
    pub counters: Vec<(String, Counters)>,
    /// Bytes that were settled since the last update: what saving may cost depends on it.
    pub settled_bytes: u64,
}

impl CheckpointUpdate {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.contents.is_empty() && self.folders.is_empty() && self.started.is_empty() && self.counters.is_empty()
    }
}

/// What became of the bytes of one flow, over all lives of the agent. All that was read in an earlier life is in one of
/// `delivered`, `filtered` and `quarantined`: what was not settled is read again, and counted then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Since when they count, in milliseconds since 1970.
    pub since: u64,
    /// See [`Accounting::delivered`], and so on.
    pub delivered: u64,
    /// Bytes that the settings drop.
    pub filtered: u64,
    /// Bytes that are kept in the quarantine, or were.
    pub quarantined: u64,
    /// Bytes destroyed before they were read.
    pub destroyed: u64,
    /// Bytes left out on purpose.
    pub skipped: u64,
    /// Lines accepted.
    pub lines: u64,
    /// Records accepted.
    pub records: u64,
    /// Bytes of these before base64.
    pub payload: u64,
    /// Bytes billed for them.
    pub billed: u64,
    /// Calls answered.
    pub calls: u64,
    /// Records sent again.
    pub retried: u64,
    /// Of these, the ones that may have arrived before.
    pub possibly_duplicated: u64,
    /// Records kept in the quarantine.
    pub quarantined_records: u64,
    /// Records that no option could work on.
    pub unprocessed: u64,
    /// Milliseconds that each stage kept the flow from going faster.
    pub limited_by: [u64; Stage::COUNT],
}

impl Counters {
    /// Those of this process alone.
    #[must_use]
    pub fn of(accounting: &Accounting) -> Self {
        Self {
            since: 0,
            delivered: accounting.delivered.value(),
            filtered: accounting.filtered.value(),
            quarantined: accounting.quarantined.value(),
            destroyed: accounting.destroyed.value(),
            skipped: accounting.skipped.value(),
            lines: accounting.lines.value(),
            records: accounting.records.value(),
            payload: accounting.payload.value(),
            billed: accounting.billed.value(),
            calls: accounting.calls.value(),
            retried: accounting.retried.value(),
            possibly_duplicated: accounting.possibly_duplicated.value(),
            quarantined_records: accounting.quarantined_records.value(),
            unprocessed: accounting.unprocessed.value(),
            limited_by: std::array::from_fn(|stage| accounting.limited_by[stage].value()),
        }
    }

    /// Bytes that are accounted for.
    #[must_use]
    pub const fn bytes(&self) -> [u64; 5] {
        [self.delivered, self.filtered, self.quarantined, self.destroyed, self.skipped]
    }

    /// Those of both, counted since the first of the two.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        let theirs = other.named();
        for (mine, (_, theirs)) in self.named_mut().into_iter().zip(theirs) {
            *mine.1 = mine.1.saturating_add(theirs);
        }
        self.since = match (self.since, other.since) {
            (0, since) | (since, 0) => since,
            (one, two) => one.min(two),
        };
        self
    }

    /// Each with its name, as the checkpoint has them; without `since`.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, u64)> {
        let mut copy = *self;
        copy.named_mut().into_iter().map(|(name, value)| (name, *value)).collect()
    }

    /// The same, to be set.
    pub fn named_mut(&mut self) -> Vec<(&'static str, &mut u64)> {
        let mut named = vec![
            ("delivered_bytes", &mut self.delivered),
            ("filtered_bytes", &mut self.filtered),
            ("quarantined_bytes", &mut self.quarantined),
            ("destroyed_bytes", &mut self.destroyed),
            ("skipped_bytes", &mut self.skipped),
            ("lines", &mut self.lines),
            ("records", &mut self.records),
            ("payload_bytes", &mut self.payload),
            ("billed_bytes", &mut self.billed),
            ("calls", &mut self.calls),
            ("retried_records", &mut self.retried),
            ("possibly_duplicated_records", &mut self.possibly_duplicated),
            ("quarantined_records", &mut self.quarantined_records),
            ("unprocessed_records", &mut self.unprocessed),
        ];
        named.extend(Stage::ALL.iter().map(|stage| stage.counter()).zip(&mut self.limited_by));
        named
    }
}

/// How far a file was settled, as the first format of the checkpoint had it and as positions are imported: it belongs to a
/// file, not to a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedPosition {
    /// The destination, as `firehose:NAME`. Positions belong to a file and a stream, not to a pattern.
    pub stream: String,
    /// Device, inode and birth of the file.
    pub file: FileKey,
    /// Where the file was last seen.
    pub path: PathBuf,
    /// Everything before this is settled; for an archive it counts decompressed bytes.
    pub position: Position,
    /// The bytes from 0 to `head.length`.
    pub head: Fingerprint,
    /// Where the stretch that `frontier` describes ends. Invariant: `frontier_end <= position`.
    pub frontier_end: Position,
    /// The bytes just before `frontier_end`.
    pub frontier: Fingerprint,
    /// Size of the file when it was last looked at.
    pub size: u64,
    /// Change time (ctime) then, in nanoseconds since 1970: size and ctime unchanged mean "not touched".
    pub changed: u64,
    /// When this row was made, in milliseconds since 1970; files born later are news.
    pub saved_at: u64,
}
