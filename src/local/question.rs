//! What can be asked over the local socket, and the answers that are not the state of flows.
//! Promises one form for both ends. Leaves finding the answers to `app`.

use super::{Bytes, PathText};
use datalake_base::record::FileKey;
use datalake_tail::{ContentId, Counted, Proof, Row, SavedPlace, SavedState};
use serde::{Deserialize, Serialize};

/// A line that a client writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ask {
    /// The state folder of the agent that is meant; an agent with another one does not answer. Without it, any agent does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<PathText>,
    /// What is asked.
    pub ask: Question,
}

/// What is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Question {
    /// How the flows stand: one line, a `Status`.
    Status,
    /// How the files stand, of one flow or of all: lines of `FileStatus`.
    Files {
        /// The flow.
        flow: Option<String>,
    },
    /// What is known of a file: one line, an [`About`] for each destination.
    File {
        /// Which file.
        key: Key,
        /// Its first bytes, unpacked where it is an archive; at most a KiB.
        beginning: Bytes,
    },
    /// What a flow sends from now on: lines, until the client goes.
    Tap {
        /// The flow.
        flow: String,
    },
}

/// Device, inode and birth of a file.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Key {
    /// The device.
    pub device: u64,
    /// The inode.
    pub inode: u64,
    /// Nanoseconds since 1970; 0 where the filesystem does not say.
    pub born: u64,
}

impl From<FileKey> for Key {
    fn from(key: FileKey) -> Self {
        Self { device: key.device, inode: key.inode, born: key.born }
    }
}

impl From<Key> for FileKey {
    fn from(key: Key) -> Self {
        Self { device: key.device, inode: key.inode, born: key.born }
    }
}

/// What one destination knows of a file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// The destination, as `firehose:NAME`.
    pub stream: String,
    /// What the file itself is to the destination: `holds`, `comparing`, `ignored`, `skipped`; none where it was never seen.
    pub standing: Option<String>,
    /// It could not be opened or read when that was tried last.
    pub refused: bool,
    /// The contents that the file may hold: the one that it is known to hold first, then those that begin alike.
    pub contents: Vec<Known>,
}

/// A content, as a row of the checkpoint would have it now.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Known {
    /// Its number.
    pub id: u64,
    /// The flow that reads it.
    pub flow: Option<String>,
    /// The path by which a pattern matched it.
    pub home: PathText,
    /// Everything before this is settled.
    pub settled: u64,
    /// Everything before this was read.
    pub read: u64,
    /// So much of it is known to exist; 0 for archives.
    pub known: u64,
    /// `reading`, `new`, `sought` or `finished`.
    pub state: String,
    /// How it is packed, as the checkpoint counts it.
    pub packing: u8,
    /// Where it lies; at most four places.
    pub places: Vec<Place>,
    /// By which it is known again.
    pub proof: Bytes,
    /// Where its bytes are.
    #[serde(default)]
    pub accounting: FileBalance,
}

/// Where the bytes of a file are: `read = delivered + pending + filtered + quarantined`. What was settled beyond the position
/// counts as pending until the position has passed it. Kept with the position, so that a kill changes nothing. What was read
/// before the agent counted files is in none of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileBalance {
    /// Taken from the file.
    pub read: u64,
    /// Accepted by the service.
    pub delivered: u64,
    /// Read, and beyond the position.
    pub pending: u64,
    /// Dropped because the configuration says so.
    pub filtered: u64,
    /// Kept in the quarantine, or replayed or removed from it since.
    pub quarantined: u64,
    /// Destroyed before they were read; not part of `read`.
    pub destroyed: u64,
}

impl FileBalance {
    /// What was counted, with `pending` bytes on their way.
    #[must_use]
    pub const fn of(counted: Counted, pending: u64) -> Self {
        let Counted { delivered, filtered, quarantined, destroyed } = counted;
        Self {
            read: delivered.saturating_add(filtered).saturating_add(quarantined).saturating_add(pending),
            delivered,
            pending,
            filtered,
            quarantined,
            destroyed,
        }
    }
}

/// A file that holds a content.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Where it is.
    pub path: PathText,
    /// Which file.
    pub key: Key,
    /// Its size when it was last looked at.
    pub size: u64,
    /// Its change time then, in nanoseconds since 1970.
    pub changed: u64,
    /// How it is packed.
    pub packing: u8,
}

/// The state of a row in a word.
#[must_use]
pub const fn word_of(state: SavedState) -> &'static str {
    match state {
        SavedState::Followed => "reading",
        SavedState::New => "new",
        SavedState::Sought => "sought",
        SavedState::Finished => "finished",
    }
}

impl Known {
    /// Of a row; `read` is how far it was read, where somebody knows.
    #[must_use]
    pub fn of_row(row: &Row, flow: Option<String>, read: Option<u64>) -> Self {
        let place = |place: &SavedPlace| Place {
            path: place.path.clone().into(),
            key: place.key.into(),
            size: place.size,
            changed: place.changed,
            packing: place.packing,
        };
        Self {
            id: row.id.0,
            flow,
            home: row.home.clone().into(),
            settled: row.position,
            read: read.unwrap_or(row.position),
            known: row.known,
            state: word_of(row.state).to_owned(),
            packing: row.packing,
            places: row.places.iter().map(place).collect(),
            proof: Bytes(row.proof.encode()),
            accounting: FileBalance::of(row.counted, read.unwrap_or(row.position).saturating_sub(row.position)),
        }
    }

    /// By what it is known again; nothing where the bytes are of no form that is known.
    #[must_use]
    pub fn proof(&self) -> Option<Proof> {
        Proof::decode(&self.proof.0)
    }

    /// Its number, as the tail core has it.
    #[must_use]
    pub const fn content(&self) -> ContentId {
        ContentId(self.id)
    }

    /// Whether it is known to lie in this file.
    #[must_use]
    pub fn lies_in(&self, key: FileKey) -> bool {
        // The number of a device may change with every mount.
        let same = |place: &Place| {
            let known = FileKey::from(place.key);
            known.inode == key.inode && known.born == key.born && (known.device == key.device || known.born != 0)
        };
        self.places.iter().any(same)
    }
}

/// A call of a flow, for who watches. The first line of the answer has none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Call {
    /// Its body, up to a length.
    pub body: Bytes,
    /// Records in all of it.
    pub records: usize,
    /// Whether the body was cut.
    pub cut: bool,
    /// Calls before it that were not shown.
    pub missed: u64,
}
