//! The tail core: what is known of followed files, proof by content, and whose turn it is.
//! Promises that content decides: names, identities, sizes, times and events are hints about where content may be.
//! Leaves all IO to the shell: it does what [`Tail::step`] asks for, and tells what it has seen.
//!
//! Equal bytes prove sameness where they could not have been written twice: at least 256 of them that do not repeat what
//! stands in the 8 KiB before, with two lines that do not begin with `#`; with eight such lines, or 64 KiB, while the other
//! content still has a place. With less, what is found is new content: in doubt it is sent, and said ([`Again`]).

/// Names that rotation makes.
pub mod names;
/// Whether bytes are those that were read.
pub mod proof;
/// What is saved.
pub mod row;

mod content;
#[cfg(test)]
mod model;
mod places;
mod seen;
mod tail;
mod todo;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod worlds;

pub use datalake_base::record::{FileKey, Fingerprint, Origin, Position};
pub use proof::{Proof, Verdict, Weight};
pub use row::{ContentId, Counted, FolderRow, Row, SavedPlace, SavedState};
pub use seen::{
    ArchiveFault, Entry, Failure, FlowId, FolderId, Kind, Moment, Packing, Part, Sample, Seen, Slot, Status, Ticket,
};
pub use tail::{ContentAbout, FileAbout, FileStanding, Inspected, Tail};
pub use todo::{Again, Loss, Notice, ToDo};

use std::path::PathBuf;

/// What one destination's flows read.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The flows, in their order: the first whose patterns match a path reads it.
    pub flows: Vec<FlowSettings>,
    /// Bounds.
    pub limits: Limits,
    /// The first origin that is handed out; the others follow. Origins are unique in a process, so a shell with several
    /// cores gives each a range of its own.
    pub first_origin: u64,
}

/// What the core must know of a flow; its patterns are the shell's.
#[derive(Clone, Debug, Default)]
pub struct FlowSettings {
    /// Where rotation puts what it takes away, beside the usual places: absolute folders.
    pub rotated_to: Vec<PathBuf>,
    /// The files belong to the agent itself: nobody renames, cuts or copies them, so each is read from its beginning
    /// without asking whether it is a copy.
    pub owned: bool,
    /// The first lines of each file are not sent, and only the flow knows how many of them it has seen: an origin is not
    /// ended as long as more may come to it.
    pub skips_header: bool,
}

/// Bounds on what is done at a time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Files that are open at the same time, archives included.
    pub open: usize,
    /// Archives that are unpacked at the same time.
    pub decoders: usize,
    /// Bytes of one read.
    pub read: u32,
    /// Names in one part of a listing, and files looked at in one step.
    pub entries: usize,
    /// Samples asked for at the same time.
    pub samples: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { open: 512, decoders: 2, read: 256 * 1024, entries: 1_000, samples: 16 }
    }
}

/// What there is to count of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauge {
    /// Files that are followed.
    pub files: u64,
    /// Bytes that wait to be read or settled.
    pub lag: u64,
}
