//! What is saved between two starts, as the source and the checkpoint pass it to each other.
//! Promises nothing but the words. Leaves what a row means to the tail core, and the database to the checkpoint.

use datalake_base::record::{FileKey, Fingerprint, Position};
use datalake_tail::{ContentId, FolderRow, Row};
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
    /// Bytes that were settled since the last update: what saving may cost depends on it.
    pub settled_bytes: u64,
}

impl CheckpointUpdate {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.contents.is_empty() && self.folders.is_empty() && self.started.is_empty()
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
